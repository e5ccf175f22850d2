"""One thread reads each member; whoever appends to the log also sends, to all.

The first reader to arrive becomes the flusher; those who come while it is at work only append, so that batches form
under load exactly as in select mode. A reader flushes for two rounds at most and then hands the role to a thread
that stands by for it, so that no member's own input waits long. Giving up the role and finding that nothing is owed
happen under one hold of the lock: whoever appends after that finds no flusher and becomes one.

A round collects, under the lock, what each member is owed, and sends it, without the lock and without waiting. A
member whose socket is full gets a thread of its own, which waits, drains and ends. So a socket has one sender at a
time: the flusher, or its drainer. Everybody else may only `shutdown` it, which wakes its reader and its drainer, and
the last of the three to let go closes it: a closed number is used at once for the next newcomer.

Readers are started with `_thread`: `threading.Thread` waits for each to have started and keeps 2 KiB for it.
"""

import _thread
import contextlib
import math
import select
import socket
import threading
import time
from collections.abc import Collection
from typing import Any

from chatctl.room.log import CHUNK, take_together
from chatctl.room.stages import FINISHED, GONE
from chatctl.server.base import Server
from chatctl.server.delivery import NO_WAIT, deliver
from chatctl.server.link import Link

_RECEIVE = 16384  # bytes read at a time: each blocked reader holds a buffer of this size
_RECEIVE_LAYERED = 4096  # with layers, which have buffers of their own
_ROUNDS = 2  # that a reader flushes before it hands over
_BACKLOG = 1024 * 1024  # bytes waiting to be sent, from which on readers wait before they append more
_STACK = 256 * 1024  # bytes of address space for a thread's stack; what is not used costs no memory


class ThreadsServer(Server):
    """Serves each member in a thread of its own."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._reading: set[Link] = set()
        self._parted: set[Link] = set()  # gone, without reader and drainer: to be closed when no round is under way
        self._ending: list[Link] = []  # finished, and sent the last of what they were owed in this round
        self._flushing = False  # the role of the flusher is taken
        self._caught_up = self.lock.condition()
        self._baton = threading.Semaphore(0)
        self._closed = False
        self._gates: dict[Link, _thread.LockType] = {}  # what the readers of paused links wait for

    def run(self) -> None:
        """Serve, see `Server.run`."""
        before = threading.stack_size(_STACK)
        stand_by = threading.Thread(target=self._stand_by, name="flusher", daemon=True)
        stand_by.start()
        super().run()
        self._closed = True
        self._baton.release()
        stand_by.join()
        threading.stack_size(before)

    def start(self, link: Link) -> None:
        """Start the thread that reads a link. It waits for the lock before it says anything."""
        _thread.start_new_thread(self._read, (link,))
        self._reading.add(link)

    def turn(self) -> None:
        """Let newcomers in and act on deadlines; the readers do the rest."""
        with self.lock:
            self.look_ahead()
        self.loop.turn(self.due)
        self.tick()
        self._flush()

    def _flush(self) -> None:
        """Become the flusher if there is something to flush and nobody else is at it."""
        with self.lock:
            lead = self._lead()
        if lead:
            self._rounds(_ROUNDS)

    def _read(self, link: Link) -> None:
        """Read a link until its end: the life of its reader thread."""
        size = _RECEIVE_LAYERED if link.layered else _RECEIVE
        while not (link.eof or link.stage is GONE):
            data: bytes | None = None
            failure: OSError | None = None
            try:
                data = link.channel.recv(size)
            except BlockingIOError:
                pass
            except OSError as error:
                failure = error
            with self.lock:
                while self._flushing and self.room.backlog > _BACKLOG:
                    self._caught_up.wait()
                if data == b"" and not link.layered and link.stage not in (FINISHED, GONE) and link.was_reset:
                    failure = ConnectionResetError()
                if failure:
                    self.lose(link, failure)
                else:
                    self.receive(link, data)
                gate = self._shut_gate(link)
                lead = self._lead()
            if lead:
                self._rounds(_ROUNDS)
            if gate:
                gate.acquire()
        with self.lock:
            self._reading.remove(link)
            if link.shut:
                self.half_close(link)
            self._let_go(link)
        self._flush()

    def _shut_gate(self, link: Link) -> "_thread.LockType | None":
        """What the reader of a paused link is to acquire before it reads on."""
        assert self.lock.held
        if not link.paused:
            return None
        gate = self._gates[link] = _thread.allocate_lock()
        gate.acquire()
        return gate

    def _lead(self) -> bool:
        """Take the role of the flusher, if it is free and there is something to do."""
        assert self.lock.held
        if self._flushing or self.room.quiet:
            return False
        self._flushing = True
        return True

    def _rounds(self, limit: float) -> None:
        """Flush until nothing is owed, or hand over after so many rounds. The role is ours."""
        went = 0
        while True:
            with self.lock:
                self.sent += went
                self._settle()
                if self.room.quiet:
                    self._flushing = False
                    return
                if limit == 0:
                    break
                alone, together = self._collect()
            for link in alone:
                self._send(link)
            went = 0
            for data, links in together:
                short = deliver(data, links)
                went += len(data) * (len(links) - len(short))
                for link, sent in short:
                    self._send(link, data, sent)
                if len(data) == CHUNK:  # else that was all
                    self._send_on(links)
            limit -= 1
        self._baton.release()

    def _stand_by(self) -> None:
        """Take over from readers that have flushed long enough."""
        while self._baton.acquire() and not self._closed:
            self._rounds(math.inf)

    def _collect(self) -> tuple[list[Link], Collection[tuple[bytes, list[Link]]]]:
        """Begin a round: who has something of its own, and what the others have taken.

        Who is alone takes when its turn comes, so that there is one at a time of what no two share.
        """
        assert self.lock.held
        stalled = self.stalled
        moved = self.room.moved()
        alone, together = take_together([link for link in moved if link not in stalled] if stalled else moved)
        for link in self.room.touched():
            if link.paused:
                self.glance(link)
            elif link in self._gates:
                self._gates.pop(link).release()
            if link.stage is GONE:
                with contextlib.suppress(OSError):
                    link.sock.shutdown(socket.SHUT_RDWR)
                self._let_go(link)
            elif link not in stalled and link not in moved:  # once in a batch: the first part may be all that goes
                alone.append(link)
                if link.stage is FINISHED:
                    self._ending.append(link)
        return alone, together

    def _settle(self) -> None:
        """End a round, whose batch is sent: take the endings a step further."""
        assert self.lock.held
        for link in self._ending:
            if link not in self.stalled and link.stage is not GONE:
                self.half_close(link)
        self._ending.clear()
        self.room.trim(self.stalled)
        self._close_parted()
        self.wake_outlets(idle=self.room.quiet)
        self._caught_up.notify_all()
        if (first := self.room.deadlines.first) is not None and first < self.due:
            self.due = -math.inf  # once is enough
            self.loop.wake()

    def _send(self, link: Link, data: bytes | memoryview = b"", sent: int | OSError = 0) -> None:
        """Go on after ``sent`` bytes of ``data`` went, or an error came: send all that it is owed."""
        while True:
            with self.lock:
                went = self._account(link, sent)
                if link.stage is GONE:  # its socket may be closed at the end of this round: no drainer for it
                    return
                if went < len(data):
                    link.keep(data, max(went, 0))
                    self._stall(link)
                    return
                following = self._next(link)
            if following is None:
                return
            data, sent = following, self._try(link, following)

    def _send_on(self, links: Collection[Link]) -> None:
        """Send more to those who took as much as is taken at a time."""
        for link in links:
            with self.lock:
                stalled = link in self.stalled
            if not stalled:
                self._send(link)

    def _try(self, link: Link, data: bytes | memoryview) -> int | OSError:
        """Send what can be sent at once, without the lock."""
        try:
            return link.channel.send(data, NO_WAIT)
        except OSError as error:
            return error

    def _account(self, link: Link, sent: int | OSError) -> int:
        """Count what was sent, or give up the link. -1: not even nothing went, as the socket is full."""
        assert self.lock.held
        if isinstance(sent, int):
            self.sent += sent
            return sent
        if not isinstance(sent, BlockingIOError):
            self.lose(link, sent)
        return -1

    def _next(self, link: Link) -> bytes | memoryview | None:
        """What a link is to be sent next, nothing for what a layer itself has to say, or None.

        The lock is held for both: TLS says that this is the end only when nothing else can come any more.
        """
        assert self.lock.held
        if link.stage is GONE:
            return None
        data = link.take()
        return data if data or link.last_words() else None

    def _stall(self, link: Link) -> None:
        """Leave a link whose socket is full to a drainer."""
        assert self.lock.held
        try:
            _thread.start_new_thread(self._drain, (link,))
        except RuntimeError as error:
            self.room.leave(link, f"stalled, and {error}")
        else:
            self.stalled.add(link)

    def _drain(self, link: Link) -> None:
        """Wait for a stalled link to take what it is owed: the life of its drainer thread."""
        poll = select.poll()
        poll.register(link.sock, select.POLLOUT)
        while True:
            poll.poll()  # also returns when the socket is shut down
            with self.lock:
                data = self._next(link)
                if data is None:
                    # Under the same hold of the lock: what is appended next finds a link that is not stalled.
                    self.stalled.remove(link)
                    if link.stage is FINISHED:
                        self.half_close(link)
                    self._let_go(link)
                    break
            sent = self._try(link, data)
            with self.lock:
                went = max(self._account(link, sent), 0)
                if link.stage is not GONE:
                    link.keep(data, went)
                if went:
                    self.room.progress(link, time.monotonic())
        self._flush()

    def _let_go(self, link: Link) -> None:
        """Have a link that is gone closed as soon as nobody uses its socket."""
        assert self.lock.held
        if link.stage is GONE and link in self.links and link not in self._reading and link not in self.stalled:
            self._parted.add(link)
            if not self._flushing:
                self._close_parted()

    def _close_parted(self) -> None:
        while self._parted:
            self.close(self._parted.pop())
