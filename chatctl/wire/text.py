"""The plain dialect: a fact → lines of text, and a line → an event.

A name is any run without spaces, a head ends at the first ``] ``.
"""

import re
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import lru_cache

from chatctl.wire import jsonl, words
from chatctl.wire.events import (
    Acted,
    Announced,
    Closed,
    Entered,
    Event,
    Fact,
    Kind,
    Left,
    Listed,
    Removed,
    Renamed,
    Restarted,
    Said,
    Visit,
)
from chatctl.wire.words import Farewell, online

programs = False
"""See `Dialect.programs`."""


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
        case Announced(text=text) | Closed(text=text) | Removed(text=text):
            return answer(text)
        case Restarted():
            return answer(words.restarted(fact.users))
    raise AssertionError(f"nobody is told of {fact.record}")


def wrap(lines: bytes) -> bytes:
    """See `Dialect.wrap`: nobody is told so."""
    return lines


def unwrap(data: bytes) -> list[bytes]:
    """See `Dialect.unwrap`: nothing is."""
    return []


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


def private(name: str | None, to: str | None, line: bytes, *, uid: int = 0, at: float = 0.0, number: int = 0) -> bytes:
    """See `Dialect.private`."""
    return f"({name or 'You'} to {to or 'You'}) ".encode() + line + b"\n"


def started(port: int) -> bytes:
    """The first line of the console."""
    return f"Chat Server started on port {port}.\n".encode()


def answer(*lines: str, number: int = 0) -> bytes:
    """What the server itself says, to one member or to all."""
    return "".join(f"! {line}\n" for line in lines).encode()


def error(code: str, line: str, *, number: int = 0) -> bytes:
    """Why it does not do something."""
    return answer(line)


def farewell(word: Farewell, *, number: int = 0) -> bytes:
    """Its last word."""
    return answer(word.text)


def ack(number: int) -> bytes:
    """See `Dialect.ack`."""
    return b""


def ignored(uids: Collection[int]) -> bytes:
    """See `Dialect.ignored`."""
    return b""


def welcome(visit: Visit) -> bytes:
    """See `Dialect.welcome`: who comes in sees that in place of the notice, see `own`."""
    return b""


def who(people: Sequence[Listed], asker: int, *, number: int = 0) -> bytes:
    """Who is online: how many, and each in a line."""
    return answer(*listed(people, asker))


def listed(people: Sequence[Listed], asker: int = 0) -> list[str]:
    """The same without the head of an answer."""
    lines = [online(len(people))]
    for uid, name, address, lost in people:
        shown = f"{name} {address}" if address and not name.startswith(address) else name
        gone = "" if lost is None else f" ({words.gone_for(lost)})"
        lines.append(f"{shown}{gone}{' (you)' if uid == asker else ''}")
    return lines


def history(found: Sequence[bytes], total: int, *, number: int = 0) -> bytes:
    """What was said before, with the local time of the server; see `Dialect.history`."""
    lines = "".join(f"{old(jsonl.parse(line.decode())).line}\n" for line in found)
    return answer(f"{len(found)} of {total} lines") + lines.encode() + answer("that was the history")


def old(event: Event) -> Event:
    """How a message or an action is told that was said before somebody came."""
    at = datetime.fromtimestamp(event.time or 0.0).strftime("%Y-%m-%d %H:%M")
    line = f"* {event.name} {event.text}" if event.kind is Kind.ACTION else f"[{event.name}] {event.text}"
    return event._replace(kind=Kind.OLD, line=f"| {at} {line}", old=True)


def skimmed(text: bytes, *, begun: bool, me: int = 0) -> bytes:
    """A text without whole lines that others say: its first, which may have begun before it, and its last stay.

    Args:
        text: of a server.
        begun: whether it goes on with a line.
        me: the number of the reader, for the dialect that tells numbers.
    """
    end = text.rfind(b"\n")
    begin = text.find(b"\n") if begun else -1
    if begin == end:
        return text
    whole = b"\n" + text[:end]
    about_me = _by_others(me).sub(b"", whole[begin + 1 :]) if me else b"".join(_ABOUT_ME.findall(whole, begin + 1))
    return text[: begin + 1] + (about_me + b"\n").removeprefix(b"\n") + text[end + 1 :]


def _said(name: str, lines: Sequence[bytes]) -> bytes:
    head = b"[%b] " % name.encode()
    return head + (b"\n" + head).join(lines) + b"\n"


@lru_cache(maxsize=1024)
def _by_others(me: int) -> re.Pattern[bytes]:
    """Finds a message with the newline before it, unless it is by that one."""
    return re.compile(rb'\n(?=\{"seq":\d+,"time":"[^"]*","kind":"message","uid":(?!%d,))[^\n]*' % me)


_COUNT = r"\(([0-9]{1,9}) users? online\)"  # \d would take the digits of other scripts
_CONNECTED = re.compile(rf"> Connected to the chat server {_COUNT}")
_ENTERED = re.compile(rf"> New user (\S+) entered {_COUNT}")
_LEFT = re.compile(rf"< The user (\S+) left {_COUNT}")
_RENAMED = re.compile(r"= The user (\S+) is now (\S+)")
_ACTED = re.compile(r"\* (\S+) (.*)", re.DOTALL)
_PRIVATE = re.compile(r"\((?:You to (\S+?)|(\S+) to You)\) (.*)", re.DOTALL)
_OLD = re.compile(r"\| (\d{4}-\d\d-\d\d \d\d:\d\d) (?:\[(\S+?)\]|\* (\S+)) (.*)", re.DOTALL)
_SAID = re.compile(r"\[(\S+?)\] (.*)", re.DOTALL)
_ABOUT_ME = re.compile(rb"\n(?:\[You\]|[^\[\n])[^\n]*")  # a line with the newline before it, but what others say


def parse(line: str, me: int = 0) -> Event:
    """Understand a line of the server, given without its newline, in whichever dialect: the first byte tells.

    A name is any run without spaces, a head ends at the first ``] ``. Pass on what is `Kind.OTHER`: more may come.

    Args:
        line: the line.
        me: the number of who reads it, for the dialect that tells numbers; 0: that is not known.
    """
    match line[:1]:
        case "{":
            return jsonl.parse(line, me)
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
        case "|" if told := _OLD.fullmatch(line):
            return _remembered(line, *told.groups())
        case "!" if line.startswith("! "):
            return Event(Kind.ANSWER, line, text=line[2:])
    return Event(Kind.OTHER, line, text=line)


def _remembered(line: str, at: str, name: str | None, doer: str | None, text: str) -> Event:
    try:
        when = datetime.fromisoformat(at).timestamp()
    except (ValueError, OverflowError):
        return Event(Kind.OTHER, line, text=line)
    return Event(Kind.OLD, line, name or doer, text, time=when, old=True)
