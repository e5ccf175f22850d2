"""What the server says that programs know by its words: to who cannot come in, has to go, or has another name."""

import re
from typing import NamedTuple


class Farewell(NamedTuple):
    """The last word to a member.

    Attributes:
        code: why it has to go, for programs.
        text: the same for people.
        again: whether it may come back by itself.
    """

    code: str
    text: str
    again: bool = False


NEEDS_PASSWORD = "this room needs a password: send it as your first line"
"""How a room with a password greets a newcomer."""

WRONG_PASSWORD = "wrong password"
"""How it answers to another one."""

KICKED = "kicked"
"""How the last word to a member begins that the operator ended."""

DENIED = "your address is not allowed here"
"""How a newcomer is refused, or a member ended, whose address is denied."""

FULL = "server full"
TOO_MANY = "too many connections from your address"
"""How a newcomer is refused where there is no room for more."""

IDLE = "nothing heard of you"
"""How the last word to a member begins that was silent for too long."""

REPLACED = "you are here over another connection now"
"""The last word to a connection whose member has another one."""

NO_COMMAND = "no such command"
"""How the answer begins to a command that the server does not know."""

TOO_LONG = "line too long, not sent: it may have"
"""How the answer to such a line begins; how many bytes follows."""

FINAL = (KICKED, DENIED, IDLE)
"""How the last word begins to who should not come back by itself."""

RENAMED = re.compile(r"you are (\S+) now")
"""What `renamed` says, with the name."""

WHY = ("left", "lost", "kicked", "banned", "slow", "idle", "node")
"""Why somebody leaves, for programs: by itself, or its link was lost and it has not come back in time, or it was
ended by the operator, or sent or asked too much, or nothing, or its server has gone."""


def online(users: int) -> str:
    """A number of users: ``user`` for 0 and 1, ``users`` from 2 on."""
    return f"{users} {'user' if users < 2 else 'users'} online"


def restarted(users: int) -> str:
    """How all are told that the server has begun anew."""
    return f"the server has started again ({online(users)})"


def renamed(name: str) -> str:
    """How it is told to somebody what that one is called from now on."""
    return f"you are {name} now"


def gone_for(seconds: float) -> str:
    """How it is told that somebody has had no link for so many seconds."""
    return f"no link for {seconds:.0f} s"
