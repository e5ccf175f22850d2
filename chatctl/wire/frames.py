"""The dialect of pages: the lines of `jsonl`, each in a frame of WebSocket (RFC 6455, section 5.2).

What a server sends has no mask and no state, so that a frame is the same for all pages: it is made once, when something
happens. A line keeps its end in its frame, and no frame has another newline, so that events can be counted by these:
where the length would be written with one, blanks stand before the end.
"""

from collections.abc import Callable
from typing import ParamSpec

from chatctl.wire import jsonl
from chatctl.wire.events import Fact
from chatctl.wire.words import Farewell

programs = True
"""See `Dialect.programs`."""

_TEXT = 0x81  # the whole of a message, in UTF-8
_CLOSE = b"\x88\x02\x03\xe8"  # 1000: the purpose for which the connection was established has been fulfilled
_SHORT, _LONG = 126, 127  # lengths that say that two bytes, or eight, of length follow

P = ParamSpec("P")


def wrap(lines: bytes) -> bytes:
    """Some lines, each in a frame."""
    return b"".join([_frame(line) for line in lines.split(b"\n")[:-1]])


def unwrap(data: bytes) -> list[bytes]:
    """The lines in some frames, without their ends."""
    lines = []
    at = 0
    while at < len(data):
        size, head = data[at + 1], 2
        if size in (_SHORT, _LONG):
            head = 4 if size == _SHORT else 10
            size = int.from_bytes(data[at + 2 : at + head], "big")
        lines.append(data[at + head : at + head + size].rstrip(b" \n"))
        at += head + size
    return lines


def _frame(line: bytes) -> bytes:
    while b"\n" in (head := _head(len(line) + 1)):
        line += b" "
    return b"%b%b\n" % (head, line)


def _head(size: int) -> bytes:
    if size < _SHORT:
        return bytes((_TEXT, size))
    if size < 0x10000:
        return bytes((_TEXT, _SHORT, size >> 8, size & 0xFF))
    return bytes((_TEXT, _LONG)) + size.to_bytes(8, "big")


def _framed(tell: Callable[P, bytes]) -> Callable[P, bytes]:
    def framed(*arguments: P.args, **options: P.kwargs) -> bytes:
        return wrap(tell(*arguments, **options))

    framed.__doc__ = tell.__doc__
    return framed


others = _framed(jsonl.others)
private = _framed(jsonl.private)
answer = _framed(jsonl.answer)
error = _framed(jsonl.error)
ack = _framed(jsonl.ack)
welcome = _framed(jsonl.welcome)
ignored = _framed(jsonl.ignored)
who = _framed(jsonl.who)
history = _framed(jsonl.history)


def own(fact: Fact) -> bytes | None:
    """See `jsonl.own`."""
    return None


def farewell(word: Farewell, *, number: int = 0) -> bytes:
    """The last word, and the frame by which the connection is closed (section 5.5.1)."""
    return wrap(jsonl.farewell(word, number=number)) + _CLOSE
