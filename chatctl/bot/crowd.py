"""The bots of a run: each of them a member, all of them in one event loop."""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from chatctl import output
from chatctl.bot.feed import Feed
from chatctl.bot.interpreter import Interpreter
from chatctl.bot.member import Member
from chatctl.bot.plan import Size, size
from chatctl.bot.progress import INTERVAL, Progress
from chatctl.bot.report import Report
from chatctl.bot.script import Script
from chatctl.bot.speech import Pace
from chatctl.bot.unread import Memory
from chatctl.errors import ChatctlError, InputError, OutputError
from chatctl.peer.claim import Claim
from chatctl.peer.connection import Target
from chatctl.peer.looped import Connector

_KEPT = 256 * 1024 * 1024  # bytes of lines that all bots together keep for what their scripts still expect


@dataclass(frozen=True, kw_only=True)
class Run:
    """What the bots do, and how.

    Attributes:
        script: a file with a script, ``-`` is stdin; None: lines are said.
        file: a file with lines to say, likewise; stdin's are said as they come.
        messages: lines to say instead, if any.
        bots: how many do it at the same time.
        nick: what the bot is called; several are NAME-1, NAME-2 and so on; empty: by the address.
        stagger: seconds from the start of one to the next one's.
        rate: lines a second that each says at most; None: as fast as they go.
        repeat: how often each does it.
        wait_for_echo: say a line only when the one before has been echoed.
        reconnect: come back when the connection is lost, or cannot be made.
        timeout: seconds that all of it may take; None: any.
        form: of what is shown, see `Report`.
    """

    script: str | None = None
    file: str = "-"
    messages: Sequence[str] = ()
    bots: int = 1
    nick: str = ""
    stagger: float = 0.0
    rate: float | None = None
    repeat: int = 1
    wait_for_echo: bool = False
    reconnect: bool = False
    timeout: float | None = None
    form: str = "text"

    def called(self, number: int) -> str:
        """What one of the bots is called; empty: by its address."""
        return f"{self.nick}-{number}" if self.nick and self.bots > 1 else self.nick

    @property
    def typed(self) -> bool:
        """Whether somebody types the lines."""
        return self.script is None and not self.messages and self.file == "-" and os.isatty(0)


class Crowd:
    """Bots.

    Args:
        target: the room.
        password: for a room that needs one.
        task: what each of them does: a script, or lines to say.
        wanted: how.
    """

    def __init__(
        self, target: Target, password: bytes | None, task: Script | Iterable[list[bytes]], wanted: Run
    ) -> None:
        self._wanted = wanted
        self._hungry = threading.Semaphore(0)
        self._feed = Feed(keep=wanted.repeat > 1 or wanted.bots > 1, ask=self._hungry.release)
        self._script = task if isinstance(task, Script) else None
        memory = Memory(_KEPT)
        self._batches = None if isinstance(task, Script) else task
        self._bots = [
            Interpreter(
                task if isinstance(task, Script) else self._feed,
                wanted.repeat,
                Pace(wanted.rate, wanted.wait_for_echo),
                number=number,
                memory=memory,
                clock=lambda: time.strftime("%H:%M:%S"),
                warn=self._noting(number),
            )
            for number in range(1, wanted.bots + 1)
        ]
        self.progress = Progress(self._bots, self._size, screen=os.isatty(2) and not wanted.typed)
        report = Report(wanted.form, self.progress)
        to = Connector(target)
        self._members = [
            Member(
                to,
                password,
                bot,
                nick=wanted.called(number),
                claim=Claim(wanted.called(number)) if wanted.reconnect or wanted.form == "json" else None,
                reconnect=wanted.reconnect,
                show=report.of(number),
                note=self._noting(number),
            )
            for number, bot in enumerate(self._bots, 1)
        ]

    async def run(self) -> None:
        """Be in the room until all are done. Raises the error of the first that fails."""
        if self._batches is not None:
            loop = asyncio.get_running_loop()
            threading.Thread(target=self._read, args=(loop, self._batches), name="reader", daemon=True).start()
        tasks = [
            asyncio.create_task(self._start(member, index * self._wanted.stagger))
            for index, member in enumerate(self._members)
        ]
        drawing = asyncio.create_task(self._draw())
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in (*tasks, drawing):
                task.cancel()
            await asyncio.gather(*tasks, drawing, return_exceptions=True)
        for number, task in enumerate(tasks, 1):
            if task in done and (error := task.exception()):
                shared = not isinstance(error, ChatctlError) or isinstance(error, InputError | OutputError)
                raise error if shared else type(error)(f"{self._name(number)}{error}")

    def where(self) -> str:
        """Which bot is not done, and where in its script; nothing, if that cannot be told."""
        for number, bot in enumerate(self._bots, 1):
            if not bot.finished and bot.place:
                return (
                    f": {f'bot {number}' if self._wanted.bots > 1 else 'the bot'} is at {bot.place.removesuffix(': ')}"
                )
        return ""

    async def _start(self, member: Member, delay: float) -> None:
        await asyncio.sleep(delay)
        await member.run()

    async def _draw(self) -> None:
        began = time.monotonic()
        while True:
            await asyncio.sleep(INTERVAL)
            self.progress.draw(time.monotonic() - began)

    def _size(self) -> Size | None:
        """What each bot has to do, as far as that is known."""
        if self._script:
            return size(self._script.steps, self._wanted.repeat)
        return Size(self._feed.count, self._feed.count).times(self._wanted.repeat) if self._feed.ended else None

    def _name(self, number: int) -> str:
        """How what is said of a bot begins, where there are several."""
        return f"bot {number}: " if self._wanted.bots > 1 else ""

    def _noting(self, number: int) -> Callable[[str], None]:
        """What says something of a bot on stderr."""

        def note(message: str) -> None:
            self.progress.erase()
            with contextlib.suppress(OSError):
                output.write(2, f"chatctl bot: {self._name(number)}{message}\n".encode())

        return note

    def _read(self, loop: asyncio.AbstractEventLoop, batches: Iterable[list[bytes]]) -> None:
        """Feed the bots, in a thread of its own, no faster than they take it."""
        failure: Exception | None = None
        with contextlib.suppress(RuntimeError):  # the loop has ended
            try:
                self._hungry.acquire()
                for batch in batches:
                    loop.call_soon_threadsafe(self._put, batch)
                    self._hungry.acquire()
            except ChatctlError as error:
                failure = error
            loop.call_soon_threadsafe(self._end, failure)

    def _put(self, batch: Sequence[bytes]) -> None:
        self._feed.put(batch)
        self._wake()

    def _end(self, failure: Exception | None) -> None:
        self._feed.end(failure)
        self._wake()

    def _wake(self) -> None:
        for member in self._members:
            member.advance()
