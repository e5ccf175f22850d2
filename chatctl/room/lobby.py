"""Who comes in, and who has room.

**Who speaks first.** A newcomer may be `SILENT` for a moment before it is greeted, so that it can enter under its name;
nothing is lost for that: before anything happens that it would have seen without the delay, it is let in.
"""

from collections import Counter
from typing import cast

from chatctl.room.endings import Endings
from chatctl.room.ledger import Ledger
from chatctl.room.limits import Limits
from chatctl.room.person import Newcomer, Person
from chatctl.room.stages import INSIDE, KNOCKING, SILENT, M
from chatctl.wire import Address, words
from chatctl.wire.events import Announced, Entered, Left, Linked, Record
from chatctl.wire.words import Farewell

REPLAYED = 1024 * 1024
"""Bytes that somebody is sent at most of what has happened before; a quarter of what a member may be behind, if less:
else who comes back would be cut for that."""

_SPEAKS_FIRST = (b"/nick", b"/json")


class Lobby(Endings[M]):
    """Who comes in; ``refused`` counts those that could not.

    Args:
        limits: what members may cost.
        epoch: see `Ledger`.
    """

    def __init__(self, limits: Limits, epoch: str) -> None:
        ledger = Ledger(limits.history, epoch=epoch, replayed=min(REPLAYED, limits.max_lag // 4))
        super().__init__(ledger, limits.max_lag, limits.grace)
        self.limits = limits
        self.refused: Counter[str] = Counter()

    def arrive(self, member: M) -> None:
        """Take note of a newcomer. It is deaf until it enters: it sees nothing of the room."""
        member.log.readers += 1
        member.deafen()
        self._at[KNOCKING][member] = None
        self._hosts[member.address.host] += 1

    def relocate(self, member: M, address: Address) -> None:
        """Note where a newcomer really comes from."""
        self._leave_host(member)
        member.address = address
        self._hosts[address.host] += 1

    def enter(self, member: M, name: str = "", *, place: bytes = b"", newcomer: Newcomer | None = None) -> bool:
        """Announce a member to the others and welcome it. Who came before it and is silent is in the room first.

        Args:
            member: who comes.
            name: a name that it can have; empty: it is called by its address.
            place: the digest of the secret of its place, if it has one.
            newcomer: its link, and what it wants to see, if that is more than its view.

        Returns:
            Whether it is in the room: there may be no room for it.
        """
        self._let_in(member)
        if full := self._make_room(member.address.host):
            self.refused[full.text] += 1
            self._turn_away(member, full)
            return False
        self._move(member, INSIDE)
        self.ledger.post(Entered(member.address, name, place), self.now, newcomer or Newcomer(member))
        return True

    def _make_room(self, host: str) -> Farewell | None:
        """Have somebody who is waited for give way to a newcomer, if that helps and is needed; else why it is full."""
        ledger = self.ledger
        if self.limits.max_per_ip and ledger.hosts[host] >= self.limits.max_per_ip:
            oldest = next((uid for uid in ledger.held if ledger.people[uid].address.host == host), 0)
            if not oldest:
                return Farewell("full", words.TOO_MANY, again=True)
            ledger.post(Left(oldest, "lost"), self.now)
        if self.limits.max_users is not None and len(ledger.people) >= self.limits.max_users:
            oldest = next(iter(ledger.held), 0)
            if not oldest:
                return Farewell("full", words.FULL, again=True)
            ledger.post(Left(oldest, "lost"), self.now)
        return None

    def link(self, member: M, person: Person, newcomer: Newcomer, place: bytes) -> None:
        """Let a member be somebody who is here already, in silence. Who was that so far has to go.

        Args:
            member: the one.
            person: whom it is from now on.
            newcomer: its link, and what it wants to see.
            place: the digest of the secret that it has shown; empty: it has none.
        """
        old = person.view
        if old is not None and old is not member:
            replaced = cast(M, old)
            member.bucket, member.renamed = replaced.bucket, replaced.renamed  # what limits it is not had anew
            replaced.tell(replaced.log.dialect.farewell(Farewell("replaced", words.REPLACED)))
            replaced.end()
            person.view = None  # so that its end is not announced: input that it has sent is thrown away from now on
            self.finish(replaced, self.now, "replaced")
        self._move(member, INSIDE)
        self.ledger.post(Linked(person.uid, member.address, place), self.now, newcomer)
        self.touch(member)  # nothing has happened that would have it visited

    def post(self, record: Record) -> None:
        """Have something happen that all see who have come before it, the silent too."""
        if self._at[SILENT]:
            self._let_in()
        self.ledger.post(record, self.now)

    def _let_in(self, until: M | None = None) -> None:
        """Let the silent in, in the order in which they came, those up to one or all, but for who is about to speak."""
        for member in list(self._at[SILENT]):
            if member is until:
                break
            start = member.decoder.partial[:5]
            if not start or not any(word.startswith(start) for word in _SPEAKS_FIRST):
                self.enter(member)

    def announce(self, text: str) -> None:
        """Say something to all in the server's name."""
        self.post(Announced(text))
