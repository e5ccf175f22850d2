"""Lines to say that are not in a script: from a file, a pipe or the command line."""

from collections import deque
from collections.abc import Callable, Sequence


class Feed:
    """Lines as they come, for one bot or several.

    Args:
        keep: let every line be read more than once.
        ask: called when a line is wanted and there is none; the answer is `put` or `end`.

    ``count``: lines that were put. ``ended``: no more will be. ``failure``: why, if that is not the end of them.
    """

    def __init__(self, *, keep: bool, ask: Callable[[], object]) -> None:
        self.count = 0
        self.ended = False
        self.failure: Exception | None = None
        self._keep = keep
        self._ask = ask
        self._asked = False
        self._kept: list[bytes] = []
        self._lines: deque[bytes] = deque()

    def put(self, lines: Sequence[bytes]) -> None:
        """Add lines; if these are none, it asks again."""
        if not lines:
            self._ask()
            return
        self.count += len(lines)
        self._asked = False
        (self._kept if self._keep else self._lines).extend(lines)

    def end(self, failure: Exception | None) -> None:
        """Say that there are no more."""
        self.ended = True
        self.failure = failure

    def has(self, position: int) -> bool:
        """Whether there is a line at a position, from 0, or no hope for it."""
        return self.ended or position < len(self._kept) or bool(self._lines)

    def read(self, position: int) -> bytes | None:
        """The line at a position, or None as long as there is none. One that is not kept can be read once."""
        if position < len(self._kept):
            return self._kept[position]
        if self._lines:
            return self._lines.popleft()
        if not self._asked and not self.ended:
            self._asked = True
            self._ask()
        return None
