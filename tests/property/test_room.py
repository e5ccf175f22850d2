"""The room against the naive model: a list of lines for every member, whichever dialect it reads."""

import math
from collections.abc import Collection, Sequence

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from chatctl.room.commands import RENAMES
from chatctl.room.endings import LINGER
from chatctl.room.limits import Bucket, Limits
from chatctl.room.log import take_together
from chatctl.room.people import key, look
from chatctl.room.programs import PASSWORD
from chatctl.room.room import MAX_WHISPERED, Room
from chatctl.room.stages import FINISHED, GONE, OUTSIDE, SILENT, Member
from chatctl.wire import Address
from chatctl.wire.dialects import DIALECTS
from chatctl.wire.events import Entered, Fact, Left, Listed, Said, Visit
from chatctl.wire.words import Farewell

LINES = st.lists(st.sampled_from([b"hi", "한글".encode(), b"x" * 40, b"[You] me", b"//slash", b"y" * 3000]), max_size=5)
IDLE = 3 * LINGER


class Numbered:
    """A dialect that only these tests know: each line begins with the number of its event."""

    programs = False

    def others(self, fact: Fact) -> bytes:
        match fact.record:
            case Said(lines=lines):
                return b"".join(numbered(fact.seq + at, fact.name, line) for at, line in enumerate(lines))
            case record:
                return numbered(fact.seq, f"{type(record).__name__} {fact.name}", b"%d" % fact.users)

    def own(self, fact: Fact) -> bytes | None:
        return b"%d welcome\n" % fact.seq if isinstance(fact.record, Entered) else None

    def private(self, name: str | None, to: str | None, line: bytes, *, uid: int, at: float, number: int = 0) -> bytes:
        return f"~ {name} {to} ".encode() + line + b"\n"

    def answer(self, *lines: str, number: int = 0) -> bytes:
        return "".join(f"? {line}\n" for line in lines).encode()

    def error(self, code: str, line: str, *, number: int = 0) -> bytes:
        return self.answer(line)

    def farewell(self, word: Farewell, *, number: int = 0) -> bytes:
        return self.answer(word.text)

    def ack(self, number: int) -> bytes:
        return b""

    def welcome(self, visit: Visit) -> bytes:
        return b""

    def ignored(self, uids: Collection[int]) -> bytes:
        return b""

    def who(self, people: Sequence[Listed], asker: int, *, number: int = 0) -> bytes:
        return self.answer(*(listed.name for listed in people))

    def wrap(self, lines: bytes) -> bytes:
        return lines

    def unwrap(self, data: bytes) -> list[bytes]:
        return data.splitlines()

    def history(self, found: Sequence[bytes], total: int, *, number: int = 0) -> bytes:
        return self.answer(*(line.decode() for line in found))


def numbered(seq: int, head: str, text: bytes) -> bytes:
    return b"%d %b %b\n" % (seq, head.encode(), text)


class Naive:
    """What a member should see, as text that grows by copies."""

    def __init__(self, word: str, bucket: Bucket | None) -> None:
        self.word = word
        self.bucket = bucket
        self.warned = False
        self.owed = b""
        self.deaf = False
        self.hesitates = False  # it has begun to say who it is
        self.ignores: list[Member] = []
        self.renamed: list[float] = []
        self.since = 0.0  # when it was heard last, or allowed to speak on

    def tell(self, data: bytes) -> None:
        if not self.deaf:
            self.owed += data

    def answer(self, text: str) -> None:
        self.tell(f"{'!' if self.word == 'text' else '?'} {text}\n".encode())


class RoomMachine(RuleBasedStateMachine):
    """Join, say, ask, drain partly, wait, finish, leave and leave again, and end, in any order."""

    members = Bundle("members")
    ghosts = Bundle("ghosts")
    password: bytes | None = None
    limits = Limits(max_lag=1 << 20, rate=0, greet_delay=0)

    def __init__(self) -> None:
        super().__init__()
        DIALECTS["numbered"] = Numbered()
        self.room: Room[Member] = Room(self.limits, password=self.password)
        self.models: dict[Member, Naive] = {}
        self.inside: list[Member] = []
        self.outside: list[Member] = []  # who has to give the password
        self.silent: list[Member] = []  # who has not been greeted yet
        self.called: dict[Member, str] = {}
        self.names: list[str] = []  # of all people, those without a link too
        self.seq = 0
        self.lines = 0
        self.number = 0
        self.now = 0.0
        self.closed = False

    def teardown(self) -> None:
        del DIALECTS["numbered"]

    # What the model expects

    def happens(
        self,
        plain: bytes,
        odd: bytes,
        *,
        own: Member | None = None,
        see: tuple[bytes, bytes] = (),  # type: ignore[assignment]
        by: Member | None = None,
    ) -> None:
        """Append an event to what everybody is owed but who ignores whom it is by; ``see``: what its own one gets."""
        self.seq += 1
        for member, model in self.models.items():
            if member in self.outside or member in self.silent or by in model.ignores:
                continue
            lines = see if member is own else (plain, odd)
            model.tell(lines[model.word != "text"])

    def count(self) -> bytes:
        users = len(self.names)
        return b"(%d %b online)" % (users, b"users" if users > 1 else b"user")

    def greets(self, until: Member | None = None) -> None:
        """All who are silent are let in before anything else happens, up to one who comes by itself."""
        for member in list(self.silent):
            if member is until:
                break
            if not self.models[member].hesitates:
                self.enters(member)

    def comes(self, name: str, member: Member | None = None) -> None:
        self.greets(member)
        if member in self.silent:
            self.silent.remove(member)
        self.names.append(name)
        odd = numbered(self.seq + 1, f"Entered {name}", b"%d" % len(self.names))
        welcome = (b"> Connected to the chat server %b\n" % self.count(), b"%d welcome\n" % (self.seq + 1))
        self.happens(b"> New user %b entered %b\n" % (name.encode(), self.count()), odd, own=member, see=welcome)

    def goes(self, name: str) -> None:
        self.greets()
        self.names.remove(name)
        odd = numbered(self.seq + 1, f"Left {name}", b"%d" % len(self.names))
        self.happens(b"< The user %b left %b\n" % (name.encode(), self.count()), odd)

    def says(self, name: str, line: bytes, member: Member | None = None) -> None:
        self.greets()
        self.lines += 1
        odd = numbered(self.seq + 1, name, line)
        see = (b"[You] %b\n" % line, odd)
        self.happens(b"[%b] %b\n" % (name.encode(), line), odd, own=member, see=see, by=member)

    def leaves(self, member: Member) -> None:
        if member in self.outside:
            self.outside.remove(member)
            self.models[member].deaf = True
        if member in self.silent:
            self.silent.remove(member)
            self.models[member].deaf = True
        if member in self.inside:
            self.greets()
            self.inside.remove(member)
            self.models[member].deaf = True
            for model in self.models.values():
                model.ignores = [other for other in model.ignores if other is not member]
            self.goes(self.called[member])

    def sends(self, member: Member, data: bytes) -> bool:
        """Have the room receive something; whether it is obeyed. Outside it would be a password."""
        if member in self.outside or self.models[member].hesitates:
            return False
        self.room.receive(member, data, self.now)
        if member in self.silent and data.strip() and b"\n" in data:
            self.enters(member)
        if member in self.inside:
            self.models[member].since = self.now
        return member in self.inside

    def pays(self, member: Member, data: bytes) -> None:
        """The price of what was sent, and the one word about it."""
        model = self.models[member]
        if model.bucket and member in self.inside:
            debt = model.bucket.spend(data, self.now)
            assert bool(member.paused) == (debt > 0)
            if debt and not model.warned:
                model.warned = True
                model.answer("too fast: you are read at 2 lines a second from now on, nothing is lost")

    # What can happen

    @precondition(lambda self: not self.closed)
    @rule(target=members, knocks=st.booleans(), word=st.sampled_from(["text", "numbered"]))
    def join(self, knocks: bool, word: str) -> Member:
        self.number += 1
        member = Member(self.room.ledger.log(word), Address("m", self.number))
        self.room.arrive(member)
        bucket = Bucket(self.limits.rate, self.limits.burst, self.now) if self.limits.rate else None
        model = self.models[member] = Naive(word, bucket)
        if knocks:
            self.room.knock(member, self.now)
        self.room.join(member, self.now)
        model.since = self.now
        if self.password:
            assert member.stage is OUTSIDE
            self.outside.append(member)
            model.answer("this room needs a password: send it as your first line")
        elif self.limits.greet_delay:
            self.silent.append(member)
        else:
            self.enters(member)
        return member

    def enters(self, member: Member, name: str = "") -> None:
        self.called[member] = name or str(member.address)
        self.models[member].hesitates = False
        self.comes(self.called[member], member)
        self.inside.append(member)
        self.models[member].since = self.now

    @precondition(lambda self: self.password)
    @rule(member=members)
    def give_the_password(self, member: Member) -> None:
        if member in self.outside:
            said = b"wrong\n%b\nhello\n" % (self.password or b"")
            self.room.receive(member, said, self.now)
            self.models[member].answer("wrong password")
            self.outside.remove(member)
            self.enters(member)
            self.says(self.called[member], b"hello", member)
            self.pays(member, said)

    @rule(target=ghosts)
    def enter_without_a_link(self) -> str:
        self.number += 1
        name = f"g:{self.number}"
        self.room.post(Entered(Address("g", self.number)))
        self.comes(name)
        return name

    @rule(name=ghosts)
    def say_without_a_link(self, name: str) -> None:
        uid = self.uid(name)
        self.room.post(Said(uid, (b"boo", b"hoo")))
        self.greets()
        if uid:
            self.says(name, b"boo")
            self.says(name, b"hoo")

    @rule(name=ghosts)
    def leave_without_a_link(self, name: str) -> None:
        uid = self.uid(name)
        self.room.post(Left(uid))
        self.greets()
        if uid:
            self.goes(name)

    def uid(self, name: str) -> int:
        return next((person.uid for person in self.room.ledger.people.values() if person.name == name), 0)

    @rule(member=members, lines=LINES)
    def say(self, member: Member, lines: list[bytes]) -> None:
        data = b"".join(line + b"\n" for line in lines) or b"\n"
        if self.sends(member, data):
            for line in lines:
                self.says(self.called[member], line.removeprefix(b"/"), member)
            self.pays(member, data)

    @rule(member=members, name=st.sampled_from(["alice", "ALICE", "a1ice", "bob", "rob"]))
    def nick(self, member: Member, name: str) -> None:
        data = f"/nick {name}\n".encode()
        if member in self.silent or not self.sends(member, data):
            return
        model, old = self.models[member], self.called[member]
        others = [self.called[other] for other in self.inside if other is not member]
        alike = [other for other in others if key(other) == key(name)] or [o for o in others if look(o) == look(name)]
        model.renamed = [at for at in model.renamed if at > self.now - 60]
        if alike:
            same = key(alike[0]) == key(name)
            model.answer(f"{alike[0]} is taken" if same else f"{name} looks like {alike[0]}, who is here")
        elif name == old:
            model.answer(f"you are {name}")
        elif len(model.renamed) == RENAMES:
            wait = math.ceil(model.renamed[0] + 60 - self.now)
            model.answer(f"five names a minute are enough: wait {wait} s")
        else:
            self.greets()
            model.renamed.append(self.now)
            self.called[member] = name
            self.names[self.names.index(old)] = name
            odd = numbered(self.seq + 1, f"Renamed {old}", b"%d" % len(self.names))
            plain = f"= The user {old} is now {name}\n".encode()
            self.happens(plain, odd, own=member, see=(f"! you are {name} now\n".encode(), odd))
        self.pays(member, data)

    @rule(member=members)
    def act(self, member: Member) -> None:
        if self.sends(member, b"/me waves\n"):
            self.greets()
            self.lines += 1
            odd = numbered(self.seq + 1, f"Acted {self.called[member]}", b"%d" % len(self.names))
            self.happens(f"* {self.called[member]} waves\n".encode(), odd, by=member)
            self.pays(member, b"/me waves\n")

    @rule(member=members, other=members)
    def whisper(self, member: Member, other: Member) -> None:
        name = self.called.get(other, "")
        data = f"/msg {name} psst\n".encode()
        if other not in self.inside or member in self.silent or not self.sends(member, data):
            return
        model, reader = self.models[member], self.models[other]
        if member is other:
            model.answer("that is you")
        elif other.overlaid > MAX_WHISPERED:
            model.answer(f"{name} is slow to read: not sent")
        else:
            mine, text = self.called[member], DIALECTS["text"]
            own = f"~ None {name} psst\n" if model.word != "text" else f"(You to {name}) psst\n"
            model.tell(own.encode())
            if member not in reader.ignores:
                theirs = f"~ {mine} None psst\n" if reader.word != "text" else f"({mine} to You) psst\n"
                reader.tell(theirs.encode())
            assert text.private(None, name, b"psst", uid=0, at=0.0) == f"(You to {name}) psst\n".encode()
        self.pays(member, data)

    @rule(member=members, other=members)
    def ignore(self, member: Member, other: Member) -> None:
        name = self.called.get(other, "")
        data = f"/ignore {name}\n".encode()
        if other not in self.inside or member in self.silent or not self.sends(member, data):
            return
        model = self.models[member]
        if member is other:
            model.answer("that is you")
        else:
            if other not in model.ignores:
                model.ignores.append(other)
            model.answer(f"you ignore {', '.join(self.called[whom] for whom in model.ignores)}")
        self.pays(member, data)

    @rule(member=members)
    def hesitate(self, member: Member) -> None:
        """Begin to say who one is, slowly: nobody else is kept waiting for that."""
        if member in self.silent and not self.models[member].hesitates:
            self.room.receive(member, b"/nick ", self.now)
            self.models[member].hesitates = True

    @rule(member=members)
    def speak_up(self, member: Member) -> None:
        """Say who one is, and more."""
        if member in self.silent and self.models[member].hesitates:
            name = f"n{member.address.port}"
            self.room.receive(member, f"{name}\nhello\n".encode(), self.now)
            self.enters(member, name)
            self.models[member].answer(f"you are {name} now")
            self.says(name, b"hello", member)

    @rule(member=members)
    def ask(self, member: Member) -> None:
        data = b"before\n/nonsense\nafter\n"
        if self.sends(member, data):
            self.says(self.called[member], b"before", member)
            self.models[member].answer("no such command: /nonsense (try /help; //text says /text)")
            self.says(self.called[member], b"after", member)
            self.pays(member, data)

    @rule(member=members, sent=st.integers(0, 5000))
    def drain(self, member: Member, sent: int) -> None:
        if member.stage is GONE:
            return
        data = bytes(member.take())
        sent = min(sent, len(data))
        if sent < len(data):
            member.keep(data, sent)
        model = self.models[member]
        assert model.owed.startswith(data)
        model.owed = model.owed[sent:]

    @rule(member=members)
    def half_close(self, member: Member) -> None:
        if self.models[member].hesitates:
            return
        silent = member in self.silent
        self.sends(member, b"last")
        if member in self.inside:
            self.says(self.called[member], b"last", member)
        self.room.receive(member, b"", self.now)
        if silent:
            self.enters(member)
            self.says(self.called[member], b"last", member)
        self.leaves(member)

    @rule(member=members)
    def quit(self, member: Member) -> None:
        if self.sends(member, b"/quit with words\nlost\n"):
            self.greets()
            self.models[member].answer("bye")
            self.leaves(member)

    @rule(member=members)
    def leave(self, member: Member) -> None:
        self.room.leave(member, self.now, "reset")
        self.leaves(member)
        assert member.stage is GONE

    @rule(member=consumes(members))
    def leave_twice(self, member: Member) -> None:
        self.leave(member)
        self.leave(member)
        self.half_close(member)

    @rule(member=members)
    def dismiss(self, member: Member) -> None:
        self.room.dismiss(member, self.now, Farewell("kicked", "kicked"), "kicked")
        if member in self.inside:
            self.greets()
        self.models[member].answer("kicked")
        self.leaves(member)

    @rule(seconds=st.floats(0, LINGER / 2))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        paused = [member for member in self.inside if member.paused]
        self.room.tick(self.now)
        due = [member for member in self.silent if self.models[member].since + self.limits.greet_delay <= self.now]
        unfinished = [member for member in due if self.models[member].hesitates]
        for member in due:
            self.enters(member)
        for member in unfinished:
            self.room.receive(member, b"\n", self.now)
            self.models[member].answer(f"you are {self.called[member]}: /nick NAME gives you a name")
        for member in self.room.at(FINISHED):  # in the order in which they were ended
            if member in self.inside:
                assert self.models[member].since + IDLE <= self.now
                self.models[member].answer(f"nothing heard of you for {IDLE:g} s: bye")
                self.leaves(member)
            elif member in self.outside:
                assert self.models[member].since + PASSWORD <= self.now
                self.models[member].answer(f"no password within {PASSWORD:.0f} s")
                self.leaves(member)
        for member in paused:
            bucket = self.models[member].bucket
            assert bucket
            assert bool(member.paused) == (bucket.wait(self.now) > 0)
            if not member.paused:
                self.models[member].since = self.now

    @rule()
    def trim(self) -> None:
        self.room.moved()
        self.room.trim(self.inside)

    @rule()
    def turn(self) -> None:
        """What a backend does: give each member that is named all that it is owed."""
        named = dict.fromkeys(self.room.moved())
        alone, together = take_together(named)
        for data, group in together:
            for member in group:
                assert self.models[member].owed.startswith(data)
                self.models[member].owed = self.models[member].owed[len(data) :]
        for member in {**dict.fromkeys(alone), **dict.fromkeys(self.room.touched())}:
            self.drain_all(member)
        for member in named:
            self.drain_all(member)
        self.room.trim([])
        assert self.room.quiet

    @precondition(lambda self: self.models)
    @rule(member=members)
    def drain_all(self, member: Member) -> None:
        model = self.models[member]
        while member.stage is not GONE and (data := member.take()):
            assert model.owed.startswith(bytes(data))
            model.owed = model.owed[len(data) :]
        assert member.stage is GONE or not model.owed

    @precondition(lambda self: not self.closed and len(self.models) > 3)
    @rule()
    def close(self) -> None:
        self.room.close(self.now)
        self.closed = True
        for member in [*self.outside, *self.silent]:
            self.models[member].answer("server shutting down")
            self.leaves(member)
        odd = numbered(self.seq + 1, "Closed ", b"%d" % len(self.names))
        self.happens(b"! server shutting down\n", odd)
        self.names.clear()
        for member in self.inside:
            self.models[member].deaf = True
        self.inside.clear()

    # What always holds

    @invariant()
    def counts_are_exact(self) -> None:
        assert list(self.room.inside) == self.inside
        assert self.room.at(OUTSIDE) == self.outside
        assert self.room.at(SILENT) == self.silent
        assert [person.name for person in self.room.ledger.people.values()] == self.names
        assert self.room.links_from("m") == sum(member.stage is not GONE for member in self.models)

    @invariant()
    def events_are_numbered(self) -> None:
        assert {log.seq for log in self.room.ledger.logs.values()} == {self.seq}
        assert self.room.ledger.lines == self.lines

    @invariant()
    def logs_have_readers(self) -> None:
        read = {self.models[member].word for member in [*self.inside, *self.outside, *self.silent]}
        assert set(self.room.ledger.logs) == {"text"} | read

    @invariant()
    def debts_are_known(self) -> None:
        for member, model in self.models.items():
            if model.owed and member.stage is not GONE:
                assert member.owed

    @invariant()
    def only_members_are_paused(self) -> None:
        assert not any(member.paused for member in self.models if member not in self.inside)

    @invariant()
    def nobody_is_idle_for_too_long(self) -> None:
        if self.limits.idle_timeout:
            deadline = self.room.deadlines.first
            for member in self.inside:
                assert member.paused or (deadline is not None and deadline <= self.models[member].since + IDLE)


class LockedRoomMachine(RoomMachine):
    """The same, with a password at the door."""

    password = b"open sesame"


class StrictRoomMachine(RoomMachine):
    """The same, with a rate and a time for idleness."""

    limits = Limits(max_lag=1 << 20, rate=2, burst=4, idle_timeout=IDLE, greet_delay=0)


class PatientRoomMachine(RoomMachine):
    """The same, with time to say who one is."""

    limits = Limits(max_lag=1 << 20, rate=0, greet_delay=2)


TestRoom = RoomMachine.TestCase
TestLockedRoom = LockedRoomMachine.TestCase
TestStrictRoom = StrictRoomMachine.TestCase
TestPatientRoom = PatientRoomMachine.TestCase
TestRoom.settings = TestLockedRoom.settings = TestStrictRoom.settings = TestPatientRoom.settings = settings(
    max_examples=50, stateful_step_count=40, deadline=None
)
