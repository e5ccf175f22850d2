"""Started by systemd: the listening sockets it hands down (sd_listen_fds(3)) and what it is told (sd_notify(3)).

Both are a matter of environment variables. Without them nothing here does anything.
"""

import contextlib
import os
import re
import socket
import time
from collections.abc import Mapping

from chatctl.errors import ListenError

_FIRST = 3  # the lowest descriptor that is handed down (SD_LISTEN_FDS_START)


def inherited() -> list[socket.socket]:
    """Take the listening sockets that were handed to this process: TCP over IPv4 or IPv6, often none at all.

    The caller closes them. The variables that tell of them are removed, so that they are taken once, and not by a
    child process.

    Raises:
        ListenError: a descriptor is anything else, or a variable is malformed.
    """
    names = ("LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES")
    variables = {name: value for name in names if (value := os.environ.pop(name, None)) is not None}
    if not {"LISTEN_PID", "LISTEN_FDS"} <= variables.keys() or _number(variables, "LISTEN_PID") != os.getpid():
        return []
    descriptors = range(_FIRST, _FIRST + _number(variables, "LISTEN_FDS"))
    with contextlib.ExitStack() as undo:
        sockets = [undo.enter_context(_adopt(descriptor)) for descriptor in descriptors]
        undo.pop_all()
    return sockets


def _number(variables: Mapping[str, str], name: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", variables[name]):
        raise ListenError(f"cannot listen: {name}={variables[name]!r} is no number: unset it, or let systemd set it")
    return int(variables[name])


def _adopt(descriptor: int) -> socket.socket:
    try:
        os.set_inheritable(descriptor, False)
        with contextlib.ExitStack() as undo:
            adopted = undo.enter_context(socket.socket(fileno=descriptor))
            if (
                adopted.family in (socket.AF_INET, socket.AF_INET6)
                and adopted.type == socket.SOCK_STREAM
                and adopted.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            ):
                undo.pop_all()
                return adopted
        why = "it is no listening TCP socket"
    except OSError as error:
        why = (error.strerror or str(error)).lower()
    raise ListenError(
        f"cannot listen on descriptor {descriptor} of LISTEN_FDS: {why}: "
        "give the socket unit ListenStream=9999 (or ADDRESS:PORT) and Accept=no"
    )


def is_journal(descriptor: int) -> bool:
    """Whether what is written to a descriptor goes to systemd's journal, which notes the time itself.

    The variable that says so (JOURNAL_STREAM in systemd.exec(5)) is inherited by whole desktops, so it names the file.
    """
    found = os.fstat(descriptor)
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def notify(*assignments: str) -> None:
    """Tell systemd how the service is, as with ``notify("READY=1", "STATUS=3 users online")``.

    It is lost when nobody takes it: this never waits and never fails.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address.startswith("@"):
        address = "\0" + address[1:]  # Linux's abstract names
    if address:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto("\n".join(assignments).encode(), socket.MSG_DONTWAIT, address)


def reloading() -> None:
    """Tell systemd that the configuration is being read again (Type=notify-reload); end it with ``READY=1``."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
