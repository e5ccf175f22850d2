"""The server as a program: its arguments, its screen, its ends."""

import contextlib
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from chatctl import __version__
from tests.e2e.conftest import Window, run
from tests.rooms import COMMAND, PATIENCE, Certificates, Room, environment


@pytest.mark.parametrize("command", [[], ["server"], ["client"], ["bot"], ["cert"]])
def test_help(command: list[str]) -> None:
    """Every command explains itself."""
    result = run(*command, "--help")
    assert result.returncode == 0
    assert result.stdout.startswith("Usage: chatctl")
    assert result.stderr == ""


def test_version() -> None:
    """--version names the version."""
    assert run("--version").stdout == f"chatctl {__version__}\n"


def test_ctrl_c(window: Callable[..., Window], mode: str) -> None:
    """Ctrl-C in the server's window ends it with 0; a client in the room is told."""
    server = window("server", "127.0.0.1", "0", "--mode", mode)
    port = server.until(".")[0].split()[-1].removesuffix(".")
    client = window("client", "--plain", "127.0.0.1", port)
    client.until("(1 user online)")
    server.process.sendintr()
    assert server.end() == 0
    assert client.end() == 1
    assert "! server shutting down" in client.lines


def test_a_port_in_use(mode: str) -> None:
    """One line that names the address and what to do, and status 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("server", "127.0.0.1", str(port), "--mode", mode)
    assert result.returncode == 1
    assert result.stderr == (
        f"chatctl server: cannot listen on 127.0.0.1:{port}: "
        "the port is in use: choose another, or 0 for any free one\n"
    )
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("host", "names"), [("192.0.2.1", "192.0.2.1:0"), ("no-such-host.invalid", "no-such-host.invalid")]
)
def test_an_address_that_is_not_here(host: str, names: str) -> None:
    """The same for an address of some other machine, and for a name without one."""
    result = run("server", host, "0")
    assert result.returncode == 1
    assert result.stderr.startswith(f"chatctl server: cannot listen on {names}: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["9999"], ["127.0.0.1", "65536"], ["127.0.0.1", "0", "--mode", "fork"]])
def test_bad_usage(arguments: list[str]) -> None:
    """Usage errors end with 2."""
    assert run("server", *arguments).returncode == 2


def test_more_users_than_descriptors(mode: str) -> None:
    """--max-users beyond the descriptor limit is granted, with a warning."""
    room = Room(mode, "--max-users", "500", descriptors=64)
    room.stop()
    assert "500 users need more descriptors than the limit of 64" in room.stderr


def test_as_many_users_as_descriptors(mode: str) -> None:
    """By default there are no more users than descriptors for them, and nobody meets the limit."""
    room = Room(mode, "-v", descriptors=52)
    peers = [room.stranger() for _ in range(40)]
    first = [peer.line() for peer in peers]
    room.stop()
    assert sum(line == "! server full" for line in first) == 8
    assert "descriptors" not in room.stderr


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_more_newcomers_at_once_than_descriptors(mode: str, tmp_path: Path, secure: bool) -> None:
    """A storm that takes all descriptors before anybody is in ends nothing."""
    room = Room(mode, "--max-users", "500", descriptors=40, certificates=Certificates(tmp_path) if secure else None)
    storm = [socket.create_connection(("127.0.0.1", room.port)) for _ in range(60)]
    for each in storm:
        each.close()
    while (peer := room.stranger()).line().startswith("!"):
        peer.close()
    assert peer.fence() is not None
    room.stop()


def test_stderr_that_nobody_reads_stalls_nothing(mode: str) -> None:
    """A log into a pipe that is full does not hold the room up, at its end neither."""
    unread, stderr = os.pipe()
    os.set_blocking(stderr, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(stderr, b"x")
    os.set_blocking(stderr, True)
    os.read(unread, 4096)  # there is room for the first lines only
    process = subprocess.Popen(
        [*COMMAND, "server", "127.0.0.1", "0", "--mode", mode, "-v", "--greet-delay", "0"],
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=environment(),
    )
    os.close(stderr)
    with process, open(unread, "rb") as log:
        assert process.stdout
        started = re.search(rb"(\d+)\.", process.stdout.readline())
        assert started
        for _ in range(400):
            with socket.create_connection(("127.0.0.1", int(started[1]))) as visitor:
                visitor.shutdown(socket.SHUT_WR)
                assert process.stdout.readline().startswith(b">")
                assert process.stdout.readline().startswith(b"<")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
        shown = log.read().lstrip(b"x")
        assert re.match(
            rb"chatctl server: \d\d:\d\d:\d\d join: .*\nchatctl server: \d\d:\d\d:\d\d 127\.0\.0\.1:", shown
        )
        assert b"Traceback" not in shown


def test_how_to_join(window: Callable[..., Window], mode: str) -> None:
    """On a terminal the line behind the first one says what others have to type, and that is right."""
    server = window("server", "127.0.0.1", "0", "--mode", mode)
    first, join = server.until("(plain text, no password)")
    port = re.fullmatch(r"Chat Server started on port (\d+)\.", first)
    assert port
    enter = f"chatctl client 127.0.0.1 {port[1]}"
    assert join == f"chatctl server: join: {enter}, or nc 127.0.0.1 {port[1]} (plain text, no password)"
    assert run(*enter.split()[1:]).returncode == 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], ""),
        (["-q"], ""),
        (["-v"], r"chatctl server: \d\d:\d\d:\d\d join: chatctl client 127\.0\.0\.1 \d+, or .*\n"),
    ],
)
def test_how_to_join_in_a_pipe(mode: str, flags: list[str], said: str) -> None:
    """Where nobody may be there to read it, it is said with -v, with the time as all that -v says."""
    room = Room(mode, *flags)
    if said:
        room.stderr_until("join: ")
    room.end()
    assert room.wait() == 0
    room.stop()
    assert re.fullmatch(said, room.stderr)


def test_quiet_on_a_terminal(window: Callable[..., Window], mode: str) -> None:
    """With -q it is not said there either."""
    server = window("server", "127.0.0.1", "0", "--mode", mode, "-q")
    server.until(".")
    server.process.sendintr()
    assert server.end() == 0
    assert not any("join" in line for line in server.lines)


def test_how_to_join_under_tls(mode: str, tmp_path: Path) -> None:
    """The line for a certificate that signs itself has its fingerprint: nobody has to carry a file."""
    made = run("cert", "localhost", cwd=tmp_path)
    pair = ["--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem")]
    room = Room(mode, "-v", *pair)
    join = re.search(r"join: chatctl (client .* --tls-pin (\S+)), or", room.stderr_until("join: ")[0])
    assert join
    assert f"fingerprint: {join[2]}\n" in made.stdout
    entered = run(*join[1].split())
    room.stop()
    assert (entered.returncode, entered.stderr) == (0, "")


def test_warnings_at_the_start(mode: str, tmp_path: Path) -> None:
    """A password that the network can read, and a file that others can, are said whether anybody is there or not."""
    password = tmp_path / "password"
    password.write_text("secret\n")
    password.chmod(0o644)
    room = Room(mode, "--password-file", str(password), host="0.0.0.0")
    room.stderr_until("chmod")
    room.stop()
    plain = "the password crosses the network in plain text: give --tls-cert FILE (chatctl cert makes one)"
    assert room.stderr == (
        f"chatctl server: {plain}\nchatctl server: others on this machine can read {password}: chmod 600 {password}\n"
    )


def test_no_times_for_the_journal(mode: str) -> None:
    """The journal of systemd has its own."""
    journal, stderr = os.pipe()
    found = os.fstat(stderr)
    process = subprocess.Popen(
        [*COMMAND, "server", "127.0.0.1", "0", "--mode", mode, "-v"],
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        env=environment(JOURNAL_STREAM=f"{found.st_dev}:{found.st_ino}"),
    )
    os.close(stderr)
    with process, open(journal) as lines:
        assert lines.readline().startswith("chatctl server: join: chatctl client 127.0.0.1 ")
        process.terminate()
        assert process.wait(PATIENCE) == 0
