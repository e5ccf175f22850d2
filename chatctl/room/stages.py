"""Who is in the room and who waits outside, and how each of them ends.

One story for every ending: `Roster.finish` announces the leave and ends the member's view there. The backend sends what
is still owed, half-closes, reads on until EOF, and then says `Roster.leave`; when that takes too long, the room does.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Generic, TypeVar

from chatctl import wire
from chatctl.room.deadlines import Deadlines
from chatctl.room.limits import Bucket
from chatctl.room.log import Log, View
from chatctl.wire import LineDecoder, words

LINGER = 10.0
"""Seconds without progress that a finished member may take to read what it is owed and to close its end."""

GRACE = 2.0
"""Seconds that all members together have for the same when the server shuts down."""

LEFT = "left"
FELL_BEHIND = "fell behind"


class Member(View):
    """One member: a view of the room's log, a name, and what its input has come to.

    ``reason`` says why it went, for the diagnostics. ``finished``: its view has ended and its leave was announced.
    ``gone``: its link is to be closed now, whatever it is owed. ``paused``: it is not to be read for now. ``ignored``
    counts the commands that were not obeyed. ``heard`` is when it sent something last, where that matters.
    """

    __slots__ = ("bucket", "decoder", "finished", "gone", "heard", "ignored", "name", "paused", "reason")

    def __init__(self, log: Log, name: str) -> None:
        super().__init__(log)
        self.name = name
        self.decoder: LineDecoder | None = None
        self.bucket: Bucket | None = None
        self.reason = ""
        self.finished = False
        self.gone = False
        self.paused = False
        self.ignored = 0
        self.heard = 0.0

    @property
    def host(self) -> str:
        """The address without the port."""
        return wire.host(self.name)


M = TypeVar("M", bound=Member)


class Roster(Generic[M]):
    """The members of a room, without what they say.

    ``outside`` are those who have come but are not in the room yet, with the number of wrong passwords they have tried:
    they hear nothing and nobody hears of them. ``left`` counts by their reasons the members that went or were lost,
    ``cut`` those that the server ended.

    Args:
        max_lag: bytes a member may be behind; the log keeps as many.
    """

    def __init__(self, max_lag: int) -> None:
        self.log = Log()
        self.members: dict[M, None] = {}
        self.outside: dict[M, int] = {}
        self.left: Counter[str] = Counter()
        self.cut: Counter[str] = Counter()
        self.deadlines: Deadlines[M] = Deadlines()
        self._max_lag = max_lag
        self._hosts: Counter[str] = Counter()
        self._closed = False
        self._ending: dict[M, None] = {}  # finished members
        self._sent = 0  # to those who are gone
        self._touched: dict[M, None] = {}
        self._visited = 0  # the tip when the members were visited last

    @property
    def users(self) -> int:
        """Who is in the room or waits outside."""
        return len(self.members) + len(self.outside)

    def users_from(self, host: str) -> int:
        """How many come from one address, those included who have not closed their ends yet."""
        return self._hosts[host]

    @property
    def sent(self) -> int:
        """Bytes that went to all members, those who are gone included."""
        return self._sent + sum(member.sent for member in (*self.members, *self.outside, *self._ending))

    def wait_outside(self, member: M, deadline: float) -> None:
        """Have a newcomer wait for what it takes to come in, deaf."""
        self._count(member)
        member.deafen()
        self.outside[member] = 0
        self.deadlines.set(member, deadline)

    def enter(self, member: M) -> None:
        """Announce a member to the others and welcome it."""
        self._count(member)
        self.outside.pop(member, None)
        self.deadlines.drop(member)
        self.members[member] = None
        users = len(self.members)
        begin = self.log.append(wire.text.entered(member.name, users))
        member.hear(begin)
        member.overlay(begin, self.log.tip, wire.text.connected(users))

    def finish(self, member: M, now: float, reason: str) -> None:
        """End a member in good order: announce its leave and end its view here. Finishing twice does nothing."""
        if member in self.members:
            member.end()
        elif member not in self.outside:
            return
        self._depart(member, reason, self.left if reason == LEFT else self.cut)
        self._linger_until(member, now + LINGER)

    def dismiss(self, member: M, now: float, word: str, reason: str) -> None:
        """Tell a member why it has to go, and finish it."""
        if member in self.members or member in self.outside:
            self.answer(member, word)
            self.finish(member, now, reason)

    def leave(self, member: M, reason: str) -> None:
        """Give up a member whose link is gone: it gets nothing more. Doing so twice does nothing."""
        self._abandon(member, reason, self.left)

    def expel(self, member: M, reason: str) -> None:
        """The same for one that costs too much."""
        self._abandon(member, reason, self.cut)

    def announce(self, text: str) -> None:
        """Say something to all in the server's name."""
        self.log.append(wire.answer(text))

    def close(self, now: float) -> None:
        """End the room: tell all, end every view here, and let nobody be announced any more."""
        self.announce("server shutting down")
        self._closed = True
        for member in self.outside:
            member.tell(wire.answer("server shutting down"))
        for member in [*self.members, *self.outside, *self._ending]:
            if not member.finished:
                member.end()
                member.decoder = None
                member.reason = "server shutting down"
            self._linger_until(member, now + GRACE)
        self.members.clear()
        self.outside.clear()

    def progress(self, member: M, now: float) -> None:
        """Note that a finished member took something: its time begins anew, but for the one of a shutdown."""
        if member in self._ending and not self._closed:
            self.deadlines.set(member, now + LINGER)

    def answer(self, member: M, *lines: str) -> None:
        """Tell a member alone something in the server's name."""
        member.tell(wire.answer(*lines))
        self.touch(member)
        self._judge(member)

    def moved(self) -> Collection[M]:
        """All members when something was said to all since the last call, else none. Copy it: members may leave."""
        if self._visited == self.log.tip:
            return ()
        self._visited = self.log.tip
        return self.members

    def touch(self, member: M) -> None:
        """Have a member visited."""
        self._touched[member] = None

    def touched(self) -> Collection[M]:
        """The members that have something of their own since the last call: an answer, or an end."""
        touched, self._touched = self._touched, {}
        return touched

    @property
    def quiet(self) -> bool:
        """Whether `moved` and `touched` have nobody to name."""
        return self._visited == self.log.tip and not self._touched

    @property
    def backlog(self) -> int:
        """Bytes said since the members were visited last. Let it grow past a part of the window, and `trim` bites."""
        return self.log.tip - self._visited

    def trim(self, stalled: Iterable[M]) -> None:
        """Cut those of the ``stalled``, whose links take nothing now, that are too far behind; forget what none needs.

        All others were sent what there was when the members were visited last; what came since is kept.
        """
        for member in list(stalled):
            self._judge(member)
        self.log.trim(min(self.log.tip - self._max_lag, self._visited))

    def _judge(self, member: M) -> None:
        if member.lag > self._max_lag:
            self.expel(member, FELL_BEHIND)

    def _count(self, member: M) -> None:
        if member not in self.outside:
            self._hosts[member.host] += 1

    def _depart(self, member: M, reason: str, count: Counter[str]) -> None:
        """Take a member out of the room, or from outside it."""
        if self.outside.get(member):
            reason, count = words.WRONG_PASSWORD, self.cut
        elif member in self.outside and reason == LEFT:
            reason = "left without coming in"
        count[reason.partition(":")[0]] += 1
        self.deadlines.drop(member)
        member.decoder = None
        member.paused = False
        member.reason = reason
        if self.outside.pop(member, None) is None:
            del self.members[member]
            self.log.append(wire.text.left(member.name, len(self.members)))

    def _abandon(self, member: M, reason: str, count: Counter[str]) -> None:
        if member.gone:
            return
        if member.finished:
            del self._ending[member]
            self.deadlines.drop(member)
            member.reason = reason
        elif member in self.members or member in self.outside:
            self._depart(member, reason, count)
        member.gone = True
        self._hosts[member.host] -= 1
        if not self._hosts[member.host]:
            del self._hosts[member.host]
        self._sent += member.sent
        self.touch(member)

    def _linger_until(self, member: M, deadline: float) -> None:
        member.finished = True
        member.paused = False
        self._ending[member] = None
        self.deadlines.set(member, deadline)
        self.touch(member)
