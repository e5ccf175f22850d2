"""What can happen in a room: as records, which decide it, and as events, which members are told of.

A record is what somebody wants to happen; `room.ledger` applies it, which makes it a `Fact` with a number, names and a
count. A dialect turns a fact into lines, one for each event of it; a reader turns a line back into an `Event`.
"""

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from chatctl.wire.address import Address

NO_DATA: Mapping[str, Any] = MappingProxyType({})
"""Of an event that tells nothing more."""


class Entered(NamedTuple):
    """Somebody comes in, under a name, or without one. Its number follows from when this is applied.

    Attributes:
        address: where from.
        name: what it is called; empty: by its address.
        place: the digest of the secret that its place has, or will have; empty: it has none.
    """

    address: Address
    name: str = ""
    place: bytes = b""


class Held(NamedTuple):
    """Somebody who has a place has lost the link, and is waited for. Nobody is told."""

    uid: int


class Linked(NamedTuple):
    """Somebody who is here has another link from now on. Nobody is told.

    Attributes:
        uid: the number of that one.
        address: where the link comes from.
        place: the digest of the secret of the place that it has, or gets now; empty: it gets none.
    """

    uid: int
    address: Address
    place: bytes


class Left(NamedTuple):
    """Somebody goes: the person of that number, and why, see `words.WHY`."""

    uid: int
    why: str = "left"


class Said(NamedTuple):
    """A person says some lines, all of one chunk that was read: clean, without their ends.

    ``ids``: the number of each, which is 0 where it has none; none at all if no line has one.
    """

    uid: int
    lines: tuple[bytes, ...]
    ids: tuple[int, ...] = ()


class Acted(NamedTuple):
    """A person does something, told in the third person: ``/me waves``."""

    uid: int
    line: bytes
    id: int = 0


class Taken(NamedTuple):
    """What a person has sent under a number is done: nothing that others see. Nobody is told."""

    uid: int
    id: int


class Renamed(NamedTuple):
    """A person is called something else from now on."""

    uid: int
    name: str


class Announced(NamedTuple):
    """The server itself says something to all."""

    text: str


class Removed(NamedTuple):
    """What some people have said is to be shown no more."""

    uids: tuple[int, ...]
    text: str


class Restarted(NamedTuple):
    """The server has begun anew: of who was here, those alone still are who are waited for."""


class Closed(NamedTuple):
    """The room is closed: all are told why, and nobody is here any more."""

    text: str


Record = Entered | Held | Linked | Left | Said | Acted | Taken | Renamed | Announced | Removed | Restarted | Closed


class Fact(NamedTuple):
    """A record that was applied.

    Attributes:
        record: what happened.
        seq: the number of its first event in this room, from 1.
        name: what the person whom it concerns was called when it happened; empty: it concerns nobody.
        users: how many people are in the room now.
        uid: the number of that person; 0: it concerns nobody.
        time: when it happened, in seconds since the epoch.
        events: how many it is.
        host: where that person comes from, without the port.
    """

    record: Record
    seq: int
    name: str
    users: int
    uid: int = 0
    time: float = 0.0
    events: int = 1
    host: str = ""


class Listed(NamedTuple):
    """Somebody in the list of who is online.

    Attributes:
        uid: its number.
        name: what it is called.
        address: where it comes from; empty: that is not to be known.
        lost: for how many seconds it has had no link; None: it has one.
    """

    uid: int
    name: str
    address: str
    lost: float | None = None


class Visit(NamedTuple):
    """What somebody who comes in is told of that.

    Attributes:
        time: when, in seconds since the epoch.
        uid: its number.
        you: what it is called.
        users: how many people are in the room now.
        epoch: eight letters for one unbroken numbering of events.
        first: the number of the oldest event that it may ask for.
        begin: that of the first event that it is sent.
        seq: that of the newest event.
        resumed: whether the room knows its place.
        taken: the highest number of its own lines that is done.
        keeps: what the room remembers, in words.
        known: whether what it has seen counts, so that all it has missed are the events from there up to ``begin``.
    """

    time: float
    uid: int
    you: str
    users: int
    epoch: str
    first: int
    begin: int
    seq: int
    resumed: bool
    taken: int
    keeps: str
    known: bool


class Kind(enum.StrEnum):
    """What a line of the server tells."""

    CONNECTED = "connected"
    ENTERED = "entered"
    RENAMED = "renamed"
    MESSAGE = "message"
    ACTION = "action"
    PRIVATE = "private"
    OWN = "own"
    LEFT = "left"
    ANSWER = "answer"
    ERROR = "error"
    ANNOUNCEMENT = "announcement"
    WHO = "who"
    LISTED = "member"
    HISTORY = "history"
    OLD = "old"
    REMOVED = "removed"
    RESTARTED = "restarted"
    EPOCH = "epoch"
    HELLO = "hello"
    ACK = "ack"
    IGNORED = "ignored"
    BYE = "bye"
    UNKNOWN = "unknown"
    OTHER = "other"


class Event(NamedTuple):
    """One line of the server, in whichever dialect.

    Attributes:
        kind: what it tells.
        line: how the plain dialect tells it, all of it.
        name: who entered, spoke, did something or left, or had that name until now; None: the reader, or nobody.
        text: what was said or done; the new name.
        users: how many are online now, where that is told.
        to: whom a private line is for; None: the reader.
        seq: its number in the room; 0: it has none, or the dialect does not tell.
        uid: the number of whom it concerns; 0 likewise.
        id: the number that the reader has given to what this comes of; 0: none.
        time: when it happened, in seconds since the epoch, by the server's clock; None: that is not told.
        code: which error, answer to who has to go, or reason for leaving it is, for programs.
        data: all that was told, where it is more than that.
        old: it happened before the reader came.
    """

    kind: Kind
    line: str
    name: str | None = None
    text: str = ""
    users: int | None = None
    to: str | None = None
    seq: int = 0
    uid: int = 0
    id: int = 0
    time: float | None = None
    code: str = ""
    data: Mapping[str, Any] = NO_DATA
    old: bool = False
