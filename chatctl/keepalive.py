"""Finding out about a peer that is dead: its machine has gone, and no packet says so."""

import contextlib
import socket
import sys


def keep_alive(sock: socket.socket, patience: int) -> None:
    """Have the kernel give a connection up when its peer is dead, and send what it is given at once.

    An idle connection is found out by keepalive probes, one that is owed something by how long that may stay
    unacknowledged. On Linux the second limit ends the probes as well, so they agree (tcp(7)).

    Args:
        sock: a TCP socket, connected.
        patience: how many seconds that may take, 8 or more.
    """
    options = [
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPIDLE", 0x10), patience // 2),  # macOS: TCP_KEEPALIVE, 0x10
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, patience // 8),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
    ]
    if sys.platform == "linux":
        options.append((socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, patience * 1000))
    elif sys.platform == "darwin":
        options.append((socket.IPPROTO_TCP, 0x80, patience))  # TCP_RXT_CONNDROPTIME (netinet/tcp.h)
    for option in options:
        with contextlib.suppress(OSError):  # it may be gone already, which the first read will say
            sock.setsockopt(*option)
