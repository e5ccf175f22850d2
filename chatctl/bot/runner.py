"""Bots in a room, within the time that they are given."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING

from chatctl import output
from chatctl.bot.crowd import Crowd, Run
from chatctl.bot.link import Server
from chatctl.bot.plan import plan, size
from chatctl.bot.sources import lines, script
from chatctl.descriptors import raise_limit
from chatctl.errors import DeadlineError

if TYPE_CHECKING:
    import ssl

_DESCRIPTORS = 64  # besides those of the bots


class _Late(KeyboardInterrupt):
    """The time is over. No `Exception`, as asyncio would keep one that is raised in the middle of a callback."""


def run(host: str, port: int, tls: "ssl.SSLContext | None", password: bytes | None, wanted: Run) -> None:
    """Have bots do what is wanted in a room.

    Args:
        host: a name or an address.
        port: the server's.
        tls: from `tls.client_context`; None: plain text.
        password: for a room that needs one.
        wanted: what they do.

    Raises:
        NetworkError: there is no connection, it broke, or the server closed it first.
        PasswordError: the room needs a password that is not the one given.
        EchoError: not every line was echoed.
        ExpectError: something that a script expects did not come.
        InputError: a file cannot be read.
        ScriptError: the script is not one.
        DeadlineError: the time is over.
    """
    with contextlib.ExitStack() as stack:
        task = lines(wanted.file, wanted.messages, stack) if wanted.script is None else script(wanted.script)
        raise_limit(wanted.bots + _DESCRIPTORS)
        crowd = Crowd(Server(host, port, tls), password, task, wanted)
        stack.callback(crowd.progress.erase)
        stack.enter_context(_interrupted_by(signal.SIGINT, KeyboardInterrupt))
        if wanted.timeout is not None:
            stack.enter_context(_interrupted_by(signal.SIGALRM, _Late))
            stack.callback(signal.setitimer, signal.ITIMER_REAL, 0)
            signal.setitimer(signal.ITIMER_REAL, wanted.timeout)
        try:
            asyncio.run(crowd.run())
        except _Late:
            raise DeadlineError(f"not done within {wanted.timeout:g} s{crowd.where()}") from None


def check(wanted: Run) -> None:
    """Print how a script was understood, and what it amounts to.

    Raises:
        InputError: it cannot be read.
        ScriptError: it is not one.
    """
    assert wanted.script is not None
    read = script(wanted.script)
    total = size(read.steps, wanted.repeat)
    steps = f"{total.steps:,} steps, {total.lines:,} lines to send" + (" by each bot" if wanted.bots > 1 else "")
    seconds = f"{total.least:g} s at least, " + (f"{total.most:g} s at most" if total.ends else "without an end")
    output.show("".join(f"{line}\n" for line in [*plan(read.steps), f"{read.name}: {steps}, {seconds}"]))


@contextlib.contextmanager
def _interrupted_by(number: signal.Signals, error: type[BaseException]) -> Iterator[None]:
    """Have a signal raise an error at once, whatever this thread is at.

    asyncio's own way with SIGINT waits for the event loop, which may be in the middle of a write that takes long.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise error

    before = signal.signal(number, interrupt)
    try:
        yield
    finally:
        signal.signal(number, before)
