"""One load: members that join a room, talk by a pattern, and check what comes.

Lines are parsed for the talkers and for one member that only listens, the probe; of everybody else's bytes there is a
checksum.
A line counts as delivered when everybody has it: what is measured ends when the last member has the last line.
"""

import secrets
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from chatctl.bench.account import Outcome
from chatctl.bench.crew import Crew
from chatctl.bench.member import Lazy, Member, Probe, Talker
from chatctl.errors import NetworkError
from chatctl.peer.stay import Stay


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """How members talk.

    Attributes:
        talkers: how many of them, at most.
        window: lines that a talker has said and the probe has not heard yet, at most; 0: they talk at a rate.
        lazy: one member in so many reads slowly; 0: nobody.
        storm: all join at once, and nobody talks.
    """

    talkers: int = 100_000
    window: int = 16
    lazy: int = 0
    storm: bool = False


PATTERNS = {
    "burst": Pattern(),
    "line": Pattern(talkers=1, window=1),
    "steady": Pattern(window=0),
    "storm": Pattern(storm=True),
    "lazy": Pattern(lazy=10),
}

_NAP = 0.05  # seconds from one read of the lazy to the next


class Load:
    """Members of one room; a context, which they leave at its end.

    Args:
        address: of the server: its host and its port.
        enter: makes the stay of each member.
        members: how many, talkers included.
        talkers: of them, at most; at least one only listens, and those who read slowly say nothing.
        size: bytes of a line.
        pattern: how they talk.
        rate: lines a second, without a window.
        dialect: which the stays speak: ``text`` or ``json``.
    """

    def __init__(
        self,
        address: tuple[str, int],
        enter: Callable[[], Stay],
        members: int,
        talkers: int,
        size: int,
        pattern: Pattern,
        rate: float,
        dialect: str = "text",
    ) -> None:
        slow = members // pattern.lazy if pattern.lazy else 0
        speaking = max(min(talkers, pattern.talkers, members - 1 - slow), 1)
        self._address = address
        self._enter = enter
        self._pattern = pattern
        self._rate = rate
        self._size = size
        self._token = secrets.token_hex(4).encode()
        self._fences = 0
        self._end = b'"}\n' if dialect == "json" else b"\n"  # of a line that comes
        self._heard = [0] * speaking  # lines of each talker that the probe has
        self._latencies = array("d")
        self._probe = Probe(self._token, speaking, self._hear)
        self._talkers = [Talker(self._token, number, size) for number in range(speaking)]
        self._lazy = [Lazy() for _ in range(slow)]
        self._listeners = [self._probe, *(Member() for _ in range(members - 1 - speaking - slow))]
        self._crew = Crew([self._probe, *self._talkers, *self._listeners[1:], *self._lazy])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._crew.close()

    def join(self) -> Outcome:
        """Have all of them join, see `Crew.join`. Raises `NetworkError` and `PasswordError`."""
        return self._crew.join(self._address, self._enter, storm=self._pattern.storm)

    def talk(self, seconds: float) -> Outcome:
        """Have the talkers talk for so long, until everybody has heard everything.

        Raises:
            NetworkError: the server has ended the connections, or gives nothing back.
        """
        self._fence()
        self._latencies = array("d")
        said = sum(self._said())
        self._crew.neglect(*self._lazy)
        self._crew.wait()
        began = nap = self._crew.came
        speak = self._in_a_window if self._pattern.window else self._at_a_rate(began)
        while (now := time.perf_counter()) < began + seconds:
            speak(now)
            self._turn(0.005 if self._pattern.window else 0.001)
            if self._lazy and now >= nap:
                nap = now + _NAP
                for member in self._lazy:
                    member.sip()
        self._finish(self._listeners)
        if not self._latencies:
            raise NetworkError(f"no line of {self._size} bytes came back: is that too long for the server? see --size")
        took = self._crew.came - began
        self._crew.attend(*self._lazy)  # who have much to catch up with
        self._crew.wait()
        self._finish(self._lazy)
        return self._outcome(sum(self._said()) - said, took)

    def _outcome(self, lines: int, seconds: float) -> Outcome:
        """What came of so many lines, by now."""
        probe = self._probe
        account = probe.account
        outcome = Outcome(
            lines * (len(self._talkers) + len(self._listeners)),
            seconds,
            self._latencies,
            lost=account.missing(self._said()),
            doubled=account.doubled,
            disordered=account.disordered,
            cut=self._crew.cut(),
        )
        spared = [member for member in self._lazy if not member.closed]  # who is cut for being slow has lost nothing
        for member in (*self._listeners, *spared):
            outcome.compare(member.tally, probe.tally, lines)
        for talker in self._talkers:
            outcome.compare(talker.words, probe.words, lines)
        outcome.deliveries -= outcome.lost
        return outcome

    def _turn(self, seconds: float) -> None:
        """Wait for so long for anything to come, and take it."""
        self._crew.turn(seconds)
        if self._probe.closed:
            raise NetworkError("the server has ended the connections in the middle of a run")
        for talker in self._talkers:
            talker.push()

    def _hear(self, lines: list[tuple[int, int]]) -> None:
        """The probe has heard lines."""
        now = time.perf_counter()
        for talker, number in lines:
            self._heard[talker] += 1
            self._latencies.append(now - self._talkers[talker].times[number])

    def _in_a_window(self, now: float) -> None:
        """Have each talker say what it may before more of it is heard."""
        for index, talker in enumerate(self._talkers):
            free = self._pattern.window - len(talker.times) + self._heard[index]
            if free > 0:
                talker.say(free, now)

    def _at_a_rate(self, began: float) -> Callable[[float], None]:
        """What has the talkers, in turn, say what is due; it counts as sent when it was due."""
        said = 0

        def speak(now: float) -> None:
            nonlocal said
            while (due := began + said / self._rate) <= now:
                self._talkers[said % len(self._talkers)].say(1, due)
                said += 1

        return speak

    def _fence(self) -> None:
        """Have everybody count anew from behind the same line."""
        self._fences += 1
        fence = b"fence %b.%d" % (self._token, self._fences)
        hearing = (*self._listeners, *self._lazy)
        for member in hearing:
            member.tally.begin(fence + self._end)
        for tally in (self._probe.words, *(talker.words for talker in self._talkers)):
            tally.begin(b"")
        self._talkers[0].shout(fence + b"\n")
        self._crew.wait()
        while any(member.tally.fence and not member.closed for member in hearing):
            self._turn(0.005)
            if self._crew.stalled():
                raise NetworkError("a line did not come to everybody: does the server speak the wire?")

    def _finish(self, listeners: Sequence[Member]) -> None:
        """Wait until the talkers and those who listen have everything, or nothing comes any more."""
        while not self._crew.stalled() and not self._complete(listeners):
            self._turn(0.005)

    def _complete(self, listeners: Sequence[Member]) -> bool:
        return (
            not self._probe.account.missing(self._said())
            and all(talker.words.count >= self._probe.words.count for talker in self._talkers if not talker.closed)
            and all(member.tally.count >= self._probe.tally.count for member in listeners if not member.closed)
        )

    def _said(self) -> list[int]:
        """Lines that each talker has said."""
        return [len(talker.times) for talker in self._talkers]
