"""Lines to say that are not in a script: from a file, a pipe or the command line."""

from collections import deque
from collections.abc import Callable, Sequence


class Feed:
    """Lines as they come, for one bot or several.

    Args:
        keep: let every line be read more than once.
        hungry: called when there is nothing left of what was put.

    ``ended``: nothing more will be put. ``failure``: why, if that was not the end.
    """

    def __init__(self, *, keep: bool = False, hungry: Callable[[], object] = lambda: None) -> None:
        self.ended = False
        self.failure: Exception | None = None
        self._keep = keep
        self._hungry = hungry
        self._lines: list[bytes] = []
        self._waiting: deque[bytes] = deque()

    def put(self, lines: Sequence[bytes]) -> None:
        """Add lines."""
        if self._keep:
            self._lines += lines
        else:
            self._waiting += lines
        if self._keep or not lines:
            self._hungry()

    def end(self, failure: Exception | None) -> None:
        """Say that there are no more."""
        self.ended = True
        self.failure = failure

    def has(self, position: int) -> bool:
        """Whether `read` can tell."""
        return self.ended or position < len(self._lines) or bool(self._waiting)

    def read(self, position: int) -> bytes | None:
        """The line at a position, from 0, or None as long as there is none. One that is not kept is read once."""
        if self._keep:
            return self._lines[position] if position < len(self._lines) else None
        if not self._waiting:
            return None
        line = self._waiting.popleft()
        if not self._waiting:
            self._hungry()
        return line
