"""Writing to a descriptor that is shared with others, such as a terminal with its shell."""

import os
import select


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
