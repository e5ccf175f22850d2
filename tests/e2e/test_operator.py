"""The operator's terminal: a line that is edited under what the server shows, and a terminal that stays the shell's."""

import os
import re
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.screen import Screen, Tmux
from tests.e2e.test_terminal import BACKSPACE, LEFT, UP
from tests.e2e.test_tmux import tmux as tmux
from tests.rooms import Peer

Start = Callable[..., tuple[Screen, int]]


def prompt(users: int = 0) -> str:
    return f"[{users} {'user' if users < 2 else 'users'} online] >"


@pytest.fixture
def start(mode: str, tmp_path: Path) -> Iterator[Start]:
    """Start a server on a terminal; with its port, as soon as something can be typed."""
    screens: list[Screen] = []

    def start_server(*flags: str, **options: Any) -> tuple[Screen, int]:
        settings: dict[str, Any] = {"home": tmp_path} | options
        screen = Screen("server", "127.0.0.1", "0", "--mode", mode, "--rate", "0", *flags, **settings)
        screens.append(screen)
        screen.until_text(prompt())
        return screen, int(screen.rows[0].removeprefix("Chat Server started on port ").removesuffix("."))

    yield start_server
    for started in screens:
        started.close()


def shown(screen: Screen) -> list[str]:
    """All rows that are on the screen or above it, but for empty ones."""
    rows = screen.rows  # which draws what has come
    history = ["".join(row[x].data for x in range(80)).rstrip() for row in screen.emulated.history.top]
    return [row for row in (*history, *rows) if row]


def test_the_typed_line_is_never_touched(start: Start) -> None:
    """Hundreds of lines come in while a line is typed: each is whole and in order, and the line is as it was."""
    server, port = start("-v")
    with Peer(port) as peer:
        server.until_text(prompt(1))
        server.type("half 한글" + LEFT)
        server.until_row("half 한글")
        for start_at in range(0, 300, 10):
            peer.say(*(f"number {number}" for number in range(start_at, start_at + 10)))
            server.type(f"{start_at % 7}" + BACKSPACE)
            with Peer(port) as visitor:  # whose end is said on stderr
                visitor.reset()
        server.until(
            lambda screen: (all_of_it := "\n".join(shown(screen))).count(" went: ") == 30 and "299" in all_of_it
        )
        server.until_row("half 한글")
        assert server.emulated.cursor.x == len(prompt(1)) + 1 + len("half ") + 2
        rows = shown(server)
        assert [row for row in rows if "number" in row] == [f"[{peer.name}] number {number}" for number in range(300)]
        assert [row for row in rows if "half" in row] == [f"{prompt(1)} half 한글"]
        assert sum(row.startswith("chatctl server: ") and " went: " in row for row in rows) == 30
        server.type("\r")
        assert peer.until("^! ")[-1] == "! server: half 한글"


def test_history(start: Start, tmp_path: Path) -> None:
    """What was typed comes back with the arrow, also in the next run, from a file that only its user may read."""
    server, _ = start()
    server.type("one\r/help\r")
    server.until_text("//text announces /text")
    server.type(UP + UP)
    server.until_row("one")
    server.type("\x03\x03")
    assert server.end() == 0
    server, _ = start()
    server.type(UP)
    server.until_row("/help")
    file = tmp_path / ".local/state/chatctl/operator"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "+/help" in file.read_text().splitlines()


def test_completion(start: Start) -> None:
    """Tab completes commands, and behind them the names of members."""
    server, port = start()
    with Peer(port) as peer:
        server.until_text(prompt(1))
        server.type("/k\t")
        server.until_row("/kick")
        server.type(" 127\t")
        server.until_row(f"/kick {peer.name}")
        server.type(" go away\r")
        assert peer.rest()[-1] == "! kicked: go away"
    server.type("/ba\t")
    server.until(lambda screen: [row.strip() for row in screen.rows[-2:]] == ["/ban", "/bans"])


def test_a_paste_is_text(start: Start) -> None:
    """Of several lines none is a command, and none is lost; one that the room would refuse stays where it is."""
    server, port = start("--max-line", "64")
    with Peer(port) as peer:
        peer.line()
        server.type("\x1b[200~/shutdown\n\n// code\x1b[201~")
        server.until_text("// code")
        server.type("\r")
        assert [peer.line() for _ in range(3)] == ["! server: /shutdown", "! server:  ", "! server: // code"]
        server.type("x" * 65 + "\r")
        server.until_text("! line too long, not sent: it may have 64 bytes")
        server.type(BACKSPACE + "\r")
        assert peer.line() == "! server: " + "x" * 64


ENDS: dict[str, Callable[[Screen], object]] = {
    "Ctrl-C": lambda server: server.type("\x03"),
    "SIGINT": lambda server: server.process.kill(signal.SIGINT),
    "SIGTERM": lambda server: server.process.kill(signal.SIGTERM),
    "SIGHUP": lambda server: server.process.kill(signal.SIGHUP),
    "/shutdown": lambda server: server.type("/shutdown\r"),
}


@pytest.mark.parametrize("end", ENDS)
def test_the_end(start: Start, end: str) -> None:
    """Whatever ends the server, the terminal has the modes it had, and the last line is the room's."""
    server, port = start()
    with Peer(port) as peer:
        server.until_text(prompt(1))
        assert server.modes != server.before
        server.type("typed")
        server.until_row("typed")
        server.type("\x03")
        server.until_row("")
        ENDS[end](server)
        assert peer.rest()[-1] == "! server shutting down"
    assert server.end() == 0
    assert server.modes == server.before
    assert server.rows[-1] == "! server shutting down"
    assert server.raw.rfind(b"?2004l") > server.raw.rfind(b"?2004h") > 0
    assert server.raw.rfind(b"?25l") <= server.raw.rfind(b"?25h")


def test_ctrl_c_twice(start: Start) -> None:
    """The second one does not wait for members who do not close their end."""
    server, port = start()
    with Peer(port) as peer:
        server.until_text(prompt(1))
        server.type("\x03")
        server.until_text("! server shutting down")
        server.type("\x03")
        assert server.end() == 0
        assert peer.rest()[-1] == "! server shutting down"
    assert server.modes == server.before


def test_ctrl_d(start: Start) -> None:
    """On an empty line it ends the typing and not the room, whose lines go on; Ctrl-C is the terminal's own then."""
    server, port = start()
    server.type("\x04")
    server.until(lambda screen: not any("online] >" in row for row in screen.rows))
    with Peer(port) as peer:
        peer.say("hi")
        server.until_text(f"[{peer.name}] hi")
        assert not any("online] >" in row for row in server.rows)
    assert server.modes == server.before
    server.type("\x03")
    assert server.end() == 0


def test_a_terminal_that_takes_nothing(start: Start) -> None:
    """The room does not wait for it, nor does a second signal; the modes are put back all the same."""
    server, port = start(rate=1000)
    with Peer(port) as peer:
        for _ in range(300):
            peer.say("x" * 4000)
            peer.until(r"^\[You\] x+$")
        server.process.kill(signal.SIGTERM)
        assert peer.rest()[-1] == "! server shutting down"
    server.process.kill(signal.SIGTERM)
    os.waitid(os.P_PID, server.process.pid, os.WEXITED | os.WNOWAIT)
    assert server.modes == server.before


def serve(tmux: Tmux, mode: str, *more: str) -> int:
    """Start a server in the shell; its port."""
    tmux.run("server", "127.0.0.1", "0", "--mode", mode, *more)
    tmux.until("Chat Server started on port ")
    started = re.search(r"Chat Server started on port (\d+)\.", "\n".join(tmux.lines()))
    assert started
    return int(started[1])


def seen_by_the_shell(tmux: Tmux) -> str:
    """The modes of the terminal while the shell runs a command."""
    tmux.type("stty -g")
    tmux.key("Enter")
    tmux.until("shell>", last=True)
    return tmux.lines()[-2]


def test_suspend(tmux: Tmux, mode: str) -> None:
    """Ctrl-Z gives the shell its terminal back, bg leaves it there, fg brings the line that was typed."""
    modes = seen_by_the_shell(tmux)
    port = serve(tmux, mode)
    with Peer(port) as peer:
        tmux.until(prompt(1))
        tmux.type("half typed")
        tmux.until(f"{prompt(1)} half typed", last=True)
        tmux.key("C-z")
        tmux.until("shell>", last=True)
        assert seen_by_the_shell(tmux) == modes
        peer.say("while it is stopped")
        tmux.type("bg")
        tmux.key("Enter")
        tmux.until("while it is stopped")
        tmux.type("echo in the $((1 + 1))nd shell")
        tmux.key("Enter")
        tmux.until("in the 2nd shell")
        assert seen_by_the_shell(tmux) == modes
        assert not any("online] >" in line for line in tmux.lines())
        tmux.type("fg")
        tmux.key("Enter")
        tmux.until(f"{prompt(1)} half typed", last=True)
        tmux.key("Enter")
        assert peer.until("^! ")[-1] == "! server: half typed"
    tmux.until("left")
    tmux.key("C-c")
    tmux.until("shell>", last=True)
    assert tmux.lines()[-2] == "! server shutting down"
    assert seen_by_the_shell(tmux) == modes


def test_started_in_the_background(tmux: Tmux, mode: str) -> None:
    """The terminal is the shell's until it brings the server to the foreground."""
    modes = seen_by_the_shell(tmux)
    port = serve(tmux, mode, "&")
    with Peer(port) as peer:
        tmux.until("(1 user online)")
        tmux.type("echo in the $((1 + 1))nd shell")
        tmux.key("Enter")
        tmux.until("in the 2nd shell")
        assert seen_by_the_shell(tmux) == modes
        assert not any("online] >" in line for line in tmux.lines())
        tmux.type("fg")
        tmux.key("Enter")
        tmux.until(prompt(1), last=True)
        tmux.type("here again")
        tmux.key("Enter")
        assert peer.until("^! ")[-1] == "! server: here again"
    tmux.until("left")
    tmux.key("C-c")
    tmux.until("shell>", last=True)
    assert seen_by_the_shell(tmux) == modes


def test_stopped_without_warning(tmux: Tmux, mode: str) -> None:
    """SIGSTOP leaves no time for the modes; the server goes on well in the background and in the foreground."""
    port = serve(tmux, mode)
    with Peer(port) as peer:
        for job in ("bg", "fg"):
            tmux.until(prompt(1), last=True)
            psutil.Process(_listens(port)).suspend()
            tmux.until("shell>", last=True)
            tmux.type(f"{job}; echo in the $((1 + 1))nd shell")
            tmux.key("Enter")
            if job == "bg":
                tmux.until("in the 2nd shell")
                tmux.type("fg")
                tmux.key("Enter")
        tmux.until(prompt(1), last=True)
        tmux.type("here again")
        tmux.key("Enter")
        assert peer.until("^! ")[-1] == "! server: here again"


def _listens(port: int) -> int:
    """Who listens at a port."""
    return next(
        int(c.pid) for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr.port == port
    )
