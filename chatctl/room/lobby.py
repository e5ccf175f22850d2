"""Who has come, where everybody is, and how a stay ends.

One story for every ending: `Lobby.finish` announces the leave and ends the member's view there. The backend sends what
is still owed, half-closes, reads on until EOF, and then says `Lobby.leave`; when that takes too long, the room does.

**Who speaks first.** A newcomer may be `SILENT` for a moment before it is greeted, so that it can enter under its name;
nothing is lost for that: before anything happens that it would have seen without the delay, it is let in.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Generic

from chatctl.room.deadlines import Deadlines
from chatctl.room.ledger import Ledger
from chatctl.room.stages import FINISHED, FOLLOWING, GONE, INSIDE, KNOCKING, NOT_PAUSED, OUTSIDE, SILENT, Due, M, Stage
from chatctl.wire import words
from chatctl.wire.events import Announced, Closed, Entered, Left, Record

LINGER = 10.0
"""Seconds without progress that a finished member may take to read what it is owed and to close its end."""

GRACE = 2.0
"""Seconds that all members together have for the same when the server shuts down."""

LEFT = "left"
FELL_BEHIND = "fell behind"

_CLOSING = "server shutting down"
_NICK = b"/nick"


class Lobby(Generic[M]):
    """Who has come, and where everybody is; without what they say. The ``ledger`` has the people and what they see.

    ``now`` is the time that was told last. ``left`` counts by their reasons the members that went or were lost, ``cut``
    those that the server ended.

    Args:
        max_lag: bytes a member may be behind; the log keeps as many.
        history: lines that are remembered.
    """

    def __init__(self, max_lag: int, history: int = 0) -> None:
        self.ledger = Ledger(history)
        self.now = 0.0
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
        return len(self._at[KNOCKING]) + len(self._at[OUTSIDE]) + len(self._at[SILENT])

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

    def enter(self, member: M, name: str = "") -> None:
        """Announce a member to the others and welcome it. Who came before it and is silent is in the room first.

        Args:
            member: who comes.
            name: a name that it can have; empty: it is called by its address.
        """
        self._greet(member)
        self._move(member, INSIDE)
        self.ledger.post(Entered(member.address, name), self.now, member)

    def post(self, record: Record) -> None:
        """Have something happen that all see who have come before it, the silent too."""
        if self._at[SILENT]:
            self._greet()
        self.ledger.post(record, self.now)

    def _greet(self, until: M | None = None) -> None:
        """Let the silent in, in the order in which they came, those up to one or all, but for who is about to speak."""
        for member in list(self._at[SILENT]):
            if member is until:
                break
            if not _NICK.startswith(start := member.decoder.partial[: len(_NICK)]) or not start:
                self.enter(member)

    def finish(self, member: M, now: float, reason: str) -> None:
        """End a member in good order: announce its leave and end its view here. Finishing twice does nothing."""
        if member.stage not in (FINISHED, GONE):
            self.now = now
            self._depart(member, FINISHED, reason, self.left if reason == LEFT else self.cut)
            self.deadlines.set(member, now + LINGER, Due.LINGER)

    def dismiss(self, member: M, now: float, word: str, reason: str) -> None:
        """Tell a member why it has to go, and finish it."""
        if member.stage not in (FINISHED, GONE):
            if member.stage is INSIDE:
                self._greet()  # nothing may come behind the last word
            self.answer(member, word)
            self.finish(member, now, reason)

    def leave(self, member: M, now: float, reason: str) -> None:
        """Give up a member whose link is gone: it gets nothing more. Doing so twice does nothing."""
        self.now = now
        self._abandon(member, reason, self.left)

    def expel(self, member: M, reason: str) -> None:
        """The same for one that costs too much."""
        self._abandon(member, reason, self.cut)

    def announce(self, text: str) -> None:
        """Say something to all in the server's name."""
        self.post(Announced(text))

    def close(self, now: float) -> None:
        """End the room: tell all, end every view here, and let nobody be announced any more."""
        self._closed = True
        self.now = now
        for member in self.at(KNOCKING, OUTSIDE, SILENT):  # deaf: they see no more than this
            member.tell(member.log.dialect.answer(_CLOSING))
        self.ledger.post(Closed(_CLOSING), now)
        for member in self.at(KNOCKING, OUTSIDE, SILENT, INSIDE):
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

    def refuse(self, member: M, code: str, line: str) -> None:
        """Tell a member alone why something that it wants is not done; ``code`` tells programs."""
        member.tell(member.log.dialect.error(code, line))
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
        if stage not in FOLLOWING[member.stage]:
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
            member.paused = NOT_PAUSED
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
        if inside:
            self._greet()
        self._move(member, stage)
        if inside:
            self.post(Left(member.uid))

    def _abandon(self, member: M, reason: str, count: Counter[str]) -> None:
        if member.stage is GONE:
            return
        if member.stage is FINISHED:
            member.reason = reason
            self._move(member, GONE)
        else:
            self._depart(member, GONE, reason, count)
