"""A room's password, as the room sees it: one clean line, from a file, from the environment or typed.

It is never taken from the command line, which every user of a machine can read.
"""

import os

from chatctl import wire
from chatctl.errors import ResourceError

VARIABLE = "CHATCTL_PASSWORD"
"""The environment variable that holds the password of who enters a room, when no file does."""


def given(path: str | None) -> bytes | None:
    """The password in a file, or else in the environment; None: in neither of them.

    Raises:
        ResourceError: it cannot be read, or not be used.
    """
    if path is not None:
        return read(path)
    value = os.environb.get(VARIABLE.encode())
    return check(value, VARIABLE) if value else None


def read(path: str) -> bytes:
    """The password in a file: its first line, checked.

    Raises:
        ResourceError: the file cannot be read, or not be used.
    """
    try:
        with open(path, "rb") as file:
            line = file.readline(wire.MAX_LINE + 8)  # a byte-order mark, CRLF, and more than enough
    except OSError as error:
        raise ResourceError(f"cannot read {path}: {error.strerror}") from error
    return check(line, path)


def check(text: bytes, source: str) -> bytes:
    """The password in a text: its first line without its ending or a byte-order mark, clean as on the wire.

    Args:
        text: what holds it.
        source: where it comes from, for an error.

    Raises:
        ResourceError: no member could send that as a line.
    """
    line = text.split(b"\n", 1)[0].removesuffix(b"\r")
    try:
        password = wire.clean(line[: wire.MAX_LINE + 8].decode("utf-8-sig").lstrip("\ufeff")).encode()
    except UnicodeDecodeError as error:
        if len(line) <= wire.MAX_LINE:
            raise ResourceError(f"cannot use the password in {source}: it is not UTF-8") from error
        password = line
    if not password:
        raise ResourceError(f"cannot use the password in {source}: its first line is empty")
    if len(password) > wire.MAX_LINE:
        raise ResourceError(f"cannot use the password in {source}: it has more than {wire.MAX_LINE} bytes")
    return password
