"""TLS as a layer of bytes, one side against the other, without a socket between them."""

import re
import socket
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from chatctl.errors import ResourceError
from chatctl.layers.certificate import read_fingerprint
from chatctl.layers.tls import RECORD, TLS, NotTLS, client_context, server_context

DAY = timedelta(days=1)
HELLO = b"> Connected to the chat server (1 user online)\n"
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with certificates and keys, good ones and bad ones, all in PEM format."""
    directory = tmp_path_factory.mktemp("certificates")
    authority, stranger = trustme.CA(), trustme.CA()
    now = datetime.now(UTC)
    leaves = {
        "good": authority.issue_cert("localhost", "127.0.0.1"),
        "member": authority.issue_cert("member@example.org"),
        "unknown": stranger.issue_cert("localhost"),
        "other": authority.issue_cert("other.example.org"),
        "many": authority.issue_cert("a.example", "b.example", "c.example", "::1", "e.example"),
        "nameless": authority.issue_cert("someone@example.org"),
        "expired": authority.issue_cert("localhost", not_before=now - 2 * DAY, not_after=now - DAY),
        "future": authority.issue_cert("localhost", not_before=now + DAY, not_after=now + 2 * DAY),
    }
    for name, leaf in leaves.items():
        leaf.private_key_and_cert_chain_pem.write_to_path(str(directory / f"{name}.pem"))
        leaf.private_key_pem.write_to_path(str(directory / f"{name}.key"))
        leaf.cert_chain_pems[0].write_to_path(str(directory / f"{name}.crt"))
    authority.cert_pem.write_to_path(str(directory / "authority.pem"))
    key = serialization.load_pem_private_key(leaves["good"].private_key_pem.bytes(), None)
    (directory / "locked.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"passphrase"),
        )
    )
    (directory / "empty").touch()
    (directory / "text").write_text("no PEM\n")
    return directory


class Sides:
    """Both ends of a connection; what one has to send is carried to the other in pieces of ``size`` bytes."""

    def __init__(self, server: ssl.SSLContext, client: ssl.SSLContext, host: str = "localhost", size: int = 1 << 20):
        self.server, self.client = TLS(server, server_side=True), TLS(client, host=host)
        self._size = size

    def carry(self, sender: TLS, receiver: TLS, data: bytes = b"") -> bytes:
        """Send all of it and what else is pending; return what arrives as plain text."""
        sent = sender.send(data)
        pieces = [sent[at : at + self._size] for at in range(0, len(sent), self._size)]
        return b"".join(map(receiver.receive, pieces))

    def shake_hands(self) -> None:
        self.client.start()
        while self.client.pending or self.server.pending:
            self.carry(self.client, self.server)
            self.carry(self.server, self.client)
        assert self.client.established
        assert self.server.established


@pytest.fixture(params=VERSIONS, ids=lambda version: version.name)
def version(request: pytest.FixtureRequest) -> ssl.TLSVersion:
    """Every version of TLS in turn."""
    return ssl.TLSVersion(request.param)


@pytest.fixture
def sides(files: Path, version: ssl.TLSVersion) -> Callable[..., Sides]:
    """Make the two sides, with one version of TLS."""

    def make(
        certificate: str = "good.pem",
        host: str = "localhost",
        *,
        size: int = 1 << 20,
        pin: str | None = None,
        **paths: str,
    ) -> Sides:
        found = {name: str(files / path) for name, path in paths.items()}
        server = server_context(str(files / certificate), None, found.get("client_ca"))
        client = client_context(found.get("ca", str(files / "authority.pem")), found.get("member"), None, pin)
        client.maximum_version = client.minimum_version = version
        return Sides(server, client, host, size)

    return make


@pytest.fixture(params=[1 << 20, 1], ids=["whole", "byte by byte"])
def pair(request: pytest.FixtureRequest, sides: Callable[..., Sides]) -> Sides:
    """Two sides that have shaken hands; how their bytes are cut makes no difference."""
    made = sides(size=request.param)
    made.shake_hands()
    return made


def test_lines_both_ways(pair: Sides) -> None:
    """What one side sends arrives at the other one."""
    assert pair.carry(pair.server, pair.client, HELLO) == HELLO
    assert pair.carry(pair.client, pair.server, "안녕\n".encode()) == "안녕\n".encode()
    assert not pair.client.ended
    assert not pair.server.ended


def test_more_than_a_record(pair: Sides) -> None:
    """A long text is cut into records and put together again."""
    text = bytes(range(256)) * (3 * RECORD // 256 + 1)
    assert pair.carry(pair.client, pair.server, text) == text


def test_a_server_that_speaks_at_once(sides: Callable[..., Sides]) -> None:
    """Text that comes in one piece with the end of the handshake is not forgotten."""
    pair = sides()
    pair.client.start()
    while not pair.server.established:
        pair.carry(pair.client, pair.server)
        if not pair.server.established:
            pair.carry(pair.server, pair.client)
    assert pair.carry(pair.server, pair.client, HELLO) == HELLO
    assert pair.client.established


def test_an_end_behind_data(pair: Sides) -> None:
    """A close_notify in one piece with data ends what the data belongs to, not the data."""
    data = pair.server.send(HELLO)
    pair.server.close()
    assert pair.client.receive(data + pair.server.send(b"")) == HELLO
    assert pair.client.ended


def test_a_half_close(pair: Sides) -> None:
    """Who has closed its side still receives, and is told of the other side's end."""
    pair.client.close()
    assert pair.carry(pair.client, pair.server) == b""
    assert pair.server.ended
    assert pair.carry(pair.server, pair.client, HELLO * 1000) == HELLO * 1000
    assert not pair.client.ended
    pair.server.close()
    assert pair.carry(pair.server, pair.client) == b""
    assert pair.client.ended


@pytest.mark.parametrize("cut", [1, 4, 5, 6, 20, -1])
def test_a_half_close_inside_a_record(sides: Callable[..., Sides], cut: int) -> None:
    """Closing while half a record has come loses nothing of it."""
    pair = sides()
    pair.shake_hands()
    record = pair.server.send(HELLO)
    assert pair.client.receive(record[:cut]) == b""
    pair.client.close()
    assert pair.client.receive(record[cut:]) == HELLO
    assert pair.carry(pair.server, pair.client, b"more\n") == b"more\n"


def test_closing_twice(pair: Sides) -> None:
    """A second close has nothing more to say, nor has one before the handshake."""
    pair.server.close()
    assert pair.server.pending
    pair.server.send(b"")
    pair.server.close()
    assert not pair.server.pending


def test_closing_before_the_handshake(sides: Callable[..., Sides]) -> None:
    """There is nobody to tell yet."""
    server = sides().server
    server.close()
    assert not server.pending


@pytest.mark.parametrize("data", [b"! server full\n", b"> Connected", b"GET / HTTP/1.1\r\n", b"\x00", b"\xff"])
def test_what_is_no_tls(sides: Callable[..., Sides], data: bytes) -> None:
    """Plain text is known by its first byte, whichever side gets it, and is handed out."""
    pair = sides()
    for layer in (pair.client, pair.server):
        with pytest.raises(NotTLS) as caught:
            layer.receive(data)
        assert caught.value.data == data
        assert not layer.begun


def test_tls_has_begun(sides: Callable[..., Sides]) -> None:
    """One byte of a handshake is enough to know that the peer speaks TLS."""
    pair = sides()
    pair.client.start()
    pair.server.receive(pair.client.send(b"")[:1])
    assert pair.server.begun
    assert not pair.server.established


@pytest.mark.parametrize(
    ("certificate", "host", "reason"),
    [
        ("unknown.pem", "localhost", "its certificate comes from an unknown authority: give that one's as --tls-ca"),
        ("other.pem", "localhost", "its certificate is for other.example.org: connect to that name, if you know it"),
        ("other.pem", "127.0.0.1", "its certificate is for other.example.org: connect to that name, if you know it"),
        (
            "good.pem",
            "::1",
            "its certificate is for localhost, 127.0.0.1: connect to one of these names, if you know it",
        ),
        ("many.pem", "localhost", "its certificate is for a.example, b.example, c.example, ::1, …: connect to one of"),
        ("nameless.pem", "localhost", "its certificate is for another name: connect to the name that it was made for"),
        ("expired.pem", "localhost", "its certificate has expired"),
        ("future.pem", "localhost", "its certificate is not valid yet"),
    ],
)
def test_a_server_that_is_not_trusted(sides: Callable[..., Sides], certificate: str, host: str, reason: str) -> None:
    """The client says why, and has an alert pending that tells the server."""
    pair = sides(certificate, host)
    with pytest.raises(ssl.SSLError) as caught:
        pair.shake_hands()
    assert pair.client.explain(caught.value).startswith(reason)
    assert not pair.client.established
    assert pair.client.pending
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        pair.carry(pair.client, pair.server)


def fingerprint_of(file: Path) -> str:
    """The fingerprint of the first certificate in a file, by other means than ours."""
    certificate = x509.load_pem_x509_certificates(file.read_bytes())[0]
    return f"sha256:{certificate.fingerprint(hashes.SHA256()).hex()}"


@pytest.mark.parametrize("certificate", ["good", "unknown", "other", "expired", "future"])
def test_a_pin(files: Path, sides: Callable[..., Sides], certificate: str) -> None:
    """The certificate with that fingerprint is trusted, whatever its names, dates and authority say."""
    pair = sides(f"{certificate}.pem", pin=fingerprint_of(files / f"{certificate}.pem"))
    pair.shake_hands()
    assert pair.carry(pair.server, pair.client, HELLO) == HELLO
    assert pair.client.certificate.fingerprint == fingerprint_of(files / f"{certificate}.pem")


def test_another_certificate_than_that_of_the_pin(files: Path, sides: Callable[..., Sides]) -> None:
    """However good it is: its server gets no end of a handshake and no text, and none of its text is taken.

    It does not get a certificate of ours either, but under TLS 1.2, where that is in the middle of the handshake.
    """
    pin = fingerprint_of(files / "unknown.pem")
    pair = sides(pin=pin, client_ca="authority.pem", member="member.pem")
    with pytest.raises(ssl.SSLError) as caught:
        pair.shake_hands()
    found = fingerprint_of(files / "good.pem")
    assert pair.client.explain(caught.value) == (
        f"its certificate is {found}, not {pin}: ask who runs the server for the right --tls-pin"
    )
    assert not pair.client.established
    assert pair.client.send(b"") == b""
    with pytest.raises(ssl.SSLError):
        pair.client.send(b"password\n")
    with pytest.raises(ssl.SSLError):
        pair.client.receive(pair.server.send(b"") + HELLO)
    assert pair.client.send(b"") == b""


def test_a_pinned_context_makes_no_sockets(files: Path) -> None:
    """What looks at the fingerprint is the layer, and there is no way around it."""
    context = client_context(None, None, None, fingerprint_of(files / "good.pem"))
    with socket.socket() as sock, pytest.raises((AttributeError, TypeError)):
        context.wrap_socket(sock)


@pytest.mark.parametrize(
    "form", [str, str.upper, lambda text: "sha256:" + ":".join(re.findall("..", text[7:].upper()))]
)
def test_forms_of_a_fingerprint(files: Path, form: Callable[[str], str]) -> None:
    """Capitals and openssl's colons make no difference."""
    found = fingerprint_of(files / "good.pem")
    assert read_fingerprint(form(found)) == found


@pytest.mark.parametrize(
    "text",
    ["", "sha256:", "ab" * 32, "sha1:" + "ab" * 20, "sha256:" + "ab" * 31, "sha256:" + "xy" * 32, "sha256:" + "a" * 65],
)
def test_what_is_no_fingerprint(text: str) -> None:
    """Anything else is an error."""
    with pytest.raises(ValueError, match="is not sha256: and 64 hex digits"):
        read_fingerprint(text)


def test_addresses_are_names_too(sides: Callable[..., Sides]) -> None:
    """A certificate for an address is good for that address."""
    sides(host="127.0.0.1").shake_hands()


def test_a_member_with_a_certificate(sides: Callable[..., Sides]) -> None:
    """A server that asks for certificates lets in who has one of the right authority."""
    sides(client_ca="authority.pem", member="member.pem").shake_hands()


@pytest.mark.parametrize(
    ("paths", "reason"),
    [
        ({}, "the server asks for a client certificate: give --tls-cert and --tls-key"),
        ({"member": "unknown.pem"}, "the other side does not know the authority of this side's certificate"),
        ({"member": "expired.pem"}, "this side's certificate has expired"),
    ],
)
def test_a_member_without_a_good_certificate(sides: Callable[..., Sides], paths: dict[str, str], reason: str) -> None:
    """The server refuses it, and the client can say why, in TLS 1.3 only after its own handshake."""
    pair = sides(client_ca="authority.pem", **paths)
    with pytest.raises(ssl.SSLError) as caught:
        pair.shake_hands()
    assert not pair.server.established
    if pair.server.pending:
        with pytest.raises(ssl.SSLError) as caught:
            pair.carry(pair.server, pair.client)
    assert pair.client.explain(caught.value).endswith(reason)


def test_tampering(pair: Sides) -> None:
    """A changed record is an error, and the other side is told."""
    record = bytearray(pair.server.send(HELLO))
    record[-1] ^= 1
    with pytest.raises(ssl.SSLError):
        pair.client.receive(bytes(record))
    assert pair.client.pending


def test_identity_behind_nonsense(pair: Sides) -> None:
    """Who the other side is was found out in the handshake: what comes after that cannot change it."""
    with pytest.raises(ssl.SSLError):
        pair.server.receive(b"\x17\x03\x03\x00\x20" + b"x" * 32)
    assert pair.server.identity == ""
    assert pair.client.identity == "localhost" or not pair.client.identity


def test_tampering_behind_data(sides: Callable[..., Sides]) -> None:
    """An error in one piece with data takes nothing away from the data; it is raised the next time."""
    pair = sides()
    pair.shake_hands()
    good, bad = pair.server.send(HELLO), bytearray(pair.server.send(HELLO))
    bad[-1] ^= 1
    assert pair.client.receive(good + bad) == HELLO
    assert pair.client.error
    with pytest.raises(ssl.SSLError):
        pair.client.receive(b"")


def test_two_threads(sides: Callable[..., Sides]) -> None:
    """A layer that receives in one thread and sends in another one mixes nothing up."""
    pair = sides()
    pair.shake_hands()
    records = [pair.server.send(b"%d\n" % number) for number in range(2000)]
    sent: list[bytes] = []
    thread = threading.Thread(target=lambda: sent.extend(pair.client.send(b"%d\n" % n) for n in range(2000)))
    thread.start()
    received = b"".join(map(pair.client.receive, records))
    thread.join()
    expected = b"".join(b"%d\n" % number for number in range(2000))
    assert received == expected
    assert b"".join(map(pair.server.receive, sent)) == expected


NO_PEM = "no certificate and key in PEM format are in there"


@pytest.mark.parametrize(
    ("certificate", "key", "reason"),
    [
        ("missing", None, "cannot read {}/missing: No such file or directory"),
        ("good.crt", "missing", "cannot read {}/missing: No such file or directory"),
        ("empty", None, "cannot use {}/empty: " + NO_PEM),
        ("text", None, "cannot use {}/text: " + NO_PEM),
        ("good.crt", None, "--tls-cert {}/good.crt without a private key in it: give --tls-key FILE"),
        ("good.key", None, "cannot use {}/good.key: " + NO_PEM),
        ("good.crt", "text", "cannot use {}/good.crt and {}/text: " + NO_PEM),
        ("good.crt", "other.key", "cannot use {}/good.crt and {}/other.key: the key is another certificate's"),
        ("good.crt", "locked.key", "cannot use the key in {}/locked.key: it has a passphrase: remove that"),
    ],
)
def test_certificates_that_cannot_be_used(files: Path, certificate: str, key: str | None, reason: str) -> None:
    """One line says which file it is and what is wrong with it, on either side."""
    paths = str(files / certificate), key and str(files / key)
    with pytest.raises(ResourceError) as of_server:
        server_context(*paths, None)
    with pytest.raises(ResourceError) as of_client:
        client_context(None, *paths)
    assert str(of_server.value) == str(of_client.value) == reason.format(files, files)


@pytest.mark.parametrize(
    ("ca", "reason"),
    [
        ("missing", "cannot read {}/missing: No such file or directory"),
        (".", "cannot read {}: Is a directory"),
        ("text", "cannot use {}/text: no certificates in PEM format are in there"),
        ("empty", "cannot use {}/empty: no certificates in PEM format are in there"),
        ("good.key", "cannot use {}/good.key: no certificates in PEM format are in there"),
    ],
)
def test_authorities_that_cannot_be_used(files: Path, ca: str, reason: str) -> None:
    """One line says which file it is and what is wrong with it, on either side."""
    with pytest.raises(ResourceError) as of_server:
        server_context(str(files / "good.pem"), None, str(files / ca))
    with pytest.raises(ResourceError) as of_client:
        client_context(str(files / ca), None, None)
    assert str(of_server.value) == str(of_client.value) == reason.format(files)


def test_an_option_without_a_value(files: Path) -> None:
    """``--tls-client-ca "$UNSET"`` is an error: nobody meant to let everybody in."""
    with pytest.raises(ResourceError):
        server_context(str(files / "good.pem"), None, "")


def test_a_key_of_its_own_file(files: Path) -> None:
    """A certificate and its key may be in two files."""
    server = server_context(str(files / "good.crt"), str(files / "good.key"), None)
    Sides(server, client_context(str(files / "authority.pem"), None, None)).shake_hands()
