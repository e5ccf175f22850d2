"""Sending: rounds over the room, in which many links get the same bytes, and what becomes of who takes less.

`deliver` is where a server spends its time, one `send(2)` for each member and turn. It is system calls and nothing
else: it asks nothing of a link and decides nothing, but returns who came up short.
"""

import socket
import time
from collections.abc import Callable, Collection
from typing import TypeAlias

from chatctl.room.log import CHUNK, take_together
from chatctl.room.room import Room
from chatctl.room.stages import FINISHED, GONE
from chatctl.server.link import Link
from chatctl.server.lock import Lock, held

NO_WAIT = socket.MSG_DONTWAIT

Groups: TypeAlias = Collection[tuple[bytes, list[Link]]]
"""Bytes, each with the links that have taken them."""


def deliver(data: bytes, links: Collection[Link]) -> list[tuple[Link, int | OSError]]:
    """Send some bytes to each of many links, without waiting; return those that came up short."""
    short: list[tuple[Link, int | OSError]] = []
    size = len(data)
    for link in links:
        try:
            sent = link.channel.send(data, NO_WAIT)
        except OSError as error:
            short.append((link, error.with_traceback(None)))  # a traceback has this frame, and so all the links
        else:
            if sent < size:
                short.append((link, sent))
    return short


def attempt(link: Link, data: bytes | memoryview) -> int | OSError:
    """Send one link what it takes without waiting; return how many bytes that were, or why none."""
    try:
        return link.channel.send(data, NO_WAIT)
    except OSError as error:
        return error.with_traceback(None)


class Delivery:
    """What the members of a room are sent.

    ``stalled`` are the links whose sockets took less than they were given: in rounds they get nothing. ``sent`` counts
    the bytes that went.

    Args:
        room: whose members.
        lock: guards it.
        stall: called, with the lock, for a link that comes up short; adds it to the stalled, and sees to it that it is
            sent the rest.
    """

    def __init__(self, room: Room[Link], lock: Lock, stall: Callable[[Link], None]) -> None:
        self.stalled: set[Link] = set()
        self.sent = 0
        self._room = room
        self._lock = lock
        self._stall = stall

    def collect(self) -> tuple[list[Link], Groups, Collection[Link]]:
        """Begin a round of sending.

        Returns:
            Who has something of its own, which it takes when its turn comes: there is one at a time of what no two
            share. What the others have taken together. And the touched, for their ends and pauses.
        """
        assert held(self._lock)
        stalled = self.stalled
        moved = self._room.moved()
        alone, together = take_together([link for link in moved if link not in stalled] if stalled else moved)
        touched = self._room.touched()
        for link in touched:
            if link.stage is not GONE and link not in stalled and link not in moved:
                alone.append(link)
        return alone, together, touched

    def single(self, links: Collection[Link]) -> None:
        """Send each of some links what it has of its own, and what follows."""
        went = 0
        for link in links:
            with self._lock:
                data = self.following(link)
            if data is not None:
                sent = attempt(link, data)
                if sent == len(data) < CHUNK and not link.layered:  # that was all, as nearly always
                    went += sent
                else:
                    self.send(link, data, sent)
        with self._lock:
            self.sent += went

    def share(self, data: bytes, links: list[Link]) -> None:
        """Send many links what they have taken together, and each what that leaves it owed."""
        if not data:  # they have seen more than is kept: their welcome
            return
        short = deliver(data, links)
        with self._lock:
            self.sent += len(data) * (len(links) - len(short))
        for link, sent in short:
            self.send(link, data, sent)
        if len(data) == CHUNK:  # else that was all
            for link in links:
                if link not in self.stalled:
                    self.send(link)

    def send(self, link: Link, data: bytes | memoryview = b"", sent: int | OSError = 0) -> None:
        """Go on after ``sent`` bytes of ``data`` went, or an error came: send all that is owed, or stall."""
        while True:
            with self._lock:
                went = self.account(link, sent)
                if link.stage is GONE:  # its socket may be closed at the end of this round
                    return
                if went < len(data):
                    link.keep(data, max(went, 0))
                    self._stall(link)
                    return
                following = self.following(link)
            if following is None:
                return
            data, sent = following, attempt(link, following)

    def following(self, link: Link) -> bytes | memoryview | None:
        """What a link is to be sent next, nothing for what a layer itself has to say, or None."""
        assert held(self._lock)  # for both: TLS says that this is the end only when nothing else can come any more
        if link.stage is GONE:
            return None
        data = link.take()
        return data if data or link.last_words() else None

    def account(self, link: Link, sent: int | OSError) -> int:
        """Count what was sent, or give up the link. -1: not even nothing went, as the socket is full."""
        assert held(self._lock)
        if not isinstance(sent, int):
            if not isinstance(sent, BlockingIOError):
                self.lose(link, sent)
            return -1
        self.sent += sent
        if sent and link.stage is FINISHED:
            self._room.progress(link, time.monotonic())
        return sent

    def lose(self, link: Link, error: OSError) -> None:
        """Give up a link that failed."""
        assert held(self._lock)
        self._room.leave(link, time.monotonic(), "reset" if isinstance(error, ConnectionError) else str(error.strerror))
