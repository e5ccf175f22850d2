"""What the room remembers: the newest lines that were said, in memory, and what has happened between them.

It keeps facts as they are, one for each chunk that was said, and encodes nothing before somebody asks.
"""

import sys
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from chatctl.wire import jsonl
from chatctl.wire.events import Acted, Fact, Said

MOST = 1024 * 1024
"""Bytes of memory that all of it may take, at most."""

NOTHING_KEPT = "nothing"
"""What is kept where nothing is."""

_FACT, _LINE = 400, 48  # bytes that a fact takes besides its lines, and a line besides its text (CPython 3.11)
_SAID = (Said, Acted)


class Line(NamedTuple):
    """One line of what was said: what it says, and all of it as `jsonl` tells it, without its end."""

    text: str
    told: bytes


class Ring:
    """The newest lines of a room, and what has happened between them and since.

    ``most``: how many lines, at most.

    Args:
        lines: the same; 0: none.
    """

    def __init__(self, lines: int) -> None:
        self.most = lines
        self._kept: deque[tuple[Fact, int, int]] = deque()  # with its lines and its bytes
        self._lines = 0
        self._size = 0

    @property
    def keeps(self) -> str:
        """What is remembered, for who wants to know before speaking."""
        return f"{self.most} {'line' if self.most == 1 else 'lines'} in memory" if self.most else NOTHING_KEPT

    def add(self, fact: Fact, size: int) -> None:
        """Remember what has happened just now, told in so many bytes, and forget what is too old for that."""
        if not self.most:
            return
        kept, most = self._kept, self.most
        new = fact.events if isinstance(fact.record, _SAID) else 0
        size += new * _LINE + _FACT
        kept.append((fact, new, size))
        total, taken = self._lines + new, self._size + size
        while kept:
            _, lines, size = kept[0]
            if lines and total - lines < most and taken <= MOST:
                break
            kept.popleft()  # it is no line, or there are enough without it, or it is too much
            total -= lines
            taken -= size
        self._lines, self._size = total, taken

    def facts(self) -> list[Fact]:
        """All that is kept, the oldest first."""
        return [fact for fact, *_ in self._kept]

    def first(self, end: int, lines: int = sys.maxsize) -> int:
        """The number of the event from which on so many lines are kept, or as many as there are; ``end``: none is."""
        left = min(lines, self.most)
        for fact, kept, _ in reversed(self._kept) if left < self._lines else ():
            if kept >= left:
                return fact.seq + kept - left if left else end
            left -= kept
        return self._kept[0][0].seq if self._kept else end

    def newest(self, hidden: Callable[[Fact], bool]) -> Iterator[Line]:
        """The lines that may be read, the newest first.

        Args:
            hidden: whether what somebody has said is not for the reader.
        """
        left = self.most
        for fact in reversed(self.facts()):
            lines = _lines(fact)[-left:] if left else ()
            if not lines:
                continue
            left -= len(lines)
            if hidden(fact):
                continue
            told = jsonl.others(fact).split(b"\n")[-1 - len(lines) : -1]
            both = zip(lines[::-1], told[::-1], strict=True)
            yield from (Line(line.decode(), whole) for line, whole in both if line.strip())

    def forget(self, whose: Callable[[Fact], bool]) -> set[int]:
        """Empty the lines of some people; return their numbers."""
        found = [at for at, (fact, *_) in enumerate(self._kept) if any(_lines(fact)) and whose(fact)]
        for at in found:
            fact, lines, size = self._kept[at]
            self._kept[at] = _emptied(fact), lines, size
        return {self._kept[at][0].uid for at in found}


def _lines(fact: Fact) -> tuple[bytes, ...]:
    match fact.record:
        case Said(lines=lines):
            return lines
        case Acted(line=line):
            return (line,)
    return ()


def _emptied(fact: Fact) -> Fact:
    match fact.record:
        case Said() as record:
            return fact._replace(record=record._replace(lines=(b"",) * len(record.lines)))
        case Acted() as record:
            return fact._replace(record=record._replace(line=b""))
    return fact
