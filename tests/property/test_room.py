"""The room against the naive model: a list of lines for every member."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from chatctl.room.limits import Limits
from chatctl.room.room import Room
from chatctl.room.stages import GONE, LINGER, OUTSIDE, Member
from chatctl.wire import Address

LINES = st.lists(st.sampled_from([b"hi", "한글".encode(), b"x" * 40, b"[You] me", b"//slash", b"y" * 3000]), max_size=5)


class Naive:
    """What a member should see, as text that grows by copies."""

    def __init__(self) -> None:
        self.owed = b""
        self.got = b""
        self.deaf = False

    def tell(self, data: bytes) -> None:
        if not self.deaf:
            self.owed += data


class RoomMachine(RuleBasedStateMachine):
    """Join, say, ask, drain partly, finish, leave and leave again, in any order."""

    members = Bundle("members")
    password: bytes | None = None

    def __init__(self) -> None:
        super().__init__()
        self.room: Room[Member] = Room(Limits(max_lag=1 << 20, rate=0), password=self.password)
        self.models: dict[Member, Naive] = {}
        self.inside: list[Member] = []
        self.number = 0
        self.now = 0.0

    def others(self, member: Member | None, data: bytes) -> None:
        for other, model in self.models.items():
            if other is not member:
                model.tell(data)

    def count(self) -> bytes:
        users = len(self.inside)
        return b"(%d %b online)" % (users, b"users" if users > 1 else b"user")

    def goes(self, member: Member) -> None:
        self.models[member].deaf = True
        self.inside.remove(member)
        self.others(member, b"< The user %b left %b\n" % (member.name.encode(), self.count()))

    @rule(target=members, knocks=st.booleans(), drained=st.integers(0, 100))
    def join(self, knocks: bool, drained: int) -> Member:
        self.number += 1
        member = Member(self.room.log, Address("m", self.number))
        self.room.arrive(member)
        self.models[member] = Naive()
        if knocks:
            self.room.knock(member, self.now)
        self.room.join(member, self.now)
        if self.password:
            assert member.stage is OUTSIDE
            self.models[member].tell(b"! this room needs a password: send it as your first line\n")
            self.drain(member, drained)
            self.room.receive(member, b"wrong\n%b\n" % self.password, self.now)
            self.models[member].tell(b"! wrong password\n")
        self.inside.append(member)
        self.others(member, b"> New user %b entered %b\n" % (member.name.encode(), self.count()))
        self.models[member].tell(b"> Connected to the chat server %b\n" % self.count())
        return member

    @rule(member=members, lines=LINES)
    def say(self, member: Member, lines: list[bytes]) -> None:
        self.room.receive(member, b"".join(line + b"\n" for line in lines) or b"\n", self.now)
        if member in self.inside:
            for line in lines:
                text = line.removeprefix(b"/") + b"\n"
                self.others(member, b"[%b] " % member.name.encode() + text)
                self.models[member].tell(b"[You] " + text)

    @rule(member=members)
    def ask(self, member: Member) -> None:
        self.room.receive(member, b"before\n/nonsense\nafter\n", self.now)
        if member in self.inside:
            head = b"[%b] " % member.name.encode()
            self.others(member, head + b"before\n" + head + b"after\n")
            answer = b"! no such command: /nonsense (try /help; //text says /text)\n"
            self.models[member].tell(b"[You] before\n" + answer + b"[You] after\n")

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
        model.got, model.owed = model.got + data[:sent], model.owed[sent:]

    @rule(member=members)
    def half_close(self, member: Member) -> None:
        self.room.receive(member, b"last", self.now)
        self.room.receive(member, b"", self.now)
        if member in self.inside:
            self.others(member, b"[%b] last\n" % member.name.encode())
            self.models[member].tell(b"[You] last\n")
            self.goes(member)

    @rule(member=members)
    def leave(self, member: Member) -> None:
        self.room.leave(member, "reset")
        if member in self.inside:
            self.goes(member)

    @rule(member=consumes(members))
    def leave_twice(self, member: Member) -> None:
        self.leave(member)
        self.leave(member)
        self.half_close(member)

    @rule(seconds=st.floats(0, LINGER / 2))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.room.tick(self.now)

    @rule()
    def trim(self) -> None:
        self.room.moved()
        self.room.trim(self.inside)

    @invariant()
    def counts_are_exact(self) -> None:
        assert list(self.room.inside) == self.inside

    @invariant()
    def debts_are_known(self) -> None:
        for member, model in self.models.items():
            if model.owed and member.stage is not GONE:
                assert member.owed
            assert member.sent == len(model.got)

    @precondition(lambda self: self.models)
    @rule(member=members)
    def drain_all(self, member: Member) -> None:
        model = self.models[member]
        while member.stage is not GONE and (data := member.take()):
            model.got += data
            assert model.owed.startswith(bytes(data))
            model.owed = model.owed[len(data) :]
        assert member.stage is GONE or not model.owed


class LockedRoomMachine(RoomMachine):
    """The same, with a password at the door."""

    password = b"open sesame"


TestRoom = RoomMachine.TestCase
TestLockedRoom = LockedRoomMachine.TestCase
TestRoom.settings = TestLockedRoom.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
