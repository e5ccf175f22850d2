"""What the server itself shows: the room on stdout, its diagnostics on stderr.

Each output is a view of a log with a thread that writes it, so that a paused pager or a slow terminal never stalls the
room. An output that falls behind skips to the tip and says how many lines it left out.
"""

import errno
import logging
import threading

from chatctl import output, wire
from chatctl.room.log import Log, View

log = logging.getLogger("chatctl.server")

_WINDOW = 1024 * 1024  # bytes of diagnostics kept for a stderr that nobody reads


class Outlet:
    """A descriptor that shows a log, written by a thread of its own. Bytes go out as they are: UTF-8.

    The descriptor is never made non-blocking, as it is shared with the shell. An error of it (EPIPE: nobody reads any
    more, EIO: the terminal is gone) ends the outlet and nothing else.

    Args:
        log: what to show; its owner calls `wake` after appending.
        lock: guards the log.
        descriptor: where to write.
    """

    def __init__(self, log: Log, lock: threading.Lock, descriptor: int) -> None:
        self._view = View(log)
        self._descriptor = descriptor
        self._changed = threading.Condition(lock)
        self._partial = b""  # taken, but its line had not ended
        self._lines = log.lines  # of the log: shown or skipped
        self._ended = False
        self._poked = False  # `_write` is to be called even with nothing; a subclass sets it, and takes it back there
        self._thread = threading.Thread(target=self._run, name=f"outlet {descriptor}", daemon=True)

    def start(self, first: bytes = b"") -> None:
        """Begin to write, with ``first``, which is not in the log, before anything else."""
        self._view.tell(first)
        self._lines -= first.count(b"\n")
        self._thread.start()

    def wake(self) -> None:
        """Note that the log has grown. The lock is held."""
        if self._view.owed:
            self._changed.notify()

    def tell(self, data: bytes) -> None:
        """Show some lines here that are not in the log. The lock is held."""
        self._view.tell(data)
        self._lines -= data.count(b"\n")
        self._changed.notify()

    def close(self, timeout: float) -> bool:
        """Write what is owed and end; return whether that was done within so many seconds. The lock is not held."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while (data := self._next()) is not None:
                self._write(data)
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):  # else nobody is there to read on
                log.error("cannot write to descriptor %d any more: %s", self._descriptor, error.strerror)

    def _write(self, data: bytes) -> None:
        """Write some whole lines. The lock is not held; an `OSError` ends the outlet."""
        output.write(self._descriptor, data)

    def _next(self) -> bytes | None:
        """Wait for whole lines to write, or for a poke with none; None at the end."""
        view = self._view
        with self._changed:
            while True:
                if view.cursor < view.log.start:
                    return self._skip()
                whole, newline, self._partial = (self._partial + view.take()).rpartition(b"\n")
                if newline:
                    self._lines += whole.count(b"\n") + 1
                    return whole + newline
                if not view.owed:
                    if self._poked:
                        return b""
                    if self._ended:
                        return None
                    self._changed.wait()

    def _skip(self) -> bytes:
        self._view.skip()
        self._partial = b""
        skipped, self._lines = self._view.log.lines - self._lines, self._view.log.lines
        return wire.answer(f"{skipped} lines skipped: this output is too slow")


class Diagnostics(logging.Handler):
    """Log records on stderr, through an `Outlet`: a stderr that nobody reads stalls nobody either."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._log = Log()
        self._guard = threading.Lock()
        self._outlet = Outlet(self._log, self._guard, descriptor)
        self._outlet.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Append the record as one line."""
        self._append(self.format(record))

    def say(self, text: str) -> None:
        """Append something that was asked for, whatever the level of the log."""
        self._append(f"chatctl server: {text}")

    def _append(self, text: str) -> None:
        line = wire.clean(text).encode("utf-8", "backslashreplace") + b"\n"
        with self._guard:
            self._log.append(line)
            self._log.trim(self._log.tip - _WINDOW)
            self._outlet.wake()

    def finish(self, timeout: float) -> None:
        """Write what is owed, for so many seconds at most."""
        self._outlet.close(timeout)
