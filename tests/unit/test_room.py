"""The room's policy: commands, refusals, endings."""

from typing import Any

import pytest

from chatctl import __version__
from chatctl.server.limits import Limits
from chatctl.server.room import Room
from chatctl.server.roster import GRACE, LINGER, Member


class Guests:
    """A room without sockets."""

    def __init__(self, **options: Any) -> None:
        self.room: Room[Member] = Room(Limits(rate=0, **options))

    def join(self, name: str) -> Member:
        member = Member(self.room.log, name)
        self.room.join(member, 0.0)
        drain(member)
        return member

    def say(self, member: Member, data: bytes) -> str:
        self.room.receive(member, data, 0.0)
        return drain(member)


def drain(member: Member) -> str:
    text = b""
    while data := member.take():
        text += data
    return text.decode()


def test_help_names_the_version_first() -> None:
    """``/help`` begins with the version and is for the asker alone."""
    guests = Guests()
    asker, other = guests.join("a:1"), guests.join("b:2")
    drain(asker)
    answer = guests.say(asker, b"/help\n").splitlines()
    assert answer[0] == f"! chatctl {__version__}"
    assert all(line.startswith("! ") for line in answer)
    assert drain(other) == ""


def test_who_lists_everybody() -> None:
    """``/who`` gives the number and the names, the asker's marked."""
    guests = Guests()
    asker = guests.join("a:1")
    guests.join("b:2")
    drain(asker)
    assert guests.say(asker, b"/who\n") == "! 2 users online\n! a:1 (you)\n! b:2\n"


@pytest.mark.parametrize("command", [b"/", b"/nick me", b"/whoever", b"/ who"])
def test_other_commands_are_reserved(command: bytes) -> None:
    """What begins with a slash is never relayed."""
    guests = Guests()
    asker, other = guests.join("a:1"), guests.join("b:2")
    drain(asker)
    assert guests.say(asker, command + b"\n").startswith("! no such command: /")
    assert drain(other) == ""


def test_double_slash_says_one() -> None:
    """``//x`` is how to say ``/x``."""
    guests = Guests()
    speaker, other = guests.join("a:1"), guests.join("b:2")
    drain(speaker)
    assert guests.say(speaker, b"//x\n") == "[You] /x\n"
    assert drain(other) == "[a:1] /x\n"


def test_answers_stand_in_order_among_lines() -> None:
    """What is asked between two lines is answered between their echoes."""
    guests = Guests(max_line=10)
    speaker = guests.join("a:1")
    said = guests.say(speaker, b"one\n/x\n01234567890\ntwo\n")
    assert [line.split()[0] for line in said.splitlines()] == ["[You]", "!", "!", "[You]"]


def test_quit_ends_in_good_order() -> None:
    """``/quit`` is answered, announced, and nothing after it counts."""
    guests = Guests()
    leaver, other = guests.join("a:1"), guests.join("b:2")
    drain(leaver)
    assert guests.say(leaver, b"/quit\nlost\n") == "! bye\n"
    assert guests.say(leaver, b"more\n") == ""
    assert drain(other) == "< The user a:1 left (1 user online)\n"
    assert guests.room.deadlines.first == LINGER


@pytest.mark.parametrize(("data", "reason"), [(b"\x16\x03\x01", "TLS"), (b"GET / HTTP/1.1\r\n\r\n", "HTTP")])
def test_other_protocols_are_ended(data: bytes, reason: str) -> None:
    """A browser or a TLS client says nothing in the room and is told why."""
    guests = Guests()
    stranger, other = guests.join("a:1"), guests.join("b:2")
    drain(stranger)
    assert guests.say(stranger, data).startswith("! this ")
    assert drain(other) == "< The user a:1 left (1 user online)\n"
    assert reason in stranger.reason


def test_finished_members_have_ten_seconds_without_progress() -> None:
    """A finished member that does nothing is given up after ten seconds; each progress gives it ten more."""
    guests = Guests()
    first, second = guests.join("a:1"), guests.join("b:2")
    guests.room.finish(first, 0.0, "left")
    guests.room.finish(second, 1.0, "left")
    guests.room.progress(first, 5.0)
    guests.room.tick(11.0)
    assert (first.gone, second.gone) == (False, True)
    assert guests.room.deadlines.first == 15.0
    guests.room.tick(15.0)
    assert first.gone
    assert guests.room.deadlines.first is None


def test_close_ends_all_without_leave_notices() -> None:
    """At shutdown all are told, nobody's leave is announced, and two seconds are all there is, whatever progress."""
    guests = Guests()
    staying, leaving = guests.join("a:1"), guests.join("b:2")
    guests.room.finish(leaving, 0.0, "left")
    drain(staying)
    guests.room.close(1.0)
    guests.room.progress(staying, 2.0)
    assert drain(staying) == "! server shutting down\n"
    assert guests.room.deadlines.first == 1.0 + GRACE
    guests.room.tick(1.0 + GRACE)
    assert staying.gone
    assert leaving.gone


def test_only_stalled_members_are_cut() -> None:
    """Being far behind is no fault of a member whose link was not tried yet."""
    guests = Guests(max_lag=100)
    talker, slow, stalled = guests.join("a:1"), guests.join("b:2"), guests.join("c:3")
    guests.say(talker, b"x" * 200 + b"\n")
    guests.room.trim([stalled])
    assert (slow.gone, stalled.gone) == (False, True)
    assert stalled.reason == "fell behind"
    assert "x" * 200 in drain(slow)


def test_answers_count_as_lag_at_once() -> None:
    """Answers cut who asks for more of them than the window holds, while the chunk is still being processed."""
    guests = Guests(max_lag=1000)
    asker = guests.join("a:1")
    guests.room.receive(asker, b"/help\n" * 10_000, 0.0)
    assert asker.gone
    assert asker.lag < 2000


def test_unread_answers_make_commands_be_ignored() -> None:
    """Who leaves 64 KiB of answers unread is told, not answered; what it says in between is still said."""
    guests = Guests()
    asker = guests.join("a:1")
    answers = guests.say(asker, b"/\n" * 9_000 + b"said\n").splitlines()
    assert 1_000 < len(answers) < 1_500
    assert answers[-1] == "[You] said"
    assert answers[-2] == "! too many commands at once: read the answers, then ask again"
    assert guests.say(asker, b"/\n").startswith("! no such command")


def test_a_flood_of_commands_cuts_its_sender() -> None:
    """A chunk full of commands ends the link that sent it, for that reason; /quit is always obeyed."""
    guests = Guests()
    flooder, leaver = guests.join("a:1"), guests.join("b:2")
    guests.room.receive(leaver, b"/\n" * 5_000 + b"/quit\n", 0.0)
    assert leaver.finished
    guests.room.receive(flooder, b"/\n" * 20_000, 0.0)
    assert flooder.gone
    assert flooder.reason == "too many commands"
    assert flooder.lag < 128 * 1024
