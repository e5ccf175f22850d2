"""What a line costs, and how long who owes has to wait."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatctl.room.limits import Bucket

RATE = 10.0


def cost(data: bytes) -> float:
    """The tokens that some bytes cost: what an empty bucket waits for them."""
    return Bucket(RATE, 1, 0.0).spend(data, 0.0) * RATE + 1


@pytest.mark.parametrize(
    ("data", "tokens"),
    [
        (b"\n", 1),
        (b"hello\n", 1),
        (b"/who\n", 1),
        (b"\n\n\n", 3),
        (b"x" * 256 + b"\n", 1),
        (b"x" * 257 + b"\n", 2),
        (b"x" * 4096 + b"\n", 16),
        (b"a\n" + b"x" * 600 + b"\nb\n", 5),
        (b"x" * 25_600, 100),
        (b"a\nb", 2),
    ],
)
def test_cost(data: bytes, tokens: int) -> None:
    """A token for each 256 bytes of a line that have begun, and one for an empty line."""
    assert cost(data) == pytest.approx(tokens)


@given(st.lists(st.sampled_from([b"\n", b"x", b"y" * 255, b"z" * 300, b"a\nb\n"]), min_size=1, max_size=20))
def test_cost_of_any_pieces(pieces: list[bytes]) -> None:
    """How the bytes are cut makes no difference."""
    bucket = Bucket(RATE, 1, 0.0)
    for piece in pieces:
        wait = bucket.spend(piece, 0.0)
    assert wait == Bucket(RATE, 1, 0.0).spend(b"".join(pieces), 0.0)


def test_burst_and_rate() -> None:
    """A burst is free, what is beyond it takes as long as the rate says, and rest fills the bucket up to the burst."""
    bucket = Bucket(RATE, 20, 0.0)
    assert bucket.spend(b"\n" * 20, 0.0) == 0.0
    assert bucket.spend(b"\n" * 5, 0.0) == pytest.approx(0.5)
    assert bucket.spend(b"\n", 0.5) == pytest.approx(0.1)
    assert bucket.spend(b"\n" * 20, 1000.0) == 0.0
    assert bucket.spend(b"\n", 1000.0) == pytest.approx(0.1)
