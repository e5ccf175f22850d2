"""The client's side of a connection under TLS: its handshake, and what goes wrong with it, in words. No socket."""

import contextlib
import ssl
from collections.abc import Generator
from typing import NoReturn

from chatctl.errors import NetworkError, ResourceError
from chatctl.layers import Layer
from chatctl.layers.certificate import Certificate
from chatctl.layers.tls import TLS, NotTLS
from chatctl.wire import Kind, LineDecoder, Rejected, parse
from chatctl.wire.words import NEEDS_PASSWORD


def client_layer(context: ssl.SSLContext, host: str, trouble: str) -> TLS:
    """The client's side of a connection to a host.

    Args:
        context: from `client_context`.
        host: a name or an address; the server's certificate must be for it.
        trouble: how an error begins.

    Raises:
        NetworkError: no certificate can be for that host.
    """
    try:
        return TLS(context, host=host.partition("%")[0].removesuffix("."))  # certificates know no zone, no root
    except ValueError as error:
        raise NetworkError(f"{trouble}: no certificate can be for that name: check the address") from error


def client_side(layer: TLS, trouble: str) -> Generator[bytes, bytes, NoReturn]:
    """The handshake of a client, and what the server says after it, without a socket.

    Step it once to begin. Then send it what comes from the socket: it yields the plain text in that. Throw it the
    `OSError` that ends the connection during the handshake. After every step, the first and the last included, what
    the layer has to say (``layer.send(b"")``) is to be sent.

    Args:
        layer: from `client_layer`.
        trouble: how an error begins as long as no text has come: a server has its last word on a client's certificate
            only after the handshake (RFC 8446, section 4.4.2.4).

    Raises:
        NetworkError: there is no TLS, a certificate does not do, or what came is not what the server has sent.
    """
    text = b""
    try:
        layer.start()
        while True:
            text = layer.receive((yield text))
            if text:
                trouble = "the connection broke"
    except NotTLS as error:
        if refusal := (yield from _refusal(error.data)):
            raise NetworkError(f"the server refused: {refusal}") from error
        raise NetworkError(f"{trouble}: it does not speak TLS: leave --tls out") from error
    except ssl.SSLError as error:
        raise NetworkError(f"{trouble}: {layer.explain(error)}") from error
    except OSError as error:
        what = "no answer" if isinstance(error, TimeoutError) else error.strerror
        raise NetworkError(f"{trouble}: {what} in the TLS handshake: does it speak TLS?") from error


def certificate_of(server: Layer) -> Certificate:
    """What the server's side of a connection shows its clients; one of them, in memory, has a look.

    Args:
        server: at its beginning; no connection can be made with it any more.

    Raises:
        ResourceError: no client could use it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    client = TLS(context)
    client.start()
    try:
        while not client.established:
            server.receive(client.send(b""))
            client.receive(server.send(b""))
    except ssl.SSLError as error:
        raise ResourceError(f"no client could use the certificate: {client.explain(error)}") from error
    return client.certificate


def _refusal(data: bytes) -> Generator[bytes, bytes, str | None]:
    """Why a server does not let anybody in, when that is what it says, in plain text, before any TLS."""
    decoder = LineDecoder()
    lines = decoder.feed(data)
    with contextlib.suppress(OSError):
        while not lines and data.startswith(b"!"):
            lines = decoder.feed((yield b""))
    line = next(iter(lines + decoder.finish()), None)
    if line is None or isinstance(line, Rejected):
        return None
    event = parse(line.decode())
    return event.text if event.kind is Kind.ANSWER and event.text != NEEDS_PASSWORD else None
