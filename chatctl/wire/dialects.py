"""The ways in which a room can be told of: a dialect is a word in `DIALECTS` and a module with these functions."""

from collections.abc import Collection, Sequence
from typing import Protocol

from chatctl.wire import frames, jsonl, text
from chatctl.wire.events import Fact, Listed, Visit
from chatctl.wire.words import Farewell


class Dialect(Protocol):
    """What turns facts into bytes: whole lines, one for each event.

    What is said to one member alone may answer a line that it has numbered: that number is the ``number`` then, else 0.

    ``programs``: its readers are programs. They count the events, and so see each of them, and may number their own
    lines.
    """

    @property
    def programs(self) -> bool: ...

    def others(self, fact: Fact) -> bytes:
        """What everybody sees of a fact whom it does not concern."""

    def own(self, fact: Fact) -> bytes | None:
        """What the person sees in place of that whom it concerns; None: the same."""

    def private(self, name: str | None, to: str | None, line: bytes, *, uid: int, at: float, number: int = 0) -> bytes:
        """What one of two people sees of a line for them alone.

        Args:
            name: who says it; None: who sees this.
            to: whom it is for; None: who sees this.
            line: what is said.
            uid: the number of who says it.
            at: when, in seconds since the epoch.
            number: see above.
        """

    def answer(self, *lines: str, number: int = 0) -> bytes:
        """What the server says to one member alone, in its own name."""

    def error(self, code: str, line: str, *, number: int = 0) -> bytes:
        """Why it does not do what that member wants; ``code`` tells programs."""

    def farewell(self, word: Farewell, *, number: int = 0) -> bytes:
        """Its last word to a member that has to go, or wants to."""

    def ack(self, number: int) -> bytes:
        """That the line of a number is done, where nothing else tells it."""

    def welcome(self, visit: Visit) -> bytes:
        """What somebody who comes in is told before anything else."""

    def ignored(self, uids: Collection[int]) -> bytes:
        """Whom a program is to hide, as it is sent all events; it is told whenever that changes."""

    def who(self, people: Sequence[Listed], asker: int, *, number: int = 0) -> bytes:
        """Who is online; ``asker``: the number of who wants to know."""

    def history(self, found: Sequence[bytes], total: int, *, number: int = 0) -> bytes:
        """What was said before.

        Args:
            found: lines of `jsonl`, without their ends, the oldest first.
            total: of how many, that may be read.
            number: see above.
        """

    def wrap(self, lines: bytes) -> bytes:
        """Lines of `jsonl` as a program is told them."""

    def unwrap(self, data: bytes) -> list[bytes]:
        """The lines of `jsonl`, without their ends, in some of what programs were told."""


DIALECTS: dict[str, Dialect] = {"text": text, "json": jsonl, "web": frames}
