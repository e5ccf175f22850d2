"""The terminal that an editor has: its keys and modes, and what is written to it."""

import contextlib
from collections.abc import Iterator

from prompt_toolkit.input.vt100 import Vt100Input, raw_mode
from prompt_toolkit.output.vt100 import Vt100_Output

from chatctl import output
from chatctl.screen import in_background


class Input(Vt100Input):
    """The keys of a terminal that a shell lends."""

    def raw_mode(self) -> raw_mode:
        """Set the modes for editing; at the end set those that were there, unless the terminal is another's by then."""
        return _Modes(self.fileno())


class _Modes(raw_mode):
    def __exit__(self, *failure: object) -> None:
        if not in_background(self.fileno):
            super().__exit__(*failure)


class Output(Vt100_Output):
    """A terminal that can be written to in one go."""

    _held = False

    def flush(self) -> None:
        """Write what has gathered, but not while it is held; past Python's buffer, in UTF-8 whatever the locale.

        A process that ends while another thread is inside of that buffer crashes.
        """
        if not self._held and self._buffer:
            text, self._buffer = "".join(self._buffer), []
            output.write(self.fileno(), text.encode("utf-8", "replace"))

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Gather what is written meanwhile."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
            self.flush()
