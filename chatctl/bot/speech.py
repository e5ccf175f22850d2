"""What a bot says: in what pace, how far ahead of the echoes, and what became of it."""

import math
from collections import deque
from typing import NamedTuple

from chatctl.errors import EchoError
from chatctl.peer.echoes import OVERDUE
from chatctl.peer.stay import Stage, Stay


class Pace(NamedTuple):
    """So many lines a second at most (None: no limit); each only when the one before has come back."""

    rate: float | None = None
    wait_for_echo: bool = False


class Speech:
    """The lines that a bot wants said, until they are sent.

    Args:
        pace: in which they are sent.

    ``stay``: over the connection that there is, or was last. ``blocked``: set while that takes nothing.
    ``deadline``: when `flush` may do more than at its last call.
    """

    def __init__(self, pace: Pace) -> None:
        self.stay = Stay()
        self.blocked = False
        self.deadline = math.inf
        self._pace = pace
        self._queue: deque[bytes] = deque()
        self._due = -math.inf  # when the next line may be said, for the rate
        self._sent = 0  # over connections before this one, that had accounts of their own
        self._missing = 0

    @property
    def idle(self) -> bool:
        """Whether all is sent."""
        return not self._queue

    @property
    def waiting(self) -> int:
        """Lines that are not sent yet."""
        return len(self._queue)

    @property
    def sent(self) -> int:
        """Lines sent that are to be echoed."""
        return self._sent + self.stay.echoes.said

    @property
    def missing(self) -> int:
        """Lines that were not echoed, so far."""
        return self._missing + self.stay.echoes.missing

    def account(self) -> str:
        """The same in words."""
        return f"{self.missing} of {self.sent} lines were not echoed"

    def enter(self, stay: Stay) -> None:
        """Go on over another connection; what was not echoed over the last one may have another account."""
        if stay.echoes is not self.stay.echoes:
            self._sent, self._missing = self.sent, self.missing
        self.stay = stay
        self.blocked = False

    def say(self, line: bytes) -> None:
        """Have a line sent: chat, with a leading ``/`` doubled, or a command."""
        self._queue.append(line)

    def flush(self, now: float) -> bytes:
        """Account for all that may be sent now, and return it.

        Raises:
            EchoError: an echo that is waited for took too long.
        """
        self.deadline = math.inf
        ready = []
        if self.stay.stage is Stage.OPEN and not self.blocked:
            while self._queue and self._may_speak(now):
                ready.append(self.stay.send(self._queue.popleft(), now))
                if self._pace.rate:
                    self._due = later(self._due, now, 1 / self._pace.rate)
        return b"".join(ready)

    def _may_speak(self, now: float) -> bool:
        """Whether the next line can be sent now; if not, the deadline says when."""
        echoes = self.stay.echoes
        if self._pace.wait_for_echo and echoes.unechoed:
            if now >= echoes.patience:
                raise EchoError(f"no echo within {OVERDUE:.0f} s: {self.account()}")
            until = echoes.patience
        else:
            until = max(echoes.hold(now) or -math.inf, self._due)
        if until > now:
            self.deadline = until
        return until <= now


def later(due: float, now: float, seconds: float) -> float:
    """When something is due again that happens every so many seconds, and was due; what was missed is left out."""
    return (due if due > now - seconds else now) + seconds
