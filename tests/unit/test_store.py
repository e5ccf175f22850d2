"""A store by itself: what it writes and removes, and a disk that does not answer."""

import os
import threading
import time
from pathlib import Path

import pytest

from chatctl.errors import ResourceError
from chatctl.room.ledger import Ledger
from chatctl.server import segments
from chatctl.server.lock import Lock
from chatctl.server.store import Bounds, Store, Writer
from chatctl.wire.events import Announced
from tests.rooms import PATIENCE


class Kept:
    """A ledger, and its store."""

    def __init__(self, path: Path, bounds: Bounds | None = None) -> None:
        self.path = path
        self.lock = Lock()
        self.ledger = Ledger(200, epoch="abcdefgh")
        self.store = Store(str(path), self.ledger, self.lock, bounds or Bounds())
        self.store.start()

    def happen(self, text: str) -> None:
        with self.lock:
            self.ledger.post(Announced(text), 0.0)
        self.store.commit()

    @property
    def files(self) -> list[Path]:
        return segments.listed(self.path)


def test_it_goes_on(tmp_path: Path) -> None:
    """The numbers, the epoch, and what was said; the directory is for its owner alone."""
    kept = Kept(tmp_path / "store")
    kept.happen("one")
    assert kept.ledger.logs.kept == 1
    kept.store.close(PATIENCE)
    assert (tmp_path / "store").stat().st_mode & 0o777 == 0o700
    again = Kept(tmp_path / "store")
    assert (again.ledger.logs.epoch, again.ledger.seq) == ("abcdefgh", 2)
    again.happen("two")
    with again.lock:
        texts = again.ledger.logs["json"].read(0, again.ledger.logs["json"].tip)
    assert [line.split(b'"kind":"')[1][:5] for line in texts.splitlines()] == [b"annou", b"resta", b"annou"]
    again.store.close(PATIENCE)


def test_nothing_is_seen_before_it_is_written(tmp_path: Path) -> None:
    """The mark at which all logs end moves when it is."""
    kept = Kept(tmp_path)
    kept.ledger.post(Announced("one"), 0.0)
    logs = kept.ledger.logs
    assert (logs.seq, logs.kept, [log.kept for log in logs.values()]) == (1, 0, [0, 0])
    kept.store.commit()
    assert (logs.kept, [log.tip - log.kept for log in logs.values()]) == (1, [0, 0])
    kept.store.close(PATIENCE)


def test_the_oldest_goes(tmp_path: Path) -> None:
    """When all is larger than its bound, or old; never the newest, and what may be asked for moves."""
    kept = Kept(tmp_path, Bounds(size=100_000))
    for number in range(400):
        kept.happen(f"{number} " + "x" * 1000)
    kept.store._prune()
    assert kept.files[0].stem > f"{200:016}"
    assert sum(path.stat().st_size for path in kept.files) <= 100_000
    assert kept.ledger.logs.oldest == segments.first(kept.files[0])
    kept.store.close(PATIENCE)


def test_what_is_old_goes(tmp_path: Path) -> None:
    """By the days that it is kept."""
    kept = Kept(tmp_path, Bounds(size=4_000_000, days=2))
    for number in range(2_000):
        kept.happen(f"{number} " + "x" * 1000)
    first, second, *rest = kept.files
    assert rest
    for path, days in ((first, 3), (second, 1)):
        at = time.time() - days * 24 * 3600
        os.utime(path, (at, at))
    kept.store._prune()
    assert kept.files == [second, *rest]
    assert kept.ledger.logs.oldest == segments.first(second)
    kept.store.close(PATIENCE)


def test_bans_are_kept(tmp_path: Path) -> None:
    """With what who was banned is called."""
    kept = Kept(tmp_path)
    with kept.lock:
        kept.store.journal.ban({"192.0.2.7/32": "bob", "198.51.100.0/24": ""})
    kept.store.commit()
    kept.store.close(PATIENCE)
    again = Kept(tmp_path)
    assert again.store.journal.bans == {"192.0.2.7/32": "bob", "198.51.100.0/24": ""}
    again.store.close(PATIENCE)


@pytest.mark.parametrize("cut", ["place", "bans"])
def test_half_a_snapshot_is_none(tmp_path: Path, cut: str) -> None:
    """A file whose beginning did not outlive a crash of the machine is as if it were not there."""
    kept = Kept(tmp_path)
    kept.happen("one")
    kept.store.journal.ban({"192.0.2.7/32": "bob"})
    kept.store.commit()
    kept.store.close(PATIENCE)
    later = tmp_path / f"{5:016}.jsonl"
    later.write_bytes(b'{"seq":4,"kind":"segment","boot":"x"}\n{"seq":4,"kind":"%b' % cut.encode())
    again = Kept(tmp_path)
    assert again.store.journal.bans == {"192.0.2.7/32": "bob"}
    assert again.ledger.logs.epochs == {"abcdefgh": 1}
    assert not later.exists()
    again.store.close(PATIENCE)


def test_it_is_not_what_was_written(tmp_path: Path) -> None:
    """A copy begins another epoch, and knows where the last one ended."""
    kept = Kept(tmp_path / "store")
    kept.happen("one")
    kept.store.close(PATIENCE)
    (tmp_path / "copy").mkdir(mode=0o700)
    for path in (tmp_path / "store").iterdir():
        (tmp_path / "copy" / path.name).write_bytes(path.read_bytes())
    again = Kept(tmp_path / "copy")
    assert again.ledger.logs.epochs == {"abcdefgh": 1}
    again.store.close(PATIENCE)


def test_lines_that_nobody_has_written(tmp_path: Path) -> None:
    """A store that was edited is refused in one line."""
    kept = Kept(tmp_path)
    kept.happen("one")
    kept.store.close(PATIENCE)
    (file,) = kept.files
    file.write_bytes(
        file.read_bytes()
        + b'{"seq":2,"kind":"place","uid":1,"name":"x","address":"192.0.2.1:5","digest":"zz","asleep":null}\n'
    )
    with pytest.raises(ResourceError, match="has lines that chatctl has not written"):
        Kept(tmp_path)


def test_a_call_that_hangs() -> None:
    """It is waited for no longer than is said, and the next one is not made before it has come back."""
    writer, gate = Writer(), threading.Event()
    writer.start()
    assert writer.do(lambda: 5, PATIENCE) == 5
    with pytest.raises(TimeoutError):
        writer.do(lambda: gate.wait(PATIENCE), 0.001)
    assert writer.hangs
    made: list[int] = []
    with pytest.raises(TimeoutError):
        writer.do(lambda: made.append(1), PATIENCE)
    assert made == []
    gate.set()
    deadline = time.monotonic() + PATIENCE
    while writer.hangs:
        assert time.monotonic() < deadline

    def fail() -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        writer.do(fail, PATIENCE)
    assert writer.do(lambda: 6, PATIENCE) == 6
    writer.close()
