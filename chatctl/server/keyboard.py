"""What an operator types at the server's terminal.

It is read only while the server is in the terminal's foreground; what is typed at other times is for the shell. The
process must ignore SIGTTIN: a read from the background then fails with EIO, where it would stop the server otherwise.
The terminal is shared with the shell, so it is never made non-blocking.
"""

import errno
import os
import select
import threading
import time
from collections.abc import Callable

from chatctl.wire import LineDecoder

_CHUNK = 65536  # bytes read at a time
_PAUSE = 1.0  # seconds between two looks at a terminal that is somebody else's


class Keyboard:
    """Lines typed at a terminal, read by a thread of its own.

    Ctrl-D, or the end of the terminal, ends the thread and nothing else. A line of more than `wire.MAX_LINE` bytes is
    left out (terminals do not send such lines: Linux cuts them at 4,095 bytes).

    Args:
        descriptor: the controlling terminal.
        deliver: called in the thread with each line: clean, not empty, without its newline.
    """

    def __init__(self, descriptor: int, deliver: Callable[[bytes], None]) -> None:
        self._descriptor = descriptor
        self._deliver = deliver

    def start(self) -> None:
        """Begin to read. SIGTTIN is ignored by now."""
        threading.Thread(target=self._run, name="keyboard", daemon=True).start()

    def _run(self) -> None:
        decoder = LineDecoder()
        data = b"\n"
        while data:
            try:
                data = self._read()
            except OSError:  # the terminal is gone
                return
            for line in decoder.feed(data) if data else decoder.finish():
                if isinstance(line, bytes):
                    self._deliver(line)

    def _read(self) -> bytes:
        """Wait for what is typed for this process; empty is Ctrl-D.

        `os.read` and no buffered reader: a process that ends while a thread is inside one of those crashes.

        Raises:
            OSError: the terminal is gone, so that it has no foreground either.
        """
        while True:
            select.select([self._descriptor], [], [])
            if os.tcgetpgrp(self._descriptor) == os.getpgrp():
                try:
                    return os.read(self._descriptor, _CHUNK)
                except OSError as error:
                    # EIO: in the background since that look. EAGAIN: somebody made it non-blocking, and took the line.
                    if error.errno not in (errno.EIO, errno.EAGAIN):
                        raise
            time.sleep(_PAUSE)


def usable(stdin: int, stdout: int) -> bool:
    """Whether an operator can be there: both are terminals, and ``stdin`` is the controlling one."""
    return os.isatty(stdout) and controls(stdin)


def controls(descriptor: int) -> bool:
    """Whether it is the controlling terminal of this process, of which alone it is known who is in the foreground."""
    try:
        os.tcgetpgrp(descriptor)
    except OSError:
        return False
    return True
