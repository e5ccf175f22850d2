"""When something is due for each of many members.

A heap finds the next one. What was changed or dropped stays in it until its time or until most of the heap is of that
kind, as in asyncio's event loop: setting and dropping cost next to nothing, and memory is bounded by the members.
"""

import heapq
import itertools
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
P = TypeVar("P")

_STALE = 64  # entries of the heap that may be stale before it is worth a look


class Deadlines(Generic[K, P]):
    """At most one deadline for each key, with its purpose, in seconds of any clock that only goes forward."""

    def __init__(self) -> None:
        self._at: dict[K, tuple[float, P]] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._order = itertools.count()

    def set(self, key: K, at: float, purpose: P) -> None:
        """Let ``key`` be due for something at that time, and not for what it was due before."""
        self._at[key] = at, purpose
        heapq.heappush(self._heap, (at, next(self._order), key))
        self._tidy()

    def drop(self, key: K) -> None:
        """Let ``key`` not be due at all."""
        if self._at.pop(key, None) is not None:
            self._tidy()

    @property
    def first(self) -> float | None:
        """When the next one is due."""
        while self._heap:
            at, _, key = self._heap[0]
            if (due := self._at.get(key)) and due[0] == at:
                return at
            heapq.heappop(self._heap)
        return None

    def due(self, now: float) -> Iterator[tuple[K, P]]:
        """Take out those whose time has come, and what for, the earliest first. They may be set anew meanwhile."""
        while (first := self.first) is not None and first <= now:
            key = heapq.heappop(self._heap)[2]
            yield key, self._at.pop(key)[1]

    def _tidy(self) -> None:
        if len(self._heap) > 2 * len(self._at) + _STALE:
            self._heap = [(at, next(self._order), key) for key, (at, _) in self._at.items()]
            heapq.heapify(self._heap)
