"""A connection on asyncio: plain text to and from a server, whatever is on the wire."""

import asyncio
import contextlib
import os
import socket
import ssl
import time
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, cast

from chatctl import wire
from chatctl.errors import NetworkError
from chatctl.keepalive import keep_alive
from chatctl.layers.tls import explain
from chatctl.peer.blocking import DEAD
from chatctl.peer.secure import cut_off, layer_for, shake_hands
from chatctl.peer.stay import PATIENCE, SILENCE, unreachable

_FRESH = 5.0  # seconds for which the addresses of a name are not looked up again


class Server:
    """A server to connect to.

    Args:
        host: a name or an address.
        port: its port.
        tls: from `tls.client_context`; None: plain text.
    """

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self.host = host
        self.port = port
        self.tls = tls
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
            raise unreachable(self.host, self.port, error) from error

    def _addresses(self) -> list[Any]:
        """Looked up in this very thread: one that asyncio has for that could not be interrupted."""
        if time.monotonic() - self._found_at >= _FRESH:
            self._found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
            self._found_at = time.monotonic()
        return self._found


class Calls(NamedTuple):
    """Whom a link tells what happens.

    ``begin``: text may be sent; with the name that this side has. ``receive``: text has come. ``block``: no more should
    be sent, or it may again.
    """

    begin: Callable[["Link", str], None]
    receive: Callable[[bytes], None]
    block: Callable[["Link", bool], None]


class Link(asyncio.Protocol):
    """One connection, for ``create_connection``.

    Args:
        server: to which.
        calls: whom to tell.

    ``ended``: the future of its end: nothing, or the `OSError` or `NetworkError` that was one.
    """

    def __init__(self, server: Server, calls: Calls) -> None:
        self.ended: asyncio.Future[OSError | NetworkError | None] = asyncio.get_running_loop().create_future()
        self._calls = calls
        self._trouble = f"cannot connect to {server.host} port {server.port}"
        self._layer = layer_for(server.host, server.tls, self._trouble) if server.tls else None
        self._handshake: Generator[bytes, bytes, bytes] | None = None
        self._transport: asyncio.Transport | None = None
        self._patience: asyncio.TimerHandle | None = None

    def send(self, data: bytes) -> None:
        """Send plain text; with nothing, what TLS itself has to say."""
        self._write(self._layer.send(data) if self._layer else data)

    def half_close(self) -> None:
        """Say that nothing more will be sent."""
        if self._layer:
            self._layer.close()
            self.send(b"")
        if self._transport and not self._transport.is_closing():
            with contextlib.suppress(OSError):  # it has been reset, which will be told
                self._transport.write_eof()

    def close(self) -> None:
        """Close it; the server is told if that can be done at once."""
        self._be_patient(None)
        if self._layer:
            self._layer.close()
            self.send(b"")
        if self._transport:
            self._transport.close()

    def opened(self) -> None:
        """The server has let this side in: it may be silent from now on."""
        self._be_patient(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with the handshake, if there is one."""
        self._transport = cast(asyncio.Transport, transport)
        if self._layer:
            self._be_patient(PATIENCE)
            self._handshake = shake_hands(self._layer, self._trouble)
            self._shake(self._handshake.__next__)
        else:
            self._begin(b"")

    def data_received(self, data: bytes) -> None:
        """Take bytes from the wire."""
        if self._handshake:
            self._shake(self._handshake.send, data)
        elif not self._layer:
            self._receive(data)
        else:
            try:
                plain = self._layer.receive(data)
            except ssl.SSLError as error:
                self._end(NetworkError(f"{self._trouble}: {explain(error)}"))
                plain = b""
            self.send(b"")
            if plain:
                self._trouble = "the connection broke"
                self._receive(plain)
            if self._layer.ended:
                self._end(None)

    def eof_received(self) -> None:
        """The server sends nothing more."""
        self._lose(cut_off("the server closed the connection") if self._handshake else None)

    def connection_lost(self, error: Exception | None) -> None:
        """There is no connection any more."""
        self._lose(error if isinstance(error, OSError) else None)

    def pause_writing(self) -> None:
        """The server takes nothing at the moment."""
        self._calls.block(self, True)

    def resume_writing(self) -> None:
        """It does again."""
        self._calls.block(self, False)

    def _begin(self, plain: bytes) -> None:
        assert self._transport
        self._be_patient(SILENCE)
        self._calls.begin(self, wire.name(*self._transport.get_extra_info("sockname")[:2]))
        if plain:
            self._receive(plain)

    def _receive(self, plain: bytes) -> None:
        if self._patience:
            self._be_patient(SILENCE)
        self._calls.receive(plain)

    def _shake(self, step: Callable[..., bytes], *arguments: Any) -> None:
        """Take one step of the handshake."""
        try:
            self._write(step(*arguments))
        except StopIteration as done:
            self._handshake = None
            self.send(b"")
            self._begin(done.value)
        except NetworkError as error:
            self.send(b"")
            self._end(error)

    def _write(self, data: bytes) -> None:
        if data and self._transport:
            self._transport.write(data)

    def _lose(self, error: OSError | None) -> None:
        if self.ended.done():
            return
        if self._handshake:
            self._shake(self._handshake.throw, error or cut_off("the server closed the connection"))
        elif self._layer and not error and not self._layer.ended:
            error = cut_off()
        self._end(error)

    def _end(self, error: OSError | NetworkError | None) -> None:
        self._handshake = None
        if not self.ended.done():
            self.ended.set_result(error)

    def _be_patient(self, seconds: float | None) -> None:
        """Wait so long for the server to say something; None: for ever."""
        if self._patience:
            self._patience.cancel()
            self._patience = None
        if seconds is not None:
            self._patience = asyncio.get_running_loop().call_later(seconds, self._lose, TimeoutError())
