"""What has happened in the room, and who is in it: told in records, of which each is applied once, in one order.

    post(record)     somebody wants it to happen; with one server it happens at once
    apply(record)    changes who is here, gives the events their numbers, and appends to the log of each dialect

Only `Ledger.apply` writes people, names, counts, numbers and logs. Everything else about a member (its link, its pace,
its ending) is not the ledger's: a person is who is here and is counted, and need have no link.
"""

from collections import Counter
from collections.abc import Callable, Iterable

from chatctl.room.log import Log, View
from chatctl.room.logs import Logs
from chatctl.room.lookup import Whose
from chatctl.room.people import Ignored, Names
from chatctl.room.person import Newcomer, Person
from chatctl.room.places import Place, Places
from chatctl.room.ring import Ring
from chatctl.wire.events import (
    Acted,
    Announced,
    Closed,
    Entered,
    Fact,
    Held,
    Left,
    Linked,
    Record,
    Removed,
    Renamed,
    Restarted,
    Said,
    Taken,
    Visit,
)

ENDED = {"left", "kicked", "banned", "idle"}
"""Why somebody leaves for good: a place is kept for all others, see `words.WHY`."""


class Ledger:
    """The room in records.

    ``people`` are who is here, by their numbers, in the order in which they came; ``held`` those of them who have lost
    their links, with the time of that, the first lost first; ``hosts`` counts them all by their addresses. ``names``
    knows what they are called, ``ignored`` who does not want to read whom, ``places`` what is kept of them. ``lines``
    counts what they said. ``logs`` has the log of each dialect that is read; that of the plain one is always there.
    ``ring`` remembers the newest lines. ``day``: the time of day less the time that is told, in seconds: whoever tells
    the time sets it. ``resumed`` counts who came back, and ``incomplete`` those of them who have missed something.
    ``touch`` is told whose view was told something that nobody has asked for, ``changed`` of whom something else is to
    be kept than before; ``readers`` tells whoever still reads a log. ``keeps`` says what is kept of what is said, in
    words. ``last``: the number of who came last.

    Args:
        history: lines to remember.
        epoch: eight letters for this numbering of events.
        replayed: bytes that somebody is sent at most of what happened before.
    """

    def __init__(
        self,
        history: int = 0,
        *,
        epoch: str = "",
        replayed: int = 1024 * 1024,
    ) -> None:
        self.people: dict[int, Person] = {}
        self.held: dict[int, float] = {}
        self.hosts: Counter[str] = Counter()
        self.names = Names()
        self.ignored = Ignored()
        self.places = Places(self.ignored.leave)
        self.lines = 0
        self.ring = Ring(history)
        self.logs = Logs(self.ring, epoch, replayed)
        self.day = 0.0
        self.resumed = 0
        self.incomplete = 0
        self.touch: Callable[[View], None] = lambda view: None
        self.changed: Callable[[Person], None] = lambda person: None
        self.readers: Callable[[], Iterable[View]] = tuple
        self.keeps = self.ring.keeps
        self.last = 0

    @property
    def seq(self) -> int:
        """The number of the newest event."""
        return self.logs.seq

    def log(self, word: str) -> Log:
        """The log of a dialect, for a new reader."""
        return self.logs.open(word)

    def tidy(self) -> None:
        """End the logs that nobody will read."""
        self.logs.tidy(awaited=bool(self.held), asleep=self.places.asleep > 0)

    def find(self, text: str) -> Person | None:
        """Who is called so, in capitals or not, or comes from that address and port."""
        if person := self.people.get(self.names.find(text)):
            return person
        return next((person for person in self.people.values() if str(person.address) == text), None)

    def called(self, uid: int) -> str:
        """What somebody is called who is here, or was called last who has a place."""
        person = self.people.get(uid)
        return person.name if person else self.places.name(uid)

    def post(self, record: Record, now: float, newcomer: Newcomer | None = None) -> None:
        """Have something happen.

        Args:
            record: what.
            now: the time, in seconds of any clock that only goes forward.
            newcomer: the link of somebody who enters or comes back; None: it has none here. It stays here, whoever
                orders records.
        """
        self.apply(record, now, newcomer)

    def apply(self, record: Record, now: float, newcomer: Newcomer | None = None) -> None:
        """Let something be so from now on. What concerns somebody who is not here changes nothing."""
        match record:
            case Said():  # first, and without unpacking it: nearly all that happens is said
                if person := self.people.get(record.uid):
                    if record.ids and person.place:
                        record = self._once(record, person, person.place)
                    if events := len(record.lines):
                        self.lines += events
                        self._tell(record, now, person, events)
            case Acted(uid, _, number):
                if (person := self.people.get(uid)) and self._take(person, number):
                    self.lines += 1
                    self._tell(record, now, person)
            case Taken(uid, number):
                if (person := self.people.get(uid)) and self._take(person, number):
                    self.changed(person)
            case Entered():
                self._enter(record, now, newcomer)
            case Held(uid):
                if person := self.people.get(uid):
                    self.held[uid] = now
                    self._end_view(person)
            case Linked():
                self._link(record, now, newcomer)
            case Renamed(uid, name):
                if person := self.people.get(uid):
                    self._tell(record, now, person)
                    self.names.drop(uid, person.name, now)
                    self.names.take(uid, name)
                    person.name = name
                    self.changed(person)
            case Left(uid):
                if person := self.people.pop(uid, None):
                    self._leave(record, now, person)
            case Announced() | Removed() | Restarted():
                self._tell(record, now)
            case Closed():
                self._tell(record, now)
                for person in self.people.values():
                    self._end_view(person)
                    if place := person.place:
                        place.name, place.host = person.name, person.address.host
                self.people.clear()
                self.held.clear()

    def _enter(self, record: Entered, now: float, newcomer: Newcomer | None) -> None:
        """Let somebody in: with a number and a place of its own, or, whose place is asleep, with those."""
        address, name, digest = record
        place = self.places.find(digest)
        if place:
            self.places.wake(place)
            uid = place.uid
        else:
            uid = self.last = self.last + 1
        if name:
            self.names.take(uid, name)
        else:
            name = self.names.enter(uid, str(address))
        known = place is not None
        if digest and not place:
            place = Place(uid, digest, self.seq + 1, name, address.host)
            self.places.add(place)
        person = self.people[uid] = Person(uid, name, address, None, place)
        self.hosts[address.host] += 1
        self.changed(person)
        view = newcomer.view if newcomer else None
        if view is not None and not view.log.dialect.programs:  # else it is told at the end, by its welcome
            self._have(person, view).hear(view.log.tip)
        self._tell(record, now, person)
        if newcomer and person.view is None:
            self._welcome(person, newcomer, now, resumed=known)
        self._warn(person)

    def _have(self, person: Person, view: View) -> View:
        """Let somebody have a link."""
        view.uid = person.uid
        person.view = view
        return view

    def _link(self, record: Linked, now: float, newcomer: Newcomer | None) -> None:
        """Give somebody who is here another link, or, who had none so far, a place."""
        uid, address, digest = record
        person = self.people.get(uid)
        if person is None:
            return
        self.held.pop(uid, None)
        known = person.place is not None
        if digest and not person.place:
            person.place = Place(uid, digest, self.seq, person.name, address.host)
            self.places.add(person.place)
        self._drop_host(person)
        self.hosts[address.host] += 1
        person.address = address
        self.changed(person)
        if newcomer:
            self._welcome(person, newcomer, now, resumed=known)

    def _welcome(self, person: Person, newcomer: Newcomer, now: float, *, resumed: bool) -> None:
        """Tell somebody where it is, and have it see what it has missed, as far as that is there."""
        view, place = self._have(person, newcomer.view), person.place
        begin, known, whole = self.logs.begin(newcomer, self._came(person), resumed=resumed)
        self.resumed += resumed
        self.incomplete += resumed and not whole
        visit = Visit(
            time=now + self.day,
            uid=person.uid,
            you=person.name,
            users=len(self.people),
            epoch=self.logs.epoch,
            first=self.reach(person, view.log),
            begin=begin,
            seq=self.seq,
            resumed=resumed,
            taken=place.taken if place else 0,
            keeps=self.keeps,
            known=known,
        )
        view.tell(view.log.dialect.welcome(visit), answer=False)
        if ignored := self.ignores(person.uid):
            view.tell(view.log.dialect.ignored(ignored), answer=False)
        view.hear(view.log.position(begin))

    def reach(self, person: Person, log: Log) -> int:
        """The number of the oldest event that somebody may see."""
        return self.logs.first(log, self._came(person))

    def _came(self, person: Person) -> int:
        """The number of the event by which somebody came in first, as far as that is kept."""
        return person.place.first if person.place else self.seq + 1

    def forget(self, whose: Whose) -> set[int]:
        """Empty in memory what some people have said; return the numbers of those of whom there was something."""

        def said_it(fact: Fact) -> bool:
            return fact.seq <= whose.seq and (fact.uid in whose.uids or whose.has(fact.name, fact.host))

        uids = self.ring.forget(said_it)
        return uids | self.logs.blank(uids.union(whose.uids), whose.seq)

    def _leave(self, record: Left, now: float, person: Person) -> None:
        """Note that somebody has gone: for good, or, who was waited for, so that it can come back."""
        uid, place = person.uid, person.place
        self.held.pop(uid, None)
        self._drop_host(person)
        self.names.leave(person.name, uid, person.address.host, now)
        self._end_view(person)
        if not place:
            self.ignored.leave(uid)
        elif record.why in ENDED:
            self.places.drop(place)
        else:
            place.name, place.host = person.name, person.address.host
            self.places.sleep(place, now)
        self.changed(person)
        self._tell(record, now, person)
        self.tidy()

    def _drop_host(self, person: Person) -> None:
        host = person.address.host
        self.hosts[host] -= 1
        if not self.hosts[host]:
            del self.hosts[host]

    def _end_view(self, person: Person) -> None:
        if person.view is not None:
            person.view.end()
            person.view = None

    def _take(self, person: Person, number: int) -> bool:
        """Whether a line of that number is to be done: it is not done yet, or has no number."""
        place = person.place
        if not number or not place:
            return True
        if number > place.taken:
            place.taken = number
            return True
        self._acknowledge(person, number)
        return False

    def _once(self, record: Said, person: Person, place: Place) -> Said:
        """What is to be said of some lines: those that are done are acknowledged."""
        numbered = zip(record.ids, record.lines, strict=True)
        fresh = [(number, line) for number, line in numbered if self._take(person, number)]
        if len(fresh) == len(record.lines):
            return record
        return Said(record.uid, tuple(line for _, line in fresh), tuple(number for number, _ in fresh))

    def _acknowledge(self, person: Person, number: int) -> None:
        if (view := person.view) is not None:
            view.tell(view.log.dialect.ack(number))
            self.touch(view)

    def ignores(self, uid: int) -> list[int]:
        """The numbers of those who are here, and whom somebody ignores, by number or by address."""
        ignored = self.ignored.of(uid)
        hosts = {whom for whom in ignored if isinstance(whom, str)}
        there = [person.uid for person in self.people.values() if person.address.host in hosts] if hosts else []
        return [*(whom for whom in ignored if isinstance(whom, int)), *there]

    def _warn(self, person: Person) -> None:
        """Tell the programs of those who ignore an address that somebody has come from there."""
        for uid in self.ignored.table.get(person.address.host, ()):
            other = self.people.get(uid)
            if other and (view := other.view) is not None and (told := view.log.dialect.ignored(self.ignores(uid))):
                view.tell(told, answer=False)
                self.touch(view)

    def _tell(self, record: Record, now: float, person: Person | None = None, events: int = 1) -> None:
        """Append what happened to each log; the person whom it concerns sees it in words of its own."""
        text, users, at = self.logs["text"], len(self.people), now + self.day
        before = text.tip
        if person:
            host, view = person.address.host, person.view
            fact = Fact(record, text.seq + 1, person.name, users, person.uid, at, events, host)
        else:
            fact, view = Fact(record, text.seq + 1, "", users, 0, at, events), None
        for log in self.logs.values():
            begin = log.append(log.dialect.others(fact), events)
            if view is not None and view.log is log and (own := log.dialect.own(fact)) is not None:
                view.overlay(begin, log.tip, own)
            if self.ignored.table and person and not log.dialect.programs and isinstance(record, Said | Acted):
                self._hide(log, begin, person)
        self.ring.add(fact, text.tip - before)

    def _hide(self, log: Log, begin: int, person: Person) -> None:
        """Keep what somebody has said just now from those who ignore that one."""
        for uid in self.ignored.by(person.uid, person.address.host):
            view = other.view if (other := self.people.get(uid)) else None
            if view is not None and view.log is log and uid != person.uid:
                view.skip_over(begin, log.tip)
