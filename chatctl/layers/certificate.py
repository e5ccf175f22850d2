"""What a certificate says of itself, and its fingerprint, which no other one has. Nothing here trusts a word of it."""

import contextlib
import hashlib
import ipaddress
import re
import ssl
from typing import Any, NamedTuple

from chatctl import wire


class Certificate(NamedTuple):
    """A certificate as the other side of a connection shows it.

    ``fingerprint``: see `fingerprint`. ``names``: the host names and addresses that it is for, as far as that can be
    told. ``self_signed``: it says that nobody else has signed it.
    """

    fingerprint: str
    names: tuple[str, ...]
    self_signed: bool


class WrongCertificate(ssl.SSLError):
    """The other side has shown another certificate than the one that is trusted."""


def fingerprint(certificate: bytes) -> str:
    """What stands for a certificate: ``sha256:`` and the SHA-256 of its DER form, in 64 hex digits."""
    return f"sha256:{hashlib.sha256(certificate).hexdigest()}"


def read_fingerprint(text: str) -> str:
    """A fingerprint that somebody wrote, in capitals or with colons between the bytes (as openssl does) or not.

    Raises:
        ValueError: it is none.
    """
    form, _, digits = text.lower().partition(":")
    if form != "sha256" or not re.fullmatch("[0-9a-f]{64}|[0-9a-f]{2}(:[0-9a-f]{2}){31}", digits):
        raise ValueError(f"{text!r} is not sha256: and 64 hex digits")
    return f"sha256:{digits.replace(':', '')}"


def trust_only(context: ssl.SSLContext, pin: str) -> None:
    """Have a client's side trust exactly the certificate with a fingerprint, whatever it says.

    A handshake with any other one ends with `WrongCertificate`. OpenSSL has no such check of its own; it stands where
    the handshake does, so that no layer over this context can be established without it.

    Args:
        context: for `ssl.SSLContext.wrap_bio` alone.
        pin: from `fingerprint`.
    """

    class Pinned(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            found = fingerprint(self.getpeercert(binary_form=True) or b"")
            if found != pin:
                raise WrongCertificate(
                    f"its certificate is {found}, not {pin}: ask who runs the server for the right --tls-pin"
                )

    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.sslobject_class = Pinned
    context.sslsocket_class = None  # type: ignore[assignment]  # it has no such check: there must be none


def shown(connection: ssl.SSLObject) -> Certificate:
    """The certificate that the other side has shown, trusted or not."""
    found = _unverified(connection)
    return Certificate(
        fingerprint(connection.getpeercert(binary_form=True) or b""),
        names(connection),
        bool(found) and found["subject"] == found["issuer"],
    )


def names(connection: ssl.SSLObject) -> tuple[str, ...]:
    """The names and addresses that the other side's certificate is for; also after a handshake that has failed."""
    found: list[str] = []
    for kind, value in _unverified(connection).get("subjectAltName", ()):
        with contextlib.suppress(ValueError):
            if kind == "DNS":
                found.append(wire.clean(value))
            elif kind == "IP Address":
                found.append(str(ipaddress.ip_address(value.strip())))
    return tuple(found)


def _unverified(connection: ssl.SSLObject) -> dict[str, Any]:
    """What the other side's certificate says, as `ssl.SSLObject.getpeercert` has it for one that is trusted.

    Python knows it, but no public name gives it before 3.13, and none in this form since. So it is for messages only;
    empty, if it cannot be had.
    """
    with contextlib.suppress(AttributeError, IndexError, TypeError, ValueError, ssl.SSLError):
        found: dict[str, Any] = connection._sslobj.get_unverified_chain()[0].get_info()  # type: ignore[attr-defined]
        return found
    return {}
