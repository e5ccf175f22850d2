"""What can happen in a room, as its members are told."""

import enum
from typing import NamedTuple


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
