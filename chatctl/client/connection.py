"""A member's side of a connection: bytes in → events, lines out → bytes, echoes counted.

`Connection` does no I/O. `converse` is the small blocking loop around one that the plain client and the bot share: the
main thread receives, a second one sends, so that neither direction waits for the other.
"""

import contextlib
import math
import os
import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from chatctl import wire
from chatctl.errors import InputError, NetworkError
from chatctl.wire import Event, Kind, LineDecoder, Rejected

MAX_LINE = 1024 * 1024
"""Bytes a line may have that is sent, or that the server sends: far more than any server relays."""

_CHUNK = 65536  # bytes read at a time
_PATIENCE = 10.0  # seconds to wait for a connection, and for any echo
_WINDOW = 256 * 1024  # bytes sent ahead of their echoes


class Connection:
    """What was sent to a room, what came back, and which echoes are still due.

    ``leaving``: the member has said that it goes, so that the server's end of the connection is no surprise.
    ``refusal``: what the server said instead of letting the member in. ``sent`` counts the lines that are to be echoed,
    ``unechoed`` the bytes of those that are still due.
    """

    def __init__(self) -> None:
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

    def receive(self, data: bytes) -> list[Event]:
        """Take what the server sent, return the events; empty data is its end."""
        items = self._decoder.feed(data) if data else self._decoder.finish()
        return [self._event(item) for item in items]

    def _event(self, item: bytes | Rejected) -> Event:
        if isinstance(item, Rejected):
            return Event(Kind.OTHER, f"(a line of more than {MAX_LINE} bytes was left out)")
        event = wire.parse(item.decode())
        if event.kind is Kind.OWN:
            self._echoed(event.text.encode())
        elif event.kind is Kind.CONNECTED:
            self._entered = True
        elif event.kind is Kind.ANSWER and not self._entered:
            self.refusal = event.text
        return event

    def _echoed(self, line: bytes) -> None:
        """Strike off the line that was echoed; those sent before it were refused by the server."""
        if not self._due or (self._due[0] != line and line not in self._due):
            return
        while (due := self._due.popleft()) != line:
            self._passed_over += 1
            self.unechoed -= len(due)
        self.unechoed -= len(line)


def connect(host: str, port: int) -> socket.socket:
    """Connect to a server.

    Raises:
        NetworkError: there is none, or none that can be reached.
    """
    try:
        sock = socket.create_connection((host, port), timeout=_PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        hint = "is the server running?" if isinstance(error, ConnectionRefusedError) else "check the address"
        raise NetworkError(f"cannot connect to {host} port {port}: {reason}: {hint}") from error
    sock.settimeout(None)
    return sock


def lines_of(descriptor: int) -> Iterator[list[bytes]]:
    """The clean lines of an input as they come, a list for each read.

    `os.read` and no buffered reader: a process that ends while a thread is inside one of those crashes.

    Raises:
        InputError: it cannot be read, or a line is longer than `MAX_LINE`.
    """
    decoder = LineDecoder(MAX_LINE)
    data = b"\n"
    while data:
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:  # somebody else who has it open has set it non-blocking
            select.select([descriptor], [], [])
            continue
        except OSError as error:
            raise InputError(f"cannot read the input: {error.strerror}") from error
        yield clean_lines(decoder.feed(data) if data else decoder.finish())


def clean_lines(items: list[bytes | Rejected]) -> list[bytes]:
    """The lines of an input, none of them rejected.

    Raises:
        InputError: a line is longer than `MAX_LINE`.
    """
    lines = [item for item in items if isinstance(item, bytes)]
    if len(lines) < len(items):
        raise InputError(f"a line of the input has more than {MAX_LINE} bytes: split it")
    return lines


def converse(
    sock: socket.socket,
    connection: Connection,
    batches: Iterable[list[bytes]],
    show: Callable[[list[Event]], None],
) -> None:
    """Send lines and show what comes, until the server has closed. The socket is closed afterwards.

    No more is sent than `_WINDOW` ahead of the echoes: a member that is slower at showing its own echo than at sending
    would fall behind, and be cut.

    Args:
        sock: from `connect`.
        connection: keeps the account.
        batches: the lines to send, in lists that are sent at once; taken from by a thread of its own. At their end the
            connection is half-closed. What they raise ends the conversation.
        show: called with the events of each read.

    Raises:
        NetworkError: the connection broke, or the server refused the member, or closed it before this side did.
    """
    echoed = threading.Condition()
    failure: list[BaseException] = []

    def send() -> None:
        window: float = _WINDOW

        def caught_up() -> bool:
            return connection.unechoed <= window

        try:
            for batch in batches:
                with echoed:
                    if not echoed.wait_for(caught_up, _PATIENCE):
                        window = math.inf  # whoever that is does not echo
                    data = b"".join(map(connection.send, batch))
                sock.sendall(data)
            connection.leaving = True
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the receiving side finds the same, and knows better what to say
        except BaseException as error:
            failure.append(error)
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    threading.Thread(target=send, name="sender", daemon=True).start()
    with sock:
        data = b"\n"
        while data:
            try:
                data = sock.recv(_CHUNK)
            except OSError as error:
                raise failure[0] if failure else NetworkError(f"the connection broke: {error.strerror}") from error
            with echoed:
                events = connection.receive(data)
                echoed.notify()
            show(events)
    if failure:
        raise failure[0]
    if connection.refusal:
        raise NetworkError(f"the server refused: {connection.refusal}")
    if not connection.leaving:
        raise NetworkError("the server went away")
