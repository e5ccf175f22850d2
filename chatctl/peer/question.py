"""The quiet question who is online, by which a member learns what the room calls it; nobody is shown the answer.

Its own socket cannot tell: behind NAT the room knows a member by another address.
"""

import re

from chatctl.wire import Event, Kind

SMALL = 200
"""Members of a room in which it costs little to ask for all their names."""

_ONLINE = re.compile(r"(\d{1,9}) users? online")  # how the answer begins; so many lines follow
_NAME = re.compile(r"(\S+)(?: (?!\()\S+)?(?: \(no link for \d+ s\))?( \(you\))?")  # and an address behind a name


class Question:
    """One question. What is no answer to it is kept from nobody: a number, so many names, one of them the asker's own.

    Args:
        wanted: ask at all.

    ``due``: it should be asked now. ``pending``: it was asked, and is not answered. ``me``: what the room calls this
    member, once that is known. ``answer``: the events that said so.
    """

    def __init__(self, *, wanted: bool) -> None:
        self.due = False
        self.pending = False
        self.me: str | None = None
        self.answer: list[Event] = []
        self._wanted = wanted
        self._missing = 0  # names that the answer still lacks

    @property
    def open(self) -> bool:
        """Whether an answer may still come."""
        return self.due or self.pending

    def welcome(self, users: int) -> None:
        """The member is inside, one of so many."""
        self.due = self._wanted and users <= SMALL

    def ask(self) -> bytes:
        """The text to be sent."""
        self.due, self.pending, self._wanted = False, True, False
        return b"/who\n"

    def hear(self, events: list[Event]) -> list[Event]:
        """The events that are to be shown: all but those of the answer."""
        return [shown for event in events for shown in self._hear(event)] if self.pending else events

    def listed(self, event: Event) -> bool:
        """Whether an event is of the answer as programs have it, which has no number, as the question had none."""
        if event.kind is Kind.WHO and not event.id:
            self.answer, self._missing = [event], event.users or 0
        elif event.kind is Kind.LISTED and self._missing:
            self.answer.append(event)
            self._missing -= 1
        else:
            return False
        self.pending = self._missing > 0
        return True

    def give_up(self) -> list[Event]:
        """The server does not answer: stop waiting, return what was held back."""
        self.pending = False
        held, self.answer = self.answer, []
        return held

    def take(self) -> list[Event]:
        """The events of the answer, when it is there: once."""
        if self.pending:
            return []
        answer, self.answer = self.answer, []
        return answer

    def _hear(self, event: Event) -> list[Event]:
        if not self.pending or (event.kind is not Kind.ANSWER and not self.answer):
            return [event]
        found = (_NAME if self.answer else _ONLINE).fullmatch(event.text)
        if event.kind is not Kind.ANSWER or not found:
            return [*self.give_up(), event]
        if not self.answer:
            self._missing = int(found[1]) + 1
        elif found[2]:
            self.me = found[1]
        self.answer.append(event)
        self._missing -= 1
        if self._missing and self._missing <= 2 * SMALL:
            return []
        self.pending = False
        return [] if self.me else self.give_up()
