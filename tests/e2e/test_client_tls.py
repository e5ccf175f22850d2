"""The client and the bot under TLS, against peers that are not ours: OpenSSL's, Python's, none."""

import datetime
import hashlib
import os
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from chatctl.layers.tls import TLS, server_context
from tests.e2e.conftest import WELCOME, Program, run
from tests.e2e.screen import ASKED
from tests.rooms import COMMAND, PATIENCE, environment

GARBAGE = b"\x17\x03\x03\x00\x20" + b"x" * 32  # what looks like a record

both = pytest.mark.parametrize("command", ["client", "bot"])


class OpenSSL:
    """``openssl s_server`` with one client; its stdin goes to the client, what the client says is on its stdout."""

    def __init__(self, files: Path, *flags: str) -> None:
        self.process = subprocess.Popen(
            [
                "openssl",
                "s_server",
                "-accept",
                "127.0.0.1:0",
                "-naccept",
                "1",
                "-cert",
                str(files / "server.pem"),
                *flags,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.port = self.until("ACCEPT").strip().rpartition(":")[2]

    def until(self, start: str) -> str:
        """The next line that begins like that."""
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith(start.encode()):
                return line.decode()
        raise EOFError(start)

    def say(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()


@pytest.fixture
def s_server(files: Path) -> Iterator[Callable[..., OpenSSL]]:
    """Start OpenSSL's server with more flags."""
    started: list[OpenSSL] = []

    def start(*flags: str) -> OpenSSL:
        started.append(OpenSSL(files, *flags))
        return started[-1]

    yield start
    for server in started:
        server.process.kill()
        with server.process:
            pass


@both
def test_openssl(s_server: Callable[..., OpenSSL], trusted: list[str], command: str) -> None:
    """With OpenSSL's server lines go both ways, and the end is a good one on both sides."""
    server = s_server()
    with subprocess.Popen(
        [*COMMAND, command, "localhost", server.port, *trusted],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdin
        assert process.stdout
        server.say(WELCOME)
        assert process.stdout.readline().decode() == f"{WELCOME}\n"
        process.stdin.write("안녕\n".encode())
        process.stdin.flush()
        server.until("안녕")
        server.say("[You] 안녕")
        assert process.stdout.readline().decode() == "[You] 안녕\n"
        process.stdin.close()
        assert process.wait(PATIENCE) == 0
    server.until("DONE")


def test_a_key_update(s_server: Callable[..., OpenSSL], trusted: list[str]) -> None:
    """New keys, which either side of TLS 1.3 may ask for at any time, change nothing."""
    server = s_server("-tls1_3")
    with subprocess.Popen(
        [*COMMAND, "client", "localhost", server.port, *trusted],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdin
        assert process.stdout
        server.say(WELCOME)
        process.stdout.readline()
        for number in range(3):
            server.say("K")  # to s_server: update the keys, and ask for the same
            process.stdin.write(b"%d\n" % number)
            process.stdin.flush()
            server.until(str(number))
            server.say(f"[a:1] {number}")
            assert process.stdout.readline().decode() == f"[a:1] {number}\n"
        process.stdin.close()
        assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@both
def test_a_certificate_that_is_asked_for(
    s_server: Callable[..., OpenSSL], files: Path, trusted: list[str], command: str, version: str
) -> None:
    """A server that wants a certificate gets it."""
    server = s_server(version, "-Verify", "2", "-verify_return_error", "-CAfile", str(files / "authority.pem"))
    server.say(WELCOME)
    certificate = ["--tls-cert", str(files / "member.crt"), "--tls-key", str(files / "member.key")]
    result = run(command, "localhost", server.port, *trusted, *certificate)
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{WELCOME}\n", "")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@both
def test_a_certificate_that_is_not_given(
    s_server: Callable[..., OpenSSL], files: Path, trusted: list[str], command: str, version: str
) -> None:
    """Who has none is told what to give, although TLS 1.3 says so only after the handshake."""
    server = s_server(version, "-Verify", "2", "-CAfile", str(files / "authority.pem"))
    server.say(WELCOME)
    result = run(command, "localhost", server.port, *trusted)
    assert (result.returncode, result.stdout) == (1, "")
    start = f"chatctl {command}: cannot connect to localhost port {server.port}: "
    assert result.stderr.startswith(start)
    assert result.stderr.endswith("the server asks for a client certificate: give --tls-cert and --tls-key\n")
    assert result.stderr.count("\n") == 1


PAST = datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("names", "host", "dates", "trusts", "reason"),
    [
        (
            ["localhost"],
            "localhost",
            {},
            False,
            "its certificate comes from an unknown authority: give that one's as --tls-ca FILE, if you trust it",
        ),
        (
            ["other.example.org"],
            "localhost",
            {},
            True,
            "its certificate is for other.example.org: connect to that name, if you know it",
        ),
        (
            ["localhost"],
            "127.0.0.1",
            {},
            True,
            "its certificate is for localhost: connect to that name, if you know it",
        ),
        (
            ["localhost"],
            "localhost",
            {"not_before": PAST - datetime.timedelta(1), "not_after": PAST},
            True,
            "its certificate has expired",
        ),
    ],
    ids=["unknown authority", "wrong name", "wrong address", "expired"],
)
@both
def test_a_server_that_is_not_trusted(
    program: Callable[..., Program],
    authority: trustme.CA,
    trusted: list[str],
    command: str,
    names: list[str],
    host: str,
    dates: dict[str, Any],
    trusts: bool,
    reason: str,
) -> None:
    """One line says what is wrong with its certificate; the server learns of it, and nothing else."""
    member = program(command, *(trusted if trusts else ["--tls"]), host=host)
    port = member.sock.getsockname()[1]
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        member.secure(authority, *names, **dates)
    assert member.end() == (1, [], f"chatctl {command}: cannot connect to {host} port {port}: {reason}\n")


@pytest.fixture
def pinned(authority: trustme.CA) -> tuple[ssl.SSLContext, str]:
    """What a server needs for a certificate that is good for nothing here, and its fingerprint."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf = authority.issue_cert("other.example.org", not_before=PAST - datetime.timedelta(1), not_after=PAST)
    leaf.configure_cert(context)
    certificate = ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())
    return context, f"sha256:{hashlib.sha256(certificate).hexdigest()}"


@both
def test_a_pin(program: Callable[..., Program], pinned: tuple[ssl.SSLContext, str], command: str) -> None:
    """A certificate with the right fingerprint is trusted without any more options, and gets the password."""
    context, pin = pinned
    member = program(command, "--tls-pin", pin, CHATCTL_PASSWORD="열려라")
    link = member.serve(context)
    member.tell(ASKED)
    assert member.hear() == "열려라"
    member.tell(WELCOME)
    member.stdin.close()
    assert member.hear() == ""
    link.unwrap()
    member.hang_up()
    assert member.process.wait(PATIENCE) == 0
    assert member.stdout.read().decode().splitlines()[-1] == WELCOME


@both
def test_another_certificate_than_that_of_the_pin(
    program: Callable[..., Program], authority: trustme.CA, pinned: tuple[ssl.SSLContext, str], command: str
) -> None:
    """One line has both fingerprints. The server gets no end of the handshake, and so no password."""
    context, found = pinned
    pin = f"sha256:{'ab' * 32}"
    member = program(command, "--tls-pin", pin, CHATCTL_PASSWORD="열려라")
    port = member.sock.getsockname()[1]
    with pytest.raises((ssl.SSLError, ConnectionError)):
        member.serve(context)
    reason = f"its certificate is {found}, not {pin}: ask who runs the server for the right --tls-pin"
    assert member.end() == (1, [], f"chatctl {command}: cannot connect to 127.0.0.1 port {port}: {reason}\n")


def test_a_server_that_signed_its_certificate_itself(program: Callable[..., Program], tmp_path: Path) -> None:
    """The user is told of --tls-pin, and where the fingerprint comes from: it is not the one that was just seen."""
    made = run("cert", "localhost", "--out", str(tmp_path))
    assert made.returncode == 0
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    member = program("client", "--tls", host="localhost")
    port = member.sock.getsockname()[1]
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        member.serve(context)
    reason = (
        "its certificate is signed by itself: give its fingerprint, which the server prints at its start, as --tls-pin"
    )
    assert member.end() == (1, [], f"chatctl client: cannot connect to localhost port {port}: {reason}\n")


@pytest.mark.parametrize("greeting", [WELCOME, ASKED, "220 a mail server"])
@both
def test_a_plain_port(program: Callable[..., Program], command: str, greeting: str) -> None:
    """A server that speaks plain text is not trusted with anything, and the user is told to leave --tls out."""
    member = program(command, "--tls")
    port = member.sock.getsockname()[1]
    member.tell(greeting)
    reason = f"cannot connect to 127.0.0.1 port {port}: it does not speak TLS: leave --tls out"
    assert member.end() == (1, [], f"chatctl {command}: {reason}\n")


def test_a_port_that_closes(program: Callable[..., Program]) -> None:
    """A server that cannot read a TLS hello often just hangs up."""
    member = program("client", "--tls")
    port = member.sock.getsockname()[1]
    member.sock.shutdown(socket.SHUT_WR)
    reason = "the server closed the connection in the TLS handshake: does it speak TLS?"
    assert member.end() == (1, [], f"chatctl client: cannot connect to 127.0.0.1 port {port}: {reason}\n")


@both
def test_a_refusal_before_the_handshake(program: Callable[..., Program], command: str) -> None:
    """A server that refuses at the door does so in plain text; the user sees why, cleaned."""
    member = program(command, "--tls")
    member.tell("! server full\x1b[2J")
    assert member.end() == (1, [], f"chatctl {command}: the server refused: server full␛[2J\n")


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@both
def test_a_refusal(
    program: Callable[..., Program], authority: trustme.CA, trusted: list[str], command: str, tls: bool
) -> None:
    """Who is refused sends nothing of what there is to be said: the room may speak TLS to others."""
    member = program(command, *(trusted if tls else []))
    link = member.secure(authority) if tls else None
    member.type("hi")
    member.tell("! server full")
    assert member.stdout.readline() == b"! server full\n"
    member.said.close()
    rest = link.unwrap() if link else member.sock  # which is an error if anything but the end comes
    rest.shutdown(socket.SHUT_WR)
    assert rest.recv(1) == b""
    rest.close()
    assert member.end() == (1, [], f"chatctl {command}: the server refused: server full\n")


def test_a_link_that_is_cut(program: Callable[..., Program], authority: trustme.CA, trusted: list[str]) -> None:
    """An end that the server has not told may be somebody else's doing: it is an error."""
    member = program("client", *trusted)
    member.secure(authority)
    member.tell(WELCOME)
    assert member.stdout.readline().decode() == f"{WELCOME}\n"
    member.hang_up()
    reason = "the connection broke: the server ended it without saying so (no close_notify)"
    assert member.end() == (1, [], f"chatctl client: {reason}\n")


def test_tampering(program: Callable[..., Program], authority: trustme.CA, trusted: list[str]) -> None:
    """What somebody else has put into the connection is an error, and the server is told."""
    member = program("client", *trusted)
    link = member.secure(authority)
    member.tell(WELCOME)
    assert member.stdout.readline().decode() == f"{WELCOME}\n"
    os.write(link.fileno(), GARBAGE)
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        link.recv(1)
    assert member.end() == (1, [], "chatctl client: the connection broke: decryption failed or bad record mac\n")


def test_a_server_that_speaks_at_once(program: Callable[..., Program], files: Path, trusted: list[str]) -> None:
    """What comes in one piece with the end of the handshake is shown, whatever is wrong with what is behind it."""
    member = program("client", *trusted, host="localhost")
    context = server_context(str(files / "server.pem"), None, None)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # where the server has the last word of the handshake
    layer = TLS(context, server_side=True)
    while not layer.established:
        layer.receive(member.sock.recv(1 << 20))
        member.sock.sendall(layer.send(f"{WELCOME}\n".encode()) + GARBAGE if layer.established else layer.send(b""))
    member.hang_up()
    reason = "the connection broke: decryption failed or bad record mac"
    assert member.end() == (1, [WELCOME], f"chatctl client: {reason}\n")


def test_a_half_close(program: Callable[..., Program], authority: trustme.CA, trusted: list[str]) -> None:
    """At the end of stdin the server is told so by close_notify, and what it sends after that is shown."""
    member = program("client", *trusted)
    link = member.secure(authority)
    member.tell(WELCOME)
    member.type("hi")
    member.stdin.close()
    assert member.said.read() == b"hi\n"
    member.tell("[You] hi", "[a:1] bye")
    link.unwrap()
    member.hang_up()
    assert member.process.wait(PATIENCE) == 0
    assert member.stdout.read().decode().splitlines() == [WELCOME, "[You] hi", "[a:1] bye"]


def test_both_directions_at_once(program: Callable[..., Program], authority: trustme.CA, trusted: list[str]) -> None:
    """20,000 lines and their echoes at full speed: one thread sends, one receives, nothing is mixed up."""
    member = program("bot", *trusted, "-m", "x" * 100, "--repeat", "20000")
    link = member.secure(authority)

    def serve() -> None:
        member.tell(WELCOME)
        while line := member.hear():
            member.tell(f"[You] {line}")
        link.unwrap()
        member.hang_up()

    thread = threading.Thread(target=serve)
    thread.start()
    assert member.end() == (0, [WELCOME, *[f"[You] {'x' * 100}"] * 20_000], "")
    thread.join()


def test_an_interrupt(program: Callable[..., Program], authority: trustme.CA, trusted: list[str]) -> None:
    """Ctrl-C leaves at once, but in good order: the server is told."""
    member = program("client", *trusted)
    member.secure(authority)
    member.tell(WELCOME)
    assert member.stdout.readline().decode() == f"{WELCOME}\n"
    member.process.send_signal(signal.SIGINT)
    assert member.hear() == ""
    assert member.end() == (130, [], "")


def test_an_interrupt_in_the_handshake(program: Callable[..., Program]) -> None:
    """Ctrl-C ends a wait for a server that does not answer, without a word."""
    member = program("client", "--tls")
    assert member.sock.recv(1) == b"\x16"
    member.process.send_signal(signal.SIGINT)
    assert member.end() == (130, [], "")


@both
def test_usage(command: str) -> None:
    """A key without its certificate is a mistake in the command line."""
    result = run(command, "127.0.0.1", "9", "--tls-key", "/dev/null")
    assert result.returncode == 2
    assert result.stderr.startswith(f"chatctl {command}: --tls-key needs --tls-cert FILE\n")


@both
def test_usage_of_a_pin(command: str) -> None:
    """A fingerprint that is none is a mistake in the command line, and so is one beside an authority."""
    malformed = run(command, "127.0.0.1", "9", "--tls-pin", "sha256:12")
    assert malformed.returncode == 2
    assert "'sha256:12' is not sha256: and 64 hex digits: the server prints it at its start" in malformed.stderr
    two = run(command, "127.0.0.1", "9", "--tls-pin", f"sha256:{'ab' * 32}", "--tls-ca", "/dev/null")
    assert two.returncode == 2
    assert two.stderr.startswith(f"chatctl {command}: give either --tls-pin or --tls-ca, not both\n")
    assert run(command, "127.0.0.1", "9", "--tls-pin", "").returncode == 2


@pytest.mark.parametrize("option", ["--tls-ca", "--tls-cert", "--password-file"])
@both
def test_files_that_cannot_be_read(command: str, option: str) -> None:
    """One line names the file, before any connection."""
    result = run(command, "127.0.0.1", "9", option, "/no/such/file")
    reason = "cannot read /no/such/file: No such file or directory"
    assert (result.returncode, result.stderr) == (1, f"chatctl {command}: {reason}\n")


@pytest.mark.parametrize("option", ["--tls-ca", "--tls-cert", "--password-file"])
@both
def test_options_without_a_value(command: str, option: str) -> None:
    """``--tls-ca "$UNSET"`` is an error: nobody meant to speak plain text."""
    result = run(command, "127.0.0.1", "9", option, "")
    assert result.returncode == 1
    assert result.stderr.startswith(f"chatctl {command}: cannot read ")
