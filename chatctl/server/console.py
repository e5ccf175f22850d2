"""What the server itself shows: the room on stdout, its diagnostics on stderr.

Each output is a view of a log with a thread that writes it, so that a paused pager or a slow terminal never stalls the
room. An output that falls behind skips to the tip and says how many lines it left out.
"""

import contextlib
import errno
import logging
import threading
from collections.abc import Callable
from typing import Protocol

from chatctl import output, wire
from chatctl.room.log import Log, View
from chatctl.server.lock import Lock, held

log = logging.getLogger("chatctl.server")

_REST = 0.01  # seconds between two writes to an output, so that a busy room is shown a hundred times a second
_WINDOW = 1024 * 1024  # bytes of diagnostics kept for a stderr that nobody reads


class Sink(Protocol):
    """Where an outlet's lines go. Its methods are called in the outlet's thread alone."""

    def write(self, data: bytes) -> None:
        """Write some whole lines, or none. An `OSError` ends the outlet."""

    def reopen(self) -> None:
        """Open anew what is written to, if that can have been moved away."""

    def close(self) -> None:
        """Let go of what it writes to; the outlet has ended."""


class Stream:
    """A descriptor that is shared with others, such as stdout with the shell. Bytes go out as they are: UTF-8.

    It is never made non-blocking. An error of it (EPIPE: nobody reads any more, EIO: the terminal is gone) ends the
    outlet and nothing else.

    Args:
        descriptor: where to write.
        write: writes to a descriptor.
    """

    def __init__(self, descriptor: int, write: Callable[[int, bytes], None] = output.write) -> None:
        self._descriptor = descriptor
        self._write = write

    def write(self, data: bytes) -> None:
        """Write some whole lines."""
        try:
            self._write(self._descriptor, data)
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):  # else nobody is there to read on
                log.error("cannot write to descriptor %d any more: %s", self._descriptor, error.strerror)
            raise

    def reopen(self) -> None:
        """Go on: nobody can move it away."""

    def close(self) -> None:
        """Leave the descriptor to the others."""


class Outlet:
    """A view of a log that is written to a sink, by a thread of its own.

    Args:
        log: what to show; its owner calls `wake` after appending.
        lock: guards the log.
        sink: where to write.
        window: bytes of the log that are kept.
    """

    def __init__(self, log: Log, lock: Lock, sink: Sink, window: int) -> None:
        self._view = View(log)
        self._lock = lock
        self._changed = threading.Condition(lock)
        self._sink = sink
        self._urgent = window // 8  # bytes behind from which on it does not rest
        self._partial = b""  # taken, but its line had not ended
        self._seq = log.seq  # of the last event that was shown or skipped
        self._ended = False
        self._moved = False
        self._resting = False
        self._behind: Callable[[], None] | None = None
        self._thread = threading.Thread(target=self._run, name="outlet", daemon=True)

    def start(self, first: bytes = b"") -> None:
        """Begin to write, with ``first``, which is not in the log, before anything else."""
        with self._lock:
            self.tell(first)
        self._thread.start()

    def follow(self, act: Callable[[], None]) -> None:
        """Before `start`: have something done in the outlet's thread when the first lines are written, or cannot be."""
        self._behind = act

    def wake(self) -> None:
        """Note that the log has grown."""
        assert held(self._lock)
        if self._view.lag > (self._urgent if self._resting else 0):
            self._changed.notify()

    def reopen(self) -> None:
        """Have the sink open anew what it writes to, if it can: it may have been moved away."""
        assert held(self._lock)
        self._moved = True
        self._changed.notify()

    def tell(self, data: bytes) -> None:
        """Show some lines here that are not in the log."""
        assert held(self._lock)
        self._view.tell(data)
        self._seq -= data.count(b"\n")
        self._changed.notify()

    def close(self, timeout: float) -> bool:
        """Write what is owed and end; return whether that was done within so many seconds. The lock is not held."""
        with self._lock:
            self._ended = True
            self._changed.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while (data := self._next()) is not None:
                self._write(data)
                self._rest()
                if self._moved:
                    self._moved = False
                    self._sink.reopen()
        self._sink.close()

    def _write(self, data: bytes) -> None:
        try:
            self._sink.write(data)
        finally:
            behind, self._behind = self._behind, None
            if behind:
                behind()

    def _rest(self) -> None:
        """Let what comes now gather, unless that is much: a thread that is woken for every line costs a room a fifth.

        What comes after a silence is written at once. Members are never kept waiting like this.
        """
        with self._lock:
            if not (self._ended or self._moved or self._view.lag > self._urgent):
                self._resting = True
                self._changed.wait(_REST)
                self._resting = False

    def _next(self) -> bytes | None:
        """Wait for whole lines to write, or for none when there is something to reopen; None at the end."""
        view = self._view
        with self._lock:
            while True:
                if view.cursor < view.log.start:
                    return self._skip()
                whole, newline, self._partial = (self._partial + view.take()).rpartition(b"\n")
                if newline:
                    self._seq += whole.count(b"\n") + 1
                    return whole + newline
                if not view.owed:
                    if self._moved:
                        return b""
                    if self._ended:
                        return None
                    self._changed.wait()

    def _skip(self) -> bytes:
        self._view.skip()
        self._partial = b""
        skipped, self._seq = self._view.log.seq - self._seq, self._view.log.seq
        return wire.answer(f"{skipped} lines skipped: this output is too slow")


class Diagnostics(logging.Handler):
    """Log records on stderr, through an `Outlet`: a stderr that nobody reads stalls nobody either.

    The arguments are those of a `Stream`.
    """

    def __init__(self, descriptor: int, write: Callable[[int, bytes], None] = output.write) -> None:
        super().__init__()
        self._log = Log()
        self._guard = Lock()
        self._outlet = Outlet(self._log, self._guard, Stream(descriptor, write), _WINDOW)
        self._outlet.start()

    def say(self, text: str) -> None:
        """Append something that was asked for, whatever the level of the log."""
        self.emit(logging.makeLogRecord({"msg": text}))

    def emit(self, record: logging.LogRecord) -> None:
        """Append the record as one line."""
        line = wire.clean(self.format(record)).encode("utf-8", "backslashreplace") + b"\n"
        with self._guard:
            self._log.append(line)
            self._log.trim(self._log.tip - _WINDOW)
            self._outlet.wake()

    def finish(self, timeout: float) -> None:
        """Write what is owed, for so many seconds at most."""
        self._outlet.close(timeout)
