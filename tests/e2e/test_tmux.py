"""The client in tmux: what a real terminal with a scrollback and a shell makes of it."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.screen import Far, Place, Tmux
from tests.e2e.test_terminal import PROMPT

LINES = 20_000


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    """A shell in tmux."""
    assert shutil.which("tmux"), "the tests need tmux"
    started = Tmux(tmp_path)
    yield started
    started.close()


@pytest.fixture
def inside(tmux: Tmux, place: Place) -> Far:
    """A client in the shell, welcomed."""
    tmux.run("client", "127.0.0.1", str(place.port), "--no-timestamps")
    far = place.accept()
    tmux.until(PROMPT)
    return far


@pytest.mark.parametrize("lines", [10_000, pytest.param(100_000, marks=pytest.mark.full)])
def test_scrollback(tmux: Tmux, inside: Far, lines: int) -> None:
    """A flood while somebody types: all of its lines stand in the scrollback, whole and in order."""
    inside.sock.sendall(b"".join(b"[a:1] number %d\n" % number for number in range(lines)))
    tmux.type("한글 👋")
    tmux.until(f"{PROMPT} 한글 👋")
    tmux.until(f"number {lines - 1}")
    shown = [line for line in tmux.lines(all_of_it=True) if "number" in line]
    assert shown == [f"[a:1] number {number}" for number in range(lines)]
    assert tmux.lines()[-1] == f"{PROMPT} 한글 👋"
    tmux.key("Enter")
    assert inside.hear() == "한글 👋"


def test_reflow(tmux: Tmux, inside: Far) -> None:
    """Narrow and wide again while a long line is typed and others come: no line is lost, and what is sent is exact."""
    typed = "word " * 20 + "end"
    tmux.type(typed)
    tmux.until("end")
    for width, first in ((40, 0), (100, 50), (60, 100)):
        inside.tell(*(f"[a:1] number {number}" for number in range(first, first + 50)))
        tmux("resize-window", "-x", str(width))
        tmux.until(f"number {first + 49}")
    shown = re.findall(r"number (\d+)", "\n".join(tmux.lines(all_of_it=True)))
    assert shown == [str(number) for number in range(150)]
    tmux.key("Enter")
    assert inside.hear() == typed


def test_suspend(tmux: Tmux, inside: Far) -> None:
    """Ctrl-Z gives the shell its terminal back; fg brings the line that was typed, and what came meanwhile."""
    tmux.type("half typed")
    tmux.until(f"{PROMPT} half typed")
    tmux.key("C-z")
    tmux.until("Stopped")
    inside.tell("[a:1] meanwhile")
    tmux.type("stty | grep -c -- -icanon; echo in the $((1 + 1))nd shell")
    tmux.key("Enter")
    tmux.until("in the 2nd shell")
    assert "0" in tmux.lines()
    tmux.type("fg")
    tmux.key("Enter")
    tmux.until("[a:1] meanwhile")
    tmux.until(f"{PROMPT} half typed")
    tmux.key("Enter")
    assert inside.hear() == "half typed"


def test_the_shell_afterwards(tmux: Tmux, inside: Far) -> None:
    """When the client has ended, the prompt of the shell follows on the next line, and echoes."""
    inside.tell("[a:1] last")
    tmux.until("last")
    tmux.key("C-d")
    assert inside.hear() == ""
    inside.close()
    tmux.until("shell>", last=True)
    tmux.type("echo status $?")
    tmux.key("Enter")
    tmux.until("status 0")
    lines = tmux.lines()
    assert lines[lines.index("[a:1] last") + 1] == "shell> echo status $?"
