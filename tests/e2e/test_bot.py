"""The bot."""

import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import run
from tests.rooms import COMMAND, PATIENCE, Room, environment


def test_messages(room: Room) -> None:
    """-m says its texts, cleaned; a leading slash is said, not obeyed; nothing is no line."""
    watcher = room.peer()
    result = run("bot", "127.0.0.1", str(room.port), "-m", "안녕", "-m", "/who", "-m", "", "-m", "a\x1bb")
    assert result.returncode == 0
    assert result.stdout.splitlines()[1:] == ["[You] 안녕", "[You] /who", "[You] a␛b"]
    assert [line.split("] ")[-1] for line in watcher.until("left") if "]" in line] == ["안녕", "/who", "a␛b"]


@pytest.mark.parametrize("flags", [[], ["--wait-for-echo"], ["--rate", "200"]])
def test_a_file(room: Room, tmp_path: Path, flags: list[str]) -> None:
    """The lines of a file are said in order, as often as asked, at any pace."""
    path = tmp_path / "script"
    path.write_bytes(b"\xef\xbb\xbfone\r\n\ntwo \xff\n" + "한글".encode())
    result = run("bot", "127.0.0.1", str(room.port), str(path), "--repeat", "3", *flags)
    assert result.returncode == 0
    assert result.stdout.splitlines()[1:] == ["[You] one", "[You] two \ufffd", "[You] 한글"] * 3


def test_stdin_is_said_as_it_comes(room: Room) -> None:
    """A pipe that goes on is followed line by line, not read to its end first."""
    watcher = room.peer()
    with subprocess.Popen(
        [*COMMAND, "bot", "127.0.0.1", str(room.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdin
        for number in range(3):
            process.stdin.write(b"%d\n" % number)
            process.stdin.flush()
            assert watcher.until(rf"\] {number}$")
        process.stdin.close()
        assert process.wait(PATIENCE) == 0


def test_many_lines(room: Room) -> None:
    """20,000 lines at full speed: every echo is accounted for."""
    result = run("bot", "127.0.0.1", str(room.port), input="".join(f"{n}\n" for n in range(20_000)))
    assert result.returncode == 0
    assert result.stdout.count("[You]") == 20_000


def test_rate(room: Room) -> None:
    """--rate spaces lines evenly."""
    began = time.monotonic()
    result = run("bot", "127.0.0.1", str(room.port), "-m", "x", "--repeat", "11", "--rate", "20")
    assert result.returncode == 0
    assert time.monotonic() - began > 0.5


def test_a_line_that_is_refused_is_missing(room: Room) -> None:
    """What the server does not relay is counted: status 3 with the number."""
    result = run("bot", "127.0.0.1", str(room.port), "-m", "first", "-m", "x" * 5000, "-m", "last")
    assert result.returncode == 3
    assert result.stderr == "chatctl bot: 1 of 3 lines were not echoed\n"


def test_a_server_that_goes_away(room: Room) -> None:
    """When the connection ends before the bot does, the status is 1, and it says what is missing."""
    with subprocess.Popen(
        [*COMMAND, "bot", "127.0.0.1", str(room.port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdout
        assert process.stdout.readline()
        room.signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 1
        assert process.stderr
        assert process.stderr.read() == b"chatctl bot: the server went away\n"


def test_a_server_that_does_not_echo() -> None:
    """Whoever accepts and closes, but echoes nothing, leaves all lines missing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        bot = subprocess.Popen(
            [*COMMAND, "bot", "127.0.0.1", str(listening.getsockname()[1]), "-m", "hello"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        )
        peer, _ = listening.accept()
        with peer:
            peer.sendall(b"hi\n")
            assert peer.makefile("rb").read() == b"hello\n"
        _, stderr = bot.communicate(timeout=PATIENCE)
        assert (bot.returncode, stderr) == (3, b"chatctl bot: 1 of 1 lines were not echoed\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["-m", "x", "/dev/null"],
        ["/no/such/file"],
        ["--rate", "0", "-m", "x"],
        ["--repeat", "0", "-m", "x"],
        ["--rate", "nan", "-m", "x"],
    ],
)
def test_bad_usage(arguments: list[str]) -> None:
    """Contradictions and impossible values are usage errors, before any connection."""
    result = run("bot", "127.0.0.1", "9", *arguments)
    assert result.returncode == 2
    assert re.fullmatch(r"chatctl bot: .+\nTry 'chatctl bot --help'\.\n", result.stderr)
