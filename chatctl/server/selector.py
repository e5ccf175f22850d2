"""One thread for all: whatever is ready is read once, then every member that is owed something gets it.

A turn is: poll; let in all that wait; read each ready member once; look again, a few times, whether there is more to
read; send each member one buffer with all that is new to it. Interest in writing is only there while a send came up
short. `selectors.DefaultSelector` is epoll on Linux and kqueue on macOS, so there is no wall at 1,024 descriptors.

Only this thread changes the room, so it reads it without the lock, which it takes to change it: the outlets read too.
"""

import selectors
import time

from chatctl.room.log import CHUNK, take_together
from chatctl.room.stages import FINISHED, GONE
from chatctl.server.base import Server
from chatctl.server.delivery import NO_WAIT, deliver
from chatctl.server.link import Link

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_RECEIVE = 65536  # bytes read of a member at a time
_BACKLOG = 256 * 1024  # bytes said, from which on they are sent first: a window must hold what a turn brings
_LOOKS = 4  # times that a turn looks for more to read before it sends: what came meanwhile goes in the same buffers


class SelectServer(Server):
    """Serves every member in the loop's thread."""

    def start(self, link: Link) -> None:
        """Watch a link for input."""
        self._watch(link)

    def turn(self) -> None:
        """Wait, read, and send what that brought."""
        if not self.loop.turn(0):
            with self.lock:
                self.wake_outlets(idle=True)
                self.look_ahead()
            self.loop.turn(self.due)
        looks = _LOOKS
        while looks and self.room.backlog and self.loop.turn(0):
            looks -= 1
        self.tick()
        self.flush()
        with self.lock:
            self.wake_outlets(idle=False)

    def flush(self) -> None:
        """Send every member what it is owed, and act on every ending."""
        room, stalled = self.room, self.stalled
        while not room.quiet:
            moved = room.moved()
            alone, together = take_together([link for link in moved if link not in stalled] if stalled else moved)
            for link in alone:
                self._drain(link)
            for data, links in together:
                short = deliver(data, links)
                self.sent += len(data) * (len(links) - len(short))
                for link, sent in short:
                    self._drain(link, data, self._went(link, sent))
                if len(data) == CHUNK:  # else that was all
                    for link in links:
                        if link not in stalled and link.stage is not GONE:
                            self._drain(link)
            for link in room.touched():
                self._visit(link)
            with self.lock:
                room.trim(stalled)

    def serve(self, link: Link, events: int) -> None:
        """Read a link that is ready, or send it what it is owed."""
        if events & _WRITE and link.stage is not GONE:
            self._visit(link)
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
            data = link.take()
            if not data and not link.last_words():
                self.stalled.discard(link)
                self._watch(link)
                return
            try:
                sent = self._went(link, link.channel.send(data, NO_WAIT))
            except OSError as error:
                sent = self._went(link, error)
        if link.stage is not GONE:
            link.keep(data, max(sent, 0))
            self.stalled.add(link)
            self._watch(link)
            if sent > 0:
                self.room.progress(link, time.monotonic())

    def _went(self, link: Link, sent: int | OSError) -> int:
        """Count what was sent. -1: not even nothing, as the socket is full, or the link is lost."""
        if isinstance(sent, int):
            self.sent += sent
            return sent
        if not isinstance(sent, BlockingIOError):
            with self.lock:
                self.lose(link, sent)
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
        selector = self.loop.selector
        if not events:
            selector.unregister(link.sock)
        elif not link.watched:
            selector.register(link.sock, events, link)
        else:
            selector.modify(link.sock, events, link)
        link.watched = events
