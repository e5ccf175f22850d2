"""A member's side of a connection, without one: bytes in → events, lines out → bytes, echoes counted."""

import enum
import random
import re
from collections import deque
from collections.abc import Callable, Iterator

from chatctl import wire
from chatctl.errors import NetworkError, PasswordError
from chatctl.wire import Event, Kind, LineDecoder, Rejected, words

MAX_LINE = 1024 * 1024
"""Bytes a line may have that is sent, or that the server sends: far more than any server relays."""

PATIENCE = 10.0
"""Seconds to wait for a connection, for its handshake, and for any echo."""

WINDOW = 256 * 1024
"""Bytes sent ahead of their echoes, at most: who reads its own lines more slowly than it sends would be cut."""

SILENCE = 30.0
"""Seconds to wait for the server's first line; a TLS port lets a plain client wait for 10."""

STEADY = 60.0
"""Seconds that a connection has to last for the next loss of one to be a first."""

_LONGEST = 60.0  # seconds between two attempts, at most
_DOUBLINGS = 6  # of the first second, until that is reached

_ABOUT_ME = re.compile(rb"\n(?:\[You\]|[^\[\n])[^\n]*")  # a line with the newline before it, but what others say

_GIVE_PASSWORD = "give its password by --password-file FILE or in CHATCTL_PASSWORD"


class Stage(enum.Enum):
    """How far a newcomer has come."""

    WAITING = "the server has not spoken, or refuses"
    ASKED = "the room waits for its password"
    ANSWERED = "the room has been sent one"
    REJECTED = "the room has another one"
    OPEN = "lines may be sent"


class Connection:
    """What was sent to a room, what came back, and which echoes are still due.

    ``stage``: until it is `Stage.OPEN`, only what `answer` returns may be sent. ``password``: for a room that needs
    one. ``leaving``: the member has said that it goes, so that the server's end of the connection is no surprise.
    ``refusal``: what the server said instead of letting the member in. ``sent`` counts the lines that are to be echoed,
    ``unechoed`` the bytes of those that are still due.
    """

    def __init__(self, password: bytes | None = None) -> None:
        self.stage = Stage.WAITING
        self.password = password
        self.leaving = False
        self.refusal: str | None = None
        self.sent = 0
        self.unechoed = 0
        self._entered = False
        self._begun = False
        self._passed_over = 0
        self._due: deque[bytes] = deque()
        self._decoder = LineDecoder(MAX_LINE)

    @property
    def missing(self) -> int:
        """Lines without an echo, so far."""
        return self._passed_over + len(self._due)

    @property
    def due(self) -> list[bytes]:
        """The lines whose echoes may still come."""
        return list(self._due)

    def send(self, line: bytes) -> bytes:
        """The bytes to send for a clean line; its echo is due from now on, if it is chat."""
        if not self._begun:  # a byte-order mark vanishes there on the wire
            self._begun = True
            line = line.removeprefix(b"\xef\xbb\xbf")
            if not line:
                return b""
        if line.startswith(b"//") or not line.startswith(b"/"):
            said = line.removeprefix(b"/")
            self._due.append(said)
            self.sent += 1
            self.unechoed += len(said)
        elif line.decode().split()[0] == "/quit":
            self.leaving = True
        return line + b"\n"

    def answer(self) -> bytes:
        """What the server waits for before it lets the member in; ask after each `receive`.

        Raises:
            PasswordError: the room needs a password, and there is none, or it was wrong.
        """
        if self.stage is Stage.REJECTED:
            raise PasswordError(f"the room has another password: {_GIVE_PASSWORD}")
        if self.stage is not Stage.ASKED:
            return b""
        if self.password is None:
            raise PasswordError(f"the room needs a password: {_GIVE_PASSWORD}")
        self.stage = Stage.ANSWERED
        self._begun = True
        return self.password + b"\n"

    def receive(self, data: bytes, *, skim: bool = False) -> list[Event]:
        """Take what the server sent, return the events; empty data is its end.

        Args:
            data: as it came.
            skim: leave out what others say, which is quicker.
        """
        if skim:
            data = self._skimmed(data)
        items = self._decoder.feed(data) if data else self._decoder.finish()
        return [self._event(item) for item in items]

    def _skimmed(self, data: bytes) -> bytes:
        """The same without whole lines that others say."""
        end = data.rfind(b"\n")
        begin = data.find(b"\n") if self._decoder.begun else -1
        if begin == end:
            return data
        kept = b"".join(_ABOUT_ME.findall(b"\n" + data[:end], begin + 1))
        return data[: begin + 1] + (kept + b"\n").removeprefix(b"\n") + data[end + 1 :]

    def _event(self, item: bytes | Rejected) -> Event:
        too_long = f"(a line of more than {MAX_LINE} bytes was left out)"
        event = wire.parse(too_long if isinstance(item, Rejected) else item.decode())
        if event.kind is Kind.OWN:
            self._echoed(event.text.encode())
        elif event.kind is Kind.CONNECTED:
            self._entered = True
            self.refusal = None
        if not self._entered and event.kind is Kind.ANSWER:
            self._answered(event.text)
        else:
            self.stage = Stage.OPEN
        return event

    def _answered(self, text: str) -> None:
        """Understand what the server itself says to who is not inside."""
        if self.stage is Stage.WAITING and text == words.NEEDS_PASSWORD:
            self.stage = Stage.ASKED
        elif self.stage is Stage.ANSWERED and text == words.WRONG_PASSWORD:
            self.stage = Stage.REJECTED
        else:
            self.refusal = text
            self.stage = Stage.WAITING

    def _echoed(self, line: bytes) -> None:
        """Strike off the line that was echoed; those sent before it were refused by the server."""
        if not self._due or (self._due[0] != line and line not in self._due):
            return
        while (due := self._due.popleft()) != line:
            self._passed_over += 1
            self.unechoed -= len(due)
        self.unechoed -= len(line)

    def trouble(self, error: OSError | None = None) -> str:
        """What was wrong with the end of the connection; nothing, if it was a good one."""
        if self.refusal:
            return f"the server refused: {self.refusal}"
        if isinstance(error, TimeoutError) and self.stage is not Stage.OPEN:
            return f"the server has said nothing for {SILENCE:.0f} s: is it a chat server? with or without --tls?"
        if error:
            return f"the connection broke: {error.strerror}"
        return "" if self.leaving else "the server went away"


def delays(chance: Callable[[], float] = random.random) -> Iterator[float]:
    """Seconds to wait before each attempt: from 1, doubled each time, up to 40, and up to half as much again by chance.

    The chance keeps those whom one server has lost from coming back all at once (M. Brooker, "Exponential Backoff And
    Jitter", AWS Architecture Blog, 2015).

    Args:
        chance: gives numbers from 0 to 1.
    """
    attempt = 0
    while True:
        yield min(2**attempt, _LONGEST / 1.5) * (1 + chance() / 2)
        attempt = min(attempt + 1, _DOUBLINGS)


def unreachable(host: str, port: int, error: OSError | UnicodeError) -> NetworkError:
    """The error for a server to which there is no connection, in words."""
    reason = getattr(error, "strerror", None) or str(error) or "timed out"
    hint = "is the server running?" if isinstance(error, ConnectionRefusedError) else "check the address"
    return NetworkError(f"cannot connect to {host} port {port}: {reason}: {hint}")
