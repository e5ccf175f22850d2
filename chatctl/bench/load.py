"""One load: members that join a room, talk by a pattern, and check what comes.

All of them are in one loop over `selectors`, which is lean enough for ten thousand: lines are parsed for the talkers
and for one member that only listens, the probe; of everybody else's bytes there is a checksum.
A line counts as delivered when everybody has it: what is measured ends when the last member has the last line.
"""

import secrets
import selectors
import socket
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

from chatctl.bench.account import Tally
from chatctl.bench.member import Member, Probe, Talker
from chatctl.errors import NetworkError

PATTERNS = ("burst", "line", "steady", "storm", "lazy")
"""How members talk."""

WINDOW = 16
"""Lines that a talker has said and the probe has not heard yet, at most, in ``burst`` and ``lazy``; one in ``line``."""

LAZY = 10
"""One member in so many reads slowly, in ``lazy``."""

_CONNECTING = 512  # connections at a time that are no members yet, but in ``storm``
_STALL = 5.0  # seconds without anything that comes, after which what is missing is lost
_NAP = 0.05  # seconds from one read of the lazy to the next
_SIP = 4096  # bytes that they read then
_BUFFER = 16 * 1024  # bytes of their receive buffers
_SEGMENT = (
    1448  # bytes they get in one, as over Ethernet: with loopback's 64 KiB and a small buffer, TCP stops for minutes
)


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


class Load:
    """Members of one room; a context, which they leave at its end.

    Args:
        address: of the server: its host and its port.
        members: how many, talkers included.
        talkers: of them, at most: one only listens, and a part of them only reads slowly in ``lazy``.
        size: bytes of a line.
        pattern: one of `PATTERNS`.
        rate: lines a second, in ``steady``.
    """

    def __init__(
        self, address: tuple[str, int], members: int, talkers: int, size: int, pattern: str, rate: float
    ) -> None:
        self._address = address
        self._pattern = pattern
        self._rate = rate
        self._size = size
        self._wanted = members
        self._slow = members // LAZY if pattern == "lazy" else 0
        self._speaking = 1 if pattern == "line" else max(min(talkers, members - 1 - self._slow), 1)
        self._window = 1 if pattern == "line" else WINDOW
        self._selector = selectors.DefaultSelector()
        self._clock = time.perf_counter
        self._talkers: list[Talker] = []
        self._listeners: list[Member] = []
        self._lazy: list[Member] = []
        self._joined = 0
        self._probe: Probe
        self._heard = [0] * self._speaking  # lines of each talker that the probe has
        self._latencies = array("d")
        self._came = 0.0  # when anything did
        self._fences = 0
        self._token = secrets.token_hex(4).encode()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        for member in self._members:
            member.sock.close()

    @property
    def _members(self) -> list[Member]:
        return [*self._talkers, *self._listeners, *self._lazy]

    def join(self) -> Outcome:
        """Have all of them join as quickly as the server lets them in, until everybody knows of everybody.

        Returns:
            With the notices as deliveries; its seconds end with the last welcome, or in ``storm`` with the last notice.

        Raises:
            NetworkError: not all were let in.
        """
        began = self._came = self._clock()
        ahead = self._wanted if self._pattern == "storm" else _CONNECTING
        opened: list[Member] = []
        while self._joined < self._wanted:
            while len(opened) < self._wanted and len(opened) - self._joined < ahead:
                opened.append(self._open(len(opened)))
            self._turn(0.01)
            if self._stalled():
                raise NetworkError(f"only {self._joined} of {self._wanted} members were let in")
        outcome = Outcome(seconds=self._clock() - began)
        users = max(member.users for member in opened)
        while not self._stalled() and any(member.lines < 1 + users - member.users for member in opened):
            self._turn(0.01)
        for member in opened:
            due = 1 + users - member.users
            outcome.latencies.append(member.welcomed - member.began)
            outcome.deliveries += member.lines
            outcome.lost += max(due - member.lines, 0)
            outcome.doubled += max(member.lines - due, 0)
            member.joined = True
        if self._pattern == "storm":
            outcome.seconds = self._came - began
        outcome.cut = sum(member.closed for member in opened)
        return outcome

    def talk(self, seconds: float) -> Outcome:
        """Have the talkers talk for so long, until everybody has heard everything.

        Raises:
            NetworkError: the server has ended the connections, or gives nothing back.
        """
        self._fence()
        self._latencies = array("d")
        said = sum(self._said())
        for member in self._lazy:
            if not member.closed:
                self._selector.unregister(member.sock)
        began = nap = self._came = self._clock()
        speak = self._at_a_rate(began) if self._pattern == "steady" else self._in_a_window
        while (now := self._clock()) < began + seconds:
            speak(now)
            self._turn(0.001 if self._pattern == "steady" else 0.005)
            if self._lazy and now >= nap:
                nap = now + _NAP
                for member in self._lazy:
                    if not member.closed:
                        member.read(_SIP)
        self._finish(self._listeners)
        if not self._latencies:
            raise NetworkError(f"no line of {self._size} bytes came back: is that too long for the server? see --size")
        took = self._came - began
        self._catch_up()
        return self._outcome(sum(self._said()) - said, took)

    def _catch_up(self) -> None:
        """Have the lazy read all that they have not read yet."""
        for member in self._lazy:
            if not member.closed:
                self._selector.register(member.sock, selectors.EVENT_READ, member)
        self._came = self._clock()
        self._finish(self._lazy)

    def _outcome(self, lines: int, seconds: float) -> Outcome:
        """What came of so many lines, by now."""
        probe = self._probe
        account = probe.account
        outcome = Outcome(
            lines * (self._wanted - len(self._lazy)),
            seconds,
            self._latencies,
            lost=account.missing(self._said()),
            doubled=account.doubled,
            disordered=account.disordered,
            cut=sum(member.closed for member in self._members),
        )
        spared = [member for member in self._lazy if not member.closed]  # who is cut for being slow has lost nothing
        for member in (*self._listeners, *spared):
            self._compare(member.tally, probe.tally, lines, outcome)
        for talker in self._talkers:
            self._compare(talker.words, probe.words, lines, outcome)
        outcome.deliveries -= outcome.lost
        return outcome

    def _compare(self, tally: Tally, reference: Tally, lines: int, outcome: Outcome) -> None:
        """Add what one tally lacks, or has too much of, to an outcome."""
        line = max(reference.count // max(lines, 1), 1)  # its bytes, on the average
        short = reference.count - tally.count
        outcome.lost += max(-(-short // line), 0)
        outcome.doubled += max(-(short // line), 0)
        outcome.disordered += not short and tally.checksum != reference.checksum

    def _open(self, index: int) -> Member:
        """Begin to connect one more: first the probe, then the talkers."""
        sock = socket.socket(socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        member: Member
        if index == 0:
            member = self._probe = Probe(sock, self._token, self._speaking, self._hear)
            self._listeners.append(member)
        elif index <= self._speaking:
            member = Talker(sock, self._token, index - 1, self._size)
            self._talkers.append(member)
        elif index < self._wanted - self._slow:
            member = Member(sock)
            self._listeners.append(member)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _SEGMENT)
            member = Member(sock)
            self._lazy.append(member)
        sock.connect_ex(self._address)
        self._selector.register(sock, selectors.EVENT_READ, member)
        return member

    def _turn(self, seconds: float) -> None:
        """Wait for so long for anything to come, and take it."""
        ready = self._selector.select(seconds)
        if ready:
            self._came = self._clock()
        for key, _ in ready:
            self._read(key.data)
        if self._probe.closed and self._probe.joined:
            raise NetworkError("the server has ended the connections in the middle of a run")
        for talker in self._talkers:
            talker.push()

    def _read(self, member: Member) -> None:
        outside = not member.users
        open_ = member.read()
        if outside and member.users:
            self._joined += 1
        if not open_:
            self._selector.unregister(member.sock)
            if not member.users:
                raise NetworkError(f"a member was not let in: {member.failure or 'the server closed the connection'}")

    def _stalled(self) -> bool:
        """Whether nothing has come for long."""
        return self._clock() - self._came > _STALL

    def _hear(self, lines: list[tuple[int, int]]) -> None:
        """The probe has heard lines."""
        now = self._clock()
        for talker, number in lines:
            self._heard[talker] += 1
            self._latencies.append(now - self._talkers[talker].times[number])

    def _in_a_window(self, now: float) -> None:
        """Have each talker say what it may before more of it is heard."""
        for index, talker in enumerate(self._talkers[: self._speaking]):
            free = self._window - len(talker.times) + self._heard[index]
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
        fence = b"fence %b.%d\n" % (self._token, self._fences)
        hearing = (*self._listeners, *self._lazy)
        for member in hearing:
            member.tally.begin(fence)
        for tally in (self._probe.words, *(talker.words for talker in self._talkers)):
            tally.begin(b"")
        self._talkers[0].shout(fence)
        self._came = self._clock()
        while any(member.tally.fence and not member.closed for member in hearing):
            self._turn(0.005)
            if self._stalled():
                raise NetworkError("a line did not come to everybody: does the server speak the wire?")

    def _finish(self, listeners: Sequence[Member]) -> None:
        """Wait until the talkers and those who listen have everything, or nothing comes any more."""
        while not self._stalled() and not self._complete(listeners):
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
