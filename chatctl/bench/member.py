"""Members of a load: who listens, who parses, who speaks, who is lazy."""

import contextlib
import socket
import time
from collections.abc import Callable

from chatctl.bench.account import Account, Tally, Words
from chatctl.errors import NetworkError
from chatctl.peer.stay import Stage, Stay
from chatctl.wire import Kind

_BUFFER = bytearray(256 * 1024)  # read at a time, at most
_VIEW = memoryview(_BUFFER)

_SIP = 4096  # bytes that the lazy read at a time
_LAZY_BUFFER = 16 * 1024  # bytes of their receive buffers
_LAZY_SEGMENT = 1448
"""Bytes they get in one, as over Ethernet: with loopback's 64 KiB and a small buffer, TCP stops for minutes."""


class Member:
    """One that listens.

    ``sock``: of its connection, which `connect` begins. ``stay``: lets it in, and speaks TLS. ``began``: when it began
    to connect. ``welcomed``: when it was. ``users``: how many were online then; 0 before that. ``lines``: that have
    come while members joined, its welcome included. ``joined``: to be set when all have; from then on the ``tally``
    counts. ``closed``: its connection has ended. ``unsent``: what could not be sent yet.
    """

    __slots__ = (
        "_plain",
        "began",
        "closed",
        "joined",
        "lines",
        "sock",
        "stay",
        "tally",
        "unsent",
        "users",
        "welcomed",
    )

    sock: socket.socket
    stay: Stay

    def __init__(self) -> None:
        self.tally = Tally()
        self.began = self.welcomed = 0.0
        self.users = 0
        self.lines = 0
        self.joined = False
        self.closed = False
        self.unsent = b""

    def connect(self, address: tuple[str, int], stay: Stay) -> None:
        """Begin to connect; what is ``unsent`` then has to be pushed when that is done."""
        self.began = time.perf_counter()
        self.stay = stay
        self.unsent = stay.encrypt(b"")
        self._plain = not self.unsent
        self.sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.tune()
        self.sock.connect_ex(address)

    def tune(self) -> None:
        """Set what the socket must have before it is connected."""

    def read(self, size: int = 0) -> bool:
        """Take what has come, at most so many bytes if it is not 0; False at the end.

        Raises:
            NetworkError: the server does not let it in.
            PasswordError: the room has another password.
        """
        try:
            got = self.sock.recv_into(_BUFFER, size)
        except BlockingIOError:
            return True
        except OSError as error:
            got = 0
            self.stay.end(error)
        if got and self._plain and self.users:  # as it nearly always is: at the price of these lines, and no more
            self.take(_VIEW[:got])
        else:
            self._take_in(bytes(_VIEW[:got]))
        return not self.closed

    def take(self, text: memoryview | bytes) -> None:
        """Take text that came behind the welcome."""
        if self.joined:
            self.tally.take(text)
        else:
            self.lines += bytes(text).count(b"\n")

    def shout(self, text: bytes) -> None:
        """Say whatever it is, and what TLS itself has to say."""
        self.unsent += self.stay.encrypt(text)
        self.push()

    def push(self) -> None:
        """Send what is not sent yet, as far as that can be done at once."""
        if self.unsent:
            with contextlib.suppress(BlockingIOError, ConnectionError):
                self.unsent = self.unsent[self.sock.send(self.unsent) :]

    def _take_in(self, data: bytes) -> None:
        """Take bytes that are encrypted, or come before the welcome, or are no more."""
        now = time.perf_counter()
        text = self.stay.decrypt(data, now)
        if self.users:
            self.take(text)
        elif text:
            self._enter(text, now)
        self.shout(b"")
        self.closed = self.stay.ended

    def _enter(self, text: bytes, now: float) -> None:
        """Do what the server waits for, until it says welcome.

        Raises:
            NetworkError: it says something else.
            PasswordError: the room needs a password, and there is none, or it was wrong.
        """
        while text and not self.users:  # line by line: thousands of notices may be behind the welcome
            line, newline, text = text.partition(b"\n")
            events = self.stay.understand(line + newline)
            self.shout(self.stay.answer(now))
            if events and events[0].kind is Kind.CONNECTED:
                self.users, self.welcomed, self.lines = events[0].users or 0, now, 1
            elif self.stay.refusal or self.stay.stage is Stage.OPEN:
                raise NetworkError(f"the server did not let a member in: {events[0].line}")
        self.take(text)


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

    def take(self, text: memoryview | bytes) -> None:
        """Take text."""
        super().take(text)
        if self.joined:
            words = self._words.take(bytes(text))
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

    __slots__ = ("_begin", "_padding", "_size", "_words", "times", "words")

    def __init__(self, token: bytes, number: int, size: int) -> None:
        super().__init__()
        self.times: list[float] = []
        self.words = Tally()
        self._words = Words(token)
        self._begin = b"%b.%d." % (token, number)
        self._size = size
        self._padding = b"x" * size

    def take(self, text: memoryview | bytes) -> None:
        """Take text."""
        if self.joined:
            self.words.take(b"".join(self._words.take(bytes(text))))
        else:
            super().take(text)

    def say(self, lines: int, now: float) -> None:
        """Say so many lines."""
        first = len(self.times)
        said = (b"%b%d %b" % (self._begin, number, self._padding) for number in range(first, first + lines))
        self.shout(b"".join(line[: self._size] + b"\n" for line in said))
        self.times += [now] * lines


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
