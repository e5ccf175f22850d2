"""Events of the wire on a screen, for the client and the bot."""

from chatctl import output
from chatctl.errors import OutputError
from chatctl.wire import Event


def text(events: list[Event]) -> str:
    """The lines of some events, as they stand on the wire."""
    return "".join(f"{event.line}\n" for event in events)


def show(events: list[Event]) -> None:
    """Write events to stdout at once, in UTF-8 whatever the locale.

    Raises:
        BrokenPipeError: nobody reads stdout any more.
        OutputError: stdout cannot be written.
    """
    try:
        output.write(1, text(events).encode())
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write to stdout: {error.strerror}") from error
