"""From the network to the screen, in batches that fit it.

A terminal can be slower than a room. What waits for it are raw bytes, up to `LIMIT`; beyond that the oldest are left
out and their lines counted. A batch is as large as the screen takes in a few hundredths of a second, so that keys are
seen to in between.

No I/O and no clock of its own: what writes and what tells the time are arguments.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

LIMIT = 16 * 1024 * 1024
"""Bytes that wait for the screen at most."""

PAUSE = 0.033
"""Seconds between two batches, at least: thirty pictures a second are as good as any more."""

_SMALLEST, _FIRST, _LARGEST = 4096, 16 * 1024, 256 * 1024  # bytes of a batch
_SLOW, _QUICK = 0.030, 0.010  # seconds for a batch: one that takes longer is halved, one that takes less is doubled
_MARGIN = 1024 * 1024  # bytes beyond the limit that may wait to be skipped
_SKIPPED_AT_ONCE = 64 * 1024  # bytes left out before keys are seen to again

M = TypeVar("M")


class Backlog(Generic[M]):
    """What has come and waits: bytes, and marks in between. One thread puts, another one takes.

    ``wake``: called, in the thread that puts, when there is something again. ``size``: bytes that wait.
    """

    def __init__(self) -> None:
        self.wake: Callable[[], object] = lambda: None
        self._lock = threading.Condition()
        self._items: deque[bytes | M] = deque()
        self.size = 0

    def __bool__(self) -> bool:
        return bool(self._items)

    def put(self, item: bytes | M) -> None:
        """Add bytes or a mark; wait when nobody takes anything, not even to skip it."""
        with self._lock:
            if isinstance(item, bytes):
                self._lock.wait_for(lambda: self.size < LIMIT + _MARGIN)
                self.size += len(item)
                last = self._items[-1] if self._items else None
                if isinstance(last, bytes) and len(last) + len(item) <= _SMALLEST:
                    self._items[-1] = last + item  # an object for each small packet would cost more than its bytes
                    return
            first = not self._items
            self._items.append(item)
        if first:
            self.wake()

    def take(self, size: int) -> bytes | M | None:
        """The next bytes, so many at most, or the next mark; None: nothing waits."""
        pieces: list[bytes] = []
        with self._lock:
            while self._items and size:
                item = self._items[0]
                if not isinstance(item, bytes):
                    if pieces:
                        break
                    return self._items.popleft()
                if len(item) <= size:
                    self._items.popleft()
                else:
                    self._items[0] = item[size:]
                    item = item[:size]
                pieces.append(item)
                size -= len(item)
                self.size -= len(item)
            self._lock.notify()
        return b"".join(pieces) if pieces else None


class Flusher(Generic[M]):
    """Takes from a backlog and writes to a screen, a batch at a time.

    Args:
        backlog: where to take from.
        write: shows what some bytes say, and waits until the screen has taken it.
        skip: takes note of bytes that are not shown; returns how many lines that were.
        tell: shows how many lines were left out.
        mark: acts on a mark.
        clock: seconds, only going forward.
    """

    def __init__(
        self,
        backlog: Backlog[M],
        *,
        write: Callable[[bytes], None],
        skip: Callable[[bytes], int],
        tell: Callable[[int], None],
        mark: Callable[[M], None],
        clock: Callable[[], float],
    ) -> None:
        self._backlog = backlog
        self._write = write
        self._skip = skip
        self._tell = tell
        self._mark = mark
        self._clock = clock
        self._size = _FIRST
        self._skipped = 0

    def step(self) -> float | None:
        """Take what is next; return for how many seconds to let others work then, None: until something comes."""
        behind = self._backlog.size - LIMIT
        item = self._backlog.take(min(behind, _SKIPPED_AT_ONCE) if behind > 0 else self._size)
        if item is None:
            return None
        if not isinstance(item, bytes):
            self._mark(item)
            return 0.0
        if behind > 0:
            self._skipped += self._skip(item)
            return 0.0
        if self._skipped:
            self._tell(self._skipped)
            self._skipped = 0
        begun = self._clock()
        self._write(item)
        taken = self._clock() - begun
        if taken > _SLOW:
            self._size = max(self._size // 2, _SMALLEST)
        elif taken < _QUICK and self._backlog:
            self._size = min(self._size * 2, _LARGEST)
        return max(PAUSE, taken)
