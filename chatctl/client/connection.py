"""A member's side of a connection: bytes in → events, lines out → bytes, echoes counted.

`Connection` does no I/O. `converse` is the small blocking loop around one that the plain client and the bot share: the
main thread receives, a second one sends, so that neither direction waits for the other. Nothing is sent before the
server has spoken: what it says first tells whether it wants a password.
"""

import contextlib
import enum
import math
import os
import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from chatctl import wire
from chatctl.errors import InputError, NetworkError, PasswordError
from chatctl.wire import Event, Kind, LineDecoder, Rejected

if TYPE_CHECKING:  # a client without TLS does not wait for it to load
    import ssl

    from chatctl.client.secure import SecureSocket

Link: TypeAlias = "socket.socket | SecureSocket"

MAX_LINE = 1024 * 1024
"""Bytes a line may have that is sent, or that the server sends: far more than any server relays."""

_CHUNK = 65536  # bytes read at a time
_PATIENCE = 10.0  # seconds to wait for a connection, for its handshake, and for any echo
_SILENCE = 30.0  # seconds to wait for the server's first line; a TLS port lets a plain client wait for 10
_WINDOW = 256 * 1024  # bytes sent ahead of their echoes

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

    def receive(self, data: bytes) -> list[Event]:
        """Take what the server sent, return the events; empty data is its end."""
        items = self._decoder.feed(data) if data else self._decoder.finish()
        return [self._event(item) for item in items]

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
        if self.stage is Stage.WAITING and text == wire.NEEDS_PASSWORD:
            self.stage = Stage.ASKED
        elif self.stage is Stage.ANSWERED and text == wire.WRONG_PASSWORD:
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


def connect(host: str, port: int, tls: "ssl.SSLContext | None" = None) -> Link:
    """Connect to a server, under TLS when there is a context for it (from `tls.client_context`).

    Raises:
        NetworkError: there is none, none that can be reached, or none that can be trusted.
    """
    try:
        sock = socket.create_connection((host, port), timeout=_PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        hint = "is the server running?" if isinstance(error, ConnectionRefusedError) else "check the address"
        raise NetworkError(f"cannot connect to {host} port {port}: {reason}: {hint}") from error
    if tls is None:
        return sock
    from chatctl.client.secure import secure

    return secure(sock, tls, host, port, _PATIENCE)


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
    link: Link,
    connection: Connection,
    batches: Iterable[list[bytes]],
    show: Callable[[list[Event]], None],
    ask: Callable[[], bytes | None] = lambda: None,
) -> None:
    """Send lines and show what comes, until the server has closed. The link is closed afterwards.

    Args:
        link: from `connect`.
        connection: keeps the account.
        batches: the lines to send, in lists that are sent at once; taken from by a thread of its own, once the server
            has let the member in. At their end the connection is half-closed. What they raise ends the conversation.
        show: called with the events of each read.
        ask: called for the password when the room needs one and the connection has none.

    Raises:
        NetworkError: the connection broke, or the server refused the member, or closed it before this side did.
        PasswordError: the room needs a password, and there is none, or it was wrong.
    """
    sender = _Sender(link, connection, batches)
    with link:
        link.settimeout(_SILENCE)
        data = b"\n"
        while data:
            try:
                data = link.recv(_CHUNK)
            except OSError as error:
                raise sender.failure or NetworkError(_trouble(connection, error)) from error
            with sender.echoed:
                events = connection.receive(data)
                sender.echoed.notify()
            show(events)
            if sender.ident is None:
                _enter(link, connection, sender, ask)
    if sender.failure:
        raise sender.failure
    if trouble := _trouble(connection):
        raise NetworkError(trouble)


def _enter(link: Link, connection: Connection, sender: threading.Thread, ask: Callable[[], bytes | None]) -> None:
    """Do what the server waits for; begin to send when it has let the member in."""
    if connection.stage is Stage.ASKED and connection.password is None:
        connection.password = ask()
    if password := connection.answer():
        with contextlib.suppress(OSError):  # the next read finds the same, and knows better what to say
            link.sendall(password)
    if connection.stage is Stage.OPEN:
        link.settimeout(None)
        sender.start()


def _trouble(connection: Connection, error: OSError | None = None) -> str:
    """What was wrong with an end of the connection; nothing, if it was a good one."""
    if connection.refusal:
        return f"the server refused: {connection.refusal}"
    if isinstance(error, TimeoutError) and connection.stage is not Stage.OPEN:
        return f"the server has said nothing for {_SILENCE:.0f} s: is it a chat server? with or without --tls?"
    if error:
        return f"the connection broke: {error.strerror}"
    return "" if connection.leaving else "the server went away"


class _Sender(threading.Thread):
    """The thread that sends, but no more than `_WINDOW` ahead of the echoes.

    A member that is slower at showing its own echo than at sending would fall behind, and be cut.
    ``echoed``: guards the account; to be notified of what came. ``failure``: why there is nothing more to send.
    """

    def __init__(self, link: Link, connection: Connection, batches: Iterable[list[bytes]]) -> None:
        super().__init__(name="sender", daemon=True)
        self.failure: BaseException | None = None
        self.echoed = threading.Condition()
        self._link = link
        self._connection = connection
        self._batches = batches
        self._window: float = _WINDOW

    def run(self) -> None:
        """Send the batches and half-close."""
        try:
            for batch in self._batches:
                with self.echoed:
                    if not self.echoed.wait_for(lambda: self._connection.unechoed <= self._window, _PATIENCE):
                        self._window = math.inf  # whoever that is does not echo
                    data = b"".join(map(self._connection.send, batch))
                self._link.sendall(data)
            self._connection.leaving = True
            self._link.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the receiving side finds the same, and knows better what to say
        except BaseException as error:
            self.failure = error
            with contextlib.suppress(OSError):
                self._link.shutdown(socket.SHUT_RDWR)
