"""What can happen in a room: as records, which decide it, and as events, which members are told of.

A record is what somebody wants to happen; `room.ledger` applies it, which makes it a `Fact` with a number, names and a
count. A dialect turns a fact into lines, one for each event of it; a reader turns a line back into an `Event`.
"""

import enum
from typing import NamedTuple

from chatctl.wire.address import Address


class Entered(NamedTuple):
    """Somebody comes in, under a name, or without one. Its number follows from when this is applied."""

    address: Address
    name: str = ""


class Left(NamedTuple):
    """Somebody goes: the person of that number."""

    uid: int


class Said(NamedTuple):
    """A person says some lines, all of one chunk that was read: clean, without their ends."""

    uid: int
    lines: tuple[bytes, ...]


class Acted(NamedTuple):
    """A person does something, told in the third person: ``/me waves``."""

    uid: int
    line: bytes


class Renamed(NamedTuple):
    """A person is called something else from now on."""

    uid: int
    name: str


class Announced(NamedTuple):
    """The server itself says something to all."""

    text: str


class Closed(NamedTuple):
    """The room is closed: all are told why, and nobody is here any more."""

    text: str


Record = Entered | Left | Said | Acted | Renamed | Announced | Closed


class Fact(NamedTuple):
    """A record that was applied.

    Attributes:
        record: what happened.
        seq: the number of its first event in this room, from 1.
        name: what the person whom it concerns was called when it happened; empty: it concerns nobody.
        users: how many people are in the room now.
    """

    record: Record
    seq: int
    name: str
    users: int


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
    OTHER = "other"


class Event(NamedTuple):
    """One line of the server.

    Attributes:
        kind: what it tells.
        line: all of it.
        name: who entered, spoke, did something or left, or had that name until now; None: the reader, or nobody.
        text: what was said or done; the new name.
        users: how many are online now, where that is told.
        to: whom a private line is for; None: the reader.
    """

    kind: Kind
    line: str
    name: str | None = None
    text: str = ""
    users: int | None = None
    to: str | None = None
