"""A room that is stored: it is written, killed, its disk fails, its machine crashes, and programs come back to it."""

import itertools
import json
import string
from typing import Any

from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chatctl.room.journal import Journal, Saved, ending
from chatctl.room.limits import Limits
from chatctl.room.room import Room
from chatctl.room.stages import GONE, Member
from chatctl.wire import Address

CLIENTS = st.integers(0, 3)
ACTS = st.lists(st.sampled_from(("come", "come", "say", "say", "ask", "lose", "hear")), max_size=4)


class Client:
    """A program that does what docs/wire.md asks of it."""

    def __init__(self, number: int) -> None:
        self.keys = {"nick": f"n{number}x", "secret": f"{number:022}"}
        self.link: Member | None = None
        self.epoch = ""
        self.seq = 0
        self.sent = 0  # the highest number of a line
        self.due: list[int] = []  # numbers of lines that were not answered


class StoreMachine(RuleBasedStateMachine):
    """Everything that can happen to a store, in any order; ``file`` is what is in it, a line each."""

    def __init__(self) -> None:
        super().__init__()
        self.file: list[bytes] = []
        self.safe = 0  # lines of it that outlive a crash of the machine
        self.epochs = map("".join, itertools.product(string.ascii_lowercase, repeat=8))
        self.known: dict[tuple[str, int], dict[str, Any]] = {}  # what anybody has seen, by epoch and number
        self.kept: dict[int, dict[str, Any]] = {}  # what anybody has seen that must be in the file for good
        self.told: set[tuple[str, int]] = set()  # who was answered that a line of its is done, and which
        self.doubted: set[tuple[str, int]] = set()  # where a crash may have undone that
        self.doubtful = False  # the machine has crashed, and the file does not say so
        self.failing = False
        self.lost: set[int] = set()  # numbers of events that are not in the file
        self.clients = [Client(number) for number in range(4)]
        self.port = 0
        self.start(Saved())

    def start(self, saved: Saved) -> None:
        """A server begins on what is stored."""
        self.lost = {seq for seq in self.lost if seq <= saved.seq}
        saved.doubtful = self.doubtful
        self.room: Room[Member] = Room(Limits(rate=0, greet_delay=1, grace=60), epoch=next(self.epochs))
        self.anew = True
        self.failing = False
        self.journal = Journal(self.room.ledger, saved, 0.0)
        for client in self.clients:
            client.link = None

    # Writing

    @rule(numbers=st.lists(CLIENTS, min_size=1), acts=ACTS, write=st.sampled_from((True, True, True, False, None)))
    def round(self, numbers: list[int], acts: list[str], write: bool | None) -> None:
        """Some members do something, what comes of that is written, or not yet, and all read."""
        for number, act in itertools.product(numbers, acts):
            getattr(self, act)(number)
        if write is not None:
            self.write(works=write)
        for number in range(len(self.clients)):
            self.hear(number)

    def write(self, *, works: bool) -> None:
        """What a round does before it sends: it works, or the disk fails."""
        if not self.journal.pending:
            return
        batch = self.journal.note(anew=(self.failing and works) or self.anew)
        if batch is None:
            return
        if works:
            if batch.snapshot:  # a new file
                self.doubtful = False
                self.file += batch.snapshot.splitlines(keepends=True)
            self.file += batch.lines.splitlines(keepends=True)
            self.journal.keep(batch)
            self.anew = self.failing = False
        else:
            self.journal.lose(batch, next(self.epochs))
            self.lost |= {*range(batch.before + 1, batch.seq + 1)}
            self.failing = self.anew = True

    @rule()
    def sync(self) -> None:
        self.safe = len(self.file)

    @rule()
    def a_new_file(self) -> None:
        self.anew = True

    # What ends a server

    def read(self) -> Saved:
        """What a server finds: the newest file, which begins with the last snapshot, and the newest lines of all."""
        saved = Saved()
        begin = max((at for at, line in enumerate(self.file) if b'"kind":"epoch"' in line), default=0)
        while begin and b'"time"' not in self.file[begin - 1]:
            begin -= 1
        saved.read(self.file[begin:])
        told = [line for line in self.file if b'"time"' in line]
        numbers = [json.loads(line)["seq"] for line in told]
        gap = max((at for at, seq in enumerate(numbers) if seq != saved.seq - len(told) + 1 + at), default=-1)
        saved.lines = told[gap + 1 :]
        saved.first = 1
        return saved

    @precondition(lambda self: self.file)
    @rule(torn=st.binary(max_size=5))
    def kill(self, torn: bytes) -> None:
        """By SIGKILL, maybe in the middle of a write."""
        event("killed while failing" if self.failing else "killed")
        lines = [*self.file, b'{"seq":' + torn.replace(b"\n", b"")]
        saved = Saved()
        assert saved.read(lines) == sum(map(len, self.file))
        self.start(self.read())

    @precondition(lambda self: self.file and self.safe and not self.failing)
    @rule()
    def crash(self) -> None:
        """Of the machine: the end of the file is gone."""
        event("crashed")
        self.file = self.file[: self.safe]
        if not any(b'"kind":"epoch"' in line for line in self.file):
            self.file = []
        saved = self.read() if self.file else Saved()
        self.doubtful = True
        self.kept = {seq: seen for seq, seen in self.kept.items() if seq <= saved.seq}
        self.doubted |= self.told
        self.start(saved)

    @precondition(lambda self: self.file and not self.failing)
    @rule()
    def end(self) -> None:
        """In good order."""
        self.room.close(0.0)
        self.write(works=True)
        self.file.append(ending(self.room.ledger.seq))
        saved = self.read()
        assert saved.ended
        self.start(saved)

    # Members

    def come(self, number: int) -> None:
        client = self.clients[number]
        if client.link:
            return
        self.port += 1
        member = Member(self.room.ledger.log("text"), Address("10.0.0.1", self.port))
        self.room.arrive(member)
        self.room.join(member, 0.0)
        keys = client.keys | ({"epoch": client.epoch, "after": client.seq} if client.epoch else {})
        self.room.receive(member, f"/json\n/enter {json.dumps(keys)}\n".encode(), 0.0)
        client.link = member

    def say(self, number: int) -> None:
        client = self.clients[number]
        if client.link and client.epoch and not client.due:
            client.sent += 1
            client.due.append(client.sent)
            self.room.receive(client.link, b"/id %d line %d\n" % (client.sent, client.sent), 0.0)

    def ask(self, number: int) -> None:
        """Something that is answered and no event."""
        client = self.clients[number]
        if client.link and client.epoch and not client.due:
            client.sent += 1
            client.due.append(client.sent)
            self.room.receive(client.link, b"/id %d /nick\n" % client.sent, 0.0)

    def hear(self, number: int) -> None:
        """Read what there is."""
        client = self.clients[number]
        data = b""
        while client.link and client.link.stage is not GONE and (taken := client.link.take()):
            data += taken
        for line in data.splitlines():
            if line.startswith(b"{"):
                self.take_in(client, json.loads(line))

    def take_in(self, client: Client, seen: dict[str, Any]) -> None:
        match seen["kind"]:
            case "welcome":
                if seen["resumed"] and seen["known"]:
                    missing = range(client.seq + 1, seen["from"])
                    assert not missing or self.lost.intersection(missing), "nothing is missing that is in the file"
                    assert {number for who, number in self.told if who == seen["you"]} <= {
                        *range(seen["taken"] + 1),
                        *(number for who, number in self.doubted if who == seen["you"]),
                    }
                client.epoch, client.seq = seen["epoch"], seen["from"] - 1
                client.due = [number for number in client.due if number > seen["taken"]] if seen["resumed"] else []
                assert client.link
                client.sent = max(client.sent, seen["taken"])
                self.room.receive(client.link, b"".join(b"/id %d line %d\n" % (n, n) for n in client.due), 0.0)
            case "epoch":
                client.epoch = seen["epoch"]
            case _ if "seq" in seen:
                assert seen["seq"] == client.seq + 1
                client.seq = seen["seq"]
                assert self.known.setdefault((client.epoch, client.seq), seen) == seen, "no number has two texts"
                if client.epoch == self.room.ledger.logs.epoch and client.seq not in self.lost:
                    self.kept[client.seq] = seen
        if seen.get("id") and (seen["kind"] != "message" or (client.link and seen["uid"] == client.link.uid)):
            client.due = [number for number in client.due if number != seen["id"]]
            if not self.failing:
                self.told.add((client.keys["nick"], seen["id"]))

    def lose(self, number: int) -> None:
        client = self.clients[number]
        if client.link:
            self.room.leave(client.link, 0.0, "reset")
            client.link = None

    # What must be true

    @invariant()
    def the_file_is_whole(self) -> None:
        """Numbers have no gap but where the file says so, and each line is said once."""
        said: set[tuple[str, int]] = set()
        last = missing = 0
        for line in self.file:
            told = json.loads(line)
            if told["kind"] == "missing":
                missing = told["events"]
            elif "time" in told:
                assert told["seq"] in (last + 1, last + 1 + missing)
                last, missing = told["seq"], 0
                if "id" in told:
                    assert (told["from"], told["id"]) not in said
                    said.add((told["from"], told["id"]))

    @invariant()
    def what_was_seen_is_there(self) -> None:
        stored = {told["seq"]: told for told in map(json.loads, self.file) if "time" in told}
        for seq, seen in self.kept.items():
            assert stored[seq] == seen


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
