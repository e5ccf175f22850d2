"""What has happened in the room, and who is in it: told in records, of which each is applied once, in one order.

    post(record)     somebody wants it to happen; with one server it happens at once
    apply(record)    changes who is here, gives the events their numbers, and appends to the log of each dialect

Only `Ledger.apply` writes people, names, counts, numbers and logs. Everything else about a member (its link, its pace,
its ending) is not the ledger's: a person is who is here and is counted, and need have no link.
"""

from chatctl.room.log import Log, View
from chatctl.room.people import Ignored, Names
from chatctl.room.ring import Ring
from chatctl.wire import Address
from chatctl.wire.dialects import DIALECTS
from chatctl.wire.events import Acted, Announced, Closed, Entered, Fact, Left, Record, Removed, Renamed, Said


class Person:
    """Somebody in the room.

    ``uid`` is a number that nobody else has or had. ``view``: of the link that it has here, if it has one.
    """

    __slots__ = ("address", "name", "uid", "view")

    def __init__(self, uid: int, name: str, address: Address, view: View | None) -> None:
        self.uid = uid
        self.name = name
        self.address = address
        self.view = view


class Ledger:
    """The room in records.

    ``people`` are who is here, by their numbers, in the order in which they came. ``names`` knows what they are called,
    ``ignored`` who does not want to read whom. ``lines`` counts what they said. ``logs`` has the log of each dialect
    that is read; that of the plain one is always there. ``ring`` remembers the newest lines. ``day``: the time of day
    less the time that is told, in seconds: whoever tells the time sets it.

    Args:
        history: lines to remember.
    """

    def __init__(self, history: int = 0) -> None:
        self.people: dict[int, Person] = {}
        self.names = Names()
        self.ignored = Ignored()
        self.lines = 0
        self.logs: dict[str, Log] = {"text": Log()}
        self.ring = Ring(history)
        self.day = 0.0
        self._last = 0  # the number of who came last

    @property
    def seq(self) -> int:
        """The number of the newest event."""
        return self.logs["text"].seq

    def log(self, word: str) -> Log:
        """The log of a dialect, for a new reader; it begins now, if nobody reads it yet."""
        if word not in self.logs:
            self.logs[word] = Log(DIALECTS[word], self.seq)
        return self.logs[word]

    def dismiss(self, log: Log) -> None:
        """Note that one of a log's readers has ended; a log that nobody reads ends too, but for the plain one."""
        log.readers -= 1
        if not log.readers and log is not self.logs["text"]:
            self.logs = {word: kept for word, kept in self.logs.items() if kept is not log}

    def find(self, text: str) -> Person | None:
        """Who is called so, in capitals or not, or comes from that address and port."""
        if person := self.people.get(self.names.find(text)):
            return person
        return next((person for person in self.people.values() if str(person.address) == text), None)

    def post(self, record: Record, now: float, view: View | None = None) -> None:
        """Have something happen.

        Args:
            record: what.
            now: the time, in seconds of any clock that only goes forward.
            view: of the link of somebody who enters; None: it has none here. It stays here, whoever orders records.
        """
        self.apply(record, now, view)

    def apply(self, record: Record, now: float, view: View | None = None) -> None:
        """Let something be so from now on. What concerns somebody who is not here changes nothing."""
        match record:
            case Said():  # first, and without unpacking it: nearly all that happens is said
                if person := self.people.get(record.uid):
                    events = len(record.lines)
                    self.lines += events
                    self.ring.add(self._tell(record, now, person, events), person.address.host)
            case Acted():
                if person := self.people.get(record.uid):
                    self.lines += 1
                    self.ring.add(self._tell(record, now, person), person.address.host)
            case Entered(address, name):
                self._enter(record, now, address, name, view)
            case Renamed(uid, name):
                if person := self.people.get(uid):
                    self._tell(record, now, person)
                    self.names.drop(uid, person.name, now)
                    self.names.take(uid, name)
                    person.name = name
            case Left(uid):
                if person := self.people.pop(uid, None):
                    self.names.leave(person.name, person.address.host, now)
                    self.ignored.leave(uid)
                    if person.view is not None:
                        person.view.end()
                    self._tell(record, now, person)
            case Announced() | Removed():
                self._tell(record, now)
            case Closed():
                self._tell(record, now)
                for person in self.people.values():
                    if person.view is not None:
                        person.view.end()
                self.people.clear()

    def _enter(self, record: Record, now: float, address: Address, name: str, view: View | None) -> None:
        self._last += 1
        if name:
            self.names.take(self._last, name)
        else:
            name = self.names.enter(self._last, str(address))
        person = self.people[self._last] = Person(self._last, name, address, view)
        if view is not None:
            view.uid = person.uid
            view.hear(view.log.tip)
        self._tell(record, now, person)

    def _tell(self, record: Record, now: float, person: Person | None = None, events: int = 1) -> Fact:
        """Append what happened to each log; the person whom it concerns sees it in words of its own."""
        name, view, uid = (person.name, person.view, person.uid) if person else ("", None, 0)
        fact = Fact(record, self.logs["text"].seq + 1, name, len(self.people), uid, now + self.day)
        for log in self.logs.values():
            begin = log.append(log.dialect.others(fact), events)
            if view is not None and view.log is log and (own := log.dialect.own(fact)) is not None:
                view.overlay(begin, log.tip, own)
            if self.ignored.table and person and isinstance(record, Said | Acted):
                self._hide(log, begin, person)
        return fact

    def _hide(self, log: Log, begin: int, person: Person) -> None:
        """Keep what somebody has said just now from those who ignore that one."""
        for uid in self.ignored.by(person.uid, person.address.host):
            view = self.people[uid].view
            if view is not None and view.log is log and uid != person.uid:
                view.skip_over(begin, log.tip)
