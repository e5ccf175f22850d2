"""The logs of a room: one for each dialect that somebody reads, or will read when that one comes back."""

from collections.abc import Collection

from chatctl.room.log import Log
from chatctl.room.person import Newcomer
from chatctl.room.ring import Ring
from chatctl.wire import jsonl
from chatctl.wire.dialects import DIALECTS


class Logs(dict[str, Log]):
    """The logs by the words of their dialects; that of the plain one is always there.

    Args:
        ring: what is remembered.
        epoch: eight letters for the numbering of their events.
        replayed: bytes that somebody is sent at most of what happened before.
    """

    def __init__(self, ring: Ring, epoch: str, replayed: int) -> None:
        super().__init__(text=Log())
        self.ring = ring
        self.epoch = epoch
        self._replayed = replayed

    @property
    def seq(self) -> int:
        """The number of the newest event."""
        return self["text"].seq

    def open(self, word: str) -> Log:
        """The log of a dialect, for a new reader; if nobody reads it yet, it begins with what is remembered."""
        if word not in self:
            facts = self.ring.facts()
            log = self[word] = Log(DIALECTS[word], facts[0].seq - 1 if facts else self.seq)
            for fact in facts:
                log.append(log.dialect.others(fact), fact.events)
        return self[word]

    def tidy(self, *, awaited: bool, asleep: bool) -> None:
        """End the logs that nobody reads, but for the plain one, and while who comes back would read them.

        Args:
            awaited: somebody is waited for.
            asleep: somebody may come back who is not.
        """
        if not awaited and not (asleep and self.ring.most):
            for word in [word for word, log in self.items() if word != "text" and not log.readers]:
                del self[word]

    def blank(self, uids: Collection[int]) -> None:
        """Blank what some people have said where old lines are read, with as many bytes as there were."""
        said = jsonl.said_by(uids)
        for log in self.values():
            if log.dialect.programs:
                log.rewrite(said, lambda found: found[1] + b" " * len(found[2]) + found[3])

    def first(self, log: Log, came: int) -> int:
        """The number of the oldest event in a log that somebody may see: one that is remembered for all, or its own.

        Args:
            log: which.
            came: the number of the event by which that one came in first.
        """
        return max(min(self.ring.first(self.seq + 1), came), log.first)

    def begin(self, newcomer: Newcomer, came: int, *, resumed: bool) -> tuple[int, bool]:
        """The number of the first event that somebody who comes in is sent, and whether it has missed none before that.

        Args:
            newcomer: who, and what it has seen.
            came: see `first`.
            resumed: whether it has a place, so that what it has seen counts.
        """
        log, after = newcomer.view.log, newcomer.after
        known = resumed and newcomer.epoch == self.epoch and after <= self.seq
        wanted = after + 1 if known else self.ring.first(self.seq + 1, newcomer.history)
        begin = max(wanted, self.first(log, came), log.number(log.tip - self._replayed))
        return begin, known and begin == wanted
