"""Programs under test: on a terminal by pexpect, in pipes by subprocess."""

import contextlib
import io
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pexpect
import pyte
import pytest
import trustme

from chatctl.server import MODES
from tests.e2e.screen import Place
from tests.rooms import COMMAND, PATIENCE, Room, environment

WELCOME = "> Connected to the chat server (1 user online)"


_ERASED = re.compile(r".*\x1b\[J(\x1b\[[\d;?]*\w)*")  # a prompt, and how a line takes its place


class Window:
    """A program on a terminal of 80 by 24; what it shows is compared line by line, without the prompt it draws."""

    def __init__(self, *arguments: str, echo: bool = False, **more: str) -> None:
        self.process = pexpect.spawn(
            COMMAND[0],
            [*COMMAND[1:], *arguments],
            env=environment(**more),
            encoding="utf-8",
            dimensions=(24, 80),
            timeout=PATIENCE,
            echo=echo,
        )
        self.process.delaybeforesend = None
        self.process.logfile_read = self._raw = io.StringIO()
        self.lines: list[str] = []

    def type(self, line: str) -> None:
        self.process.sendline(line)

    def until(self, text: str) -> list[str]:
        """Everything shown so far, as soon as a line that ends with ``text`` is."""
        while not (self.lines and self.lines[-1].endswith(text)):
            line = self.process.readline()
            assert line, f"ended, not showing {text!r} after:\n" + "\n".join(self.lines)
            self.lines.append(_ERASED.sub("", line.rstrip("\r\n")))
        return self.lines

    def screen(self) -> list[str]:
        """What a person sees of everything shown so far: the rows that are not empty."""
        screen = pyte.Screen(80, 24)
        pyte.Stream(screen).feed(self._raw.getvalue())
        return [row.rstrip() for row in screen.display if row.strip()]

    def end(self) -> int:
        """Everything until the end, and the exit status."""
        self.lines += [_ERASED.sub("", line) for line in self.process.read().splitlines()]
        self.process.close()
        assert not any("Traceback" in line for line in self.lines), self.lines
        assert self.process.exitstatus is not None, f"killed by signal {self.process.signalstatus}"
        return int(self.process.exitstatus)


class Program:
    """A client or a bot, connected to a server that the test plays."""

    def __init__(self, listening: socket.socket, command: str, *arguments: str, host: str = "127.0.0.1", **more: str):
        port = listening.getsockname()[1]
        self.process = subprocess.Popen(
            [*COMMAND, command, host, str(port), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(**more),
        )
        assert self.process.stdin
        assert self.process.stdout
        self.stdin: IO[bytes] = self.process.stdin
        self.stdout: IO[bytes] = self.process.stdout
        self.sock, _ = listening.accept()
        self.sock.settimeout(PATIENCE)
        self.said = self.sock.makefile("rb")

    def secure(self, authority: trustme.CA, *identities: str, **options: Any) -> ssl.SSLSocket:
        """Do the server's side of the handshake with a certificate for some names."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*(identities or ("127.0.0.1",)), **options).configure_cert(context)
        return self.serve(context)

    def serve(self, context: ssl.SSLContext) -> ssl.SSLSocket:
        """Do the server's side of the handshake."""
        self.said.close()
        self.sock = context.wrap_socket(self.sock, server_side=True, suppress_ragged_eofs=False)
        self.said = self.sock.makefile("rb")
        return self.sock

    def tell(self, *lines: str) -> None:
        """Send lines as the server."""
        self.sock.sendall("".join(f"{line}\n" for line in lines).encode())

    def be_plain(self) -> None:
        """Know nothing of programs, as an older server."""
        assert self.hear() == "/json"
        self.tell("! no such command: /json (try /help; //text says /text)")

    def meet(self, listening: socket.socket) -> None:
        """Take its next connection, likewise."""
        self.sock, _ = listening.accept()
        self.said = self.sock.makefile("rb")
        self.be_plain()

    def hear(self) -> str:
        """The next line that the program has sent, or "" when there is none."""
        return self.said.readline().decode().rstrip("\n")

    def hang_up(self) -> None:
        """Close the connection, under TLS without a close_notify."""
        self.said.close()
        self.sock.close()

    def type(self, *lines: str) -> None:
        """Give lines to its stdin."""
        self.stdin.write("".join(f"{line}\n" for line in lines).encode())
        self.stdin.flush()

    def end(self) -> tuple[int, list[str], str]:
        """Its exit status, the rest of its lines, and its stderr, with stdin at its end and the connection closed."""
        output, errors = self.process.communicate(timeout=PATIENCE)
        assert b"Traceback" not in errors
        return self.process.returncode, output.decode().splitlines(), errors.decode()


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A socket that a program can connect to."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.settimeout(PATIENCE)
        yield sock


@pytest.fixture
def program(listening: socket.socket) -> Iterator[Callable[..., Program]]:
    """Start a program that connects to the test."""
    started: list[Program] = []

    def start(*arguments: str, **options: str) -> Program:
        started.append(Program(listening, *arguments, **options))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        with each.process:
            each.hang_up()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """An authority that no machine knows."""
    return trustme.CA()


@pytest.fixture(scope="session")
def files(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with its certificate and those of a server and of a member."""
    directory = tmp_path_factory.mktemp("certificates")
    authority.cert_pem.write_to_path(str(directory / "authority.pem"))
    for name, identity in (("server", "localhost"), ("member", "member@example.org")):
        leaf = authority.issue_cert(identity)
        leaf.private_key_and_cert_chain_pem.write_to_path(str(directory / f"{name}.pem"))
        leaf.cert_chain_pems[0].write_to_path(str(directory / f"{name}.crt"))
        leaf.private_key_pem.write_to_path(str(directory / f"{name}.key"))
    return directory


@pytest.fixture
def trusted(files: Path) -> list[str]:
    """The options of who trusts the authority."""
    return ["--tls-ca", str(files / "authority.pem")]


@pytest.fixture
def window(tmp_path: Path) -> Iterator[Callable[..., Window]]:
    """Open a window that runs chatctl with some arguments, at a home of its own."""
    windows: list[Window] = []

    def open_window(*arguments: str, **options: Any) -> Window:
        windows.append(Window(*arguments, **({"HOME": str(tmp_path)} | options)))
        return windows[-1]

    yield open_window
    for opened in windows:
        opened.process.close(force=True)


@pytest.fixture(params=sorted(MODES))
def mode(request: pytest.FixtureRequest) -> str:
    """Every mode in turn."""
    return str(request.param)


@pytest.fixture
def room(mode: str) -> Iterator[Room]:
    """A server in the background, without a rate."""
    started = Room(mode, "--rate", "0")
    yield started
    started.stop()


def run(*arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run chatctl in pipes until it ends, with nothing for input but what is said."""
    settings: dict[str, Any] = {"capture_output": True, "text": True, "timeout": PATIENCE, "env": environment()}
    if "stdin" not in options:
        settings["input"] = ""
    result: subprocess.CompletedProcess[str] = subprocess.run([*COMMAND, *arguments], **(settings | options))
    assert "Traceback" not in (result.stderr or "")
    return result


@contextlib.contextmanager
def service(directory: Path, *command: str) -> Iterator[tuple["subprocess.Popen[bytes]", int, socket.socket]]:
    """A server as systemd starts it: on a socket that is handed down, without a terminal, with files for itself alone.

    Args:
        directory: for the socket of its notifications.
        command: the server's, without an address.

    It gives the process, the port of the socket, and the socket where it notifies.
    """
    hand_down = (
        "import os, sys; os.dup2(int(sys.argv[1]), 3); "
        "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid())); os.execv(sys.argv[2], sys.argv[2:])"
    )
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified,
    ):
        notified.settimeout(PATIENCE)
        notified.bind(str(directory / "notify"))
        process = subprocess.Popen(
            [sys.executable, "-c", hand_down, str(listening.fileno()), *command],
            pass_fds=[listening.fileno()],
            env=environment(NOTIFY_SOCKET=str(directory / "notify")),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            umask=0o077,
        )
        yield process, listening.getsockname()[1], notified
        process.kill()
        process.communicate()


@pytest.fixture
def place() -> Iterator[Place]:
    """Where the test plays the server."""
    opened = Place()
    yield opened
    opened.close()
