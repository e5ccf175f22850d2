"""What has come: which lines, in which order; or only how many bytes, and their checksum.

A line of the load is ``TOKEN.TALKER.NUMBER`` and padding; the token tells it from what others say. One member, the
probe, has an `Account` of all lines. Everybody else has a `Tally`, which must come out like the probe's: who only
listens, of all bytes, as they all see the same; who speaks, of the talkers and numbers of all lines, as it sees its own
with another head.
"""

import re
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field


class Words:
    """The talkers and numbers in the lines of the load, in bytes that come in pieces.

    Args:
        token: of the load.
    """

    __slots__ = ("_find", "_partial")

    def __init__(self, token: bytes) -> None:
        self._find = re.compile(rb"(?:\] |\"text\":\")%b\.(\d+\.\d+) " % re.escape(token)).findall
        self._partial = b""

    def take(self, data: bytes) -> list[bytes]:
        """Take bytes, return those of the lines that they complete."""
        block, newline, rest = data.rpartition(b"\n")
        if not newline:
            self._partial += data
            return []
        block, self._partial = self._partial + block, rest
        return self._find(block)


class Account:
    """The lines that one member has received, parsed.

    Args:
        talkers: how many speak.

    ``doubled``, ``disordered``: lines that came again, or after later ones of the same talker.
    """

    def __init__(self, talkers: int) -> None:
        self.doubled = 0
        self.disordered = 0
        self._next = [0] * talkers
        self._missing: set[tuple[int, int]] = set()

    def take(self, words: Sequence[bytes]) -> list[tuple[int, int]]:
        """Take the first words of some lines, return their talkers and numbers."""
        found = [(int(talker), int(number)) for talker, _, number in (word.partition(b".") for word in words)]
        following = self._next
        for talker, number in found:
            if number == following[talker]:
                following[talker] = number + 1
            else:
                self._surprise(talker, number)
        return found

    def missing(self, sent: Sequence[int]) -> int:
        """How many lines have not come of those that each talker has sent."""
        return len(self._missing) + sum(sent) - sum(self._next)

    def _surprise(self, talker: int, number: int) -> None:
        due = self._next[talker]
        if number > due:
            self._missing.update((talker, skipped) for skipped in range(due, number))
            self._next[talker] = number + 1
        elif (talker, number) in self._missing:
            self._missing.remove((talker, number))
            self.disordered += 1
        else:
            self.doubled += 1


class Tally:
    """Bytes since a fence: ``count`` and ``checksum``. As long as there is a ``fence``, it has not come yet."""

    __slots__ = ("_tail", "checksum", "count", "fence")

    def __init__(self) -> None:
        self.fence = b""
        self.count = 0
        self.checksum = 0
        self._tail = b""

    def begin(self, fence: bytes) -> None:
        """Count anew from behind a fence that is to come."""
        self.fence = fence
        self.count = 0
        self.checksum = 0
        self._tail = b""

    def take(self, data: memoryview | bytes) -> None:
        """Take bytes."""
        if not self.fence:
            self.count += len(data)
            self.checksum = zlib.crc32(data, self.checksum)
            return
        joined = self._tail + data
        place = joined.find(self.fence)
        if place < 0:
            self._tail = joined[-len(self.fence) + 1 :]
            return
        rest = joined[place + len(self.fence) :]
        self.fence = b""
        self.count = len(rest)
        self.checksum = zlib.crc32(rest)


@dataclass
class Outcome:
    """What was seen of a load.

    Attributes:
        deliveries: lines that came, over all members but the lazy.
        seconds: that it took.
        latencies: seconds of each line from sent to received at the probe; of a join, from connecting to the welcome.
        lost: lines that did not come, over all members; likewise ``doubled`` and ``disordered``.
        cut: members whose connection ended.
    """

    deliveries: int = 0
    seconds: float = 0.0
    latencies: "array[float]" = field(default_factory=lambda: array("d"))
    lost: int = 0
    doubled: int = 0
    disordered: int = 0
    cut: int = 0

    def compare(self, tally: Tally, reference: Tally, lines: int) -> None:
        """Add what one tally of so many lines lacks, or has too much of."""
        line = max(reference.count // max(lines, 1), 1)  # its bytes, on the average
        short = reference.count - tally.count
        self.lost += max(-(-short // line), 0)
        self.doubled += max(-(short // line), 0)
        self.disordered += not short and tally.checksum != reference.checksum


def percentiles(latencies: "array[float]", *parts: float) -> list[float]:
    """The least latencies that so many parts of all do not exceed (nearest rank); 0 where there are none."""
    ordered = sorted(latencies)
    return [ordered[max(-int(-part * len(ordered) // 1) - 1, 0)] if ordered else 0.0 for part in parts]
