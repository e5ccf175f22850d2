"""A person in the room, or a pipe."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chatctl.screen import can_draw

if TYPE_CHECKING:
    from chatctl.peer.connection import Target


QUIET = 2.0
"""Seconds after which a server that has said nothing to somebody who speaks plain text may be waiting for TLS."""

UNHEARD = "connected, but the server says nothing yet: does the room speak TLS (--tls)?"
"""What to tell that one."""


def is_rich(*, plain: bool, stdin: bool, stdout: bool, term: str) -> bool:
    """Whether the client edits lines and draws, or is a filter.

    Args:
        plain: whether the user has asked for a filter.
        stdin: whether it is a terminal.
        stdout: likewise.
        term: the environment's TERM.
    """
    return not plain and stdin and stdout and can_draw(term)


def is_colored(choice: str, *, rich: bool, environment: Mapping[str, str]) -> bool:
    """Whether to use colours; ``auto``: on a terminal, unless NO_COLOR (no-color.org) is set and not empty."""
    return choice == "always" or (choice == "auto" and rich and not environment.get("NO_COLOR"))


def run(
    target: "Target",
    password: bytes | None,
    *,
    plain: bool,
    color: str,
    timestamps: bool | None,
    bell: str,
    reconnect: bool,
    wait: bool,
    nick: str,
    history: int,
    **look: Any,
) -> None:
    """Be a member: on a terminal until the person there leaves, as a filter until the server closes.

    Args:
        target: the room.
        password: for a room that needs one; None: whoever is at the terminal is asked.
        plain: be a filter on a terminal too.
        color: ``auto``, ``always`` or ``never``.
        timestamps: before every line; None: on a terminal.
        bell: see `Display`; a filter does not ring.
        reconnect: come back when the connection is lost; a filter never does.
        wait: try again until there is a first one.
        nick: the name to come in with; empty: none.
        history: lines that were said before, to be shown on a terminal first.
        look: what else a `Display` can be told.

    Raises:
        ChatctlError: see `plain.run` and `Terminal.run`.
    """
    rich = is_rich(plain=plain, stdin=os.isatty(0), stdout=os.isatty(1), term=os.environ.get("TERM", ""))
    look["color"] = is_colored(color, rich=rich, environment=os.environ)
    look["timestamps"] = rich if timestamps is None else timestamps
    if rich:
        from chatctl.client.dialer import Dialer
        from chatctl.peer.claim import Claim

        dialer = Dialer(target, Claim(nick, history))
        dialer.start()
        import asyncio

        from chatctl.client.terminal import Terminal

        asyncio.run(Terminal(dialer, password, reconnect=reconnect, wait=wait, bell=bell, **look).run())
    else:
        from chatctl.client import plain as filtered

        filtered.run(target, password, wait=wait, nick=nick, **look)
