"""Places: what the room keeps of somebody whose connection is lost, for who comes back.

A place is for who knows its secret, which the client has chosen; the room keeps the digest of that alone. It is *held*
for a while, in which its person is still here, and *asleep* after that, until who knows the secret wakes it or it is
forgotten.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import NamedTuple

from chatctl.room.limits import Bucket
from chatctl.wire.words import Farewell

ASLEEP = 24 * 3600.0
"""Seconds for which a place is kept whose person has gone."""

MOST_ASLEEP = 10_000
"""Places asleep at a time; the oldest are forgotten sooner."""


class Pace(NamedTuple):
    """What limits somebody over all its links: its bucket, and when it took its last names."""

    bucket: Bucket | None
    renamed: tuple[float, ...]


@dataclass(slots=True)
class Place:
    """What is kept of somebody.

    Attributes:
        uid: the number of its person, which nobody else gets.
        digest: of its secret.
        first: the number of the event by which that one came in first: nothing older is for its eyes but the history.
        name: what that one was called last; the address, where it had no name.
        host: where it came from last, without the port.
        taken: the highest number of its lines that is done.
        pace: of the link that it had last; None: it has had one only.
    """

    uid: int
    digest: bytes
    first: int
    name: str
    host: str
    taken: int = 0
    pace: Pace | None = None


class Places:
    """The places of a room, by the digests of their secrets.

    Args:
        forgotten: is told the number of whom nothing is kept any more.
    """

    def __init__(self, forgotten: Callable[[int], None]) -> None:
        self._forgotten = forgotten
        self._known: dict[bytes, Place] = {}
        self._asleep: dict[bytes, float] = {}  # since when, the oldest first
        self._ended: dict[bytes, tuple[Farewell, float]] = {}  # without a link; until when that is remembered

    @property
    def asleep(self) -> int:
        """How many are asleep."""
        return len(self._asleep)

    def since(self, place: Place) -> float | None:
        """Since when a place is asleep; None: it is not."""
        return self._asleep.get(place.digest)

    def all(self) -> Collection[Place]:
        """All that are kept."""
        return self._known.values()

    def find(self, digest: bytes) -> Place | None:
        """The place of a secret; an empty digest is nobody's."""
        return self._known.get(digest)

    def name(self, uid: int) -> str:
        """What somebody was called last who has gone."""
        return next((place.name for place in self._known.values() if place.uid == uid), "")

    def add(self, place: Place) -> None:
        """Keep a new place, whose person is here."""
        self._known[place.digest] = place

    def sleep(self, place: Place, now: float) -> None:
        """Note that the person of a place has gone."""
        self._asleep[place.digest] = now
        while self._asleep:
            digest, since = next(iter(self._asleep.items()))
            if since > now - ASLEEP and len(self._asleep) <= MOST_ASLEEP:
                break
            del self._asleep[digest]
            self._forgotten(self._known.pop(digest).uid)

    def wake(self, place: Place) -> None:
        """Note that the person of a place is here again."""
        del self._asleep[place.digest]

    def drop(self, place: Place) -> None:
        """Keep a place no longer: its person has left for good, or was ended."""
        del self._known[place.digest]
        self._forgotten(place.uid)

    def end(self, place: Place, word: Farewell, until: float, now: float) -> None:
        """Remember the last word to somebody who had no link to get it by."""
        self._ended = {digest: ended for digest, ended in self._ended.items() if ended[1] > now}
        self._ended[place.digest] = word, until

    def last_word(self, digest: bytes, now: float) -> Farewell | None:
        """What is to be said to who shows a secret, and was ended a moment ago; None: nothing."""
        word, until = self._ended.get(digest, (None, now))
        return word if until > now else None
