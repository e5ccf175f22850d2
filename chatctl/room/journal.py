"""What is stored of a room, and how it begins again with that.

The store has the lines that programs are told of what happens, and between them lines of its own, each with the ``seq``
of the event before it:

    segment   how a file of the store begins: which file it is, and on which start of the machine it was begun
    epoch     the epoch, those before it, and the number of who came last
    place     all that is kept of somebody with a place: the newest one counts
    dropped   nothing is kept of it any more
    address   where somebody comes from who has a name and no place
    bans      all that the operator keeps out
    missing   how many events before this one were not stored
    end       the server has ended well

A *snapshot* has all that is true now, in such lines, ``epoch`` last; each file of the store has one behind its
beginning, so that the newest file is all that a server has to read. The lines may tell more than what was true there:
who reads on gets to the same end.
"""

import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from chatctl.room.ledger import Ledger
from chatctl.room.log import Marks
from chatctl.room.person import Person
from chatctl.room.places import ASLEEP, MOST_ASLEEP, Place
from chatctl.wire import Address, host_and_port, jsonl, text
from chatctl.wire.events import (
    Acted,
    Announced,
    Entered,
    Event,
    Fact,
    Kind,
    Left,
    Record,
    Removed,
    Renamed,
    Restarted,
    Said,
)

EPOCHS = 100
"""Epochs before the present one that are remembered."""

_SAID = re.compile(
    rb'\{"seq":(\d+),"time":"[^"]*","kind":"(?:message|action)","uid":(\d+),'
    rb'"from":"(?:[^"\\]|\\.)*"(?:,"id":(\d+))?,"text":"'
)

OWN = frozenset({"segment", "epoch", "place", "dropped", "address", "bans", "missing", "end"})
"""The kinds of the store's own lines."""


class Batch(NamedTuple):
    """What is to be written before anybody sees it.

    Attributes:
        number: its own.
        before: the number of the newest event before it.
        seq: that of the newest event in it.
        lines: the bytes.
        snapshot: what is to be written before them, where a new file is to be begun; empty: none is.
    """

    number: int
    before: int
    seq: int
    lines: bytes
    snapshot: bytes


@dataclass
class Saved:
    """What is stored of a room.

    Attributes:
        seq: the number of the newest event.
        epoch: in which it happened; empty: nothing is stored.
        epochs: those before, with the number of the last event of each.
        last: the number of who came last.
        places: what is kept of somebody, by its number, as its line tells.
        hosts: where somebody comes from, by its number.
        bans: networks that are kept out, with what somebody was called who was banned by name; empty: by its address.
        missing: events just before the end that were not stored.
        lines: the newest events, one behind the other, whole.
        first: the number of the oldest event; 0: there is none.
        ended: the server has ended well.
        doubtful: more may have happened in this epoch than is stored.
    """

    seq: int = 0
    epoch: str = ""
    epochs: dict[str, int] = field(default_factory=dict)
    last: int = 0
    places: dict[int, dict[str, Any]] = field(default_factory=dict)
    hosts: dict[int, str] = field(default_factory=dict)
    bans: dict[str, str] = field(default_factory=dict)
    missing: int = 0
    lines: Sequence[bytes] = ()
    first: int = 0
    ended: bool = False
    doubtful: bool = False

    def read(self, lines: Iterable[bytes]) -> int:
        """Take in the lines of one file; what is none is passed over.

        Returns:
            How many bytes they are up to the last that is one: what follows is torn.
        """
        taken: dict[int, int] = {}
        end = whole = 0
        for line in lines:
            end += len(line)
            if (said := _SAID.match(line)) and line.endswith(b'"}\n'):  # nearly all are, and it takes an eighth
                self.seq, self.missing, self.ended = int(said[1]), 0, False
                if said[3]:
                    taken[int(said[2])] = int(said[3])
                whole = end
                continue
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
                if line.endswith(b"\n"):
                    self._take_in(json.loads(line), taken)
                    whole = end
        for uid, number in taken.items():
            if place := self.places.get(uid):
                place["taken"] = max(place["taken"], number)
        return whole

    def _take_in(self, told: dict[str, Any], taken: dict[int, int]) -> None:
        kind = told["kind"]
        self.ended = kind == "end"
        self.seq = max(self.seq, told["seq"])
        self.last = max(self.last, told.get("uid", 0))
        match kind:
            case "epoch":
                self.epoch, self.epochs, self.last = told["epoch"], told["epochs"], max(self.last, told["last"])
            case "place":
                self.places[told["uid"]] = told
                self.hosts[told["uid"]] = host_and_port(told["address"])[0]
            case "dropped":
                self.places.pop(told["uid"], None)
            case "address":
                self.hosts[told["uid"]] = host_and_port(told["address"])[0]
            case "bans":
                self.bans = told["bans"]
            case "missing":
                self.missing = told["events"]
            case "segment" | "end":
                pass
            case _:
                self.missing = 0
                if number := told.get("id", 0):
                    taken[told["uid"]] = number


class Journal(Marks):
    """What has happened and is not written yet, in batches.

    Whoever writes asks for a batch by `note`, writes it, and says `keep`, or `lose` if that cannot be done; there is
    one batch at a time. ``bans``: networks that are kept out, see `Saved`. ``lost`` counts the events that could not be
    written, in all, ``missing`` those since one was written last; ``failing``: writing does not work now.

    Args:
        ledger: whose room it is.
        saved: what is stored of it.
        now: the time, see `Ledger`.
    """

    __slots__ = ("_bans", "_changed", "_ledger", "bans", "failing", "lost", "missing")

    def __init__(self, ledger: Ledger, saved: Saved, now: float) -> None:
        super().__init__(batch=1)
        self.bans: dict[str, str] = dict(saved.bans)
        self.failing = False
        self.lost = 0
        self.missing = saved.missing
        self._changed: dict[int, Person] = {}
        self._bans = False  # they are to be written
        self._ledger = ledger
        ledger.logs.store(self, saved.lines, saved.seq)
        ledger.logs.oldest = saved.first or saved.seq + 1
        if saved.epoch:
            _restore(ledger, saved, now)
            ledger.apply(Restarted(), now)
        ledger.changed = self._change

    def _change(self, person: Person) -> None:
        self._changed[person.uid] = person
        self.latest = self.batch

    def ban(self, bans: Mapping[str, str]) -> None:
        """Note that other networks are kept out than before."""
        self.bans = dict(bans)
        self._bans = True
        self.latest = self.batch

    def note(self, *, anew: bool) -> Batch | None:
        """Hand out what is to be written; None: nothing is.

        Args:
            anew: a new file is to be begun.
        """
        if not self.pending:
            return None
        logs, number = self._ledger.logs, self.batch
        self.batch += 1
        log, before, seq = logs["json"], logs.kept, logs.seq
        told = log.read(log.kept, log.tip) if log.tip > log.kept else b""
        changes = [] if anew else list(self._changes(seq))
        self._changed, self._bans = {}, False
        snapshot = b"".join(self._snapshot(before)) if anew else b""
        return Batch(number, before, seq, b"".join((told, *changes)), snapshot)

    def keep(self, batch: Batch) -> None:
        """Note that a batch is written: all may see what is in it."""
        self.failing = False
        if batch.seq > batch.before:
            self.missing = 0
        self._show(batch)

    def lose(self, batch: Batch, epoch: str) -> None:
        """Note that a batch cannot be written: all may see it all the same, under another epoch.

        Args:
            batch: the one.
            epoch: eight letters that no other epoch had, if this is the first one that is lost.
        """
        logs = self._ledger.logs
        if not self.failing:
            self.failing = True
            logs.epochs[logs.epoch] = batch.before
            logs.epoch = epoch
            for view in self._ledger.readers():
                if view.log.dialect.programs and not view.deaf:
                    view.interpose(view.log.dialect.wrap(jsonl.told("epoch", epoch=epoch)))
                    self._ledger.touch(view)
        self.missing += batch.seq - batch.before
        self.lost += batch.seq - batch.before
        self._show(batch)

    def _show(self, batch: Batch) -> None:
        self._ledger.logs.keep(batch.seq)
        self.written = batch.number

    def _changes(self, seq: int) -> Iterator[bytes]:
        for person in self._changed.values():
            if line := _person(self._ledger, person, seq):
                yield line
        if self._bans:
            yield _line(seq, "bans", bans=self.bans)

    def _snapshot(self, seq: int) -> Iterator[bytes]:
        """All that is true now, in lines."""
        ledger = self._ledger
        logs = ledger.logs
        if self.missing:
            yield _line(seq, "missing", events=self.missing)
        yield _line(seq, "bans", bans=self.bans)
        for person in ledger.people.values():
            if line := _person(ledger, person, seq):
                yield line
        here = {person.uid for person in ledger.people.values()}
        for place in ledger.places.all():  # of who is asleep, or was here until the room was closed
            if place.uid not in here:
                yield _place(ledger, place, seq, ledger.places.since(place))
        epochs = dict(list(logs.epochs.items())[-EPOCHS:])
        yield _line(seq, "epoch", epoch=logs.epoch, epochs=epochs, last=ledger.last)  # the end: all of it is there


def host_in(name: str) -> str:
    """Where somebody comes from who is called by its address; empty: it is not."""
    return host_and_port(name.partition("~")[0])[0] if ":" in name else ""


def ending(seq: int) -> bytes:
    """The last line of a server that ends well."""
    return _line(seq, "end")


def _line(seq: int, kind: str, **keys: Any) -> bytes:
    told = {"seq": seq, "kind": kind} | keys
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _person(ledger: Ledger, person: Person, seq: int) -> bytes:
    """What is to be kept of somebody who is here, or has just gone; empty: nothing is."""
    if not (place := person.place):
        named = person.uid in ledger.people and ":" not in person.name
        return _line(seq, "address", uid=person.uid, address=str(person.address)) if named else b""
    if ledger.places.find(place.digest) is not place:
        return _line(seq, "dropped", uid=person.uid)
    return _place(ledger, place, seq, ledger.places.since(place), person)


def _place(ledger: Ledger, place: Place, seq: int, since: float | None, person: Person | None = None) -> bytes:
    return _line(
        seq,
        "place",
        uid=place.uid,
        name=person.name if person else place.name,
        address=str(person.address if person else Address(place.host, 0)),
        digest=place.digest.hex(),
        first=place.first,
        taken=place.taken,
        asleep=None if since is None else round(since + ledger.day),
        ignored=ledger.ignored.of(place.uid),
    )


def _restore(ledger: Ledger, saved: Saved, now: float) -> None:
    """Have a room be what it was: who has a place and was here is waited for."""
    logs = ledger.logs
    logs.epochs, ledger.last = dict(saved.epochs), saved.last
    if saved.doubtful:
        logs.epochs[saved.epoch] = saved.seq
    else:
        logs.epoch = saved.epoch
    for fact in _facts(saved, ledger.ring.most):
        ledger.ring.add(fact, len(text.others(fact)))
    asleep = [told for told in saved.places.values() if told["asleep"] is not None]
    for told in sorted(asleep, key=lambda told: told["asleep"])[-MOST_ASLEEP:]:
        since = told["asleep"] - ledger.day
        if since > now - ASLEEP:
            place, _ = _restored(ledger, told)
            ledger.places.sleep(place, min(since, now))
    for told in saved.places.values():
        if told["asleep"] is None:
            place, address = _restored(ledger, told)
            if ":" in place.name:
                place.name = ledger.names.enter(place.uid, place.name)
            else:
                ledger.names.take(place.uid, place.name)
            ledger.people[place.uid] = Person(place.uid, place.name, address, None, place)
            ledger.held[place.uid] = now
            ledger.hosts[address.host] += 1
    kept = {told["uid"] for told in saved.places.values() if ledger.places.find(bytes.fromhex(told["digest"]))}
    for uid in kept:
        for whom in saved.places[uid]["ignored"]:
            if isinstance(whom, str) or whom in kept:
                ledger.ignored.add(uid, whom)


def _restored(ledger: Ledger, told: Mapping[str, Any]) -> tuple[Place, Address]:
    host, port = host_and_port(told["address"])
    digest = bytes.fromhex(told["digest"])
    place = Place(told["uid"], digest, told["first"], told["name"], host, told["taken"])
    ledger.places.add(place)
    return place, Address(host, port or 0)


def _facts(saved: Saved, most: int) -> list[Fact]:
    """The newest events that are remembered: so many lines that were said, and what happened between them."""
    facts: list[Fact] = []
    for line in reversed(saved.lines):
        if not most:
            break
        event = jsonl.parse(line[:-1].decode())
        if record := _record(event):
            name = event.name or ""
            host = host_in(name) or saved.hosts.get(event.uid, "")
            facts.append(Fact(record, event.seq, name, event.users or 0, event.uid, event.time or 0.0, 1, host))
            most -= event.kind in (Kind.MESSAGE, Kind.ACTION)
    return facts[::-1]


def _record(event: Event) -> Record | None:
    """What has happened, of which an event tells."""
    text = event.text.encode()
    match event.kind:
        case Kind.MESSAGE:
            return Said(event.uid, (text,), (event.id,) if event.id else ())
        case Kind.ACTION:
            return Acted(event.uid, text, event.id)
        case Kind.ENTERED:
            return Entered(Address("", 0))
        case Kind.LEFT:
            return Left(event.uid, event.code)
        case Kind.RENAMED:
            return Renamed(event.uid, event.text)
        case Kind.ANNOUNCEMENT:
            return Announced(event.text)
        case Kind.REMOVED:
            return Removed(tuple(event.data["uids"]), event.text)
        case Kind.RESTARTED:
            return Restarted()
    return None
