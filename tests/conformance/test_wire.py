"""What members see of the wire, over real sockets."""

import itertools
import re

import pytest

from chatctl import __version__
from tests.conformance.conftest import Launch, Start
from tests.rooms import ThreadRoom


def test_the_three_windows(room: ThreadRoom) -> None:
    """Two who talk and one who listens see the same conversation, each its own lines as [You]."""
    first = room.peer()
    second = room.peer()
    third = room.peer()
    first.say("안녕하세요")
    second.until("안녕하세요")
    second.say("hi")
    for peer in (first, second, third):
        peer.until("hi$")
    second.half_close()
    assert second.rest() == []
    assert first.line() == third.line() == f"< The user {second.name} left (2 users online)"
    console = room.console_until("left \\(2 users")
    assert [line for line in console if line.startswith("[")][-2:] == [
        f"[{first.name}] 안녕하세요",
        f"[{second.name}] hi",
    ]


def test_line_endings_telnet_and_marks(room: ThreadRoom) -> None:
    """LF, CRLF, telnet negotiation and a byte-order mark leave no trace; the server writes LF."""
    listener = room.peer()
    speaker = room.peer()
    speaker.send(b"\xff\xfb\x1f\xff\xfa\x1f\x00\x50\n\x18\xff\xf0\xef\xbb\xbfone\r\ntwo\n\r\n\nthree\r\n")
    speaker.until("three")
    lines = listener.until("three")
    assert lines[-3:] == [f"[{speaker.name}] {text}" for text in ("one", "two", "three")]


def test_telnet_is_asked_for_all_eight_bits(room: ThreadRoom) -> None:
    """Once, when a peer speaks telnet, and nobody else; from then on its Enter is any of telnet's."""
    listener, speaker = room.peers(2)
    speaker.send(b"one\r\n\xff\xfb\x1f")
    speaker.send(b"\xff\xfb\x00two\rthree\r\0four\r\n")
    speaker.until("four")
    assert listener.until("four")[-4:] == [f"[{speaker.name}] {text}" for text in ("one", "two", "three", "four")]
    assert speaker.telnet == [b"\xff\xfd\x00"]
    listener.send(b"\xff\xff \xff\xef\n")  # no telnet
    listener.until("You")
    assert listener.telnet == []


def test_telnet_interrupts_nothing(room: ThreadRoom) -> None:
    """A timing mark is answered, as telnet shows nothing until it is."""
    peer = room.peer()
    peer.send(b"\xff\xf4\xff\xfd\x06")
    peer.fence()
    peer.send(b"\xff\xf4\xff\xfd\x06")
    peer.fence()
    assert peer.telnet == [b"\xff\xfd\x00", b"\xff\xfc\x06", b"\xff\xfc\x06"]


def test_terminal_control_is_visible(room: ThreadRoom) -> None:
    """Escapes, C1, bidi controls and invalid bytes reach nobody as they are; languages and emoji do."""
    listener = room.peer()
    speaker = room.peer()
    speaker.send(b"\x1b]0;pwn\x07\xc2\x9b2J\xe2\x80\xae\xff \xed\x95\n" + "नमस्ते 👩‍👩‍👧\n".encode())
    lines = listener.until("नमस्ते")
    assert lines[-2:] == [f"[{speaker.name}] ␛]0;pwn␇\ufffd2J\ufffd\ufffd \ufffd", f"[{speaker.name}] नमस्ते 👩‍👩‍👧"]


def test_text_cannot_pass_for_anything_else(room: ThreadRoom) -> None:
    """What looks like a notice or another's words stands behind its sender's name."""
    listener, speaker = room.peers(2)
    forged = ["> New user 1.2.3.4:5 entered (9 users online)", "[127.0.0.1:1] hi", "! server shutting down"]
    speaker.say(*forged)
    assert [listener.line() for _ in forged] == [f"[{speaker.name}] {line}" for line in forged]


def test_commands_are_answered_to_one(room: ThreadRoom) -> None:
    """Commands are for their sender alone; //x says /x; a reserved word is answered, not relayed."""
    listener, asker = room.peers(2)
    asker.say("/help", "/who", "/nickname me", "//nick me")
    lines = asker.until(r"^\[You\]")
    assert lines[0] == f"! chatctl {__version__}"
    assert "! 2 users online" in lines
    assert {f"! {listener.name}", f"! {asker.name} (you)"} <= set(lines)
    assert all(line.startswith("! ") for line in lines[:-1])
    assert listener.line() == f"[{asker.name}] /nick me"
    assert listener.fence() == []


@pytest.mark.parametrize("size", [4096, 4097])
def test_longest_line(room: ThreadRoom, size: int) -> None:
    """4,096 bytes pass, one more does not; the sender is told and stays."""
    listener, speaker = room.peers(2)
    speaker.say("x" * size, "after")
    lines = speaker.until("after")
    if size == 4096:
        assert lines == [f"[You] {'x' * 4096}", "[You] after"]
    else:
        assert lines == ["! line too long, not sent: it may have 4096 bytes", "[You] after"]
    assert listener.until("after")[-1] == f"[{speaker.name}] after"


def test_max_line(start: Start) -> None:
    """--max-line moves the limit."""
    peer = start("--max-line", "64").peer()
    peer.say("x" * 64, "x" * 65)
    assert peer.until("^!") == [f"[You] {'x' * 64}", "! line too long, not sent: it may have 64 bytes"]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nHost: room\r\n\r\n",
        b"POST /x HTTP/1.1\r\n\r\nI was made to say this\r\n",
        b"GET /" + b"x" * 50_000 + b" HTTP/1.1\r\n\r\nor this\r\n",
    ],
    ids=["tls", "get", "post", "long"],
)
def test_other_protocols_are_ended(room: ThreadRoom, request_bytes: bytes) -> None:
    """A TLS client or a browser is told so and ended; nothing of it is said in the room."""
    listener = room.peer()
    stranger = room.peer()
    stranger.send(request_bytes)
    assert stranger.line().startswith("! this ")
    assert stranger.rest() == []
    lines = listener.until("left")
    assert lines[-1] == f"< The user {stranger.name} left (1 user online)"
    assert not any(line.startswith("[") for line in lines)


def test_quit(room: ThreadRoom) -> None:
    """After /quit the leaver gets its answer and an orderly end, and what it still sends is thrown away."""
    listener, leaver = room.peers(2)
    leaver.say("/quit", "ignored")
    assert leaver.rest() == ["! bye"]
    leaver.send(b"also ignored\n" * 1000)
    leaver.close()
    assert listener.until("left") == [f"< The user {leaver.name} left (1 user online)"]
    assert listener.fence() == []


def test_half_close_gets_all_that_is_owed(room: ThreadRoom) -> None:
    """Who half-closes while megabytes are owed to it gets them all, then the end."""
    talker, leaver = room.peers(2)
    text = "x" * 1000
    for number in range(3_000):
        talker.say(f"{number} {text}")
        talker.until(rf"^\[You\] {number} ")
    leaver.half_close()
    talker.until("left")
    numbers = [int(line.split()[1]) for line in leaver.rest()]
    assert numbers == list(range(3_000))


def test_ipv6(start: Start) -> None:
    """On IPv6 a member is called [::1]:port."""
    room = start(host="::1")
    first, second = room.peers(2)
    second.say("hi")
    assert re.fullmatch(r"\[::1\]:\d+", second.name)
    assert first.line() == f"[{second.name}] hi"


def test_ipv4_on_an_ipv6_listener(start: Start) -> None:
    """An IPv4 member of a room on :: is called by its IPv4 address."""
    room = start(host="::")
    peer = room.peer(host="127.0.0.1")
    peer.say("/who")
    assert f"! {peer.name} (you)" in peer.until("you")


def test_a_host_name_is_served(start: Start) -> None:
    """A host name binds the addresses it has."""
    room = start(host="localhost")
    assert room.peer(host="127.0.0.1").fence() == []


def test_console_that_nobody_reads_stalls_nothing(launch: Launch) -> None:
    """While stdout is not read the room goes on; once it is, the console says how many lines it skipped."""
    room = launch("--max-lag", "65536", read_console=False)
    talker = room.peer()
    for number in range(3_000):
        talker.say(f"{number} {'x' * 1000}")
        talker.until(rf"^\[You\] {number} ")
    output = room.process.stdout
    assert output
    lines = (line.decode().rstrip("\n") for line in output)
    before = list(itertools.takewhile(lambda line: not line.startswith("! "), lines))
    shown = [int(line.split()[1]) for line in before if line.startswith(f"[{talker.name}]")]
    assert shown == list(range(len(shown)))
    talker.say("the last")
    after = [*itertools.takewhile(lambda line: not line.endswith("the last"), lines)]
    assert all(
        re.fullmatch(rf"\[{re.escape(talker.name)}\] \d+ x{{1000}}|! \d+ lines skipped.*", line) for line in after
    )
    assert len(shown) < 3_000


def test_console_that_is_closed_ends_only_itself(launch: Launch) -> None:
    """When the reader of stdout goes away, the room stays."""
    room = launch(read_console=False)
    assert room.process.stdout
    talker = room.peer()
    room.process.stdout.close()
    for _ in range(20):
        talker.fence()


def test_slow_links_do_not_lose_a_byte(room: ThreadRoom) -> None:
    """A member with a tiny buffer that reads slowly, but reads, gets every byte in order."""
    talker = room.peer()
    slow = room.peer(receive_buffer=2048)
    talker.fence()
    text = "x" * 1000
    for number in range(4_000):
        talker.say(f"{number} {text}")
        talker.until(rf"^\[You\] {number} ")
    numbers = [int(line.split()[1]) for line in slow.until(r"\] 3999 ") if "x" in line]
    assert numbers == list(range(4_000))


def test_unix_clients_by_half_close_only(room: ThreadRoom) -> None:
    """A connection that says nothing and closes both ends is a visit like another."""
    watcher = room.peer()
    with room.stranger() as silent:
        silent.half_close()
    lines = watcher.until("left")
    assert [line[0] for line in lines] == [">", "<"]


def test_the_reason_is_in_the_log(start: Start) -> None:
    """With -v stderr says who went and why."""
    room = start("-v", "--max-users", "3")
    watcher, leaver, resetter = room.peers(3)
    with room.stranger() as refused:
        refused.rest()
    leaver.half_close()
    watcher.until("left")
    leaver.rest()
    resetter.reset()
    watcher.until("left")
    logged = room.ended()
    for peer, reason in ((leaver, "went: left"), (resetter, "went: reset"), (refused, "refused: server full")):
        assert f"{peer.name} {reason}" in logged
