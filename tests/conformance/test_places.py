"""Who comes back misses nothing, and what it says counts once: over every mode, with programs by raw socket."""

import contextlib
import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from chatctl.peer.claim import Claim
from chatctl.peer.stay import Stage, Stay
from tests.conformance.conftest import Launch, Start
from tests.cutter import Cutter
from tests.rooms import PATIENCE, AnyRoom, Peer, Program, ThreadRoom, gather

SECRET = "s" * 22
LONG = ("--grace", "1h", "--greet-delay", "60")  # whatever a busy machine takes for a test


def spoken(room: AnyRoom) -> Peer:
    """A member of the plain dialect that has not waited to be greeted."""
    peer = room.stranger()
    if room.password:
        peer.say(room.password)
    peer.say("hi")
    peer.until(r"^\[You\] hi$")
    return peer


def seqs(events: list[dict[str, Any]]) -> list[int]:
    return [event["seq"] for event in events if "seq" in event]


@pytest.fixture
def room(start: Start) -> ThreadRoom:
    """A room that waits for who comes back as long as a test takes."""
    return start(*LONG)


def back(room: AnyRoom, program: Program, after: int, secret: str = SECRET) -> Program:
    """The same member over another link."""
    return room.program(secret=secret, epoch=program.welcome["epoch"], after=after)


def test_nothing_is_missed(room: ThreadRoom) -> None:
    """Whose link is reset gets what was said meanwhile, once and in order; nobody has seen it go or come."""
    peer = spoken(room)
    watcher = room.program(nick="eve", secret="e" * 22)
    member = room.program(nick="alice", secret=SECRET)
    peer.say("one", "two")
    read = member.events(2)[-1]["seq"]
    peer.until("two")
    member.reset()
    peer.say(*(f"{number}" for number in range(500)))
    peer.until(r"\] 499$")
    again = back(room, member, read)
    assert (again.welcome["resumed"], again.welcome["from"], again.welcome["users"]) == (True, read + 1, 3)
    missed = again.events(500)
    assert [event["text"] for event in missed] == [f"{number}" for number in range(500)]
    assert seqs(missed) == list(range(read + 1, read + 501))
    again.say("/id 1 live")
    assert again.event()["text"] == "live"
    assert [line for line in peer.until("live") if line[0] in "<>"] == []
    seen = [event for line in watcher.until("live") if (event := json.loads(line))["kind"] in ("entered", "left")]
    assert [(event["kind"], event["from"]) for event in seen] == [("entered", "alice")]  # when it came first
    newcomer = spoken(room)
    assert peer.line() == f"> New user {newcomer.name} entered (4 users online)"
    for program in (again, watcher):
        program.leave()


FULL = [pytest.mark.full, pytest.mark.timeout(300)]


@pytest.mark.parametrize(("readers", "times"), [(20, 20), pytest.param(50, 200, marks=FULL)])
def test_all_transcripts_are_one(room: ThreadRoom, readers: int, times: int) -> None:
    """However many read either dialect, all see the same events in the same order, numbered without a gap."""
    plain = [spoken(room) for _ in range(readers)]
    programs = [room.program() for _ in range(readers)]
    for peer in plain:
        peer.fence()
    talkers = plain[:5] + programs[:5]
    for number in range(times):
        for talker in talkers:
            talker.say(*(f"{number}.{line} of {talker.name}" for line in range(10)))
    total = times * 10 * len(talkers)

    def said(peer: Peer) -> list[str]:
        if isinstance(peer, Program):
            return [event["text"] for event in map(json.loads, peer.lines) if " of " in event.get("text", "")]
        return [line.partition("] ")[2] for line in peer.lines if " of " in line]

    gather([*plain, *programs], lambda peer: sum(" of " in line for line in peer.lines) == total)
    first = said(plain[0])
    assert all(said(peer) == first for peer in [*plain, *programs])
    for program in programs:
        numbers = [event["seq"] for event in map(json.loads, program.lines) if "seq" in event]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def visit(port: int, claim: Claim, lines: list[bytes]) -> bool:
    """One connection of a member, which says what is left of some lines; whether that was all, and done."""
    stay = Stay(claim=claim)
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock, contextlib.suppress(OSError):
        sock.sendall(stay.encrypt(b""))
        while not stay.ended:
            stay.receive(sock.recv(65536), 0.0)
            text = stay.answer(0.0)
            while stay.stage is Stage.OPEN and lines and len(claim.echoes.due) < 10:
                text += stay.send(lines.pop(0), 0.0)
            if stay.stage is Stage.OPEN and not lines and not claim.echoes.open:
                sock.sendall(stay.encrypt(stay.part()))
                return True
            sock.sendall(stay.encrypt(text))
    return False


@pytest.mark.parametrize("kind", [("select", "plain"), ("threads", "plain")], indirect=True, ids="-".join)
def test_exactly_once(start: Start) -> None:
    """A link is cut 200 times just before its member hears that its lines were taken: each is said once, in order."""
    room = start(*LONG)
    peer = spoken(room)
    claim = Claim("alice")
    lines = [b"%d" % number for number in range(2_000)]
    with Cutter(room.port, 200) as proxy:
        while not visit(proxy.port, claim, lines):
            pass
    assert proxy.cuts == 0
    said = [line for line in peer.until(r"\] 1999$") if line.startswith("[alice]")]
    assert said == [f"[alice] {number}" for number in range(2_000)]
    assert claim.doubtful == []


def test_half_a_line_is_not_taken(room: ThreadRoom) -> None:
    """What was cut in the middle comes again whole, and counts once."""
    peer = spoken(room)
    member = room.program(nick="alice", secret=SECRET)
    member.send("/id 7 hel")
    member.half_close()
    member.rest()
    again = back(room, member, member.welcome["seq"])
    assert again.welcome["taken"] == 0
    again.say("/id 7 hello", "/id 7 hello")
    again.fence()
    assert [line for line in peer.until("fence") if "hel" in line] == ["[alice] hello"]
    again.leave()


def test_a_loss_without_a_return(start: Start) -> None:
    """When the grace is over all are told, once; who wants to go has gone at once."""
    room = start(*LONG, "--grace", "0.2s")
    peer = spoken(room)
    member = room.program(nick="alice", secret=SECRET)
    member.reset()
    assert peer.until("left") == ["> New user alice entered (2 users online)", "< The user alice left (1 user online)"]
    room.program(nick="bob", secret="b" * 22).leave()
    assert peer.until("left")[-1] == "< The user bob left (1 user online)"
    assert peer.fence() == []


def test_a_full_room(start: Start) -> None:
    """Who has lost its link gives way to a newcomer, the first lost first, and else has a seat."""
    room = start(*LONG, "--max-users", "3")
    peer = spoken(room)
    alice = room.program(nick="alice", secret=SECRET)
    bob = room.program(nick="bob", secret="b" * 22)
    for program in (bob, alice):
        program.reset()
        while "no link" not in (found := _listed(peer, program.welcome["you"])):
            assert found
    eve = spoken(room)
    assert peer.until("entered")[-2:] == [
        "< The user bob left (2 users online)",
        f"> New user {eve.name} entered (3 users online)",
    ]
    again = back(room, alice, alice.welcome["seq"])
    assert (again.welcome["resumed"], again.welcome["users"]) == (True, 3)
    again.leave()


def _listed(peer: Peer, name: str) -> str:
    """The line of the list of who is online with a name, or nothing."""
    peer.say("/who")
    number = int(peer.until(r"^! \d+ users? online")[-1].split()[1])
    return next((line for line in [peer.line() for _ in range(number)] if f"! {name} " in line), "")


@pytest.mark.parametrize("number", [100, pytest.param(1_000, marks=FULL)])
def test_all_come_back(launch: Launch, number: int) -> None:
    """All members of a full room lose their links at once; all come back, and nobody is announced."""
    room = launch(*LONG, "--max-users", f"{number + 1}")
    peer = spoken(room)
    members = [room.program(secret=f"{member:022}") for member in range(number)]
    peer.fence()
    seq = members[-1].welcome["seq"] + 1
    for member in members:
        member.reset()
    again = [back(room, members[0], seq, f"{member:022}") for member in range(number)]
    assert all(program.welcome["resumed"] and program.welcome["users"] == number + 1 for program in again)
    assert peer.fence() == []
    for program in again:
        program.leave()


def test_the_same_secret_twice(room: ThreadRoom) -> None:
    """The place moves; the link before is told, and nothing that it had sent and was not taken is said any more."""
    peer = spoken(room)
    first = room.program(nick="alice", secret=SECRET)
    second = back(room, first, first.welcome["seq"])
    bye = json.loads(first.rest()[-1])
    assert (bye["kind"], bye["code"], bye["again"]) == ("bye", "replaced", False)
    assert second.welcome["users"] == 2
    second.fence()
    assert [line for line in peer.until("fence") if line[0] in "<>"] == ["> New user alice entered (2 users online)"]
    second.leave()


def test_a_gap_that_is_too_large(start: Start) -> None:
    """The newest part is sent, it is said exactly how much is missing, and nobody is cut for coming back."""
    room = start(*LONG, "--max-lag", "256k")
    peer = spoken(room)
    member = room.program(nick="alice", secret=SECRET)
    member.reset()
    for block in range(20):
        peer.say(*(f"{block * 50 + number} {'x' * 1000}" for number in range(50)))
        peer.fence()
    again = back(room, member, member.welcome["seq"])
    begin, end = again.welcome["from"], again.welcome["seq"]
    assert begin > member.welcome["seq"] + 1
    events = again.events(end - begin + 1)
    assert seqs(events) == list(range(begin, end + 1))
    assert 32 * 1024 < sum(len(event.get("text", "")) for event in events) < 64 * 1024
    assert again.fence() == []
    fresh = room.program(secret="f" * 22, epoch=member.welcome["epoch"], after=0, history=3)
    assert fresh.welcome["resumed"] is False
    texts = [event.get("text", "") for event in fresh.events(fresh.welcome["seq"] - fresh.welcome["from"] + 1)]
    assert sum(bool(text) for text in texts) == 3
    for program in (again, fresh):
        program.leave()


@pytest.mark.full
@pytest.mark.timeout(300)
def test_many_come_back_over_a_gap(launch: Launch) -> None:
    """Two hundred who have missed 20 MiB come back at once: the log is sent as it is, and costs each a cursor."""
    room = launch(*LONG)
    peer = spoken(room)
    members = [room.program(secret=f"{member:022}") for member in range(200)]
    peer.fence()
    seq = members[-1].welcome["seq"] + 1
    for member in members:
        member.reset()
    for block in range(200):
        peer.say(*(f"{block * 100 + number} {'x' * 1000}" for number in range(100)))
        peer.fence()
    before = room.memory()
    again = [back(room, members[0], seq, f"{member:022}") for member in range(200)]
    missing = {program.welcome["from"] - seq - 1 for program in again}
    assert len(missing) == 1
    assert 18_000 < missing.pop() < 20_200
    assert room.memory() - before < 16 * 1024 * 1024
    for program in again:
        program.until(rf'"seq":{program.welcome["seq"]},')
        program.leave()


def test_another_server(launch: Launch) -> None:
    """After a restart there is another epoch, and no place."""
    room = launch(*LONG)
    member = room.program(nick="alice", secret=SECRET)
    room.stop()
    other = launch(*LONG)
    again = back(other, member, 17)
    assert again.welcome["epoch"] != member.welcome["epoch"]
    assert (again.welcome["resumed"], again.welcome["from"]) == (False, again.welcome["seq"] + 1)
    again.leave()


@pytest.mark.parametrize("programs", [False, True])
def test_history_in_its_frame(room: ThreadRoom, programs: bool) -> None:
    """Nothing live stands between old lines while others talk."""
    talkers = [spoken(room) for _ in range(5)]
    asker = room.program() if programs else spoken(room)
    for number in range(20):
        for talker in talkers:
            talker.say(*(f"{number}.{line}" for line in range(10)))
        asker.say("/history 50")
        if isinstance(asker, Program):
            while (frame := asker.event())["kind"] != "history":
                pass
            old = asker.events(frame["count"])
            assert {event["kind"] for event in old} == {"message"}
            assert seqs(old) == sorted({frame["first"], *seqs(old)})
        else:
            asker.until(r"^! \d+ of \d+ lines$")
            *lines, end = asker.until("that was the history|^[^|]")
            assert end == "! that was the history"
            assert all(line.startswith("| 20") for line in lines)


def test_a_line_that_is_too_long_has_its_number(room: ThreadRoom) -> None:
    """It is refused under it, however long it is and however it comes."""
    member = room.program(secret=SECRET)
    member.say(f"/id 7 {'x' * 5_000}", f"/id 8 {'x' * 4_097}", f"/id 9 {'x' * 4_096}")
    answers = member.events(3)
    assert [(answer["id"], answer.get("code", "")) for answer in answers] == [(7, "long"), (8, "long"), (9, "")]
    member.leave()


def test_a_kick_holds(start: Start) -> None:
    """Who is ended without a link is told when it comes back."""
    room = start(*LONG)
    peer = spoken(room)
    member = room.program(nick="alice", secret=SECRET)
    member.reset()
    while "no link" not in _listed(peer, "alice"):
        pass
    with room.held() as server, server.lock:
        from chatctl.wire.words import Farewell

        person = server.room.ledger.find("alice")
        assert person
        server.room.end(person, time.monotonic(), Farewell("kicked", "kicked"), "kicked")
    again = Program(room.port, context=room.context)
    again.say("/json")
    while again.event()["kind"] != "hello":
        pass
    again.say("/enter " + json.dumps({"secret": SECRET}))
    assert again.event()["code"] == "kicked"
    assert again.rest() == []
    again.close()


def test_a_late_program(start: Start) -> None:
    """Who was greeted before it could say what it is goes on where it was, without a gap."""
    room = start("--grace", "1h")
    peer = spoken(room)
    member = room.program(nick="alice", secret=SECRET)
    peer.say("one")
    seen = member.event()["seq"]
    member.reset()
    peer.say("two", "three")
    peer.until("three")
    late = Program(room.port, context=room.context)
    assert late.line().startswith("> Connected")
    assert peer.line() == f"> New user {late.name} entered (3 users online)"
    late.enter(secret=SECRET, epoch=member.welcome["epoch"], after=seen)
    assert peer.line() == f"< The user {late.name} left (2 users online)"
    assert [event.get("text", event["kind"]) for event in late.events(4)] == ["two", "three", "entered", "left"]
    assert late.fence() == []
    late.leave()
    late.close()


def test_who_does_not_read_is_held(start: Start) -> None:
    """Who falls out of the window loses its link, not its place."""
    room = start(*LONG, "--max-lag", "64k")
    peer = spoken(room)
    member = Program(room.port, context=room.context, receive_buffer=4096)
    member.enter(nick="alice", secret=SECRET)
    while "no link" not in _listed(peer, "alice"):
        peer.say(*(f"{number} {'x' * 1000}" for number in range(100)))
        peer.fence()
    member.close()
    again = back(room, member, member.welcome["seq"])
    assert again.welcome["resumed"]
    again.leave()


def test_a_password(tmp_path: Path, start: Start) -> None:
    """A program gives it as it enters, or is asked again."""
    file = tmp_path / "password"
    file.write_text("열려라\n")
    room = start(*LONG, "--password-file", str(file), password="열려라")
    member = Program(room.port, context=room.context)
    member.say("/json")
    assert member.event()["password"] is True
    member.say("/enter " + json.dumps({"secret": SECRET}))
    assert member.event()["code"] == "password"
    member.say("/enter " + json.dumps({"secret": SECRET, "password": "열려라"}))
    assert member.event()["kind"] == "welcome"
    member.leave()
    member.close()
