"""The log and its views."""

from chatctl.room.log import CHUNK, Log, View, take_together


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
    assert log.lines == 1000


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
