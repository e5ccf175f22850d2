"""What members may ask of the server: a line that begins with ``/`` → the lines of the answer."""

from collections.abc import Iterable
from typing import Protocol

from chatctl import __version__, wire


class Named(Protocol):
    """Whoever is in the room."""

    @property
    def name(self) -> str:
        """How it is called."""


def answer(members: Iterable[Named], line: str, asker: Named) -> list[str]:
    """Answer one member's command."""
    command = line.split(maxsplit=1)[0]
    if command == "/help":
        return [
            f"chatctl {__version__}",
            "/help  this list",
            "/who   who is online",
            "/quit  leave the room",
            "//text says /text",
        ]
    if command == "/who":
        return who(members, asker)
    if command == "/quit":
        return ["bye"]
    return [f"no such command: {command} (try /help; //text says /text)"]


def who(members: Iterable[Named], asker: Named | None = None) -> list[str]:
    """Who is online, one a line behind their number."""
    names = [f"{member.name} (you)" if member is asker else member.name for member in members]
    return [wire.online(len(names)), *names]
