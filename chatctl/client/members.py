"""What the lines of the wire tell about who is in the room, for completion and for the prompt."""

import re

from chatctl.wire import Event, Kind, words

_MOST = 10_000  # names kept
_NUMBER = re.compile(r"(\d{1,9}) users? online")  # how an answer to /who begins; so many lines follow
_NAME = re.compile(r"(\S+)(?: (?!\()\S+)?(?: \(no link for \d+ s\))?( \(you\))?")  # and an address behind a name


class Members:
    """Names met in a room, and how many are online.

    ``users``: as the last notice said; None: none was seen yet. ``me``: what the room calls this member, once it said.
    ``whisperer``: who said something to this member alone last.
    """

    def __init__(self) -> None:
        self.users: int | None = None
        self.me: str | None = None
        self.whisperer: str | None = None
        self._names: dict[str, None] = {}  # who spoke or came last is last
        self._listing = 0  # lines of an answer to /who that are to come

    def learn(self, event: Event) -> None:
        """Take in one line of the room."""
        if event.users is not None:
            self.users = event.users
        if event.kind is Kind.CONNECTED:
            self._names.clear()
            self.me = event.data.get("you")
        elif event.kind is Kind.RESTARTED:
            self._names.clear()
        elif event.kind is Kind.RENAMED and event.name:
            self._names.pop(event.name, None)
            self._meet(event.text)
            if self.me == event.name:
                self.me = event.text
            if self.whisperer == event.name:
                self.whisperer = event.text
        elif event.kind is Kind.LEFT and event.name:
            self._names.pop(event.name, None)
        elif event.name and not event.old:
            self._meet(event.name)
        if event.kind is Kind.PRIVATE and event.name:
            self.whisperer = event.name
        if event.kind is Kind.ANSWER and (renamed := words.RENAMED.fullmatch(event.text)):
            self._names.pop(self.me or "", None)
            self.me = renamed[1]
        listed = self._listing and event.kind is Kind.ANSWER and _NAME.fullmatch(event.text)
        if event.kind is Kind.ANSWER:
            number = None if listed else _NUMBER.fullmatch(event.text)
            self._listing = int(number[1]) if number else max(self._listing - 1, 0)
        if listed:
            self._meet(listed[1])
            if listed[2]:
                self.me = listed[1]

    @property
    def others(self) -> set[str]:
        """The names, but that of this member."""
        return self._names.keys() - {self.me}

    def beginning_with(self, prefix: str) -> list[str]:
        """The names that begin so, in capitals or not, who spoke or came last first."""
        prefix = prefix.casefold()
        return [name for name in reversed(self._names) if name.casefold().startswith(prefix)]

    def _meet(self, name: str) -> None:
        self._names.pop(name, None)
        self._names[name] = None
        if len(self._names) > _MOST:
            del self._names[next(iter(self._names))]
