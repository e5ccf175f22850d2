"""Where everybody is, and how a stay ends.

One story for every ending: `Endings.finish` announces the leave and ends the member's view there. The backend sends
what is still owed, half-closes, reads on until EOF, and then says `Endings.leave`; when that takes too long, the room
does.
Whose link is lost, and who has a place, is not announced but waited for.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Generic, cast

from chatctl.room.deadlines import Deadlines
from chatctl.room.ledger import Ledger
from chatctl.room.log import View
from chatctl.room.person import Person
from chatctl.room.places import Pace
from chatctl.room.stages import (
    FINISHED,
    FOLLOWING,
    GONE,
    GREETED,
    INSIDE,
    KNOCKING,
    NOT_PAUSED,
    OUTSIDE,
    SILENT,
    Due,
    M,
    Stage,
)
from chatctl.wire import words
from chatctl.wire.events import Closed, Held, Left, Record
from chatctl.wire.words import Farewell

LINGER = 10.0
"""Seconds without progress that a finished member may take to read what it is owed and to close its end."""

SHUTDOWN = 2.0
"""Seconds that all members together have for the same when the server shuts down."""

LEFT = "left"
FELL_BEHIND = "fell behind"

_CLOSING = Farewell("closing", "server shutting down", again=True)
_FOR_GOOD = {"quit": "left", "kicked": "kicked", "banned": "banned", "idle": "idle"}  # last words: why one leaves
_WHY = {**_FOR_GOOD, LEFT: "left", "cut": "slow"}


class Endings(Generic[M]):
    """Who has come, and where everybody is. The ``ledger`` has the people and what they see.

    ``now`` is the time that was told last. ``left`` counts by their reasons the members that went or were lost, ``cut``
    those that the server ended.

    Args:
        ledger: the room's.
        max_lag: bytes a member may be behind; the log keeps as many.
        grace: seconds for which somebody whose link is lost, and who has a place, is waited for.
    """

    def __init__(self, ledger: Ledger, max_lag: int, grace: float) -> None:
        self.ledger = ledger
        ledger.touch = self._touch_view
        ledger.readers = lambda: self.at(GREETED, INSIDE, FINISHED)
        self.now = 0.0
        self.left: Counter[str] = Counter()
        self.cut: Counter[str] = Counter()
        self.deadlines: Deadlines[M, Due] = Deadlines()
        self._at: dict[Stage, dict[M, None]] = {stage: {} for stage in Stage if stage is not GONE}
        self._max_lag = max_lag
        self._grace = grace
        self._hosts: Counter[str] = Counter()
        self._closed = False
        self._touched: dict[M, None] = {}
        self._visited = 0  # the number of the newest event when the members were visited last

    def post(self, record: Record) -> None:
        """Have something happen that all see who have come before it."""
        self.ledger.post(record, self.now)

    def _let_in(self) -> None:
        """Let those in who would be in the room already, had they been greeted at once."""

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
        return len(self._at[KNOCKING]) + len(self._at[OUTSIDE]) + len(self._at[SILENT]) + len(self._at[GREETED])

    @property
    def first_due(self) -> float | None:
        """When something is due next: of a member, or of somebody who is waited for."""
        first = self.deadlines.first
        if not self.ledger.held:
            return first
        lost = next(iter(self.ledger.held.values())) + self._grace
        return lost if first is None else min(first, lost)

    def links_from(self, host: str) -> int:
        """How many links come from one address, those included who have not closed their ends yet."""
        return self._hosts[host]

    def person(self, member: M) -> Person | None:
        """Who a member is in the room; None: it is not there, or another link is that one by now."""
        person = self.ledger.people.get(member.uid)
        return person if person and person.view is member else None

    def finish(self, member: M, now: float, reason: str) -> None:
        """End a member in good order: announce its leave and end its view here. Finishing twice does nothing."""
        if member.stage not in (FINISHED, GONE):
            self.now = now
            self._depart(member, FINISHED, reason, self.left if reason == LEFT else self.cut)
            self.deadlines.set(member, now + LINGER, Due.LINGER)

    def dismiss(self, member: M, now: float, word: Farewell, reason: str) -> None:
        """Tell a member why it has to go, and finish it: it has gone for good."""
        if member.stage not in (FINISHED, GONE):
            self.now = now
            if self.person(member):
                self._let_in()  # nothing may come behind the last word
            self._turn_away(member, word, reason)

    def end(self, person: Person, now: float, word: Farewell, reason: str) -> None:
        """The same for somebody in the room, who may have no link: that one is told when it comes back."""
        self.now = now
        if person.view is not None:
            self.dismiss(cast(M, person.view), now, word, reason)
            return
        if person.place:
            self.ledger.places.end(person.place, word, now + self._grace, now)
        self.cut[reason.partition(":")[0]] += 1
        self.ledger.post(Left(person.uid, _FOR_GOOD[word.code]), now)  # before somebody who is let in takes its seat

    def _turn_away(self, member: M, word: Farewell, reason: str = "") -> None:
        self.give(member, member.log.dialect.farewell(word, number=member.number))
        if member.stage in (FINISHED, GONE):  # that was too much
            return
        reason = reason or word.text
        if word.code == "full":
            member.reason = reason
            self._move(member, FINISHED)
            self.ledger.tidy()
        else:
            self._depart(member, FINISHED, reason, self.left if reason == LEFT else self.cut, word.code)
        self.deadlines.set(member, self.now + LINGER, Due.LINGER)

    def leave(self, member: M, now: float, reason: str) -> None:
        """Give up a member whose link is gone: it gets nothing more. Doing so twice does nothing."""
        self.now = now
        self._abandon(member, reason, self.left)

    def expel(self, member: M, reason: str) -> None:
        """The same for one that costs too much."""
        self._abandon(member, reason, self.cut)

    def close(self, now: float) -> None:
        """End the room: tell all, end every view here, and let nobody be announced any more."""
        self._closed = True
        self.now = now
        for member in self.at(KNOCKING, OUTSIDE, SILENT, GREETED):  # deaf: they see no more than this
            member.tell(member.log.dialect.farewell(_CLOSING))
        self.ledger.post(Closed(_CLOSING.text), now)
        for member in self.at(KNOCKING, OUTSIDE, SILENT, GREETED, INSIDE):
            member.reason = _CLOSING.text
            self._move(member, FINISHED)
        self.ledger.tidy()
        for member in self.at(FINISHED):
            self.deadlines.set(member, now + SHUTDOWN, Due.LINGER)

    def progress(self, member: M, now: float) -> None:
        """Note that a finished member took something: its time begins anew, but for the one of a shutdown."""
        if member.stage is FINISHED and not self._closed:
            self.deadlines.set(member, now + LINGER, Due.LINGER)

    def answer(self, member: M, *lines: str) -> None:
        """Tell a member alone something in the server's name."""
        self.give(member, member.log.dialect.answer(*lines, number=member.number))

    def refuse(self, member: M, code: str, line: str) -> None:
        """Tell a member alone why something that it wants is not done; ``code`` tells programs."""
        self.give(member, member.log.dialect.error(code, line, number=member.number))

    def give(self, member: M, data: bytes) -> None:
        """Let a member alone see something, by which its line is answered that is obeyed now."""
        member.number = 0
        member.tell(data)
        self.touch(member)
        self._judge(member)

    def moved(self) -> Collection[M]:
        """All members when something was said to all since the last call, else none. Copy it: members may leave."""
        logs = self.ledger.logs
        if self._visited == logs.kept:
            return ()
        self._visited = logs.kept
        for log in logs.values():
            log.visited = log.kept
        return self.inside

    def touch(self, member: M) -> None:
        """Have a member visited."""
        self._touched[member] = None

    def _touch_view(self, view: View) -> None:
        self.touch(cast(M, view))

    def touched(self) -> Collection[M]:
        """The members that have something of their own since the last call: an answer, or an end."""
        touched, self._touched = self._touched, {}
        if self.ledger.logs.pending:
            self._touched = {member: None for member in touched if member.unwritten}
        return touched

    @property
    def quiet(self) -> bool:
        """Whether nothing is to be written, and `moved` and `touched` have nobody to name."""
        logs = self.ledger.logs
        return self._visited == logs.kept and not self._touched and not logs.pending

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
            member.log.readers -= 1
        del self._at[member.stage][member]
        self.deadlines.drop(member)  # each stage has deadlines of its own
        member.stage = stage
        if stage is GONE:
            self._leave_host(member)
        else:
            self._at[stage][member] = None
        if stage in (FINISHED, GONE):
            member.paused = NOT_PAUSED
            self.touch(member)

    def _leave_host(self, member: M) -> None:
        self._hosts[member.address.host] -= 1
        if not self._hosts[member.address.host]:
            del self._hosts[member.address.host]

    def _depart(self, member: M, stage: Stage, reason: str, count: Counter[str], code: str = "") -> None:
        """Have a member end, who is counted, and announced if it was in the room, or waited for.

        Args:
            member: the one.
            stage: where it is from now on.
            reason: why, for the diagnostics.
            count: where it is counted.
            code: of its last word, by which it goes for good; empty: there is none.
        """
        person = self.person(member)
        if member.tries and not member.uid:
            reason, count = words.WRONG_PASSWORD, self.cut
        elif reason == LEFT and not member.uid:
            reason = "left without coming in"
        count[reason.partition(":")[0]] += 1
        member.reason = reason
        if person:
            self._let_in()
        self._move(member, stage)
        if person:
            self._lose(member, person, code or ("cut" if count is self.cut else reason))
        self.ledger.tidy()

    def _lose(self, member: M, person: Person, why: str) -> None:
        """Have somebody be without a link: gone, or waited for, if it has a place and has not been told to go."""
        if not person.place or why in _FOR_GOOD:
            self.post(Left(person.uid, _WHY.get(why, "lost")))
            return
        person.place.pace = Pace(member.bucket, member.renamed)
        if self._grace:
            self.ledger.post(Held(person.uid), self.now)
        else:
            self.post(Left(person.uid, "lost"))

    def expire(self, now: float) -> None:
        """Wait no longer for those who have been away for too long."""
        held = self.ledger.held
        while held and next(iter(held.values())) + self._grace <= now:
            self.post(Left(next(iter(held)), "lost"))

    def _abandon(self, member: M, reason: str, count: Counter[str]) -> None:
        if member.stage is GONE:
            return
        if member.stage is FINISHED:
            member.reason = reason
            self._move(member, GONE)
        else:
            self._depart(member, GONE, reason, count)
