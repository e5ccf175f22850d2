"""The room on a socket. A mode is a word in `MODES` and a class that moves the bytes."""

import contextlib
import functools
import importlib
import logging
import os
from typing import TYPE_CHECKING, NamedTuple

from chatctl.errors import ListenError, ResourceError

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from chatctl.room.door import Network
    from chatctl.room.limits import Limits
    from chatctl.server.base import Server
    from chatctl.server.console import Sink
    from chatctl.server.operation import Certificates
    from chatctl.server.store import Bounds

_STDIN, _STDOUT, _STDERR = 0, 1, 2


class Pages(NamedTuple):
    """Where browsers come in.

    Attributes:
        place: HOST:PORT to listen on; port 0 picks a free one.
        names: of this server, by which browsers may ask for the page, besides its addresses and localhost.
        proxies: networks of proxies that say for whom they ask.
    """

    place: str
    names: "Sequence[str]" = ()
    proxies: "Sequence[Network]" = ()


MODES = {
    "select": "chatctl.server.selector:SelectServer",
    "threads": "chatctl.server.threads:ThreadsServer",
}


def build(
    host: str | None,
    port: int | None,
    mode: str,
    limits: "Limits",
    shown: "Sink",
    certificates: "Certificates",
    *,
    password_file: str | None = None,
    certified: bool = False,
    transcript: str | None = None,
    store: str | None = None,
    bounds: "Bounds | None" = None,
    pages: Pages | None = None,
) -> "Server":
    """Make a server that listens already; `Server.run` has it serve, in whichever thread, and it is to be closed.

    Args:
        host: an address or a host name; None: on the sockets that systemd hands down.
        port: 0 picks a free one.
        mode: a word of `MODES`.
        limits: what members may cost, and who is let in; it says how many users.
        shown: where the room's lines are shown.
        certificates: loads them, see `operation.certificates`.
        password_file: its first line is what a newcomer has to say first.
        certified: members' names come from their certificates.
        transcript: a file that the room's lines are appended to.
        store: a directory where the room is kept, see `Store`.
        bounds: how much of it.
        pages: where browsers come in; None: they do not.

    Raises:
        ListenError: an address cannot be had.
        ResourceError: a file, a directory or an extra cannot be used.
    """
    from chatctl.room.room import Room
    from chatctl.server.console import Outlet
    from chatctl.server.link import Link
    from chatctl.server.lock import Lock
    from chatctl.server.store import Bounds, Store, new_epoch

    layers = certificates()
    key = _password(password_file, limits)
    room: Room[Link] = Room(limits, password=key, certified=certified, epoch=new_epoch())
    lock = Lock()
    kept = None if store is None else Store(store, room.ledger, lock, bounds or Bounds())
    conversation = room.ledger.log("text")
    outlets = [Outlet(conversation, lock, shown, limits.max_lag)]
    if transcript is not None:
        from chatctl.server.transcript import Transcript

        outlets.append(Outlet(conversation, lock, Transcript(transcript), limits.max_lag))
    sockets = _sockets(host, port)
    browsers = None
    if pages:
        from chatctl.server import listener
        from chatctl.server.web import Site
        from chatctl.wire import host_and_port

        name, web_port = host_and_port(pages.place)
        site = Site(pages.names, pages.proxies, secure=bool(layers()), max_line=limits.max_line)
        browsers = listener.bind(name, web_port or 0), site
    module, name = MODES[mode].split(":")
    backend: type[Server] = getattr(importlib.import_module(module), name)
    return backend(room, lock, sockets, layers=layers, outlets=outlets, store=kept, pages=browsers)


def _password(file: str | None, limits: "Limits") -> bytes | None:
    from chatctl import password
    from chatctl.wire import LineDecoder

    key = None if file is None else password.read(file)
    if key is not None and LineDecoder(limits.max_line, guard=True).feed(key + b"\n") != [key]:
        raise ResourceError(f"cannot use the password in {file}: no member could send it as its first line")
    return key


def _sockets(host: str | None, port: int | None) -> "list[socket.socket]":
    from chatctl.server import listener, systemd

    sockets = systemd.inherited()
    if sockets and host is not None:
        raise ListenError("systemd has handed down the sockets to listen on: leave out HOST and PORT")
    if sockets:
        return sockets
    if host is None or port is None:
        raise ListenError("systemd has handed down no socket to this process: give HOST and PORT")
    return listener.bind(host, port)


def serve(
    host: str | None,
    port: int | None,
    mode: str,
    limits: "Limits",
    *,
    password_file: str | None = None,
    tls_cert: str | None = None,
    tls_key: str | None = None,
    tls_client_ca: str | None = None,
    transcript: str | None = None,
    store: str | None = None,
    bounds: "Bounds | None" = None,
    pages: Pages | None = None,
    metrics: str | None = None,
    verbosity: int = 0,
) -> None:
    """Run a room as this process, until SIGINT or SIGTERM.

    Args:
        host: an address or a host name; a name is served on every address it has. None: on the sockets that systemd
            hands down.
        port: 0 picks a free one.
        mode: a word of `MODES`.
        limits: what members may cost, and who is let in.
        password_file: its first line is what a newcomer has to say first.
        tls_cert: a PEM file with the server's certificate; with it the room speaks TLS.
        tls_key: a PEM file with its key, if that is not in the same file.
        tls_client_ca: a PEM file with the authorities that members' certificates must come from.
        transcript: a file that the room's lines are appended to.
        store: a directory where the room is kept, see `Store`.
        bounds: how much of it.
        pages: where browsers come in; None: they do not.
        metrics: HOST:PORT, where the counters are served for Prometheus.
        verbosity: 1 also logs who was refused and why members went, -1 only errors.

    Raises:
        ListenError: an address cannot be had.
        ResourceError: a file cannot be used.
    """
    from chatctl.server import console, invitation, operation, systemd
    from chatctl.server.base import within_descriptors
    from chatctl.server.terminal import Terminal
    from chatctl.wire import host_and_port

    with contextlib.ExitStack() as stack:
        terminal = Terminal()
        stack.callback(terminal.close)
        diagnostics = console.Diagnostics(_STDERR, terminal.write)
        stack.callback(diagnostics.finish, timeout=0.2)
        timed = verbosity > 0 and not systemd.is_journal(_STDERR)
        logging.basicConfig(
            format=f"chatctl server: {'%(asctime)s ' if timed else ''}%(message)s",
            datefmt="%H:%M:%S",
            level={1: logging.INFO, 0: logging.WARNING, -1: logging.ERROR}[verbosity],
            handlers=[diagnostics],
        )
        logging.logThreads = False  # else logging keeps an entry for each reader thread for good
        limits = within_descriptors(limits, stored=store is not None)
        shown = console.Stream(_STDOUT, terminal.write)
        certificates = operation.certificates(tls_cert, tls_key, tls_client_ca)
        server = stack.enter_context(
            build(
                host,
                port,
                mode,
                limits,
                shown,
                certificates,
                password_file=password_file,
                certified=tls_client_ca is not None,
                transcript=transcript,
                store=store,
                bounds=bounds,
                pages=pages,
            )
        )
        way = invitation.way(
            server,
            host,
            password=password_file is not None,
            client_ca=tls_client_ca is not None,
            web=host_and_port(pages.place)[0] if pages else None,
        )
        say = diagnostics.say if verbosity > 0 or (verbosity == 0 and os.isatty(_STDERR)) else None
        secrets = [file for file in (password_file, tls_key or tls_cert) if file]
        server.console.follow(functools.partial(invitation.give, way, secrets, say))
        operator = operation.Operator(server, certificates, diagnostics.say, terminal)
        if metrics:
            from chatctl.server import metrics as scraped

            served = scraped.serve(metrics, server.counters)
            stack.callback(served.close)
            logging.getLogger("chatctl.server").info("metrics on port %d", served.port)
        operator.attend(_STDIN, _STDOUT)
        server.loop.call(functools.partial(systemd.notify, "READY=1"))  # once signals are caught
        with server.loop.signals(operator.signals):
            server.run()
