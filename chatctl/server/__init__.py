"""The room on a socket. A mode is a word in `MODES` and a class with two methods."""

import importlib
import logging

_STDOUT, _STDERR = 1, 2

MODES = {
    "select": "chatctl.server.selector:SelectServer",
    "threads": "chatctl.server.threads:ThreadsServer",
}


def serve(
    host: str, port: int, mode: str, *, max_line: int, max_lag: int, max_users: int | None, verbosity: int
) -> None:
    """Run a room until SIGINT or SIGTERM.

    Args:
        host: an address or a host name; a name is served on every address it has.
        port: 0 picks a free one.
        mode: a word of `MODES`.
        max_line: bytes a line may have.
        max_lag: bytes a member may be behind.
        max_users: members at a time; None means 10,000, or as many as the descriptor limit allows.
        verbosity: 1 also logs who was refused and why members went, -1 only errors.

    Raises:
        ListenError: the address cannot be had.
    """
    from chatctl.server import base, console, listener
    from chatctl.server.room import Room

    diagnostics = console.Diagnostics(_STDERR)
    logging.basicConfig(
        format="chatctl server: %(message)s",
        level={1: logging.INFO, 0: logging.WARNING, -1: logging.ERROR}[verbosity],
        handlers=[diagnostics],
    )
    logging.logThreads = False  # else logging keeps an entry for each reader thread for good
    try:
        users = base.raise_descriptor_limit(max_users)
        sockets = listener.bind(host, port)
        room: Room[base.Link] = Room(max_line=max_line, max_lag=max_lag)
        module, name = MODES[mode].split(":")
        backend = getattr(importlib.import_module(module), name)
        backend(room, sockets, max_users=users, console=_STDOUT).run()
    finally:
        diagnostics.finish(timeout=0.2)
