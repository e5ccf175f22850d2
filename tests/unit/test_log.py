"""The log and its views."""

import pytest

from chatctl.room.log import CHUNK, Log, Marks, View, take_together


def test_views_at_one_cursor_share_one_object() -> None:
    """However many take the same, it exists once."""
    log = Log()
    views = [View(log) for _ in range(3)]
    for number in range(100):
        log.append(b"line %d of some length that fills entries\n" % number * 10, 10)
    alone, ((data, together),) = take_together(views)
    assert (alone, together) == ([], views)
    assert data == log.read(0, log.tip)
    assert not any(view.owed for view in views)
    assert log.seq == 1000


def test_who_has_something_of_its_own() -> None:
    """A view with an overlay or a tail is left to the caller; all others take, each from its cursor."""
    log = Log()
    views = [View(log) for _ in range(4)]
    views[1].tell(b"hi\n")
    log.append(b"line\n")
    views[2].keep(views[2].take(), 2)
    views[3].take()
    log.append(b"more\n")
    alone, together = take_together(views)
    assert alone == views[1:3]
    assert list(together) == [(b"line\nmore\n", [views[0]]), (b"more\n", [views[3]])]
    assert [view.owed for view in views] == [False, True, True, False]
    assert [bytes(view.take()) for view in views[1:3]] == [b"hi\nline\nmore\n", b"ne\n"]


def test_logs_are_told_apart() -> None:
    """Views at one cursor of two logs take from their own."""
    logs = [Log(), Log()]
    views = [View(logs[number % 2]) for number in range(4)]
    for number, log in enumerate(logs):
        log.append(b"%d\n" % number)
    alone, together = take_together(views)
    assert alone == []
    assert list(together) == [(b"0\n", views[::2]), (b"1\n", views[1::2])]


def test_events_have_numbers() -> None:
    """Each event can be found by its number, however entries were filled, as long as it is kept."""
    log = Log(seq=40)
    begins = {41 + number: log.append(b"%04d\n" % number) for number in range(1000)}
    begins[1041] = log.append(b"a\nb\n", 2)
    begins[1042] = begins[1041] + 2
    assert log.seq == 1042
    assert all(log.position(seq) == begin for seq, begin in begins.items())
    assert log.position(1043) == log.tip
    log.trim(3000)
    first = next(seq for seq, begin in begins.items() if begin >= log.start)
    assert first > 41
    assert log.position(first) == begins[first]


def test_what_must_not_be_done_with_a_view() -> None:
    """Overlays are made in order and none behind an end; what was kept goes before anything else is taken."""
    log = Log()
    view = View(log)
    log.append(b"0123456789")
    view.overlay(5, 8, b"x")
    with pytest.raises(AssertionError, match="in order"):
        view.overlay(7, 9, b"y")
    view.keep(b"tail", 2)
    with pytest.raises(AssertionError, match="before anything else"):
        view.keep(b"more", 2)
    with pytest.raises(AssertionError):
        view.deafen()
    view.end()
    with pytest.raises(AssertionError, match="behind an end"):
        view.tell(b"late")


def test_no_view_reads_beyond_what_is_kept() -> None:
    """Neither the log nor what stands for it, nor what was told behind it, is taken before it is written."""
    marks = Marks(batch=1)
    log = Log(marks=marks)
    plain, own, deaf = View(log), View(log), View(log)
    deaf.deafen()
    deaf.tell(b"outside\n")
    log.append(b"[A] one\n")
    marks.batch = 2
    second = log.append(b"[B] two\n")
    own.overlay(second, log.tip, b"[You] two\n")
    own.tell(b"answer\n")
    own.end()
    assert [view.owed for view in (plain, own, deaf)] == [False, False, True]
    assert [bytes(view.take()) for view in (plain, own, deaf)] == [b"", b"", b"outside\n"]
    log.keep(second)
    marks.written = 1
    assert [bytes(view.take()) for view in (plain, own)] == [b"[A] one\n"] * 2
    assert not own.owed
    assert own.unwritten
    log.keep(log.tip)
    marks.written = 2
    assert not own.unwritten
    assert bytes(plain.take()) == b"[B] two\n"
    assert bytes(own.take()) == b"[You] two\nanswer\n"
    log.append(b"[A] three\n")
    log.keep(log.tip)
    assert (own.owed, bytes(own.take())) == (False, b"")


def test_takes_are_bounded() -> None:
    """A view takes 64 KiB at most, of the log as of an overlay."""
    log = Log()
    view = View(log)
    begin = log.append(b"x" * 200_000)
    view.overlay(begin, log.tip, b"y" * 150_000)
    log.append(b"z" * 100_000)
    pieces = []
    while data := view.take():
        pieces.append(bytes(data))
    assert max(map(len, pieces)) == CHUNK
    assert b"".join(pieces) == b"y" * 150_000 + b"z" * 100_000


def test_lag_counts_log_overlays_and_tail() -> None:
    """What a view is behind is everything that it has not got."""
    log = Log()
    view = View(log)
    log.append(b"x" * 10)
    view.tell(b"y" * 5)
    assert view.lag == 15
    data = view.take()
    assert view.lag == 0
    view.keep(data, 4)
    assert view.lag == 11
    log.append(b"z")
    assert view.lag == 12
    assert bytes(view.take()) + bytes(view.take()) == b"x" * 6 + b"y" * 5 + b"z"


def test_trim_forgets_whole_entries_only() -> None:
    """What is above the offset can still be read after a trim."""
    log = Log()
    for number in range(100):
        log.append(b"%04d" % number * 300)
    log.trim(60_000)
    assert 57_000 < log.start <= 60_000
    assert log.read(60_000, 60_008) == b"00500050"


def test_skip_forgets_everything_owed() -> None:
    """A view that skips begins anew at the tip."""
    log = Log()
    view = View(log)
    view.tell(b"private")
    log.append(b"public")
    view.skip()
    assert not view.owed
    assert view.lag == 0
