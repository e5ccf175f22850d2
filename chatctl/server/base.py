"""What both modes share: admission, the endings of links, the outlets, the shutdown.

One thread runs the loop: the main thread of the program, or one of a test. In select mode it serves the members as
well; in threads mode it lets newcomers in and watches the deadlines. One lock guards the room.
"""

import abc
import contextlib
import functools
import logging
import math
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from chatctl import wire
from chatctl.descriptors import raise_limit
from chatctl.layers import Layer
from chatctl.room.door import MORE, Door, network
from chatctl.room.endings import FELL_BEHIND, LEFT, SHUTDOWN
from chatctl.room.entrance import SPEAKS_TLS
from chatctl.room.limits import Limits
from chatctl.room.lookup import Found, Query
from chatctl.room.room import Room
from chatctl.room.stages import KNOCKING, SILENT, Due
from chatctl.server.channel import Channel
from chatctl.server.console import Outlet
from chatctl.server.counters import Counters
from chatctl.server.delivery import NO_WAIT, Delivery
from chatctl.server.link import Link
from chatctl.server.listener import Listener
from chatctl.server.lock import Lock, held
from chatctl.server.loop import Loop
from chatctl.server.store import Store
from chatctl.wire import Address
from chatctl.wire.words import FULL, TOO_MANY, Farewell

if TYPE_CHECKING:
    from chatctl.server.web import Caller, Site

DEFAULT_USERS = 10_000
"""Members at a time, where nobody says how many."""

RESERVE = 20
"""Descriptors left for what is no member: standard streams (3), the selector and what wakes it (3), listeners (4), the
one to be given up when there is no other, the transcript while it is reopened (2), metrics and a scraper (2), a file of
certificates, and some of the refused (4). When there are more of those, newcomers are turned away for a while."""

STORED = 8
"""More of them for a store: its lock, its directory, segments that are written, begun, and put on the disk (4), and two
pipes."""

LOOKS = 4
"""Times that a round looks for more to read before it sends: fewer sends, each of more, and no timer. (Measured: a busy
room of a hundred takes half the CPU in threads mode; with 16 looks no less.)"""

_PARTING = 16  # links beyond the limit of users, if descriptors are scarce: of members that have left and linger

_MOMENT = 0.1  # seconds that what is to be written at the end has in any case

_FIRST_WORDS = 4096  # bytes read of a newcomer at once


log = logging.getLogger("chatctl.server")


def within_descriptors(limits: Limits, *, stored: bool) -> Limits:
    """The same limits with a number of users, for whom this process's limit of descriptors is raised.

    A number that cannot be had is granted all the same, with a warning.

    Args:
        limits: what members may cost.
        stored: the room is.
    """
    reserve = RESERVE + STORED * stored
    wanted = (limits.max_users or DEFAULT_USERS) + reserve
    descriptors = raise_limit(wanted)
    if limits.max_users is None:
        return replace(limits, max_users=min(DEFAULT_USERS, max(descriptors - reserve, 1)))
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
        store: keeps it, if it is kept.
        pages: where browsers come in, and what is served to them; none: they do not.
    """

    def __init__(
        self,
        room: Room[Link],
        lock: Lock,
        sockets: list[socket.socket],
        *,
        layers: Callable[[], Sequence[Layer]],
        outlets: list[Outlet],
        store: Store | None = None,
        pages: "tuple[list[socket.socket], Site] | None" = None,
    ) -> None:
        self.room = room
        self.lock = lock
        self.layers = layers
        limits = room.limits
        users = limits.max_users or 0
        reserve = RESERVE + STORED * (store is not None)
        spare = raise_limit(users + MORE + reserve) - reserve - users
        more = max(min(spare, MORE), _PARTING)
        self.door = Door(users, limits.max_per_ip, limits.allow, limits.deny, more=more)
        self.console, *_ = self.outlets = outlets
        self.store = store
        if store:
            room.past = self._look_up
            for banned in store.journal.bans:
                self.door.ban(network(banned))
        self.links: set[Link] = set()
        self.delivery = Delivery(room, lock, self.stall)
        self.due = math.inf  # when the loop looks at its deadlines next, if nothing wakes it
        self.loop = Loop()
        self.listener = Listener(sockets, self.loop.selector, self._welcome)
        self.listeners = [self.listener]
        if pages:
            listening, self._site = pages
            self.listeners.append(Listener(listening, self.loop.selector, self._welcome_pages, tell=self._site.refusal))
        self._since = time.time()
        self._stopping = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.close()

    def run(self) -> None:
        """Serve until `stop`, then tell everybody, send what is owed and return."""
        for outlet in self.outlets:
            outlet.start(wire.started(self.listener.port) if outlet is self.console else b"")
        if self.store:
            self.store.start()
            self.loop.wake()  # it has started again: that is to be written
        while not self._stopping or self.links or any(listener.lingering for listener in self.listeners):
            self.turn()
        self.finish()
        if self.store:
            self.store.close(max(self._end - time.monotonic(), _MOMENT))
        self._close_outlets()

    def stop(self) -> None:
        """Begin to end; when asked for twice, end at once. In the loop's thread."""
        now = time.monotonic()
        if self._stopping:
            self._end = now
            for listener in self.listeners:
                listener.tick(math.inf)
            with self.lock:
                self.room.tick(math.inf)
            return
        self._stopping = True
        self._end = now + SHUTDOWN
        for listener in self.listeners:
            listener.stop()
        with self.lock:
            self.room.close(now)

    def counters(self) -> Counters:
        """What was counted so far. Any thread."""
        ledger = self.room.ledger
        with self.lock:
            return Counters(
                since=self._since,
                users=len(ledger.people),
                held=len(ledger.held),
                asleep=ledger.places.asleep,
                links={word: log.readers for word, log in ledger.logs.items()},
                outside=self.room.waiting,
                lines=ledger.lines,
                resumed=ledger.resumed,
                incomplete=ledger.incomplete,
                bytes_in=self.room.received,
                bytes_out=self.delivery.sent,
                refused=dict(sum((listener.refused for listener in self.listeners), self.room.refused)),
                ended=dict(self.room.left),
                cut=dict(self.room.cut),
                stored=self.store.counters() if self.store else None,
            )

    @abc.abstractmethod
    def start(self, link: Link) -> None:
        """Begin to read a link.

        Raises:
            RuntimeError, OSError: there is nothing to read it with.
        """

    @abc.abstractmethod
    def stall(self, link: Link) -> None:
        """See to a link whose socket took less than it was given: it is sent nothing until that takes more."""

    @abc.abstractmethod
    def turn(self) -> None:
        """Wait for what comes next, act on it and on the deadlines, and see that every member gets what it is owed."""

    @abc.abstractmethod
    def finish(self) -> None:
        """Wait until everything has been sent that was owed: no link is left."""

    def commit(self) -> None:
        """Have what has happened be written, before it is sent. By whoever sends, without the lock."""
        if self.store:
            self.store.commit()

    def _look_up(self, query: Query, then: Callable[[Found], None]) -> None:
        """Look for something in what is stored, and tell who has asked, see `Room.past`."""
        assert self.store
        self.store.past.look_up(query, lambda found: self.call(functools.partial(then, found)))

    def call(self, function: Callable[[], None]) -> None:
        """Have something called in the loop's thread, under the lock. Any thread."""

        def do() -> None:
            with self.lock:
                self.room.now = time.monotonic()
                function()

        self.loop.call(do)

    def tick(self) -> None:
        """Act on the deadlines that have come."""
        now = time.monotonic()
        for listener in self.listeners:
            listener.tick(now)
        with self.lock:
            self.room.tick(now)

    def wake_outlets(self) -> None:
        """Have what was said shown."""
        assert held(self.lock)
        for outlet in self.outlets:
            outlet.wake()

    def look_ahead(self) -> None:
        """Find out when the next deadline is ``due``."""
        assert held(self.lock)
        deadlines = [self.room.first_due, *(listener.deadline for listener in self.listeners)]
        self.due = min((at for at in deadlines if at is not None), default=math.inf)

    def receive(self, link: Link, data: bytes | None) -> None:
        """Hand the room what was read of a link; empty at its end, None when its layers had it all."""
        assert held(self.lock)
        now = time.monotonic()
        self.room.ledger.day = time.time() - now  # somebody may have set the clock
        layered = link.layered
        fresh = False
        if layered:
            fresh = layered.established and link.stage is KNOCKING
            if fresh and not link.caller:
                self.room.join(link, now, layered.identity)
            if layered.pending:
                self.room.touch(link)
        if data is not None:
            if link.caller:
                self._answer(link, link.caller, data, now)
            else:
                self.room.receive(link, data, now)
            if not data or (layered and layered.ended):
                link.eof = True
                self.room.receive(link, b"", now)
        if layered and layered.failure:
            self._fail_tls(link, layered)
        if fresh:
            self.hear_out(link)

    def _answer(self, link: Link, caller: "Caller", data: bytes, now: float) -> None:
        """Answer the request of a browser, when all of it is there; a page is in the room from then on."""
        if not data:
            self.room.leave(link, now, LEFT)
            return
        answer = caller.receive(data)
        if answer is None:
            return
        link.caller = None
        host, why = answer.address.host, None
        if answer.address != link.address:  # there is a proxy between
            self.room.relocate(link, answer.address)
            why = self.door.refusal(host, len(self.links) - 1, self.room.links_from(host) - 1)
        link.tell(self._site.refusal(why) if why else answer.data, answer=False)
        if why or answer.decoder is None:
            self.room.finish(link, now, why or LEFT)
            return
        self.room.open(link, now, answer.decoder, link.layered.identity if link.layered else "")
        if answer.rest:
            self.room.receive(link, answer.rest, now)

    def hear_out(self, link: Link) -> None:
        """Read a newcomer that is about to be greeted: it may have said already who it is."""
        assert held(self.lock)
        if link.stage is not SILENT or link.eof:
            return
        data: bytes | None = None
        try:
            data = link.channel.recv(_FIRST_WORDS, NO_WAIT)
        except BlockingIOError:
            pass
        except OSError as error:
            self.delivery.lose(link, error)
            return
        self.receive(link, data)

    def glance(self, link: Link) -> None:
        """Find out whether a link that is not read was reset."""
        assert held(self.lock)
        if link.was_reset:
            self.delivery.lose(link, ConnectionResetError())

    def _fail_tls(self, link: Link, layered: Channel) -> None:
        """End a link whose TLS cannot go on: an alert is still to be sent, or the truth in plain text."""
        if layered.begun or link.caller:
            self.room.finish(link, time.monotonic(), f"TLS failed: {layered.failure}")
        else:
            self.room.dismiss(link, time.monotonic(), Farewell("tls", SPEAKS_TLS), "spoke no TLS")

    def half_close(self, link: Link) -> None:
        """Close our end of a link that got all that it was owed; when the peer has closed its own too, it is gone."""
        assert held(self.lock)
        if not link.shut:
            link.shut = True
            with contextlib.suppress(OSError):
                link.sock.shutdown(socket.SHUT_WR)
            self.room.progress(link, time.monotonic())
        if link.eof:
            self.room.leave(link, time.monotonic(), link.reason)

    def close(self, link: Link) -> None:
        """Close a link that is gone, and whose socket nobody uses."""
        assert held(self.lock)
        self.links.discard(link)
        self.delivery.stalled.discard(link)
        link.close()
        if self._stopping and not self.links:
            self.loop.wake()
        level = logging.WARNING if link.reason == FELL_BEHIND else logging.INFO
        refused = link.reason in (FULL, TOO_MANY)
        log.log(level, "%s %s: %s", link.address, "refused" if refused else "went", link.reason)

    def _welcome(self, newcomers: list[tuple[socket.socket, Address]]) -> None:
        with self.lock:
            for sock, address in newcomers:
                why = self._let_in(sock, address)
                if why:
                    self.listener.refuse(sock, address, why, time.monotonic())

    def _welcome_pages(self, newcomers: list[tuple[socket.socket, Address]]) -> None:
        with self.lock:
            for sock, address in newcomers:
                why = self._let_in(sock, address, self._site.caller(address))
                if why:
                    self.listeners[1].refuse(sock, address, why, time.monotonic())

    def _let_in(self, sock: socket.socket, address: Address, caller: "Caller | None" = None) -> str | None:
        """Make a newcomer a link, or return why not; a caller is a browser's."""
        host = address.host
        if why := self.door.refusal(host, len(self.links), self.room.links_from(host)):
            return why
        link = Link(self.room.ledger.log("text"), address, sock, self.layers(), caller)
        try:
            self.start(link)
        except (RuntimeError, OSError) as error:
            log.warning("%s", error)
            return FULL
        link.watch_over()
        self.links.add(link)
        self.room.arrive(link)
        if link.layered or caller:
            self.room.knock(link, time.monotonic(), Due.REQUEST if caller else Due.HANDSHAKE)
        else:
            self.room.join(link, time.monotonic())
            self.hear_out(link)
        return None

    def _close_outlets(self) -> None:
        """Have the outlets write what they owe, until the end, and a moment in any case."""
        moment = time.monotonic() + _MOMENT
        left = self.outlets
        while (left := [outlet for outlet in left if not outlet.close(0.01)]) and (
            time.monotonic() < max(self._end, moment)
        ):
            self.loop.turn(0)  # a second signal
