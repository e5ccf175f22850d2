"""The scripted sender: lines from a file, a pipe or the command line, paced, and every echo accounted for."""

import contextlib
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from chatctl.client.connection import MAX_LINE, Connection
from chatctl.client.conversation import clean_lines, connect, converse, lines_of
from chatctl.display import Display, show
from chatctl.errors import EchoError, InputError, NetworkError
from chatctl.wire import Event, LineDecoder

if TYPE_CHECKING:
    import ssl

_PATIENCE = 10.0  # seconds to wait for one echo


def run(
    host: str,
    port: int,
    *,
    file: str = "-",
    messages: Sequence[str] = (),
    rate: float | None = None,
    repeat: int = 1,
    wait_for_echo: bool = False,
    tls: "ssl.SSLContext | None" = None,
    password: bytes | None = None,
) -> None:
    """Send lines, half-close, and read until the server closes.

    Args:
        host: a name or an address.
        port: the server's.
        file: what to send; ``-`` is stdin, whose lines are sent as they come.
        messages: what to send instead, if any.
        rate: lines a second at most; None: as fast as they go.
        repeat: how often all of it is sent.
        wait_for_echo: send a line only when the one before has been echoed.
        tls: from `tls.client_context`; None: plain text.
        password: for a room that needs one.

    Raises:
        NetworkError: there is no connection, it broke, or the server closed it first.
        PasswordError: the room needs a password that is not the one given.
        EchoError: not every line was echoed.
        InputError: the file cannot be read.
    """
    with contextlib.ExitStack() as stack:
        source = _source(file, messages, stack)
        connection = Connection(password)
        link = connect(host, port, tls)
        echoes = _Echoes(connection)
        lines = _paced(_repeated(source, repeat), rate, echoes if wait_for_echo else None)
        try:
            converse(link, connection, lines, echoes.show)
        except BrokenPipeError:
            raise EchoError("nobody reads the output: not waiting for the echoes") from None
        except NetworkError as error:
            if connection.missing:
                raise NetworkError(f"{error}: {_count(connection)}") from error
            raise
    if connection.missing:
        raise EchoError(_count(connection))


class _Echoes:
    """Shows what comes, and lets the sender wait until every line has come back."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._came = threading.Condition()
        self._display = Display()

    def show(self, events: list[Event]) -> None:
        with self._came:
            self._came.notify()
        show(self._display, events)

    def wait(self) -> None:
        """Wait for the echo of what was sent last.

        Raises:
            EchoError: it took too long.
        """
        with self._came:
            if not self._came.wait_for(lambda: not self._connection.missing, _PATIENCE):
                raise EchoError(f"no echo within {_PATIENCE:.0f} s: {_count(self._connection)}")


def _count(connection: Connection) -> str:
    return f"{connection.missing} of {connection.sent} lines were not echoed"


def _source(file: str, messages: Sequence[str], stack: contextlib.ExitStack) -> Iterable[list[bytes]]:
    if messages:
        decoder = LineDecoder(MAX_LINE)
        return [clean_lines(decoder.feed(os.fsencode(message) + b"\n")) for message in messages]
    if file == "-":
        return lines_of(0)
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from error
    stack.callback(os.close, descriptor)
    return lines_of(descriptor)


def _repeated(batches: Iterable[list[bytes]], times: int) -> Iterator[list[bytes]]:
    """All batches so many times; a leading ``/`` is doubled: a bot says what it is given to say."""
    kept = []
    for batch in batches:
        said = [b"/" + line if line.startswith(b"/") else line for line in batch]
        yield said
        if times > 1:
            kept.append(said)
    for _ in range(times - 1):
        yield from kept


def _paced(batches: Iterable[list[bytes]], rate: float | None, echoes: _Echoes | None) -> Iterator[list[bytes]]:
    """The same lines, one by one where a rate or echoes have to be kept."""
    if rate is None and echoes is None:
        yield from batches
        return
    due = time.monotonic()
    for line in (line for batch in batches for line in batch):
        if rate is not None:
            time.sleep(max(due - time.monotonic(), 0))
            due = max(due, time.monotonic() - 1 / rate) + 1 / rate
        yield [line]
        if echoes is not None:
            echoes.wait()
