"""What both modes share: the loop around the listener, the wake-up by signals, the endings of links, the shutdown.

The main thread runs the loop. In select mode it serves the members as well; in threads mode it lets newcomers in and
watches the deadlines. One lock guards the room; whoever holds it does nothing that blocks.

A signal handler only notes the signal; `signal.set_wakeup_fd` has it wake the loop, through a socket pair. It does so
little because the next signal interrupts it: a storm of them must not nest.
"""

import abc
import contextlib
import logging
import math
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from chatctl import wire
from chatctl.descriptors import raise_limit
from chatctl.layers import Layer
from chatctl.room.door import FULL, Door
from chatctl.room.limits import Limits
from chatctl.room.room import SPEAKS_TLS, Room
from chatctl.room.stages import FELL_BEHIND, GRACE, KNOCKING
from chatctl.server.channel import Channel
from chatctl.server.console import Outlet
from chatctl.server.counters import Counters
from chatctl.server.link import Link
from chatctl.server.listener import Listener
from chatctl.server.lock import Lock
from chatctl.wire import Address

DEFAULT_USERS = 10_000
"""Members at a time, where nobody says how many."""

RESERVE = 64
"""Descriptors left for what is no member: standard streams, listeners, the selector, the refused, those who left."""

_PARTING = 16  # links beyond the limit of users: of members that have left and not closed their end yet

_LONGEST = 3600.0  # seconds of a wait: epoll_wait(2) knows no more than 24 days

log = logging.getLogger("chatctl.server")


def within_descriptors(limits: Limits) -> Limits:
    """The same limits with a number of users, for whom this process's limit of descriptors is raised.

    A number that cannot be had is granted all the same, with a warning.
    """
    wanted = (limits.max_users or DEFAULT_USERS) + RESERVE
    descriptors = raise_limit(wanted)
    if limits.max_users is None:
        return replace(limits, max_users=min(DEFAULT_USERS, max(descriptors - RESERVE, 1)))
    if wanted > descriptors:
        log.warning("%d users need more descriptors than the limit of %d: see ulimit -n", limits.max_users, descriptors)
    return limits


class Server(abc.ABC):
    """A room on a listener. A mode is a subclass that moves the bytes of its links.

    Args:
        room: whom the links join.
        lock: guards the room.
        sockets: what `listener.bind` gave.
        layers: makes those of a newcomer's connection, none for plain text. It may be replaced.
        outlets: what shows the room's log, the console first.
    """

    def __init__(
        self,
        room: Room[Link],
        lock: Lock,
        sockets: list[socket.socket],
        *,
        layers: Callable[[], Sequence[Layer]],
        outlets: list[Outlet],
    ) -> None:
        self.room = room
        self.lock = lock
        limits = room.limits
        self.door = Door(limits.max_users or 0, limits.max_per_ip, limits.allow, limits.deny)
        self.console, *_ = self.outlets = outlets
        self.links: set[Link] = set()
        self.sent = 0  # bytes that went to members
        self.stalled: set[Link] = set()  # those whose sockets took less than they were given
        self.due = math.inf  # when the main thread looks at its deadlines next, if nothing wakes it
        self.selector = selectors.DefaultSelector()
        self.listener = Listener(sockets, self.selector, self._welcome)
        self._since = time.time()
        self.layers = layers
        self._stopping = False
        self._calls: deque[Callable[[], None]] = deque()
        self._caught: list[int] = []  # signals that were not acted on yet
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
        self._close_outlets()
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
            self._end = now
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
                users=len(self.room.inside),
                outside=self.room.waiting,
                lines=self.room.ledger.lines,
                bytes_in=self.room.received,
                bytes_out=self.sent,
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
        """Hand the room what was read of a link; empty at its end, None when its layers had it all."""
        assert self.lock.held
        now = time.monotonic()
        layered = link.layered
        if layered:
            if layered.established and link.stage is KNOCKING:
                self.room.join(link, now)
            if layered.pending:
                self.room.touch(link)
        if data is not None:
            self.room.receive(link, data, now)
            if not data or (layered and layered.ended):
                link.eof = True
                self.room.receive(link, b"", now)
        if layered and layered.failure:
            self._fail_tls(link, layered)

    def lose(self, link: Link, error: OSError) -> None:
        """Give up a link that failed. The lock is held."""
        self.room.leave(link, "reset" if isinstance(error, ConnectionError) else str(error.strerror))

    def glance(self, link: Link) -> None:
        """Find out whether a link that is not read was reset. The lock is held."""
        if link.was_reset:
            self.lose(link, ConnectionResetError())

    def _fail_tls(self, link: Link, layered: Channel) -> None:
        """End a link whose TLS cannot go on: an alert is still to be sent, or the truth in plain text."""
        if layered.begun:
            self.room.finish(link, time.monotonic(), f"TLS failed: {layered.failure}")
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
        """Close a link that is gone. The lock is held, and nobody uses its socket."""
        self.links.discard(link)
        self.stalled.discard(link)
        link.close()
        if self._stopping and not self.links:
            self.wake()
        log.log(
            logging.WARNING if link.reason == FELL_BEHIND else logging.INFO, "%s went: %s", link.address, link.reason
        )

    def _welcome(self, newcomers: list[tuple[socket.socket, Address]]) -> None:
        with self.lock:
            for sock, address in newcomers:
                why = self._let_in(sock, address)
                if why:
                    self.listener.refuse(sock, address, why, time.monotonic())

    def _let_in(self, sock: socket.socket, address: Address) -> str | None:
        """Make a newcomer a link, or return why not."""
        host = address.host
        if why := self.door.refusal(host, self.room.users, self.room.users_from(host)):
            return why
        if len(self.links) >= self.door.max_users + _PARTING:
            return FULL
        link = Link(self.room.ledger.read("text"), address, sock, self.layers())
        try:
            self.start(link)
        except (RuntimeError, OSError) as error:
            log.warning("%s", error)
            return FULL
        link.watch_over()
        self.links.add(link)
        self.room.arrive(link)
        if link.layered:
            self.room.knock(link, time.monotonic())
        else:
            self.room.join(link, time.monotonic())
        return None

    def _close_outlets(self) -> None:
        """Have the outlets write what they owe, until the end, and a moment in any case."""
        moment = time.monotonic() + 0.1
        left = self.outlets
        while (left := [outlet for outlet in left if not outlet.close(0.01)]) and (
            time.monotonic() < max(self._end, moment)
        ):
            for key, mask in self.selector.select(0):  # a second signal
                key.data(mask)

    def _timeout(self) -> float | None:
        """Seconds until the next deadline; None: there is none."""
        self.due = min(
            (at for at in (self.room.deadlines.first, self.listener.deadline) if at is not None), default=math.inf
        )
        return None if self.due == math.inf else min(max(self.due - time.monotonic(), 0), _LONGEST)

    def _awake(self, mask: int) -> None:
        self._wakeup.recv(4096)
        caught, self._caught = self._caught, []
        for number in caught:
            self._signals[number]()
        while self._calls:
            self._calls.popleft()()

    def _catch(self, signals: Mapping[int, Callable[[], None]]) -> None:
        """Turn signals into wake-ups."""

        def note(number: int, frame: object) -> None:
            if self._caught.count(number) < 2:  # a second SIGTERM counts, a third does not
                self._caught.append(number)

        self._signals = signals
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in signals:
            signal.signal(number, note)

    def _ignore_signals(self) -> None:
        """What comes now is too late: it must not change the exit status of a good end."""
        signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)  # else one in between is reported as a race
        for number in self._signals:
            signal.signal(number, signal.SIG_IGN)
        signal.set_wakeup_fd(-1)
