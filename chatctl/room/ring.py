"""What the room remembers: the newest lines that were said, in memory.

It keeps facts as they are, one for each chunk that was said, and encodes nothing before somebody asks.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from chatctl.wire import jsonl
from chatctl.wire.events import Acted, Fact, Said

MOST = 1024 * 1024
"""Bytes of memory that all of it may take, at most."""

_CHUNK, _LINE = (
    400,
    48,
)  # bytes that a fact takes besides its lines, and a line besides its text (measured, CPython 3.11)


class Kept(NamedTuple):
    """Some lines that somebody has said at once, from where, how many they are, and bytes that they take."""

    fact: Fact
    host: str
    lines: int
    size: int


class Line(NamedTuple):
    """One line of what was said: what it says, and all of it as `jsonl` tells it, without its end."""

    text: str
    told: bytes


class Ring:
    """The newest lines of a room.

    Args:
        lines: how many; 0: none.
    """

    def __init__(self, lines: int) -> None:
        self._most = lines
        self._kept: deque[Kept] = deque()
        self._lines = 0
        self._size = 0

    def add(self, fact: Fact, host: str) -> None:
        """Remember what somebody from an address has said just now, and forget what is too old for that."""
        if not self._most:
            return
        lines = _lines(fact)
        size = sum(map(len, lines)) + _LINE * len(lines) + _CHUNK
        self._kept.append(Kept(fact, host, len(lines), size))
        self._lines += len(lines)
        self._size += size
        while self._lines - self._kept[0].lines >= self._most or (self._size > MOST and len(self._kept) > 1):
            oldest = self._kept.popleft()
            self._lines -= oldest.lines
            self._size -= oldest.size

    def newest(self, hidden: Callable[[Kept], bool]) -> Iterator[Line]:
        """The lines that may be read, the newest first.

        Args:
            hidden: whether some lines are not for the reader.
        """
        left = self._most
        for kept in reversed(self._kept):
            lines = _lines(kept.fact)[-left:] if left else ()
            left -= len(lines)
            if hidden(kept):
                continue
            told = jsonl.others(kept.fact).split(b"\n")[-1 - len(lines) : -1]
            yield from (Line(line.decode(), whole) for line, whole in zip(lines[::-1], told[::-1], strict=True) if line)

    def forget(self, whose: Callable[[Kept], bool]) -> set[int]:
        """Empty the lines of some people; return their numbers."""
        found = {at: kept for at, kept in enumerate(self._kept) if any(_lines(kept.fact)) and whose(kept)}
        for at, kept in found.items():
            self._kept[at] = kept._replace(fact=_emptied(kept.fact))
        return {kept.fact.uid for kept in found.values()}


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
