"""The lines that were said, in a file of their user's own."""

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from prompt_toolkit.history import FileHistory, History, InMemoryHistory

MOST = 5000
"""Entries kept: a search over more of them makes a key wait (0.1 s at 5,000, measured)."""


def path(name: str = "history") -> Path:
    """Where they are kept, after the XDG Base Directory Specification; ``name`` is the file's."""
    state = os.environ.get("XDG_STATE_HOME", "")
    return (Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state") / "chatctl" / name


def open_history(name: str = "history") -> History:
    """What was said before, and a place for more; only for this run, where no file can be had."""
    try:
        return _open(path(name))
    except (OSError, RuntimeError):  # no home
        return InMemoryHistory()


def _open(file: Path) -> History:
    """Open a file that only its user may read, and leave out the oldest entries beyond `MOST`."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    os.fchmod(descriptor, 0o600)
    os.close(descriptor)
    with _alone(file):
        kept = list(islice(FileHistory(file).load_history_strings(), MOST + 1))
        if len(kept) > MOST:
            new = file.with_name(f"{file.name}.{os.getpid()}")
            os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
            rewritten = FileHistory(new)
            for entry in reversed(kept[:MOST]):
                rewritten.store_string(entry)
            new.replace(file)
    return _History(file)


@contextlib.contextmanager
def _alone(file: str | Path) -> Iterator[None]:
    """Keep other clients from writing the file; the lock is its folder's, as the file itself may be replaced."""
    descriptor = os.open(Path(file).parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # not every file system has locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class _History(FileHistory):
    """A file of entries that may fail to be written."""

    def load_history_strings(self) -> Iterable[str]:
        """The newest first."""
        with contextlib.suppress(OSError):
            return super().load_history_strings()
        return []

    def store_string(self, string: str) -> None:
        """Append one; it stays in memory in any case."""
        with contextlib.suppress(OSError), _alone(os.fsdecode(self.filename)):
            super().store_string(string)
