"""A room that is stored: it is killed, its machine crashes, its disk is full or hangs, and it goes on."""

import contextlib
import json
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from chatctl.peer.claim import Claim
from chatctl.peer.stay import Stage, Stay
from tests.e2e.conftest import Window
from tests.rooms import COMMAND, PATIENCE, Program, Room, environment

Start = Callable[..., Room]
Come = Callable[[int, Claim], "Visit"]

ANSWERS = 300  # events that all members have seen of one life of a server, before it is killed


@pytest.fixture
def start(mode: str, tmp_path: Path) -> Iterator[Start]:
    """Start a server on the store of this test, or another one."""
    rooms: list[Room] = []

    def start_server(*flags: str, store: Path = tmp_path / "store", **options: Any) -> Room:
        rooms.append(Room(mode, "--rate", "0", "--grace", "1h", "--store", str(store), *flags, **options))
        return rooms[-1]

    yield start_server
    for room in rooms:
        if room.running:
            room.stop()


@pytest.fixture
def come() -> Iterator[Come]:
    """Have a member with a claim come to the room at a port."""
    visits: list[Visit] = []

    def visit(port: int, claim: Claim) -> Visit:
        visits.append(Visit(port, claim))
        return visits[-1]

    yield visit
    for made in visits:
        made.close()


def printed(store: Path, *arguments: str) -> list[str]:
    """What ``chatctl log`` prints."""
    command = [*COMMAND, "log", str(store), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment()).stdout.splitlines()


def events(store: Path) -> dict[int, str]:
    """What has happened, as it is stored, by its numbers."""
    lines = printed(store, "--json")
    numbered = {json.loads(line)["seq"]: line for line in lines}
    assert len(numbered) == len(lines), "each number is there once"
    return numbered


class Talker(threading.Thread):
    """A member that says its lines, wherever the room is, and keeps all that it sees of what happens.

    Args:
        name: what it is called; its lines are its name and numbers.
        lines: how many.
        rooms: where the room is, in one life after the other.
        came: told of each event, and at the end.
    """

    def __init__(self, name: str, lines: int, rooms: "Rooms") -> None:
        super().__init__(name=name, daemon=True)
        self.claim = Claim(name)
        self.seen: list[tuple[str, str]] = []  # the epoch, and the line
        self.welcomes: list[dict[str, Any]] = []
        self._lines = [b"%b %d" % (name.encode(), number) for number in range(lines)]
        self._rooms = rooms
        self._epoch = ""

    def run(self) -> None:
        life = 0
        while self._lines or self.claim.echoes.open:
            life, port = self._rooms.wait(life)
            with contextlib.suppress(OSError):
                self._visit(port)
        self._rooms.note(0)

    def _visit(self, port: int) -> None:
        stay, rest = Stay(claim=self.claim), b""
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock:
            sock.sendall(stay.encrypt(b""))
            while not stay.ended and (self._lines or self.claim.echoes.open):
                data = sock.recv(65536)
                *lines, rest = (rest + data).split(b"\n")
                stay.receive(data, 0.0)
                self._take_in(lines)
                text = stay.answer(0.0)
                while stay.stage is Stage.OPEN and self._lines and len(self.claim.echoes.due) < 10:
                    text += stay.send(self._lines.pop(0), 0.0)
                sock.sendall(stay.encrypt(text))

    def _take_in(self, lines: list[bytes]) -> None:
        for line in lines:
            if not line.startswith(b"{"):
                continue
            told = json.loads(line)
            if told["kind"] == "welcome":
                self.welcomes.append(told)
            if told["kind"] in ("welcome", "epoch"):
                self._epoch = told["epoch"]
            elif "seq" in told:
                self.seen.append((self._epoch, line.decode()))
        self._rooms.note(len(lines))


class Rooms:
    """Where a room is, one server after the other, and how much its members have seen."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._ports: list[int] = []
        self._seen = 0

    def move(self, port: int) -> None:
        """Note that it is at a port from now on."""
        with self._changed:
            self._ports.append(port)
            self._seen = 0
            self._changed.notify_all()

    def wait(self, life: int) -> tuple[int, int]:
        """The next life of the room, and its port, as soon as it has begun."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._ports) > life, PATIENCE)
            return len(self._ports), self._ports[-1]

    def note(self, lines: int) -> None:
        """Note that so many lines came."""
        with self._changed:
            self._seen += lines
            self._changed.notify_all()

    def until(self, done: Callable[[int], bool]) -> None:
        """Wait until enough has been seen."""
        with self._changed:
            assert self._changed.wait_for(lambda: done(self._seen), 2 * PATIENCE)


def test_killed_twenty_times(start: Start, tmp_path: Path) -> None:
    """Under load: nothing that a client had seen is lost or another, and each line is said once, in its order."""
    store, transcript, rooms = tmp_path / "store", tmp_path / "room.log", Rooms()
    talkers = [Talker(name, 2_000, rooms) for name in ("ann", "bob", "eve")]
    plain: list[str] = []
    for life in range(20):
        room = start("--transcript", str(transcript))
        rooms.move(room.port)
        if not life:
            for talker in talkers:
                talker.start()
        reader = room.stranger()
        reader.say("/nick zoe")
        rooms.until(lambda seen: seen > ANSWERS or not any(talker.is_alive() for talker in talkers))
        room.process.kill()
        with contextlib.suppress(OSError, EOFError):
            while True:
                plain.append(reader.line())
        room.crash()
    room = start()
    rooms.move(room.port)
    for talker in talkers:
        talker.join(2 * PATIENCE)
        assert not talker.is_alive()
    room.stop()
    stored = events(store)
    assert sorted(stored) == list(range(1, len(stored) + 1))
    assert {epoch for talker in talkers for epoch, _ in talker.seen} == {talkers[0].welcomes[0]["epoch"]}
    for talker in talkers:
        assert len(talker.welcomes) > 5
        assert [line for _, line in talker.seen if stored[json.loads(line)["seq"]] != line] == []
        numbers = [json.loads(line)["seq"] for _, line in talker.seen]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "nothing twice, and no gap"
        assert talker.claim.doubtful == []
    texts = [told["text"] for told in map(json.loads, stored.values()) if told["kind"] == "message"]
    for talker in talkers:
        said = [text for text in texts if text.startswith(talker.name)]
        assert said == [f"{talker.name} {number}" for number in range(2_000)]
    shown = {line for line in [*plain, *transcript.read_text().splitlines()] if "] " in line}
    assert len(shown) > 1_000
    assert {line.partition("] ")[2] for line in shown} <= set(texts)


KILLS = """
import os, signal
from chatctl.server import segments
write = segments.write
def killed(descriptor, data):
    if b'"text":"now"' in data:
        if {late}:
            write(descriptor, data)
        os.kill(os.getpid(), signal.SIGKILL)
    write(descriptor, data)
segments.write = killed
from chatctl.cli import cli
cli()
"""


@pytest.mark.parametrize("late", [False, True], ids=["before it is written", "before it is sent"])
def test_what_is_not_written_is_not_shown(start: Start, tmp_path: Path, late: bool) -> None:
    """The server is killed between append and write, or between write and send: nobody has seen the line."""
    transcript = tmp_path / "room.log"
    room = start("--transcript", str(transcript), program=("-c", KILLS.format(late=late)))
    keys = {"nick": "alice", "secret": "s" * 22}
    member, reader = room.program(**keys), room.stranger()
    watcher = room.program(nick="eve")
    reader.say("/nick bob", "before")
    seen = member.until("before")
    watcher.until("before")
    reader.until("before")
    member.say("/id 1 now")
    for peer in (member, watcher, reader):
        with pytest.raises((EOFError, ConnectionResetError)):
            peer.line()
    room.crash()
    assert not any("] now" in line for line in [*room.console, *transcript.read_text().splitlines()])
    assert any('"now"' in line for line in events(tmp_path / "store").values()) is late
    room = start()
    again = room.program(**keys, epoch=member.welcome["epoch"], after=json.loads(seen[-1])["seq"])
    assert (again.welcome["epoch"], again.welcome["known"]) == (member.welcome["epoch"], True)
    assert again.welcome["taken"] == int(late)
    again.say("/id 1 now")
    again.fence()
    stored = events(tmp_path / "store")
    assert sum('"now"' in line for line in stored.values()) == 1
    assert sorted(stored) == list(range(1, len(stored) + 1))
    again.leave()


def test_a_crash_of_the_machine(start: Start, come: Come, tmp_path: Path) -> None:
    """What is left is what was there a moment ago: who has seen more is told so, and gets all that is new, once."""
    rooms = Rooms()
    room = start()
    rooms.move(room.port)
    speaker = room.stranger()
    speaker.say("/nick bob")
    claim = Claim("alice")
    visit = come(room.port, claim)
    speaker.say("one")
    visit.until("one")
    shutil.copytree(tmp_path / "store", tmp_path / "earlier")
    speaker.say("two", "three", "four")
    visit.until("four")
    ahead = claim.seq
    room.crash()
    room = start(store=tmp_path / "earlier")
    speaker = room.stranger()
    speaker.say("/nick bob", "new", "newer")
    speaker.until("newer")
    again = come(room.port, claim)
    again.until("newer")
    speaker.say("last")
    again.until("last")
    assert claim.missed == float("inf"), "it is told that lines may be missing"
    assert again.welcome["epoch"] != visit.welcome["epoch"]
    assert (again.welcome["resumed"], again.welcome["known"]) == (True, False)
    assert again.welcome["from"] <= ahead
    texts = [event["text"] for event in again.seen if event["kind"] == "message"]
    assert texts == ["new", "newer", "last"]
    again.close()
    again = come(room.port, claim)
    speaker.say("end")
    again.until("end")
    assert (again.welcome["known"], claim.missed) == (True, 0), "one connection was enough"
    again.close()


class Visit:
    """One connection of a member with a claim; ``seen`` are the events that it brought."""

    def __init__(self, port: int, claim: Claim) -> None:
        self.seen: list[dict[str, Any]] = []
        self.epochs: list[str] = []
        self.welcome: dict[str, Any] = {}
        self._stay = Stay(claim=claim)
        self._rest = b""
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._sock.sendall(self._stay.encrypt(b""))
        while not self.welcome:
            self._read()

    def until(self, text: str) -> None:
        """Read until somebody has said it."""
        while not any(event.get("text") == text for event in self.seen):
            self._read()

    def _read(self) -> None:
        data = self._sock.recv(65536)
        assert data
        *lines, self._rest = (self._rest + data).split(b"\n")
        for told in [json.loads(line) for line in lines if line.startswith(b"{")]:
            if told["kind"] == "welcome":
                self.welcome = told
            elif told["kind"] == "epoch":
                self.epochs.append(told["epoch"])
            elif "seq" in told:
                self.seen.append(told)
        self._stay.receive(data, 0.0)
        self._sock.sendall(self._stay.encrypt(self._stay.answer(0.0)))

    def close(self) -> None:
        self._sock.close()


def limit(room: Room, size: int) -> None:
    """Let a server write no file beyond so many bytes; as if the disk were full. -1: as large as it likes."""
    _, most = resource.prlimit(room.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(room.process.pid, resource.RLIMIT_FSIZE, (size, most))


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit(2)")
def test_a_full_disk(start: Start, come: Come, tmp_path: Path) -> None:
    """The room goes on under another epoch, says so once, and later how many lines are missing, exactly."""
    room = start()
    peer = room.peer()
    visit = come(room.port, Claim("alice"))
    peer.say("kept")
    visit.until("kept")
    limit(room, 1)
    for number in range(30):
        peer.say(f"lost {number}")
        peer.until(f"lost {number}")
    visit.until("lost 29")
    assert len(visit.epochs) == 1
    (error,) = room.stderr_until("the room goes on")
    assert error == (
        f"chatctl server: cannot write the store {tmp_path / 'store'}: File too large: the room goes on, what is said "
        "is not kept"
    )
    limit(room, resource.RLIM_INFINITY)
    again = f"writing the store {tmp_path / 'store'} again: "
    said = 0
    while again not in room.stderr:
        peer.say("tried")
        peer.until("tried")
        said += 1
    missing = int(re.findall(rf"{re.escape(again)}(\d+) events are missing", room.stderr)[0])
    peer.say("kept again")
    visit.until("kept again")
    stored = events(tmp_path / "store")
    (gap,) = [told for told in map(json.loads, stored.values()) if told["kind"] == "missing"]
    assert gap["events"] == missing
    assert 30 <= missing < 30 + said
    kept = [seq for seq, line in stored.items() if '"text":' in line]
    last = max(seq for seq in kept if seq <= gap["seq"] - missing)
    assert min(seq for seq in kept if seq > last) == gap["seq"] + 1 == last + missing + 1
    assert f"! {missing} lines are missing: the store could not be written" in "\n".join(printed(tmp_path / "store"))
    peer.say("/quit")


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit(2)")
def test_killed_while_the_disk_is_full(start: Start, come: Come) -> None:
    """Members are told that lines may be missing, and no number that they know has another text."""
    room = start()
    peer, claim = room.peer(), Claim("alice")
    visit = come(room.port, claim)
    peer.say("kept")
    visit.until("kept")
    limit(room, 1)
    peer.say("lost", "lost too")
    visit.until("lost too")
    epoch = visit.epochs[-1]
    room.crash()
    room = start()
    again = come(room.port, claim)
    peer = room.peer()
    peer.say("new", "new too")
    again.until("new too")
    assert claim.missed == float("inf")
    assert again.welcome["epoch"] == visit.welcome["epoch"] != epoch
    assert not again.welcome["known"]
    assert [event["text"] for event in again.seen if event["kind"] == "message"] == ["new", "new too"]
    again.close()


HANGS = """
import sys
from chatctl.server import segments
write = segments.write
def hanging(descriptor, data):
    if b"stuck" in data:
        open(sys.argv.pop()).close()  # a FIFO: until somebody opens its other end
    write(descriptor, data)
segments.write = hanging
from chatctl.cli import cli
cli(sys.argv[1:-1])
"""


def test_a_disk_that_hangs(start: Start, come: Come, tmp_path: Path) -> None:
    """The room goes on without it after two seconds, and what comes of the write in the end is in nobody's way."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    room = start(str(fifo), program=("-c", HANGS))
    peer, visit = room.peer(), come(room.port, Claim("alice"))
    peer.say("kept")
    visit.until("kept")
    peer.say("stuck")
    visit.until("stuck")
    assert len(visit.epochs) == 1
    peer.say("and on")
    visit.until("and on")
    room.stderr_until("no answer within 2 s: the room goes on")
    with fifo.open("w"):
        pass
    while "events are missing" not in room.stderr:
        peer.say("tried")
        peer.until("tried")
    peer.say("kept again")
    visit.until("kept again")
    texts = Counter(told.get("text") for told in map(json.loads, events(tmp_path / "store").values()))
    assert (texts["kept"], texts["stuck"], texts["and on"], texts["kept again"]) == (1, 0, 0, 1)


def test_half_a_line_is_cut_off(start: Start, tmp_path: Path) -> None:
    """Whatever stands at the end of the file that is none: a server that starts goes on before it."""
    room = start()
    with room.peer() as peer:
        peer.say("whole")
        peer.until("whole")
    room.crash()
    (segment,) = (tmp_path / "store").glob("*.jsonl")
    with segment.open("ab") as file:
        file.write(b'{"seq":4,"time":"2026-11-25T08:00:00Z","kind":"mess')
    room = start()
    with room.peer() as peer:
        peer.say("whole again")
        peer.until("again")
    texts = [told.get("text") for told in map(json.loads, events(tmp_path / "store").values())]
    assert [text for text in texts if text] == ["whole", "whole again"]


def test_who_was_here_is_waited_for(start: Start) -> None:
    """Names, numbers, whom one ignores, and who has no place has gone; everybody is told that the room began again."""
    room = start()
    alice = room.program(nick="alice", secret="a" * 22)
    bob = room.program(nick="bob", secret="b" * 22)
    zoe = room.stranger()
    zoe.say("/nick zoe", "hi")
    zoe.until("hi")
    alice.say("/ignore bob", "/id 1 mine")
    alice.until("mine")
    read = json.loads(bob.until("mine")[-1])["seq"]
    room.crash()
    room = start()
    bob_again = room.program(secret="b" * 22, epoch=bob.welcome["epoch"], after=read)
    assert (bob_again.welcome["you"], bob_again.welcome["uid"], bob_again.welcome["users"]) == ("bob", 2, 2)
    assert (restarted := bob_again.event())["kind"] == "restarted"
    assert (restarted["seq"], restarted["users"]) == (read + 1, 2)
    alice_again = room.program(secret="a" * 22, epoch=alice.welcome["epoch"], after=read)
    assert alice_again.event() == {"kind": "ignored", "uids": [2]}
    assert alice_again.welcome["taken"] == 1
    stranger = room.stranger()
    stranger.say("/nick bob", "hello")
    assert "! bob is taken" in stranger.until("hello")
    for program in (alice_again, bob_again):
        program.leave()


def test_what_is_stored_is_found(start: Start, tmp_path: Path) -> None:
    """Older lines than memory has, of an earlier life of the room, by who had come in before they were said."""
    room = start("--history", "5")
    alice = room.program(nick="alice", secret="a" * 22)
    peer = room.peer()
    peer.say("the needle", *(f"hay {number}" for number in range(300)))
    last = json.loads(alice.until("hay 299")[-1])["seq"]
    room.crash()
    room = start("--history", "5")
    alice = room.program(secret="a" * 22, epoch=alice.welcome["epoch"], after=last)
    assert alice.welcome["first"] < 5

    def found(member: Program, *lines: str) -> list[tuple[int, int]]:
        """How many lines are shown to each of some questions, of how many; one is asked after the other."""
        answers = []
        for line in lines:
            member.say(line)
            while (event := member.event())["kind"] not in ("history", "error"):
                pass
            answers.append((event["count"], event["of"]))
            shown = member.events(event["count"])
            assert [told["seq"] for told in shown] == sorted(told["seq"] for told in shown)
        return answers

    asked = ("/search NEEDLE", "/search hay 299", "/history 3 before 100")
    assert [count for count, _ in found(alice, *asked)] == [1, 1, 3]
    assert found(alice, "/search HAY", "/search nothing") == [(20, 301), (0, 301)]
    bob = room.program(nick="bob", secret="b" * 22)
    assert found(bob, "/search hay", "/search needle") == [(5, 5), (0, 5)]
    alice.say("/id 1 /search needle", "/id 2 /search needle", "/id 3 hi")
    told = [json.loads(line) for line in alice.until('"id":1')]
    assert [event["code"] for event in told if event.get("id") == 2] == ["slow"]
    for program in (alice, bob):
        program.leave()


def test_what_is_forgotten_is_gone(mode: str, tmp_path: Path) -> None:
    """From what is stored, from memory and for who comes back; numbers have no gap."""
    store = tmp_path / "store"
    secret = "a secret of bob's"
    server = Window(
        "server", "127.0.0.1", "0", "--mode", mode, "--rate", "0", "--store", str(store), HOME=str(tmp_path)
    )
    port = int(server.until(".")[-1].removesuffix(".").split()[-1])
    with Program(port) as alice, Program(port) as bob:
        alice.enter(nick="alice", secret="a" * 22)
        bob.enter(nick="bob", secret="b" * 22)
        bob.say(secret, "/nick rob", secret.upper())
        read = json.loads(alice.until(secret.upper())[-1])["seq"]
        server.type("/forget rob")
        removed = json.loads(alice.until('"removed"')[-1])
        assert removed["uids"] == [bob.welcome["uid"]]
        alice.say("/history", "done")
        assert not any("secret" in line.lower() for line in alice.until('"done"'))
        alice.reset()
        again = Program(port).enter(secret="a" * 22, epoch=alice.welcome["epoch"], after=1)
        again.say("/history 20 before 5", "/search secret", "over")
        lines = again.until('"over"')
        assert not any("secret" in line.lower() for line in lines)
        numbers = [event["seq"] for event in map(json.loads, lines) if "seq" in event]
        assert [*range(2, read + 1)] == numbers[: read - 1]
        again.leave()
        again.close()
    server.process.sendintr()
    server.process.expect(pexpect.EOF)
    data = b"".join(path.read_bytes() for path in store.iterdir())
    assert b"secret" not in data.lower()
    assert sorted(events(store)) == [*range(1, len(events(store)) + 1)]


def test_a_store_in_use(start: Start, tmp_path: Path, mode: str) -> None:
    """Nor one of a newer format, nor what is none: each is refused by its name, and nothing is changed."""
    start()
    newer, other = tmp_path / "newer", tmp_path / "other"
    for directory, name, text in ((newer, "format", "chatctl store 2\n"), (other, "photo.jpg", "x")):
        directory.mkdir()
        (directory / name).write_text(text)
    for directory, why in (
        (tmp_path / "store", "is in use: another server runs on it"),
        (newer, "has format 2, this chatctl knows formats up to 1: take a newer one"),
        (other, "is no store, and not empty: give --store a new directory"),
        (other / "photo.jpg", "is no directory: give --store a new one"),
    ):
        before = sorted(path.name for path in directory.parent.iterdir())
        command = [*COMMAND, "server", "127.0.0.1", "0", "--mode", mode, "--store", str(directory)]
        run = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=PATIENCE)
        assert run.returncode == 1
        (line,) = run.stderr.splitlines()
        assert str(directory) in line
        assert line.endswith(why)
        assert sorted(path.name for path in directory.parent.iterdir()) == before
