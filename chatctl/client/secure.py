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
from typing import Any, Self

from chatctl.errors import NetworkError
from chatctl.tls import Layer, NotTLS, explain
from chatctl.wire import NEEDS_PASSWORD, Kind, LineDecoder, Rejected, parse

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
                raise ConnectionResetError(errno.ECONNRESET, _NO_NOTICE)
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
    with contextlib.ExitStack() as undo:
        undo.callback(sock.close)
        trouble = f"cannot connect to {host} port {port}"
        try:
            layer = Layer(context, host=host.partition("%")[0].removesuffix("."))  # certificates know no zone, no root
        except ValueError as error:
            raise NetworkError(f"{trouble}: no certificate can be for that name: check the address") from error
        plain = _shake_hands(sock, layer, trouble, patience)
        sock.settimeout(None)
        undo.pop_all()
    return SecureSocket(sock, layer, plain, trouble)


def _shake_hands(sock: socket.socket, layer: Layer, trouble: str, patience: float) -> bytes:
    """Return the plain text that came with the end of the handshake. Raises `NetworkError`, after ``trouble``."""
    deadline = time.monotonic() + patience
    plain = b""
    try:
        layer.start()
        while not layer.established:
            sock.sendall(layer.send(b""))
            plain = layer.receive(_next(sock, deadline))
        sock.sendall(layer.send(b""))
    except NotTLS as error:
        if refusal := _refusal(sock, error.data, deadline):
            raise NetworkError(f"the server refused: {refusal}") from error
        raise NetworkError(f"{trouble}: it does not speak TLS: leave --tls out") from error
    except ssl.SSLError as error:
        with contextlib.suppress(OSError):
            sock.sendall(layer.send(b""))  # the server is told as well
        raise NetworkError(f"{trouble}: {explain(error)}") from error
    except OSError as error:
        what = "no answer" if isinstance(error, TimeoutError) else error.strerror
        raise NetworkError(f"{trouble}: {what} in the TLS handshake: does it speak TLS?") from error
    return plain


def _refusal(sock: socket.socket, data: bytes, deadline: float) -> str | None:
    """Why a server does not let anybody in, when that is what it says, in plain text, before any TLS."""
    decoder = LineDecoder()
    lines = decoder.feed(data)
    with contextlib.suppress(OSError):
        while not lines and data.startswith(b"!"):
            lines = decoder.feed(_next(sock, deadline))
    line = next(iter(lines + decoder.finish()), None)
    if line is None or isinstance(line, Rejected):
        return None
    event = parse(line.decode())
    return event.text if event.kind is Kind.ANSWER and event.text != NEEDS_PASSWORD else None


def _next(sock: socket.socket, deadline: float) -> bytes:
    """Wait for more data; its end and a deadline that is over are an `OSError`."""
    sock.settimeout(max(deadline - time.monotonic(), 0.001))
    if data := sock.recv(_CHUNK):
        return data
    raise ConnectionResetError(errno.ECONNRESET, "the server closed the connection")
