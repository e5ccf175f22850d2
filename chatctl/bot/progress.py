"""How far a long run is: a line on stderr, drawn over and over; where that is no terminal, nothing."""

import contextlib
import os
from collections.abc import Callable, Sequence

from chatctl import output
from chatctl.bot.interpreter import Interpreter
from chatctl.bot.plan import Size

INTERVAL = 0.5
"""Seconds from one drawing to the next; a run that is shorter than two of them shows nothing."""


class Progress:
    """The line.

    Args:
        bots: whose progress it is.
        each: says what each of them has to do; None, as long as that is not known.
        screen: whether there is one to draw on.
    """

    def __init__(self, bots: Sequence[Interpreter], each: Callable[[], Size | None], *, screen: bool) -> None:
        self._bots = bots
        self._each = each
        self._drawn = False
        self._screen = screen

    def draw(self, elapsed: float) -> None:
        """Draw the line, so many seconds from the beginning."""
        if self._screen and elapsed >= 2 * INTERVAL:
            columns = 80
            with contextlib.suppress(OSError):
                columns = os.get_terminal_size(2).columns
            self._write(f"\r{self.text(elapsed)[: columns - 1]}\x1b[K")
            self._drawn = True

    def erase(self) -> None:
        """Make room for something else on the screen."""
        if self._drawn:
            self._write("\r\x1b[K")
            self._drawn = False

    def text(self, elapsed: float) -> str:
        """The line: steps taken, lines said, the time that is left if that can be told."""
        taken = sum(bot.taken for bot in self._bots)
        sent = sum(bot.speech.sent for bot in self._bots)
        lines = f"{sent:,} {'line' if sent == 1 else 'lines'} sent"
        each = self._each()
        if not each:
            return lines
        total = each.steps * len(self._bots)
        left = _left(elapsed, taken, total, each, sum(bot.waited for bot in self._bots) / len(self._bots))
        return f"{taken:,} of {total:,} steps, {lines}" + (f", {_clock(left)} left" if left is not None else "")

    def _write(self, text: str) -> None:
        try:
            output.write(2, text.encode())
        except OSError:
            self._screen = False


def _left(elapsed: float, taken: int, total: int, each: Size, waited: float) -> float | None:
    """Seconds left: what the script waits, and for each other step as long as those before took."""
    if not taken or not each.ends:
        return None
    return max(each.least - waited, 0.0) + max(elapsed - waited, 0.0) / taken * (total - taken)


def _clock(seconds: float) -> str:
    """Minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"
