"""Bots in a room, within the time that they are given."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from chatctl import output
from chatctl.bot.crowd import Crowd, Run
from chatctl.bot.plan import plan, size
from chatctl.bot.sources import lines, script
from chatctl.descriptors import need
from chatctl.errors import DeadlineError
from chatctl.peer.connection import Target


class _Late(KeyboardInterrupt):
    """The time is over. No `Exception`, as asyncio would keep one that is raised in the middle of a callback."""


def run(target: Target, password: bytes | None, wanted: Run) -> None:
    """Have bots do what is wanted in a room.

    Args:
        target: the room.
        password: for a room that needs one.
        wanted: what they do.

    Raises:
        NetworkError: there is no connection, it broke, or the server closed it first.
        PasswordError: the room needs a password that is not the one given.
        EchoError: not every line was echoed.
        ExpectError: something that a script expects did not come.
        InputError: a file cannot be read.
        ScriptError: the script is not one.
        ResourceError: so many bots cannot be.
        DeadlineError: the time is over.
    """
    crowd: Crowd | None = None
    with contextlib.ExitStack() as stack:
        stack.enter_context(_interrupted(wanted.timeout))
        try:
            task = lines(wanted.file, wanted.messages, stack) if wanted.script is None else script(wanted.script)
            need(wanted.bots, "bots")
            crowd = Crowd(target, password, task, wanted)
            stack.callback(crowd.progress.erase)
            asyncio.run(crowd.run())
            signal.setitimer(signal.ITIMER_REAL, 0)
        except _Late:
            raise DeadlineError(f"not done within {wanted.timeout:g} s{crowd.where() if crowd else ''}") from None


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
def _interrupted(timeout: float | None) -> Iterator[None]:
    """Have Ctrl-C, and a time that is over, raise an error at once, whatever this thread is at.

    asyncio's own way with Ctrl-C waits for the event loop, which may be in the middle of a write that takes long. Only
    the first of these signals is an error; another Ctrl-C ends the process.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        raise _Late if number == signal.SIGALRM else KeyboardInterrupt

    before = [(number, signal.signal(number, interrupt)) for number in (signal.SIGINT, signal.SIGALRM)]
    signal.setitimer(signal.ITIMER_REAL, timeout or 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before:
            signal.signal(number, handler)
