"""What can be asked of the server: a line that begins with ``/`` → what is done.

A table has a command for each word; the list that ``/help`` gives comes from it. That of the members is here, that of
the operator stands in `server.operation`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from chatctl import __version__, wire
from chatctl.room.ledger import Person

if TYPE_CHECKING:
    from chatctl.room.room import Room
    from chatctl.room.stages import Member

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


def who(people: Iterable[Person], asker: int = 0) -> list[str]:
    """Who is online, one a line behind their number; ``asker`` is the number of who asks, 0: none of them."""
    names = [f"{person.name} (you)" if person.uid == asker else person.name for person in people]
    return [wire.online(len(names)), *names]


def _help(room: "Room[Any]", member: "Member", argument: str, now: float) -> None:
    room.answer(member, f"chatctl {__version__}", *listed(MEMBERS), "//text says /text")


def _who(room: "Room[Any]", member: "Member", argument: str, now: float) -> None:
    room.answer(member, *who(room.ledger.people.values(), member.uid))


def _quit(room: "Room[Any]", member: "Member", argument: str, now: float) -> None:
    room.quit(member, now)


MEMBERS: dict[str, Command[Callable[["Room[Any]", "Member", str, float], None]]] = {
    "/help": Command("this list", _help),
    "/who": Command("who is online", _who),
    "/quit": Command("leave the room", _quit, always=True),
}
"""What members may ask."""
