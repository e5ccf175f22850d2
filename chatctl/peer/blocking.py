"""Two threads that carry bytes between a socket and a `Stay`: one receives, one sends, so that neither waits.

Under TLS records have to leave in the order in which they were made, so encrypting and sending is one step, under a
lock; the receiving thread never waits for that.
"""

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable

from chatctl.errors import unreachable
from chatctl.keepalive import keep_alive
from chatctl.peer.connection import DEAD, PATIENCE, Target
from chatctl.peer.stay import Stay

CHUNK = 65536
"""Bytes read at a time."""

_GLANCE = 1.0  # seconds of a wait: Ctrl-C in the moment before it would not end it, but is seen between two of them


def connect(target: Target) -> socket.socket:
    """Connect to a server, without any handshake.

    Raises:
        NetworkError: there is none, or none that can be reached.
    """
    try:
        sock = socket.create_connection((target.host, target.port), timeout=PATIENCE)
    except (OSError, UnicodeError) as error:
        raise unreachable(target.host, target.port, error) from error
    sock.settimeout(None)
    keep_alive(sock, DEAD)
    return sock


class Pump:
    """A socket, and the stay over it.

    Args:
        sock: from `connect`; `run` closes it.
        stay: at its beginning.
    """

    def __init__(self, sock: socket.socket, stay: Stay) -> None:
        self._sock = sock
        self._stay = stay
        self._sending = threading.Lock()
        self._failure: BaseException | None = None

    def run(self, take: Callable[[bytes], None], texts: Iterable[bytes]) -> None:
        """Receive until the stay has ended, and send meanwhile.

        Args:
            take: called with what comes, which it gives to `Stay.receive` or `Stay.decrypt`; nothing is the end. What
                it raises ends this.
            texts: what is to be sent, taken by a thread of its own. At their end the connection is half-closed. What
                taking them raises is raised here, after the end of the connection.
        """
        try:
            self.send()
            threading.Thread(target=self._send_all, args=(texts,), name="sender", daemon=True).start()
            while not self._stay.ended:
                take(self._receive())
                self.send()
        finally:
            self._close()
        if self._failure:
            raise self._failure

    def send(self, text: bytes = b"") -> None:
        """Send a text. Without one, what TLS itself has to say, unless somebody is sending, who takes that along.

        A connection that is broken is no error here: whoever receives finds the same, and knows better what to say.
        """
        with contextlib.suppress(OSError):
            self._send(text)

    def _send(self, text: bytes) -> None:
        if self._sending.acquire(blocking=bool(text)):
            try:
                if data := self._stay.encrypt(text):
                    self._sock.sendall(data)
            finally:
                self._sending.release()

    def _receive(self) -> bytes:
        """Wait for bytes; none are the end, whose reason the stay knows."""
        try:
            while (left := self._stay.deadline - time.monotonic()) > 0:
                if select.select([self._sock], [], [], min(left, _GLANCE))[0]:
                    break
            else:
                raise TimeoutError
            return self._sock.recv(CHUNK)
        except OSError as error:
            self._stay.end(error)
            return b""

    def _send_all(self, texts: Iterable[bytes]) -> None:
        try:
            for text in texts:
                self._send(text)
            with self._sending:
                self._sock.sendall(self._stay.close())
                self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # whoever receives finds the same
        except BaseException as error:
            self._failure = error
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)

    def _close(self) -> None:
        """Close the socket; the server is told if that can be done at once, and a thread that sends is woken."""
        with contextlib.suppress(OSError):
            if self._sending.acquire(blocking=False):
                try:
                    self._sock.send(self._stay.close(), socket.MSG_DONTWAIT)
                finally:
                    self._sending.release()
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
