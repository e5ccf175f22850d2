"""The bot between a room and another program: lines in, events out, for as long as both live."""

import json
import re
import socket
from collections.abc import Callable
from typing import Any

from tests.e2e.conftest import WELCOME, Program, run
from tests.rooms import PATIENCE, Room


def event(bot: Program) -> tuple[str, Any]:
    """The kind of the next event that the bot shows, and what was said or how many are online."""
    shown = json.loads(bot.stdout.readline())
    return shown["kind"], shown["text"] or shown["users"]


def test_both_ways(program: Callable[..., Program]) -> None:
    """Each line is said when it comes, each event is shown when it happens, in any order; it leaves with its input."""
    bot = program("bot", "--json")
    bot.be_plain()
    bot.tell(WELCOME)
    assert event(bot) == ("connected", 1)
    for number in range(3):  # nobody has given it a line yet
        bot.tell(f"[a:1] 안녕 {number}")
        assert event(bot) == ("message", f"안녕 {number}")
    for number in range(3):
        bot.type(f"/line {number}")
        assert bot.hear() == f"//line {number}"
        bot.tell("> New user a:2 entered (2 users online)", f"[You] /line {number}")
        assert event(bot) == ("entered", 2)
        assert event(bot) == ("own", f"/line {number}")
    bot.stdin.write(b"no newline")
    bot.stdin.close()
    assert bot.hear() == "no newline"
    bot.tell("[You] no newline")
    assert event(bot) == ("own", "no newline")
    assert bot.hear() == ""
    bot.hang_up()
    assert bot.process.wait(PATIENCE) == 0
    assert bot.stdout.read() == b""


def test_the_room_goes_away(program: Callable[..., Program]) -> None:
    """It ends, and with it its output, though its input stays open and silent."""
    bot = program("bot", "--json")
    bot.be_plain()
    bot.tell(WELCOME, "! server shutting down")
    bot.hang_up()
    shown = [json.loads(line)["kind"] for line in bot.stdout]
    assert shown == ["connected", "answer"]
    assert bot.process.wait(PATIENCE) == 1
    assert not bot.stdin.closed
    assert bot.process.stderr
    assert bot.process.stderr.read() == b"chatctl bot: the server went away\n"


def test_the_room_comes_back(program: Callable[..., Program], listening: socket.socket) -> None:
    """With --reconnect it goes on: what it was given meanwhile is said, and it shows that it is connected again."""
    bot = program("bot", "--json", "--reconnect")
    bot.be_plain()
    bot.tell(WELCOME)
    assert event(bot) == ("connected", 1)
    bot.hang_up()
    assert bot.process.stderr
    assert re.fullmatch(rb"chatctl bot: the server went away: again in [12] s\n", bot.process.stderr.readline())
    bot.type("a", "b")
    bot.meet(listening)
    bot.tell(WELCOME)
    assert event(bot) == ("connected", 1)
    for line in "ab":
        assert bot.hear() == line
        bot.tell(f"[You] {line}")
        assert event(bot) == ("own", line)
    bot.stdin.close()
    assert bot.hear() == ""
    bot.hang_up()
    assert bot.process.wait(PATIENCE) == 0


def test_a_line_that_is_too_long(room: Room) -> None:
    """The room answers that it is, what is before and behind it is said, and the end is status 3."""
    done = run("bot", "127.0.0.1", str(room.port), "--json", input=f"before\n{'x' * 4097}\nbehind\n")
    shown = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(event["kind"], event["text"]) for event in shown[1:]] == [
        ("own", "before"),
        ("error", "line too long, not sent: it may have 4096 bytes"),
        ("own", "behind"),
    ]
    assert (done.returncode, done.stderr) == (3, "chatctl bot: 1 of 3 lines were not echoed\n")
