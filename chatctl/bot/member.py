"""A bot in the room: its interpreter, its connection, and the next one when that is lost.

Everything happens in callbacks of one event loop: what comes goes to the interpreter, what that says goes out, and a
timer calls it at its deadline. So a thousand bots are a thousand sockets, and no thread.
"""

import asyncio
from collections.abc import Callable

from chatctl.bot.interpreter import Interpreter
from chatctl.errors import EchoError, NetworkError
from chatctl.peer.looped import Calls, Link, Server
from chatctl.peer.stay import STEADY, Connection, Stage, delays
from chatctl.wire import Event, Kind, words


class Member:
    """A bot in the room.

    Args:
        server: where the room is.
        password: for a room that needs one.
        interpreter: what the bot does.
        reconnect: come back when the connection is lost, or cannot be made.
        show: is told the events of each read; None: nobody looks.
        note: is told that there is another attempt, and why.
    """

    def __init__(
        self,
        server: Server,
        password: bytes | None,
        interpreter: Interpreter,
        *,
        reconnect: bool,
        show: Callable[[list[Event]], None] | None,
        note: Callable[[str], None],
    ) -> None:
        self.interpreter = interpreter
        self._server = server
        self._password = password
        self._reconnect = reconnect
        self._show = show
        self._note = note
        self._connection = Connection()
        self._link: Link | None = None
        self._last: Event | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._failure: Exception | None = None

    async def run(self) -> None:
        """Be there until all is done.

        Raises:
            NetworkError: there is no connection, it broke, or the server closed it first.
            PasswordError: the room needs a password that is not the one given.
            EchoError: not every line was echoed.
            ExpectError: something that a script expects did not come.
        """
        self._task = asyncio.current_task()
        try:
            await self._stay()
        except asyncio.CancelledError:
            if self._failure is None:
                raise
        finally:
            self._set_timer(None)
        if self._failure:
            raise self._failure
        if self.interpreter.speech.missing:
            raise EchoError(self.interpreter.speech.account())

    def advance(self) -> None:
        """Let the bot do what it can do now, and see to it that it is called when it can do more."""
        try:
            data = self.interpreter.advance(asyncio.get_running_loop().time())
        except Exception as error:
            self._fail(error)
            return
        if self._link and data:
            self._link.send(data)
        if self.interpreter.finished:
            self._set_timer(None)
            if self._link and not self._connection.leaving:
                self._connection.leaving = True
                self._link.half_close()
        else:
            self._set_timer(self.interpreter.deadline)

    async def _stay(self) -> None:
        loop = asyncio.get_running_loop()
        waits = delays()
        while True:
            began = loop.time()
            try:
                await self._visit()
            except NetworkError as error:
                final = self._last and self._last.kind is Kind.ANSWER and self._last.text.startswith(words.FINAL)
                if not self._reconnect or final:
                    speech = self.interpreter.speech
                    account = f": {speech.account()}" if speech.missing else ""
                    raise NetworkError(f"{self.interpreter.place}{error}{account}") from error
                if loop.time() - began > STEADY:
                    waits = delays()
                delay = next(waits)
                self._note(f"{error}: again in {delay:.0f} s")
                await asyncio.sleep(delay)
            if self.interpreter.finished or self._failure:
                return

    async def _visit(self) -> None:
        """Connect, and be in the room until the end of the connection. Raises `NetworkError` if it was no good one."""
        self._last = None
        link = Link(self._server, Calls(self._begin, self._receive, self._block))
        try:
            sock = await self._server.connect()
            await asyncio.get_running_loop().create_connection(lambda: link, sock=sock)
            error = await link.ended
        finally:
            self._link = None
            self.interpreter.speech.blocked = True
            link.close()
        self._receive(b"")
        if isinstance(error, NetworkError):
            raise error
        if trouble := self._connection.trouble(error):
            raise NetworkError(trouble) from error
        if not self.interpreter.finished:
            raise NetworkError("the connection ended before the script did")

    def _begin(self, link: Link, name: str) -> None:
        self._link = link
        self._connection = Connection(self._password)
        self.interpreter.speech.blocked = False
        self.interpreter.enter(self._connection, name)

    def _receive(self, plain: bytes) -> None:
        """Take what the server says; nothing is its end."""
        try:
            now = asyncio.get_running_loop().time()
            events = self.interpreter.receive(plain, now, watched=self._show is not None)
            if events:
                self._last = events[-1]
                if self._show:
                    self._show(events)
            if self._link:
                self._link.send(self._connection.answer())
                if self._connection.stage is Stage.OPEN:
                    self._link.opened()
        except Exception as error:
            self._fail(error)
            return
        self.advance()
        if not plain and self.interpreter.finished:
            self._connection.leaving = True  # there was nothing left to be done

    def _block(self, link: Link, blocked: bool) -> None:
        if link is self._link:
            self.interpreter.speech.blocked = blocked
            self.advance()

    def _fail(self, error: Exception) -> None:
        """End `run` by that."""
        if self._failure is None and self._task:
            self._failure = error
            self._task.cancel()

    def _set_timer(self, deadline: float | None) -> None:
        if self._timer and self._timer.when() != deadline:
            self._timer.cancel()
            self._timer = None
        if not self._timer and deadline is not None and deadline < float("inf"):
            self._timer = asyncio.get_running_loop().call_at(deadline, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self.advance()
