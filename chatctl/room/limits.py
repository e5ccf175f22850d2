"""What members may cost: lines, bytes, places, time; and what they may know."""

from collections.abc import Sequence
from dataclasses import dataclass

from chatctl import wire
from chatctl.room.door import Network

_TOKEN = 256  # bytes of a line, or of an answer, that one token pays for
_LOOKED_AT = 65536  # bytes in which an answer is looked for, likewise


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of a room; 0 turns off those that can be off.

    Attributes:
        max_line: bytes a line may have.
        max_lag: bytes a member may be behind; the log keeps as many.
        max_users: people in the room at a time; None: 10,000, or what the descriptor limit allows.
        max_per_ip: of them, how many from one address; 0: no limit.
        rate: lines a second that are read of a member in the long run; 0: no limit.
        burst: lines that are read of a member before its rate matters.
        idle_timeout: seconds after which a member that sends nothing is ended; 0: never.
        greet_delay: seconds that a newcomer has for saying under which name it comes, before it is greeted; 0: none.
        grace: seconds for which a program with a place is waited for whose connection is lost; 0: not at all.
        history: lines that are remembered for who asks for them; 0: none.
        hide_addresses: show members the addresses only of those who have no name.
        allow: if there are any, only who comes from one of these networks is let in.
        deny: who comes from one of these is not, whatever is allowed.
    """

    max_line: int = wire.MAX_LINE
    max_lag: int = 4 * 1024 * 1024
    max_users: int | None = None
    max_per_ip: int = 0
    rate: float = 100.0
    burst: int = 2_000
    idle_timeout: float = 0.0
    greet_delay: float = 0.05
    grace: float = 60.0
    history: int = 200
    hide_addresses: bool = False
    allow: Sequence[Network] = ()
    deny: Sequence[Network] = ()


class Bucket:
    """A token bucket for the lines of one member.

    A line costs one token for each 256 bytes of it that have begun, an empty one costs one too. What was read is paid
    for afterwards, so there may be a debt. Long answers cost as much again, see `charge`.

    Args:
        rate: tokens a second.
        burst: tokens that it holds, and has at first.
        now: the time, in seconds of any clock that only goes forward.
    """

    __slots__ = ("_at", "_begun", "_burst", "_rate", "_tokens", "warned")

    def __init__(self, rate: float, burst: int, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens: float = burst
        self._at = now
        self._begun = 0  # bytes of the line that has not ended
        self.warned = False

    def spend(self, data: bytes, now: float) -> float:
        """Pay for what was read; return the seconds until there is no debt."""
        self._tokens = min(self._tokens + (now - self._at) * self._rate, self._burst) - self._cost(data)
        self._at = now
        return self.wait(now)

    def charge(self, answered: int, looked_at: int) -> None:
        """Pay for an answer: so many bytes of it, found in so many."""
        self._tokens -= answered // _TOKEN + looked_at // _LOOKED_AT

    def wait(self, now: float) -> float:
        """Seconds until there is no debt."""
        return max(-self._tokens / self._rate - (now - self._at), 0.0)

    def _cost(self, data: bytes) -> int:
        paid = -(-self._begun // _TOKEN)
        *ended, rest = data.split(b"\n")
        if not ended:
            self._begun += len(rest)
            return -(-self._begun // _TOKEN) - paid
        longer = sum((len(line) - 1) // _TOKEN for line in ended[1:] if len(line) > _TOKEN)
        first = max(-(-(self._begun + len(ended[0])) // _TOKEN), 1)
        self._begun = len(rest)
        return first - paid + len(ended) - 1 + longer + -(-len(rest) // _TOKEN)
