"""What a person types, or a pipe holds → clean lines to say."""

import os
import select
import unicodedata
from collections.abc import Iterator

from chatctl.errors import InputError
from chatctl.peer.stay import MAX_LINE
from chatctl.wire import LineDecoder, Rejected, clean, escaped

_CHUNK = 65536  # bytes read at a time


def lines_of(descriptor: int) -> Iterator[list[bytes]]:
    """The clean lines of an input as they come, a list for each read.

    `os.read` and no buffered reader: a process that ends while a thread is inside one of those crashes.

    Raises:
        InputError: it cannot be read, or a line is longer than `MAX_LINE`.
    """
    decoder = LineDecoder(MAX_LINE)
    data = b"\n"
    while data:
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:  # somebody else who has it open has set it non-blocking
            select.select([descriptor], [], [])
            continue
        except OSError as error:
            raise InputError(f"cannot read the input: {error.strerror}") from error
        yield clean_lines(decoder.feed(data) if data else decoder.finish())


def lines_in(text: str) -> list[bytes]:
    """The clean lines to send for a text that was typed, composed (NFC), so that all members get the same bytes for it.

    A single line may be a command. Several have been pasted, and are text: each is said, whatever it begins with, and a
    blank one as one blank, as empty lines are none on the wire.

    Raises:
        InputError: a line is longer than `MAX_LINE`.
    """
    typed = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")  # terminals are read that way
    lines = [clean(line).encode() for line in unicodedata.normalize("NFC", typed).strip("\n").split("\n")]
    if len(lines) > 1:
        lines = [escaped(line) or b" " for line in lines]
    return clean_lines([line if len(line) <= MAX_LINE else Rejected.TOO_LONG for line in lines if line])


def clean_lines(items: list[bytes | Rejected]) -> list[bytes]:
    """The lines of an input, none of them rejected.

    Raises:
        InputError: a line is longer than `MAX_LINE`.
    """
    lines = [item for item in items if isinstance(item, bytes)]
    if len(lines) < len(items):
        raise InputError(f"a line of the input has more than {MAX_LINE} bytes: split it")
    return lines
