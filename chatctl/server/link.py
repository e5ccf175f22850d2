"""A member's connection."""

import contextlib
import socket
import struct
import sys
from typing import TYPE_CHECKING

from chatctl.server.broadcast import Log
from chatctl.server.roster import Member

if TYPE_CHECKING:
    from chatctl.server.secure import Secure

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER, on, no time: close() resets and the kernel frees what was not sent

_LEFTOVERS = 64  # reads, of 64 KiB, of what a peer that does not close had still sent

# A dead peer is found out within two minutes: an idle one by keepalive probes, one that is owed something by how long
# what was sent may stay unacknowledged. On Linux that second limit ends the probes as well, so they agree (tcp(7)).
_PATIENCE = 120  # seconds
_KEEPALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPIDLE", 0x10), _PATIENCE // 2),  # macOS: TCP_KEEPALIVE, 0x10
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PATIENCE // 8),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
]
if sys.platform == "linux":
    _KEEPALIVE.append((socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _PATIENCE * 1000))
elif sys.platform == "darwin":
    _KEEPALIVE.append((socket.IPPROTO_TCP, 0x80, _PATIENCE))  # TCP_RXT_CONNDROPTIME (netinet/tcp.h)


class Link(Member):
    """A member with a socket.

    The socket is a blocking one without a timeout in both modes: what must not wait says MSG_DONTWAIT. Bytes are
    received and sent through ``channel``: that is the socket, or ``secure``, the same under TLS.

    ``eof``: the peer has closed its end, nothing more will be read. ``shut``: we have closed ours, nothing more
    will be sent. ``watched``: what the selector watches it for.
    """

    __slots__ = ("channel", "eof", "secure", "shut", "sock", "watched")

    def __init__(self, log: Log, name: str, sock: socket.socket, secure: "Secure | None") -> None:
        super().__init__(log, name)
        self.sock = sock
        self.secure = secure
        self.channel: socket.socket | Secure = secure or sock
        self.eof = False
        self.shut = False
        self.watched = 0

    def last_words(self) -> bool:
        """Whether TLS itself has something to send, when all else is sent: of a finished link, that this is the end."""
        if self.secure is None:
            return False
        if self.finished:
            self.secure.close()
        return self.secure.pending

    @property
    def was_reset(self) -> bool:
        """Whether the connection was reset, even when another thread has been told of that already."""
        try:
            self.sock.getpeername()  # it has no peer then
        except OSError:
            return True
        return False

    def watch_over(self) -> None:
        """Have the kernel send at once, and find out about a dead peer."""
        for option in _KEEPALIVE:
            with contextlib.suppress(OSError):  # it may be gone already, which the first read will say
                self.sock.setsockopt(*option)

    def close(self) -> None:
        """Close the socket, which nobody uses any more.

        A link that got all it was owed is closed so that the kernel goes on to deliver it: what was not read is read
        away first. The others are reset, so that the kernel gives up too.
        """
        with contextlib.suppress(OSError):
            if not self.shut:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            elif not self.eof:
                for _ in range(_LEFTOVERS):
                    if not self.sock.recv(65536, socket.MSG_DONTWAIT):
                        break
        self.sock.close()
