"""A `Stay` on asyncio."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable
from typing import Any, cast

from chatctl.errors import unreachable
from chatctl.keepalive import keep_alive
from chatctl.peer.connection import DEAD, PATIENCE, Target
from chatctl.peer.stay import Stay

_FRESH = 5.0  # seconds for which the addresses of a name are not looked up again


class Connector:
    """Connects to one server, as often as wanted.

    Args:
        target: which.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self._found: list[Any] = []
        self._found_at = -_FRESH

    async def connect(self) -> socket.socket:
        """A connection to the first of its addresses that takes one.

        Raises:
            NetworkError: there is none.
        """
        try:
            failure: OSError = TimeoutError()
            for family, kind, protocol, _, address in self._addresses():
                with contextlib.ExitStack() as undo:
                    sock = undo.enter_context(socket.socket(family, kind, protocol))
                    sock.setblocking(False)
                    try:
                        async with asyncio.timeout(PATIENCE):
                            await asyncio.get_running_loop().sock_connect(sock, address)
                    except OSError as error:  # asyncio has words of its own for it
                        failure = OSError(error.errno, os.strerror(error.errno)) if error.errno else error
                        continue
                    keep_alive(sock, DEAD)
                    undo.pop_all()
                    return sock
            raise failure
        except (OSError, UnicodeError) as error:
            raise unreachable(self.target.host, self.target.port, error) from error

    def _addresses(self) -> list[Any]:
        """Looked up in this very thread: one that asyncio has for that could not be interrupted."""
        if time.monotonic() - self._found_at >= _FRESH:
            self._found = socket.getaddrinfo(self.target.host, self.target.port, type=socket.SOCK_STREAM)
            self._found_at = time.monotonic()
        return self._found


class Link(asyncio.Protocol):
    """Carries bytes between a connection and a stay; for ``create_connection``.

    Args:
        stay: at its beginning.
        receive: called with what comes, which it gives to `Stay.receive`; nothing is the end.
        block: called when nothing more should be sent, as the server takes nothing, or when it does again.

    ``ended``: the future of the end of the stay.
    """

    def __init__(self, stay: Stay, receive: Callable[[bytes], None], block: Callable[[bool], None]) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stay = stay
        self._receive = receive
        self._block = block
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def send(self, text: bytes = b"") -> None:
        """Send a text; without one, what TLS itself has to say."""
        self._write(self._stay.encrypt(text))

    def half_close(self) -> None:
        """Say that nothing more will be sent."""
        self._write(self._stay.close())
        if self._transport and not self._transport.is_closing():
            with contextlib.suppress(OSError):  # it has been reset, which will be told
                self._transport.write_eof()

    def close(self) -> None:
        """Close it; the server is told if that can be done at once, and waits for nobody who can say so."""
        if not self._stay.ended and not self._stay.leaving:
            self.send(self._stay.part())
        self._stay.end()
        self._write(self._stay.close())
        self._watch(None)
        if self._transport:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        self.send()
        self._watch(self._stay.deadline)

    def data_received(self, data: bytes) -> None:
        """Take bytes from the wire."""
        self._receive(data)
        self.send()
        self._watch(self._stay.deadline)
        if self._stay.ended and not self.ended.done():
            self.ended.set_result(None)

    def eof_received(self) -> None:
        """The server sends nothing more."""
        self._end(None)

    def connection_lost(self, error: Exception | None) -> None:
        """There is no connection any more."""
        self._end(error if isinstance(error, OSError) else None)

    def pause_writing(self) -> None:
        """The server takes nothing at the moment."""
        self._block(True)

    def resume_writing(self) -> None:
        """It does again."""
        self._block(False)

    def _end(self, error: OSError | None) -> None:
        if not self._stay.ended:
            self._stay.end(error)
            self.data_received(b"")

    def _write(self, data: bytes) -> None:
        if data and self._transport:
            self._transport.write(data)

    def _watch(self, deadline: float | None) -> None:
        """Have the stay end at a time, and no longer at the one before."""
        if self._timer and self._timer.when() != deadline:
            self._timer.cancel()
            self._timer = None
        if not self._timer and deadline is not None and deadline < float("inf"):
            self._timer = asyncio.get_running_loop().call_at(deadline, self._end, TimeoutError())
