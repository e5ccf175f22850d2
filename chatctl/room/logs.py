"""The logs of a room: one for each dialect that somebody reads, or will read when that one comes back.

Where the room is stored, that of programs is always there: its lines are what is stored.
"""

from collections.abc import Collection

from chatctl.room.log import Log, Marks
from chatctl.room.person import Newcomer
from chatctl.room.ring import Ring
from chatctl.wire import jsonl
from chatctl.wire.dialects import DIALECTS


class Logs(dict[str, Log]):
    """The logs by the words of their dialects; that of the plain one is always there.

    ``epochs``: those before this one, with the number of the last event of each. ``oldest``: the number of the oldest
    event that is stored; 0: none is.

    Args:
        ring: what is remembered.
        epoch: eight letters for the numbering of their events.
        replayed: bytes that somebody is sent at most of what happened before.
    """

    def __init__(self, ring: Ring, epoch: str, replayed: int) -> None:
        super().__init__(text=Log())
        self.ring = ring
        self.epoch = epoch
        self.epochs: dict[str, int] = {}
        self.oldest = 0
        self._marks: Marks | None = None
        self._seq = 0  # of the newest event that is written, if it is
        self._replayed = replayed

    @property
    def seq(self) -> int:
        """The number of the newest event."""
        return self["text"].seq

    @property
    def kept(self) -> int:
        """The number of the newest event that anybody may see."""
        return self._seq if self._marks else self.seq

    @property
    def pending(self) -> bool:
        """Whether something is to be written before it is seen."""
        return self._marks is not None and self._marks.pending

    def keep(self, seq: int) -> None:
        """Note that all up to an event is written."""
        self._seq = seq
        for log in self.values():
            log.keep(log.tip if log.seq == seq else log.position(seq + 1))

    def store(self, marks: Marks, lines: Collection[bytes], seq: int) -> None:
        """Begin anew behind what is stored, and have what happens from now on be stored.

        Args:
            marks: tell how far it is.
            lines: the newest events that are stored, as programs are told them.
            seq: the number of the newest one.
        """
        self._marks, self._seq = marks, seq
        self["text"] = Log(DIALECTS["text"], seq, marks)
        log = self["json"] = Log(DIALECTS["json"], seq - len(lines), marks)
        for line in lines:
            log.append(line)
        self.keep(seq)
        marks.latest = 0

    def open(self, word: str) -> Log:
        """The log of a dialect, for a new reader; if nobody reads it yet, it begins with what is remembered."""
        if word not in self:
            facts = self.ring.facts()
            marks = (self._marks,) if self._marks else ()
            log = self[word] = Log(DIALECTS[word], facts[0].seq - 1 if facts else self.seq, *marks)
            for fact in facts:
                log.append(log.dialect.others(fact), fact.events)
            log.keep(log.position(self.kept + 1))
        return self[word]

    def tidy(self, *, awaited: bool, asleep: bool) -> None:
        """End the logs that nobody reads, but for the plain one, and while who comes back would read them.

        Args:
            awaited: somebody is waited for.
            asleep: somebody may come back who is not.
        """
        if not awaited and not (asleep and self.ring.most):
            always = ("text", "json") if self._marks else ("text",)
            for word in [word for word, log in self.items() if word not in always and not log.readers]:
                del self[word]

    def blank(self, uids: Collection[int], seq: int) -> set[int]:
        """Blank what some people have said, up to an event, where old lines are read; return of whom there was any."""
        blank = jsonl.Blank(uids)
        for log in self.values():
            if uids and log.dialect.programs:
                log.rewrite(blank, log.position(seq + 1))
        return blank.found

    def first(self, log: Log, came: int) -> int:
        """The number of the oldest event in a log that somebody may see: one that is remembered for all, or its own.

        Args:
            log: which.
            came: the number of the event by which that one came in first.
        """
        return max(min(self.ring.first(self.seq + 1), came), self.oldest or log.first)

    def begin(self, newcomer: Newcomer, came: int, *, resumed: bool) -> tuple[int, bool, bool]:
        """Which events somebody who comes in is sent.

        Args:
            newcomer: who, and what it has seen.
            came: see `first`.
            resumed: whether it has a place, so that what it has seen counts.

        Returns:
            The number of the first, whether what it has seen is known, and whether it has missed none before that.
        """
        log, after = newcomer.view.log, newcomer.after
        last = self.seq if newcomer.epoch == self.epoch else self.epochs.get(newcomer.epoch)
        known = resumed and last is not None and after <= last
        if last is not None and (known or (resumed and newcomer.epoch != self.epoch)):
            wanted = min(after, last) + 1  # who has seen more than is stored gets what others got in its place
        else:
            wanted = self.ring.first(self.seq + 1, newcomer.history)
        begin = max(wanted, self.first(log, came), log.first, log.number(log.tip - self._replayed))
        return begin, known, known and begin == wanted
