"""The dialect of programs: one JSON object a line, whose ``kind`` says what it is. docs/wire.md has the keys of each.

What happens in the room has a ``seq``, from 1 and without a gap, and is the same for everybody, also for whom it
concerns: who that is says the ``uid``. Keys may come to be added, and kinds: those that are not known are passed over.

A line is built by hand: ``json.dumps`` takes five times as long for one (measured: 2.6 against 0.45 µs).
"""

import json
import re
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring as quoted
from typing import Any

from chatctl.wire import words
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
from chatctl.wire.lines import clean
from chatctl.wire.words import Farewell, online

VERSION = 1
"""Of this dialect: another one could not be understood by who knows this one."""

programs = True
"""See `Dialect.programs`."""


def others(fact: Fact) -> bytes:
    """What everybody sees of a fact."""
    record = fact.record
    if isinstance(record, Said):
        return _said(fact, record)
    head = f'{{"seq":{fact.seq},"time":"{stamp(int(fact.time))}","kind":'
    who = f',"uid":{fact.uid},"from":{quoted(fact.name)}'
    match record:
        case Entered():
            return f'{head}"entered"{who},"users":{fact.users}}}\n'.encode()
        case Left(why=why):
            return f'{head}"left"{who},"users":{fact.users},"why":"{why}"}}\n'.encode()
        case Renamed(name=name):
            return f'{head}"renamed"{who},"name":{quoted(name)}}}\n'.encode()
        case Acted(line=line, id=number):
            return f'{head}"action"{who}{_id(number)},"text":{quoted(line.decode())}}}\n'.encode()
        case Announced(text=text) | Closed(text=text):
            return f'{head}"announcement","text":{quoted(text)}}}\n'.encode()
        case Removed(uids=uids, text=text):
            return f'{head}"removed","uids":{list(uids)},"text":{quoted(text)}}}\n'.encode()
        case Restarted():
            return f'{head}"restarted","users":{fact.users}}}\n'.encode()
    raise AssertionError(f"nobody is told of {record}")


def wrap(lines: bytes) -> bytes:
    """See `Dialect.wrap`."""
    return lines


def unwrap(data: bytes) -> list[bytes]:
    """See `Dialect.unwrap`."""
    return data.splitlines()


def own(fact: Fact) -> bytes | None:
    """What the person sees whom a fact concerns: the same."""
    return None


def _said(fact: Fact, record: Said) -> bytes:
    seq, ids = fact.seq, record.ids
    head = f',"time":"{stamp(int(fact.time))}","kind":"message","uid":{fact.uid},"from":{quoted(fact.name)}'
    return "".join(
        [
            f'{{"seq":{seq + at}{head}{_id(ids[at]) if ids else ""},"text":{quoted(line.decode())}}}\n'
            for at, line in enumerate(record.lines)
        ]
    ).encode()


_SAID = re.compile(
    rb'(\{"seq":\d+,"time":"[^"]*","kind":"(?:message|action)","uid":(\d+),[^\n]*?"text":")([^\n]*)("\} *\n)'
)


class Blank:
    """Replaces what some people have said by blanks, of which there are as many as there were bytes.

    ``uids``: their numbers; ``found``: of whom there was something.
    """

    def __init__(self, uids: Collection[int]) -> None:
        self.uids = set(uids)
        self.found: set[int] = set()

    def __call__(self, lines: bytes) -> bytes:
        """The same lines without that."""
        return _SAID.sub(self._replace, lines) if self.uids else lines

    def _replace(self, line: re.Match[bytes]) -> bytes:
        before, number, text, behind = line.groups()
        uid = int(number)
        if uid not in self.uids or not text.strip():
            return line[0]
        self.found.add(uid)
        return b"".join((before, b" " * len(text), behind))


def _id(number: int) -> str:
    return f',"id":{number}' if number else ""


@lru_cache(maxsize=8)
def stamp(seconds: int) -> str:
    """A time, in seconds since the epoch, as RFC 3339 has it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# To one member alone


def told(kind: str, *, number: int = 0, **keys: Any) -> bytes:
    """A line for one member alone; keys that are None are left out."""
    numbered = {"id": number} if number else {}
    known = {key.rstrip("_"): value for key, value in keys.items() if value is not None}
    return json.dumps({"kind": kind} | numbered | known, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def private(name: str | None, to: str | None, line: bytes, *, uid: int, at: float, number: int = 0) -> bytes:
    """See `Dialect.private`."""
    return told("private", number=number, time=stamp(int(at)), uid=uid, from_=name, to=to, text=line.decode())


def answer(*lines: str, number: int = 0) -> bytes:
    """What the server itself says to one member."""
    return b"".join(told("answer", number=number, text=line) for line in lines)


def error(code: str, line: str, *, number: int = 0) -> bytes:
    """Why it does not do something."""
    return told("error", number=number, code=code, text=line)


def farewell(word: Farewell, *, number: int = 0) -> bytes:
    """Its last word."""
    return told("bye", number=number, **word._asdict())


def hello(server: str, *, password: bool, line: int, grace: float) -> bytes:
    """The answer to ``/json``.

    Args:
        server: what it is, and its version.
        password: whether ``/enter`` needs one.
        line: bytes that a line may have.
        grace: seconds for which somebody whose connection is lost is waited for.
    """
    seconds = int(grace) if grace == int(grace) else grace
    return told("hello", v=VERSION, server=server, password=password, line=line, grace=seconds)


def welcome(visit: Visit) -> bytes:
    """See `Dialect.welcome`."""
    keys = visit._asdict() | {"time": stamp(int(visit.time)), "from_": visit.begin}
    del keys["begin"]
    return told("welcome", **keys)


def ignored(uids: Collection[int]) -> bytes:
    """See `Dialect.ignored`."""
    return told("ignored", uids=sorted(uids))


def ack(number: int) -> bytes:
    """That the line of a number is done, where nothing else tells it."""
    return told("ack", number=number)


def who(people: Sequence[Listed], asker: int, *, number: int = 0) -> bytes:
    """Who is online: how many, and each in a line."""
    lines = [told("who", number=number, users=len(people))]
    for uid, name, address, lost in people:
        seconds = None if lost is None else round(lost)
        lines.append(told("member", uid=uid, name=name, address=address or None, lost=seconds))
    return b"".join(lines)


def history(found: Sequence[bytes], total: int, *, number: int = 0) -> bytes:
    """How many lines follow, of how many, and these, as they were told."""
    first = json.loads(found[0])["seq"] if found else 0
    return told("history", number=number, count=len(found), of=total, first=first) + b"".join(
        line + b"\n" for line in found
    )


# Reading


def parse(line: str, me: int = 0) -> Event:
    """Understand a line that begins with ``{``, without its newline.

    Args:
        line: the line.
        me: the number of who reads it; 0: that is not known.

    Returns:
        `Kind.UNKNOWN`, with the line, where it is nothing that is known. Nothing in it can be obeyed by a terminal.
    """
    try:
        data = json.loads(line, parse_float=_no_float, parse_constant=_no_float)
        return _EVENTS[data["kind"]](data, me)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return Event(Kind.UNKNOWN, line, text=line)


def _no_float(text: str) -> None:
    return None


def _event(kind: Kind, data: dict[str, Any], line: str, **keys: Any) -> Event:
    """An event with what every kind may tell."""
    at = data.get("time")
    return Event(
        kind,
        line,
        seq=_number(data, "seq"),
        uid=_number(data, "uid"),
        id=_number(data, "id"),
        time=None if at is None else seconds(at),
        data=data,
        **keys,
    )


@lru_cache(maxsize=8)
def seconds(at: str) -> float:
    """The time that `stamp` has written, in seconds since the epoch."""
    return datetime.fromisoformat(at).timestamp()


def _number(data: dict[str, Any], key: str) -> int:
    number = data.get(key, 0)
    if type(number) is not int or not 0 <= number < 2**63:
        raise ValueError(key)
    return number


def _text(data: dict[str, Any], key: str) -> str:
    """A text; it may have escapes for what `LineDecoder` lets nobody send."""
    return clean(data[key].encode("utf-8", "replace").decode())


def _message(data: dict[str, Any], me: int) -> Event:
    text, name = _text(data, "text"), _text(data, "from")
    if me and data["uid"] == me:
        return _event(Kind.OWN, data, f"[You] {text}", text=text)
    return _event(Kind.MESSAGE, data, f"[{name}] {text}", name=name, text=text)


def _action(data: dict[str, Any], me: int) -> Event:
    text, name = _text(data, "text"), _text(data, "from")
    return _event(Kind.ACTION, data, f"* {name} {text}", name=name, text=text)


def _entered(data: dict[str, Any], me: int) -> Event:
    name, users = _text(data, "from"), _number(data, "users")
    return _event(Kind.ENTERED, data, f"> New user {name} entered ({online(users)})", name=name, users=users)


def _left(data: dict[str, Any], me: int) -> Event:
    name, users, why = _text(data, "from"), _number(data, "users"), _text(data, "why")
    return _event(Kind.LEFT, data, f"< The user {name} left ({online(users)})", name=name, users=users, code=why)


def _renamed(data: dict[str, Any], me: int) -> Event:
    before, after = _text(data, "from"), _text(data, "name")
    own = me and data["uid"] == me
    line = f"! {words.renamed(after)}" if own else f"= The user {before} is now {after}"
    return _event(Kind.RENAMED, data, line, name=before, text=after)


def _private(data: dict[str, Any], me: int) -> Event:
    text = _text(data, "text")
    name = _text(data, "from") if "from" in data else None
    to = _text(data, "to") if "to" in data else None
    line = f"({name or 'You'} to {to or 'You'}) {text}"
    return _event(Kind.PRIVATE, data, line, name=name, to=to, text=text)


def _answer(kind: Kind) -> Callable[[dict[str, Any], int], Event]:
    def understand(data: dict[str, Any], me: int) -> Event:
        text = _text(data, "text")
        code = _text(data, "code") if "code" in data else ""
        return _event(kind, data, f"! {text}", text=text, code=code)

    return understand


def _welcome(data: dict[str, Any], me: int) -> Event:
    users = _number(data, "users")
    for key in ("uid", "first", "from", "seq", "taken"):
        _number(data, key)
    known = data | {"you": _text(data, "you"), "epoch": _text(data, "epoch")}
    return _event(Kind.CONNECTED, known, f"> Connected to the chat server ({online(users)})", users=users)


def _who(data: dict[str, Any], me: int) -> Event:
    users = _number(data, "users")
    return _event(Kind.WHO, data, f"! {online(users)}", text=online(users), users=users)


def _listed(data: dict[str, Any], me: int) -> Event:
    name, address = _text(data, "name"), _text(data, "address") if "address" in data else ""
    text = name if not address or name.startswith(address) else f"{name} {address}"
    if "lost" in data:
        text += f" ({words.gone_for(_number(data, 'lost'))})"
    if me and data["uid"] == me:
        text += " (you)"
    return _event(Kind.LISTED, data, f"! {text}", name=name, text=text)


def _history(data: dict[str, Any], me: int) -> Event:
    text = f"{_number(data, 'count')} of {_number(data, 'of')} lines"
    return _event(Kind.HISTORY, data, f"! {text}", text=text)


def _restarted(data: dict[str, Any], me: int) -> Event:
    users = _number(data, "users")
    text = words.restarted(users)
    return _event(Kind.RESTARTED, data, f"! {text}", text=text, users=users)


def _ignored(data: dict[str, Any], me: int) -> Event:
    for uid in data["uids"]:
        _number({"uid": uid}, "uid")
    return _event(Kind.IGNORED, data, "")


def _silent(kind: Kind) -> Callable[[dict[str, Any], int], Event]:
    def understand(data: dict[str, Any], me: int) -> Event:
        return _event(kind, data, "")

    return understand


_EVENTS: dict[str, Callable[[dict[str, Any], int], Event]] = {
    "message": _message,
    "action": _action,
    "entered": _entered,
    "left": _left,
    "renamed": _renamed,
    "private": _private,
    "answer": _answer(Kind.ANSWER),
    "error": _answer(Kind.ERROR),
    "bye": _answer(Kind.BYE),
    "announcement": _answer(Kind.ANNOUNCEMENT),
    "removed": _answer(Kind.REMOVED),
    "welcome": _welcome,
    "who": _who,
    "member": _listed,
    "history": _history,
    "hello": _silent(Kind.HELLO),
    "ack": _silent(Kind.ACK),
    "ignored": _ignored,
    "restarted": _restarted,
    "epoch": _silent(Kind.EPOCH),
}
