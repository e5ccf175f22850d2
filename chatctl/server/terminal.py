"""The operator's terminal: a line to edit at the bottom, and above it what the server shows.

The editor needs a loop of asyncio's, so it has a thread of its own. What the outlets write to the terminal goes through
that loop: nothing is ever mixed with what is typed. An outlet waits for it, and the room for neither.

The terminal is lent by a shell to whoever is in its foreground, and the line is there only while the server is: it ends
when the server is suspended, and begins again, with what was typed, when the shell has brought it back. In between
lines are printed as they come, nothing is read, and no mode of the terminal is changed.
"""

import contextlib
import functools
import logging
import os
import signal
import termios
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from chatctl import output
from chatctl.screen import in_background
from chatctl.screen.flusher import PAUSE
from chatctl.server.keyboard import controls

if TYPE_CHECKING:
    import asyncio

    from chatctl.screen.editor import Editor, Talk

log = logging.getLogger("chatctl.server")

_STDIN, _STDOUT = 0, 1
_LOOK = 0.2  # seconds between two looks whether the shell has brought the server to the foreground
_PIECE = 16 * 1024  # bytes written before keys are seen to, which a slow terminal takes in a tenth of a second
_STUCK = 0.5  # seconds for a terminal to take what is written, before it is put back without that


class Terminal:
    """A line that is edited, once it is started. Until then, and when it has ended, `write` just writes."""

    def __init__(self) -> None:
        self._editor: Editor | None = None
        self._loop: asyncio.AbstractEventLoop | None = None  # while there is a line: who writes does so through it
        self._guard = threading.Lock()  # held while somebody writes past the loop, so that the line begins behind that
        self._written = threading.Event()  # the first line of the server is shown
        self._free = threading.Event()  # the terminal has the modes it had
        self._free.set()
        self._modes: list[Any] | None = None  # those
        self._suspended = False
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, talk: "Talk", interrupted: Callable[[], None]) -> None:
        """Edit, in a thread, as soon as something was shown on stdout.

        Args:
            talk: whose lines they are; it is called in the thread.
            interrupted: called there at Ctrl-C on an empty line, when the editor has ended.
        """
        self._thread = threading.Thread(target=self._run, args=(talk, interrupted), name="terminal", daemon=True)
        self._thread.start()

    def write(self, descriptor: int, data: bytes) -> None:
        """Write whole lines: above the line that is edited, if the descriptor is this terminal. Any other thread.

        Raises:
            OSError: see write(2).
        """
        if not controls(descriptor):
            output.write(descriptor, data)
            return
        for piece in _pieces(data):
            self._write(descriptor, piece)
        if self._loop:
            self._over.wait(PAUSE)  # drawing the line anew costs more than the line that was written

    def _write(self, descriptor: int, lines: bytes) -> None:
        shown: Future[None] = Future()
        with self._guard:
            if self._loop is None:
                output.write(descriptor, lines)
                if descriptor == _STDOUT:
                    self._written.set()
                return
            self._loop.call_soon_threadsafe(self._show, lines, shown)
        shown.result()

    def end(self) -> None:
        """Have the line end, and the terminal get its modes back. This does not wait."""
        self._over.set()
        self._written.set()
        self.begin_anew()

    def close(self) -> None:
        """End it, and see that the terminal has its modes back."""
        self.end()
        if self._thread:
            self._free_terminal()
            self._thread.join(_STUCK)

    def suspend(self) -> None:
        """Stop this process, as Ctrl-Z does, with the terminal as it was. The main thread, which goes on with it."""
        self._suspended = True
        self.begin_anew()
        self._free_terminal()
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, handler)
        self._suspended = False

    def begin_anew(self) -> None:
        """Have the line end, and begin again, modes and all, unless a reason not to was set before. Any thread.

        After a stop that came without `suspend` the shell has had the terminal, whatever the editor thinks.
        """
        if (loop := self._loop) and (editor := self._editor):
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(editor.end)

    def _free_terminal(self) -> None:
        """Wait until the editor has put the terminal back; do it here, if that is stuck in a write."""
        if not self._free.wait(_STUCK) and self._modes and not in_background(_STDIN):
            with contextlib.suppress(termios.error):
                termios.tcsetattr(_STDIN, termios.TCSANOW, self._modes)

    # The thread

    @property
    def _wanted(self) -> bool:
        return not (self._over.is_set() or self._suspended or in_background(_STDIN))

    def _run(self, talk: "Talk", interrupted: Callable[[], None]) -> None:
        self._written.wait()
        try:
            self._serve(talk)
        except KeyboardInterrupt:
            interrupted()
        except (EOFError, OSError, termios.error):  # Ctrl-D, or the terminal is gone
            pass
        except Exception as error:
            log.error("nothing can be typed here any more: a fault of chatctl, please report it: %r", error)

    def _serve(self, talk: "Talk") -> None:
        """Edit whenever the server is in the foreground, until the end."""
        import asyncio  # it and the editor load behind the first line

        from chatctl.screen.editor import Editor
        from chatctl.screen.history import open_history

        color = not os.environ.get("NO_COLOR")
        suspend = functools.partial(os.kill, 0, signal.SIGTSTP)  # as the terminal itself does in its usual mode
        self._editor = Editor(talk, open_history("operator"), color=color, suspend=suspend)
        while not self._over.is_set():
            self._free.clear()  # before the look: who does not want the line any more waits for its end
            try:
                if self._wanted:
                    self._modes = termios.tcgetattr(_STDIN)
                    asyncio.run(self._edit(self._editor))
            finally:
                self._free.set()
            if not self._wanted:
                self._over.wait(_LOOK)

    async def _edit(self, editor: "Editor") -> None:
        """Have the line, and write what is to be written meanwhile."""
        import asyncio

        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: log.error("a fault of chatctl, please report it: %r", context))
        with self._guard:
            self._loop = loop
        try:
            if self._wanted:  # still: now that there is a loop, its end would be asked for there
                await editor.run()
        finally:
            with self._guard:
                self._loop = None
            await asyncio.sleep(0)  # for what the loop was asked to write before that

    def _show(self, lines: bytes, shown: "Future[None]") -> None:
        try:
            if self._editor:
                self._editor.above(lines.decode("utf-8", "replace"))
        except Exception as error:  # whatever it is, the outlet waits
            shown.set_exception(error)
        else:
            shown.set_result(None)


def _pieces(lines: bytes) -> Iterator[bytes]:
    """Cut lines, behind whole ones, into pieces of about the size that keys may wait for."""
    while lines:
        end = lines.find(b"\n", _PIECE) + 1 or len(lines)
        yield lines[:end]
        lines = lines[end:]
