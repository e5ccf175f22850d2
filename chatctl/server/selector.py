"""One thread for all: whatever is ready is read once, then every member that is owed something gets it.

A turn is: poll; let in all that wait; read each ready member once; send each member one buffer with all that is new
to it. Interest in writing is only there while a send came up short. `selectors.DefaultSelector` is epoll on Linux and
kqueue on macOS, so there is no wall at 1,024 descriptors.

Only this thread changes the room, so it reads it without the lock, which it takes to change it: the outlets read too.
"""

import functools
import selectors
import socket
import time

from chatctl.room.log import CHUNK, take_together
from chatctl.room.stages import FINISHED, GONE
from chatctl.server.base import Server
from chatctl.server.link import Link

_NO_WAIT = socket.MSG_DONTWAIT
_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_RECEIVE = 65536  # bytes read of a member a turn
_BACKLOG = 256 * 1024  # bytes said in a turn before what was said is sent: a window must hold what one turn brings


class SelectServer(Server):
    """Serves every member in the main thread."""

    def start(self, link: Link) -> None:
        """Watch a link for input."""
        self._watch(link)

    def flush(self) -> None:
        """Send what the turn brought."""
        room, stalled = self.room, self.stalled
        while not room.quiet:
            moved = room.moved()
            alone, together = take_together([link for link in moved if link not in stalled] if stalled else moved)
            for link in alone:
                self._drain(link)
            for data, links in together:
                size = len(data)
                self.sent += size * len(links)
                for link in links:
                    try:
                        sent = link.channel.send(data, _NO_WAIT)
                    except OSError as error:
                        sent = self._fail(link, error)
                    if sent < size or size == CHUNK:  # else that was all, as for nearly every member in every turn
                        self.sent -= size
                        self._drain(link, data, sent)
            for link in room.touched():
                self._visit(link)
            with self.lock:
                room.trim(stalled)
        with self.lock:
            for outlet in self.outlets:
                outlet.wake()

    def _ready(self, link: Link, mask: int) -> None:
        """Act on what the selector says of a link."""
        if mask & _WRITE and link.stage is not GONE:
            self._visit(link)
        if mask & _READ and link.stage is not GONE:
            self._receive(link)

    def _receive(self, link: Link) -> None:
        data: bytes | None = None
        try:
            data = link.channel.recv(_RECEIVE, _NO_WAIT)
        except BlockingIOError:
            pass
        except OSError as error:
            with self.lock:
                self.lose(link, error)
            return
        with self.lock:
            self.receive(link, data)
            if link.eof and link.shut:
                self.half_close(link)
        if link.eof:  # stays readable
            self._watch(link)
        if self.room.backlog > _BACKLOG:
            self.flush()

    def _visit(self, link: Link) -> None:
        """Send a link what it is owed, and take its end a step further."""
        if link.paused:
            with self.lock:
                self.glance(link)
        if link.stage is not GONE:
            self._drain(link)
        if link.stage is FINISHED and link not in self.stalled:
            with self.lock:
                self.half_close(link)
        if link.stage is GONE and link in self.links:
            self._watch(link)
            with self.lock:
                self.close(link)

    def _drain(self, link: Link, data: bytes | memoryview = b"", sent: int = 0) -> None:
        """Go on after ``sent`` bytes of ``data`` went: send a link all that it is owed, or what it takes."""
        while sent == len(data):
            self.sent += sent
            data = link.take()
            if not data and not link.last_words():
                self.stalled.discard(link)
                self._watch(link)
                return
            try:
                sent = link.channel.send(data, _NO_WAIT)
            except OSError as error:
                sent = self._fail(link, error)
        self.sent += max(sent, 0)
        if link.stage is not GONE:
            link.keep(data, max(sent, 0))
            self.stalled.add(link)
            self._watch(link)
            if sent > 0:
                self.room.progress(link, time.monotonic())

    def _fail(self, link: Link, error: OSError) -> int:
        """Nothing was sent, not even nothing: the socket is full, or the link is lost."""
        if not isinstance(error, BlockingIOError):
            with self.lock:
                self.lose(link, error)
        return -1

    def _watch(self, link: Link) -> None:
        """Watch a link for input while it is to be read, and for output while it is stalled."""
        events = 0 if link.eof or link.paused else _READ
        if link in self.stalled:
            events |= _WRITE
        if link.stage is GONE:
            events = 0
        if events == link.watched:
            return
        if not events:
            self.selector.unregister(link.sock)
        elif not link.watched:
            self.selector.register(link.sock, events, functools.partial(self._ready, link))
        else:
            self.selector.modify(link.sock, events, functools.partial(self._ready, link))
        link.watched = events
