"""Where bots have from what they do: a script, or lines to say."""

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from chatctl.bot.script import Script, parse
from chatctl.errors import InputError, ScriptError
from chatctl.peer.stay import MAX_LINE
from chatctl.peer.typed import clean_lines, lines_of
from chatctl.wire import LineDecoder

_EXAMPLES = Path(__file__).with_name("examples")


def script(file: str) -> Script:
    """The script in a file; ``-`` is stdin, and ``example:NAME`` one of those that come with the program.

    Raises:
        InputError: it cannot be read, or no example is called so.
        ScriptError: it is not one.
    """
    name = "stdin" if file == "-" else file
    try:
        with contextlib.ExitStack() as stack:
            path = _example(name) if name.startswith("example:") else file
            data = stack.enter_context(open(0 if file == "-" else path, "rb", closefd=file != "-")).read()
    except OSError as error:
        raise InputError(f"cannot read {name}: {error.strerror}") from error
    try:
        return parse(data.decode("utf-8-sig"), name)
    except UnicodeDecodeError as error:
        before = data[: error.start].decode().split("\n")
        raise ScriptError(f"{name}:{len(before)}:{len(before[-1]) + 1}: this is not UTF-8: save it as that") from error


def _example(name: str) -> Path:
    examples = {f"example:{path.stem}": path for path in sorted(_EXAMPLES.glob("*.chat"))}
    if name not in examples:
        raise InputError(f"no example is called {name!r}: there are {', '.join(examples)}")
    return examples[name]


def lines(file: str, messages: Sequence[str], stack: contextlib.ExitStack) -> Iterable[list[bytes]]:
    """The clean lines of a file (``-``: of stdin, as they come), or of messages instead, if there are any.

    Args:
        file: its path.
        messages: instead of it.
        stack: closes the file.

    Raises:
        InputError: it cannot be read, now or later, or a line is too long.
    """
    if messages:
        decoder = LineDecoder(MAX_LINE)
        return [clean_lines(decoder.feed(os.fsencode(message) + b"\n")) for message in messages]
    if file == "-":
        return lines_of(0)
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from error
    stack.callback(os.close, descriptor)
    return lines_of(descriptor)
