"""The client on a terminal: a line to edit at the bottom, the room above it, a connection that comes back.

One asyncio loop has the keys and the screen; the connection has threads of its own (`dialer`), which put what comes
into a backlog. The `Flusher` takes from that and has it understood, counted and shown here, all in the order in which
it came. What is typed is sent only while there is a connection that is open, and is kept in the editor otherwise.
"""

import asyncio
import contextlib
import functools
import logging
import os
import re
import signal
import termios
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from chatctl import output
from chatctl.client import QUIET
from chatctl.client.dialer import Dialer, Down, Mark, Up
from chatctl.client.session import Session
from chatctl.display import Display
from chatctl.errors import ChatctlError, OutputError
from chatctl.peer.echoes import LATE
from chatctl.peer.stay import ANSWER, is_quit
from chatctl.screen.flusher import Flusher
from chatctl.wire import Event, Kind

if TYPE_CHECKING:
    from chatctl.screen.editor import Editor

_FAREWELL = 0.3  # seconds that the next line has to come back when its sender leaves
_PARTING = 0.1  # seconds for the server to close its end, when nothing is to come back
_LONG_FAREWELL = 5.0  # seconds for all of them
_PORTION = 65536  # bytes understood at a time then
_STUCK = 1  # seconds for a terminal to take what is written, when a signal ends the client


class Terminal:
    """The screen and the keys of a `Session`; it is the `editor.Talk`.

    Args:
        dialer: is at its first attempt by now, while this module and others load.
        password: for a room that needs one; None: it is asked for.
        reconnect, wait: see `Session`.
        look: of the `Display`.
    """

    def __init__(self, dialer: Dialer, password: bytes | None, *, reconnect: bool, wait: bool, **look: Any) -> None:
        self._dialer = dialer
        self._backlog = dialer.backlog
        self._session = Session(dialer, password, reconnect=reconnect, wait=wait, note=self._note)
        self._display = Display(**look, width=lambda: os.get_terminal_size(1).columns)
        self._color = bool(look.get("color"))
        self._editor: Editor | None = None  # it takes a while to load
        self._came = asyncio.Event()
        self._hurry = asyncio.Event()  # the next attempt is wanted now
        self._signal: int | None = None
        self._failure: ChatctlError | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._modes = termios.tcgetattr(0)
        self._flusher = Flusher(
            self._backlog,
            write=self._show,
            skip=lambda data: len(self._session.understand(data)),
            tell=lambda lines: self._note(f"{lines:,} lines skipped: this terminal is too slow for them"),
            mark=self._mark,
            clock=time.monotonic,
        )

    async def run(self) -> None:
        """Be a member until the person at the terminal leaves, or has to.

        Raises:
            NetworkError: there is no connection, or it was lost for good.
            PasswordError: the room needs a password that is not the one given.
            OutputError: the terminal is gone.
            KeyboardInterrupt: Ctrl-C twice on an empty line.
        """
        loop = asyncio.get_running_loop()
        self._backlog.wake = functools.partial(_wake, loop, self._came.set)
        loop.set_exception_handler(lambda _, context: self._surprise(context.get("exception") or context["message"]))
        logging.getLogger("asyncio").addHandler(logging.NullHandler())
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, _: self._signalled(loop, number))
        for _ in range(2):  # that the connection begins, and the welcome
            self._step()
        from chatctl.screen.editor import Editor
        from chatctl.screen.history import open_history

        self._editor = Editor(self, open_history(), color=self._color)
        self._session.put_back = self._editor.put_back
        self._start(self._flush())
        try:
            await self._edit(self._editor)
        except OSError as error:
            self._failure = self._failure or _gone(error)
        finally:
            if self._signal:
                signal.signal(self._signal, signal.SIG_DFL)
                os.kill(os.getpid(), self._signal)
        if self._failure:
            raise self._failure

    async def _edit(self, editor: "Editor") -> None:
        """Serve the keys until the end, and say what became of the last words."""
        try:
            if not self._signal and not self._failure:
                await editor.run()
        except EOFError:
            self._cancel()
            await self._leave()
        finally:
            self._cancel()
            self._session.leave()
            self._dialer.wait(_PARTING)
            self._session.doubt()
            if editor.text:
                self._note(f"not sent: {editor.text}")

    # What the editor asks

    def prompt(self) -> str:
        """See `Session.prompt`."""
        return self._session.prompt(time.monotonic())

    def secret(self) -> bool:
        """See `Session.secret`."""
        return self._session.secret

    def interrupt(self) -> bool:
        """See `Session.interrupt`."""
        return self._session.interrupt(time.monotonic())

    def completions(self, words: list[str]) -> list[str]:
        """See `Session.completions`."""
        return self._session.completions(words)

    def submit(self, text: str) -> bool:
        """Send what was typed; False: it could not be."""
        if self._session.secret:
            self._session.give(text, time.monotonic())
            return True
        if re.match(r"/help\s*$", text):
            from chatctl.screen.editor import KEYS

            for line in ("the keys:", *KEYS, "the server's commands:"):
                self._note(line)
        if not text:
            self._hurry.set()
        if is_quit(text) and not self._session.open:
            self._end(None)
            return True
        if not self._session.say(text, time.monotonic()):
            return False
        asyncio.get_running_loop().call_later(LATE, self._refresh)
        return True

    # What comes

    async def _flush(self) -> None:
        while True:
            self._came.clear()
            pause = self._step()
            await (self._came.wait() if pause is None else asyncio.sleep(pause))

    def _step(self) -> float | None:
        """See `Flusher.step`; what cannot go on ends the client, and nothing else does."""
        try:
            return self._flusher.step()
        except OSError as error:
            self._end(_gone(error))
        except ChatctlError as error:
            self._end(error)
        except Exception as error:
            self._surprise(error)
            return 0.0
        return None

    def _show(self, data: bytes) -> None:
        """Show what the server says, and do what it waits for."""
        self._show_events(self._session.understand(data))

    def _show_events(self, events: list[Event]) -> None:
        if self._session.members.me != self._display.me:
            self._display.me = self._session.members.me
        if text := self._display.text(events, time.time()):
            self._print(text)
        self._session.answer(time.monotonic())

    def _mark(self, mark: Mark) -> None:
        """A connection begins or ends here."""
        try:
            if isinstance(mark, Up):
                self._session.begin(mark, time.monotonic())
                asyncio.get_running_loop().call_later(QUIET, self._session.look, mark)
                asyncio.get_running_loop().call_later(ANSWER, self._settle, mark)
                return
            self._show(b"")
            delay = self._session.end(mark, time.monotonic())
            if delay is None:
                self._end(None)
            else:
                self._start(self._come_back(delay))
        finally:
            self._refresh()

    def _settle(self, mark: Up) -> None:
        """Find out whether the server knows programs, after a while that is long enough."""
        events = self._session.settle(mark)
        if events is None:
            asyncio.get_running_loop().call_later(ANSWER, self._settle, mark)
        elif events:
            self._show_events(events)
            self._refresh()

    async def _come_back(self, delay: float) -> None:
        """Wait so many seconds, saying so, or until Enter is hit on an empty line, and connect."""
        due = time.monotonic() + delay
        self._hurry.clear()
        while (left := due - time.monotonic()) > 0 and not self._hurry.is_set():
            self._session.wait(left)
            self._refresh()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), min(left, 1))
        self._session.dial()
        self._refresh()

    # Ends

    async def _leave(self) -> None:
        """Wait a moment for what was said last to come back, and for the server's end of the connection."""
        self._session.leave()
        until = time.monotonic() + _LONG_FAREWELL
        with contextlib.suppress(TimeoutError):
            while time.monotonic() < until and not self._signal:
                before = self._session.due
                async with asyncio.timeout(_FAREWELL if before else _PARTING):
                    while self._session.due == before and not self._signal:
                        self._came.clear()
                        data = self._backlog.take(_PORTION)
                        if isinstance(data, Down):
                            return
                        if isinstance(data, bytes):
                            self._show_own(data)
                        elif not self._backlog:
                            await self._came.wait()
                        await asyncio.sleep(0)

    def _show_own(self, data: bytes) -> None:
        """Of what comes after the end, what this member said is still shown."""
        events = [event for event in self._session.understand(data) if event.kind is Kind.OWN]
        if events:
            self._print(self._display.text(events, time.time()))

    def _end(self, failure: ChatctlError | None) -> None:
        self._failure = self._failure or failure
        self._came.set()
        if self._editor:
            self._editor.end()

    def _signalled(self, loop: asyncio.AbstractEventLoop, number: int) -> None:
        """End in good order, if the terminal lets the loop come to it, and in any case."""
        self._signal = number
        signal.signal(signal.SIGALRM, lambda *_: self._perish(number))
        signal.alarm(_STUCK)
        _wake(loop, functools.partial(self._end, None))

    def _perish(self, number: int) -> None:
        """Put the terminal back without waiting for it, and die of a signal."""
        with contextlib.suppress(termios.error):
            termios.tcsetattr(0, termios.TCSANOW, self._modes)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    # The screen

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _print(self, text: str) -> None:
        if self._editor:
            self._editor.above(text)
        else:
            output.write(1, text.encode())

    def _refresh(self) -> None:
        if self._editor:
            self._editor.refresh()

    def _note(self, text: str) -> None:
        self._print(self._display.note(text, time.time()))

    def _surprise(self, fault: object) -> None:
        """Name a fault of this program in one line, and go on."""
        self._note(f"a fault of chatctl, please report it: {fault!r}")


def _gone(error: OSError) -> OutputError:
    return OutputError(f"cannot write to the terminal: {error.strerror}")


def _wake(loop: asyncio.AbstractEventLoop, function: Callable[[], object]) -> None:
    """Have the loop call a function, unless it has ended. Any thread."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function)
