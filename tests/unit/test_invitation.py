"""What a server says when it has started."""

import os
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest

from chatctl.errors import ResourceError
from chatctl.layers.certificate import Certificate
from chatctl.layers.handshake import certificate_of
from chatctl.layers.tls import TLS
from chatctl.server.invitation import Way, lines, warnings
from chatctl.wire import Address

PIN = f"sha256:{'ab' * 32}"
SIGNED = Certificate(PIN, ("*.example.org", "chat.example.org", "localhost"), self_signed=False)
SELF_SIGNED = Certificate(PIN, ("chat.example.org",), self_signed=True)


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        (
            Way("192.0.2.7", [Address("192.0.2.7", 9999)]),
            ["join: chatctl client 192.0.2.7 9999, or nc 192.0.2.7 9999 (plain text, no password)"],
        ),
        (
            Way("chat.example.org", [Address("192.0.2.7", 9), Address("2001:db8::7", 9)], password=True),
            ["join: chatctl client chat.example.org 9, or nc chat.example.org 9 (plain text, with a password)"],
        ),
        (
            Way(None, [Address("192.0.2.7", 1), Address("2001:db8::7", 2)]),
            [
                "join: chatctl client 192.0.2.7 1, or nc 192.0.2.7 1 (plain text, no password)",
                "join: chatctl client 2001:db8::7 2, or nc 2001:db8::7 2 (plain text, no password)",
            ],
        ),
        (
            Way("2001:db8::7", [Address("2001:db8::7", 9999)], certificate=SELF_SIGNED),
            [
                f"join: chatctl client 2001:db8::7 9999 --tls-pin {PIN}, "
                "or openssl s_client -quiet -connect [2001:db8::7]:9999 (TLS, no password)"
            ],
        ),
        (
            Way("0.0.0.0", [Address("0.0.0.0", 9999)], password=True, certificate=SIGNED, client_ca=True),
            [
                "join: chatctl client chat.example.org 9999 --tls --tls-cert FILE, or openssl s_client -quiet "
                "-connect chat.example.org:9999 -cert FILE (TLS, with a password)",
                f"its certificate is {PIN}",
            ],
        ),
        (
            Way("localhost", [Address("127.0.0.1", 9999)], certificate=SIGNED),
            [
                "join: chatctl client localhost 9999 --tls, "
                "or openssl s_client -quiet -connect localhost:9999 (TLS, no password)",
                f"its certificate is {PIN}",
            ],
        ),
    ],
)
def test_what_others_have_to_type(way: Way, expected: Sequence[str]) -> None:
    """By an address or a name that works for them, with the options that it takes."""
    assert lines(way) == expected


@pytest.mark.parametrize("everywhere", ["0.0.0.0", "::"])
def test_everywhere(everywhere: str) -> None:
    """A server on every address names those of this machine: one can connect to each as it is said."""
    family = socket.AF_INET6 if ":" in everywhere else socket.AF_INET
    with socket.create_server((everywhere, 0), family=family, dualstack_ipv6=family == socket.AF_INET6) as listening:
        place = Address.of(listening.getsockname())
        said = lines(Way(everywhere, [place]))
        assert said
        for line in said:
            host, port = line.partition(",")[0].split()[-2:]
            assert host not in ("0.0.0.0", "::")
            with socket.create_connection((host, int(port))):
                pass


@pytest.mark.parametrize("host", ["192.0.2.7", "0.0.0.0", "::", "fe80::1%eth0"])
def test_a_password_on_the_network(host: str) -> None:
    """In plain text, where others could listen, it is worth a warning."""
    way = Way(host, [Address("127.0.0.1", 9999), Address(host, 9999)], password=True)
    (warning,) = warnings(way, [])
    assert warning.startswith("the password crosses the network in plain text: give --tls-cert FILE")
    assert warnings(way._replace(certificate=SIGNED), []) == []
    assert warnings(way._replace(password=False), []) == []


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1"])
def test_a_password_on_the_loopback(host: str) -> None:
    """It leaves no machine."""
    assert warnings(Way(host, [Address(host, 9999)], password=True), []) == []


@pytest.mark.parametrize(
    ("mode", "open_to_others"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True), (0o644, True)]
)
def test_a_file_that_others_can_read(tmp_path: Path, mode: int, open_to_others: bool) -> None:
    """Others are everybody but who runs the server."""
    file = tmp_path / "a key"
    file.touch()
    file.chmod(mode)
    expected = [f"others on this machine can read {file}: chmod 600 '{file}'"] if open_to_others else []
    assert warnings(Way("::1", [Address("::1", 9999)]), [str(file), str(tmp_path / "missing")]) == expected


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize(("mode", "open_to_others"), [(0o640, False), (0o644, True)])
def test_a_file_of_somebody_else(tmp_path: Path, mode: int, open_to_others: bool) -> None:
    """Who runs the server may read it by its group, as a key that root has lent it."""
    file = tmp_path / "key"
    file.touch()
    file.chmod(mode)
    os.chown(file, 12345, 12345)
    expected = [f"others on this machine can read {file}: chmod o-r {file}"] if open_to_others else []
    assert warnings(Way("::1", [Address("::1", 9999)]), [str(file)]) == expected


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    """What a shell hands over (``--password-file <(pass show room)``) is nothing that others could read."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o644)
    assert warnings(Way("::1", [Address("::1", 9999)]), [str(fifo)]) == []


def test_a_certificate_that_no_client_could_use() -> None:
    """It is an error at the start, not one for each client."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # it has none at all
    with pytest.raises(ResourceError, match="no client could use the certificate"):
        certificate_of(TLS(server, server_side=True))
