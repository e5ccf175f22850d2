"""Where each member is between its arrival and its end, and what may follow what.

    KNOCKING ─→ (OUTSIDE) ─→ (SILENT) ─→ INSIDE     who has arrived may have to shake hands, then to give the password,
                                                    and has a moment to say under which name it comes
    OUTSIDE, SILENT, INSIDE ─→ GREETED ─→ INSIDE    a program has said so, and says next how it comes in
    each of them ──→ FINISHED ──→ GONE     finished: announced, ended here, and still sent what it is owed
    each of them ──→ GONE                  its link is of no use any more

`FOLLOWING` is that as a table, and `lobby.Lobby` is the one who moves members.
"""

import enum
from typing import TypeVar

from chatctl.room.limits import Bucket
from chatctl.room.log import Log, View
from chatctl.wire import Address, LineDecoder


class Stage(enum.Enum):
    """Where a member is."""

    __hash__ = object.__hash__  # tables are asked for each chunk that is read; that of enum is not written in C

    KNOCKING = "in its handshake: it can be told nothing yet"
    OUTSIDE = "asked for the password: it sees what it is told, and nothing of the room"
    SILENT = "about to be greeted, if it does not say before that who it is: it sees nothing either"
    GREETED = "a program that was told hello and has not entered: it sees nothing, wherever it was before"
    INSIDE = "in the room"
    FINISHED = "out of the room; it is sent what it is owed, until it has closed its end"
    GONE = "its link is to be closed now, whatever it is owed"


KNOCKING, OUTSIDE, SILENT, GREETED, INSIDE, FINISHED, GONE = Stage

FOLLOWING = {
    KNOCKING: {OUTSIDE, SILENT, GREETED, INSIDE, FINISHED, GONE},
    OUTSIDE: {SILENT, GREETED, INSIDE, FINISHED, GONE},
    SILENT: {GREETED, INSIDE, FINISHED, GONE},
    GREETED: {INSIDE, FINISHED, GONE},
    INSIDE: {GREETED, FINISHED, GONE},
    FINISHED: {GONE},
    GONE: set(),
}
"""What may follow what."""


class Due(enum.Enum):
    """What a deadline is for: what is over when it has come."""

    HANDSHAKE = "the time for the handshake"
    REQUEST = "the time for what a browser asks for"
    PASSWORD = "the time for the password"
    GREETING = "the time for saying who one is, before anything else"
    ENTRY = "the time for a program to enter"
    PAUSE = "a member's pause, or the time until the next look at it"
    IDLE = "the time for saying anything"
    LINGER = "the time for reading what is owed and closing"


class Pause(enum.Enum):
    """Why a member is not to be read for now. It may be for several reasons at once."""

    RATE = "it has sent too much"


NOT_PAUSED: frozenset[Pause] = frozenset()
"""No reason at all: one object for all, as each of its own would cost 216 bytes a member."""


class Member(View):
    """One member: a view of a log of the room, where it comes from, and what its input has come to.

    ``reason`` says why it went, for the diagnostics. ``paused``: why it is not to be read for now, if so. ``tries``
    counts wrong passwords, ``ignored`` the commands that were not obeyed. ``heard`` is when it sent something last,
    where that matters; ``renamed`` when it took its last names. ``identity``: the name that it comes with, which its
    certificate proves, or which it has said before the password. ``locked``: it has not given the password that the
    room needs. ``number``: of its line that is obeyed now, if that has one and it was not answered yet.
    """

    __slots__ = (
        "address",
        "bucket",
        "decoder",
        "heard",
        "identity",
        "ignored",
        "locked",
        "number",
        "paused",
        "reason",
        "renamed",
        "stage",
        "tries",
    )

    decoder: LineDecoder

    def __init__(self, log: Log, address: Address) -> None:
        super().__init__(log)
        self.address = address
        self.stage = KNOCKING
        self.bucket: Bucket | None = None
        self.reason = ""
        self.paused = NOT_PAUSED
        self.tries = 0
        self.ignored = 0
        self.heard = 0.0
        self.renamed: tuple[float, ...] = ()
        self.identity = ""
        self.locked = False
        self.number = 0


M = TypeVar("M", bound=Member)
