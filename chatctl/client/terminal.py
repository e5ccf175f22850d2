"""The client on a terminal: a line to edit at the bottom, the room above it, a connection that comes back.

One asyncio loop has the keys and the screen; the connection has threads of its own (`dialer`), which put what comes
into a backlog. The `Flusher` takes from that and has it understood, shown and counted here, all in the order in which
it came. What is typed is sent only while there is a connection that is open, and is kept in the editor otherwise.
"""

import asyncio
import contextlib
import functools
import logging
import math
import os
import signal
import time
from typing import TYPE_CHECKING, Any

from chatctl import output
from chatctl.client.connection import Connection, Stage
from chatctl.client.conversation import lines_in
from chatctl.client.dialer import Dialer, Down, Mark, Up, delays
from chatctl.client.flusher import Flusher
from chatctl.client.members import Members
from chatctl.display import Display
from chatctl.errors import ChatctlError, InputError, NetworkError, OutputError, PasswordError
from chatctl.password import check
from chatctl.wire import Event, Kind, online

if TYPE_CHECKING:
    from chatctl.client.editor import Editor

_COMMANDS = ["/help", "/who", "/quit"]
_FAREWELL = 0.3  # seconds that the last lines have to come back when their sender leaves
_PORTION = 65536  # bytes understood at a time then
_NAMED = 5  # lines that are repeated when they may not have been sent
_KICKED = "kicked"  # how the server's last word to who should not come back begins


class Terminal:
    """What is known of the room, and what the prompt says: the `editor.Talk`.

    Args:
        dialer: is at its first attempt by now, while this module and others load.
        password: for a room that needs one; None: it is asked for.
        reconnect: come back when the connection is lost.
        look: of the `Display`.
    """

    def __init__(self, dialer: Dialer, password: bytes | None, *, reconnect: bool, **look: Any) -> None:
        self._dialer = dialer
        self._backlog = dialer.backlog
        self._password = password
        self._reconnect = reconnect
        self._display = Display(**look, width=lambda: os.get_terminal_size(1).columns)
        self._members = Members()
        self._connection = Connection(password)
        self._status = "connecting"
        self._trouble = ""  # why there is no connection, as it was said last
        self._entered = False  # at least once
        self._last: Event | None = None  # of the room
        self._delays = delays()
        self._editor: Editor | None = None  # it takes a while to load
        self._came = asyncio.Event()
        self._signal: int | None = None
        self._failure: ChatctlError | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._flusher = Flusher(
            self._backlog,
            write=self._show,
            skip=lambda data: len(self._understand(data)),
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
            KeyboardInterrupt: Ctrl-C on an empty line.
        """
        loop = asyncio.get_running_loop()
        self._backlog.wake = functools.partial(_wake, loop, self._came)
        loop.set_exception_handler(self._surprise)
        logging.getLogger("asyncio").addHandler(logging.NullHandler())
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._signalled, number)
        for _ in range(2):  # that the connection begins, and the welcome
            self._step()
        from chatctl.client.editor import Editor
        from chatctl.client.history import open_history

        self._editor = Editor(self, open_history())
        self._start(self._flush())
        left = False
        try:
            if not self._signal and not self._failure:
                await self._editor.run()
        except EOFError:
            left = True
        finally:
            for task in self._tasks:
                task.cancel()
        if left:
            await self._leave()
        if self._signal:
            signal.signal(self._signal, signal.SIG_DFL)
            os.kill(os.getpid(), self._signal)
        if self._failure:
            if unsent := self._editor.text:
                self._note(f"not sent: {unsent}")
            raise self._failure

    # What the editor asks

    def prompt(self) -> str:
        """The state of the connection."""
        if self.secret():
            return "Password: "
        if self._status or self._members.users is None:
            return f"[{self._status}] > "
        return f"[{online(self._members.users)}] > "

    def secret(self) -> bool:
        """Whether the room waits for a password that nobody has given yet."""
        return self._connection.stage is Stage.ASKED and self._connection.password is None

    def completions(self, word: str, *, first: bool) -> list[str]:
        """Commands where one can stand, names elsewhere."""
        if first and word.startswith("/"):
            return [command for command in _COMMANDS if command.startswith(word)]
        return self._members.beginning_with(word)

    def submit(self, text: str) -> bool:
        """Send what was typed, or answer it here; False: there is no connection that could take it."""
        if self.secret():
            self._give(text)
            return True
        if self._connection.stage is not Stage.OPEN or not self._dialer.up:
            self._note("not connected: the line stays where it is")
            return False
        try:
            lines = lines_in(text)
        except InputError as error:
            self._note(f"{error}")
            return False
        if b"/help" in lines:
            self._help()
        self._dialer.send(b"".join(map(self._connection.send, lines)))
        return True

    def _give(self, typed: str) -> None:
        """Answer the room's question for its password."""
        try:
            self._password = self._connection.password = check(typed.encode("utf-8", "replace"), "what was typed")
            self._dialer.send(self._connection.answer())
        except ChatctlError as error:
            self._note(f"{error}")

    def _help(self) -> None:
        from chatctl.client.editor import KEYS

        for line in ("the keys:", *KEYS, "the server's commands:"):
            self._note(line)

    # What comes

    async def _flush(self) -> None:
        while True:
            self._came.clear()
            pause = self._step()
            await (self._came.wait() if pause is None else asyncio.sleep(pause))

    def _step(self) -> float | None:
        """See `Flusher.step`; what cannot go on ends the client."""
        try:
            return self._flusher.step()
        except OSError as error:
            self._end(OutputError(f"cannot write to the terminal: {error.strerror}"))
        except ChatctlError as error:
            self._end(error)
        return None

    def _show(self, data: bytes) -> None:
        """Show what the server says, and do what it waits for."""
        if text := self._display.text(self._understand(data), time.time()):
            self._print(text)
        if self._connection.stage is Stage.REJECTED or (self._connection.stage is Stage.ASKED and not self.secret()):
            self._dialer.send(self._connection.answer())

    def _understand(self, data: bytes) -> list[Event]:
        """Take account of what the server says."""
        events = self._connection.receive(data)
        for event in events:
            self._members.learn(event)
            if event.kind is Kind.CONNECTED:
                self._entered = True
                self._status = self._trouble = ""
                self._delays = delays()
        if events:
            self._last = events[-1]
        if self._members.me and self._members.me != self._display.me:
            self._display.me = self._members.me
        return events

    def _mark(self, mark: Mark) -> None:
        """Note that a connection begins or ends here."""
        if isinstance(mark, Up):
            self._connection = Connection(self._password)
            self._members.me = mark.name
            self._display.me = mark.name
            self._last = None
        else:
            self._lost(mark)
        self._refresh()

    def _lost(self, mark: Down) -> None:
        """Say that the connection is gone and what may have gone with it; come back, or end."""
        connection = self._connection
        self._show(b"")
        kicked = self._last and self._last.kind is Kind.ANSWER and self._last.text.startswith(_KICKED)
        trouble = str(mark.error) if isinstance(mark.error, ChatctlError) else connection.trouble(mark.error)
        self._connection = Connection(self._password)
        if connection.leaving and not mark.error:
            self._end(None)
            return
        self._doubt(connection)
        if connection.stage is Stage.ASKED:
            self._end(PasswordError("the room needs a password, and did not wait any longer for it"))
        elif kicked and self._last:
            self._end(NetworkError(f"the server ended this: {self._last.text}"))
        elif not self._entered or not self._reconnect:
            self._end(NetworkError(trouble))
        else:
            if trouble != self._trouble:
                self._note(trouble)
                self._trouble = trouble
            self._start(self._come_back(next(self._delays)))

    def _doubt(self, connection: Connection) -> None:
        """Name the lines that were sent and have not come back."""
        lines = connection.due
        for line in lines[:_NAMED]:
            self._note(f"maybe not sent: {line.decode()}")
        if len(lines) > _NAMED:
            self._note(f"maybe not sent: {len(lines) - _NAMED:,} more lines")

    async def _come_back(self, delay: float) -> None:
        """Wait so many seconds, saying so, and connect."""
        due = time.monotonic() + delay
        while (left := due - time.monotonic()) > 0:
            self._status = f"offline, again in {math.ceil(left)} s"
            self._refresh()
            await asyncio.sleep(min(left, 1))
        self._status = "connecting"
        self._refresh()
        self._dialer.dial()

    # Ends

    async def _leave(self) -> None:
        """Close this side's end, and wait a moment for what was said last to come back."""
        self._dialer.half_close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL if self._dialer.up else 0):
                while not isinstance(data := self._backlog.take(_PORTION), Down):
                    if isinstance(data, bytes):
                        self._connection.receive(data)
                    self._came.clear()
                    await (asyncio.sleep(0) if self._backlog else self._came.wait())
        self._doubt(self._connection)

    def _end(self, failure: ChatctlError | None) -> None:
        self._failure = self._failure or failure
        if self._editor:
            self._editor.end()

    def _signalled(self, number: int) -> None:
        self._signal = number
        self._end(None)

    # The loop

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

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

    def _surprise(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Name a fault of this program in one line, and go on."""
        self._note(f"a fault of chatctl, please report it: {context.get('exception') or context['message']!r}")


def _wake(loop: asyncio.AbstractEventLoop, came: asyncio.Event) -> None:
    """Have the loop look at the backlog, unless it has ended. Any thread."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(came.set)
