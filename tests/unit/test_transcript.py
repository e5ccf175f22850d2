"""The room in a file, and what becomes of it when the file cannot be written."""

import contextlib
import logging
import os
import resource
import stat
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import psutil
import pytest

from chatctl.errors import ResourceError
from chatctl.room.log import Log
from chatctl.server.console import Outlet, Stream
from chatctl.server.lock import Lock
from chatctl.server.transcript import Transcript
from tests.rooms import PATIENCE

WINDOW = 1 << 20
FULL = "No space left on device"

needs_a_full_device = pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")


class Book:
    """A log and its transcript, which has started."""

    def __init__(self, path: Path, behind: Callable[[], None] | None = None) -> None:
        self.log = Log()
        self.lock = Lock()
        self.outlet = Outlet(self.log, self.lock, Transcript(str(path)), WINDOW)
        if behind:
            self.outlet.follow(behind)
        self.outlet.start()

    def say(self, *lines: str) -> None:
        """Append some lines in one turn."""
        with self.lock:
            for line in lines:
                self.log.append(line.encode() + b"\n")
            self.outlet.wake()

    def reopen(self) -> None:
        with self.lock:
            self.outlet.reopen()

    def close(self) -> None:
        self.outlet.close(PATIENCE)


class Records(logging.Handler):
    """What was logged, as soon as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []
        self._came = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._came:
            self.messages.append(record.getMessage())
            self._came.notify()

    def until(self, number: int) -> None:
        """Wait for so many messages."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.messages) >= number, PATIENCE), self.messages


@pytest.fixture
def records() -> Iterator[Records]:
    """What the server logs."""
    handler = Records()
    log = logging.getLogger("chatctl.server")
    log.addHandler(handler)
    yield handler
    log.removeHandler(handler)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the transcript is."""
    return tmp_path / "transcript"


@pytest.fixture
def book(path: Path) -> Iterator[Callable[[], Book]]:
    """Open a book at the path; it is closed in the end."""
    books: list[Book] = []

    def open_book() -> Book:
        books.append(Book(path))
        return books[-1]

    yield open_book
    for opened in books:
        opened.close()


@contextlib.contextmanager
def full(size: int) -> Iterator[None]:
    """No file can grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def texts(path: Path) -> list[str]:
    """The lines of a transcript without their time stamps."""
    return [line.partition(" ")[2] for line in path.read_text().splitlines()]


def test_lines_have_the_time(book: Callable[[], Book], path: Path) -> None:
    """Each line begins with the time, to the millisecond and with its offset."""
    before = datetime.now().astimezone() - timedelta(milliseconds=1)
    room = book()
    room.say("[127.0.0.1:5000] hi")
    room.close()
    stamp, _, text = path.read_text().partition(" ")
    time = datetime.fromisoformat(stamp)
    assert before <= time <= datetime.now().astimezone()
    assert time.utcoffset() is not None
    assert time.isoformat(timespec="milliseconds") == stamp
    assert text == "[127.0.0.1:5000] hi\n"


def test_lines_taken_together(book: Callable[[], Book], path: Path) -> None:
    """Lines said in one turn are lines of their own, each with a time."""
    room = book()
    room.say("[a:1] 안녕", "[b:2] two")
    room.close()
    assert texts(path) == ["[a:1] 안녕", "[b:2] two"]


def test_an_old_transcript_is_continued(book: Callable[[], Book], path: Path) -> None:
    """What is in the file stays, and nobody but its owner can read a new one."""
    for line in ("one", "two"):
        room = book()
        room.say(line)
        room.close()
    assert texts(path) == ["one", "two"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_path_that_cannot_be_opened(path: Path) -> None:
    """One line that names the file and the reason."""
    path.mkdir()
    with pytest.raises(ResourceError, match=f"^cannot open the transcript {path}: Is a directory$"):
        Transcript(str(path))


def test_the_thread_closes_the_file(book: Callable[[], Book]) -> None:
    """A transcript that was closed has no descriptor left, of a file it had before neither."""
    process = psutil.Process()
    before = process.num_fds()
    room = book()
    room.reopen()
    assert process.num_fds() > before
    room.close()
    assert process.num_fds() == before


def test_a_file_moved_away(book: Callable[[], Book], path: Path) -> None:
    """The old file has what was said before the reopening, and there is a new one."""
    room = book()
    room.say("one")
    old = path.rename(path.with_suffix(".1"))
    room.reopen()
    room.close()
    assert texts(old) == ["one"]
    assert texts(path) == []


def test_reopening_a_quiet_room(book: Callable[[], Book], path: Path) -> None:
    """The new file is opened at once, though nobody says anything, and gets what is said then."""
    room = book()
    path.unlink()
    room.reopen()
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < deadline
    room.say("one")
    while not path.read_text():
        assert time.monotonic() < deadline
    assert path.read_text().endswith(" one\n")


def test_a_path_that_cannot_be_reopened(book: Callable[[], Book], path: Path, records: Records) -> None:
    """The old file goes on, and the log says so."""
    room = book()
    old = path.rename(path.with_suffix(".1"))
    path.mkdir()
    room.reopen()
    records.until(1)
    room.say("one")
    room.close()
    assert texts(old) == ["one"]
    assert records.messages == [f"cannot reopen the transcript {path}: Is a directory: keeping the old file"]


def test_what_stands_behind_the_first_lines(tmp_path: Path) -> None:
    """It is done once they are in the file, and once only."""
    path = tmp_path / "transcript"
    seen: list[str] = []
    book = Book(path, lambda: seen.append(path.read_text()))
    book.say("first")
    book.say("second")
    book.close()
    assert len(seen) == 1
    assert seen[0].split("\n")[0].endswith(" first")


def test_what_stands_behind_lines_that_cannot_be_written() -> None:
    """It is done all the same."""
    read, write = os.pipe()
    os.close(read)
    seen: list[str] = []
    outlet = Outlet(Log(), Lock(), Stream(write), WINDOW)
    outlet.follow(lambda: seen.append("done"))
    outlet.start(b"first\n")
    assert outlet.close(PATIENCE)
    os.close(write)
    assert seen == ["done"]


@needs_a_full_device
def test_a_full_disk_is_reported_once(book: Callable[[], Book], path: Path, records: Records) -> None:
    """However many lines cannot be written, one message says so."""
    path.symlink_to("/dev/full")
    room = book()
    room.say("one")
    records.until(1)
    room.say("two")
    room.close()
    assert records.messages == [f"cannot write the transcript {path}: {FULL}"]


@needs_a_full_device
def test_missing_lines_are_counted(book: Callable[[], Book], path: Path, records: Records) -> None:
    """As soon as there is a file that can be written, it and the log say how many lines are missing."""
    path.symlink_to("/dev/full")
    room = book()
    room.say("one", "two")
    records.until(1)
    path.unlink()
    path.mkdir()
    for number, line in enumerate(("three", "four"), 2):
        room.say(line)
        room.reopen()
        records.until(number)  # it cannot be reopened, and what was said before the last time has failed by now
    path.rmdir()
    room.reopen()
    records.until(4)
    room.say("five")
    room.close()
    assert texts(path) == [f"! 4 lines missing: {FULL}", "five"]
    assert records.messages[3:] == [f"writing the transcript {path} again: 4 lines missing: {FULL}"]


def test_a_torn_line(book: Callable[[], Book], path: Path, records: Records) -> None:
    """A line that a full disk cut is ended before the next one, and counts as missing."""
    room = book()
    with full(100):
        room.say("one", "x" * 100)
        records.until(1)
    room.say("two")
    room.close()
    whole, torn, *rest = texts(path)
    assert (whole, torn.strip("x"), len(torn) < 100) == ("one", "", True)
    assert rest == ["! 1 line missing: File too large", "two"]


def test_a_torn_line_in_a_file_moved_away(book: Callable[[], Book], path: Path, records: Records) -> None:
    """The file that follows one with a torn end begins with a whole line."""
    room = book()
    with full(100):
        room.say("x" * 100)
        records.until(1)
        path.rename(path.with_suffix(".1"))
        room.reopen()
        room.close()
    assert texts(path) == ["! 1 line missing: File too large"]


def test_missing_lines_at_the_end(book: Callable[[], Book], path: Path, records: Records) -> None:
    """Though nobody says anything more, the last line says what is missing."""
    room = book()
    with full(0):
        room.say("one")
        records.until(1)
    room.close()
    assert texts(path) == ["! 1 line missing: File too large"]


def test_a_transcript_that_falls_behind(book: Callable[[], Book], path: Path) -> None:
    """What the log has forgotten before it was written is counted too."""
    room = book()
    with room.lock:
        for _ in range(3):
            room.log.append(b"x" * 4000 + b"\n")
        room.log.trim(room.log.tip)
        room.outlet.wake()
    room.close()
    assert texts(path) == ["! 3 lines skipped: this output is too slow"]
