"""The flusher with a clock that is turned by hand, and a screen that takes its time."""

import threading

import pytest

from chatctl.screen.flusher import LIMIT, PAUSE, Backlog, Flusher


class Slow:
    """A screen that takes so many seconds for a byte."""

    def __init__(self, pace: float = 0.0) -> None:
        self.pace = pace
        self.now = 0.0
        self.woken = 0
        self.batches: list[bytes] = []
        self.skipped: list[bytes] = []
        self.told: list[int] = []
        self.marks: list[str] = []
        self.backlog: Backlog[str] = Backlog()
        self.backlog.wake = self._wake
        self.flusher = Flusher(
            self.backlog,
            write=self._write,
            skip=self._skip,
            tell=self.told.append,
            mark=self.marks.append,
            clock=lambda: self.now,
        )

    def _wake(self) -> None:
        self.woken += 1

    def _write(self, data: bytes) -> None:
        self.batches.append(data)
        self.now += len(data) * self.pace

    def _skip(self, data: bytes) -> int:
        self.skipped.append(data)
        return data.count(b"\n")


def test_nothing_waits() -> None:
    """Then it waits too."""
    assert Slow().flusher.step() is None


def test_the_first_line_goes_at_once() -> None:
    """What comes after a quiet time is written in the next step, and a pause follows."""
    slow = Slow()
    slow.backlog.put(b"hello\n")
    assert slow.woken == 1
    assert slow.flusher.step() == PAUSE
    assert slow.batches == [b"hello\n"]
    assert slow.flusher.step() is None


def test_what_came_in_pieces_goes_together() -> None:
    """A trickle of small reads is one batch; waking once is enough for it."""
    slow = Slow()
    for number in range(100):
        slow.backlog.put(b"%d\n" % number)
    slow.flusher.step()
    assert slow.batches == [b"".join(b"%d\n" % number for number in range(100))]
    assert slow.woken == 1


def test_a_quick_screen_gets_larger_batches() -> None:
    """They double, up to 256 KiB, as long as more waits."""
    slow = Slow()
    for _ in range(40):
        slow.backlog.put(b"x" * 65536)
    while slow.flusher.step() is not None:
        pass
    assert [len(batch) // 1024 for batch in slow.batches[:6]] == [16, 32, 64, 128, 256, 256]
    assert b"".join(slow.batches) == b"x" * 65536 * 40


def test_a_slow_screen_gets_smaller_batches() -> None:
    """They halve, down to 4 KiB, and the pauses are as long as the writing took: keys get half of the time."""
    slow = Slow(pace=1 / 100_000)
    slow.backlog.put(b"x" * 200_000)
    pauses = [slow.flusher.step() for _ in range(4)]
    assert [len(batch) // 1024 for batch in slow.batches] == [16, 8, 4, 4]
    assert pauses == [pytest.approx(max(PAUSE, len(batch) / 100_000)) for batch in slow.batches]


def test_marks_keep_their_place() -> None:
    """A mark is acted on between what came before it and what came after."""
    slow = Slow()
    for item in (b"a", b"b", "gone", b"c"):
        slow.backlog.put(item)
    slow.flusher.step()
    assert (slow.batches, slow.marks) == ([b"ab"], [])
    assert slow.flusher.step() == 0
    assert slow.marks == ["gone"]
    slow.flusher.step()
    assert slow.batches == [b"ab", b"c"]


def test_the_oldest_are_skipped() -> None:
    """Beyond the limit lines are left out from the front, counted, and that is said before the next that is shown."""
    slow = Slow()
    line = b"x" * 1023 + b"\n"
    for _ in range(LIMIT // 1024 // 64 + 3):
        slow.backlog.put(line * 64)
    while not slow.batches:
        assert slow.flusher.step() is not None
    assert slow.told == [192]
    assert b"".join(slow.skipped) == line * 192
    assert all(len(piece) <= 65536 for piece in slow.skipped)
    assert slow.backlog.size == LIMIT - len(slow.batches[0])


def test_small_packets_are_joined() -> None:
    """They take the memory of their bytes, not of so many objects."""
    slow = Slow()
    for _ in range(10_000):
        slow.backlog.put(b"x\n")
    assert slow.backlog.size == 20_000
    assert slow.backlog.take(100_000) == b"x\n" * 10_000


def test_memory_is_bounded_when_nobody_takes() -> None:
    """Far beyond the limit, who puts waits until something is taken or skipped."""
    slow = Slow()
    megabyte = b"x" * 1024 * 1024

    def put() -> None:
        for _ in range(20):
            slow.backlog.put(megabyte)

    putting = threading.Thread(target=put)
    putting.start()
    sizes = []
    while putting.is_alive() or slow.backlog:
        sizes.append(slow.backlog.size)
        slow.flusher.step()
    putting.join()
    assert max(sizes) <= LIMIT + 2 * len(megabyte)
    assert sum(map(len, slow.batches)) + sum(map(len, slow.skipped)) == 20 * len(megabyte)


def test_two_threads() -> None:
    """What one puts while the other takes arrives whole and in order."""
    slow = Slow()
    numbers = [b"%d\n" % number for number in range(20_000)]
    putting = threading.Thread(target=lambda: list(map(slow.backlog.put, numbers)))
    putting.start()
    while putting.is_alive() or slow.backlog:
        slow.flusher.step()
    putting.join()
    assert b"".join(slow.batches) == b"".join(numbers)
    assert slow.backlog.size == 0
