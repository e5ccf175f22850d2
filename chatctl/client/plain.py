"""The client as a filter: lines from stdin into the room, lines of the room to stdout, as they are."""

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING, Any

from chatctl import output
from chatctl.display import Display
from chatctl.password import check
from chatctl.peer.blocking import connect, converse, lines_of
from chatctl.peer.stay import Connection

if TYPE_CHECKING:
    import ssl


def run(host: str, port: int, *, tls: "ssl.SSLContext | None", password: bytes | None, **look: Any) -> None:
    """Be a member until the server closes; at the end of stdin, half-close.

    Args:
        host: a name or an address.
        port: the server's.
        tls: from `tls.client_context`; None: plain text.
        password: for a room that needs one; None: whoever is at the terminal is asked.
        look: of the `Display`.

    Raises:
        NetworkError: there is no connection, it broke, or the server closed it first.
        PasswordError: the room needs a password that is not the one given.
        InputError: stdin cannot be read.
        OutputError: stdout cannot be written.
    """
    link = connect(host, port, tls)
    display = Display(**look)
    with contextlib.suppress(BrokenPipeError):  # nobody reads on, as in ``| head -1``: that is an end like another
        converse(
            link,
            Connection(password),
            lines_of(0),
            lambda events: output.show(display.text(events, time.time())),
            _ask,
        )


def _ask() -> bytes | None:
    """Have the password typed, unseen; None when stdin is no terminal, or nothing is typed there."""
    if not os.isatty(0):
        return None
    from getpass import getpass

    stop = signal.signal(signal.SIGTSTP, signal.SIG_IGN)  # Ctrl-Z and fg would have it typed for all to see
    try:
        typed = getpass("Password: ").encode()
    except (EOFError, UnicodeError):
        os.write(2, b"\n")
        return None
    finally:
        signal.signal(signal.SIGTSTP, stop)
    return check(typed, "what was typed") if typed else None
