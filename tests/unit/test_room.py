"""The room's policy: commands, refusals, endings."""

from types import SimpleNamespace
from typing import Any

import pytest

from chatctl import __version__
from chatctl.room.door import Door
from chatctl.room.endings import LINGER, SHUTDOWN
from chatctl.room.entrance import HANDSHAKE, SPEAKS_TLS
from chatctl.room.limits import Limits
from chatctl.room.programs import PASSWORD
from chatctl.room.room import GLANCE, Room
from chatctl.room.stages import FINISHED, GONE, INSIDE, OUTSIDE, Member, Stage
from chatctl.server.operation import Operator
from chatctl.server.terminal import Terminal
from chatctl.wire import Address
from chatctl.wire.words import TOO_MANY


class Guests:
    """A room without sockets."""

    def __init__(self, *, password: bytes | None = None, certified: bool = False, **limits: Any) -> None:
        self.room: Room[Member] = Room(
            Limits(**({"rate": 0, "greet_delay": 0} | limits)), password=password, certified=certified
        )

    def arrive(self, address: str) -> Member:
        host, _, port = address.rpartition(":")
        member = Member(self.room.ledger.log("text"), Address(host.strip("[]"), int(port)))
        self.room.arrive(member)
        return member

    def join(self, address: str) -> Member:
        member = self.arrive(address)
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


@pytest.mark.parametrize("command", [b"/x", b"/nickname me", b"/whoever", b"/x a/b"])
def test_other_commands_are_reserved(command: bytes) -> None:
    """What looks like a command is never relayed."""
    guests = Guests()
    asker, other = guests.join("a:1"), guests.join("b:2")
    drain(asker)
    assert guests.say(asker, command + b"\n").startswith("! no such command: /")
    assert drain(other) == ""


def test_code_is_said() -> None:
    """Paths and comments are no commands, whoever sends them."""
    guests = Guests()
    speaker, other = guests.join("a:1"), guests.join("b:2")
    drain(speaker)
    assert guests.say(speaker, b"/* x */\n/etc/passwd\n/\n") == "[You] /* x */\n[You] /etc/passwd\n[You] /\n"
    assert drain(other).endswith("[a:1] /* x */\n[a:1] /etc/passwd\n[a:1] /\n")


def test_double_slash_says_one() -> None:
    """``//x`` is how to say ``/x``."""
    guests = Guests()
    speaker, other = guests.join("a:1"), guests.join("b:2")
    drain(speaker)
    assert guests.say(speaker, b"//x\n") == "[You] /x\n"
    assert drain(other) == "[a:1] /x\n"


def test_an_answer_has_its_asker_visited_alone() -> None:
    """What concerns one member alone makes the backend visit that one, and nobody else."""
    guests = Guests()
    asker, _ = guests.join("a:1"), guests.join("b:2")
    guests.room.moved()
    guests.room.touched()
    assert guests.room.quiet
    guests.say(asker, b"/who\n")
    assert not guests.room.quiet
    assert list(guests.room.moved()) == []
    assert list(guests.room.touched()) == [asker]
    assert guests.room.quiet


def test_answers_stand_in_order_among_lines() -> None:
    """What is asked between two lines is answered between their echoes."""
    guests = Guests(max_line=10)
    speaker = guests.join("a:1")
    said = guests.say(speaker, b"one\n/x\n01234567890\ntwo\n")
    assert [line.split()[0] for line in said.splitlines()] == ["[You]", "!", "!", "[You]"]


def test_a_name_said_before_the_password_is_no_certificates() -> None:
    """Where certificates name the members, nobody is called otherwise: not who says a name first, either."""
    guests = Guests(password=b"open", certified=True)
    guest = guests.arrive("a:1")
    guests.room.join(guest, 0.0)
    guests.say(guest, b"/nick mallory\nopen\n")
    assert guests.say(guest, b"/nick\n") == "! you are a:1: /nick NAME gives you a name\n"


def test_quit_ends_in_good_order() -> None:
    """``/quit`` is answered, announced, and nothing after it counts."""
    guests = Guests()
    leaver, other = guests.join("a:1"), guests.join("b:2")
    drain(leaver)
    assert guests.say(leaver, b"/quit\nlost\n") == "! bye\n"
    assert guests.say(leaver, b"more\n") == ""
    assert guests.room.received == len(b"/quit\nlost\n")
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
    assert (first.stage, second.stage) == (FINISHED, GONE)
    assert guests.room.deadlines.first == 15.0
    guests.room.tick(15.0)
    assert first.stage is GONE
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
    assert guests.room.deadlines.first == 1.0 + SHUTDOWN
    guests.room.tick(1.0 + SHUTDOWN)
    assert staying.stage is GONE
    assert leaving.stage is GONE


def test_only_stalled_members_are_cut() -> None:
    """Being far behind is no fault of a member whose link was not tried yet."""
    guests = Guests(max_lag=100)
    talker, slow, stalled = guests.join("a:1"), guests.join("b:2"), guests.join("c:3")
    guests.say(talker, b"x" * 200 + b"\n")
    guests.room.trim([stalled])
    assert (slow.stage, stalled.stage) == (INSIDE, GONE)
    assert stalled.reason == "fell behind"
    assert "x" * 200 in drain(slow)


def test_the_log_keeps_its_window_and_what_came_since_the_last_visit() -> None:
    """Nothing that a member was not visited for is forgotten; after a visit the log is no longer than the window."""
    guests = Guests(max_lag=1000)
    talker, other = guests.join("a:1"), guests.join("b:2")
    drain(talker)
    guests.room.moved()
    log = guests.room.ledger.logs["text"]
    visited = log.tip
    for _ in range(100):
        guests.say(talker, b"x" * 100 + b"\n")
    guests.room.trim([])
    assert log.start <= visited
    assert drain(other) == f"[a:1] {'x' * 100}\n" * 100
    guests.room.moved()
    guests.room.trim([])
    assert log.tip - 1000 - 2048 < log.start <= log.tip - 1000  # as far as whole entries go


def test_answers_count_as_lag_at_once() -> None:
    """Answers cut who asks for more of them than the window holds, while the chunk is still being processed."""
    guests = Guests(max_lag=1000)
    asker = guests.join("a:1")
    guests.room.receive(asker, b"/help\n" * 10_000, 0.0)
    assert asker.stage is GONE
    assert asker.lag < 2000


def test_unread_answers_make_commands_be_ignored() -> None:
    """Who leaves 64 KiB of answers unread is told, not answered; what it says in between is still said."""
    guests = Guests()
    asker = guests.join("a:1")
    answers = guests.say(asker, b"/x\n" * 9_000 + b"said\n").splitlines()
    assert 1_000 < len(answers) < 1_500
    assert answers[-1] == "[You] said"
    assert answers[-2] == "! too many commands at once: read the answers, then ask again"
    assert guests.say(asker, b"/x\n").startswith("! no such command")


def test_unread_negotiation_is_bounded() -> None:
    """Who asks telnet's questions, and reads no answer, is not answered for ever."""
    guests = Guests()
    asker = guests.join("a:1")
    for _ in range(40_000):
        guests.room.receive(asker, b"\xff\xfd\x06", 0.0)
    assert asker.lag < 70_000


def test_a_flood_of_commands_cuts_its_sender() -> None:
    """A chunk full of commands ends the link that sent it, for that reason; /quit is always obeyed."""
    guests = Guests()
    flooder, leaver = guests.join("a:1"), guests.join("b:2")
    guests.room.receive(leaver, b"/x\n" * 5_000 + b"/quit\n", 0.0)
    assert leaver.stage is FINISHED
    guests.room.receive(flooder, b"/x\n" * 20_000, 0.0)
    assert flooder.stage is GONE
    assert flooder.reason == "too many commands"
    assert flooder.lag < 128 * 1024


def test_a_handshake_has_ten_seconds() -> None:
    """Who knocks and does not come in is told what the room speaks, and ended; it was never announced."""
    guests = Guests()
    member = guests.join("a:1")
    knocking = guests.arrive("b:2")
    guests.room.knock(knocking, 1.0)
    assert guests.room.deadlines.first == 1.0 + HANDSHAKE
    guests.room.tick(1.0 + HANDSHAKE)
    assert drain(knocking) == f"! {SPEAKS_TLS}\n"
    assert knocking.stage is FINISHED
    assert guests.room.cut == {"no TLS handshake within 10 s": 1}
    guests.room.join(knocking, 12.0)  # the handshake was done too late
    assert drain(member) == ""
    assert drain(knocking) == ""


def test_a_password_has_a_minute() -> None:
    """Who does not send the password is told and ended, however long its handshake took."""
    guests = Guests(password=b"key")
    waiting = guests.arrive("a:1")
    guests.room.knock(waiting, 0.0)
    guests.room.join(waiting, 5.0)
    guests.room.tick(5.0 + PASSWORD - 0.1)
    assert waiting.stage is not FINISHED
    guests.room.tick(5.0 + PASSWORD)
    assert drain(waiting).splitlines()[-1] == "! no password within 60 s"
    assert waiting.stage is FINISHED
    assert guests.room.cut == {"no password": 1}


def test_a_deadline_ends_with_its_stage() -> None:
    """Who has given the password is not asked for it any more, and who has gone is waited for by nobody."""
    guests = Guests(password=b"key")
    member = guests.join("a:1")
    guests.say(member, b"key\n")
    assert guests.room.deadlines.first is None
    guests.room.tick(PASSWORD)
    assert member.stage is INSIDE
    guests.room.finish(member, PASSWORD, "left")
    guests.room.leave(member, 0.0, "left")
    assert guests.room.deadlines.first is None


def test_three_passwords_may_be_tried() -> None:
    """The third wrong one is the last; what follows the right one is said."""
    guests = Guests(password=b"key")
    guesser, knowing = guests.join("a:1"), guests.join("b:2")
    assert guests.say(guesser, b"one\ntwo\n") == "! wrong password\n" * 2
    assert guesser.stage is OUTSIDE
    assert guests.say(guesser, b"three\nkey\n") == "! wrong password\n"
    assert guesser.stage is FINISHED
    assert guests.say(knowing, b"one\nkey\nhello\n").splitlines() == [
        "! wrong password",
        "> Connected to the chat server (1 user online)",
        "[You] hello",
    ]


def test_places_are_counted_by_address() -> None:
    """Whoever is inside or outside counts for its address, whoever has finished does not."""
    guests = Guests()
    first = guests.join("192.0.2.7:1")
    guests.join("192.0.2.7:2")
    guests.join("[2001:db8::1]:3")
    knocking = guests.arrive("192.0.2.7:4")
    guests.room.knock(knocking, 0.0)
    guests.room.finish(first, 0.0, "left")
    assert guests.room.links_from("192.0.2.7") == 3  # it has not closed its end
    assert guests.room.links_from("2001:db8::1") == 1
    assert guests.room.ledger.hosts == {"192.0.2.7": 1, "2001:db8::1": 1}
    guests.room.leave(first, 0.0, "left")
    guests.room.leave(knocking, 0.0, "reset")
    assert guests.room.links_from("192.0.2.7") == 1


def test_an_address_has_its_places_back() -> None:
    """Whoever leaves gives the place of its address back: after a thousand visits the next may come in, as ever."""
    guests = Guests(max_users=10, max_per_ip=5)
    host = "192.0.2.7"
    for port in range(1_000):
        member = guests.join(f"{host}:{port}")
        assert member.stage is INSIDE
        guests.room.leave(member, 0.0, "left")
    five = [guests.join(f"{host}:{port}") for port in range(5)]
    sixth = guests.arrive(f"{host}:6")
    guests.room.join(sixth, 0.0)
    assert (sixth.stage, drain(sixth)) == (FINISHED, f"! {TOO_MANY}\n")
    for member in [*five, sixth]:
        guests.room.finish(member, 0.0, "left")
        guests.room.leave(member, 0.0, "left")
    assert (
        guests.room.ledger.hosts == guests.room._hosts == {}
    )  # and nothing is kept of an address that is no longer there


def test_a_ban_ends_nobody_from_elsewhere() -> None:
    """Who comes from outside the network stays, and so does everybody's count of places; who comes from it goes."""
    guests = Guests()
    server = SimpleNamespace(room=guests.room, door=Door(max_users=10), store=None)
    operator = Operator(server, lambda: tuple, print, Terminal())  # type: ignore[arg-type]  # all that a ban looks at
    inside = [guests.join(f"192.0.2.7:{port}") for port in range(3)]
    guests.say(inside[0], b"/nick alice\n")
    assert operator.ban("203.0.113.1") == ["203.0.113.1 banned, 0 ended"]
    guests.room.leave(guests.join("198.51.100.1:1"), 0.0, "left")
    assert operator.ban("198.51.100.0/24") == ["198.51.100.0/24 banned, 0 ended"]
    assert guests.room.at(INSIDE) == inside
    assert operator.ban("192.0.2.0/24") == ["192.0.2.0/24 banned, 3 ended"]
    assert guests.room.at(FINISHED) == inside


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("192.0.2.7:1", "192.0.2.7"),
        ("[2001:db8::7]:1", "2001:db8::7"),
        ("[fe80::7%eth0]:1", "fe80::7"),
        ("alice", "192.0.2.9"),
        ("192.0.2.9:1", "192.0.2.9"),
    ],
)
def test_a_ban_by_name(name: str, address: str) -> None:
    """A member's name bans its address, listed by /bans, until /unban; also when the member has gone, with a reason."""
    guests = Guests()
    server = SimpleNamespace(room=guests.room, door=Door(max_users=10), store=None)
    operator = Operator(server, lambda: tuple, print, Terminal())  # type: ignore[arg-type]  # all that a ban looks at
    member = guests.join(name if name.endswith("7:1") or name[0] == "[" else "192.0.2.9:1")
    if address == "192.0.2.9":
        guests.say(member, b"/nick alice\n")
    called = "alice" if address == "192.0.2.9" else name
    other = guests.join("198.51.100.1:1")
    assert operator.bans("") == ["nobody is banned"]
    assert operator.ban(name) == [f"{address} banned, 1 ended"]
    assert (guests.room.at(FINISHED), guests.room.at(INSIDE)) == ([member], [other])
    guests.room.leave(member, 0.0, "left")
    assert operator.ban(f"{name} too loud") == [f"{address} banned, 0 ended"]
    assert operator.ban("nobody")[0].startswith("'nobody' does not appear to be an IPv4 or IPv6 network: /ban NAME")
    assert operator.bans("") == [f"{address} ({called})"]
    assert operator.unban("nobody") == ["'nobody' is not banned: /bans lists what is"]
    assert operator.unban(called) == [f"{address} may come in again"]
    assert operator.ban(address) == [f"{address} banned, 0 ended"]
    assert operator.unban(address) == [f"{address} may come in again"]
    assert operator.unban(address) == [f"{address!r} is not banned: /bans lists what is"]
    operator.ban(address)
    assert operator.unban(name) == [f"{address} may come in again"]
    assert operator.bans("") == ["nobody is banned"]


def test_who_is_heard_of_is_not_idle() -> None:
    """The idle time begins anew with whatever is sent."""
    guests = Guests(idle_timeout=10)
    member = guests.join("a:1")
    guests.room.receive(member, b"/who\n", 9.0)
    guests.room.tick(10.0)
    guests.room.tick(18.9)
    assert member.stage is not FINISHED
    guests.room.tick(19.0)
    assert drain(member).splitlines()[-1] == "! nothing heard of you for 10 s: bye"


def test_over_the_rate_one_is_paused() -> None:
    """What was read is said whole; then the member is not to be read until its debt is paid; it is told once."""
    guests = Guests(rate=10, burst=5)
    hasty = guests.join("a:1")
    said = guests.say(hasty, b"x\n" * 25).splitlines()
    assert said[:25] == ["[You] x"] * 25
    assert said[25:] == ["! too fast: you are read at 10 lines a second from now on, nothing is lost"]
    assert hasty.paused
    guests.room.tick(1.99)
    assert hasty.paused
    guests.room.tick(2.0)
    assert not hasty.paused
    guests.room.receive(hasty, b"y\n" * 5, 2.0)
    assert hasty.paused
    assert drain(hasty) == "[You] y\n" * 5


def test_an_end_lifts_a_pause_and_is_named() -> None:
    """Who is ended while it is paused is read on, until it closes, and is visited at each step of its end."""
    guests = Guests(rate=10, burst=5)
    hasty = guests.join("a:1")
    guests.say(hasty, b"x\n" * 25)
    guests.room.touched()
    guests.room.finish(hasty, 0.0, "left")
    assert not hasty.paused
    assert hasty in guests.room.touched()
    guests.room.leave(hasty, 0.0, "left")
    assert hasty in guests.room.touched()
    assert guests.room.quiet is False  # the leave was said to all
    guests.room.moved()
    assert guests.room.quiet


def test_a_long_pause_is_looked_at() -> None:
    """A member that is not read for minutes is visited every few seconds: it may have gone."""
    guests = Guests(rate=1, burst=1)
    hasty = guests.join("a:1")
    guests.say(hasty, b"x\n" * 100)
    guests.room.touched()
    guests.room.tick(GLANCE - 0.1)
    assert hasty not in guests.room.touched()
    guests.room.tick(GLANCE)
    assert hasty in guests.room.touched()
    assert hasty.paused
    guests.room.tick(98.9)
    assert hasty.paused
    guests.room.tick(99.0)
    assert not hasty.paused


def test_endings_outside() -> None:
    """Who leaves from outside is counted apart from members, and apart from guesses."""
    guests = Guests(password=b"key")
    for name, said in (("a:1", b""), ("b:2", b"guess\n")):
        stranger = guests.join(name)
        guests.room.receive(stranger, said or b"\n", 0.0)
        guests.room.receive(stranger, b"", 0.0)
    assert guests.room.left == {"left without coming in": 1}
    assert guests.room.cut == {"wrong password": 1}


def test_stages_follow_one_another_by_the_table() -> None:
    """A member never goes back, and one that is gone stays gone."""
    guests = Guests(password=b"key")
    member = guests.join("a:1")
    assert guests.room.at(OUTSIDE) == [member]
    guests.say(member, b"key\n")
    assert guests.room.at(INSIDE) == [member]
    with pytest.raises(AssertionError, match=r"INSIDE is not followed by .*OUTSIDE"):
        guests.room._move(member, OUTSIDE)
    guests.room.finish(member, 0.0, "left")
    assert guests.room.at(FINISHED) == [member]
    guests.room.leave(member, 0.0, "left")
    guests.room.finish(member, 0.0, "left")
    assert (member.stage, guests.room.at(*[stage for stage in Stage if stage is not GONE])) == (GONE, [])


def test_a_shutdown_ends_those_outside_too() -> None:
    """Who shakes hands or is asked for the password when the room closes is told, finished, and given up in time."""
    guests = Guests(password=b"key")
    asked, knocking = guests.join("a:1"), guests.arrive("b:2")
    guests.room.knock(knocking, 0.0)
    guests.room.close(1.0)
    assert guests.room.at(FINISHED) == [knocking, asked]
    assert guests.room.waiting == 0
    assert drain(asked) == drain(knocking) == "! server shutting down\n"
    guests.room.tick(1.0 + SHUTDOWN)
    assert (asked.stage, knocking.stage) == (GONE, GONE)
