"""What both modes share: the loop around the listener, the wake-up by signals, the endings of links, the shutdown.

The main thread runs the loop. In select mode it serves the members as well; in threads mode it lets newcomers in and
watches the deadlines. One lock guards the room; whoever holds it does nothing that blocks.

A signal handler only wakes the loop, through the socket pair that `signal.set_wakeup_fd` writes the signal's number to.
"""

import abc
import contextlib
import logging
import math
import selectors
import signal
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from chatctl import wire
from chatctl.server.broadcast import Log
from chatctl.server.console import Outlet
from chatctl.server.counters import Counters
from chatctl.server.door import FULL, Door
from chatctl.server.listener import Listener
from chatctl.server.room import SPEAKS_TLS, Room
from chatctl.server.roster import FELL_BEHIND, GRACE, Member

if TYPE_CHECKING:
    import ssl

    from chatctl.server.secure import Secure

_PARTING = 16  # links beyond the limit of users: of members that have left and not closed their end yet

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

log = logging.getLogger("chatctl.server")


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


class Server(abc.ABC):
    """A room on a listener. A mode is a subclass that moves the bytes of its links.

    Args:
        room: whom the links join.
        lock: guards the room.
        sockets: what `listener.bind` gave.
        tls: what the TLS of those who come is made from; None: they speak plain text. It may be replaced.
        outlets: what shows the room's log, the console first.
    """

    def __init__(
        self,
        room: Room[Link],
        lock: threading.Lock,
        sockets: list[socket.socket],
        *,
        tls: "ssl.SSLContext | None",
        outlets: list[Outlet],
    ) -> None:
        self.room = room
        self.lock = lock
        limits = room.limits
        self.door = Door(limits.max_users or 0, limits.max_per_ip, limits.allow, limits.deny)
        self.console, *_ = self.outlets = outlets
        self.links: set[Link] = set()
        self.stalled: set[Link] = set()  # those whose sockets took less than they were given
        self.due = math.inf  # when the main thread looks at its deadlines next, if nothing wakes it
        self.selector = selectors.DefaultSelector()
        self.listener = Listener(sockets, self.selector, self._welcome)
        self._since = time.time()
        self.tls = tls
        self._stopping = False
        self._calls: deque[Callable[[], None]] = deque()
        self._signals: Mapping[int, Callable[[], None]] = {}
        self._wakeup, self._waker = socket.socketpair()
        self._wakeup.setblocking(False)
        self._waker.setblocking(False)
        self.selector.register(self._wakeup, selectors.EVENT_READ, self._awake)

    def run(self, signals: Mapping[int, Callable[[], None]]) -> None:
        """Serve until `stop`, then tell everybody, send what is owed and return. Main thread only.

        Args:
            signals: by their numbers, what to call in the loop. The lock is not held.
        """
        self._catch(signals)
        for outlet in self.outlets:
            outlet.start(wire.started(self.listener.port) if outlet is self.console else b"")
        while not self._stopping or self.links or self.listener.lingering:
            with self.lock:
                timeout = self._timeout()
            for key, mask in self.selector.select(timeout):
                key.data(mask)
            now = time.monotonic()
            self.listener.tick(now)
            with self.lock:
                self.room.tick(now)
            self.flush()
        for outlet in self.outlets:
            outlet.close(max(self._end - time.monotonic(), 0.1))
        self._ignore_signals()
        self.selector.close()
        self._wakeup.close()
        self._waker.close()

    def call(self, function: Callable[[], None]) -> None:
        """Have the main thread call something, without the lock. Any thread."""
        self._calls.append(function)
        self.wake()

    def stop(self) -> None:
        """Begin to end; when asked for twice, end at once. The lock is not held. Main thread only."""
        now = time.monotonic()
        if self._stopping:
            self.listener.tick(math.inf)
            with self.lock:
                self.room.tick(math.inf)
            return
        self._stopping = True
        self._end = now + GRACE
        self.listener.stop()
        with self.lock:
            self.room.close(now)

    def counters(self) -> Counters:
        """What was counted so far. Any thread; the lock is not held."""
        with self.lock:
            return Counters(
                since=self._since,
                users=len(self.room.members),
                outside=len(self.room.outside),
                lines=self.room.lines,
                bytes_in=self.room.received,
                bytes_out=self.room.sent,
                refused=dict(self.listener.refused),
                ended=dict(self.room.left),
                cut=dict(self.room.cut),
            )

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

    def receive(self, link: Link, data: bytes | None) -> None:
        """Hand the room what was read of a link; empty at its end, None when TLS had it all. The lock is held."""
        now = time.monotonic()
        if link.secure:
            if link.secure.established and link.decoder is None:
                self.room.join(link, now)
            if link.secure.pending:
                self.room.touch(link)
        if data is not None:
            self.room.receive(link, data, now)
            if not data or (link.secure and link.secure.ended):
                link.eof = True
                self.room.receive(link, b"", now)
        if link.secure and link.secure.failure and not link.finished:
            self._fail_tls(link, link.secure)

    def lose(self, link: Link, error: OSError) -> None:
        """Give up a link that failed. The lock is held."""
        self.room.leave(link, "reset" if isinstance(error, ConnectionError) else str(error.strerror))

    def _fail_tls(self, link: Link, secure: "Secure") -> None:
        """End a link whose TLS cannot go on: an alert is still to be sent, or the truth in plain text."""
        if secure.speaks_tls:
            self.room.finish(link, time.monotonic(), f"TLS failed: {secure.failure}")
        else:
            self.room.dismiss(link, time.monotonic(), SPEAKS_TLS, "spoke no TLS")

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

    def _welcome(self, newcomers: list[tuple[socket.socket, str]]) -> None:
        with self.lock:
            for sock, name in newcomers:
                why = self._let_in(sock, name)
                if why:
                    self.listener.refuse(sock, name, why, time.monotonic())

    def _let_in(self, sock: socket.socket, name: str) -> str | None:
        """Make a newcomer a link, or return why not."""
        host = wire.host(name)
        if why := self.door.refusal(host, self.room.users, self.room.users_from(host)):
            return why
        if len(self.links) >= self.door.max_users + _PARTING:
            return FULL
        for option in _KEEPALIVE:
            with contextlib.suppress(OSError):  # it may be gone already, which the first read will say
                sock.setsockopt(*option)
        link = Link(self.room.log, name, sock, self._secured(sock))
        try:
            self.start(link)
        except (RuntimeError, OSError) as error:
            log.warning("%s", error)
            return FULL
        self.links.add(link)
        if link.secure:
            self.room.knock(link, time.monotonic())
        else:
            self.room.join(link, time.monotonic())
        return None

    def _secured(self, sock: socket.socket) -> "Secure | None":
        if self.tls is None:
            return None
        from chatctl.server.secure import Secure

        return Secure(sock, self.tls)

    def _timeout(self) -> float | None:
        """Seconds until the next deadline; None: there is none."""
        self.due = min(
            (at for at in (self.room.deadlines.first, self.listener.deadline) if at is not None), default=math.inf
        )
        return None if self.due == math.inf else max(self.due - time.monotonic(), 0)

    def _awake(self, mask: int) -> None:
        for number in self._wakeup.recv(4096):
            if number in self._signals:
                self._signals[number]()
        while self._calls:
            self._calls.popleft()()

    def _catch(self, signals: Mapping[int, Callable[[], None]]) -> None:
        """Turn signals into wake-ups."""

        def ignore(number: int, frame: object) -> None:
            """Python wants a handler; the number is on its way through the wake-up descriptor."""

        self._signals = signals
        signal.set_wakeup_fd(self._waker.fileno())
        for number in signals:
            signal.signal(number, ignore)

    def _ignore_signals(self) -> None:
        """What comes now is too late: it must not change the exit status of a good end."""
        for number in self._signals:
            signal.signal(number, signal.SIG_IGN)
        signal.set_wakeup_fd(-1)
