"""The bench's accounts and what it says of them."""

from array import array
from typing import Any

import pytest

from chatctl.bench.account import Account, Tally, Words, percentiles
from chatctl.bench.report import rows, save, table, words
from chatctl.bench.runner import Figures, Plan
from chatctl.errors import ResourceError

PLAN = Plan(
    modes=["select", "threads"], members=[10, 100], talkers=5, size=64, seconds=1.0, pattern="burst", rate=9.0, runs=3
)


def run(mode: str, members: int, speed: float, **more: Any) -> Figures:
    known: dict[str, Any] = {
        "p50": 1.0,
        "p99": 2.0,
        "p999": 3.0,
        "cpu_us_per_delivery": 0.5,
        "kib_per_member": 1.5,
        "threads": 3,
        "join_s": 0.1,
        "server_share": 0.9,
        "load_share": 0.8,
        "lost": 0,
        "doubled": 0,
        "disordered": 0,
        "cut": 0,
    }
    return Figures(mode=mode, members=members, deliveries_per_s=speed, **(known | more))


@pytest.mark.parametrize("cut", range(1, 60))
def test_words_of_any_pieces(cut: int) -> None:
    """Only lines of the load count, wherever their bytes are cut."""
    data = (
        b"[127.0.0.1:5] ab.0.0 xx\n> New user a entered (2 users online)\n[You] ab.10.37 x\n[a] 3.4 hi\n[b] ab.1.2 xx"
    )
    reader = Words(b"ab")
    assert reader.take(data[:cut]) + reader.take(data[cut:] + b"\n") == [b"0.0", b"10.37", b"1.2"]


@pytest.mark.parametrize(
    ("came", "missing", "doubled", "disordered"),
    [
        ("0.0 1.0 0.1 0.2 1.1", 0, 0, 0),
        ("0.0 1.0 0.2 1.1", 1, 0, 0),
        ("0.0 0.1", 3, 0, 0),
        ("0.0 0.1 0.1 0.2 1.0 1.1", 0, 1, 0),
        ("0.0 0.2 0.1 1.0 1.1", 0, 0, 1),
        ("", 5, 0, 0),
    ],
)
def test_an_account(came: str, missing: int, doubled: int, disordered: int) -> None:
    """Lines of each talker are expected once, in order."""
    account = Account(2)
    found = account.take([word.encode() for word in came.split()])
    assert found == [tuple(map(int, word.split("."))) for word in came.split()]
    assert (account.missing([3, 2]), account.doubled, account.disordered) == (missing, doubled, disordered)


@pytest.mark.parametrize("cut", range(1, 20))
def test_a_tally(cut: int) -> None:
    """It counts from behind the fence, wherever the bytes are cut."""
    data = b"before fence\nbehind"
    tally, whole = Tally(), Tally()
    tally.begin(b"fence\n")
    tally.take(memoryview(data)[:cut])
    tally.take(memoryview(data)[cut:])
    whole.take(b"behind")
    assert (tally.count, tally.checksum, tally.fence) == (whole.count, whole.checksum, b"")


def test_percentiles() -> None:
    """The nearest rank, as it is usually defined."""
    assert percentiles(array("d", range(100, 0, -1)), 0.5, 0.99, 0.999, 1) == [50, 99, 100, 100]
    assert percentiles(array("d", [7]), 0.5, 0.999) == [7, 7]
    assert percentiles(array("d"), 0.5) == [0]


def test_a_table() -> None:
    """Medians, how far the runs lie apart, and the ratio, aligned."""
    runs = [run("select", 10, speed) for speed in (90, 100, 110)] + [run("threads", 10, 50, threads=13)]
    assert table(rows(runs)).splitlines() == [
        "members  mode     deliveries/s    ±  p50 ms  p99 ms  p99.9 ms  CPU µs  KiB/member  threads  join s"
        "  lost  doubled  disorder  cut  ratio",
        "     10  select            100  10%    1.00    2.00      3.00   0.500         1.5        3   0.100"
        "     0        0         0    0   1.00",
        "     10  threads            50    -    1.00    2.00      3.00   0.500         1.5       13   0.100"
        "     0        0         0    0   0.50",
    ]


def test_a_server_that_is_not_known() -> None:
    """What cannot be told has a dash, and there is no ratio of one mode."""
    shown = table(rows([run("", 10, 5, cpu_us_per_delivery=None, kib_per_member=None, threads=None)]))
    assert "ratio" not in shown
    assert "mode" not in shown
    assert shown.splitlines()[1].split().count("-") == 4


@pytest.mark.parametrize(
    ("speeds", "sentence"),
    [
        ({10: (100, 103), 100: (100, 98)}, "With 10 to 100 members the modes are equal."),
        ({10: (100, 80), 100: (100, 50)}, "With 10 to 100 members select is ahead by 25% to 100%."),
        (
            {10: (100, 200), 100: (100, 100), 1000: (150, 100)},
            "With 10 members threads is ahead by 100%; with 100 members the modes are equal;"
            " with 1,000 members select is ahead by 50%.",
        ),
    ],
)
def test_words_say_who_is_ahead(speeds: dict[int, tuple[float, float]], sentence: str) -> None:
    """From how many members on which mode is ahead, and by how much."""
    runs = [
        run(mode, members, speed)
        for members, pair in speeds.items()
        for mode, speed in zip(("select", "threads"), pair, strict=True)
    ]
    assert words(rows(runs), PLAN).startswith(sentence)


def test_words_warn() -> None:
    """Of a load that was the bottleneck, and of lines that went wrong."""
    slow = run("select", 10, 5, load_share=1.0, server_share=0.5)
    assert "Warning: where the load used more CPU" in words(rows([slow]), PLAN)
    assert "select with 10." in words(rows([slow]), PLAN)
    assert "Warning" not in words(rows([run("select", 10, 5, load_share=1.0, server_share=0.97)]), PLAN)
    assert "Nothing was lost, doubled or out of order." in words(rows([slow]), PLAN)
    assert "3 lines were lost, doubled or out of order" in words(rows([run("x", 10, 5, lost=1, doubled=2)]), PLAN)
    assert "do more: with 10." in words(rows([run("", 10, 5, load_share=1.0, server_share=0.5)]), PLAN)
    assert "4 members were cut" in words(rows([run("x", 10, 5, cut=4)]), PLAN)


def test_a_file_that_cannot_be_written() -> None:
    """A wrong path is one clear line."""
    with pytest.raises(ResourceError, match="cannot write /no/such/a"):
        save("/no/such/a", "text")
