"""The programs that come back, over links that are cut."""

import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chatctl.server import MODES
from tests.cutter import Cutter
from tests.e2e.screen import Screen
from tests.rooms import COMMAND, PATIENCE, Room, environment


@pytest.fixture(params=sorted(MODES))
def room(request: pytest.FixtureRequest) -> Iterator[Room]:
    """A server that waits for who comes back."""
    room = Room(request.param, "--grace", "1h", "--greet-delay", "5")
    yield room
    room.stop()


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Callable[..., Screen]]:
    """Start a client on a terminal, without timestamps."""
    screens: list[Screen] = []

    def start(port: int, *arguments: str) -> Screen:
        screens.append(Screen("client", "127.0.0.1", str(port), "--no-timestamps", *arguments, home=tmp_path))
        return screens[-1]

    yield start
    for started in screens:
        started.close()


@pytest.mark.parametrize("form", ["--quiet", "--json"])
def test_a_bot_says_everything_once(room: Room, form: str) -> None:
    """Its link is cut when the server has its lines: it comes back, and each line is said once, in order."""
    watcher = room.stranger()
    watcher.say("/nick eve")
    with Cutter(room.port, 1) as proxy:
        result = subprocess.run(
            [*COMMAND, "bot", "127.0.0.1", str(proxy.port), "--nick", "ci", "--reconnect", form],
            input="".join(f"{number}\n" for number in range(1_000)),
            capture_output=True,
            text=True,
            env=environment(),
            timeout=PATIENCE,
        )
    assert (proxy.cuts, result.returncode) == (0, 0), result.stderr
    assert result.stderr.endswith(": again in 1 s\n")
    lines = watcher.until("The user ci left")
    assert [line for line in lines if line.startswith("[ci]")] == [f"[ci] {number}" for number in range(1_000)]
    assert sum("entered" in line for line in lines) == 1


def test_a_client_comes_back_in_silence(room: Room, screen: Callable[..., Screen]) -> None:
    """What it said is said once, what was said meanwhile is shown, and the others see nothing of it."""
    watcher = room.stranger()
    watcher.say("/nick eve", "before")
    watcher.until("before")
    with Cutter(room.port, 1) as proxy:
        client = screen(proxy.port, "--nick", "alice")
        client.until_text("-- now --")
        client.until_text("-- here: eve and you")
        client.type("mine\r")
        client.until_text("[offline, again in")
        watcher.say("meanwhile")
        client.type("\r")
        client.until_text("[eve] meanwhile")
        client.type("live\r")
        client.until_text("[You] live")
        assert sum("[You] mine" in row for row in client.rows) == 1
        assert not any("missing" in row or "maybe" in row for row in client.rows)
        client.type("\x04")
        assert client.end() == 0
    lines = watcher.until("The user alice left")
    assert [line for line in lines if line.startswith("[alice]")] == ["[alice] mine", "[alice] live"]
    assert sum("entered" in line for line in lines) == 1


def test_a_bot_that_is_interrupted_leaves(room: Room) -> None:
    """Nobody waits for who has lived to say that it goes."""
    watcher = room.stranger()
    watcher.say("/nick eve")
    with subprocess.Popen(
        [*COMMAND, "bot", "127.0.0.1", str(room.port), "--nick", "ci", "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
    ) as bot:
        watcher.until("New user ci entered")
        bot.send_signal(signal.SIGINT)
        assert watcher.until("ci")[-1] == "< The user ci left (1 user online)"
        assert bot.wait(PATIENCE) == 130


@pytest.mark.parametrize("how", ["Ctrl-C", "Ctrl-D", "SIGTERM", "SIGHUP"])
def test_a_client_that_is_ended_leaves(room: Room, screen: Callable[..., Screen], how: str) -> None:
    """Likewise, in whichever way."""
    watcher = room.stranger()
    watcher.say("/nick eve")
    client = screen(room.port, "--nick", "alice")
    client.until_text("-- here: eve and you")
    if how.startswith("SIG"):
        client.process.kill(getattr(signal, how))
    else:
        client.type({"Ctrl-C": "\x03\x03", "Ctrl-D": "\x04"}[how])
    assert watcher.until("alice left")[-1] == "< The user alice left (1 user online)"
