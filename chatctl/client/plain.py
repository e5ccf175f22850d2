"""The client as a filter: lines from stdin into the room, lines of the room to stdout, as they are."""

import contextlib

from chatctl.client.connection import Connection, connect, converse, lines_of
from chatctl.display import show


def run(host: str, port: int) -> None:
    """Be a member until the server closes; at the end of stdin, half-close.

    Raises:
        NetworkError: there is no connection, it broke, or the server closed it first.
        InputError: stdin cannot be read.
        OutputError: stdout cannot be written.
    """
    sock = connect(host, port)
    with contextlib.suppress(BrokenPipeError):  # nobody reads on, as in ``| head -1``: that is an end like another
        converse(sock, Connection(), lines_of(0), show)
