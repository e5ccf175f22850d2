"""What can be asked of the server: a line that begins with ``/`` → what is done.

A table has a command for each word; the list that ``/help`` gives comes from it. That of the members is here, that of
the operator stands in `server.operation`.
"""

import contextlib
import ipaddress
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from chatctl import __version__
from chatctl.room.ledger import Ledger
from chatctl.room.lookup import Found, Query, left, pick, readable
from chatctl.room.people import RefusedError
from chatctl.room.person import Person
from chatctl.room.ring import NOTHING_KEPT, Line
from chatctl.wire.events import Acted, Listed, Renamed

if TYPE_CHECKING:
    from chatctl.room.room import Room
    from chatctl.room.stages import Member

RENAMES = 5
"""Names that a member may take in a minute."""

MOST_IGNORED = 100
"""Members and addresses that one may ignore."""

MOST_SHOWN = 200
"""Lines of what was said before that a member is shown at once."""

MOST_BYTES = 64 * 1024
"""Bytes of them."""

_LOGGED = 4 * MOST_BYTES  # of the log that are looked at for that: some milliseconds, in which nobody else is served
_HISTORY = re.compile(r"(\d{1,3})?(?: ?before (\d{1,16}))?", re.ASCII)
_SHOWN = 20  # lines, where nobody says how many
_RENAMES_IN = 60.0  # seconds

F = TypeVar("F")


class Command(NamedTuple, Generic[F]):
    """What stands behind a word.

    Attributes:
        help: what it does, in a few words.
        do: the function that does it.
        usage: what is written behind the word.
        always: whether it is obeyed even when the answers to others were not read.
    """

    help: str
    do: F
    usage: str = ""
    always: bool = False


def split(line: str) -> tuple[str, str]:
    """The word of a command, and what is written behind it."""
    word, *argument = line.split(maxsplit=1)
    return word, "".join(argument).strip()


def listed(table: Mapping[str, Command[Any]]) -> list[str]:
    """The commands of a table, one a line."""
    forms = {word: f"{word} {command.usage}".rstrip() for word, command in table.items()}
    width = max(map(len, forms.values()))
    return [f"{forms[word]:{width}}  {command.help}" for word, command in table.items()]


def unknown(word: str, slash: str) -> str:
    """The answer to a word that is in no table; ``slash``: what ``//text`` does."""
    return f"no such command: {word} (try /help; //text {slash} /text)"


def listed_people(ledger: Ledger, now: float, *, hide: bool = False) -> list[Listed]:
    """Who is online.

    Args:
        ledger: knows.
        now: the time.
        hide: leave out the addresses of those who have a name.
    """
    return [
        Listed(
            person.uid,
            person.name,
            "" if hide else str(person.address),
            now - ledger.held[person.uid] if person.uid in ledger.held else None,
        )
        for person in ledger.people.values()
    ]


def _help(room: "Room[Any]", member: "Member", argument: str, now: float) -> None:
    ledger = room.ledger
    kept = f"its last {ledger.keeps}" if ledger.ring.most else ledger.keeps
    keeps = "this room keeps " + ("nothing of what is said" if kept == NOTHING_KEPT else kept)
    room.answer(member, f"chatctl {__version__}", *listed(MEMBERS), "//text says /text", keeps)


def _who(room: "Room[Any]", member: "Member", argument: str, now: float) -> None:
    people = listed_people(room.ledger, now, hide=room.limits.hide_addresses)
    room.tell(member, member.log.dialect.who(people, member.uid, number=member.number))


def _nick(room: "Room[Any]", member: "Member", argument: str, now: float) -> None:
    person = room.ledger.people[member.uid]
    if not argument:
        hint = ": /nick NAME gives you a name" if ":" in person.name else ""
        room.answer(member, f"you are {person.name}{hint}")
        return
    name = room.may_be_called(member, argument)
    if name == person.name:
        room.answer(member, f"you are {name}")
        return
    recent = tuple(at for at in member.renamed if at > now - _RENAMES_IN)
    if len(recent) == RENAMES:
        wait = math.ceil(recent[0] + _RENAMES_IN - now)
        raise RefusedError("slow", f"five names a minute are enough: wait {wait} s")
    member.renamed = (*recent, now)
    room.post(Renamed(member.uid, name))


def _me(room: "Room[Any]", member: "Member", argument: str, now: float) -> None:
    if not argument:
        raise RefusedError("usage", "say /me TEXT")
    number, member.number = member.number, 0  # its event answers it
    room.post(Acted(member.uid, argument.encode(), number))


def _msg(room: "Room[Any]", member: "Member", argument: str, now: float) -> None:
    name, _, text = argument.partition(" ")
    if not text.strip():
        raise RefusedError("usage", "say /msg NAME TEXT")
    room.whisper(member, _person(room, member, name), text.strip().encode())


def _ignore(room: "Room[Any]", member: "Member", argument: str, now: float) -> None:
    ignored = room.ledger.ignored
    if argument:
        if len(ignored.of(member.uid)) == MOST_IGNORED:
            raise RefusedError("slow", f"you ignore {MOST_IGNORED} already: /unignore one of them first")
        ignored.add(member.uid, _somebody(room, member, argument))
        room.ledger.changed(room.ledger.people[member.uid])
    names = [room.ledger.called(whom) if isinstance(whom, int) else whom for whom in ignored.of(member.uid)]
    _tell_ignored(room, member, f"you ignore {', '.join(names) or 'nobody'}")


def _unignore(room: "Room[Any]", member: "Member", argument: str, now: float) -> None:
    if not argument:
        raise RefusedError("usage", "say /unignore NAME")
    heard = room.ledger.ignored.remove(member.uid, _somebody(room, member, argument))
    room.ledger.changed(room.ledger.people[member.uid])
    _tell_ignored(room, member, f"you {'hear' if heard else 'do not ignore'} {argument}")


def _tell_ignored(room: "Room[Any]", member: "Member", answer: str) -> None:
    """Answer, and tell a program whom it is to hide from now on."""
    member.tell(member.log.dialect.ignored(room.ledger.ignores(member.uid)))
    room.answer(member, answer)


def _somebody(room: "Room[Any]", member: "Member", text: str) -> int | str:
    """Who is meant: the number of a person, or an address without port."""
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(text.strip("[]")))
    return _person(room, member, text).uid


def _person(room: "Room[Any]", member: "Member", name: str) -> Person:
    """Who is called so, other than the member itself.

    Raises:
        RefusedError: nobody is, or it is that one.
    """
    ledger = room.ledger
    uid = ledger.names.find(name)
    if uid and uid == member.uid:
        raise RefusedError("self", "that is you")
    if uid:
        return ledger.people[uid]
    if heir := ledger.people.get(ledger.names.heir(name, room.now)):
        raise RefusedError("nobody", f"nobody here is called {name}: {name} is now {heir.name}")
    raise RefusedError("nobody", f"nobody here is called {name} (see /who)")


def _history(room: "Room[Any]", member: "Member", argument: str, now: float) -> None:
    asked = _HISTORY.fullmatch(argument)
    if not asked or (asked[2] and not member.log.dialect.programs):
        raise RefusedError("usage", f"say /history, or /history N: the last N lines, {MOST_SHOWN} at most")
    most = min(int(asked[1] or _SHOWN), MOST_SHOWN)
    query = Query("", most, MOST_BYTES)
    if asked[2]:
        _show_before(room, member, query._replace(before=int(asked[2])))
    else:
        _show(room, member, pick(_remembered(room, member), query))


def _search(room: "Room[Any]", member: "Member", argument: str, now: float) -> None:
    if not argument:
        raise RefusedError("usage", "say /search TEXT")
    query, ledger = Query(argument.casefold(), _SHOWN, MOST_BYTES), room.ledger
    found = pick(_remembered(room, member), query)
    first = ledger.reach(ledger.people[member.uid], member.log)
    before = ledger.ring.first(ledger.logs.kept + 1)
    if first < before:
        ignored = frozenset(ledger.ignores(member.uid))
        _look_up(room, member, left(query, found)._replace(first=first, before=before, ignored=ignored), found)
    else:
        _show(room, member, found)


def _remembered(room: "Room[Any]", member: "Member") -> Iterator[Line]:
    """What anybody may read, the newest first, but what is said by those whom the member ignores."""
    ignored = room.ledger.ignored.of(member.uid)
    return room.ledger.ring.newest(lambda fact: fact.uid in ignored or fact.host in ignored)


def _show_before(room: "Room[Any]", member: "Member", query: Query) -> None:
    """Show a program what was said just before an event, as far as it may see that: since it came in first, too."""
    ledger, log = room.ledger, member.log
    ignored = frozenset(ledger.ignores(member.uid))
    first = ledger.reach(ledger.people[member.uid], log)
    lowest, before = max(first, log.first), min(query.before, ledger.logs.kept + 1)
    end = log.position(max(before, lowest))
    begin = log.position(max(lowest, log.number(end - _LOGGED)))
    found = pick(readable(log.dialect.unwrap(log.read(begin, end)), ignored), query)
    older = min(before, log.number(begin))
    if first < older and len(found.lines) < query.most and end - begin < _LOGGED // 2:
        within = _LOGGED - (end - begin)
        query = left(query, found)._replace(first=first, before=older, ignored=ignored, within=within)
        _look_up(room, member, query, found)
    else:
        _show(room, member, found)


def _look_up(room: "Room[Any]", member: "Member", query: Query, found: Found) -> None:
    """Show a member what is found in what is stored, too, as soon as that is known."""
    number, member.number = member.number, 0

    def show(older: Found) -> None:
        member.number = number
        _show(room, member, found.behind(older))

    try:
        room.look_up(member, query, show)
    except RefusedError:
        member.number = number
        raise


def _show(room: "Room[Any]", member: "Member", found: Found) -> None:
    """Show what was found."""
    told = member.log.dialect.history(found.lines, found.total, number=member.number)
    room.tell(member, told, looked_at=found.looked_at)


def _quit(room: "Room[Any]", member: "Member", argument: str, now: float) -> None:
    room.quit(member, now)


MEMBERS: dict[str, Command[Callable[["Room[Any]", "Member", str, float], None]]] = {
    "/help": Command("this list", _help),
    "/who": Command("who is online", _who),
    "/nick": Command("be called NAME", _nick, "NAME"),
    "/me": Command("tell what you do: * you wave", _me, "TEXT"),
    "/msg": Command("tell one member alone", _msg, "NAME TEXT"),
    "/ignore": Command("see nothing that NAME says, or all from an address", _ignore, "[NAME]"),
    "/unignore": Command("see it again", _unignore, "NAME"),
    "/history": Command("what was said before: the last N lines", _history, "[N]"),
    "/search": Command("the last lines that have TEXT", _search, "TEXT"),
    "/quit": Command("leave the room", _quit, always=True),
}
"""What members may ask."""
