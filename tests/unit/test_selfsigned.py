"""Certificates that sign themselves: whom they can be for, and what is in them, whatever has made them."""

import ipaddress
import ssl
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from chatctl import selfsigned
from chatctl.errors import ResourceError
from chatctl.selfsigned import DAYS, Pair, make, save, subject

HOSTS = ["chat.example.org", "*.example.org", "192.0.2.7", "2001:db8::7"]
MAKERS = [selfsigned._by_cryptography, selfsigned._by_openssl]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("localhost", "localhost"),
        ("Chat.Example.org.", "chat.example.org"),
        ("*.example.org", "*.example.org"),
        ("한국.example", "xn--3e0b707e.example"),
        ("192.0.2.7", "192.0.2.7"),
        ("2001:DB8:0::7", "2001:db8::7"),
        ("fe80::1%eth0", "fe80::1"),
        ("my_host", "my_host"),
    ],
)
def test_whom_a_certificate_can_be_for(text: str, expected: str) -> None:
    """Names and addresses have one form each."""
    assert subject(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", ".", "a b", "a..b", "-a", "a-", "x" * 64, "a.*.b", "host:9999", "192.0.2.300", "a\n[b]", ("x" * 50 + ".") * 6],
)
def test_whom_no_certificate_can_be_for(text: str) -> None:
    """Anything else is an error, most of all what would mean something to openssl."""
    with pytest.raises(ValueError, match="is no host name and no address"):
        subject(text)


@pytest.mark.parametrize("maker", MAKERS)
def test_what_is_in_a_certificate(maker: Callable[[Sequence[str]], Pair], tmp_path: Path) -> None:
    """It is for all hosts, for ten years, for servers, no authority; key and certificate belong together."""
    pair = maker(HOSTS)
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    assert certificate.subject == certificate.issuer
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(DAYS)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == HOSTS[:2]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address(host) for host in HOSTS[2:]]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*save(pair, tmp_path))


def test_a_name_that_is_too_long_for_a_common_name() -> None:
    """It is cut there, and whole where clients look."""
    name = subject(".".join(["x" * 60] * 3))
    for maker in MAKERS:
        certificate = x509.load_pem_x509_certificate(maker([name]).certificate)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == [name]


def test_nobody_else_can_read_the_key(tmp_path: Path) -> None:
    """However generous the umask is."""
    certificate, key = save(make(["localhost"]), tmp_path)
    assert key.stat().st_mode & 0o777 == 0o600
    assert b"PRIVATE" in key.read_bytes()
    assert b"PRIVATE" not in certificate.read_bytes()


@pytest.mark.parametrize("name", ["cert.pem", "key.pem"])
def test_nothing_is_overwritten(tmp_path: Path, name: str) -> None:
    """A file that is there stays, and nothing is put beside it."""
    (tmp_path / name).write_text("precious")
    with pytest.raises(ResourceError, match=f"{name} is there already: move it away, or give another folder by --out"):
        save(Pair(b"key", b"certificate"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "precious"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """One line names the file."""
    with pytest.raises(ResourceError, match=r"cannot write .*/key\.pem: No such file or directory"):
        save(Pair(b"key", b"certificate"), tmp_path / "missing")
