"""What a server says when it has started: what others have to type, and what its operator should know."""

import contextlib
import ipaddress
import logging
import os
import shlex
import socket
import stat
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from chatctl.server.base import Server
from chatctl.wire import Address

if TYPE_CHECKING:  # a room in plain text does not wait for it to load
    from chatctl.layers.certificate import Certificate

_ELSEWHERE = {"0.0.0.0": "203.0.113.1", "::": "2001:db8::1"}  # addresses that nobody has (RFC 5737, RFC 3849)

log = logging.getLogger("chatctl.server")


class Way(NamedTuple):
    """How others get into a room.

    ``host``: what the server was told to listen on; None: systemd has handed down the sockets. ``addresses``: where it
    listens. ``password``: it asks for one. ``certificate``: what it shows under TLS; None: it speaks plain text.
    ``client_ca``: it asks for a certificate. ``web``, ``pages``: what it listens on for browsers, as it was told, and
    where that is; none: it does not.
    """

    host: str | None
    addresses: Sequence[Address]
    password: bool = False
    certificate: "Certificate | None" = None
    client_ca: bool = False
    web: str | None = None
    pages: Sequence[Address] = ()


def way(server: Server, host: str | None, *, password: bool, client_ca: bool, web: str | None = None) -> Way:
    """How others get into a server's room; see `Way`."""
    certificate = None
    if layers := server.layers():
        from chatctl.layers.handshake import certificate_of

        certificate = certificate_of(layers[0])
    pages = server.listeners[1].addresses if web else ()
    return Way(host, server.listener.addresses, password, certificate, client_ca, web, pages)


def give(way: Way, secrets: Sequence[str], say: Callable[[str], None] | None) -> None:
    """Log the `warnings`, and say the `lines`, if there is somebody to read them."""
    for warning in warnings(way, secrets):
        log.warning("%s", warning)
    if say:
        for line in lines(way):
            say(line)


def lines(way: Way) -> list[str]:
    """What others have to type, for each address of this machine that is worth it."""
    found, certificate = [], way.certificate
    secret = "with a password" if way.password else "no password"
    for place in _places(way):
        host, port = place
        client, other, how = f"chatctl client {host} {port}", f"nc {host} {port}", "plain text"
        if certificate:
            client += f" --tls-pin {certificate.fingerprint}" if certificate.self_signed else " --tls"
            other, how = f"openssl s_client -quiet -connect {place}", "TLS"
        if way.client_ca:
            client, other = f"{client} --tls-cert FILE", f"{other} -cert FILE"
        found.append(f"join: {client}, or {other} ({how}, {secret})")
    scheme = "https" if certificate else "http"
    if way.pages:
        places = _places(way._replace(host=way.web, addresses=way.pages))
        found += [f"in a browser: {scheme}://{place}/" for place in places]
    if certificate and not certificate.self_signed:
        found.append(f"its certificate is {certificate.fingerprint}")
    return found


def warnings(way: Way, secrets: Sequence[str]) -> list[str]:
    """By what others may come to know what they should not.

    Args:
        way: into the room.
        secrets: the files with the password and the private key.
    """
    found = []
    if way.password and not way.certificate and not all(map(_is_loopback, way.addresses)):
        found.append("the password crosses the network in plain text: give --tls-cert FILE (chatctl cert makes one)")
    modes = {file: mode for file in secrets if (mode := _closed(file))}
    return found + [
        f"others on this machine can read {file}: chmod {mode} {shlex.quote(file)}" for file, mode in modes.items()
    ]


def _places(way: Way) -> list[Address]:
    """By which names or addresses others can connect, the best known first."""
    port, certificate = way.addresses[0].port, way.certificate
    if certificate and not certificate.self_signed and way.host not in certificate.names:
        for name in certificate.names:
            if not name.startswith("*"):  # by anything else it would not do
                return [Address(name, port)]
    everywhere = sorted({address.host for address in way.addresses} & _ELSEWHERE.keys())
    if not everywhere:
        return [Address(way.host, port)] if way.host else list(way.addresses)
    kinds = ["0.0.0.0", "::"] if "::" in everywhere else everywhere  # :: takes IPv4 as well
    return [Address(own, port) for kind in kinds if (own := _own_address(kind))] or [Address("127.0.0.1", port)]


def _own_address(everywhere: str) -> str | None:
    """The address by which this machine reaches others, if it does. To connect a UDP socket sends nothing."""
    with contextlib.suppress(OSError):
        family = socket.AF_INET6 if ":" in everywhere else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((_ELSEWHERE[everywhere], 9))
            return str(sock.getsockname()[0])
    return None


def _is_loopback(address: Address) -> bool:
    return ipaddress.ip_address(address.host).is_loopback


def _closed(file: str) -> str:
    """The mode for chmod(1) that keeps others from reading a file; nothing, if they cannot.

    A group may read what is somebody else's: so root gives a key to a server, and systemd a credential.
    """
    with contextlib.suppress(OSError):
        found = os.stat(file)
        own = found.st_uid == os.geteuid()
        if stat.S_ISREG(found.st_mode) and found.st_mode & (0o044 if own else 0o004):
            return "600" if own else "o-r"
    return ""
