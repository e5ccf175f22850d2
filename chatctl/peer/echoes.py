"""The account of what was said over one connection and has not come back yet, and how far one may be ahead of that."""

import math
from collections import deque

from chatctl import wire

OVERDUE = 10.0
"""Seconds after which an echo is not waited for any longer."""

LATE = 1.0
"""Seconds after which an echo is late, so that who has said the line wants to know."""

REFUSED = 100
"""Lines that were too long and are remembered, the last ones."""

WINDOW = 256 * 1024
"""Bytes sent ahead of their echoes, at most: who reads its own lines more slowly than it sends would be cut."""


class Echoes:
    """The account.

    ``said``: lines, so far. ``unechoed``: bytes of those that are still due. ``patience``: when the last of them should
    have come back. ``limit``: bytes that the room takes in a line, once it has refused a longer one. ``refused``: those
    lines, `REFUSED` at most, for who takes them out.
    """

    def __init__(self) -> None:
        self.said = 0
        self.unechoed = 0
        self.patience = -math.inf
        self.limit: int | None = None
        self.refused: deque[bytes] = deque(maxlen=REFUSED)
        self._passed_over = 0
        self._window: float = WINDOW
        self._due: deque[bytes] = deque()
        self._said_at: deque[float] = deque()  # of each of those

    @property
    def missing(self) -> int:
        """Lines without an echo, so far."""
        return self._passed_over + len(self._due)

    @property
    def due(self) -> list[bytes]:
        """The lines whose echoes may still come."""
        return list(self._due)

    def late(self, now: float) -> int:
        """How many lines have been due for longer than `LATE`."""
        return sum(at <= now - LATE for at in self._said_at)

    def say(self, line: bytes, now: float) -> None:
        """A line is sent, as others will see it."""
        self._due.append(line)
        self._said_at.append(now)
        self.said += 1
        self.unechoed += len(line)
        self.patience = now + OVERDUE

    def hear(self, line: bytes) -> None:
        """Strike off a line that has come back; those sent before it were refused by the server."""
        if not self._due or (self._due[0] != line and line not in self._due):
            return
        while self._strike() != line:
            self._passed_over += 1

    def refuse(self, limit: int) -> None:
        """The server says that a line had more bytes than it takes: the first such line of those that are due."""
        self.limit = limit
        for place, line in enumerate(self._due):
            if len(wire.escaped(line)) > limit:
                self.refused.append(self._strike(place))
                self._passed_over += 1
                return

    def _strike(self, place: int = 0) -> bytes:
        line = self._due[place]
        del self._due[place], self._said_at[place]
        self.unechoed -= len(line)
        return line

    def hold(self, now: float) -> float | None:
        """Until when, at most, nothing more should be sent, as too many echoes are due; None: the next line may be.

        When that time has come, the server is taken for one that does not echo.
        """
        if self.unechoed > self._window:
            if now < self.patience:
                return self.patience
            self._window = math.inf
        return None
