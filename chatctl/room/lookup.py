"""Looking for what was said before: in memory, and then, for who may see older lines, in what is stored."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

from chatctl.room.people import key
from chatctl.room.ring import Line
from chatctl.wire import jsonl
from chatctl.wire.events import Kind


class Query(NamedTuple):
    """Which lines somebody wants to see: the newest ones that it may.

    Attributes:
        text: what they have, without capitals; empty: any lines.
        most: lines, at most.
        space: bytes of them, at most.
        within: bytes that are looked at, at most; 0: all.
        first: the number of the oldest event that is for its eyes.
        before: the number of the event before which they are.
        ignored: the numbers of those whom it does not want to read.
    """

    text: str
    most: int
    space: int
    within: int = 0
    first: int = 0
    before: int = 0
    ignored: Collection[int] = ()


class Found(NamedTuple):
    """What was found.

    Attributes:
        lines: each as `jsonl` tells it, without its end, the oldest first.
        total: how many there are in what was looked at, with that text or without.
        looked_at: bytes of those.
    """

    lines: Sequence[bytes]
    total: int
    looked_at: int

    def behind(self, older: "Found") -> "Found":
        """Both, where the other one was found in what is older."""
        return Found((*older.lines, *self.lines), older.total + self.total, older.looked_at + self.looked_at)


class Whose(NamedTuple):
    """What is to be forgotten: what some people have said, up to an event.

    Attributes:
        text: what they are called, or where they come from; ``all``: everybody; empty: only those whose numbers follow.
        uids: the numbers of those who are known.
        seq: the number of the last event.
    """

    text: str
    uids: Collection[int]
    seq: int

    def has(self, name: str, host: str) -> bool:
        """Whether somebody is one of them, by its name or the address that it comes from."""
        text = self.text
        return text == "all" or (bool(text) and (key(name) == key(text) or host == text.strip("[]")))


NOTHING = Found((), 0, 0)

LookUp: TypeAlias = Callable[[Query, Callable[[Found], None]], None]
"""Looks for something in what is stored, and then calls, in the loop's thread and under the lock of the room."""


def readable(told: Sequence[bytes], ignored: Collection[int]) -> Iterator[Line]:
    """What somebody may read of some events, the newest first: what was said, but by those whom it ignores."""
    for line in reversed(told):
        event = jsonl.parse(line.decode("utf-8", "replace"))
        if event.kind in (Kind.MESSAGE, Kind.ACTION) and event.uid not in ignored and event.text.strip():
            yield Line(event.text, line)


def pick(lines: Iterable[Line], query: Query) -> Found:
    """Take those of some lines, the newest first, that are wanted."""
    found: deque[bytes] = deque()
    total = looked_at = space = 0
    for line in lines:
        total += 1
        looked_at += len(line.told)
        if len(found) < query.most and query.text in line.text.casefold() and space + len(line.told) <= query.space:
            found.appendleft(line.told)
            space += len(line.told)
    return Found(found, total, looked_at)


def left(query: Query, found: Found) -> Query:
    """What is still wanted of what is older, when something was found already."""
    taken = sum(map(len, found.lines))
    within = max(query.within - found.looked_at, 1) if query.within else 0
    return query._replace(most=query.most - len(found.lines), space=max(query.space - taken, 0), within=within)
