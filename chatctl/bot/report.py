"""What the bots' room looks like on stdout: as the client shows it, as JSON, or not at all."""

import json
from collections.abc import Callable, Iterable
from datetime import datetime

from chatctl import output
from chatctl.bot.progress import Progress
from chatctl.display import Display
from chatctl.errors import EchoError
from chatctl.wire import Event


class Report:
    """Shows events as they come.

    Args:
        form: ``text``: the room as the first bot sees it; ``json``: an object a line for every event of every bot;
            ``quiet``: nothing.
        progress: what makes room on the screen.
    """

    def __init__(self, form: str, progress: Progress) -> None:
        self._form = form
        self._progress = progress
        self._display = Display()

    def of(self, number: int) -> Callable[[list[Event]], None] | None:
        """What is told the events of a bot; None, if none of them are shown."""
        if self._form == "json":
            return lambda events: self._show(_json(number, events))
        if self._form == "text" and number == 1:
            return lambda events: self._show(self._display.text(events, 0.0))
        return None

    def _show(self, text: str) -> None:
        self._progress.erase()
        try:
            output.show(text)
        except BrokenPipeError:
            raise EchoError("nobody reads the output: not waiting for the echoes") from None


def _numbers(event: Event) -> tuple[int | None, ...]:
    """Those that the server has given to an event, to whom it concerns, and that of the line that it answers."""
    return event.seq or None, event.uid or None, event.id or None


def _json(number: int, events: Iterable[Event]) -> str:
    """One object a line; the keys and their order are documented in docs/bot.md."""
    now = datetime.now().astimezone().isoformat(timespec="milliseconds")
    keys = ("time", "bot", "kind", "from", "text", "users", "to", "seq", "uid", "id")
    rows = (
        (now, number, event.kind, event.name, event.text, event.users, event.to, *_numbers(event)) for event in events
    )
    return "".join(json.dumps(dict(zip(keys, row, strict=True)), ensure_ascii=False) + "\n" for row in rows)
