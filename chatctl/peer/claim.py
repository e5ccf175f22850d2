"""What a member keeps of a room from one connection to the next: its claim on a place there.

With it, who comes back misses nothing, and what was said counts once: the server knows the place by the secret, and
each line by its number.
"""

import json
import math
import secrets
from collections.abc import Mapping
from typing import Any

from chatctl.peer.echoes import Echoes


class Claim:
    """A claim on a place in one room.

    ``nick``: the name to come in with, or that the room has given. ``uid``: the number of this member there, 0 as long
    as it has none. ``seq``: the number of the newest event that was seen. ``ignored``: the numbers of those who are to
    be hidden. ``echoes``: the account of what was said. ``missed``: how many events are missing since the connection
    before; infinity: some may be, and nobody knows; None: there was none before. ``doubtful``: lines that nobody knows
    the fate of, for who takes them out. ``resumed``: the room has known the place.

    Args:
        nick: the name to come in with; empty: none.
        history: lines to see that were said before.
        place: have a place, and so be waited for when the connection is lost.
    """

    def __init__(self, nick: str = "", history: int = 0, *, place: bool = True) -> None:
        self.nick = nick
        self.uid = 0
        self.seq = 0
        self.ignored: frozenset[int] = frozenset()
        self.echoes = Echoes()
        self.missed: float | None = None
        self.doubtful: list[bytes] = []
        self.resumed = False
        self._history = history
        self._secret = secrets.token_urlsafe(16) if place else ""  # of this room and this start: no other room gets it
        self._epoch = ""
        self._next = 1

    def enter(self, password: bytes | None) -> bytes:
        """The line by which to enter, once the server has said hello: no other one gets the secret."""
        keys: dict[str, Any] = {"nick": self.nick, "secret": self._secret}
        if self._epoch:
            keys |= {"epoch": self._epoch, "after": self.seq}
        else:
            keys["history"] = self._history
        if password is not None:
            keys["password"] = password.decode("utf-8", "replace")
        return b"/enter " + json.dumps({key: value for key, value in keys.items() if value != ""}).encode() + b"\n"

    def number(self, line: bytes, now: float) -> bytes:
        """The text to be sent for a line, under the next number."""
        number, self._next = self._next, self._next + 1
        self.echoes.say(line, now, number)
        return b"/id %d %b\n" % (number, line)

    def welcome(self, visit: Mapping[str, Any], now: float) -> bytes:
        """Take account of what the room says of the place; return the text to be sent again."""
        begin, epoch = visit["from"], visit["epoch"]
        if not self._epoch:
            self.missed = None
        elif not visit.get("known", epoch == self._epoch):
            self.missed = math.inf
        else:
            self.missed = max(begin - self.seq - 1, 0)
        self.nick = visit["you"] if ":" not in visit["you"] else self.nick
        self.uid, self._epoch, self.seq = visit["uid"], epoch, begin - 1
        self.ignored = frozenset()
        self.resumed = visit["resumed"]
        return self._say_again(visit["taken"], now)

    def renumber(self, epoch: str) -> None:
        """Note that the room counts on under another epoch."""
        self._epoch = epoch

    def give_up(self) -> None:
        """Say nothing again of what is due: nobody knows whether it was said."""
        self.doubtful += [due.said for due in self.echoes.doubt() if due.said is not None]

    def _say_again(self, taken: int, now: float) -> bytes:
        """The lines that are due and not done, under the same numbers; or new ones, where they were never obeyed.

        A line without a number was sent before the server said hello, and thrown away there. What was said to a room
        that does not know the place any more may have been said or not.
        """
        if self.resumed:
            self.echoes.done(taken)
        elif self.echoes.numbered:
            self.give_up()
        self._next = self.echoes.number(max(self._next, taken + 1))
        return b"".join(b"/id %d %b\n" % (number, line) for line, _, _, number in self.echoes.again(now))
