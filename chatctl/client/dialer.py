"""A connection to a server that is made again when it is lost.

Two threads do the blocking: one connects and receives, one sends. What comes goes into a backlog, with a mark where a
connection begins and where it ends, so that whoever takes from it sees everything in its order.
"""

import contextlib
import queue
import socket
import threading
from typing import TYPE_CHECKING, NamedTuple

from chatctl import wire
from chatctl.errors import ChatctlError, NetworkError
from chatctl.peer.blocking import CHUNK, Link, connect
from chatctl.peer.stay import SILENCE
from chatctl.screen.flusher import Backlog

if TYPE_CHECKING:
    import ssl


class Up(NamedTuple):
    """A connection has been made; bytes from it follow. ``name`` is the address that this side has in it."""

    name: str


class Down(NamedTuple):
    """A connection has ended, or could not be made. ``error`` says why, if it was no good end."""

    error: ChatctlError | OSError | None


Mark = Up | Down


class Dialer:
    """Connects, receives and sends, over and over.

    Args:
        host: a name or an address.
        port: the server's.
        tls: from `tls.client_context`; None: plain text.

    ``backlog``: what comes goes there. ``up``: there is a connection now, whatever of it still waits there.
    """

    def __init__(self, host: str, port: int, tls: "ssl.SSLContext | None") -> None:
        self.up = False
        self.backlog: Backlog[Mark] = Backlog()
        self._target = (host, port, tls)
        self._link: Link | None = None
        self._again = threading.Semaphore(0)
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def start(self) -> None:
        """Begin with the first attempt."""
        threading.Thread(target=self._run, name="receiver", daemon=True).start()

    def dial(self) -> None:
        """Make the next attempt now. Each is asked for, after a `Down`."""
        self._again.release()

    def send(self, data: bytes) -> None:
        """Send bytes over the connection that there is, in their order; what is left at its end is thrown away."""
        self._outgoing.put(data)

    def half_close(self) -> None:
        """Send what waits, and close this side's end of the connection."""
        self._outgoing.put(None)

    def _run(self) -> None:
        while True:
            error: ChatctlError | OSError | None = None
            try:
                error = self._receive(connect(*self._target))
            except ChatctlError as failure:
                error = failure
            except Exception as failure:  # no thread, no memory: without this one nobody would ever try again
                error = NetworkError(f"the connection broke: {failure!r}")
            self.backlog.put(Down(error))
            self._again.acquire()

    def _receive(self, link: Link) -> ChatctlError | OSError | None:
        """Receive until the end, and return what was wrong with it."""
        outgoing = self._outgoing = queue.SimpleQueue()
        sender = threading.Thread(target=_send, args=(link, outgoing), name="sender", daemon=True)
        with link:
            self.up = True
            self.backlog.put(Up(wire.name(*link.getsockname()[:2])))
            sender.start()
            try:
                link.settimeout(SILENCE)
                data = link.recv(CHUNK)
                link.settimeout(None)
                while data:
                    self.backlog.put(data)
                    data = link.recv(CHUNK)
            except (OSError, ChatctlError) as error:
                return error
            finally:
                self.up = False
                outgoing.put(None)
                with contextlib.suppress(OSError):
                    link.shutdown(socket.SHUT_RDWR)  # the sender may be in the middle of something
        return None


def _send(link: Link, outgoing: "queue.SimpleQueue[bytes | None]") -> None:
    """Send what is put, until None; the receiving side finds what fails, and knows better what to say."""
    with contextlib.suppress(OSError):
        while (data := outgoing.get()) is not None:
            link.sendall(data)
        link.shutdown(socket.SHUT_WR)
