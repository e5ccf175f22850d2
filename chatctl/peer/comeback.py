"""Whether a member comes back when its connection is lost, and when."""

import math
import random
from collections.abc import Callable

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
        self._attempt = 0
        self._since = math.inf  # when the connection was made

    def begin(self, now: float) -> None:
        """A connection has been made."""
        self._since = now

    def delay(self, now: float, *, final: bool) -> float | None:
        """Seconds from the end of a connection, or of an attempt, to the next attempt; None: there must be none.

        From 1, doubled each time, up to 40, and up to half as much again by chance, which keeps those whom one server
        has lost from coming back all at once (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog,
        2015).

        Args:
            now: the time, of the same clock as `begin`'s.
            final: the server has said that it is the end for good, see `Stay.final`.
        """
        if final or not self._wanted:
            return None
        if now - self._since > STEADY:
            self._attempt = 0
        self._since = math.inf
        seconds: float = min(2**self._attempt, _LONGEST / 1.5) * (1 + self._chance() / 2)
        self._attempt = min(self._attempt + 1, _DOUBLINGS)
        return seconds
