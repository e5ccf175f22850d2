"""What is said, on disk, before anybody sees it.

A round of sending begins with `Store.commit`: what has happened is noted under the room's lock, written without it, and
may be seen when that is done. Nobody else than whoever sends commits, and one at a time.

A thread of its own makes the system calls, as write(2) cannot be given up: when it has not come back after `PATIENCE`
the room goes on without it. Another one has the kernel put what is written on the disk once a second (a crash of this
program loses nothing, one of the machine that second), and removes the oldest segments.

A store that cannot be written stops nothing: what happens then is not stored, which is logged once, and clients are
told another epoch. Once a second a new segment is tried; it begins with how many events are missing.
"""

import _thread
import contextlib
import errno
import itertools
import logging
import os
import secrets
import string
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

from chatctl.errors import ResourceError
from chatctl.room.journal import Batch, Journal, ending
from chatctl.room.ledger import Ledger
from chatctl.server import segments
from chatctl.server.counters import Stored
from chatctl.server.lock import Lock, held
from chatctl.server.past import Past
from chatctl.server.segments import Segments

PATIENCE = 2.0
"""Seconds that a write may take."""

SEGMENT = 8 * 1024 * 1024
"""Bytes of a segment, or a quarter of all, if that is less."""

_RETRY = 1.0  # seconds after which a new segment is tried
_SYNC = 1.0  # seconds between two times that what is written is put on the disk
_LOOK = 3600  # of these after which segments may have become too old, if nothing is written
_DAY = 24 * 3600.0

T = TypeVar("T")

log = logging.getLogger("chatctl.server")


class Bounds(NamedTuple):
    """How much is stored.

    Attributes:
        size: bytes of all segments, at most.
        days: days after which a segment is removed; 0: none is for its age.
    """

    size: int = 64 * 1024 * 1024
    days: int = 0

    def __str__(self) -> str:
        """The same for who wants to know before speaking."""
        days = f", for {self.days} {'day' if self.days == 1 else 'days'}" if self.days else ""
        return f"up to {self.size / 2**20:g} MiB on disk{days}"


def new_epoch() -> str:
    """Eight letters that no other numbering of events has."""
    return "".join(secrets.choice(string.ascii_lowercase) for _ in range(8))


class Store:
    """Keeps what happens in a room.

    ``past`` reads what is stored.

    Args:
        path: the directory, see `Segments`.
        ledger: of a room that nobody is in yet; it begins with what is stored.
        lock: guards the room.
        bounds: how much is kept.

    Raises:
        ResourceError: it cannot be used.
    """

    def __init__(self, path: str, ledger: Ledger, lock: Lock, bounds: Bounds) -> None:
        self.path = path
        self._busy = threading.Lock()  # held while something is written
        self._lock = lock
        self._ledger = ledger
        self._bounds = bounds
        self._most = min(SEGMENT, bounds.size // 4)
        self._segments = Segments(path)
        self.past = Past(self._segments.path)
        now = time.monotonic()
        ledger.day = time.time() - now
        ledger.keeps = f"{ledger.ring.keeps}, and {bounds}" if ledger.ring.most else str(bounds)
        try:
            self.journal = Journal(ledger, self._segments.saved(), now)
        except ResourceError:
            self._segments.close()
            raise
        except (ValueError, KeyError, TypeError) as error:
            self._segments.close()
            why = "has lines that chatctl has not written: put back a backup, or give --store a new directory"
            raise ResourceError(f"the store {path} {why}") from error
        self._segment: int | None = None  # that is appended to
        self._size = 0  # of it: where its last whole batch ends
        self._full = 0  # at which size it is full: what is in it is at least as much as the snapshot at its beginning
        self._put_away: list[int] = []  # segments that are to be put on the disk, and closed
        self._failure = ""  # why nothing can be written; empty: it can
        self._retry = 0.0
        self._bytes = self._lines = self._writes = 0
        self._seconds = 0.0
        self._dirty = False
        self._unpruned = False
        self._ended = threading.Event()
        self._writer = Writer()
        self._syncing = threading.Thread(target=self._sync_often, name="sync", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._writer.start()
        self._syncing.start()
        self.past.start()

    def commit(self) -> None:
        """Have what has happened written, so that it may be seen; or not, and be seen all the same."""
        journal = self.journal
        if not journal.pending:
            return
        with self._busy:
            with self._lock:
                batch = journal.note(anew=self._is_new_wanted())
            if batch is None:
                return
            stored = self._write(batch)
            with self._lock:
                if stored:
                    self._keep(batch)
                else:
                    journal.lose(batch, new_epoch())

    def _keep(self, batch: Batch) -> None:
        assert held(self._lock)
        if self.journal.failing:
            log.warning("writing the store %s again: %d events are missing", self.path, self.journal.missing)
        self.journal.keep(batch)

    def wait(self) -> None:
        """Wait until what is written now is: what comes after that is as it is in the room's memory now."""
        with self._busy:
            pass

    def counters(self) -> Stored:
        """What was written so far. Any thread."""
        return Stored(self._bytes, self._lines, self._writes, self._seconds, self.journal.lost)

    def close(self, timeout: float) -> None:
        """Say in the store that this was a good end, and put it on the disk, for so many seconds at most."""
        until = time.monotonic() + timeout
        self._ended.set()
        self._syncing.join(timeout)
        self.past.close(max(until - time.monotonic(), 0))
        segment = self._segment
        end = b"" if self._failure else ending(self._ledger.seq)
        if segment is not None:
            with contextlib.suppress(OSError):
                self._writer.do(lambda: self._end(segment, end), max(until - time.monotonic(), 0))
        self._writer.close()
        self._segments.close()

    def _is_new_wanted(self) -> bool:
        """Whether a segment is to be begun: there is none yet, it is full, or it failed a moment ago."""
        if self._failure:
            return time.monotonic() >= self._retry and not self._writer.hangs
        return self._segment is None or self._size >= self._full

    def _write(self, batch: Batch) -> bool:
        """Write a batch, if that can be done; return whether it was."""
        if self._failure and not batch.snapshot:
            return False
        began = time.monotonic()
        try:
            if batch.snapshot:
                self._begin(batch)
            else:
                self._append(batch.lines)
        except OSError as error:
            self._fail(error.strerror or str(error))
            return False
        finally:
            self._seconds += time.monotonic() - began
            self._writes += 1
        self._failure = ""
        self._lines += batch.snapshot.count(b"\n") + batch.lines.count(b"\n")
        self._dirty = True
        return True

    def _append(self, lines: bytes) -> None:
        segment = self._segment
        assert segment is not None
        self._writer.do(lambda: segments.write(segment, lines), PATIENCE)
        self._size += len(lines)
        self._bytes += len(lines)

    def _begin(self, batch: Batch) -> None:
        """Begin a segment, once what a failure has left in the last one is cut off."""
        last, size, failed = self._segment, self._size, self._failure
        given_up = threading.Event()

        def begin() -> tuple[int, int]:
            if last is not None and failed:
                os.ftruncate(last, size)
            # The first one: what was there before the start must not seem to be the end.
            data, wanted = batch.snapshot + batch.lines, lambda: not given_up.is_set()
            return self._segments.begin(batch.before + 1, data, wanted, durable=last is None)

        try:
            self._segment, self._size = self._writer.do(begin, PATIENCE)
        except TimeoutError:
            given_up.set()
            raise
        if last is not None:
            self._put_away.append(last)
        self._full = self._size + max(self._most, len(batch.snapshot))
        self._bytes += self._size

    def _fail(self, reason: str) -> None:
        if not self._failure:
            log.error("cannot write the store %s: %s: the room goes on, what is said is not kept", self.path, reason)
        self._failure = reason
        self._retry = time.monotonic() + _RETRY

    def _end(self, segment: int, end: bytes) -> None:
        try:
            segments.write(segment, end)
            segments.put_on_disk(segment)
        finally:
            for descriptor in (segment, *self._put_away):
                os.close(descriptor)

    def _sync_often(self) -> None:
        """Put on the disk what is written, and remove what is too old: the life of a thread."""
        for turn in itertools.count():
            if self._dirty:
                self._dirty = False
                self._sync()
                self._prune()
            elif turn % _LOOK == 0:
                self._prune()
            if self._ended.wait(_SYNC):
                break

    def _sync(self) -> None:
        with contextlib.ExitStack() as stack:
            try:
                with self._busy:
                    descriptors, self._put_away = self._put_away, []
                    for descriptor in descriptors:
                        stack.callback(os.close, descriptor)
                    new = bool(descriptors)
                    if self._segment is not None:
                        descriptors.append(os.dup(self._segment))
                        stack.callback(os.close, descriptors[-1])
                for descriptor in descriptors:
                    segments.put_on_disk(descriptor)
                if new:
                    self._segments.sync()
            except OSError as error:
                with self._busy:
                    self._fail(error.strerror or str(error))

    def _prune(self) -> None:
        """Remove what is too old, or too much."""
        try:
            self._remove()
            self._unpruned = False
        except (OSError, ResourceError) as error:
            if not self._unpruned:
                log.error("cannot remove what is too old from the store %s: %s", self.path, error)
            self._unpruned = True

    def _remove(self) -> None:
        """Remove the oldest segments, but for the newest of all, and never more than has to go."""
        files = segments.listed(self._segments.path)
        if not files:
            return
        statuses = [file.stat() for file in files]
        left = sum(status.st_size for status in statuses) - statuses[-1].st_size + self._most
        since = time.time() - self._bounds.days * _DAY if self._bounds.days else 0.0
        gone = 0
        for status in statuses[:-1]:
            if left <= self._bounds.size and status.st_mtime >= since:
                break
            left -= status.st_size
            gone += 1
        if gone:
            with self._lock:
                self._ledger.logs.oldest = segments.first(files[gone])
            for file in files[:gone]:
                file.unlink()


class Writer:
    """A thread that makes system calls, one at a time, for who cannot wait for them for ever.

    ``hangs``: the last one has not come back in time, and still has not.
    """

    def __init__(self) -> None:
        self._job: Callable[[], Any] | None = None
        self._result: Any = None
        self._go, self._done = _thread.allocate_lock(), _thread.allocate_lock()
        self._go.acquire()
        self._done.acquire()
        self._late = False

    def start(self) -> None:
        """Begin to serve."""
        threading.Thread(target=self._serve, name="store", daemon=True).start()

    @property
    def hangs(self) -> bool:
        """See above."""
        if self._late and self._done.acquire(blocking=False):
            self._late = False
        return self._late

    def do(self, job: Callable[[], T], timeout: float) -> T:
        """Have something done.

        Raises:
            OSError: it has failed, or was not done within so many seconds.
        """
        if not self.hangs:
            self._job = job
            self._go.release()
            self._late = not self._done.acquire(timeout=timeout)
        if self._late:
            raise TimeoutError(errno.ETIMEDOUT, f"no answer within {timeout:g} s")
        if isinstance(self._result, OSError):
            raise self._result.with_traceback(None)
        return cast(T, self._result)

    def close(self) -> None:
        """Let the thread end, if it can."""
        if not self.hangs:
            self._job = None
            self._go.release()

    def _serve(self) -> None:
        while self._go.acquire() and self._job:
            try:
                self._result = self._job()
            except OSError as error:
                self._result = error
            self._done.release()
