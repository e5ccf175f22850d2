"""The lines that a bot has not read yet: behind its reading position."""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from chatctl.wire import Event, parse

_OWN = "[You] "
_LINE = 64  # bytes that a line takes besides its own


@dataclass
class Memory:
    """Bytes for such lines of all bots together: ``most`` of them, and how many are ``used``."""

    most: int
    used: int = 0


class Unread:
    """Lines in their order; beyond the memory for them the oldest are forgotten.

    Args:
        memory: for them.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._lines: deque[str] = deque()
        self._forgotten = 0
        self._passed = 0  # that were looked at and not found, since `begin`
        self._last = ""  # of them

    def __iter__(self) -> Iterator[Event]:
        return map(parse, self._lines)

    def add(self, line: str) -> None:
        """Add a line that has come."""
        self._lines.append(line)
        self._memory.used += len(line) + _LINE
        while self._memory.used > self._memory.most and len(self._lines) > 1:
            self._forgotten += 1
            self._next()

    def clear(self) -> None:
        """Drop all: nobody will read them."""
        while self._lines:
            self._next()

    def begin(self) -> None:
        """Look for something new from now on."""
        self._passed = 0

    def find(self, pattern: re.Pattern[str], *, own: bool) -> tuple[re.Match[str], Event] | None:
        """Move the reading position just behind the line that has a pattern, or over all that there are.

        Args:
            pattern: searched in a line as it is shown.
            own: look at the bot's own lines, and not at all others.
        """
        while self._lines:
            line = self._next()
            if line.startswith(_OWN) is own:
                if found := pattern.search(line):
                    return found, parse(line)
                self._passed += 1
                self._last = line
        return None

    def passed(self) -> str:
        """What has come instead of what was looked for, in words."""
        forgotten = f" ({self._forgotten} lines before that had to be forgotten)" if self._forgotten else ""
        if not self._passed:
            return f"nothing came{forgotten}"
        return f"instead came{'' if self._passed == 1 else f' {self._passed} lines, the last'}: {self._last}{forgotten}"

    def _next(self) -> str:
        line = self._lines.popleft()
        self._memory.used -= len(line) + _LINE
        return line
