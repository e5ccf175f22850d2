"""The room in a file: every line with the time and its offset from UTC.

    2026-11-23T08:00:00.123+01:00 [127.0.0.1:5000] hi

A file that cannot be written, on a disk that is full for example, stops nothing: that is logged once, the lines that do
not fit are counted, and when writing works again the log and the file say how many are missing.
"""

import contextlib
import logging
import os
from datetime import UTC, datetime

from chatctl import wire
from chatctl.errors import ResourceError

log = logging.getLogger("chatctl.server")


class Transcript:
    """A file that lines are appended to: a sink of an `Outlet`.

    Args:
        path: the file, made if it is not there, for its owner only.

    Raises:
        ResourceError: it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        try:
            self._descriptor = _open(path)
        except OSError as error:
            raise ResourceError(f"cannot open the transcript {path}: {error.strerror}") from error
        self._path = path
        self._missing = 0  # lines that could not be written
        self._reason = ""  # why not
        self._torn = False  # the file ends inside a line

    def write(self, data: bytes) -> None:
        """Append whole lines, or count them as missing."""
        if self._resume():
            self._missing = self._append(_stamped(data))
        else:
            self._missing += data.count(b"\n")

    def reopen(self) -> None:
        """Go on in whatever is at the path now; in the old file, if that cannot be opened."""
        try:
            new = _open(self._path)
        except OSError as error:
            log.error("cannot reopen the transcript %s: %s: keeping the old file", self._path, error.strerror)
            return
        old, self._descriptor = self._descriptor, new
        self._torn = self._torn and os.path.sameopenfile(old, new)
        with contextlib.suppress(OSError):
            os.close(old)
        self._resume()

    def close(self) -> None:
        """Say how many lines are missing, if that can be written, and close the file."""
        self._resume()
        with contextlib.suppress(OSError):
            os.close(self._descriptor)

    def _resume(self) -> bool:
        """Whether no line is missing, or the file has just been told how many are."""
        if self._missing:
            note = f"{self._missing} {'line' if self._missing == 1 else 'lines'} missing: {self._reason}"
            if self._append(b"\n" * self._torn + _stamped(wire.answer(note))):
                return False
            self._missing = 0
            log.warning("writing the transcript %s again: %s", self._path, note)
        return True

    def _append(self, lines: bytes) -> int:
        """Write whole lines; return how many of them could not be written."""
        rest = lines
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            self._reason = str(error.strerror)
            if not self._missing:
                log.error("cannot write the transcript %s: %s", self._path, self._reason)
        if written := lines.removesuffix(rest):
            self._torn = not written.endswith(b"\n")
        return rest.count(b"\n")


def _open(path: str) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
    descriptor = os.open(path, flags | os.O_NONBLOCK, 0o600)  # a FIFO that nobody reads is an error, and no wait
    os.set_blocking(descriptor, True)
    return descriptor


def _stamped(lines: bytes) -> bytes:
    """Whole lines, or none, with the time before each."""
    stamp = datetime.now(UTC).astimezone().isoformat(timespec="milliseconds").encode() + b" "
    return b"".join(stamp + line for line in lines.splitlines(keepends=True))
