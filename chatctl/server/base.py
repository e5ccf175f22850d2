"""What both modes share: the loop around the listener, the wake-up by signals, the endings of links, the shutdown.

The main thread runs the loop. In select mode it serves the members as well; in threads mode it lets newcomers in and
watches the deadlines. One lock guards the room; whoever holds it does nothing that blocks.

A signal handler only wakes the loop, through the socket pair that `signal.set_wakeup_fd` writes the signal's number to.
"""

import abc
import contextlib
import logging
import math
import resource
import selectors
import signal
import socket
import struct
import threading
import time

from chatctl import wire
from chatctl.server.broadcast import Log
from chatctl.server.console import Outlet
from chatctl.server.listener import FULL, Listener
from chatctl.server.room import FELL_BEHIND, GRACE, Member, Room

RESERVE = 64
"""Descriptors left for what is no member: standard streams, listeners, the selector, the refused, those who left."""

_PARTING = 16  # links beyond the limit of users: of members that have left and not closed their end yet

DEFAULT_USERS = 10_000

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER, on, no time: close() resets and the kernel frees what was not sent

_LEFTOVERS = 64  # reads, of 64 KiB, of what a peer that does not close had still sent

log = logging.getLogger("chatctl.server")


class Link(Member):
    """A member with a socket.

    The socket is a blocking one without a timeout in both modes: what must not wait says MSG_DONTWAIT.

    ``eof``: the peer has closed its end, nothing more will be read. ``shut``: we have closed ours, nothing more
    will be sent.
    """

    __slots__ = ("eof", "shut", "sock")

    def __init__(self, log: Log, name: str, sock: socket.socket) -> None:
        super().__init__(log, name)
        self.sock = sock
        self.eof = False
        self.shut = False


class Server(abc.ABC):
    """A room on a listener. A mode is a subclass that moves the bytes of its links.

    Args:
        room: whom the links join.
        sockets: what `listener.bind` gave.
        max_users: members at a time; the next newcomer is refused.
        console: the descriptor that shows the room.
    """

    def __init__(self, room: Room[Link], sockets: list[socket.socket], *, max_users: int, console: int) -> None:
        self.room = room
        self.lock = threading.Lock()
        self.console = Outlet(room.log, self.lock, console)
        self.links: set[Link] = set()
        self.stalled: set[Link] = set()  # those whose sockets took less than they were given
        self.due = math.inf  # when the main thread looks at its deadlines next, if nothing wakes it
        self.selector = selectors.DefaultSelector()
        self.listener = Listener(sockets, self.selector, self._welcome)
        self._max_users = max_users
        self._stopping = False
        self._wakeup, self._waker = socket.socketpair()
        self._wakeup.setblocking(False)
        self._waker.setblocking(False)
        self.selector.register(self._wakeup, selectors.EVENT_READ, self._awake)

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM, then tell everybody, send what is owed and return. Main thread only."""
        self._catch_signals()
        self.console.start(wire.started(self.listener.port))
        while not self._stopping or self.links or self.listener.lingering:
            with self.lock:
                timeout = self._timeout()
            events = self.selector.select(timeout)
            with self.lock:
                for key, mask in events:
                    key.data(mask)
                now = time.monotonic()
                self.listener.tick(now)
                self.room.tick(now)
            self.flush()
        self.console.close(max(self._end - time.monotonic(), 0.1))
        self._ignore_signals()
        self.selector.close()
        self._wakeup.close()
        self._waker.close()

    @abc.abstractmethod
    def start(self, link: Link) -> None:
        """Begin to read a link. The lock is held.

        Raises:
            RuntimeError, OSError: there is nothing to read it with.
        """

    @abc.abstractmethod
    def flush(self) -> None:
        """See that every member gets what it is owed, and act on every ending. The lock is not held."""

    def wake(self) -> None:
        """Have the main thread look at its deadlines and its ends anew. Any thread."""
        with contextlib.suppress(BlockingIOError):  # it is about to, then
            self._waker.send(b"\0")

    def receive(self, link: Link, data: bytes) -> None:
        """Hand the room what was read of a link; empty at its end. The lock is held."""
        link.eof = not data
        self.room.receive(link, data, time.monotonic())

    def lose(self, link: Link, error: OSError) -> None:
        """Give up a link that failed. The lock is held."""
        self.room.leave(link, "reset" if isinstance(error, ConnectionError) else str(error.strerror))

    def half_close(self, link: Link) -> None:
        """Close our end of a link that got all that it was owed; when the peer has closed its own, that is all of it.

        The lock is held.
        """
        if not link.shut:
            link.shut = True
            with contextlib.suppress(OSError):
                link.sock.shutdown(socket.SHUT_WR)
            self.room.progress(link, time.monotonic())
        if link.eof:
            self.room.leave(link, link.reason)

    def close(self, link: Link) -> None:
        """Close the socket of a link that is gone. The lock is held, and nobody uses the socket.

        A link that got all it was owed is closed so that the kernel goes on to deliver it: what was not read is read
        away first. The others are reset, so that the kernel gives up too.
        """
        self.links.discard(link)
        self.stalled.discard(link)
        with contextlib.suppress(OSError):
            if not link.shut:
                link.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            elif not link.eof:
                for _ in range(_LEFTOVERS):
                    if not link.sock.recv(65536, socket.MSG_DONTWAIT):
                        break
        link.sock.close()
        if self._stopping and not self.links:
            self.wake()
        log.log(logging.WARNING if link.reason == FELL_BEHIND else logging.INFO, "%s went: %s", link.name, link.reason)

    def _welcome(self, sock: socket.socket, name: str) -> None:
        now = time.monotonic()
        if len(self.room.members) >= self._max_users or len(self.links) >= self._max_users + _PARTING:
            self.listener.refuse(sock, name, FULL, now)
            return
        with contextlib.suppress(OSError):  # it may be gone already, which the first read will say
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = Link(self.room.log, name, sock)
        try:
            self.start(link)
        except (RuntimeError, OSError) as error:
            log.warning("%s", error)
            self.listener.refuse(sock, name, FULL, now)
            return
        self.links.add(link)
        self.room.join(link)

    def _timeout(self) -> float | None:
        """Seconds until the next deadline; None: there is none."""
        self.due = min((at for at in (self.room.deadline, self.listener.deadline) if at is not None), default=math.inf)
        return None if self.due == math.inf else max(self.due - time.monotonic(), 0)

    def _awake(self, mask: int) -> None:
        for number in self._wakeup.recv(4096):
            if number in (signal.SIGINT, signal.SIGTERM):
                self._stop()

    def _stop(self) -> None:
        now = time.monotonic()
        if self._stopping:  # asked for twice: at once
            self.room.tick(math.inf)
            self.listener.tick(math.inf)
            return
        self._stopping = True
        self._end = now + GRACE
        self.listener.stop()
        self.room.close(now)

    def _catch_signals(self) -> None:
        """Turn SIGINT and SIGTERM into wake-ups."""

        def ignore(number: int, frame: object) -> None:
            """Python wants a handler; the number is on its way through the wake-up descriptor."""

        signal.set_wakeup_fd(self._waker.fileno())
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, ignore)

    def _ignore_signals(self) -> None:
        """What comes now is too late: it must not change the exit status of a good end."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        signal.set_wakeup_fd(-1)


def raise_descriptor_limit(users: int | None) -> int:
    """Raise this process's limit of open descriptors for so many users; return how many users it may have.

    None asks for `DEFAULT_USERS`, or for as many as the limit allows. A number that the limit does not allow is
    returned all the same, with a warning.
    """
    wanted = (DEFAULT_USERS if users is None else users) + RESERVE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        for limit in (wanted, 10_240):  # the second is what macOS allows where it says "unlimited" (OPEN_MAX)
            new = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (max(new, soft), hard))
                break
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = max(soft - RESERVE, 1) if soft != resource.RLIM_INFINITY else wanted
    if users is None:
        return min(DEFAULT_USERS, allowed)
    if users > allowed:
        log.warning("%d users need more descriptors than the limit of %d: see ulimit -n", users, soft)
    return users
