"""A connection to a server that is made again when it is lost.

A thread connects and receives, and one more sends (`Pump`). What comes goes into a backlog, with a mark where a
connection begins and where it ends, so that whoever takes from it sees everything in its order.
"""

import queue
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

from chatctl.errors import NetworkError
from chatctl.peer.blocking import Pump, connect
from chatctl.peer.claim import Claim
from chatctl.peer.connection import Target
from chatctl.peer.stay import Stay
from chatctl.screen.flusher import Backlog


class Up(NamedTuple):
    """A connection has been made; the text that follows is for `Stay.understand` of its ``stay``."""

    stay: Stay


class Down(NamedTuple):
    """A connection has ended, or could not be made: its ``stay`` says why."""

    stay: Stay


Mark = Up | Down


class Dialer:
    """Connects, receives and sends, over and over.

    Args:
        target: the room.
        claim: what is kept from one connection to the next.

    ``claim``: the same. ``backlog``: what comes goes there. ``up``: there is a connection now, whatever of it still
    waits there.
    """

    def __init__(self, target: Target, claim: Claim) -> None:
        self.claim = claim
        self.up = False
        self.backlog: Backlog[Mark] = Backlog()
        self._target = target
        self._again = threading.Semaphore(0)
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._sent = threading.Event()  # all, when nothing more will be

    def start(self) -> None:
        """Begin with the first attempt."""
        threading.Thread(target=self._run, name="receiver", daemon=True).start()

    def dial(self) -> None:
        """Make the next attempt now. Each is asked for, after a `Down`."""
        self._again.release()

    def send(self, text: bytes) -> None:
        """Send a text over the connection that there is; what is left at its end is thrown away."""
        self._outgoing.put(text)

    def half_close(self, text: bytes = b"") -> None:
        """Send what waits, and a last text, and close this side's end of the connection."""
        if text:
            self._outgoing.put(text)
        self._outgoing.put(None)

    def wait(self, seconds: float) -> None:
        """Wait, so long at most, until all is sent, after `half_close`."""
        if self.up:
            self._sent.wait(seconds)

    def _run(self) -> None:
        while True:
            stay = Stay()
            try:
                with connect(self._target) as sock:
                    stay = Stay(target=self._target, now=time.monotonic(), curious=True, claim=self.claim)
                    self._visit(Pump(sock, stay), stay)
            except NetworkError as error:
                stay.end(error)
            except Exception as error:  # no thread, no memory: without this one nobody would ever try again
                stay.end(NetworkError(f"the connection broke: {error!r}"))
            self.backlog.put(Down(stay))
            self._again.acquire()

    def _visit(self, pump: Pump, stay: Stay) -> None:
        """Receive until the end."""
        outgoing = self._outgoing = queue.SimpleQueue()
        self._sent.clear()
        self.up = True
        self.backlog.put(Up(stay))
        try:
            pump.run(lambda data: self._take(stay, data), self._texts(outgoing))
        finally:
            self.up = False
            outgoing.put(None)

    def _texts(self, outgoing: "queue.SimpleQueue[bytes | None]") -> Iterator[bytes]:
        """What is to be sent; each is asked for when the one before is."""
        while (text := outgoing.get()) is not None:
            yield text
        self._sent.set()

    def _take(self, stay: Stay, data: bytes) -> None:
        if text := stay.decrypt(data, time.monotonic()):
            self.backlog.put(text)
