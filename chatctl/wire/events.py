"""What can happen in a room: as records, which decide it, and as events, which members are told of.

A record is what somebody wants to happen; `room.ledger` applies it, which makes it a `Fact` with a number, names and a
count. A dialect turns a fact into lines, one for each event of it; a reader turns a line back into an `Event`.
"""

import enum
from typing import NamedTuple

from chatctl.wire.address import Address


class Entered(NamedTuple):
    """Somebody comes in. Its number follows from when this is applied."""

    name: str
    address: Address


class Left(NamedTuple):
    """Somebody goes: the person of that number."""

    uid: int


class Said(NamedTuple):
    """A person says some lines, all of one chunk that was read: clean, without their ends."""

    uid: int
    lines: tuple[bytes, ...]


class Announced(NamedTuple):
    """The server itself says something to all."""

    text: str


class Closed(NamedTuple):
    """The room is closed: all are told why, and nobody is here any more."""

    text: str


Record = Entered | Left | Said | Announced | Closed


class Fact(NamedTuple):
    """A record that was applied.

    Attributes:
        record: what happened.
        seq: the number of its first event in this room, from 1.
        name: what the person is called whom it concerns; empty: it concerns nobody.
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
    MESSAGE = "message"
    OWN = "own"
    LEFT = "left"
    ANSWER = "answer"
    OTHER = "other"


class Event(NamedTuple):
    """One line of the server: ``name`` entered, spoke or left, ``text`` was said, ``users`` are online now."""

    kind: Kind
    line: str
    name: str | None = None
    text: str = ""
    users: int | None = None
