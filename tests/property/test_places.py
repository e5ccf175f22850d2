"""Programs that lose their links, come back, are replaced and say things twice, against what all must see."""

import json
import re
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chatctl.room.limits import Limits
from chatctl.room.room import Room
from chatctl.room.stages import GONE, INSIDE, SILENT, Member
from chatctl.wire import Address

GRACE = 60.0
CLIENTS = st.integers(0, 4)


class Client:
    """A program that does what docs/wire.md asks of it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.secret = f"{number:022}"
        self.link: Member | None = None
        self.seen: list[dict[str, Any]] = []  # of this stay: since it came in, or was asleep
        self.seq = 0
        self.sent = 0  # the highest number
        self.done = 0  # that it knows to be done
        self.entered = False


class PlacesMachine(RuleBasedStateMachine):
    """Come, say, say again, lose, come back, be replaced, quit, wait."""

    def __init__(self) -> None:
        super().__init__()
        self.room: Room[Member] = Room(Limits(rate=0, greet_delay=1, grace=GRACE, max_users=6), epoch="abcdefgh")
        self.now = 0.0
        self.port = 0
        self.clients = [Client(number) for number in range(5)]
        self.plain = self.arrive()
        self.room.receive(self.plain, b"hi\n", 0.0)
        self.lines: list[str] = []
        self.watcher = Client(9)
        self.enter(self.watcher, {"nick": "watcher"})
        self.silent: list[Member] = []
        self.expected: list[str] = []  # what was said, as the watcher must see it

    def arrive(self) -> Member:
        self.port += 1
        member = Member(self.room.ledger.log("text"), Address("10.0.0.1", self.port))
        self.room.arrive(member)
        self.room.join(member, self.now)
        return member

    def drain(self, member: Member) -> list[str]:
        data = b""
        while member.stage is not GONE and (taken := member.take()):
            data += taken
        return data.decode().splitlines()

    def enter(self, client: Client, keys: dict[str, Any], member: Member | None = None) -> None:
        """A link, a new one if none is given; whatever comes is taken in."""
        member = member or self.arrive()
        self.room.receive(member, f"/json\n/enter {json.dumps(keys)}\n".encode(), self.now)
        _, welcome, *events = [json.loads(line) for line in self.drain(member)]
        if welcome["kind"] == "bye":
            assert welcome["code"] == "full"
            return
        if client.link:
            self.hear(client, replaced=True)
        assert welcome["users"] == len(self.room.ledger.people)
        if client.entered and welcome["resumed"]:
            assert welcome["from"] == client.seq + 1
        else:
            client.seq = welcome["from"] - 1
        if welcome["resumed"]:
            client.done = max(client.done, welcome["taken"])
        else:
            client.sent = client.done = 0
        client.link = member
        client.entered = True
        self.take_in(client, events)
        assert client.seq == welcome["seq"]

    def take_in(self, client: Client, events: list[dict[str, Any]]) -> None:
        for event in events:
            if "seq" in event:
                assert event["seq"] == client.seq + 1
                client.seq += 1
                client.seen.append(event)
            if event.get("id") and event.get("uid", 0) == getattr(client.link, "uid", 0):
                client.done = max(client.done, event["id"])

    def hear(self, client: Client, *, replaced: bool = False) -> None:
        """Read what there is."""
        assert client.link
        events = [json.loads(line) for line in self.drain(client.link)]
        assert [event for event in events if event["kind"] == "bye"][:1] == events[-1:] or not replaced
        if not replaced:
            self.take_in(client, events)

    @rule(number=CLIENTS)
    def come(self, number: int) -> None:
        """Enter, come back, or come twice."""
        self.come_by(self.clients[number])

    def come_by(self, client: Client, member: Member | None = None) -> None:
        """Show its secret, by a link that is inside already or by a new one."""
        keys = {"nick": f"n{client.number}x", "secret": client.secret}
        self.enter(client, keys | ({"epoch": "abcdefgh", "after": client.seq} if client.entered else {}), member)

    @rule(number=CLIENTS, lines=st.integers(1, 3))
    def say(self, number: int, lines: int) -> None:
        client = self.clients[number]
        if client.link:
            name = self.room.ledger.people[client.link.uid].name
            said = range(client.sent + 1, client.sent + 1 + lines)
            client.sent += lines
            self.room.receive(client.link, b"".join(b"/id %d %d\n" % (line, line) for line in said), self.now)
            self.expected += [f"{name} {line}" for line in said]

    @rule(number=CLIENTS)
    def say_again(self, number: int) -> None:
        """What is not known to be done, under the same numbers."""
        client = self.clients[number]
        if client.link:
            again = b"".join(b"/id %d %d\n" % (line, line) for line in range(client.done + 1, client.sent + 1))
            if again:
                self.room.receive(client.link, again, self.now)

    @rule(number=CLIENTS)
    def read(self, number: int) -> None:
        if self.clients[number].link:
            self.hear(self.clients[number])

    @rule(number=CLIENTS, reset=st.booleans())
    def lose(self, number: int, reset: bool) -> None:
        client = self.clients[number]
        if client.link:
            if reset:
                self.room.leave(client.link, self.now, "reset")
            else:
                self.room.receive(client.link, b"/id 999 cut off", self.now)
                self.room.receive(client.link, b"", self.now)
            client.link = None

    @rule(number=CLIENTS)
    def quit(self, number: int) -> None:
        client = self.clients[number]
        if client.link:
            self.room.receive(client.link, b"/quit\n", self.now)
            client.link = None
            client.entered = False

    @rule(seconds=st.floats(0, GRACE))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.room.tick(self.now)

    @rule()
    def talk(self) -> None:
        self.room.receive(self.plain, b"plain\n", self.now)
        self.expected.append("10.0.0.1:1 plain")

    @precondition(lambda self: len(self.room.ledger.people) + len(self.room.at(SILENT)) < 6)
    @rule()
    def a_newcomer(self) -> None:
        """Somebody without a place comes and goes."""
        member = self.arrive()
        self.room.receive(member, b"hello\n", self.now)
        self.expected.append(f"10.0.0.1:{self.port} hello")
        self.room.leave(member, self.now, "left")

    @rule()
    def somebody_silent(self) -> None:
        """A newcomer whom whatever happens next lets in, if there is room, and who has no place."""
        self.silent.append(self.arrive())

    @rule()
    def the_silent_go(self) -> None:
        while self.silent:
            self.room.leave(self.silent.pop(), self.now, "left")

    @precondition(lambda self: len(self.room.ledger.people) < 6)
    @rule(number=CLIENTS, meanwhile=st.booleans())
    def come_late(self, number: int, meanwhile: bool) -> None:
        """Be greeted as an address, and then enter, come back, or come twice; somebody silent may come before that."""
        client = self.clients[number]
        member = self.arrive()
        self.room.no_word(member, self.now)
        if member.stage is INSIDE:
            self.drain(member)
            if meanwhile:
                self.somebody_silent()
            self.come_by(client, member)

    @invariant()
    def all_see_the_same(self) -> None:
        self.hear(self.watcher)
        said = [f"{event['from']} {event['text']}" for event in self.watcher.seen if event["kind"] == "message"]
        assert said == self.expected
        everything = {event["seq"]: event for event in self.watcher.seen}
        for client in self.clients:
            for event in client.seen:
                assert event == everything.get(event["seq"], event)

    @invariant()
    def counts_step_by_one(self) -> None:
        self.lines += self.drain(self.plain)
        counts = [1] + [
            int(found[1]) for line in self.lines[1:] if (found := re.search(r"\((\d+) users? online\)", line))
        ]
        steps = [(line[0], counts[at + 1] - counts[at]) for at, line in enumerate(self.notices())]
        assert all(step == {">": 1, "<": -1}[head] for head, step in steps)

    def notices(self) -> list[str]:
        return [line for line in self.lines[1:] if line[0] in "<>"]

    @invariant()
    def people_are_who_has_not_left(self) -> None:
        ledger = self.room.ledger
        linked = {client.link.uid for client in self.clients if client.link} | {1, 2}
        linked |= {member.uid for member in self.silent if member.stage is INSIDE}
        assert set(ledger.people) == linked | set(ledger.held)
        assert not linked & set(ledger.held)
        assert sum(ledger.hosts.values()) == len(ledger.people) <= 6
        assert all(client.link.stage is INSIDE for client in self.clients if client.link)
        due = [since + GRACE for since in ledger.held.values()]
        assert due == sorted(due)
        assert not due or (self.room.first_due is not None and self.room.first_due <= due[0])
        assert all(at > self.now for at in due)


TestPlaces = PlacesMachine.TestCase
TestPlaces.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
