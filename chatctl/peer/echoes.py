"""The account of what was sent and has not come back yet, and how far one may be ahead of that."""

import math
import re
from collections import deque
from typing import NamedTuple

from chatctl import wire
from chatctl.wire import words

OVERDUE = 10.0
"""Seconds after which an echo is not waited for any longer."""

LATE = 1.0
"""Seconds after which an echo is late, so that who has said the line wants to know."""

REFUSED = 100
"""Lines that were too long and are remembered, the last ones."""

WINDOW = 256 * 1024
"""Bytes sent ahead of their echoes, at most: who reads its own lines more slowly than it sends would be cut."""


_REFUSED = re.compile(rf"{words.TOO_LONG} (\d{{1,9}}) bytes")


class Due(NamedTuple):
    """A line that was sent.

    Attributes:
        line: as it was sent, without its number.
        said: what it says, as others will see it; None: it is a command.
        at: when it was sent.
        number: what the server was told to call it; 0: it has none, and is known by what it says.
    """

    line: bytes
    said: bytes | None
    at: float
    number: int


class Echoes:
    """The account. Commands are in it only under numbers: nobody could tell else what answers them.

    ``said``: lines of chat, so far. ``unechoed``: bytes of the lines that are still due. ``patience``: when the last of
    them should have come back. ``limit``: bytes that the room takes in a line, once it has refused a longer one.
    ``refused``: those lines, `REFUSED` at most, for who takes them out.
    """

    def __init__(self) -> None:
        self.said = 0
        self.unechoed = 0
        self.patience = -math.inf
        self.limit: int | None = None
        self.refused: deque[bytes] = deque(maxlen=REFUSED)
        self._passed_over = 0
        self._window: float = WINDOW
        self._due: deque[Due] = deque()

    @property
    def missing(self) -> int:
        """Lines of chat without an echo, so far."""
        return self._passed_over + len(self.due)

    @property
    def due(self) -> list[bytes]:
        """What was said whose echoes may still come."""
        return [due.said for due in self._due if due.said is not None]

    @property
    def open(self) -> bool:
        """Whether anything is due, commands too."""
        return bool(self._due)

    def late(self, now: float) -> int:
        """How many lines have been due for longer than `LATE`."""
        return sum(due.at <= now - LATE for due in self._due)

    def say(self, line: bytes, now: float, number: int = 0) -> None:
        """A clean line is sent, maybe under a number."""
        said = wire.said(line)
        if said is None and not number:
            return
        self._due.append(Due(line, said, now, number))
        self.said += said is not None
        self.unechoed += len(line)
        self.patience = now + OVERDUE

    def hear(self, line: bytes) -> None:
        """Strike off what was said and has come back; what was sent before it was refused by the server."""
        if not self._due or (self._due[0].said != line and line not in self.due):
            return
        while (due := self._strike()).said != line:
            self._passed_over += due.said is not None

    def done(self, number: int) -> None:
        """Strike off the line of a number, and those before it, which are done as well: numbers rise."""
        while self._due and 0 < self._due[0].number <= number:
            self._strike()

    def refuse(self, limit: int, number: int = 0) -> None:
        """The server says that a line had more bytes than it takes.

        Args:
            limit: so many.
            number: of the line; 0: it is the first such line of those that are due.
        """
        self.limit = limit
        for place, due in enumerate(self._due):
            if due.number == number if number else len(due.line) > limit:
                self._strike(place)
                if due.said is not None:
                    self.refused.append(due.said)
                    self._passed_over += 1
                return

    def answer(self, text: str, number: int = 0) -> None:
        """Take account of what the server itself says, maybe of the line of a number: it may have been too long."""
        if refused := _REFUSED.fullmatch(text):
            self.refuse(int(refused[1]), number)

    @property
    def numbered(self) -> bool:
        """Whether anything is due under a number."""
        return any(due.number for due in self._due)

    def number(self, first: int) -> int:
        """Give numbers, from the first on, to those that are due and have none; return the next one."""
        for place, due in enumerate(self._due):
            if not due.number:
                self._due[place] = due._replace(number=first)
                first += 1
        return first

    def again(self, now: float) -> list[Due]:
        """What is due, to be sent again: its time begins anew."""
        self.patience = now + OVERDUE
        self._due = deque(due._replace(at=now) for due in self._due)
        return list(self._due)

    def doubt(self) -> list[Due]:
        """Wait no longer for what is due: it may be lost. Return it."""
        doubtful = list(self._due)
        self._passed_over += len(self.due)
        self._due.clear()
        self.unechoed = 0
        return doubtful

    def _strike(self, place: int = 0) -> Due:
        due = self._due[place]
        del self._due[place]
        self.unechoed -= len(due.line)
        return due

    def hold(self, now: float) -> float | None:
        """Until when, at most, nothing more should be sent, as too many echoes are due; None: the next line may be.

        When that time has come, the server is taken for one that does not echo.
        """
        if self.unechoed > self._window:
            if now < self.patience:
                return self.patience
            self._window = math.inf
        return None
