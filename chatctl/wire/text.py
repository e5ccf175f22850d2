"""The plain dialect: what happens → lines of text, and a line → what happened.

A name is any run without spaces, a head ends at the first ``] ``.
"""

import re
from collections.abc import Sequence

from chatctl.wire.events import Event, Kind


def started(port: int) -> bytes:
    """The first line of the console."""
    return f"Chat Server started on port {port}.\n".encode()


def connected(users: int) -> bytes:
    """The first line of a member."""
    return f"> Connected to the chat server ({online(users)})\n".encode()


def entered(name: str, users: int) -> bytes:
    """What the others see when a member enters."""
    return f"> New user {name} entered ({online(users)})\n".encode()


def left(name: str, users: int) -> bytes:
    """What those who stay see when a member goes."""
    return f"< The user {name} left ({online(users)})\n".encode()


def said(name: str, lines: Sequence[bytes]) -> bytes:
    """Some lines of one member, as the others see them."""
    head = b"[%b] " % name.encode()
    return head + (b"\n" + head).join(lines) + b"\n"


def echo(lines: Sequence[bytes]) -> bytes:
    """The same lines as their sender sees them."""
    return said("You", lines)


def answer(*lines: str) -> bytes:
    """What the server itself says, to one member or to all."""
    return "".join(f"! {line}\n" for line in lines).encode()


def online(users: int) -> str:
    """A number of users in words: ``user`` for 0 and 1, ``users`` from 2 on."""
    return f"{users} {'user' if users < 2 else 'users'} online"


_COUNT = r"\((\d{1,9}) users? online\)"
_CONNECTED = re.compile(rf"> Connected to the chat server {_COUNT}")
_ENTERED = re.compile(rf"> New user (\S+) entered {_COUNT}")
_LEFT = re.compile(rf"< The user (\S+) left {_COUNT}")
_SAID = re.compile(r"\[(\S+?)\] (.*)", re.DOTALL)


def parse(line: str) -> Event:
    """Understand a line of the server, given without its newline.

    A name is any run without spaces, a head ends at the first ``] ``. Pass on what is `Kind.OTHER`: more may come.
    """
    match line[:1]:
        case "[" if said := _SAID.fullmatch(line):
            name, text = said.groups()
            return Event(Kind.OWN, line, text=text) if name == "You" else Event(Kind.MESSAGE, line, name, text)
        case ">" if notice := _ENTERED.fullmatch(line):
            return Event(Kind.ENTERED, line, notice[1], users=int(notice[2]))
        case "<" if notice := _LEFT.fullmatch(line):
            return Event(Kind.LEFT, line, notice[1], users=int(notice[2]))
        case ">" if notice := _CONNECTED.fullmatch(line):
            return Event(Kind.CONNECTED, line, users=int(notice[1]))
        case "!" if line.startswith("! "):
            return Event(Kind.ANSWER, line, text=line[2:])
    return Event(Kind.OTHER, line, text=line)
