"""One thread reads each member; whoever appends to the log also sends, to all.

The first reader to arrive becomes the flusher; those who come while it is at work only append, so that batches form
under load exactly as in select mode. A reader flushes for two rounds at most and then hands the role to a thread
that stands by for it, so that no member's own input waits long. Giving up the role and finding that nothing is owed
happen under one hold of the lock: whoever appends after that finds no flusher and becomes one.

A round lets readers append what has come meanwhile, a few times, collects, under the lock, what each member is owed,
and sends it, without the lock and without waiting. A member whose socket is full gets a thread of its own, which waits,
drains and ends. So a socket has one sender at a time: the flusher, or its drainer. Everybody else may only `shutdown`
it, which wakes its reader and its drainer, and the last of the three to let go closes it: a closed number is used at
once for the next newcomer.

Readers are started with `_thread`: `threading.Thread` waits for each to have started and keeps 2 KiB for it.
"""

import _thread
import contextlib
import math
import select
import socket
import sys
import threading
import time
from typing import Any

from chatctl.room.stages import FINISHED, GONE
from chatctl.server.base import LOOKS, Server
from chatctl.server.delivery import attempt
from chatctl.server.link import Link
from chatctl.server.lock import held

_RECEIVE = 16384  # bytes read at a time: each blocked reader holds a buffer of this size
_RECEIVE_LAYERED = 4096  # with layers, which have buffers of their own
_ROUNDS = 2  # that a reader flushes before it hands over
_BACKLOG = 1024 * 1024  # bytes waiting to be sent, from which on readers wait before they append more
_SWITCH = (
    0.1  # seconds a thread waits for the interpreter before it asks who has it to yield: when 9,000 readers wake at
)
# once, each asking every 5 ms (CPython's default), nothing else gets done for seconds; ours yield at every system call
_STACK = 256 * 1024  # bytes of address space for a thread's stack; what is not used costs no memory


class ThreadsServer(Server):
    """Serves each member in a thread of its own."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._reading: set[Link] = set()
        self._parted: set[Link] = set()  # gone, without reader and drainer: to be closed when no round is under way
        self._ending: list[Link] = []  # finished, and sent the last of what they were owed in this round
        self._flushing = False  # the role of the flusher is taken
        self._caught_up = threading.Condition(self.lock)
        self._baton = threading.Semaphore(0)
        self._closed = False
        self._gates: dict[Link, _thread.LockType] = {}  # what the readers of paused links wait for

    def run(self) -> None:
        """Serve, see `Server.run`."""
        stack, switch = threading.stack_size(_STACK), sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH)
        stand_by = threading.Thread(target=self._stand_by, name="flusher", daemon=True)
        stand_by.start()
        super().run()
        self._closed = True
        self._baton.release()
        stand_by.join()
        threading.stack_size(stack)
        sys.setswitchinterval(switch)

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

    def finish(self) -> None:
        """Wait for the flusher."""
        with self.lock:
            while self._flushing:
                self._caught_up.wait()
            lead = self._lead()
        if lead:
            self._rounds(math.inf)

    def _flush(self) -> None:
        """Become the flusher if there is something to flush and nobody else is at it."""
        with self.lock:
            lead = self._lead()
        if lead:
            self._rounds(_ROUNDS)

    def _read(self, link: Link) -> None:
        """Read a link until its end: the life of its reader thread."""
        size = _RECEIVE_LAYERED if link.layered else _RECEIVE
        with self.lock:
            pass  # whoever lets it in reads it first, see `hear_out`, and holds the lock until that is done
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
                    self.delivery.lose(link, failure)
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
        assert held(self.lock)
        if not link.paused:
            return None
        gate = self._gates[link] = _thread.allocate_lock()
        gate.acquire()
        return gate

    def _lead(self) -> bool:
        """Take the role of the flusher, if it is free and there is something to do."""
        assert held(self.lock)
        if self._flushing or self.room.quiet:
            return False
        self._flushing = True
        return True

    def _rounds(self, limit: float) -> None:
        """Flush until nothing is owed, or hand over after so many rounds. The role is ours."""
        while True:
            if not self.room.quiet:
                self._look()
            with self.lock:
                self._settle()
                if self.room.quiet:
                    self._flushing = False
                    return
                if limit == 0:
                    break
            self.commit()  # without the lock, as it writes: what readers append meanwhile is for the next round
            with self.lock:
                alone, together, touched = self.delivery.collect()
                for link in touched:
                    self._attend(link)
            self.delivery.single(alone)
            for data, links in together:
                self.delivery.share(data, links)
            with self.lock:
                self.wake_outlets()
            limit -= 1
        self._baton.release()

    def _look(self) -> None:
        """Let the readers append what has come meanwhile: it goes in the same buffers."""
        for _ in range(LOOKS):
            before = self.room.ledger.seq
            time.sleep(0)  # no wait: whoever waits for the interpreter has it now
            if self.room.ledger.seq == before:
                break

    def _stand_by(self) -> None:
        """Take over from readers that have flushed long enough."""
        while self._baton.acquire() and not self._closed:
            self._rounds(math.inf)

    def _attend(self, link: Link) -> None:
        """Let a paused reader go on, and take the end of a link a step further."""
        assert held(self.lock)
        if link.paused:
            self.glance(link)
        elif link in self._gates:
            self._gates.pop(link).release()
        if link.stage is GONE:
            with contextlib.suppress(OSError):
                link.sock.shutdown(socket.SHUT_RDWR)
            self._let_go(link)
        elif link.stage is FINISHED and link not in self.delivery.stalled and not link.unwritten:
            self._ending.append(link)

    def _settle(self) -> None:
        """End a round, whose batch is sent: take the endings a step further."""
        assert held(self.lock)
        for link in self._ending:
            if link not in self.delivery.stalled and link.stage is not GONE:
                self.half_close(link)
        self._ending.clear()
        self.room.trim(self.delivery.stalled)
        self._close_parted()
        self._caught_up.notify_all()
        if (first := self.room.first_due) is not None and first < self.due:
            self.due = -math.inf  # once is enough
            self.loop.wake()

    def stall(self, link: Link) -> None:
        """Leave it to a drainer."""
        assert held(self.lock)
        try:
            _thread.start_new_thread(self._drain, (link,))
        except RuntimeError as error:
            self.room.leave(link, time.monotonic(), f"stalled, and {error}")
        else:
            self.delivery.stalled.add(link)

    def _drain(self, link: Link) -> None:
        """Wait for a stalled link to take what it is owed: the life of its drainer thread."""
        poll = select.poll()
        poll.register(link.sock, select.POLLOUT)
        while True:
            poll.poll()  # also returns when the socket is shut down
            with self.lock:
                data = self.delivery.following(link)
                if data is None:
                    # Under the same hold of the lock: what is appended next finds a link that is not stalled.
                    self.delivery.stalled.remove(link)
                    if link.stage is FINISHED and not link.unwritten:
                        self.half_close(link)
                    self._let_go(link)
                    break
            sent = attempt(link, data)
            with self.lock:
                went = self.delivery.account(link, sent)
                if link.stage is not GONE:
                    link.keep(data, max(went, 0))
        self._flush()

    def _let_go(self, link: Link) -> None:
        """Have a link that is gone closed as soon as nobody uses its socket."""
        assert held(self.lock)
        in_use = link in self._reading or link in self.delivery.stalled
        if link.stage is GONE and link in self.links and not in_use:
            self._parted.add(link)
            if not self._flushing:
                self._close_parted()

    def _close_parted(self) -> None:
        while self._parted:
            self.close(self._parted.pop())
