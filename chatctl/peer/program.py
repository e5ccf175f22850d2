"""The dialect of programs over one connection: hello, the welcome, and the account of what comes after that.

    /json                    is sent first of all
    hello                    the server knows it: `Claim.enter` is sent
    welcome                  inside: what was not done before is sent again
    events, answers          `Program.hear` says which of them somebody is to see

Whatever else comes before hello decides nothing: a greeting may be faster through a tunnel.
"""

from collections.abc import Mapping
from typing import Any

from chatctl.errors import NetworkError
from chatctl.peer.claim import Claim
from chatctl.wire import Event, Kind, clean
from chatctl.wire.text import old

_NOT_SHOWN = (Kind.HELLO, Kind.ACK, Kind.IGNORED, Kind.UNKNOWN, Kind.EPOCH)
_FIRST_ANSWERS = (Kind.ACK, Kind.ANSWER, Kind.ERROR, Kind.PRIVATE, Kind.WHO, Kind.HISTORY, Kind.BYE)


class Program:
    """One connection of a member with a claim, after hello.

    ``inside``: the welcome has come. ``needs_password``: the room does. ``again``: what is to be sent again after that.
    ``last_word``: the server's, to who has to go. ``skimming``: to be set while what others say is left out of what
    comes, so that no gap in the numbers means anything.

    Args:
        claim: the member's.
        hello: what the server said.
    """

    def __init__(self, claim: Claim, hello: Mapping[str, Any]) -> None:
        self.claim = claim
        self.inside = False
        self.needs_password = bool(hello.get("password"))
        self.again = b""
        self.last_word: Event | None = None
        self._old = 0  # up to that number events were there before this member came
        self._listed = 0  # events of a history that are to come
        self.skimming = False
        self._gap = False  # there may be one before the next event, as what came before was skimmed

    def hear(self, event: Event, now: float) -> Event | None:
        """Take account of what came; return what is to be seen of that, if anything.

        Raises:
            NetworkError: the server has left something out, and is to be asked again.
        """
        claim = self.claim
        if event.kind is Kind.CONNECTED:
            self._enter(event.data, now)
        elif event.kind is Kind.IGNORED:
            claim.ignored = frozenset(event.data["uids"])
        elif event.kind is Kind.EPOCH:
            claim.renumber(event.data["epoch"])
        elif event.kind is Kind.BYE:
            self.last_word = event
            if event.code == "replaced":
                claim.give_up()
        elif self._listed and event.seq:
            self._listed -= 1
            name = event.name or clean(str(event.data.get("from", "")))  # one's own has none else
            return old(event._replace(name=name))
        elif event.seq:
            self._count(event.seq)
        if event.kind is Kind.HISTORY:
            self._listed = event.data["count"]
        if event.id and (event.kind in _FIRST_ANSWERS or event.uid == claim.uid):
            self._settle(event)
        return self._seen(event)

    def _enter(self, visit: Mapping[str, Any], now: float) -> None:
        self.inside = True
        first = self.claim.uid == 0
        self.again = self.claim.welcome(visit, now)
        self._old = 0 if self.claim.resumed and not first else visit["seq"]

    def _count(self, seq: int) -> None:
        """Take note of the number of an event, which must be the next one."""
        missing = seq - self.claim.seq - 1
        if missing and not (self.skimming or self._gap):
            raise NetworkError(f"event {seq} of the server follows event {self.claim.seq}: asking for it again")
        self._gap = self.skimming
        self.claim.seq = seq

    def _settle(self, event: Event) -> None:
        """Strike off the line that something answers."""
        if event.kind is Kind.ERROR:
            self.claim.echoes.answer(event.text, event.id)
        self.claim.echoes.done(event.id)

    def _seen(self, event: Event) -> Event | None:
        """What is to be seen of an event: not what only programs need, whom one ignores, and that one came in."""
        mine = bool(self.claim.uid) and event.uid == self.claim.uid
        if event.kind in _NOT_SHOWN or (mine and event.kind is Kind.ENTERED):
            return None
        if event.uid in self.claim.ignored and event.kind in (Kind.MESSAGE, Kind.ACTION):
            return None
        old = event.kind is not Kind.CONNECTED and 0 < event.seq <= self._old
        return event._replace(old=True) if old else event
