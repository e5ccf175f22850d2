"""Writing to a descriptor that is shared with others, such as a terminal with its shell."""

import os
import select

from chatctl.errors import OutputError


def write(descriptor: int, data: bytes) -> None:
    """Write all of ``data``; wait where somebody else has set the descriptor non-blocking.

    Raises:
        OSError: see write(2). BrokenPipeError: nobody reads it any more.
    """
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            select.select([], [descriptor], [])


def show(text: str) -> None:
    """Write text to stdout at once, in UTF-8 whatever the locale.

    Raises:
        BrokenPipeError: nobody reads stdout any more.
        OutputError: stdout cannot be written.
    """
    try:
        write(1, text.encode())
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write to stdout: {error.strerror}") from error
