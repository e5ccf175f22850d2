"""A bot in the room: its interpreter, its connection, and the next one when that is lost.

Everything happens in callbacks of one event loop: what comes goes to the interpreter, what that says goes out, and a
timer calls it at its deadline. So a thousand bots are a thousand sockets, and no thread.
"""

import asyncio
import contextlib
from collections.abc import Callable

from chatctl import wire
from chatctl.bot.interpreter import Interpreter
from chatctl.errors import EchoError, NetworkError
from chatctl.peer.claim import Claim
from chatctl.peer.comeback import Comeback
from chatctl.peer.looped import Connector, Link
from chatctl.peer.stay import ANSWER, Stay
from chatctl.wire import Event


class Member:
    """A bot in the room.

    Args:
        connector: connects to the room.
        password: for a room that needs one.
        interpreter: what the bot does.
        nick: the name to come in with; empty: none.
        claim: of a bot that speaks the dialect of programs: what it says counts once then, and it misses nothing when
            it comes back.
        reconnect: come back when the connection is lost, or cannot be made.
        show: is told the events of each read; None: nobody looks.
        note: is told that there is another attempt, and why.
    """

    def __init__(
        self,
        connector: Connector,
        password: bytes | None,
        interpreter: Interpreter,
        *,
        nick: str,
        claim: Claim | None,
        reconnect: bool,
        show: Callable[[list[Event]], None] | None,
        note: Callable[[str], None],
    ) -> None:
        self.interpreter = interpreter
        self._connector = connector
        self._password = password
        self._nick = nick
        self._claim = claim
        self._reconnect = reconnect
        self._settling: asyncio.TimerHandle | None = None
        self._comeback = Comeback(wanted=reconnect)
        self._show = show
        self._note = note
        self._stay = Stay()
        self._link: Link | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        self._finished = asyncio.Event()  # set with the interpreter's word: it ends a pause between two attempts

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
            await self._stay_inside()
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
            if not self._unsaid:
                self._finished.set()
            self._set_timer(None)
            told = self._stay.program and self._stay.echoes.open  # a program's place is gone when it has said /quit
            if self._link and not self._stay.leaving and not told and not self._unsaid:
                self._link.send(self._stay.part())
                self._link.half_close()
        else:
            self._set_timer(self.interpreter.deadline)

    async def _stay_inside(self) -> None:
        """Visit the room until all is done."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                await self._visit()
            except NetworkError as error:
                delay = self._comeback.delay(loop.time(), final=bool(self._stay.final))
                if delay is None:
                    speech = self.interpreter.speech
                    account = f": {speech.account()}" if speech.missing else ""
                    raise NetworkError(f"{self.interpreter.place}{error}{account}") from error
                self._note(f"{error}: again in {delay:.0f} s")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(delay):
                        await self._finished.wait()
            if (self.interpreter.finished and not self._unsaid) or self._failure:
                return

    @property
    def _unsaid(self) -> bool:
        """Whether something was sent that is not known to be said, and can be sent again in another connection."""
        return self._reconnect and self._claim is not None and self._claim.echoes.numbered

    async def _visit(self) -> None:
        """Connect, and be in the room until the end of the connection. Raises `NetworkError` if it was no good one."""
        self._stay = Stay()
        sock = await self._connector.connect()
        loop = asyncio.get_running_loop()
        self._stay = Stay(
            self._password,
            target=self._connector.target,
            now=loop.time(),
            curious=self.interpreter.curious,
            nick=self._nick,
            claim=self._claim,
        )
        self._comeback.begin(loop.time())
        self.interpreter.enter(self._stay, str(wire.Address.of(sock.getsockname())))
        self._link = link = Link(self._stay, self._receive, self._block)
        try:
            await loop.create_connection(lambda: link, sock=sock)
            if self._claim:
                self._settling = loop.call_later(ANSWER, self._settle)
            await link.ended
        finally:
            if self._settling:
                self._settling.cancel()
            self._link = None
            self.interpreter.speech.blocked = True
            link.close()
        self._stay.leaving = self.interpreter.finished and not self._unsaid  # there was nothing left to be done
        if trouble := self._stay.trouble:
            raise NetworkError(trouble)
        if not self._stay.leaving:
            raise NetworkError("the connection ended before the script did")

    def _receive(self, data: bytes) -> None:
        """Take what the server says; nothing is its end."""
        self._follow(lambda now: self.interpreter.receive(data, now, watched=self._show is not None))

    def _settle(self) -> None:
        """Find out whether the server knows programs, after a while that is long enough."""

        def settle(now: float) -> list[Event]:
            events = self._stay.settle()
            if self._stay.undecided:
                self._settling = asyncio.get_running_loop().call_later(ANSWER, self._settle)
            self.interpreter.take_in(events, now)
            return events

        self._follow(settle)

    def _follow(self, take: Callable[[float], list[Event]]) -> None:
        """Have the interpreter take something, show it, and do what follows from it."""
        now = asyncio.get_running_loop().time()
        try:
            events = take(now)
            if events and self._show:
                self._show(events)
            if self._link:
                self._link.send(self._stay.answer(now))
        except Exception as error:
            self._fail(error)
            return
        self.advance()

    def _block(self, blocked: bool) -> None:
        """Say no more, or go on."""
        if self._link:
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
