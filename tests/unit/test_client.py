"""What the client decides and remembers, without a terminal."""

import fcntl
import os
import stat
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from chatctl.cli import cli
from chatctl.client import is_colored, is_rich
from chatctl.client.members import Members
from chatctl.screen.graphemes import stand_in
from chatctl.screen.history import MOST, open_history, path
from chatctl.wire import parse


@pytest.mark.parametrize(
    ("plain", "stdin", "stdout", "term", "rich"),
    [
        (False, True, True, "xterm-256color", True),
        (False, True, True, "vt100", True),
        (True, True, True, "xterm", False),
        (False, False, True, "xterm", False),
        (False, True, False, "xterm", False),
        (False, True, True, "", False),
        (False, True, True, "dumb", False),
        (False, True, True, "unknown", False),
    ],
)
def test_rich_or_plain(plain: bool, stdin: bool, stdout: bool, term: str, rich: bool) -> None:
    """Rich takes two terminals that can draw a line anew, and nobody who asks for plain."""
    assert is_rich(plain=plain, stdin=stdin, stdout=stdout, term=term) is rich


@pytest.mark.parametrize(
    ("choice", "rich", "environment", "colored"),
    [
        ("auto", True, {}, True),
        ("auto", False, {}, False),
        ("auto", True, {"NO_COLOR": "1"}, False),
        ("auto", True, {"NO_COLOR": ""}, True),
        ("always", False, {"NO_COLOR": "1"}, True),
        ("never", True, {}, False),
    ],
)
def test_colored_or_not(choice: str, rich: bool, environment: dict[str, str], colored: bool) -> None:
    """What is asked for goes before NO_COLOR, and that before the terminal."""
    assert is_colored(choice, rich=rich, environment=environment) is colored


def learned(*lines: str) -> Members:
    members = Members()
    for line in lines:
        members.learn(parse(line))
    return members


def test_members() -> None:
    """Who entered, spoke or was listed is known, the last one first, until it leaves."""
    members = learned(
        "> Connected to the chat server (2 users online)",
        "> New user 10.0.0.1:1 entered (3 users online)",
        "[10.0.0.2:2] hi",
        "! 2 users online",
        "! 10.0.0.3:3",
        "! 10.0.0.4:4 (you)",
        "! bye",
        "! 10.0.0.9:9",
        "[10.0.0.1:1] again",
        "< The user 10.0.0.2:2 left (2 users online)",
    )
    assert members.beginning_with("10.") == ["10.0.0.1:1", "10.0.0.4:4", "10.0.0.3:3"]
    assert members.beginning_with("10.0.0.3") == ["10.0.0.3:3"]
    assert (members.users, members.me) == (2, "10.0.0.4:4")


def test_members_with_names() -> None:
    """They are known by their names, in capitals or not, and so is who wrote last to this member alone."""
    members = learned(
        "> Connected to the chat server (3 users online)",
        "! 3 users online",
        "! Alice 10.0.0.3:3",
        "! 10.0.0.4:4 (you)",
        "! bob 10.0.0.5:5",
        "(bob to You) psst",
        "! you are eve now",
        "= The user bob is now rob",
        "(You to Alice) x",
    )
    assert members.beginning_with("") == ["rob", "Alice"]
    assert members.beginning_with("al") == ["Alice"]
    assert (members.me, members.whisperer) == ("eve", "rob")


def test_members_of_another_room() -> None:
    """Who comes anew knows nobody yet."""
    members = learned("[10.0.0.2:2] hi", "> Connected to the chat server (5 users online)")
    assert members.beginning_with("") == []


@pytest.mark.parametrize("text", ["👩‍💻", "🇰🇷", "👋🏽", "❤️", "1️⃣", "한글", "plain", "e\u0301"])
def test_stand_ins_have_one_code_point_each(text: str) -> None:
    """The cursor stays where it is, and nothing is as wide in one terminal and wider in another."""
    from prompt_toolkit.utils import get_cwidth
    from wcwidth import width

    shown = stand_in(text)
    assert len(shown) == len(text)
    assert sum(get_cwidth(character) for character in shown) == width(shown)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the user's state is kept."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def test_history_is_private_and_bounded(state: Path) -> None:
    """Nobody else can read it; of more than 5,000 entries the oldest go when it is opened."""
    history = open_history()
    for number in range(MOST + 10):
        history.store_string(f"line {number}\nof two")
    assert list(open_history().load_history_strings())[:2] == [f"line {MOST + 9}\nof two", f"line {MOST + 8}\nof two"]
    kept = list(open_history().load_history_strings())
    assert (len(kept), kept[-1]) == (MOST, "line 10\nof two")
    file = state / "chatctl" / "history"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [entry.name for entry in file.parent.iterdir()] == ["history"]


def test_two_clients_that_trim_the_history(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one says, and what it trims, in the middle of another's trimming is not lost."""
    said = open_history()
    for number in range(MOST + 1):
        said.store_string(f"{number}")
    arrived = threading.Event()
    lock, replace = fcntl.flock, Path.replace

    def arriving(descriptor: int, operation: int) -> None:
        if threading.current_thread() is other:
            arrived.set()
        lock(descriptor, operation)

    def say() -> None:
        try:
            said.store_string("in between")
            open_history().store_string("after its own trimming")
        finally:
            arrived.set()

    def interrupted(file: Path, target: Path) -> Path:
        if not arrived.is_set():
            other.start()
            arrived.wait()
        return replace(file, target)

    other = threading.Thread(target=say)
    monkeypatch.setattr("fcntl.flock", arriving)
    monkeypatch.setattr(Path, "replace", interrupted)
    last = open_history()
    other.join()
    last.store_string("last")
    kept = list(last.load_history_strings())
    assert kept[:4] == ["last", "after its own trimming", "in between", f"{MOST}"]


def test_history_of_a_careless_umask(state: Path) -> None:
    """A file that others could read is closed to them."""
    file = state / "chatctl" / "history"
    file.parent.mkdir(parents=True)
    file.write_text("")
    file.chmod(0o644)
    open_history()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_history_without_a_place(state: Path) -> None:
    """Where no file can be had there is a history of this run."""
    state.write_text("in the way")
    history = open_history()
    history.append_string("line")
    assert history.get_strings() == ["line"]


def test_history_of_a_relative_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The specification has relative paths ignored."""
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", os.sep + "home")
    assert path() == Path("/home/.local/state/chatctl/history")


def test_an_interrupt_in_the_middle_of_something(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is Ctrl-C also where it makes a lock complain."""

    def interrupted(*_: object, **__: object) -> None:
        try:
            raise KeyboardInterrupt
        finally:
            threading.Lock().release()

    monkeypatch.setattr("chatctl.client.run", interrupted)
    result = CliRunner().invoke(cli, ["client", "127.0.0.1", "1"])
    assert (result.exit_code, result.output) == (130, "")
