"""The line at the bottom of the screen, and what is printed above it.

prompt_toolkit edits; one prompt lives as long as the client. What is printed above it is one write: the prompt erased,
the text, the prompt drawn again. The terminal stays in raw mode meanwhile, because keys that come in a moment of cooked
mode would be echoed into the text by the kernel, and Ctrl-C and Ctrl-D lost; so `print_formatted_text` and
`patch_stdout`, which switch to it for every line, are not used.
"""

import functools
import os
import re
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Protocol, cast

from prompt_toolkit import PromptSession
from prompt_toolkit.application import run_in_terminal
from prompt_toolkit.application.current import get_app, set_app
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.clipboard import InMemoryClipboard
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition, is_searching
from prompt_toolkit.history import DummyHistory, History
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent, merge_key_bindings
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout.dimension import AnyDimension, Dimension, to_dimension
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.search import stop_search

from chatctl.screen import graphemes
from chatctl.screen.device import Input, Output

PASTE = 5
"""Lines of a paste that are put into the line that is edited; a longer one is held back until Enter."""

_REMEMBERED = 4096  # characters of an entry in the history

KEYS = [
    "Enter       say the line; on an empty one, while offline: connect now",
    "Tab         complete a command or the name of a member",
    "Up, Down    earlier lines, those that begin like what is typed; Ctrl-R searches them",
    "Ctrl-C      clear the line; on an empty one, twice: leave at once",
    "Ctrl-D      on an empty line: leave",
    "Ctrl-L      draw the screen anew",
    "Ctrl-Z      suspend; fg comes back",
]
"""What the keys do, for a help."""


class Talk(Protocol):
    """What an editor asks of the client around it."""

    def prompt(self) -> str:
        """What stands before the line that is edited."""

    def secret(self) -> bool:
        """Whether what is typed is a password."""

    def submit(self, text: str) -> bool:
        """Say what was typed, or pasted; False: it must be kept."""

    def interrupt(self) -> bool:
        """Whether Ctrl-C on an empty line ends the editor."""

    def completions(self, words: list[str]) -> list[str]:
        """What the last of the words before the cursor, which may be empty, can become."""


class Editor:
    """A prompt that lives until `end`.

    Args:
        talk: the client.
        history: where lines are remembered.
        color: what the editor itself draws, such as completions, may be in colours.
        suspend: what Ctrl-Z does; None: it stops this process in its main thread.
    """

    def __init__(
        self, talk: Talk, history: History, *, color: bool, suspend: Callable[[], object] | None = None
    ) -> None:
        self._talk = talk
        self._suspend = suspend or (lambda: run_in_terminal(_suspend))
        self._held = ""  # a paste that waits for Enter
        self._aside: tuple[Document, str] | None = None  # what was typed and held when a password was asked for
        self._output = cast(Output, Output.from_pty(sys.stdout, term=os.environ.get("TERM")))
        self._output.enable_cpr = False  # a terminal that does not answer would delay everything
        self._session: PromptSession[None] = PromptSession(
            self._prompt,
            input=Input(sys.stdin),
            output=self._output,
            color_depth=None if color else ColorDepth.DEPTH_1_BIT,
            history=history,
            completer=_Completer(talk),
            complete_while_typing=False,
            reserve_space_for_menu=6,
            enable_history_search=True,
            search_ignore_case=True,
            erase_when_done=True,
            input_processors=[graphemes.StandIns()],
            is_password=Condition(talk.secret),
            key_bindings=merge_key_bindings([graphemes.bindings(), self._bindings()]),
        )
        window = self._session.layout.current_window
        window.height = functools.partial(self._height, window.height)
        if threading.current_thread() is threading.main_thread():
            self._session.app.terminal_size_polling_interval = None  # the kernel tells, by SIGWINCH
        buffer = self._session.default_buffer
        buffer.accept_handler = self._enter  # else a line would end the prompt
        buffer.append_to_history = lambda: None  # type: ignore[method-assign]  # `_enter` knows what to remember

    async def run(self) -> None:
        """Edit until `end`; when this is called again, what was typed is still there.

        Raises:
            KeyboardInterrupt: Ctrl-C on an empty line, when `Talk.interrupt` has it so.
            EOFError: Ctrl-D on an empty line.
        """
        self._keep_apart()
        typed = self._session.default_buffer.document
        await self._session.prompt_async(default=typed, set_exception_handler=False)

    def end(self) -> None:
        """Have `run` return."""
        app = self._session.app
        if app.is_running and not app.is_done:
            app.exit()

    def refresh(self) -> None:
        """Draw the prompt anew, as what it says has changed."""
        self._keep_apart()
        self._session.app.invalidate()

    @property
    def text(self) -> str:
        """What was typed, or pasted, and not taken yet; never a password."""
        self._keep_apart()
        typed, held = self._aside or (self._session.default_buffer.document, self._held)
        return "\n".join(text for text in (held, typed.text) if text)

    def put_back(self, text: str) -> bool:
        """Have something be edited that could not be said; False: there is something else by now."""
        buffer = self._session.default_buffer
        if self._aside is not None or self._held or buffer.text:
            return False
        buffer.document = Document(text)
        return True

    def above(self, text: str) -> None:
        """Print finished lines above the prompt.

        Args:
            text: as it is, escape sequences included; ends with a newline.

        Raises:
            OSError: the terminal is gone.
        """
        app = self._session.app
        self._keep_apart()
        if not app.is_running or app._running_in_terminal:
            self._output.write_raw(text)
            self._output.flush()
            return
        with self._output.held():
            self._output.write_raw("\r")
            app.renderer.erase(leave_alternate_screen=False)
            self._output.write_raw(text.replace("\n", "\r\n"))
            app._redraw()

    def _height(self, wanted: AnyDimension) -> Dimension:
        """Half of the screen at most, so that what is said of a long line can be seen above it."""
        least = to_dimension(wanted).min
        return Dimension(min=least, max=max(least, self._output.get_size().rows // 2, 1))

    def _prompt(self) -> str:
        if self._held:
            return f"[paste: {self._held.count(chr(10)) + 1} lines, Enter sends, Ctrl-C drops] > "
        return self._talk.prompt()

    def _keep_apart(self) -> None:
        """See that what was typed as chat is not sent as a password, nor what was typed of a password shown."""
        buffer, app = self._session.default_buffer, self._session.app
        if self._talk.secret() == (self._aside is not None):
            return
        if app.layout.is_searching:
            with set_app(app):
                stop_search()
        self._session.search_buffer.reset()
        app.clipboard = InMemoryClipboard()  # what was cut in one is not to be pasted in the other
        if self._aside is None:
            self._aside = (buffer.document, self._held)
            self._held = ""
            buffer.history = DummyHistory()
            buffer.reset()
        else:
            document, self._held = self._aside
            self._aside = None
            buffer.history = self._session.history
            buffer.reset(document)

    def _enter(self, buffer: Buffer) -> bool:
        """Say what is held, or else what was typed; always True: this has cleared the line, if it is to be cleared."""
        self._keep_apart()
        text = buffer.text
        if self._aside is not None:
            buffer.reset()
            self._talk.submit(text)
        elif self._held:
            if self._talk.submit(self._held):
                self._held = ""
        elif self._talk.submit(text):
            buffer.reset()
            if (
                text
                and text.count("\n") < PASTE
                and len(text) <= _REMEMBERED
                and buffer.history.get_strings()[-1:] != [text]
            ):
                buffer.history.append_string(text)
        self._keep_apart()
        return True

    def _paste(self, text: str) -> None:
        text = text.replace("\r\n", "\n").replace("\r", "\n").strip("\n")
        if self._aside is not None:
            self._session.default_buffer.insert_text(text.partition("\n")[0])
        elif self._held or text.count("\n") >= PASTE:
            self._held = f"{self._held}\n{text}" if self._held else text
        else:
            self._session.default_buffer.insert_text(text)

    def _interrupt(self) -> None:
        if self._held:
            self._held = ""
        elif self._session.default_buffer.text:
            self._session.default_buffer.reset()
        elif self._talk.interrupt():
            get_app().exit(exception=KeyboardInterrupt)

    def _bindings(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add(Keys.BracketedPaste)
        def _(event: KeyPressEvent) -> None:
            self._paste(event.data)

        @keys.add("c-c", filter=~is_searching)
        def _(event: KeyPressEvent) -> None:
            self._interrupt()

        @keys.add("c-z")
        def _(event: KeyPressEvent) -> None:
            self._suspend()

        @keys.add("tab", filter=Condition(_more_comes))  # in a paste that the terminal does not mark as one
        def _(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text("\t")

        secret = Condition(self._talk.secret)
        for key in ("c-r", "c-s", "tab"):  # a password is not to be looked for
            keys.add(key, filter=secret)(lambda event: None)

        return keys


class _Completer(Completer):
    """Completes the word before the cursor."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """What may stand in the place of that word."""
        words = re.split(r"\s", document.text_before_cursor)
        for completion in self._talk.completions(words):
            yield Completion(completion, start_position=-len(words[-1]))


def _more_comes() -> bool:
    """Whether there is more behind the key that is acted on: in the same read, or in the terminal."""
    app = get_app()
    return bool(app.key_processor.input_queue or select.select([app.input.fileno()], [], [], 0)[0])


def _suspend() -> None:
    """Stop, as Ctrl-Z does; a signal that ends the client meanwhile does so at once, as the terminal is the shell's."""
    handlers = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGHUP)}
    os.kill(0, signal.SIGTSTP)
    for number, handler in handlers.items():
        signal.signal(number, handler)
