"""The ways in which a room can be told of: a dialect is a word in `DIALECTS` and a module with four functions."""

from typing import Protocol

from chatctl.wire import text
from chatctl.wire.events import Fact


class Dialect(Protocol):
    """What turns facts into bytes: whole lines, one for each event."""

    def others(self, fact: Fact) -> bytes:
        """What everybody sees of a fact whom it does not concern."""

    def own(self, fact: Fact) -> bytes | None:
        """What the person sees in place of that whom it concerns; None: the same."""

    def private(self, name: str | None, to: str | None, line: bytes) -> bytes:
        """What one of two people sees of a line for them alone: who says it, and whom it is for; None: who sees it."""

    def answer(self, *lines: str) -> bytes:
        """What the server says to one member alone, in its own name."""


DIALECTS: dict[str, Dialect] = {"text": text}
