"""One thread for all: whatever is ready is read once, then every member that is owed something gets it.

A turn is: poll; let in all that wait; read each ready member once; look again, a few times, whether there is more to
read; send each member one buffer with all that is new to it. Interest in writing is only there while a send came up
short. `selectors.DefaultSelector` is epoll on Linux and kqueue on macOS, so there is no wall at 1,024 descriptors.

Only this thread changes the room, so it may look at it without the lock, which it takes for every change: the outlets
and the metrics look too.
"""

import selectors
from typing import Any

from chatctl.room.stages import FINISHED, GONE
from chatctl.server.base import LOOKS, Server
from chatctl.server.delivery import NO_WAIT
from chatctl.server.link import Link

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_RECEIVE = 65536  # bytes read of a member at a time
_BACKLOG = 256 * 1024  # bytes said, from which on they are sent first: a window must hold what a turn brings


class SelectServer(Server):
    """Serves every member in the loop's thread."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.loop.serve = self._serve

    def start(self, link: Link) -> None:
        """Watch a link for input."""
        self._watch(link)

    def turn(self) -> None:
        """Wait, read, and send what that brought."""
        with self.lock:
            self.look_ahead()
        self.loop.turn(self.due)
        looks = LOOKS
        while looks and self.room.backlog and self.loop.turn(0):
            looks -= 1
        self.tick()
        self.flush()

    def finish(self) -> None:
        """Nothing is left to do: a turn ends when all is sent."""
        assert self.room.quiet

    def flush(self) -> None:
        """Send every member what it is owed, and act on every ending."""
        while not self.room.quiet:
            self.commit()
            with self.lock:
                alone, together, touched = self.delivery.collect()
            self.delivery.single(alone)
            for data, links in together:
                self.delivery.share(data, links)
            for link in touched:
                self._attend(link)
            with self.lock:
                self.room.trim(self.delivery.stalled)
                self.wake_outlets()

    def _serve(self, link: Link, events: int) -> None:
        """Read a link that is ready, or send it what it is owed."""
        if events & _WRITE and link.stage is not GONE:
            self.delivery.stalled.discard(link)
            self.delivery.send(link)
            self._attend(link)
        if events & _READ and link.stage is not GONE:
            self._receive(link)

    def _receive(self, link: Link) -> None:
        data: bytes | None = None
        try:
            data = link.channel.recv(_RECEIVE, NO_WAIT)
        except BlockingIOError:
            pass
        except OSError as error:
            with self.lock:
                self.delivery.lose(link, error)
            return
        with self.lock:
            self.receive(link, data)
            if link.eof and link.shut:
                self.half_close(link)
        if link.eof or link.paused:  # it may stay readable, but is not to be read
            self._watch(link)
        if self.room.backlog > _BACKLOG:
            self.flush()

    def _attend(self, link: Link) -> None:
        """Take the end of a link a step further, and watch it for what is of use."""
        with self.lock:
            if link.paused:
                self.glance(link)
            if link.stage is FINISHED and link not in self.delivery.stalled and not link.unwritten:
                self.half_close(link)
            self._watch(link)
            if link.stage is GONE and link in self.links:
                self.close(link)

    def stall(self, link: Link) -> None:
        """Wait until its socket takes more."""
        self.delivery.stalled.add(link)
        self._watch(link)

    def _watch(self, link: Link) -> None:
        """Watch a link for input while it is to be read, and for output while it is stalled."""
        events = 0 if link.eof or link.paused else _READ
        if link in self.delivery.stalled:
            events |= _WRITE
        if link.stage is GONE:
            events = 0
        if events == link.watched:
            return
        selector = self.loop.selector
        if not events:
            selector.unregister(link.sock)
        elif not link.watched:
            selector.register(link.sock, events, link)
        else:
            selector.modify(link.sock, events, link)
        link.watched = events
