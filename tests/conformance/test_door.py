"""Who comes in, and what those who are in may cost."""

import re
import sys
import time
from pathlib import Path

import pytest

from chatctl.room.door import MORE
from tests.conformance.conftest import Start
from tests.rooms import PATIENCE, Peer, ThreadRoom

GREETING = "! this room needs a password: send it as your first line"


@pytest.fixture
def locked(tmp_path: Path, start: Start) -> ThreadRoom:
    """A room whose password is known to the first member, who stays in."""
    file = tmp_path / "password"
    file.write_text("열려라 참깨\nnot this line\n")
    return start("-v", "--password-file", str(file), password="열려라 참깨")


def test_without_the_password_one_is_outside(locked: ThreadRoom) -> None:
    """A newcomer is unannounced and deaf until its first line is the password."""
    member = locked.peer()
    stranger = locked.stranger()
    assert stranger.line() == GREETING
    member.say("secret")
    assert member.fence() == ["[You] secret"]
    stranger.say("참깨")
    assert stranger.line() == "! wrong password"
    member.say("/who")
    assert member.fence() == ["! 1 user online", f"! {member.name} (you)"]
    stranger.say("열려라 참깨")
    assert stranger.line() == "> Connected to the chat server (2 users online)"
    assert stranger.fence() == []
    assert member.line() == f"> New user {stranger.name} entered (2 users online)"


def test_what_follows_the_password_is_said(locked: ThreadRoom) -> None:
    """Lines that come in one piece with the password are not lost, and the password is not said."""
    member = locked.peer()
    stranger = locked.stranger()
    stranger.send("열려라 참깨\r\nhello\n")
    assert member.until("hello")[-2:] == [
        f"> New user {stranger.name} entered (2 users online)",
        f"[{stranger.name}] hello",
    ]


def test_three_wrong_passwords(locked: ThreadRoom) -> None:
    """The third wrong try ends the connection; nobody hears of it but the log."""
    member = locked.peer()
    stranger = locked.stranger()
    stranger.say("one", "two", "three", "열려라 참깨")
    assert stranger.rest() == [GREETING] + ["! wrong password"] * 3
    assert member.fence() == []
    assert f"{stranger.name} went: wrong password" in locked.ended()


def test_a_flood_instead_of_a_password(tmp_path: Path, start: Start) -> None:
    """Who sends empty lines without end is ended, not served for a minute."""
    file = tmp_path / "password"
    file.write_text("key\n")
    room = start("--password-file", str(file), "--rate", "10", "--burst", "100", password="key")
    stranger = room.stranger()
    stranger.send(b"\n" * 1000)
    assert stranger.rest() == [GREETING, "! too much: send the password first"]


def test_guesses_are_in_the_log(locked: ThreadRoom) -> None:
    """Who leaves after a wrong try has not just left."""
    with locked.stranger() as guesser:
        guesser.say("1234")
        assert guesser.until("wrong")
        guesser.half_close()
        guesser.rest()
    assert f"{guesser.name} went: wrong password" in locked.ended()


def test_leaving_without_the_password(locked: ThreadRoom) -> None:
    """Who closes its end without having been in is sent an orderly end, unannounced."""
    member = locked.peer()
    stranger = locked.stranger()
    stranger.half_close()
    assert stranger.rest() == [GREETING]
    assert member.fence() == []


def test_a_browser_at_a_locked_door(locked: ThreadRoom) -> None:
    """HTTP is ended at once, before it can guess."""
    stranger = locked.stranger()
    stranger.send(b"GET / HTTP/1.1\r\n\r\n")
    assert stranger.rest() == [GREETING, "! this is a chat server, not a web server"]


def test_those_outside_are_bounded(tmp_path: Path, start: Start) -> None:
    """Without the password one takes no place in the room, but there may not be any number of those who wait."""
    file = tmp_path / "password"
    file.write_text("key\n")
    room = start("--password-file", str(file), "--max-users", "2", password="key")
    outside = [room.stranger() for _ in range(2 + MORE)]
    assert [peer.line() for peer in outside] == [GREETING] * (2 + MORE)
    assert room.stranger().rest() == ["! server full"]
    outside[0].half_close()
    assert outside[0].rest() == []
    assert room.next_in().sock
    inside = outside[1:3]
    for peer in inside:
        peer.say("key")
        peer.until("> Connected")
    outside[3].say("key")
    assert outside[3].rest() == ["! server full"]


def test_those_outside_hear_of_the_end(locked: ThreadRoom) -> None:
    """A shutdown is told to who waits at the door as well."""
    stranger = locked.stranger()
    assert stranger.line() == GREETING
    locked.end()
    assert stranger.rest() == ["! server shutting down"]
    stranger.close()
    assert locked.wait() == 0


def test_max_per_ip(start: Start) -> None:
    """One address gets so many places; when one is free again, the next may have it."""
    room = start("-v", "--max-per-ip", "2")
    first, second = room.peers(2)
    third = room.stranger()
    assert third.rest() == ["! too many connections from your address"]
    second.half_close()
    first.until("left")
    second.rest()
    room.next_in()
    room.stop()
    assert f"{third.name} refused: too many connections from your address" in room.stderr


def test_those_who_linger_take_places_of_their_address(start: Start) -> None:
    """Leaving without closing the connection makes room for no more than as many others of one address again."""
    room = start("--max-per-ip", "2")
    for _ in range(4):
        peer = room.peer()
        peer.say("/quit")
        assert peer.rest()[-1] == "! bye"
    assert room.stranger().rest() == ["! too many connections from your address"]


def test_long_times(start: Start) -> None:
    """Months of idleness, and a debt that takes as long, are no times that the server cannot wait."""
    room = start("--idle-timeout", "1e9", "--rate", "0.0001", "--burst", "3")
    hasty, other = room.peers(2)
    hasty.say(*["x"] * 1000)
    hasty.until("too fast")
    assert [line for line in other.fence() if "left" in line] == []


@pytest.mark.full
def test_who_is_reset_while_it_is_not_read(start: Start) -> None:
    """A member that is over its rate and gone is missed within seconds, though nobody reads it."""
    room = start("--rate", "1", "--burst", "10")
    watcher, hasty = room.peers(2)
    hasty.say(*["x"] * 500)
    hasty.until("too fast")
    watcher.until("x")
    hasty.reset()
    assert watcher.until("left")


@pytest.mark.parametrize(
    "flags",
    [
        ("--deny", "127.0.0.0/8"),
        ("--allow", "::1"),
        ("--allow", "127.0.0.0/8", "--allow", "::1", "--deny", "127.0.0.1"),
        ("--deny", "::ffff:127.0.0.0/104"),
    ],
    ids=["denied", "not allowed", "denied and allowed", "denied as mapped"],
)
def test_deny_and_allow(start: Start, flags: tuple[str, ...]) -> None:
    """Addresses are refused at accept, IPv4 ones on an IPv6 listener as IPv4; with --allow all else is; --deny wins."""
    room = start("-v", *flags, host="::")
    denied = room.stranger(host="127.0.0.1")
    assert denied.rest() == ["! your address is not allowed here"]
    assert room.peer(host="::1").fence() == []
    room.stop()
    assert f"{denied.name} refused: your address is not allowed here" in room.stderr


def test_over_the_rate_one_is_read_once(start: Start) -> None:
    """Who sends too much is read once and then not before its debt is paid, however much waits in its socket."""
    room = start("--rate", "0.01", "--burst", "10")
    hasty, other = room.peers(2)
    with room.held() as server:
        before = server.counters().bytes_in
        data = b"xxxxxxx\n" * 100_000
        hasty.sock.setblocking(False)
        waiting = hasty.sock.send(hasty.layer.send(data) if hasty.layer else data)
    assert waiting > 3 * 65536
    other.until("xxxxxxx")
    other.fence()
    assert 0 < server.counters().bytes_in - before < 65536 + 100


def test_over_the_rate_nothing_is_lost(start: Start) -> None:
    """A paste over the rate is read as fast as the rate is, told once, whole and in order, and delays nobody else."""
    room = start("--rate", "100", "--burst", "200")
    other, paster = room.peers(2)
    alone = time.monotonic()
    for _ in range(150):
        other.fence()
    alone = time.monotonic() - alone
    began = time.monotonic()
    paster.say(*(f"{number} {'x' * 200}" for number in range(250)))
    paster.until(r"^\[You\] \d+ ")
    slowest = 0.0
    heard: list[str] = []
    while not any(line.startswith(f"[{paster.name}] 249 ") for line in heard):
        asked = time.monotonic()
        heard += other.fence()
        slowest = max(slowest, time.monotonic() - asked)
    paster.say("and more", "/who")
    lines = paster.until("^! 2 users")
    assert time.monotonic() - began > 0.4
    assert slowest < 3 * alone
    said = [int(line.split()[1]) for line in heard if line.startswith(f"[{paster.name}]")]
    assert said == list(range(250))
    told = "! too fast: you are read at 100 lines a second from now on, nothing is lost"
    assert lines.count(told) == 1


def test_who_goes_while_it_is_not_read(start: Start) -> None:
    """A member that is over its rate can still be ended, and the server ends well with one."""
    room = start("--rate", "1", "--burst", "10")
    talker, hasty = room.peers(2)
    hasty.say(*["x"] * 200)
    hasty.until("^! too fast")
    talker.fence()
    room.end()
    assert hasty.rest()[-1] == "! server shutting down"
    hasty.close()
    talker.close()
    assert room.wait() == 0


def test_idle_timeout(start: Start) -> None:
    """Who sends nothing for so long is told and ended; who does stays."""
    room = start("-v", "--idle-timeout", "0.6")
    idle, busy = room.peers(2)
    while not any("left" in line for line in busy.fence()):
        pass
    assert idle.rest()[-1] == "! nothing heard of you for 0.6 s: bye"
    logged = room.ended()
    assert f"{idle.name} went: idle" in logged
    assert f"{busy.name} went: idle" not in logged


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows a socket's timers")
def test_dead_peers_are_looked_for(start: Start) -> None:
    """The kernel asks an idle member after a minute whether it is there: keepalive, as /proc/net/tcp shows it."""
    room = start()
    with room.peer() as peer:
        peer.fence()
        deadline = time.monotonic() + PATIENCE
        while (timer := _timer(room.port, peer))[0] != "02" and time.monotonic() < deadline:
            pass  # what was sent last is not acknowledged yet
    assert timer[0] == "02"
    assert 30 < timer[1] <= 60


def _timer(port: int, peer: Peer) -> tuple[str, float]:
    """The kernel's timer of the server's end of a connection: its kind (2 is keepalive) and its seconds."""
    ends = rf"{0x0100007F:08X}:{port:04X} {0x0100007F:08X}:{peer.sock.getsockname()[1]:04X}"
    table = Path("/proc/net/tcp").read_text()
    ((kind, when),) = re.findall(rf"{ends} 01 \S+ (\d\d):([0-9A-F]+)", table)
    return kind, int(when, 16) / 100
