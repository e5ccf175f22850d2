"""A private key, and a certificate that it signs itself: by the package cryptography, or else by the program openssl.

Nobody vouches for such a certificate: who trusts it knows its fingerprint, or has the certificate itself.
"""

import contextlib
import ipaddress
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from chatctl.errors import ResourceError, installing

DAYS = 3650
"""Days that a certificate is valid: ten years, as nothing will renew it."""

_LABEL = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(\*\.)?({_LABEL}\.)*(?![0-9]+$){_LABEL}")  # 192.0.2.300 is a slip
_BLOCK = re.compile(rb"-----BEGIN ([A-Z ]+)-----\n.+?\n-----END \1-----\n", re.DOTALL)

_SETTINGS = """[req]
prompt = no
distinguished_name = name
x509_extensions = room
[name]
CN = {}
[room]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
subjectAltName = {}
"""


class Pair(NamedTuple):
    """A private key and the certificate for it, both in PEM format."""

    key: bytes
    certificate: bytes


def subject(text: str) -> str:
    """A host name or an address in the form that certificates have it.

    Raises:
        ValueError: it is neither.
    """
    text = text.partition("%")[0]  # certificates know no zone
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(text))
    with contextlib.suppress(UnicodeError):
        name = text.removesuffix(".").encode("idna").decode().lower()
        if len(name) <= 253 and _NAME.fullmatch(name):
            return name
    raise ValueError(f"{text!r} is no host name and no address")


def make(hosts: Sequence[str]) -> Pair:
    """A new pair: ECDSA over P-256, which everything that speaks TLS understands.

    Args:
        hosts: whom the certificate is for, each from `subject`.

    Raises:
        ResourceError: there is nothing to make it with, or that fails.
    """
    try:
        return _by_cryptography(hosts)
    except ImportError:
        return _by_openssl(hosts)


def save(pair: Pair, folder: Path) -> tuple[Path, Path]:
    """Write ``cert.pem`` and ``key.pem``, which nobody else may read; return where they are.

    Raises:
        ResourceError: they cannot be written, or one of them is there already. Then there is no more than before.
    """
    certificate, key = folder / "cert.pem", folder / "key.pem"
    written: list[Path] = []
    try:
        for path, data, mode in ((key, pair.key, 0o600), (certificate, pair.certificate, 0o644)):
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                written.append(path)
                file.write(data)
    except OSError as error:
        for each in written:
            each.unlink()
        if isinstance(error, FileExistsError):
            raise ResourceError(f"{path} is there already: move it away, or give another folder by --out") from error
        raise ResourceError(f"cannot write {path}: {error.strerror}") from error
    return certificate, key


def _by_cryptography(hosts: Sequence[str]) -> Pair:
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    names = [x509.IPAddress(ipaddress.ip_address(h)) if _is_address(h) else x509.DNSName(h) for h in hosts]
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _common_name(hosts))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form, unlocked = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return Pair(key.private_bytes(pem, form, unlocked), certificate.public_bytes(pem))


def _by_openssl(hosts: Sequence[str]) -> Pair:
    """Both come out of a pipe: the key is in no file that openssl has made."""
    names = ", ".join(f"{'IP' if _is_address(host) else 'DNS'}:{host}" for host in hosts)
    command = "openssl req -x509 -config /dev/stdin -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256"
    try:
        run = subprocess.run(
            [*command.split(), "-days", str(DAYS), "-keyout", "/dev/stdout"],
            input=_SETTINGS.format(_common_name(hosts), names).encode(),
            capture_output=True,
        )
    except OSError as error:
        needs = f"it needs the package cryptography: {installing('tls')} (or the program openssl)"
        raise ResourceError(needs) from error
    blocks = {block[1].rpartition(b" ")[2]: block[0] for block in _BLOCK.finditer(run.stdout)}
    if run.returncode or blocks.keys() != {b"KEY", b"CERTIFICATE"}:
        why = run.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise ResourceError(f"openssl has made no certificate: {why}")
    return Pair(blocks[b"KEY"], blocks[b"CERTIFICATE"])


def _common_name(hosts: Sequence[str]) -> str:
    return hosts[0][:64]  # more it may not have (RFC 5280, appendix A.1)


def _is_address(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    return False
