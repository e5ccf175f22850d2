"""What the lines of the wire tell about who is in the room, for completion and for the prompt."""

import re

from chatctl.wire import Event, Kind

_MOST = 10_000  # names kept
_NUMBER = re.compile(r"\d+ users? online")  # how an answer to /who begins; the names follow, one a line
_NAME = re.compile(r"(\S+:\d+)( \(you\))?")


class Members:
    """Names met in a room, and how many are online.

    ``users``: as the last notice said; None: none was seen yet. ``me``: what the room calls this member, once it said.
    """

    def __init__(self) -> None:
        self.users: int | None = None
        self.me: str | None = None
        self._names: dict[str, None] = {}  # who spoke or came last is last
        self._listing = False

    def learn(self, event: Event) -> None:
        """Take in one line of the room."""
        if event.users is not None:
            self.users = event.users
        if event.kind is Kind.CONNECTED:
            self._names.clear()
            self.me = None
        elif event.kind is Kind.LEFT and event.name:
            self._names.pop(event.name, None)
        elif event.name:
            self._meet(event.name)
        listed = self._listing and event.kind is Kind.ANSWER and _NAME.fullmatch(event.text)
        if listed:
            self._meet(listed[1])
            if listed[2]:
                self.me = listed[1]
        elif event.kind is Kind.ANSWER:
            self._listing = bool(_NUMBER.fullmatch(event.text))

    @property
    def others(self) -> set[str]:
        """The names, but that of this member."""
        return self._names.keys() - {self.me}

    def beginning_with(self, prefix: str) -> list[str]:
        """The names that begin so, who spoke or came last first."""
        return [name for name in reversed(self._names) if name.startswith(prefix)]

    def _meet(self, name: str) -> None:
        self._names.pop(name, None)
        self._names[name] = None
        if len(self._names) > _MOST:
            del self._names[next(iter(self._names))]
