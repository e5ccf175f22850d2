"""Whether a member comes back when its connection is lost, and when."""

import random
from collections.abc import Callable, Iterator

STEADY = 60.0
"""Seconds that a connection has to last for the next loss of one to be a first."""

_LONGEST = 60.0  # seconds between two attempts, at most
_DOUBLINGS = 6  # of the first second, until that is reached


class Comeback:
    """The policy of one member. Tell it of every connection (`begin`), and ask it at every end (`delay`).

    Args:
        wanted: come back at all.
        chance: gives numbers from 0 to 1.
    """

    def __init__(self, *, wanted: bool, chance: Callable[[], float] = random.random) -> None:
        self._wanted = wanted
        self._chance = chance
        self._delays = delays(chance)
        self._since: float | None = None  # when the connection was made

    def begin(self, now: float) -> None:
        """A connection has been made."""
        self._since = now

    def delay(self, now: float, *, final: bool) -> float | None:
        """Seconds from the end of a connection, or of an attempt, to the next attempt; None: there must be none.

        Args:
            now: the time, of the same clock as `begin`'s.
            final: the server has said that it is the end for good, see `Stay.final`.
        """
        if final or not self._wanted:
            return None
        if self._since is not None and now - self._since > STEADY:
            self._delays = delays(self._chance)
        self._since = None
        return next(self._delays)


def delays(chance: Callable[[], float]) -> Iterator[float]:
    """Seconds to wait before each attempt: from 1, doubled each time, up to 40, and up to half as much again by chance.

    The chance keeps those whom one server has lost from coming back all at once (M. Brooker, "Exponential Backoff And
    Jitter", AWS Architecture Blog, 2015).
    """
    attempt = 0
    while True:
        yield min(2**attempt, _LONGEST / 1.5) * (1 + chance() / 2)
        attempt = min(attempt + 1, _DOUBLINGS)
