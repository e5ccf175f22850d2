"""The members of a load, in one loop: they enter a room, and what comes to any of them is read."""

import selectors
import time
from collections.abc import Callable, Sequence

from chatctl.bench.account import Outcome
from chatctl.bench.member import Member
from chatctl.errors import NetworkError
from chatctl.peer.stay import Stay

_CONNECTING = 512  # connections at a time that are no members yet, but in a storm
_BOTH = selectors.EVENT_READ | selectors.EVENT_WRITE
_STALL = 500
"""Turns of some milliseconds in which nothing comes, after which what is missing is lost.

Turns and not seconds: on a busy machine, where everything takes longer, they do so too."""


class Crew:
    """Members of one room, in a loop over `selectors`, which is lean enough for ten thousand.

    ``members``: in the order in which they enter. ``came``: when anything did, or began to be waited for.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = members
        self.came = 0.0
        self._silent = 0  # turns in which nothing came
        self._opened: list[Member] = []
        self._joined = 0
        self._selector = selectors.DefaultSelector()

    def close(self) -> None:
        """Close all connections."""
        self._selector.close()
        for member in self._opened:
            member.sock.close()

    def join(self, address: tuple[str, int], enter: Callable[[], Stay], *, storm: bool) -> Outcome:
        """Have all of them enter as quickly as the server lets them in, until everybody knows of everybody.

        Args:
            address: of the server.
            enter: makes the stay of each.
            storm: begin with all at once.

        Returns:
            With the notices as deliveries; its seconds end with the last welcome, or in a storm with the last notice.

        Raises:
            NetworkError: not all were let in.
            PasswordError: the room has another password.
        """
        self.wait()
        began, wanted = self.came, len(self.members)
        ahead = wanted if storm else _CONNECTING
        while self._joined < wanted:
            for member in self.members[len(self._opened) : self._joined + ahead]:
                member.connect(address, enter())
                self._opened.append(member)
                self.attend(member)
            self.turn(0.01)
            if self.stalled():
                raise NetworkError(f"only {self._joined} of {wanted} members were let in")
        outcome = Outcome(seconds=time.perf_counter() - began)
        users = max(member.users for member in self.members)
        while not self.stalled() and any(member.lines < 1 + users - member.users for member in self.members):
            self.turn(0.01)
        for member in self.members:
            due = 1 + users - member.users
            outcome.latencies.append(member.welcomed - member.began)
            outcome.deliveries += member.lines
            outcome.lost += max(due - member.lines, 0)
            outcome.doubled += max(member.lines - due, 0)
            member.joined = True
        if storm:
            outcome.seconds = self.came - began
        outcome.cut = self.cut()
        return outcome

    def cut(self) -> int:
        """How many connections have ended."""
        return sum(member.closed for member in self.members)

    def attend(self, *members: Member) -> None:
        """Read what comes to them from now on."""
        for member in members:
            if not member.closed:
                self._selector.register(member.sock, _BOTH if member.unsent else selectors.EVENT_READ, member)

    def neglect(self, *members: Member) -> None:
        """Read nothing of what comes to them any more."""
        for member in members:
            if not member.closed:
                self._selector.unregister(member.sock)

    def turn(self, seconds: float) -> None:
        """Wait for so long for anything to come, and take it."""
        ready = self._selector.select(seconds)
        self._silent += 1
        if ready:
            self.wait()
        for key, mask in ready:
            if mask & selectors.EVENT_WRITE:
                self._selector.modify(key.fileobj, selectors.EVENT_READ, key.data)
                key.data.push()
            else:
                self._read(key.data)

    def _read(self, member: Member) -> None:
        outside = not member.users
        open_ = member.read()
        if outside and member.users:
            self._joined += 1
        if not open_:
            self._selector.unregister(member.sock)
            if not member.users:
                raise NetworkError(member.stay.trouble)

    def wait(self) -> None:
        """Begin to wait for something new."""
        self.came = time.perf_counter()
        self._silent = 0

    def stalled(self) -> bool:
        """Whether nothing has come for long."""
        return self._silent > _STALL
