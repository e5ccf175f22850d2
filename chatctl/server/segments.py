"""The files of a store: a directory of segments, which one server at a time appends to, and anybody may read.

    format                     says that this is a store, and of which version; locked by the server (flock(2))
    0000000000000001.jsonl     a segment: lines from the event of that number on, see `room.journal`

Each line begins with ``{"seq":N``, and N never falls, so that a place in a segment is found by bisection. A segment is
written under another name until it has its snapshot, and appended to from then on.
"""

import contextlib
import errno
import fcntl
import json
import os
import re
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from chatctl.errors import ResourceError
from chatctl.room.journal import Saved

VERSION = 1
"""Of the format: a store of a newer one is not touched."""

_FORMAT = "chatctl store"
_TAIL = 1024 * 1024  # bytes of the newest events, with which a log begins
_HEAD = re.compile(rb'\{"seq":(\d+),("time")?')
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def listed(directory: Path) -> list[Path]:
    """The segments of a store, the oldest first.

    Raises:
        ResourceError: it is none, or cannot be read.
    """
    try:
        _check_format(directory, (directory / "format").read_text("utf-8", "replace"))
        return sorted(path for path in directory.iterdir() if path.suffix == ".jsonl" and path.stem.isdecimal())
    except FileNotFoundError as error:
        raise ResourceError(
            f"{directory} is no store: it is the directory that a server was given by --store"
        ) from error
    except OSError as error:
        raise ResourceError(f"cannot read the store {directory}: {error.strerror}") from error


def first(segment: Path) -> int:
    """The number of the first event of a segment."""
    return int(segment.stem)


def read(segment: Path) -> bytes:
    """What is in a segment; nothing if it was too old meanwhile.

    Raises:
        ResourceError: it cannot be read.
    """
    try:
        return segment.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise ResourceError(f"cannot read the store {segment.parent}: {error.strerror}") from error


def number(line: bytes) -> int:
    """The number with which a line of a segment begins; 0: it is none."""
    found = _HEAD.match(line)
    return int(found[1]) if found else 0


def position(data: bytes, seq: int) -> int:
    """Where the first line stands in a segment that has this number or a higher one."""
    low, high = 0, len(data)  # line starts, of which the answer is not below the one, nor above the other
    while low < high:
        middle = data.rfind(b"\n", low, (low + high) // 2) + 1 or low
        end = data.find(b"\n", middle) + 1 or high
        if number(data[middle : middle + 32]) < seq:  # what is torn counts as 0
            low = end
        else:
            high = middle
    return low


class Segments:
    """A store that this process alone writes.

    Args:
        path: the directory; it is made if it is not there.

    Raises:
        ResourceError: it is in use, no store, of a newer version, or cannot be written.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        try:
            self._guard = self._take()
        except OSError as error:
            raise ResourceError(f"cannot write the store {path}: {error.strerror}") from error

    def _take(self) -> int:
        """Lock the directory, which becomes a store if there is nothing in it."""
        path = self.path
        if path.exists() and not path.is_dir():
            raise ResourceError(f"{path} is no directory: give --store a new one")
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.stat().st_uid != os.geteuid():
            raise ResourceError(f"the store {path} belongs to another user: run the server as that one")
        if not os.access(path, os.W_OK | os.X_OK):
            raise ResourceError(f"the store {path} cannot be written: make it writable, or leave out --store")
        fresh = not any(path.iterdir())
        if not fresh and not (path / "format").exists():
            raise ResourceError(f"{path} is no store, and not empty: give --store a new directory")
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            path.chmod(0o700)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        guard = os.open(path / "format", flags, 0o600)
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if text := os.pread(guard, 100, 0).decode("utf-8", "replace"):
                _check_format(path, text)
            else:
                os.write(guard, f"{_FORMAT} {VERSION}\n".encode())
            for left in path.glob("*.new"):
                left.unlink()
        except BlockingIOError as error:
            os.close(guard)
            raise ResourceError(f"the store {path} is in use: another server runs on it") from error
        except BaseException:
            os.close(guard)
            raise
        return guard

    def saved(self) -> Saved:
        """What is stored. The end of the newest segment is cut off if it is torn.

        Raises:
            ResourceError: it cannot be read.
        """
        saved = Saved()
        files = listed(self.path)
        try:
            while files and not self._read(files[-1], saved):
                files.pop().unlink()  # its snapshot was never whole: the machine has crashed
                saved = Saved(doubtful=True)
            if files:
                saved.first = first(files[0])
                saved.lines = _newest(files, saved.seq)
        except OSError as error:
            raise ResourceError(f"cannot read the store {self.path}: {error.strerror}") from error
        return saved

    def _read(self, file: Path, saved: Saved) -> bool:
        """Take in the newest segment; return whether it is one."""
        data = file.read_bytes()
        whole = saved.read(data.splitlines(keepends=True))
        if whole < len(data):
            os.truncate(file, whole)
        if not saved.epoch:
            return False
        begun = json.loads(data[: data.index(b"\n")])
        stat = file.stat()
        same = (begun.get("device"), begun.get("inode")) == (stat.st_dev, stat.st_ino)
        saved.doubtful = saved.doubtful or not same or not (saved.ended or begun.get("boot") == boot())
        return True

    def begin(self, seq: int, data: bytes, wanted: Callable[[], bool], *, durable: bool) -> tuple[int, int]:
        """Begin a segment with some lines; return its descriptor and its size.

        Args:
            seq: the number of the first event in it.
            data: the lines, a snapshot first.
            wanted: whether it still is, when it could be there.
            durable: have it outlive a crash of the machine before it is there.

        Raises:
            OSError: it cannot be written, or came too late; it is not there then, or has nothing that did not happen.
        """
        path = self.path / f"{seq:016d}.jsonl"
        new = path.with_suffix(".new")
        segment = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            status = os.fstat(segment)
            begun = {"seq": seq - 1, "kind": "segment", "boot": boot(), "device": status.st_dev, "inode": status.st_ino}
            data = json.dumps(begun, separators=(",", ":")).encode() + b"\n" + data
            write(segment, data)
            if durable:
                put_on_disk(segment)
            if not wanted():
                raise TimeoutError(errno.ETIMEDOUT, "too late")
            os.rename(new, path)
            if durable:
                self.sync()
        except BaseException:
            os.close(segment)
            with contextlib.suppress(OSError):
                os.unlink(new)
            raise
        return segment, len(data)

    def sync(self) -> None:
        """Have the names of new segments outlive a crash of the machine."""
        directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def close(self) -> None:
        """Let another server have it."""
        os.close(self._guard)


def write(descriptor: int, data: bytes) -> None:
    """Write all of some bytes."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


put_on_disk: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)
"""Have what was written to a descriptor outlive a crash of the machine; macOS has no fdatasync(2)."""


def boot() -> str:
    """Which start of the machine this is; empty: it cannot be told."""
    with contextlib.suppress(OSError):
        return _BOOT_ID.read_text().strip()
    with contextlib.suppress(OSError, subprocess.SubprocessError):  # macOS
        asked = ["sysctl", "-n", "kern.bootsessionuuid"]
        return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    return ""


def _check_format(directory: Path, text: str) -> None:
    word, _, version = text.strip().rpartition(" ")
    if word != _FORMAT or not version.isdecimal():
        raise ResourceError(f"{directory} is no store: it has a file named format that chatctl has not written")
    if int(version) > VERSION:
        raise ResourceError(
            f"the store {directory} has format {version}, this chatctl knows formats up to {VERSION}: take a newer one"
        )


def _newest(files: list[Path], seq: int) -> list[bytes]:
    """The newest events up to a number, as many as are there without a gap."""
    lines: list[bytes] = []
    size = 0
    for line in _backwards(files):
        found = _HEAD.match(line)
        if not found or not found[2]:  # a line of the store's own
            continue
        size += len(line)
        if int(found[1]) != seq - len(lines) or size > _TAIL:
            break
        lines.append(line)
    return lines[::-1]


def _backwards(files: list[Path]) -> Iterator[bytes]:
    for file in reversed(files):
        yield from reversed(file.read_bytes().splitlines(keepends=True))
