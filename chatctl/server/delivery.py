"""Sending the same bytes to many links: system calls, and nothing else.

This loop is where a server spends its time, one `send(2)` for each member and turn, so it asks nothing of a link and
decides nothing: who came up short is for the caller.
"""

import socket
from collections.abc import Iterable
from typing import TypeAlias

from chatctl.server.link import Link

NO_WAIT = socket.MSG_DONTWAIT

Short: TypeAlias = tuple[Link, int | OSError]
"""A link that did not take all, and how many bytes it took, or why none."""


def deliver(data: bytes, links: Iterable[Link]) -> list[Short]:
    """Send some bytes to each of many links, without waiting; return those that came up short."""
    short: list[Short] = []
    size = len(data)
    for link in links:
        try:
            sent = link.channel.send(data, NO_WAIT)
        except OSError as error:
            short.append((link, error))
        else:
            if sent < size:
                short.append((link, sent))
    return short
