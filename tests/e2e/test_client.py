"""The client, on a terminal and in pipes."""

import os
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

from tests.e2e.conftest import WELCOME, Window, run
from tests.e2e.screen import Place
from tests.rooms import COMMAND, PATIENCE, Room, environment


def test_a_pipe_gets_its_echoes(room: Room) -> None:
    """Both lines are said, both echoes come back, and the end is a good one."""
    result = run("client", "127.0.0.1", str(room.port), input="a\nb\n")
    assert result.returncode == 0
    assert result.stdout == "> Connected to the chat server (1 user online)\n[You] a\n[You] b\n"
    assert result.stderr == ""


def test_commands_in_a_pipe(room: Room) -> None:
    """Commands work without a terminal; a last line needs no newline."""
    result = run("client", "127.0.0.1", str(room.port), input="/who\nlast")
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert lines[1] == "! 1 user online"
    assert lines[2].endswith(" (you)")
    assert lines[3] == "[You] last"


def test_quit_in_a_pipe(room: Room) -> None:
    """/quit is a good end too, though stdin goes on."""
    with subprocess.Popen(
        [*COMMAND, "client", "127.0.0.1", str(room.port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"/quit\n")
        process.stdin.flush()
        assert process.stdout.read().endswith(b"! bye\n")
        assert process.wait(PATIENCE) == 0


def test_output_into_a_closed_pipe(room: Room) -> None:
    """``| head -1`` ends the client quietly."""
    shell = f"""exec 3>&1; {{ "$@" client 127.0.0.1 {room.port}; echo "status $?" >&3; }} | head -n 1"""
    lines = "".join(f"{number}\n" for number in range(10_000))
    result = subprocess.run(
        ["sh", "-c", shell, "sh", *COMMAND],
        input=lines,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=environment(),
    )
    assert sorted(result.stdout.splitlines()) == ["> Connected to the chat server (1 user online)", "status 0"]
    assert result.stderr == ""


def test_a_file_larger_than_the_window(room: Room, tmp_path: Path) -> None:
    """A file whose echo is more than the server keeps for anybody comes back whole."""
    path = tmp_path / "lines"
    path.write_text("".join(f"{number} {'x' * 60}\n" for number in range(200_000)))
    with path.open() as file:
        result = run("client", "127.0.0.1", str(room.port), stdin=file)
    assert result.returncode == 0
    assert [int(line.split()[1]) for line in result.stdout.splitlines()[1:]] == list(range(200_000))


def test_a_full_room(mode: str) -> None:
    """A client that is refused says why, and ends with 1 whatever it had to send."""
    room = Room(mode, "--max-users", "1")
    inside = room.peer()
    for command in ("client", "bot"):
        result = run(command, "127.0.0.1", str(room.port), input="a\nb\n")
        assert result.returncode == 1
        assert result.stderr.startswith(f"chatctl {command}: the server refused: server full")
    inside.close()
    room.stop()


def test_received_text_is_cleaned_again() -> None:
    """What a server of another make sends cannot reach into the terminal either."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = subprocess.Popen(
            [*COMMAND, "client", "127.0.0.1", str(listening.getsockname()[1])],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=environment(),
        )
        peer, _ = listening.accept()
        with peer:
            peer.sendall("[a:1] \x1b[2J\x07 한\r\nHTTP? \u202e\n".encode())
            assert peer.recv(1) == b""  # the client has half-closed
            peer.sendall(b"half \xfe")
        output, _ = client.communicate(timeout=PATIENCE)
        assert output.decode() == "[a:1] ␛[2J␇ 한\nHTTP? \ufffd\nhalf \ufffd\n"
        assert client.returncode == 0


def test_the_screen(window: Callable[..., Window], room: Room) -> None:
    """What is typed and what comes stand below one another, and no member can clear the screen of another."""
    client = window("client", "--plain", "127.0.0.1", str(room.port), echo=True)
    client.until("(1 user online)")
    client.type("한국어 👋")
    client.until("[You] 한국어 👋")
    with room.peer() as peer:
        peer.say("\x1b[2J\x1b[Hgone? \u202e")
        client.until("\ufffd")
        assert client.screen() == [
            "> Connected to the chat server (1 user online)",
            "한국어 👋",
            "[You] 한국어 👋",
            f"> New user {peer.name} entered (2 users online)",
            f"[{peer.name}] ␛[2J␛[Hgone? \ufffd",
        ]


@pytest.mark.parametrize(("key", "status"), [("sendeof", 0), ("sendintr", 130)])
def test_keys_that_end(window: Callable[..., Window], room: Room, key: str, status: int) -> None:
    """Ctrl-D ends with 0, Ctrl-C with 130, both without a word, and the others see it."""
    watcher = room.peer()
    client = window("client", "--plain", "127.0.0.1", str(room.port))
    client.until("(2 users online)")
    getattr(client.process, key)()
    assert client.end() == status
    assert [line for line in client.lines if line] == ["> Connected to the chat server (2 users online)"]
    assert watcher.until("left")[-1].endswith("left (1 user online)")


def test_a_server_that_goes_away(window: Callable[..., Window], room: Room) -> None:
    """The client says so and ends with 1, after everything that the server sent."""
    client = window("client", "--plain", "127.0.0.1", str(room.port))
    client.until("(1 user online)")
    room.signal(signal.SIGTERM)
    assert client.end() == 1
    assert client.lines[-2:] == ["! server shutting down", "chatctl client: the server went away"]


@pytest.mark.parametrize("command", ["client", "bot"])
def test_bad_addresses(command: str) -> None:
    """Refused, unknown or impossible: one line that names the address, and status 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]
    for host in ("127.0.0.1", "no-such-host.invalid", "x" * 70):
        result = run(command, host, str(free))
        assert result.returncode == 1
        assert result.stderr.count("\n") == 1
        assert f"{host} port {free}" in result.stderr


def test_waiting_for_a_server(place: Place) -> None:
    """A filter that is to wait for a server says why, once, and sends its input to the first that lets it in."""
    place.shut()
    with subprocess.Popen(
        [*COMMAND, "client", "127.0.0.1", str(place.port), "--wait"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as client:
        assert client.stdin
        assert client.stderr
        client.stdin.write(b"hi\n")
        client.stdin.close()
        client.stdin = None
        reason = client.stderr.readline().decode()
        assert reason.startswith("-- cannot connect to")
        assert reason.endswith("Connection refused: is the server running?: trying again\n")
        place.open()
        place.accept("! server full").close()
        far = place.accept(WELCOME)
        assert far.hear() == "hi"
        assert far.hear() == ""  # the end of the input
        far.close()
        _, errors = client.communicate(timeout=PATIENCE)
    assert client.returncode == 0
    assert errors.decode().splitlines() == ["-- the server refused: server full: trying again"]


def test_a_server_that_says_nothing(place: Place) -> None:
    """The filter gives a hint on stderr that it may speak TLS, and goes on."""
    with subprocess.Popen(
        [*COMMAND, "client", "127.0.0.1", str(place.port)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as client:
        far = place.accept("")
        assert client.stderr
        hint = client.stderr.readline().decode()
        assert hint == "-- connected, but the server says nothing yet: does the room speak TLS (--tls)?\n"
        far.tell(WELCOME)
        assert far.hear() == ""
        far.close()
        output, errors = client.communicate(timeout=PATIENCE)
    assert (output.decode(), errors, client.returncode) == (f"{WELCOME}\n", b"", 0)


def test_interrupt_while_nothing_happens(room: Room) -> None:
    """SIGINT in a pipe ends with 130 and not a word on stderr."""
    process = subprocess.Popen(
        [*COMMAND, "client", "127.0.0.1", str(room.port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert process.stdout
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=PATIENCE)
    assert (process.returncode, stderr) == (130, b"")


def test_input_that_cannot_be_read(room: Room, tmp_path: Path) -> None:
    """A descriptor that is not open for reading is one line and status 2."""
    descriptor = os.open(tmp_path / "output", os.O_WRONLY | os.O_CREAT)
    result = run("client", "127.0.0.1", str(room.port), stdin=descriptor)
    os.close(descriptor)
    assert result.returncode == 2
    assert result.stderr == "chatctl client: cannot read the input: Bad file descriptor\n"


def test_output_that_cannot_be_written(room: Room) -> None:
    """An output that cannot be written is one line and status 1."""
    with open(os.devnull, "rb") as unwritable:
        result = run(
            "client", "127.0.0.1", str(room.port), capture_output=False, stdout=unwritable, stderr=subprocess.PIPE
        )
    assert result.returncode == 1
    assert result.stderr == "chatctl client: cannot write to stdout: Bad file descriptor\n"


def test_closed_standard_streams(room: Room) -> None:
    """Without stdin, stdout and stderr the client is silent, and never takes its socket for one of them."""
    watcher = room.peer()
    shell = f'"$@" client 127.0.0.1 {room.port} <&- >&- 2>&-; echo $?'
    result = subprocess.run(
        ["sh", "-c", shell, "sh", *COMMAND], capture_output=True, text=True, timeout=PATIENCE, env=environment()
    )
    assert result.stdout == "0\n"
    assert [line[0] for line in watcher.until("left")] == [">", "<"]


def _version_of_telnet() -> str:
    try:
        return subprocess.run(["telnet", "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout
    except FileNotFoundError:
        return ""


def test_nc_beside_the_client(room: Room) -> None:
    """The netcat of the system is a member like any other."""
    watcher = room.peer()
    result = subprocess.run(
        ["nc", "-N", "127.0.0.1", str(room.port)],
        input="hi from nc\n/who\n",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    lines = result.stdout.splitlines()
    assert lines[:2] == ["> Connected to the chat server (2 users online)", "[You] hi from nc"]
    assert f"! {watcher.name}" in lines
    assert watcher.until("left")[-2].endswith("] hi from nc")


@pytest.mark.skipif("inetutils" not in _version_of_telnet(), reason="needs the telnet of GNU inetutils")
@pytest.mark.parametrize(
    ("options", "garbled"), [(["--", "127.0.0.1", "-{port}"], 0), (["-E", "127.0.0.1", "{port}"], 1)]
)
def test_telnet_types_korean(room: Room, options: list[str], garbled: int) -> None:
    """Debian's telnet passes every byte once it has negotiated: at once, or behind its first line with -E."""
    watcher = room.peer()
    words = [option.format(port=room.port) for option in options]
    telnet = pexpect.spawn("telnet", words, env=environment(), encoding="utf-8", timeout=PATIENCE)
    telnet.delaybeforesend = None
    telnet.expect_exact("(2 users online)")
    for mark in ("first", "second"):  # what it sent before its first line is answered by the second of these
        watcher.say(mark)
        telnet.expect_exact(mark)
    watcher.until("second")
    for number in range(3):
        telnet.send(f"이것은 한국어 ❤ {number}\r")
        telnet.expect(rf"\[You\] [^\r]* {number}\r")
    telnet.close(force=True)
    said = [line.split("] ", 1)[1] for line in watcher.until("left") if line.startswith("[")]
    assert said[garbled:] == [f"이것은 한국어 ❤ {number}" for number in range(garbled, 3)]
