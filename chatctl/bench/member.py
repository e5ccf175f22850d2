"""Members of a load: who listens, who parses, who speaks, who is lazy."""

import contextlib
import re
import socket
import time
from collections.abc import Callable

from chatctl.bench.account import Account, Tally, Words
from chatctl.errors import NetworkError

_BUFFER = bytearray(256 * 1024)  # read at a time, at most
_VIEW = memoryview(_BUFFER)

_SIP = 4096  # bytes that the lazy read at a time
_LAZY_BUFFER = 16 * 1024  # bytes of their receive buffers
_LAZY_SEGMENT = 1448
"""Bytes they get in one, as over Ethernet: with loopback's 64 KiB and a small buffer, TCP stops for minutes."""

_WELCOME = re.compile(rb"> Connected to the chat server \((\d+) ")


class Member:
    """One that listens.

    ``sock``: of its connection, which `connect` begins. ``began``: when it did. ``welcomed``: when it was welcome.
    ``users``: how many were online then; 0 before that. ``lines``: that have come while members joined, its welcome
    included. ``joined``: to be set when all have; from then on the ``tally`` counts. ``closed``: its connection has
    ended. ``failure``: why, if that was no good end.
    """

    __slots__ = ("_opening", "began", "closed", "failure", "joined", "lines", "sock", "tally", "users", "welcomed")

    sock: socket.socket

    def __init__(self) -> None:
        self.tally = Tally()
        self.began = self.welcomed = 0.0
        self.users = 0
        self.lines = 0
        self.joined = False
        self.closed = False
        self.failure: str | None = None
        self._opening = b""

    def connect(self, address: tuple[str, int]) -> None:
        """Begin to connect."""
        self.began = time.perf_counter()
        self.sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.tune()
        self.sock.connect_ex(address)

    def tune(self) -> None:
        """Set what the socket must have before it is connected."""

    def read(self, size: int = 0) -> bool:
        """Take what has come, at most so many bytes if it is not 0; False at the end."""
        try:
            got = self.sock.recv_into(_BUFFER, size)
        except BlockingIOError:
            return True
        except OSError as error:
            got = 0
            self.failure = error.strerror
        if got:
            self.take(_VIEW[:got])
        self.closed = not got
        return got > 0

    def take(self, data: memoryview) -> None:
        """Take bytes."""
        if self.joined:
            self.tally.take(data)
            return
        self.lines += bytes(data).count(b"\n")
        if self.users:
            return
        self._opening += data
        if self.lines:
            found = _WELCOME.match(self._opening)
            if not found:
                line = self._opening.partition(b"\n")[0].decode("utf-8", "replace")
                raise NetworkError(f"the server did not let a member in: {line}")
            self.users = int(found[1])
            self.welcomed = time.perf_counter()


class Probe(Member):
    """One that listens and parses.

    Args:
        token: of the load.
        talkers: how many speak.
        hear: is told the lines, as talkers and numbers.

    ``account``: of all lines. ``words``: the tally of their first words.
    """

    __slots__ = ("_hear", "_words", "account", "words")

    def __init__(self, token: bytes, talkers: int, hear: Callable[[list[tuple[int, int]]], None]) -> None:
        super().__init__()
        self.account = Account(talkers)
        self.words = Tally()
        self._words = Words(token)
        self._hear = hear

    def take(self, data: memoryview) -> None:
        """Take bytes."""
        super().take(data)
        if self.joined:
            words = self._words.take(bytes(data))
            self.words.take(b"".join(words))
            self._hear(self.account.take(words))


class Talker(Member):
    """One that speaks, and looks at the first words of what it hears.

    Args:
        token: of the load.
        number: which of the talkers this is, from 0.
        size: bytes of a line, at least 32: its numbers have to fit.

    ``times``: when each line was said. ``words``: the tally of what it has heard.
    """

    __slots__ = ("_begin", "_padding", "_size", "_unsent", "_words", "times", "words")

    def __init__(self, token: bytes, number: int, size: int) -> None:
        super().__init__()
        self.times: list[float] = []
        self.words = Tally()
        self._words = Words(token)
        self._begin = b"%b.%d." % (token, number)
        self._size = size
        self._padding = b"x" * size
        self._unsent = b""

    def take(self, data: memoryview) -> None:
        """Take bytes."""
        if self.joined:
            self.words.take(b"".join(self._words.take(bytes(data))))
        else:
            super().take(data)

    def say(self, lines: int, now: float) -> None:
        """Say so many lines."""
        first = len(self.times)
        said = (b"%b%d %b" % (self._begin, number, self._padding) for number in range(first, first + lines))
        self.shout(b"".join(line[: self._size] + b"\n" for line in said))
        self.times += [now] * lines

    def shout(self, text: bytes) -> None:
        """Say whatever it is."""
        self._unsent += text
        self.push()

    def push(self) -> None:
        """Send what is not sent yet, as far as that can be done at once."""
        if self._unsent:
            with contextlib.suppress(BlockingIOError, ConnectionError):
                self._unsent = self._unsent[self.sock.send(self._unsent) :]


class Lazy(Member):
    """One that reads slowly."""

    __slots__ = ()

    def tune(self) -> None:
        """Have little room for what it has not read."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _LAZY_BUFFER)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _LAZY_SEGMENT)

    def sip(self) -> None:
        """Read a little."""
        if not self.closed:
            self.read(_SIP)
