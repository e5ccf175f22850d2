"""The client and the bot before a room that needs a password."""

import select
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from tests.e2e.conftest import WELCOME, Program, Window
from tests.e2e.screen import ASKED
from tests.rooms import PATIENCE

WRONG = "! wrong password"
GIVE = "give its password by --password-file FILE or in CHATCTL_PASSWORD"

both = pytest.mark.parametrize("command", ["client", "bot"])


@pytest.fixture
def secret(tmp_path: Path) -> list[str]:
    """The option of who has the password in a file."""
    path = tmp_path / "secret"
    path.write_text("비밀\r\nnot this\n")
    return ["--password-file", str(path)]


@both
def test_nothing_before_the_first_line(program: Callable[..., Program], secret: list[str], command: str) -> None:
    """A program with input and a password sends nothing while the server has not finished its first line.

    That it is at work is sure when it has taken more than the buffers between it and the server hold.
    """
    member = program(command, *secret)
    member.type("hi")
    member.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    member.sock.sendall(b"x" * 1_000_000)
    assert select.select([member.sock], [], [], 0) == ([], [], [])
    member.sock.sendall(b"\n")
    assert member.stdout.readline() == b"x" * 1_000_000 + b"\n"
    assert member.hear() == "hi"


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@both
def test_a_password(
    program: Callable[..., Program],
    authority: trustme.CA,
    trusted: list[str],
    secret: list[str],
    command: str,
    tls: bool,
) -> None:
    """The password goes first, then what is to be said; it is not shown, and no echo of it is due."""
    member = program(command, *secret, *(trusted if tls else []))
    link = member.secure(authority) if tls else None
    member.type("hi")
    member.stdin.close()
    member.tell(ASKED)
    assert member.hear() == "비밀"
    member.tell(WELCOME)
    assert member.hear() == "hi"
    member.tell("[You] hi")
    assert member.hear() == ""
    if link:
        link.unwrap()
    member.hang_up()
    assert member.process.wait(PATIENCE) == 0
    assert member.stdout.read().decode().splitlines() == [ASKED, WELCOME, "[You] hi"]
    assert member.process.stderr
    assert member.process.stderr.read() == b""


def test_a_password_in_the_environment(program: Callable[..., Program]) -> None:
    """CHATCTL_PASSWORD does when there is no file."""
    member = program("bot", CHATCTL_PASSWORD="from the environment")
    member.tell(ASKED)
    assert member.hear() == "from the environment"


def test_the_file_wins(program: Callable[..., Program], secret: list[str]) -> None:
    """What the command line says goes before the environment."""
    member = program("bot", *secret, CHATCTL_PASSWORD="from the environment")
    member.tell(ASKED)
    assert member.hear() == "비밀"


def test_a_password_that_is_not_needed(program: Callable[..., Program], secret: list[str]) -> None:
    """A room without a password is not told anybody's."""
    member = program("client", *secret)
    member.type("hi")
    member.tell(WELCOME)
    assert member.hear() == "hi"


@both
def test_a_wrong_password(program: Callable[..., Program], secret: list[str], command: str) -> None:
    """One from a file is tried once; the status is 4, and nothing of the input is sent."""
    member = program(command, *secret)
    member.type("hi")
    member.tell(ASKED)
    assert member.hear() == "비밀"
    member.tell(WRONG)
    assert member.hear() == ""
    assert member.end() == (4, [ASKED, WRONG], f"chatctl {command}: the room has another password: {GIVE}\n")


@both
def test_no_password(program: Callable[..., Program], command: str) -> None:
    """Without a password, and without a terminal to ask at, the status is 4."""
    member = program(command)
    member.type("hi")
    member.tell(ASKED)
    assert member.hear() == ""
    assert member.end() == (4, [ASKED], f"chatctl {command}: the room needs a password: {GIVE}\n")


@pytest.fixture
def asked(window: Callable[..., Window], listening: socket.socket) -> Iterator[tuple[Window, socket.socket]]:
    """A client on a terminal that asks for the password, and the server's end of its connection."""
    client = window("client", "--plain", "127.0.0.1", str(listening.getsockname()[1]), echo=True)
    peer, _ = listening.accept()
    with peer:
        peer.settimeout(PATIENCE)
        peer.sendall(f"{ASKED}\n".encode())
        client.process.expect_exact("Password: ")
        yield client, peer


def test_a_password_at_the_terminal(asked: tuple[Window, socket.socket]) -> None:
    """It is typed unseen; after that what is typed is said, and seen."""
    client, peer = asked
    said = peer.makefile("rb")
    client.type("비밀")
    assert said.readline().decode() == "비밀\n"
    peer.sendall(f"{WELCOME}\n".encode())
    client.until(WELCOME)
    client.type("hi")
    assert said.readline() == b"hi\n"
    peer.sendall(b"[You] hi\n")
    client.until("[You] hi")
    assert client.screen() == [ASKED, "Password:", WELCOME, "hi", "[You] hi"]


@pytest.mark.parametrize("right", [True, False])
def test_a_wrong_password_at_the_terminal(asked: tuple[Window, socket.socket], right: bool) -> None:
    """It is asked for again, three times in all, and not shown; then it is 4, or what is typed is said."""
    client, peer = asked
    said = peer.makefile("rb")
    for guess in (b"one\n", b"two\n", b"three\n"):
        client.type(guess.decode().rstrip())
        assert said.readline() == guess
        if guess == b"two\n" and right:
            peer.sendall(f"{WELCOME}\n".encode())
            client.until(WELCOME)
            client.type("hi")
            assert said.readline() == b"hi\n"
            return
        peer.sendall(f"{WRONG}\n".encode())
        if guess != b"three\n":
            client.process.expect_exact("Password: ")
    assert client.end() == 4
    assert client.screen() == [
        ASKED,
        *["Password:", WRONG] * 3,
        f"chatctl client: the room has another password: {GIVE}"[:80],
        f"chatctl client: the room has another password: {GIVE}"[80:],
    ]


@pytest.mark.parametrize(
    ("key", "status", "reason"),
    [("sendintr", 130, ""), ("sendeof", 4, f"chatctl client: the room needs a password: {GIVE}")],
)
def test_keys_at_the_question(asked: tuple[Window, socket.socket], key: str, status: int, reason: str) -> None:
    """Ctrl-C there ends with 130, Ctrl-D is no password."""
    client, peer = asked
    getattr(client.process, key)()
    assert client.end() == status
    assert peer.recv(1) == b""
    assert [line for line in client.lines if line] == ([reason] if reason else [])
