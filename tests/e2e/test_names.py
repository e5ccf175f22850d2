"""Names, actions and private lines, as the client on a terminal, the filter and the bot have them."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chatctl.server import MODES
from tests.e2e.conftest import run
from tests.e2e.screen import ASKED, Place, Screen
from tests.rooms import COMMAND, PATIENCE, Peer, Room, environment


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Callable[..., Screen]]:
    """Start a client on a terminal, without timestamps."""
    screens: list[Screen] = []

    def start(port: int, *arguments: str, **options: Any) -> Screen:
        words = ("client", "127.0.0.1", str(port), "--no-timestamps", *arguments)
        screens.append(Screen(*words, **({"home": tmp_path} | options)))
        return screens[-1]

    yield start
    for started in screens:
        started.close()


@pytest.fixture(params=sorted(MODES))
def greeting(request: pytest.FixtureRequest) -> Iterator[Room]:
    """A server in each mode that waits for a name before it greets."""
    room = Room(request.param, "--greet-delay", "0.05")
    yield room
    room.stop()


@pytest.mark.parametrize("words", [["--nick", "alice"], []])
def test_a_client_with_a_name(words: list[str], greeting: Room) -> None:
    """It enters under that, whether an option says it or the environment."""
    watcher = greeting.peer()
    done = subprocess.run(
        [*COMMAND, "client", "127.0.0.1", str(greeting.port), *words],
        input="hi\n/me waves\n",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=environment(**({} if words else {"CHATCTL_NICK": "alice"})),
    )
    assert done.stdout.splitlines() == [
        "> Connected to the chat server (2 users online)",
        "! you are alice now",
        "[You] hi",
        "* alice waves",
    ]
    assert watcher.until("left") == [
        "> New user alice entered (2 users online)",
        "[alice] hi",
        "* alice waves",
        "< The user alice left (1 user online)",
    ]


@pytest.mark.parametrize("name", ["a b", "127.0.0.1", "you", "a" * 21])
@pytest.mark.parametrize("command", ["client", "bot"])
def test_names_that_are_none(command: str, name: str) -> None:
    """They are a mistake in the command line, which says why."""
    result = run(command, "127.0.0.1", "9", "--nick", name)
    assert result.returncode == 2
    assert f"{name!r} cannot be had: " in result.stderr


def test_names_of_many_bots() -> None:
    """With their numbers they have to be names, too."""
    result = run("bot", "127.0.0.1", "9", "--nick", "a" * 19, "--bots", "10")
    assert result.returncode == 2
    assert f"'{'a' * 19}-10' cannot be had: " in result.stderr


def test_a_name_and_a_password(place: Place) -> None:
    """The name is said first, the password when it is asked for."""
    with subprocess.Popen(
        [*COMMAND, "client", "127.0.0.1", str(place.port), "--nick", "alice"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=environment(CHATCTL_PASSWORD="sesame"),
    ) as client:
        far = place.accept("")
        assert far.hear() == "/nick alice"
        far.tell(ASKED)
        assert far.hear() == "sesame"
        far.close()
        client.communicate(timeout=PATIENCE)


def test_talking_alone(room: Room, screen: Callable[..., Screen]) -> None:
    """A private line stands out and rings, Tab fills in who wrote it, and the answer goes to that one alone."""
    peer, other = room.peers(2)
    peer.say("/nick bob")
    client = screen(room.port, "--nick", "alice")
    client.until_text("-- here: bob, ")
    peer.say("/msg Alice psst")
    client.until_text("(bob to You) psst")
    assert client.raw.count(b"\x07") == 1
    client.type("/msg \t")
    client.until_text("] > /msg bob")
    client.type(" hey\r")
    client.until_text("(You to bob) hey")
    assert peer.until("hey")[-1] == "(alice to You) hey"
    assert [line for line in other.fence() if "psst" in line or "hey" in line] == []


def test_a_name_is_kept_over_connections(place: Place, screen: Callable[..., Screen]) -> None:
    """The client asks for the last one that it had."""
    client = screen(place.port)
    far = place.accept()
    client.until_text("-- nobody else is here")
    client.type("/nick carol\r")
    assert far.hear() == "/nick carol"
    far.tell("! you are carol now")
    client.until_text("you are carol now")
    far.close()
    far = place.accept("")
    far.be_plain("! no such command: /json")
    assert far.hear() == "/nick carol"


def test_who_has_no_name_is_told_how_to(room: Room, screen: Callable[..., Screen]) -> None:
    """Once, with the address that the room knows."""
    client = screen(room.port)
    client.until_text(": /nick NAME gives you a name")
    client.type("/nick 김철수\r")
    client.until_text("! you are 김철수 now")
    assert sum("gives you a name" in row for row in client.rows) == 1


def test_a_bot_answers_in_private(room: Room) -> None:
    """A private line can be expected, and is answered by ``msg`` alone, never before all."""
    script = """
        on /^\\((\\S+) to You\\) psst/ msg {1} you said {0}
        on psst send never
        expect "to You) psst" within 20
        msg eve bye
    """
    with subprocess.Popen(
        [*COMMAND, "bot", "127.0.0.1", str(room.port), "--nick", "robot", "--script", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as bot:
        watcher = room.peer()
        watcher.say("/nick eve")
        assert bot.stdin
        bot.stdin.write(script)
        bot.stdin.close()
        bot.stdin = None
        if "robot" not in " ".join(who(watcher)):
            watcher.until("robot")
        watcher.say("/msg robot psst")
        lines = watcher.until("left")
        bot.communicate(timeout=PATIENCE)
    assert [line for line in lines if "robot to You" in line] == [
        "(robot to You) you said (eve to You) psst",
        "(robot to You) bye",
    ]
    assert bot.returncode == 0
    assert "never" not in " ".join(lines)


def test_bots_with_names(room: Room) -> None:
    """Several are told apart by their numbers."""
    watcher = room.peer()
    result = run("bot", "127.0.0.1", str(room.port), "--nick", "duo", "--bots", "2", "-m", "hi from {bot}")
    assert result.returncode == 0
    said = sorted(line for _ in range(2) for line in watcher.until("hi from")[-1:])
    assert said == ["[duo-1] hi from {bot}", "[duo-2] hi from {bot}"]


def who(peer: Peer) -> list[str]:
    peer.say("/who")
    lines = peer.until(r"^! \d+ users? online$")
    return [*lines, *(peer.line() for _ in range(int(lines[-1].split()[1])))]


def test_json(room: Room) -> None:
    """Renames, actions and private lines are events of their own kinds, with whom they are for."""
    with subprocess.Popen(
        [*COMMAND, "bot", "127.0.0.1", str(room.port), "--json", "--nick", "robot"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as bot:
        assert bot.stdin
        assert bot.stdout
        seen = [json.loads(bot.stdout.readline())]
        peer = room.peer()
        peer.say("/nick bob", "/me waves", "/msg robot psst")
        seen += [json.loads(bot.stdout.readline()) for _ in range(4)]
        bot.stdin.close()
        assert bot.wait(PATIENCE) == 0
    assert [(row["kind"], row["from"], row["text"], row["to"]) for row in seen] == [
        ("connected", None, "", None),
        ("entered", peer.name, "", None),
        ("renamed", peer.name, "bob", None),
        ("action", "bob", "waves", None),
        ("private", "bob", "psst", None),
    ]
    assert [row["uid"] - seen[1]["uid"] for row in seen[1:]] == [0] * 4
    assert [row["seq"] and row["seq"] - seen[0]["seq"] for row in seen] == [0, 1, 2, 3, None]
    assert os.environ.get("CHATCTL_NICK") is None
