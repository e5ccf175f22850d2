"""What the room remembers, and what it shows of that."""

from types import SimpleNamespace

import pytest

from chatctl.room.ring import MOST, Ring
from chatctl.server.operation import Operator
from chatctl.server.terminal import Terminal
from chatctl.wire import text
from chatctl.wire.events import Acted, Fact, Said
from tests.unit.test_room import Guests


def fact(*lines: bytes, uid: int = 1) -> Fact:
    return Fact(Said(uid, lines), 1, f"n{uid}", 1, uid, events=len(lines))


def add(ring: Ring, fact: Fact) -> None:
    ring.add(fact, len(text.others(fact)))


def texts(ring: Ring) -> list[str]:
    return [line.text for line in ring.newest(lambda fact: False)]


def test_the_newest_stay() -> None:
    """So many lines and no more, wherever the chunks end in which they were said."""
    ring = Ring(3)
    add(ring, fact(b"1"))
    add(ring, fact(b"2", b"3"))
    assert texts(ring) == ["3", "2", "1"]
    add(ring, Fact(Acted(1, b"4"), 9, "n", 1, 1))
    assert texts(ring) == ["4", "3", "2"]
    add(ring, fact(*(b"%d" % number for number in range(10))))
    assert texts(ring) == ["9", "8", "7"]


def test_it_is_bounded_in_bytes() -> None:
    """Long lines push out what is older, however few they are."""
    ring = Ring(10_000)
    for number in range(1000):
        add(ring, fact(b"%d" % number + b"x" * 4000))
    kept = texts(ring)
    assert kept[0].startswith("999x")
    assert MOST * 0.8 < sum(map(len, kept)) <= MOST


def test_none_is_kept() -> None:
    """A room may remember nothing."""
    ring = Ring(0)
    add(ring, fact(b"1"))
    assert texts(ring) == []


def test_hidden_lines_take_no_place_of_others() -> None:
    """Who does not want to read somebody still reads the lines of the others among the newest."""
    ring = Ring(3)
    for uid in (1, 2, 1, 2):
        add(ring, fact(b"%d" % uid, uid=uid))
    assert [line.text for line in ring.newest(lambda fact: fact.uid == 2)] == ["1"]


def test_forgotten_texts_are_nowhere() -> None:
    """What is forgotten is not in memory any more."""
    ring = Ring(3)
    add(ring, fact(b"secret", uid=1))
    add(ring, fact(b"open", uid=2))
    add(ring, Fact(Acted(1, b"tells a secret"), 9, "n", 1, 1))
    assert ring.forget(lambda fact: fact.uid == 1) == {1}
    assert texts(ring) == ["open"]
    assert b"secret" not in repr(vars(ring)).encode()
    assert ring.forget(lambda fact: fact.uid == 1) == set()


def test_history() -> None:
    """Who asks sees what was said, with the dates, also before it came, and nothing else."""
    guests = Guests()
    guests.room.ledger.day = 1_700_000_000.0
    first = guests.join("a:1")
    guests.say(first, b"/nick alice\none\n/me waves\n/msg nobody psst\n")
    second = guests.join("b:2")
    shown = guests.say(second, b"/history\n").splitlines()
    assert shown[0] == "! 2 of 2 lines"
    assert [line[18:] for line in shown[1:-1]] == [" [alice] one", " * alice waves"]
    assert all(line.startswith("| 2023-11-1") for line in shown[1:-1])
    assert shown[-1] == "! that was the history"
    assert guests.say(second, b"/history 1\n").splitlines()[1].endswith(" * alice waves")
    assert guests.say(first, b"hi\n") == "> New user b:2 entered (2 users online)\n[You] hi\n"


def test_search() -> None:
    """The newest lines that have a text, in capitals or not; names are not looked at."""
    guests = Guests()
    alice = guests.join("a:1")
    guests.say(alice, "/nick bob\nStraße 1\nbread\nSTRASSE 2\n".encode())
    shown = guests.say(alice, b"/search strasse\n").splitlines()
    assert shown[0] == "! 2 of 3 lines"
    assert [line.rpartition("] ")[2] for line in shown[1:-1]] == ["Straße 1", "STRASSE 2"]
    assert guests.say(alice, b"/search bob\n").splitlines() == ["! 0 of 3 lines", "! that was the history"]


def test_what_cannot_be_shown() -> None:
    """A mistake is answered with what to say."""
    guests = Guests()
    asker = guests.join("a:1")
    usage = "! say /history, or /history N: the last N lines, 200 at most\n"
    assert [guests.say(asker, b"/history %b\n" % wrong) for wrong in (b"x", b"-1", b"1 2", b"1000")] == [usage] * 4
    assert guests.say(asker, b"/search\n") == "! say /search TEXT\n"


def test_ignored_lines_are_not_shown() -> None:
    """Nor are those of all from an ignored address; they are not counted either."""
    guests = Guests()
    reader = guests.join("a:1")
    for port in (2, 3):
        guests.say(guests.join(f"10.0.0.{port}:1"), b"from %d\n" % port)
    guests.say(guests.join("10.0.0.4:1"), b"from 4\n")
    guests.say(reader, b"/ignore 10.0.0.2:1\n/ignore 10.0.0.3\n/nick x\n")
    shown = guests.say(reader, b"/history\n").splitlines()
    assert shown[0] == "! 1 of 1 lines"
    assert shown[1].endswith("] from 4")


def test_an_answer_is_not_too_long() -> None:
    """64 KiB at most, the newest of it."""
    guests = Guests()
    speaker = guests.join("a:1")
    for number in range(40):
        guests.say(speaker, b"%d" % number + b"x" * 4000 + b"\n")
    shown = guests.say(speaker, b"/history 200\n")
    assert 60_000 < len(shown) < 65_536
    assert shown.splitlines()[-2].split("] ")[1].startswith("39x")


def test_answers_are_paid_for() -> None:
    """A token for each 256 bytes of an answer: who asks for much is not read for a while."""
    guests = Guests(rate=1, burst=50)
    speaker = guests.join("a:1")
    for number in range(40):
        add(guests.room.ledger.ring, fact(b"%d" % number + b"x" * 400))
    guests.say(speaker, b"/history 3\n")
    assert not speaker.paused
    guests.say(speaker, b"/history 40\n")
    assert speaker.paused


def test_help_says_what_is_kept() -> None:
    """In its last line, for who wants to know before speaking."""
    for lines, word in ((200, "its last 200 lines in memory"), (1, "its last 1 line in memory")):
        guests = Guests(history=lines)
        assert guests.say(guests.join("a:1"), b"/help\n").splitlines()[-1] == f"! this room keeps {word}"
    guests = Guests(history=0)
    shown = guests.say(guests.join("a:1"), b"/help\n").splitlines()[-1]
    assert shown == "! this room keeps nothing of what is said"


def test_kept_knows_where_a_line_came_from() -> None:
    """Bans and ignoring go by addresses: so does what is remembered, when its speaker has gone."""
    guests = Guests()
    speaker = guests.join("10.0.0.5:1")
    guests.say(speaker, b"hi\n")
    guests.room.leave(speaker, 0.0, "reset")
    ring = guests.room.ledger.ring
    assert list(ring.newest(lambda fact: fact.host == "10.0.0.5")) == []
    assert [line.text for line in ring.newest(lambda fact: fact.host != "10.0.0.5")] == ["hi"]


@pytest.mark.parametrize("whom", ["bob", "BOB", "10.0.0.5", "[10.0.0.5]", "rob", "all"])
def test_the_operator_has_it_forgotten(whom: str) -> None:
    """By a name, under which it was said or which its speaker has now, by an address, or all; members are told."""
    guests = Guests()
    server = SimpleNamespace(room=guests.room, store=None)
    operator = Operator(server, lambda: tuple, print, Terminal())  # type: ignore[arg-type]  # all that it looks at
    assert operator.forget(whom)[0].startswith(f"nothing is kept of {whom!r}: /forget NAME")
    reader, speaker = guests.join("10.0.0.1:1"), guests.join("10.0.0.5:1")
    guests.say(reader, b"mine\n")
    guests.say(speaker, b"/nick bob\nsecret\n/nick rob\n")
    what = "all that was said before" if whom == "all" else f"what {whom} has said"
    assert operator.forget(whom)[0].startswith(f"{what} is removed")
    shown = guests.say(reader, b"/history\n").splitlines()
    assert f"! server: {what} is removed" in shown
    assert not any(line.startswith("|") and "secret" in line for line in shown)
    assert any(line.endswith("] mine") for line in shown if line.startswith("|")) is (whom != "all")
