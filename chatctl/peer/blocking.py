"""A blocking conversation with a room, for the plain client and the bot.

The main thread receives, a second one sends, so that neither direction waits for the other. Nothing is sent before the
server has spoken: what it says first tells whether it wants a password.
"""

import contextlib
import math
import os
import select
import socket
import threading
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from chatctl.errors import InputError, NetworkError
from chatctl.keepalive import keep_alive
from chatctl.peer.stay import MAX_LINE, PATIENCE, SILENCE, WINDOW, Connection, Stage, unreachable
from chatctl.wire import Event, LineDecoder, Rejected, clean

if TYPE_CHECKING:  # a client without TLS does not wait for it to load
    import ssl

    from chatctl.peer.secure import SecureSocket

Link: TypeAlias = "socket.socket | SecureSocket"

CHUNK = 65536
"""Bytes read at a time."""

DEAD = 60
"""Seconds after which a dead server is given up."""


def connect(host: str, port: int, tls: "ssl.SSLContext | None" = None) -> Link:
    """Connect to a server, under TLS when there is a context for it (from `tls.client_context`).

    Raises:
        NetworkError: there is none, none that can be reached, or none that can be trusted.
    """
    try:
        sock = socket.create_connection((host, port), timeout=PATIENCE)
    except (OSError, UnicodeError) as error:
        raise unreachable(host, port, error) from error
    keep_alive(sock, DEAD)
    if tls is None:
        return sock
    from chatctl.peer.secure import secure

    return secure(sock, tls, host, port, PATIENCE)


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
            data = os.read(descriptor, CHUNK)
        except BlockingIOError:  # somebody else who has it open has set it non-blocking
            select.select([descriptor], [], [])
            continue
        except OSError as error:
            raise InputError(f"cannot read the input: {error.strerror}") from error
        yield clean_lines(decoder.feed(data) if data else decoder.finish())


def lines_in(text: str) -> list[bytes]:
    """The clean lines of a text that was typed, composed (NFC), so that all members get the same bytes for it.

    Raises:
        InputError: a line is longer than `MAX_LINE`.
    """
    typed = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")  # terminals are read that way
    lines = [clean(line).encode() for line in unicodedata.normalize("NFC", typed).split("\n")]
    return clean_lines([line if len(line) <= MAX_LINE else Rejected.TOO_LONG for line in lines if line])


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
        link.settimeout(SILENCE)
        data = b"\n"
        while data:
            try:
                data = link.recv(CHUNK)
            except OSError as error:
                raise sender.failure or NetworkError(connection.trouble(error)) from error
            with sender.echoed:
                events = connection.receive(data)
                sender.echoed.notify()
            show(events)
            if sender.ident is None:
                _enter(link, connection, sender, ask)
    if sender.failure:
        raise sender.failure
    if trouble := connection.trouble():
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


class _Sender(threading.Thread):
    """The thread that sends, but no more than `WINDOW` ahead of the echoes.

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
        self._window: float = WINDOW

    def run(self) -> None:
        """Send the batches and half-close."""
        try:
            for batch in self._batches:
                with self.echoed:
                    if not self.echoed.wait_for(lambda: self._connection.unechoed <= self._window, PATIENCE):
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
