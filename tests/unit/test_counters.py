"""A reading of a server's counters, in words."""

from collections.abc import Iterator
from datetime import datetime
from time import tzset

import pytest

from chatctl.server.counters import Counters

NOTHING = Counters(0.0, 0, 0, 0, {}, 0, 0, 0, 0, 0, 0, {}, {}, {})


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A local time that is two hours ahead, summer and winter."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "XXX-2")
        tzset()
        yield
    tzset()


def test_everything_stands_on_one_line() -> None:
    """Each figure has its word, the reasons follow their total."""
    reading = Counters(
        since=datetime.fromisoformat("2026-11-23T08:00:00.75+00:00").timestamp(),
        users=2,
        held=1,
        asleep=7,
        links={"text": 2, "json": 1},
        outside=0,
        lines=1234,
        resumed=5,
        incomplete=4,
        bytes_in=5678,
        bytes_out=91011,
        refused={"server full": 2, "denied": 1},
        ended={"left": 9, "reset": 1},
        cut={"fell behind": 1},
    )
    assert reading.line() == (
        "2 users, 0 outside, 1234 lines, 5678 bytes in, 91011 bytes out, links 3 (text 2, json 1), "
        "1 held, 7 asleep, 5 resumed, 4 incomplete, refused 3 (server full 2, denied 1), cut 1 (fell behind 1), "
        "ended 10 (left 9, reset 1), since 2026-11-23T10:00:00+02:00"
    )


@pytest.mark.parametrize("nothing", [{}, {"denied": 0}])
def test_nothing_has_no_reasons(nothing: dict[str, int]) -> None:
    """A total of nothing stands alone, whether its reasons are known already or not."""
    assert ", refused 0, " in NOTHING._replace(refused=nothing).line()


def test_the_most_frequent_reason_is_first() -> None:
    """Reasons come by their numbers, equal ones as they were given, those of nothing not at all."""
    ended = {"reset": 1, "timed out": 0, "no route": 1, "left": 12}
    assert ", ended 14 (left 12, reset 1, no route 1), " in NOTHING._replace(ended=ended).line()
