"""A socket under TLS, with what a conversation uses of a socket.

One thread may receive while another one sends. Records have to leave in the order in which they were made, so making
and sending them is one step, under a lock; the receiving thread never waits for that.
"""

import contextlib
import errno
import socket
import ssl
import threading
import time
from collections.abc import Generator
from typing import Any, Self

from chatctl.errors import NetworkError
from chatctl.layers.tls import Layer, NotTLS, explain
from chatctl.wire import Kind, LineDecoder, Rejected, parse
from chatctl.wire.words import NEEDS_PASSWORD

_CHUNK = 65536  # bytes read at a time

_NO_NOTICE = "the server ended it without saying so (no close_notify)"


class SecureSocket:
    """A connected socket on which the handshake is done, from `secure`.

    Args:
        sock: the socket.
        layer: what encrypts for it.
        plain: what came with the end of the handshake.
        trouble: how to begin an error as long as nothing has come: the server has its last word on a client's
            certificate only after the handshake (RFC 8446, section 4.4.2.4).
    """

    def __init__(self, sock: socket.socket, layer: Layer, plain: bytes, trouble: str) -> None:
        self._sock = sock
        self._layer = layer
        self._plain = plain
        self._trouble = trouble
        self._sending = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket; the server is told if that can be done at once."""
        if self._sending.acquire(blocking=False):
            with contextlib.suppress(OSError):
                self._layer.close()
                self._sock.send(self._layer.send(b""), socket.MSG_DONTWAIT)
            self._sending.release()
        self._sock.close()

    def getsockname(self) -> Any:
        """The address of this side."""
        return self._sock.getsockname()

    def settimeout(self, seconds: float | None) -> None:
        """Have what takes longer raise `TimeoutError`."""
        self._sock.settimeout(seconds)

    def recv(self, size: int) -> bytes:
        """Wait for plain text from the server; nothing is its end, which it has told by close_notify.

        Raises:
            OSError: the connection broke; an end that was not told is a reset.
            NetworkError: the server has refused what this side is, or what came is not what it has sent.
        """
        plain, self._plain = self._plain, b""
        while not plain and not self._layer.ended:
            data = b"" if self._layer.error else self._sock.recv(size)
            if not data and not self._layer.error:
                raise cut_off()
            try:
                plain = self._layer.receive(data)
            except ssl.SSLError as error:
                raise NetworkError(f"{self._trouble}: {explain(error)}") from error
            finally:
                self._send_pending()
        self._trouble = "the connection broke"
        return plain

    def sendall(self, data: bytes) -> None:
        """Send plain text. Raises `OSError` when the connection is broken."""
        with self._sending:
            self._sock.sendall(self._layer.send(data))

    def shutdown(self, how: int) -> None:
        """As a socket's; an end of what this side sends (``SHUT_WR``) is told before."""
        if how == socket.SHUT_WR:
            with self._sending:
                self._layer.close()
                self._sock.sendall(self._layer.send(b""))
        self._sock.shutdown(how)

    def _send_pending(self) -> None:
        """Send what TLS itself has to say, or leave it to the thread that is sending, or to the next that does."""
        if self._layer.pending and self._sending.acquire(blocking=False):
            try:
                with contextlib.suppress(OSError):  # there is no way back, but there may be more to read
                    self._sock.sendall(self._layer.send(b""))
            finally:
                self._sending.release()


def secure(sock: socket.socket, context: ssl.SSLContext, host: str, port: int, patience: float) -> SecureSocket:
    """Do the handshake on a connected socket, and check that the server is who it should be.

    Args:
        sock: it is closed when that fails.
        context: from `tls.client_context`.
        host: what the server's certificate must be for.
        port: the server's, for errors.
        patience: how many seconds all of it may take.

    Raises:
        NetworkError: there is no TLS, or the certificates of the two sides do not do.
    """
    deadline = time.monotonic() + patience
    with contextlib.ExitStack() as undo:
        undo.callback(sock.close)
        trouble = f"cannot connect to {host} port {port}"
        layer = layer_for(host, context, trouble)
        plain = _shake_hands(sock, layer, trouble, deadline)
        sock.settimeout(None)
        undo.pop_all()
    return SecureSocket(sock, layer, plain, trouble)


def layer_for(host: str, context: ssl.SSLContext, trouble: str) -> Layer:
    """The client's side of a connection to a host. Raises `NetworkError`, which begins with ``trouble``."""
    try:
        return Layer(context, host=host.partition("%")[0].removesuffix("."))  # certificates know no zone, no root
    except ValueError as error:
        raise NetworkError(f"{trouble}: no certificate can be for that name: check the address") from error


def shake_hands(layer: Layer, trouble: str) -> Generator[bytes, bytes, bytes]:
    """Do the handshake, without a socket.

    It yields what is to be sent, if anything is, and takes what comes after that, or an `OSError` when nothing does.
    Whatever its end, what the layer has to say then is to be sent as well.

    Returns:
        The plain text that came with the end of the handshake.

    Raises:
        NetworkError: it failed; ``trouble`` and the reason.
    """
    plain = b""
    try:
        layer.start()
        while not layer.established:
            plain = layer.receive((yield layer.send(b"")))
    except NotTLS as error:
        if refusal := (yield from _refusal(error.data)):
            raise NetworkError(f"the server refused: {refusal}") from error
        raise NetworkError(f"{trouble}: it does not speak TLS: leave --tls out") from error
    except ssl.SSLError as error:
        raise NetworkError(f"{trouble}: {explain(error)}") from error
    except OSError as error:
        what = "no answer" if isinstance(error, TimeoutError) else error.strerror
        raise NetworkError(f"{trouble}: {what} in the TLS handshake: does it speak TLS?") from error
    return plain


def _refusal(data: bytes) -> Generator[bytes, bytes, str | None]:
    """Why a server does not let anybody in, when that is what it says, in plain text, before any TLS."""
    decoder = LineDecoder()
    lines = decoder.feed(data)
    with contextlib.suppress(OSError):
        while not lines and data.startswith(b"!"):
            lines = decoder.feed((yield b""))
    line = next(iter(lines + decoder.finish()), None)
    if line is None or isinstance(line, Rejected):
        return None
    event = parse(line.decode())
    return event.text if event.kind is Kind.ANSWER and event.text != NEEDS_PASSWORD else None


def _shake_hands(sock: socket.socket, layer: Layer, trouble: str, deadline: float) -> bytes:
    """Do the handshake over a socket. Raises `NetworkError`."""
    steps = shake_hands(layer, trouble)
    try:
        data = next(steps)
        while True:
            try:
                sock.sendall(data)
                came = _next(sock, deadline)
            except OSError as error:
                data = steps.throw(error)
            else:
                data = steps.send(came)
    except StopIteration as done:
        plain: bytes = done.value
        return plain
    finally:
        with contextlib.suppress(OSError):
            sock.sendall(layer.send(b""))  # a server that is refused is told so


def _next(sock: socket.socket, deadline: float) -> bytes:
    """Wait for more data; its end and a deadline that is over are an `OSError`."""
    sock.settimeout(max(deadline - time.monotonic(), 0.001))
    if data := sock.recv(_CHUNK):
        return data
    raise cut_off("the server closed the connection")


def cut_off(reason: str = _NO_NOTICE) -> ConnectionResetError:
    """The error for an end of the connection that TLS was not told of."""
    return ConnectionResetError(errno.ECONNRESET, reason)
