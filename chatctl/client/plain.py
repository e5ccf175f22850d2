"""The client as a filter: lines from stdin into the room, lines of the room to stdout, as they are."""

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from chatctl import output
from chatctl.client import QUIET, UNHEARD
from chatctl.display import Display
from chatctl.errors import NetworkError
from chatctl.password import check
from chatctl.peer.blocking import Pump, connect
from chatctl.peer.comeback import Comeback
from chatctl.peer.connection import Target
from chatctl.peer.stay import Stage, Stay
from chatctl.peer.typed import lines_of
from chatctl.wire import Event


def run(target: Target, password: bytes | None, *, wait: bool, nick: str, **look: Any) -> None:
    """Be a member until the server closes; at the end of stdin, half-close.

    Args:
        target: the room.
        password: for a room that needs one; None: whoever is at the terminal is asked, and again if it is wrong.
        wait: try again until the server has let this member in.
        nick: the name to come in with; empty: none.
        look: of the `Display`.

    Raises:
        NetworkError: there is no connection, it broke, or the server closed it first.
        PasswordError: the room needs a password that is not the one given.
        InputError: stdin cannot be read.
        OutputError: stdout cannot be written.
    """
    display = Display(**look)
    comeback = Comeback(wanted=wait)

    def show(events: list[Event]) -> None:
        output.show(display.text(events, time.time()))

    def tell(text: str) -> None:
        with contextlib.suppress(OSError):
            output.write(2, display.note(text, time.time()).encode())

    batches = lines_of(0)  # none is taken before the stay is open
    told = ""
    while True:
        stay = Stay(password)
        try:
            with connect(target) as sock, contextlib.suppress(BrokenPipeError):  # nobody reads on: ``| head -1``
                stay = Stay(password, target=target, now=time.monotonic(), nick=nick)
                Filter(stay, show, _ask, tell).run(sock, batches)
            return
        except NetworkError as error:
            delay = comeback.delay(time.monotonic(), final=stay.stage is Stage.OPEN or bool(stay.final))
            if delay is None:
                raise
            if told != f"{error}":
                told = f"{error}"
                tell(f"{told}: trying again")
        time.sleep(delay)


class Filter:
    """A conversation. The main thread receives, another one sends, which is as far ahead as the echoes let it be.

    Args:
        stay: at its beginning.
        show: called with the events of each read.
        ask: called for the password when the room needs one and the stay has none, and again if that is wrong.
        tell: called with a hint, in the thread that sends.
    """

    def __init__(
        self,
        stay: Stay,
        show: Callable[[list[Event]], None],
        ask: Callable[[], bytes | None] = lambda: None,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._stay = stay
        self._show = show
        self._ask = ask
        self._tell = tell
        self._asking = stay.password is None
        self._turn = threading.Condition()  # guards the echoes: one thread says lines, the other hears them
        self._begun = threading.Event()  # what the server said first has been shown, or will never be

    def run(self, sock: socket.socket, batches: Iterable[list[bytes]]) -> None:
        """Send lines and show what comes, until the server has closed. The socket is closed afterwards.

        Args:
            sock: connected.
            batches: the lines to send, in lists that are sent at once; taken once the server has let the member in.
                At their end the connection is half-closed. What they raise ends the conversation.

        Raises:
            NetworkError: the connection broke, or the server refused the member, or closed it before this side did.
            PasswordError: the room needs a password, and there is none, or it was wrong.
        """
        pump = Pump(sock, self._stay)
        try:
            pump.run(lambda data: self._take(pump, data), self._texts(batches))
        finally:
            self._begun.set()
        if self._stay.trouble:
            raise NetworkError(self._stay.trouble)

    def _take(self, pump: Pump, data: bytes) -> None:
        """Show what the server says, and do what it waits for."""
        with self._turn:
            events = self._stay.receive(data, time.monotonic())
            self._turn.notify()
        self._show(events)
        if self._stay.stage is Stage.OPEN:
            self._begun.set()
            return
        if self._asking:
            self._stay.ask_again()
        if self._stay.stage is Stage.ASKED and self._stay.password is None and not self._stay.ended:
            self._stay.password = self._ask()
        pump.send(self._stay.answer(time.monotonic()))

    def _texts(self, batches: Iterable[list[bytes]]) -> Iterator[bytes]:
        """What is to be sent, in the thread that sends."""
        if not self._begun.wait(QUIET) and self._stay.unheard:
            self._tell(UNHEARD)
        self._begun.wait()
        if self._stay.stage is not Stage.OPEN:
            return
        for batch in batches:
            with self._turn:
                while (until := self._stay.echoes.hold(time.monotonic())) is not None:
                    self._turn.wait(until - time.monotonic())
                text = b"".join(self._stay.send(line, time.monotonic()) for line in batch)
            yield text
        self._stay.leaving = True


def _ask() -> bytes | None:
    """Have the password typed, unseen; None when stdin is no terminal, or nothing is typed there."""
    if not os.isatty(0):
        return None
    from getpass import getpass

    stop = signal.signal(signal.SIGTSTP, signal.SIG_IGN)  # Ctrl-Z and fg would have it typed for all to see
    try:
        typed = getpass("Password: ").encode()
    except (EOFError, UnicodeError):
        os.write(2, b"\n")
        return None
    finally:
        signal.signal(signal.SIGTSTP, stop)
    return check(typed, "what was typed") if typed else None
