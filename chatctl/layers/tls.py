"""TLS as a layer of bytes over `ssl.MemoryBIO`: ciphertext in, plain text out, and the other way round. No socket.

A `TLS` stands between a socket and what reads and writes it, on either side of a connection:

    bytes of the socket → `TLS.receive` → plain text
    plain text → `TLS.send` → bytes for the socket

What TLS itself has to say (the handshake, alerts, key updates) comes out of `TLS.send` as well. Only one thread at a
time may be inside an ``SSLObject``, so each layer has a lock; it does no I/O, so nothing blocks while that is held.
TLS 1.2 (RFC 5246) or later, without renegotiation.
"""

import contextlib
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chatctl.errors import ResourceError
from chatctl.layers.certificate import Certificate, WrongCertificate, names, shown, trust_only
from chatctl.layers.reasons import explain

RECORD = 16384
"""Bytes of plain text that fit in one record (RFC 8446, section 5.1)."""

_HEADER = 5  # bytes of a record before its content: a type, a version, the length of the content (section 5.1)

_MAX_EMPTY = 256
"""Records without plain text that a peer may send after the handshake. They are key updates, most of all, each of which
costs more than a hundred times its bytes, and an answer; a peer that means well sends one in millions of records."""

_RECORDS = range(0x14, 0x18)  # the first byte of whatever TLS sends: the type of a record (RFC 8446, section 5.1)


class NotTLS(ssl.SSLError):
    """The peer's first bytes are no TLS; ``data`` is what they are."""

    def __init__(self, data: bytes) -> None:
        super().__init__("speaks no TLS")
        self.data = data


class TLS:
    """One side of one connection under TLS.

    ``established``: the handshake is done. ``begun``: the peer has sent something that is TLS. ``ended``: the peer has
    closed its side in good order (close_notify); an end of the connection without that is a reset. ``closed``: so has
    this side.

    Args:
        context: from `server_context` or `client_context`.
        server_side: which side this is.
        host: the client's side: the name or the address that the server's certificate must be for.
    """

    __slots__ = (
        "_certificate",
        "_certificate",
        "_empty",
        "_incoming",
        "_lock",
        "_outgoing",
        "_partial",
        "_tls",
        "begun",
        "closed",
        "ended",
        "error",
        "established",
    )

    def __init__(self, context: ssl.SSLContext, *, server_side: bool = False, host: str | None = None) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side, host)
        self._lock = threading.Lock()
        self._partial = b""  # a record that has not ended
        self._empty = 0  # records without plain text
        self.closed = False
        self.begun = False
        self.established = False
        self._certificate: Any = None
        self.ended = False
        self.error: OSError | None = None

    def start(self) -> None:
        """Begin the handshake; the client's side speaks first."""
        with self._lock:
            self._shake_hands()

    def receive(self, data: bytes) -> bytes:
        """Take what came from the peer, return the plain text that it completes; look at `pending` afterwards.

        Raises:
            NotTLS: the peer speaks something else.
            ssl.SSLError: the handshake failed, or what came was not what the peer had sent. An alert that says so is
                `pending`; nothing can be received or sent any more. With plain text before it, that is returned, and
                the `error` is for the next time.
        """
        with self._lock:
            if self.error:
                raise self.error
            if not self.begun:
                if data[0] not in _RECORDS:
                    raise NotTLS(data)
                self.begun = True
            plain: list[bytes] = []
            try:
                for record in self._split(data):
                    self._incoming.write(record)
                    if self.established:
                        plain += self._read()
                    else:
                        self._shake_hands()
            except ssl.SSLError as error:
                if not plain:
                    raise
                self.error = error
            return b"".join(plain)

    def send(self, data: bytes | memoryview) -> bytes:
        """Encrypt plain text; return that and all else there is to be sent, which must go before what comes next."""
        with self._lock:
            if data and self.error:
                raise self.error
            while data:
                data = data[self._tls.write(data) :]
            return self._outgoing.read()

    def close(self) -> None:
        """Have it said that nothing more will be sent (close_notify). Closing twice does nothing."""
        with self._lock:
            if self.established and not self.closed:
                self.closed = True
                with contextlib.suppress(ssl.SSLError):  # it wants the peer's close_notify as well
                    self._tls.unwrap()

    def explain(self, error: OSError) -> str:
        """What went wrong, in words for the user."""
        with self._lock:
            return explain(error, names(self._tls) if isinstance(error, ssl.SSLCertVerificationError) else ())

    @property
    def certificate(self) -> Certificate:
        """What the other side has shown, trusted or not, once this is ``established``."""
        return shown(self._tls)

    @property
    def identity(self) -> str:
        """The common name in the peer's certificate, where that was verified (RFC 5280, section 4.1.2.6)."""
        names: Any = (self._certificate or {}).get("subject", ())
        return next((value for part in names for kind, value in part if kind == "commonName"), "")

    @property
    def pending(self) -> bool:
        """Whether TLS itself has something to send: ``send(b"")`` returns it."""
        return self._outgoing.pending > 0

    def _split(self, data: bytes) -> Iterator[bytes]:
        """The records that some bytes complete; what is left is kept."""
        data = self._partial + data
        begin = 0
        while (content := begin + _HEADER) <= len(data):
            end = content + int.from_bytes(data[content - 2 : content], "big")
            if end > len(data):
                break
            yield data[begin:end]
            begin = end
        self._partial = data[begin:]

    def _read(self) -> list[bytes]:
        """The plain text of the record that came last."""
        try:
            if not self.ended and (plain := self._tls.read(RECORD)):
                return [plain]
            self.ended = True
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLWantReadError:
            self._empty += 1
            if self._empty > _MAX_EMPTY:
                raise ssl.SSLError("too many records without data") from None
        return []

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
            self.established = True
            self._certificate = (
                self._tls.getpeercert()
            )  # not later: behind nonsense OpenSSL knows no handshake any more
        except ssl.SSLWantReadError:
            pass
        except WrongCertificate as error:
            self.error = error
            self._outgoing.read()  # a stranger is told nothing, and not shown this side's own certificate
            raise


def server_context(certificate: str, key: str | None, client_ca: str | None) -> ssl.SSLContext:
    """What the server's side of a connection is made from.

    Args:
        certificate: a PEM file with the server's certificate and those between it and its authority.
        key: a PEM file with its private key; None: that is in the first file.
        client_ca: a PEM file with the authorities that a client's certificate must come from; None: clients need none.

    Raises:
        ResourceError: a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET  # members stay: there is nothing to resume
    context.num_tickets = 0
    _load_certificate(context, certificate, key)
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        _load_authorities(context, client_ca)
    return context


def client_context(ca: str | None, certificate: str | None, key: str | None, pin: str | None = None) -> ssl.SSLContext:
    """What the client's side of a connection is made from. The server's name is checked, unless there is a pin.

    Args:
        ca: a PEM file with the authorities that the server's certificate must come from; None: those of this machine.
        certificate: a PEM file with a certificate for servers that ask for one.
        key: a PEM file with its private key; None: that is in the same file.
        pin: the `fingerprint` of the one certificate to trust, whatever it says, instead of authorities.

    Raises:
        ResourceError: a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if pin is not None:
        trust_only(context, pin)
    elif ca is not None:
        _load_authorities(context, ca)
    else:
        context.load_default_certs()
    if certificate is not None:
        _load_certificate(context, certificate, key)
    return context


def _load_certificate(context: ssl.SSLContext, certificate: str, key: str | None) -> None:
    for path in (certificate, key):
        if path is not None:
            _check_readable(path)
    files = certificate if key is None else f"{certificate} and {key}"

    def no_passphrase() -> str:
        raise ResourceError(f"cannot use the key in {key or certificate}: it has a passphrase: remove that")

    try:
        context.load_cert_chain(certificate, key, no_passphrase)
    except ssl.SSLError as error:
        if error.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
            raise ResourceError(f"cannot use {files}: the key is another certificate's") from error
        if key is None and b"-----BEGIN CERTIFICATE-----" in Path(certificate).read_bytes():
            raise ResourceError(f"--tls-cert {certificate} without a private key in it: give --tls-key FILE") from error
        if error.reason in (None, "NO_START_LINE", "PEM_LIB"):
            raise ResourceError(f"cannot use {files}: no certificate and key in PEM format are in there") from error
        raise ResourceError(f"cannot use {files}: {explain(error)}") from error
    except OSError as error:
        raise ResourceError(f"cannot read {files}: {error.strerror}") from error


def _load_authorities(context: ssl.SSLContext, path: str) -> None:
    _check_readable(path)
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise ResourceError(f"cannot use {path}: no certificates in PEM format are in there") from error
    except OSError as error:
        raise ResourceError(f"cannot read {path}: {error.strerror}") from error


def _check_readable(path: str) -> None:
    """Find out which file it is that cannot be read: OpenSSL does not say."""
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise ResourceError(f"cannot read {path}: {error.strerror}") from error
