"""The client on a terminal, as a person at it sees it."""

import itertools
import os
import re
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chatctl.display import PALETTE
from tests.e2e.screen import ASKED, WELCOME, Far, Place, Screen
from tests.rooms import COMMAND, PATIENCE, Room, environment

PROMPT = "[3 users online] >"

LEFT, RIGHT, UP, DELETE, BACKSPACE = "\x1b[D", "\x1b[C", "\x1b[A", "\x1b[3~", "\x7f"
ALONE = "👩‍💻"


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Callable[..., Screen]]:
    """Start a client on a terminal."""
    screens: list[Screen] = []

    def start(port: int, *arguments: str, **options: Any) -> Screen:
        screens.append(Screen("client", "127.0.0.1", str(port), *arguments, **({"home": tmp_path} | options)))
        return screens[-1]

    yield start
    for started in screens:
        started.close()


@pytest.fixture
def inside(place: Place, screen: Callable[..., Screen]) -> tuple[Screen, Far]:
    """A client that has been welcomed, without timestamps."""
    client = screen(place.port, "--no-timestamps")
    far = place.accept()
    client.until_text(PROMPT)
    return client, far


def test_the_typed_line_is_never_touched(inside: tuple[Screen, Far]) -> None:
    """Hundreds of lines come in while a line is typed: each is whole and in order, and the line is as it was."""
    client, far = inside
    client.type("half 한글" + LEFT)
    client.until_row("half 한글")
    for start in range(0, 300, 10):
        far.tell(*(f"[a:1] number {number}" for number in range(start, start + 10)))
    client.until_text("number 299")
    client.until_row("half 한글")
    assert client.emulated.cursor.x == len(PROMPT) + 1 + len("half ") + 2
    history = ["".join(row[x].data for x in range(80)).rstrip() for row in client.emulated.history.top]
    shown = [row for row in (*history, *client.rows) if row]
    assert [row for row in shown if "number" in row] == [f"[a:1] number {number}" for number in range(300)]
    assert [row for row in shown if "half" in row] == [f"{PROMPT} half 한글"]


def test_editing_wide_characters(inside: tuple[Screen, Far]) -> None:
    """Keys move and delete by characters, whatever their width; what is sent is what is shown."""
    client, far = inside
    client.type("한국어 테스트" + LEFT * 2 + BACKSPACE + "X")
    client.until_row("한국어 X스트")
    assert client.emulated.cursor.x == len(PROMPT) + 1 + len("한국어 ") + 3 + 1
    client.type("\r")
    assert far.hear() == "한국어 X스트"
    client.until_row("")


@pytest.mark.parametrize(
    ("typed", "shown", "said"),
    [
        (f"{ALONE}x", "👩+💻x", f"{ALONE}x"),
        (f"a{ALONE}{BACKSPACE}b", "ab", "ab"),
        (f"a{ALONE}{LEFT}b", "ab👩+💻", f"ab{ALONE}"),
        (f"{ALONE}\x01{DELETE}x", "x", "x"),
        (f"{ALONE}\x01{RIGHT}x", "👩+💻x", f"{ALONE}x"),
        ("🇰🇷🇫🇷" + BACKSPACE, "KR", "🇰🇷"),
        ("👋🏽" + LEFT + "x", "x👋*", "x👋🏽"),
        ("❤️" + BACKSPACE + "x", "x", "x"),
        ("e\u0301e" + LEFT * 2 + "x", "xée", "xée"),
        ("한" + BACKSPACE + "x", "x", "x"),
    ],
)
def test_editing_by_grapheme(inside: tuple[Screen, Far], typed: str, shown: str, said: str) -> None:
    """What a person sees as one character is one for the keys; it is sent as it was typed, composed (NFC)."""
    client, far = inside
    client.type(typed)
    client.until_row(shown)
    client.type("\r")
    assert far.hear() == said


def test_composed_on_sending(inside: tuple[Screen, Far]) -> None:
    """Decomposed Hangul is sent composed."""
    client, far = inside
    client.type("\u1112\u1161\u11ab\r")
    assert far.hear() == "한"


def test_colors_tell_names_apart(place: Place, screen: Callable[..., Screen]) -> None:
    """A name has one of the palette's colours, the same in every run; what is said has none."""
    colors = []
    for _ in range(2):
        client = screen(place.port, "--no-timestamps")
        far = place.accept()
        client.until_text(PROMPT)
        far.tell("[alice:1] hello")
        client.until_text("[alice:1] hello")
        y = next(y for y, row in enumerate(client.emulated.display) if row.startswith("[alice:1]"))
        row = client.emulated.buffer[y]
        colors.append(row[1].fg)
        assert row[10].fg == "default"
    assert colors[0] == colors[1] != "default"
    assert len(set(PALETTE)) == 12


@pytest.mark.parametrize(("options", "more"), [((), {"NO_COLOR": "1"}), (("--color", "never"), {})])
def test_no_colors(place: Place, screen: Callable[..., Screen], options: tuple[str, ...], more: dict[str, str]) -> None:
    """NO_COLOR and ``--color never`` leave no colour and no bold anywhere."""
    client = screen(place.port, *options, **more)
    place.accept().tell("[alice:1] hello", "[You] hi", "! answer", "> New user bob:1 entered (4 users online)")
    client.until_text("entered")
    assert not re.search(rb"\x1b\[[0-9;]*[1-9][0-9;]*m", bytes(client.raw))


def test_the_terminal_is_left_as_it_was(inside: tuple[Screen, Far]) -> None:
    """No other screen, no mouse, no questions to the terminal; at the end its modes are those of the beginning."""
    client, _ = inside
    assert client.modes != client.before
    client.type("\x04")
    assert client.end() == 0
    for taken in (b"?1049h", b"?47h", b"[6n", b"?1000h"):
        assert taken not in client.raw
    assert client.raw.rfind(b"?2004l") > client.raw.rfind(b"?2004h") > 0
    assert client.raw.rfind(b"?25l") <= client.raw.rfind(b"?25h")
    assert client.modes == client.before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_restore_the_terminal(inside: tuple[Screen, Far], number: int) -> None:
    """A client that is ended by a signal puts the terminal back first."""
    client, _ = inside
    client.process.kill(number)
    assert client.end() == -number
    assert client.modes == client.before
    assert client.raw.rfind(b"?2004l") > client.raw.rfind(b"?2004h") > 0


def test_nothing_from_the_network_is_obeyed(inside: tuple[Screen, Far]) -> None:
    """Clearing the screen, setting the title, ringing: made visible, not done."""
    client, far = inside
    far.tell("[a:1] before", "[a:1] \x1b[2J\x1b]0;pwn\x07 after")
    client.until_text("after")
    assert "[a:1] before" in client.rows
    assert "[a:1] ␛[2J␛]0;pwn␇ after" in client.rows
    assert client.emulated.title == ""
    assert b"\x07" not in client.raw


def test_coming_back(place: Place, screen: Callable[..., Screen]) -> None:
    """A lost connection is said and made again; what was being typed stays, and is sent once."""
    client = screen(place.port)
    far = place.accept()
    client.until_text(PROMPT)
    client.type("keep me")
    client.until_row("keep me")
    place.shut()
    far.close()
    client.until_text("-- the server went away")
    client.until_text("[offline, again in")
    client.type("\r")
    client.until_text("not connected: the line stays where it is")
    client.until_row("keep me")
    place.open()
    far = place.accept()
    client.until_text(PROMPT)
    client.until_row("keep me")
    client.type("\r")
    assert far.hear() == "keep me"
    client.until_row("")
    client.type("\x04")
    assert far.hear() == ""


def _seconds(screen: Screen) -> int:
    """How long it is until the next attempt, which each makes longer; 0: there is none to wait for."""
    found = re.search(r"again in (\d+) s", screen.rows[-1])
    return int(found[1]) if found else 0


def test_enter_comes_back_at_once(inside: tuple[Screen, Far], place: Place) -> None:
    """On an empty line, while offline, it connects, however long there was to wait."""
    client, far = inside
    place.shut()
    far.close()
    client.until_text("[offline, again in")
    while (seconds := _seconds(client)) < 10:  # a longer wait shows that the attempt has failed
        client.type("\r")
        client.until(lambda screen, seconds=seconds: _seconds(screen) > seconds)  # type: ignore[misc]
    begun = time.monotonic()
    place.open()
    client.type("\r")
    place.accept()
    assert time.monotonic() - begun < 5
    client.until_text(PROMPT)


def test_maybe_not_sent(inside: tuple[Screen, Far], place: Place) -> None:
    """What did not come back before the connection broke is named, and not sent again."""
    client, far = inside
    client.type("came back\rgone\r")
    assert [far.hear(), far.hear()] == ["came back", "gone"]
    far.tell("[You] came back")
    far.close()
    client.until_text("-- maybe not sent: gone")
    assert not any("maybe not sent: came back" in row for row in client.rows)
    far = place.accept()
    client.until_text(PROMPT)
    client.type("next\r")
    assert far.hear() == "next"


def test_a_server_that_is_not_there(place: Place, screen: Callable[..., Screen]) -> None:
    """Who was never inside is told why, and ends with 1; nobody is kept waiting for a room that was mistyped."""
    place.shut()
    client = screen(place.port)
    assert client.end() == 1
    assert "Connection refused: is the server running?" in "".join(client.rows)


def test_waiting_for_a_server(place: Place, screen: Callable[..., Screen]) -> None:
    """Who wants to wait for one is told so, and is let in when it is there; what was typed meanwhile stays."""
    place.shut()
    client = screen(place.port, "--wait")
    client.until_text("server running?")
    client.until_text("[offline, again in")
    client.type("keep me")
    client.until_text("] > keep me")
    place.open()
    place.accept()
    client.until_text(f"{PROMPT} keep me")


def test_a_server_that_hangs(inside: tuple[Screen, Far]) -> None:
    """A line that does not come back for a second is counted in the prompt, until it does."""
    client, far = inside
    client.type("hello?\r")
    assert far.hear() == "hello?"
    client.until_text("[3 users online, 1 unsent] >")
    far.tell("[You] hello?")
    client.until_text(PROMPT)


def test_plain_text_to_a_room_with_tls(place: Place, screen: Callable[..., Screen]) -> None:
    """There is a hint when a server says nothing for two seconds."""
    client = screen(place.port)
    place.accept("")
    client.until_text("the server says nothing yet: does the room speak TLS")


def test_a_line_that_is_too_long(room: Room, screen: Callable[..., Screen]) -> None:
    """It comes back into the prompt, whole; the note says how long it is, and can be seen above it."""
    watcher = room.peer()
    client = screen(room.port, "--no-timestamps")
    client.until_text("here: ")
    client.type("x" * 4099 + "y\r")
    client.until_text("-- the line has 4,100 bytes, the room takes 4,096: back in the prompt")
    client.until(
        lambda screen: screen.rows[-1].endswith("xy") and any("back in the prompt" in row for row in screen.rows)
    )
    client.type(BACKSPACE * 4 + "\r")
    assert watcher.until("xxx")[-1].endswith("] " + "x" * 4096)


def test_the_limit_is_learned(inside: tuple[Screen, Far]) -> None:
    """The room's refusal brings it back into the prompt; then the limit is known, for pastes too."""
    client, far = inside
    client.type("a long line\r")
    assert far.hear() == "a long line"
    far.tell("! line too long, not sent: it may have 8 bytes")
    client.until_text("-- the line has 11 bytes, the room takes 8: back in the prompt")
    client.until_row("a long line")
    client.type("!\r")
    client.until_text("-- not sent: the line has 12 bytes, the room takes 8")
    client.until_row("a long line!")
    client.type(BACKSPACE * 6 + "\r")
    assert far.hear() == "a long"
    client.type("\x1b[200~" + "short\n" * 6 + "much too long\n\x1b[201~\r")
    client.until_text("-- not sent: line 7 of the paste has 13 bytes, the room takes 8")
    client.until_text("[paste: 7 lines")
    client.type("\x03next\r")
    assert far.hear() == "next"


def test_who_is_here(room: Room, screen: Callable[..., Screen]) -> None:
    """They are named at once, and Tab completes them."""
    peer = room.peer()
    client = screen(room.port, "--no-timestamps")
    client.until_text(f"-- here: {peer.name} and you")
    client.type("127\t\t")
    client.until(lambda screen: any(row.strip() == peer.name for row in screen.rows))


def test_no_reconnect(place: Place, screen: Callable[..., Screen]) -> None:
    """On request the client ends with its connection, and says what was typed."""
    client = screen(place.port, "--no-reconnect")
    far = place.accept()
    client.until_text(PROMPT)
    client.type("keep me")
    client.until_row("keep me")
    far.close()
    assert client.end() == 1
    assert any(row.endswith("-- not sent: keep me") for row in client.rows)
    assert "chatctl client: the server went away" in client.rows


@pytest.mark.parametrize(
    "word", ["kicked: enough", "your address is not allowed here", "nothing heard of you for 60 s: bye"]
)
def test_who_was_ended_stays_out(inside: tuple[Screen, Far], word: str) -> None:
    """Being kicked, denied, or ended for being idle is no lost connection."""
    client, far = inside
    far.tell(f"! {word}")
    far.close()
    assert client.end() == 1
    assert f"chatctl client: the server ended this: {word}" in client.rows


@pytest.mark.parametrize("key", ["\x0f", "\x1b\r", "\x1b#"])
def test_no_key_ends_by_accident(inside: tuple[Screen, Far], key: str) -> None:
    """What else accepts a line in an editor sends it, or does nothing; the client goes on."""
    client, far = inside
    client.type(f"line{key}")
    client.type("next\r")
    while not (heard := far.hear()).endswith("next"):
        assert heard in ("line", "#line")


@pytest.fixture
def unread(
    place: Place, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[tuple["subprocess.Popen[bytes]", int, Far]]:
    """A client on a terminal that nobody reads, and that is not the controlling one; its stderr may be it, too."""
    master, slave = os.openpty()
    client = subprocess.Popen(
        [*COMMAND, "client", "127.0.0.1", str(place.port)],
        stdin=slave,
        stdout=slave,
        stderr=slave if getattr(request, "param", None) == "all of it" else subprocess.PIPE,
        env=environment(HOME=str(tmp_path), PYTHONUNBUFFERED=""),
        start_new_session=True,
    )
    os.close(slave)
    with client:
        yield client, master, place.accept()
        client.kill()


@pytest.mark.parametrize("unread", ["but stderr", "all of it"], indirect=True)
def test_a_hang_up(unread: tuple["subprocess.Popen[bytes]", int, Far]) -> None:
    """When the terminal goes away the client does, without a trace, whatever of its output is left in buffers."""
    client, master, far = unread
    shown = b""
    while b"?2004h" not in shown:  # the editor is at work
        shown += os.read(master, 65536)
    os.close(master)
    assert far.hear() == ""
    _, errors = client.communicate(timeout=PATIENCE)
    assert client.returncode == 1
    assert errors == (client.stderr and b"chatctl client: cannot write to the terminal: Input/output error\n")


def test_sigterm_while_it_writes(unread: tuple["subprocess.Popen[bytes]", int, Far]) -> None:
    """A terminal that takes nothing does not keep the client alive."""
    client, master, far = unread
    far.sock.sendall(b"[a:1] flood\n" * 200_000)
    client.send_signal(signal.SIGTERM)
    assert client.wait(PATIENCE) == -signal.SIGTERM
    os.close(master)


def test_ctrl_d_waits_for_slow_echoes(inside: tuple[Screen, Far]) -> None:
    """What was said last is shown as it comes back, as long as it goes on coming."""
    client, far = inside
    lines = [f"line {number}" for number in range(5)]
    client.type("".join(f"{line}\r" for line in lines) + "\x04")
    for line in lines:
        assert far.hear() == line
    for line in lines:
        threading.Event().wait(0.2)  # a slow server
        far.tell(f"[You] {line}")
    far.close()
    assert client.end() == 0
    assert [row for row in client.rows if "[You]" in row] == [f"[You] {line}" for line in lines]


def test_quitting_while_offline(inside: tuple[Screen, Far], place: Place) -> None:
    """Without a connection /quit is obeyed here."""
    client, far = inside
    place.shut()
    far.close()
    client.until_text("[offline")
    client.type("/quit\r")
    assert client.end() == 0


def test_what_was_not_said_is_not_remembered(inside: tuple[Screen, Far], place: Place, tmp_path: Path) -> None:
    """A line that stays in the editor is not in the history yet."""
    client, far = inside
    place.shut()
    far.close()
    client.until_text("[offline")
    client.type("never said\r")
    client.until_text("not connected")
    client.type("\x03\x03\x03")
    assert client.end() == 130
    assert "never said" not in (tmp_path / ".local/state/chatctl/history").read_text()


def test_ctrl_c_names_what_may_be_lost(inside: tuple[Screen, Far]) -> None:
    """Even an end at once says which lines had not come back."""
    client, far = inside
    client.type("in flight\r")
    assert far.hear() == "in flight"
    client.type("\x03\x03")
    assert client.end() == 130
    assert "-- maybe not sent: in flight" in client.rows


def test_quitting(inside: tuple[Screen, Far]) -> None:
    """After /quit the end of the connection is the end of the client."""
    client, far = inside
    client.type("/quit\r")
    assert far.hear() == "/quit"
    far.tell("! bye")
    far.close()
    assert client.end() == 0


def test_ctrl_c(inside: tuple[Screen, Far]) -> None:
    """It clears the line; on an empty one it says that another one leaves, and that ends with 130."""
    client, _ = inside
    client.type("something")
    client.until_row("something")
    client.type("\x03")
    client.until_row("")
    assert not any("again" in row for row in client.rows)
    client.type("\x03")
    client.until_text("-- Ctrl-C again to leave")
    client.until_text(PROMPT)
    client.type("\x03")
    assert client.end() == 130
    assert client.modes == client.before


def test_ctrl_d(inside: tuple[Screen, Far]) -> None:
    """Within a line it deletes; on an empty one it leaves, and what was said before still goes."""
    client, far = inside
    client.type("ab\x01\x04")
    client.until_row("b")
    client.type("\r\x04")
    assert far.hear() == "b"
    assert far.hear() == ""
    far.tell("[You] b")
    far.close()
    assert client.end() == 0
    assert "maybe not sent" not in " ".join(client.rows)


@pytest.mark.parametrize(("keys", "status"), [("\x03\x03", 130), ("\x04", 0)])
def test_ends_in_a_flood(place: Place, screen: Callable[..., Screen], keys: str, status: int) -> None:
    """On a slow terminal, with megabytes waiting for it, the keys that end still end at once."""
    client = screen(place.port, rate=400_000)
    far = place.accept()
    client.until_text(PROMPT)
    far.sock.sendall(
        b"".join(b"[a:1] number %d of a flood that this terminal cannot keep up with\n" % n for n in range(40_000))
    )
    client.until(lambda screen: any(re.search(r"number \d{4}", row) for row in screen.rows))
    begun = time.monotonic()
    client.type(keys)
    assert client.end() == status
    assert time.monotonic() - begun < 2.0  # 0.5 on a machine that does nothing else
    assert not any("number 39999 " in row for row in client.rows)
    assert client.modes == client.before


def test_typing_in_a_flood_on_a_slow_terminal(place: Place, screen: Callable[..., Screen]) -> None:
    """What is typed appears and is sent while more comes in than the terminal takes, and no line of that is broken."""
    client = screen(place.port, "--no-timestamps", "--color", "never", rate=400_000)
    far = place.accept()
    client.until_text(PROMPT)
    far.sock.sendall(b"".join(b"[a:1] number %d\n" % number for number in range(100_000)))
    client.until(lambda screen: any(re.search(r"number \d{4}", row) for row in screen.rows))
    client.type("한")
    client.until_row("한")
    client.type("글\r")
    assert far.hear() == "한글"
    client.type("\x04")
    assert client.end() == 0
    shown = re.findall(rb"\[a:1\] number (\d+)\r+\n", client.raw)
    assert shown == [b"%d" % number for number in range(len(shown))]
    assert len(shown) == client.raw.count(b"number") > 1000


def test_a_flood_costs_no_memory(inside: tuple[Screen, Far]) -> None:
    """A hundred thousand lines at once, while a line is typed: all are shown in order, with at most 45 MB."""
    client, far = inside
    client.type("half 한글")
    line = b"[127.0.0.1:32838] number %d of a flood that goes on and on\n"
    far.sock.sendall(b"".join(line % number for number in range(100_000)))
    client.until(lambda screen: b"number 99999 " in screen.raw[-100_000:])
    status = Path(f"/proc/{client.process.pid}/status")
    if status.exists():  # Linux
        peak = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        assert peak
        assert int(peak[1]) < 45_000
    client.type("\r")
    assert far.hear() == "half 한글"
    shown = re.findall(rb"number (\d+) of a flood that goes on and on\r+\n", bytes(client.raw))
    assert shown == [b"%d" % number for number in range(100_000)]


def test_keys_beside_two_thousand_lines_a_second(inside: tuple[Screen, Far]) -> None:
    """A key's echo is there at once: within 10 ms for 95 of 100 on a machine that does nothing else."""
    client, far = inside
    stopped = threading.Event()

    def talk() -> None:
        for number in itertools.count():
            far.sock.sendall(b"".join(b"[a:1] number %d\n" % number for _ in range(20)))
            if stopped.wait(0.01):
                return

    talking = threading.Thread(target=talk)
    talking.start()
    waits = []
    for key in (chr(0xAC00 + 28 * number) for number in range(40)):
        begun = time.monotonic()
        client.type(key)
        client.until(lambda screen, key=key: key.encode() in screen.raw)  # type: ignore[misc]
        waits.append(time.monotonic() - begun)
    stopped.set()
    talking.join()
    assert sorted(waits)[37] < 0.2


@pytest.mark.parametrize(("options", "bound"), [((), 0.2), (("--plain",), 0.08)])
def test_the_first_line_comes_soon(
    place: Place, screen: Callable[..., Screen], options: tuple[str, ...], bound: float
) -> None:
    """The welcome is on the screen within 0.2 s, 0.08 s in plain mode; ten times that where other tests run too."""
    begun = time.monotonic()
    client = screen(place.port, *options)
    place.accept(WELCOME if options else None)
    client.until(lambda screen: WELCOME.encode() in screen.raw)
    assert time.monotonic() - begun < 10 * bound


@pytest.mark.parametrize(
    ("pasted", "shown"), [("one\ntwo\nthree", "three"), ("one\r\ntwo\r\nthree\r\n", "three"), ("one", "one")]
)
def test_a_short_paste(inside: tuple[Screen, Far], pasted: str, shown: str) -> None:
    """Up to five lines are put into the line that is edited; Enter sends them."""
    client, far = inside
    client.type(f"\x1b[200~{pasted}\x1b[201~")
    client.until(lambda screen: screen.row.endswith(shown))
    client.type("!\r")
    *first, last = pasted.split()
    assert [far.hear() for _ in (*first, last)] == [*first, f"{last}!"]


def test_a_long_paste(inside: tuple[Screen, Far]) -> None:
    """More than five lines are held back, as one line: Enter sends them, and what was being typed stays."""
    client, far = inside
    lines = [f"line {number}" for number in range(3000)]
    client.type("typed")
    client.until_row("typed")
    client.type("\x1b[200~" + "\n".join(lines) + "\n\x1b[201~")
    client.until_text("[paste: 3000 lines, Enter sends, Ctrl-C drops] > typed")
    client.type("\r")
    assert [far.hear() for _ in lines] == lines
    client.until_row("typed")
    client.until_text(PROMPT)


def test_a_long_paste_is_dropped(inside: tuple[Screen, Far]) -> None:
    """Ctrl-C drops it, and nothing else."""
    client, far = inside
    client.type("typed\x1b[200~" + "line\n" * 6 + "\x1b[201~")
    client.until_text("[paste: 6 lines, Enter sends, Ctrl-C drops] > typed")
    client.type("\x03")
    client.until_text(f"{PROMPT} typed")
    client.type("\r")
    assert far.hear() == "typed"


def test_history(place: Place, screen: Callable[..., Screen], tmp_path: Path) -> None:
    """What was said is there in the next run: by Up, by its beginning, by search; nobody else can read it."""
    first = screen(place.port)
    far = place.accept()
    first.until_text(PROMPT)
    first.type("first line\rsecond\r")
    assert [far.hear(), far.hear()] == ["first line", "second"]
    first.type("\x04")
    far.close()
    assert first.end() == 0
    file = tmp_path / ".local/state/chatctl/history"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = screen(place.port)
    far = place.accept()
    again.until_text(PROMPT)
    again.type(UP)
    again.until_row("second")
    again.type("\x03")
    again.until_row("")
    again.type("fi")
    again.until_row("fi")
    again.type(UP)
    again.until_row("first line")
    again.type("\x03")
    again.until_row("")
    again.type("\x12st l")
    again.until(lambda screen: "first line" in screen.rows[-1])
    again.type("\r")
    again.until_text(f"{PROMPT} first line")
    again.type("\r")
    assert far.hear() == "first line"


def test_completion(inside: tuple[Screen, Far]) -> None:
    """Tab completes commands, and the names of those who spoke, entered or were listed by /who."""
    client, far = inside
    client.type("/w\t")
    client.until_row("/who")
    client.type("\x03")
    far.tell("> New user 10.0.0.1:5 entered (4 users online)", "[10.1.0.1:6] hi", "! 2 users online", "! 10.2.0.1:7")
    far.tell("< The user 10.0.0.1:5 left (3 users online)")
    client.until_text("left")
    for prefix, name in (("10.1", "10.1.0.1:6"), ("10.2", "10.2.0.1:7"), ("10.0", "10.0")):
        client.type(f"hi {prefix}\t")
        client.until_row(f"hi {name}")
        client.type("\x03")
        client.until_row("")


CODE = """\
#!/usr/bin/env tcc -run
// say hello

/* a comment */
/usr/bin/env
\tint main(void) {
\t\treturn puts("/who");\t}
/who"""


@pytest.fixture
def readers(room: Room) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Members that only read, into pipes: the client as a filter, and netcat."""
    address = ["127.0.0.1", str(room.port)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "env": environment()}
    with (
        subprocess.Popen([*COMMAND, "client", *address], **pipes) as piped,
        subprocess.Popen(["nc", *address], **pipes) as nc,
    ):
        yield [piped, nc]
        piped.kill()
        nc.kill()


def test_pasted_code(room: Room, screen: Callable[..., Screen], readers: list["subprocess.Popen[bytes]"]) -> None:
    """Every line of it is said, whatever it begins with, and comes byte for byte, a blank one as one blank.

    A terminal, which has no tabs in its rows, shows four blanks for one.
    """
    client, other = screen(room.port), screen(room.port, "--no-timestamps")
    for each in (client, other):
        each.until_text("[4 users online] >")
    client.type(f"\x1b[200~{CODE}\n\x1b[201~")
    client.until_text("[paste: 8 lines, Enter sends, Ctrl-C drops] >")
    client.type("\r")
    expected = [line or " " for line in CODE.split("\n")]
    for reader in readers:
        assert reader.stdout
        said: list[bytes] = []
        while len(said) < len(expected):
            line = reader.stdout.readline()
            assert line, said
            if line.startswith(b"["):
                said.append(line.partition(b"] ")[2])
        assert said == [f"{line}\n".encode() for line in expected]
    other.until(lambda screen: any(row.endswith("] /who") for row in screen.rows))
    shown = [row.partition("]")[2] for row in other.rows if row.startswith("[127")]
    assert shown == [f" {line}".replace("\t", " " * 4).rstrip() for line in expected]


def test_pasted_tabs(inside: tuple[Screen, Far]) -> None:
    """In a paste that the terminal does not mark, tabs are text, also where they follow what could be completed."""
    client, far = inside
    client.type("\tint x;\r/w\t1\ta\r" + "a\tb" * 600 + "\r")
    assert [far.hear() for _ in range(3)] == ["\tint x;", "/w\t1\ta", "a\tb" * 600]


def test_help(inside: tuple[Screen, Far]) -> None:
    """/help lists the keys here, and asks the server for its commands."""
    client, far = inside
    client.type("/help\r")
    assert far.hear() == "/help"
    client.until_text("-- Ctrl-C      clear the line")
    client.until_text("-- the server's commands:")


def test_the_bell(place: Place, screen: Callable[..., Screen]) -> None:
    """It rings for one's own address and the given words, not for what oneself says."""
    client = screen(place.port, "--highlight", "deploy")
    far = place.accept()
    client.until_text(PROMPT)
    far.tell("[a:1] deployment", "[You] deploy", "[a:1] hello", "! deploy")
    client.until_text("! deploy")
    assert b"\x07" not in client.raw
    far.tell("[a:1] please DEPLOY!")
    client.until_text("please")
    assert client.raw.count(b"\x07") == 1
    name = ":".join(map(str, far.sock.getpeername()))
    far.tell(f"[a:1] hey {name}, there")
    client.until_text("there")
    assert client.raw.count(b"\x07") == 2


def test_another_address(place: Place, screen: Callable[..., Screen]) -> None:
    """Behind NAT a mention is one of the name that the room has for the client, which has asked for that unseen."""
    client = screen(place.port, "--no-timestamps")
    far = place.accept("")
    far.welcome("192.0.2.7:5000")
    client.until_text("-- nobody else is here")
    name = ":".join(map(str, far.sock.getpeername()))
    far.tell(f"[a:1] hey {name}, who is that?")
    client.until_text("who is that?")
    assert b"\x07" not in client.raw
    far.tell("[a:1] hey 192.0.2.7:5000")
    client.until_text("hey 192")
    assert client.raw.count(b"\x07") == 1
    assert client.rows[:5] == [
        WELCOME,
        "-- nobody else is here",
        "-- you are 192.0.2.7:5000: /nick NAME gives you a name",
        f"[a:1] hey {name}, who is that?",
        "[a:1] hey 192.0.2.7:5000",
    ]
    client.type("192\t")
    client.until_row("192.0.2.7:5000")


def test_a_password(place: Place, screen: Callable[..., Screen], tmp_path: Path) -> None:
    """It is asked for, not shown, not remembered, and used again when the connection comes back."""
    client = screen(place.port)
    far = place.accept(ASKED)
    client.until_text("Password:")
    client.type("비밀\r")
    assert far.hear() == "비밀"
    far.welcome()
    client.until_text(PROMPT)
    assert "비밀".encode() not in client.raw
    far.close()
    far = place.accept(ASKED)
    assert far.hear() == "비밀"
    far.welcome()
    client.until_text(PROMPT)
    client.type("\x04")
    far.close()
    assert client.end() == 0
    assert "비밀" not in (tmp_path / ".local/state/chatctl/history").read_text()


def test_a_password_is_not_what_was_being_typed(place: Place, screen: Callable[..., Screen]) -> None:
    """A line that was typed as chat is put aside while the room asks, and is there again when it has its answer."""
    client = screen(place.port)
    far = place.accept("")
    client.until_text("[connecting] >")
    client.type("keep me")
    client.until_row("keep me")
    far.tell(ASKED)
    far.be_plain("! wrong password")
    client.until_text("Password:")
    client.type(UP + "secret\r")
    assert far.hear() == "secret"
    far.welcome()
    client.until_text(f"{PROMPT} keep me")
    client.type("\r")
    assert far.hear() == "keep me"


@pytest.mark.parametrize("word", ["! no password within 60 s", "! server shutting down", ""])
def test_half_a_password_is_not_shown(place: Place, screen: Callable[..., Screen], word: str) -> None:
    """When the room stops waiting, what was typed of a password is gone."""
    client = screen(place.port)
    far = place.accept(ASKED)
    client.until_text("Password:")
    client.type("hunter2")
    client.until_text("*******")
    if word:
        far.tell(word)
        client.until_text(word)
    far.close()
    assert client.end() in (1, 4)
    assert b"hunter2" not in client.raw


def test_a_paste_at_the_password(place: Place, screen: Callable[..., Screen], tmp_path: Path) -> None:
    """Its first line is the password; nothing of it is held, shown or remembered, and it cannot be yanked later."""
    client = screen(place.port)
    far = place.accept(ASKED)
    client.until_text("Password:")
    client.type("hunter2\x15")
    client.type("\x1b[200~sesame\nsecond\n" + "more\n" * 6 + "\x1b[201~\r")
    assert far.hear() == "sesame"
    far.welcome()
    client.until_text(PROMPT)
    client.type("\x19yanked\r")
    assert far.hear() == "yanked"
    client.type("\x04")
    far.close()
    assert client.end() == 0  # by now the history is written
    assert not re.search(rb"hunter2|sesame|second|more", client.raw)
    assert (tmp_path / ".local/state/chatctl/history").read_text().count("+") == 1


def test_a_search_that_is_open_when_the_room_asks(place: Place, screen: Callable[..., Screen]) -> None:
    """It ends, so that the password is not typed into it."""
    client = screen(place.port)
    far = place.accept("")
    client.until_text("[connecting] >")
    client.type("\x12plan")
    client.until_text("reverse-i-search")
    far.tell(ASKED)
    far.be_plain("! wrong password")
    client.until_text("Password:")
    client.type("hunter2\r")
    assert far.hear() == "hunter2"
    assert b"hunter2" not in client.raw


def test_no_history_at_the_password(place: Place, screen: Callable[..., Screen]) -> None:
    """No key brings what was said before to where a password is typed."""
    client = screen(place.port)
    far = place.accept()
    client.until_text(PROMPT)
    client.type("said before\r")
    assert far.hear() == "said before"
    far.close()
    far = place.accept(ASKED)
    client.until_text("Password:")
    client.type(f"{UP}\x10\x1b<\x1b.right\r")
    assert far.hear() == "right"


def test_a_wrong_password(place: Place, screen: Callable[..., Screen]) -> None:
    """One that was not typed ends the client with 4."""
    client = screen(place.port, CHATCTL_PASSWORD="guess")
    far = place.accept(ASKED)
    assert far.hear() == "guess"
    far.tell("! wrong password")
    assert client.end() == 4
    assert any("the room has another password" in row for row in client.rows)


def test_a_wrong_password_is_typed_anew(place: Place, screen: Callable[..., Screen]) -> None:
    """It is asked for again in the same client, and what is typed there is not shown; the third wrong one ends it."""
    client = screen(place.port, "--no-timestamps")
    far = place.accept(ASKED)
    for tried, guess in enumerate(("sesame", "hunter2", "swordfish")):
        client.until(lambda screen, tried=tried: screen.rows[1:] == ["! wrong password"] * tried + ["Password:"])  # type: ignore[misc]
        client.type(f"{guess}\r")
        assert far.hear() == guess
        far.tell("! wrong password")
    assert client.end() == 4
    assert client.rows.count("! wrong password") == 3
    assert not re.search(rb"sesame|hunter2|swordfish", client.raw)
    assert any("the room has another password" in row for row in client.rows)


@pytest.mark.parametrize("term", ["dumb", "unknown", ""])
def test_a_terminal_that_can_nothing(place: Place, screen: Callable[..., Screen], term: str) -> None:
    """There the client is the filter that it is in a pipe, without a single escape sequence."""
    client = screen(place.port, TERM=term)
    far = place.accept(WELCOME)
    far.tell("[a:1] hello")
    client.until_text("[a:1] hello")
    client.type("hi\n")
    assert far.hear() == "hi"
    assert b"\x1b" not in client.raw


def test_smart_notices(place: Place, screen: Callable[..., Screen]) -> None:
    """Of a busy room's comings and goings only those of members who spoke are shown."""
    client = screen(place.port, "--notices", "smart", "--no-timestamps")
    far = place.accept()
    client.until_text("-- nobody else is here")
    far.tell("> New user a:1 entered (4 users online)", "> New user b:1 entered (5 users online)", "[a:1] hi")
    far.tell("< The user b:1 left (4 users online)", "< The user a:1 left (3 users online)", "[c:1] end")
    client.until_text("end")
    assert client.rows[3:6] == ["[a:1] hi", "< The user a:1 left (3 users online)", "[c:1] end"]


def test_wrapped_at_words(place: Place, screen: Callable[..., Screen]) -> None:
    """Rows after the first are indented like the text."""
    client = screen(place.port, "--no-timestamps", size=(30, 10))
    far = place.accept()
    client.until_text("gives you a name")
    far.tell("[a:1] one two three four five six seven 여덟 아홉 열")
    client.until_text("열")
    assert client.rows[-3:-1] == ["[a:1] one two three four five", "      six seven 여덟 아홉 열"]


def test_a_file_of_its_own(room: Room, screen: Callable[..., Screen], tmp_path: Path) -> None:
    """Where no history can be kept, the client does without."""
    (tmp_path / ".local").write_text("in the way")
    client = screen(room.port)
    client.until_text("[1 user online] >")
    client.type("안녕\r")
    client.until_text("[You] 안녕")
