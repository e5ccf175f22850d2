"""One thread for all: whatever is ready is read once, then every member that is owed something gets it.

A turn is: poll; let in all that wait; read each ready member once; send each member one buffer with all that is new
to it. Interest in writing is only there while a send came up short. `selectors.DefaultSelector` is epoll on Linux and
kqueue on macOS, so there is no wall at 1,024 descriptors.
"""

import functools
import selectors
import socket
import time

from chatctl.server.base import Link, Server
from chatctl.server.broadcast import CHUNK, take_each

_NO_WAIT = socket.MSG_DONTWAIT
_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_RECEIVE = 65536  # bytes read of a member a turn
_BACKLOG = 256 * 1024  # bytes said in a turn before what was said is sent: a window must hold what one turn brings


class SelectServer(Server):
    """Serves every member in the main thread."""

    def start(self, link: Link) -> None:
        """Watch a link for input."""
        self.selector.register(link.sock, _READ, functools.partial(self._ready, link))

    def flush(self) -> None:
        """Send what the turn brought."""
        with self.lock:
            self._flush()

    def _flush(self) -> None:
        room, stalled = self.room, self.stalled
        while not room.quiet:
            for link, data in take_each([link for link in room.moved() if link not in stalled]):
                try:
                    sent = link.sock.send(data, _NO_WAIT)
                except OSError as error:
                    sent = self._fail(link, error)
                if not sent == len(data) < CHUNK:  # else that was all, as for nearly every member in nearly every turn
                    self._drain(link, data, sent)
            for link in room.touched():
                self._visit(link)
            room.trim(stalled)
        self.console.wake()

    def _ready(self, link: Link, mask: int) -> None:
        """Act on what the selector says of a link."""
        if mask & _WRITE and not link.gone:
            self._visit(link)
        if mask & _READ and not link.gone:
            self._receive(link)

    def _receive(self, link: Link) -> None:
        try:
            data = link.sock.recv(_RECEIVE, _NO_WAIT)
        except BlockingIOError:
            return
        except OSError as error:
            self.lose(link, error)
            return
        self.receive(link, data)
        if link.eof:  # stays readable, so the link is not watched for input any more, or closed by the end of this turn
            if link in self.stalled:
                self._watch(link, stalled=True)
            elif link.shut:
                self.half_close(link)
        if self.room.backlog > _BACKLOG:
            self._flush()

    def _visit(self, link: Link) -> None:
        """Send a link what it is owed, and take its end a step further."""
        if link.gone:
            self.selector.unregister(link.sock)
            self.close(link)
            return
        self._drain(link)
        if link.finished and link not in self.stalled and not link.gone:
            self.half_close(link)

    def _drain(self, link: Link, data: bytes | memoryview = b"", sent: int = 0) -> None:
        """Go on after ``sent`` bytes of ``data`` went: send a link all that it is owed, or what it takes."""
        while sent == len(data):
            data = link.take()
            if not data:
                self._watch(link, stalled=False)
                return
            try:
                sent = link.sock.send(data, _NO_WAIT)
            except OSError as error:
                sent = self._fail(link, error)
        if not link.gone:
            link.keep(data, sent)
            self._watch(link, stalled=True)
            if sent:
                self.room.progress(link, time.monotonic())

    def _fail(self, link: Link, error: OSError) -> int:
        """Nothing was sent: the socket is full, or the link is lost."""
        if not isinstance(error, BlockingIOError):
            self.lose(link, error)
        return 0

    def _watch(self, link: Link, *, stalled: bool) -> None:
        """Watch a link for input until its end, and for output while it is stalled."""
        was = link in self.stalled
        if stalled:
            self.stalled.add(link)
        elif was:
            self.stalled.remove(link)
        events = (0 if link.eof else _READ) | (_WRITE if stalled else 0)
        if events and (was != stalled or link.eof):
            self.selector.modify(link.sock, events, self.selector.get_key(link.sock).data)
