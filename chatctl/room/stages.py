"""Where each member is between its arrival and its end, and what may follow what.

    KNOCKING ──┬─→ OUTSIDE ──→ INSIDE      who has arrived may have to shake hands, then to give the password
               └─→ INSIDE
    each of them ──→ FINISHED ──→ GONE     finished: announced, ended here, and still sent what it is owed
    each of them ──→ GONE                  its link is of no use any more

One story for every ending: `Lobby.finish` announces the leave and ends the member's view there. The backend sends what
is still owed, half-closes, reads on until EOF, and then says `Lobby.leave`; when that takes too long, the room does.
"""

import enum
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Generic, TypeVar

from chatctl.room.deadlines import Deadlines
from chatctl.room.ledger import Ledger
from chatctl.room.limits import Bucket
from chatctl.room.log import Log, View
from chatctl.wire import Address, LineDecoder, words
from chatctl.wire.events import Announced, Closed, Entered, Left

LINGER = 10.0
"""Seconds without progress that a finished member may take to read what it is owed and to close its end."""

GRACE = 2.0
"""Seconds that all members together have for the same when the server shuts down."""

LEFT = "left"
FELL_BEHIND = "fell behind"

_CLOSING = "server shutting down"


class Stage(enum.Enum):
    """Where a member is."""

    KNOCKING = "in its handshake: it can be told nothing yet"
    OUTSIDE = "asked for the password: it sees what it is told, and nothing of the room"
    INSIDE = "in the room"
    FINISHED = "out of the room; it is sent what it is owed, until it has closed its end"
    GONE = "its link is to be closed now, whatever it is owed"


KNOCKING, OUTSIDE, INSIDE, FINISHED, GONE = Stage

_FOLLOWING = {
    KNOCKING: {OUTSIDE, INSIDE, FINISHED, GONE},
    OUTSIDE: {INSIDE, FINISHED, GONE},
    INSIDE: {FINISHED, GONE},
    FINISHED: {GONE},
    GONE: set(),
}


class Due(enum.Enum):
    """What a deadline is for: what is over when it has come."""

    HANDSHAKE = "the time for the handshake"
    PASSWORD = "the time for the password"
    PAUSE = "a member's pause, or the time until the next look at it"
    IDLE = "the time for saying anything"
    LINGER = "the time for reading what is owed and closing"


class Pause(enum.Enum):
    """Why a member is not to be read for now. It may be for several reasons at once."""

    RATE = "it has sent too much"


_NOT_PAUSED: frozenset[Pause] = frozenset()  # one for all: each of its own would cost 216 bytes a member


class Member(View):
    """One member: a view of a log of the room, where it comes from, and what its input has come to.

    ``reason`` says why it went, for the diagnostics. ``paused``: why it is not to be read for now, if so. ``tries``
    counts wrong passwords, ``ignored`` the commands that were not obeyed. ``heard`` is when it sent something last,
    where that matters.
    """

    __slots__ = ("address", "bucket", "decoder", "heard", "ignored", "paused", "reason", "stage", "tries")

    decoder: LineDecoder

    def __init__(self, log: Log, address: Address) -> None:
        super().__init__(log)
        self.address = address
        self.stage = KNOCKING
        self.bucket: Bucket | None = None
        self.reason = ""
        self.paused = _NOT_PAUSED
        self.tries = 0
        self.ignored = 0
        self.heard = 0.0


M = TypeVar("M", bound=Member)


class Lobby(Generic[M]):
    """Who has come, and where everybody is; without what they say. The ``ledger`` has the people and what they see.

    ``left`` counts by their reasons the members that went or were lost, ``cut`` those that the server ended.

    Args:
        max_lag: bytes a member may be behind; the log keeps as many.
    """

    def __init__(self, max_lag: int) -> None:
        self.ledger = Ledger()
        self.left: Counter[str] = Counter()
        self.cut: Counter[str] = Counter()
        self.deadlines: Deadlines[M, Due] = Deadlines()
        self._at: dict[Stage, dict[M, None]] = {stage: {} for stage in Stage if stage is not GONE}
        self._max_lag = max_lag
        self._hosts: Counter[str] = Counter()
        self._closed = False
        self._touched: dict[M, None] = {}
        self._visited = 0  # the number of the newest event when the members were visited last

    def at(self, *stages: Stage) -> list[M]:
        """Who is at one of some stages, in the order in which they came there."""
        return [member for stage in stages for member in self._at[stage]]

    @property
    def inside(self) -> Collection[M]:
        """The members in the room."""
        return self._at[INSIDE].keys()

    @property
    def waiting(self) -> int:
        """How many have come and are not in the room yet."""
        return len(self._at[KNOCKING]) + len(self._at[OUTSIDE])

    @property
    def users(self) -> int:
        """Who is in the room or waits to come in."""
        return len(self.inside) + self.waiting

    def users_from(self, host: str) -> int:
        """How many come from one address, those included who have not closed their ends yet."""
        return self._hosts[host]

    def arrive(self, member: M) -> None:
        """Take note of a newcomer. It is deaf until it enters: it sees nothing of the room."""
        member.log.readers += 1
        member.deafen()
        self._at[KNOCKING][member] = None
        self._hosts[member.address.host] += 1

    def enter(self, member: M) -> None:
        """Announce a member to the others and welcome it."""
        self._move(member, INSIDE)
        self.ledger.post(Entered(str(member.address), member.address), member)

    def finish(self, member: M, now: float, reason: str) -> None:
        """End a member in good order: announce its leave and end its view here. Finishing twice does nothing."""
        if member.stage not in (FINISHED, GONE):
            self._depart(member, FINISHED, reason, self.left if reason == LEFT else self.cut)
            self.deadlines.set(member, now + LINGER, Due.LINGER)

    def dismiss(self, member: M, now: float, word: str, reason: str) -> None:
        """Tell a member why it has to go, and finish it."""
        if member.stage not in (FINISHED, GONE):
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
        self.ledger.post(Announced(text))

    def close(self, now: float) -> None:
        """End the room: tell all, end every view here, and let nobody be announced any more."""
        self._closed = True
        for member in self.at(KNOCKING, OUTSIDE):  # deaf: they see no more than this
            member.tell(member.log.dialect.answer(_CLOSING))
        self.ledger.post(Closed(_CLOSING))
        for member in self.at(KNOCKING, OUTSIDE, INSIDE):
            member.reason = _CLOSING
            self._move(member, FINISHED)
        for member in self.at(FINISHED):
            self.deadlines.set(member, now + GRACE, Due.LINGER)

    def progress(self, member: M, now: float) -> None:
        """Note that a finished member took something: its time begins anew, but for the one of a shutdown."""
        if member.stage is FINISHED and not self._closed:
            self.deadlines.set(member, now + LINGER, Due.LINGER)

    def answer(self, member: M, *lines: str) -> None:
        """Tell a member alone something in the server's name."""
        member.tell(member.log.dialect.answer(*lines))
        self.touch(member)
        self._judge(member)

    def moved(self) -> Collection[M]:
        """All members when something was said to all since the last call, else none. Copy it: members may leave."""
        if self._visited == self.ledger.seq:
            return ()
        self._visited = self.ledger.seq
        for log in self.ledger.logs.values():
            log.visited = log.tip
        return self.inside

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
        return self._visited == self.ledger.seq and not self._touched

    @property
    def backlog(self) -> int:
        """Bytes said since the members were visited last. Let it grow past a part of the window, and `trim` bites."""
        return max(log.tip - log.visited for log in self.ledger.logs.values())

    def trim(self, stalled: Iterable[M]) -> None:
        """Cut those of the ``stalled``, whose links take nothing now, that are too far behind; forget what none needs.

        All others were sent what there was when the members were visited last; what came since is kept.
        """
        for member in list(stalled):
            self._judge(member)
        for log in self.ledger.logs.values():
            log.trim(min(log.tip - self._max_lag, log.visited))

    def _judge(self, member: M) -> None:
        if member.lag > self._max_lag:
            self.expel(member, FELL_BEHIND)

    def _move(self, member: M, stage: Stage) -> None:
        """Have a member be at another stage: the one place where that happens."""
        if stage not in _FOLLOWING[member.stage]:
            raise AssertionError(f"{member.stage} is not followed by {stage}")
        if stage in (FINISHED, GONE) and member.stage is not FINISHED:
            self.ledger.dismiss(member.log)
        del self._at[member.stage][member]
        self.deadlines.drop(member)  # each stage has deadlines of its own
        member.stage = stage
        if stage is GONE:
            self._hosts[member.address.host] -= 1
            if not self._hosts[member.address.host]:
                del self._hosts[member.address.host]
        else:
            self._at[stage][member] = None
        if stage in (FINISHED, GONE):
            member.paused = _NOT_PAUSED
            self.touch(member)

    def _depart(self, member: M, stage: Stage, reason: str, count: Counter[str]) -> None:
        """Have a member end, who is counted, and announced if it was in the room."""
        inside = member.stage is INSIDE
        if member.tries and not inside:
            reason, count = words.WRONG_PASSWORD, self.cut
        elif reason == LEFT and not inside:
            reason = "left without coming in"
        count[reason.partition(":")[0]] += 1
        member.reason = reason
        self._move(member, stage)
        if inside:
            self.ledger.post(Left(member.uid))

    def _abandon(self, member: M, reason: str, count: Counter[str]) -> None:
        if member.stage is GONE:
            return
        if member.stage is FINISHED:
            member.reason = reason
            self._move(member, GONE)
        else:
            self._depart(member, GONE, reason, count)
