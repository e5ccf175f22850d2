"""The plain dialect: a fact → lines of text, and a line → an event.

A name is any run without spaces, a head ends at the first ``] ``.
"""

import re
from collections.abc import Sequence

from chatctl.wire import words
from chatctl.wire.events import Acted, Announced, Closed, Entered, Event, Fact, Kind, Left, Renamed, Said


def others(fact: Fact) -> bytes:
    """What everybody sees of a fact whom it does not concern."""
    match fact.record:
        case Said(lines=lines):
            return _said(fact.name, lines)
        case Entered():
            return f"> New user {fact.name} entered ({online(fact.users)})\n".encode()
        case Left():
            return f"< The user {fact.name} left ({online(fact.users)})\n".encode()
        case Acted(line=line):
            return f"* {fact.name} ".encode() + line + b"\n"
        case Renamed(name=name):
            return f"= The user {fact.name} is now {name}\n".encode()
        case Announced(text=text) | Closed(text=text):
            return answer(text)


def own(fact: Fact) -> bytes | None:
    """What the person sees in place of that whom it concerns; None: the same."""
    match fact.record:
        case Said(lines=lines):
            return _said("You", lines)
        case Entered():
            return f"> Connected to the chat server ({online(fact.users)})\n".encode()
        case Renamed(name=name):
            return answer(words.renamed(name))
    return None


def private(name: str | None, to: str | None, line: bytes) -> bytes:
    """What one of two people sees of a line that is for them alone.

    Args:
        name: who says it; None: who sees this.
        to: whom it is for; None: who sees this.
        line: what is said.
    """
    return f"({name or 'You'} to {to or 'You'}) ".encode() + line + b"\n"


def started(port: int) -> bytes:
    """The first line of the console."""
    return f"Chat Server started on port {port}.\n".encode()


def answer(*lines: str) -> bytes:
    """What the server itself says, to one member or to all."""
    return "".join(f"! {line}\n" for line in lines).encode()


def online(users: int) -> str:
    """A number of users in words: ``user`` for 0 and 1, ``users`` from 2 on."""
    return f"{users} {'user' if users < 2 else 'users'} online"


def skimmed(text: bytes, *, begun: bool) -> bytes:
    """A text without whole lines that others say: its first, which may have begun before it, and its last stay.

    Args:
        text: of a server.
        begun: whether it goes on with a line.
    """
    end = text.rfind(b"\n")
    begin = text.find(b"\n") if begun else -1
    if begin == end:
        return text
    kept = b"".join(_ABOUT_ME.findall(b"\n" + text[:end], begin + 1))
    return text[: begin + 1] + (kept + b"\n").removeprefix(b"\n") + text[end + 1 :]


def _said(name: str, lines: Sequence[bytes]) -> bytes:
    head = b"[%b] " % name.encode()
    return head + (b"\n" + head).join(lines) + b"\n"


_COUNT = r"\(([0-9]{1,9}) users? online\)"  # \d would take the digits of other scripts
_CONNECTED = re.compile(rf"> Connected to the chat server {_COUNT}")
_ENTERED = re.compile(rf"> New user (\S+) entered {_COUNT}")
_LEFT = re.compile(rf"< The user (\S+) left {_COUNT}")
_RENAMED = re.compile(r"= The user (\S+) is now (\S+)")
_ACTED = re.compile(r"\* (\S+) (.*)", re.DOTALL)
_PRIVATE = re.compile(r"\((?:You to (\S+?)|(\S+) to You)\) (.*)", re.DOTALL)
_SAID = re.compile(r"\[(\S+?)\] (.*)", re.DOTALL)
_ABOUT_ME = re.compile(rb"\n(?:\[You\]|[^\[\n])[^\n]*")  # a line with the newline before it, but what others say


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
        case "*" if acted := _ACTED.fullmatch(line):
            return Event(Kind.ACTION, line, acted[1], acted[2])
        case "=" if notice := _RENAMED.fullmatch(line):
            return Event(Kind.RENAMED, line, notice[1], notice[2])
        case "(" if told := _PRIVATE.fullmatch(line):
            to, name, text = told.groups()
            return Event(Kind.PRIVATE, line, name, text, to=to)
        case "!" if line.startswith("! "):
            return Event(Kind.ANSWER, line, text=line[2:])
    return Event(Kind.OTHER, line, text=line)
