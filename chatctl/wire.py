"""Every byte of the protocol: UTF-8 text, one line a message, no handshake.

What the server writes, and to whom:

    > Connected to the chat server (3 users online)       the newcomer, first of all
    > New user 127.0.0.1:32838 entered (3 users online)   everyone else, and the console
    [127.0.0.1:32838] text                                everyone but the sender, and the console
    [You] text                                            the sender
    < The user 127.0.0.1:32838 left (2 users online)      everyone who stays, and the console
    ! text                                                one member (an answer) or all (an announcement)

What a client writes is chat, unless it begins with ``/``. It can never pass for a notice or for somebody else's words:
everything a member can cause begins with one of these heads, and `clean` leaves nothing in it that a terminal obeys.

The module has three parts: `LineDecoder` and `clean` (bytes from a peer → clean lines), the formatters (events →
bytes for the log), and `parse` (a line of the server → an event, for clients). It does no I/O.
"""

import enum
import re
from collections.abc import Sequence
from typing import NamedTuple

from chatctl import telnet

MAX_LINE = 4096
"""Bytes a client's line may have, its LF or CRLF not counted, unless the server is told otherwise."""

NEEDS_PASSWORD = "this room needs a password: send it as your first line"
"""How a room with a password greets a newcomer."""

WRONG_PASSWORD = "wrong password"
"""How it answers to another one."""

KICKED = "kicked"
"""How the last word to a member begins that the operator ended."""

DENIED = "your address is not allowed here"
"""How a newcomer is refused, or a member ended, whose address is denied."""

IDLE = "nothing heard of you"
"""How the last word to a member begins that was silent for too long."""

FINAL = (KICKED, DENIED, IDLE)
"""How the last word begins to who should not come back by itself."""

_BOM = b"\xef\xbb\xbf"
_TLS = b"\x16\x03"  # a handshake record, major version 3 (RFC 8446, section 5.1)

_REQUEST_LINE = re.compile(rb" HTTP/\d+(\.\d+)?\Z")  # how the first line of HTTP/1 and of HTTP/2 ends (RFC 9112, 9113)
_REQUEST_START = re.compile(rb"[A-Z]+ (/|http)")

_VISIBLE = {code: 0x2400 + code for code in range(0x20) if code != ord("\t")} | {0x7F: 0x2421}  # C0 and DEL as pictures
_VISIBLE |= dict.fromkeys([*range(0x80, 0xA0)], 0xFFFD)  # C1
_VISIBLE |= dict.fromkeys([0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD)  # breaks, bidi


def clean(text: str) -> str:
    """Make terminal control visible, so that ``text`` can be shown anywhere.

    C0 (but TAB) and DEL become the control pictures U+2400 to U+2421; C1, U+2028, U+2029 and the bidi controls become
    U+FFFD. Joiners and combining marks stay: every language and emoji survives. Cleaning twice changes nothing more.
    """
    return text if text.isprintable() else text.translate(_VISIBLE)


class Rejected(enum.Enum):
    """What a `LineDecoder` yields in place of a line that cannot be one."""

    TOO_LONG = "too long"
    TLS = "a TLS hello"
    HTTP = "an HTTP request"


class LineDecoder:
    """Bytes from a peer, in chunks of any size, → clean lines.

    Telnet negotiation and a byte-order mark at the start vanish, lines end with LF or CRLF, invalid UTF-8 becomes
    U+FFFD, control characters become visible (`clean`), lines that are empty after that are left out. A line that
    is too long is thrown away up to its newline in constant memory. How the bytes are cut into chunks makes no
    difference to what comes out.

    Args:
        max_line: bytes a line may have, without its ending; a longer one yields `Rejected.TOO_LONG`. From 64 on
            an over-long request is known by as many bytes of its beginning.
        guard: refuse a connection that begins like TLS or HTTP: yield `Rejected.TLS` or `Rejected.HTTP` and nothing
            after it. A browser could otherwise be made to speak in the room by any web page.
    """

    __slots__ = ("_ended", "_guard", "_held", "_max_line", "_opening", "_partial", "_skipping")

    def __init__(self, max_line: int = MAX_LINE, *, guard: bool = False) -> None:
        self._max_line = max_line
        self._guard = guard  # True until the first line has passed
        self._held = b""  # a telnet command that has not ended
        self._opening: bytes | None = b""  # the first bytes, while they may be a BOM or TLS; None after that
        self._partial = b""  # a line that has not ended, at most max_line + 1 bytes
        self._skipping = False  # inside a line that was too long
        self._ended = False  # nothing gets through any more

    @property
    def begun(self) -> bool:
        """Whether it is inside a line, or at the very start."""
        return bool(self._partial or self._held or self._skipping or self._opening is not None)

    def feed(self, data: bytes) -> list[bytes | Rejected]:
        """Take the next bytes, return the lines they complete, in order: UTF-8, not empty, without their ending."""
        if self._held or telnet.IAC in data:
            data, self._held = telnet.remove(self._held + data)
        if self._opening is not None:
            data = self._opening + data
            if data in (b"", _BOM[:1], _BOM[:2], _TLS[:1]):
                self._opening = data
                return []
            self._opening = None
            if self._guard and data.startswith(_TLS):
                self._ended = True
                return [Rejected.TLS]
            data = data.removeprefix(_BOM)
        if self._ended:
            return []
        if self._skipping:
            _, newline, data = data.partition(b"\n")
            if not newline:
                return []
            self._skipping = False
        block, newline, rest = data.rpartition(b"\n")
        if not newline:
            return self._extend(rest)
        block, self._partial = self._partial + block, b""
        lines = self._lines(block)
        return lines + self._extend(rest) if rest else lines

    def finish(self) -> list[bytes | Rejected]:
        """End the input: return what came after the last newline as a line."""
        last, self._partial = (self._opening or b"") + self._partial, b""
        return self._lines(last) if last else []

    def _lines(self, block: bytes) -> list[bytes | Rejected]:
        """The clean lines of a block that ends where a line ends."""
        raw_lines = block.split(b"\n")
        if not self._guard and max(map(len, raw_lines)) <= self._max_line:  # none to refuse: look at all of it at once
            try:
                if block.decode().replace("\n", "").isprintable():
                    return [line for line in raw_lines if line]
            except UnicodeDecodeError:
                pass
        lines: list[bytes | Rejected] = []
        for raw in raw_lines:
            raw = raw.removesuffix(b"\r")
            line = self._too_long(raw) if len(raw) > self._max_line else self._clean(raw)
            if line:
                lines.append(line)
            if self._ended:
                break
        return lines

    def _clean(self, raw: bytes) -> bytes | Rejected:
        line = clean(raw.decode("utf-8", "replace")).encode()
        if self._guard and line:
            self._guard = False
            if _REQUEST_LINE.search(line):
                self._ended = True
                return Rejected.HTTP
        return line

    def _too_long(self, start: bytes) -> Rejected:
        self._ended = self._guard and _REQUEST_START.match(start[: self._max_line]) is not None
        self._guard = False
        return Rejected.HTTP if self._ended else Rejected.TOO_LONG

    def _extend(self, data: bytes) -> list[bytes | Rejected]:
        """Keep ``data``, which has no newline, as (more of) a line that has not ended."""
        if self._ended:
            return []
        self._partial += data
        # One byte more may be the CR of its ending.
        if len(self._partial) <= self._max_line + self._partial.endswith(b"\r"):
            return []
        start, self._partial = self._partial, b""
        self._skipping = True
        return [self._too_long(start)]


def name(host: str, port: int) -> str:
    """How a member is called: its address, ``[::1]:5000`` for IPv6; an IPv4 address mapped into IPv6 is IPv4."""
    if ":" not in host:
        return f"{host}:{port}"
    import ipaddress  # clients start without it

    mapped = ipaddress.IPv6Address(host).ipv4_mapped
    return f"{mapped}:{port}" if mapped else f"[{host}]:{port}"


def host(name: str) -> str:
    """The address in a member's name."""
    return name.rpartition(":")[0].strip("[]")


def started(port: int) -> bytes:
    """The first line of the console."""
    return f"Chat Server started on port {port}.\n".encode()


def connected(users: int) -> bytes:
    """The first line of a member."""
    return f"> Connected to the chat server ({online(users)})\n".encode()


def entered(name: str, users: int) -> bytes:
    """What the others see when a member enters."""
    return f"> New user {name} entered ({online(users)})\n".encode()


def left(name: str, users: int) -> bytes:
    """What those who stay see when a member goes."""
    return f"< The user {name} left ({online(users)})\n".encode()


def said(name: str, lines: Sequence[bytes]) -> bytes:
    """Some lines of one member, as the others see them."""
    head = b"[%b] " % name.encode()
    return head + (b"\n" + head).join(lines) + b"\n"


def echo(lines: Sequence[bytes]) -> bytes:
    """The same lines as their sender sees them."""
    return said("You", lines)


def answer(*lines: str) -> bytes:
    """What the server itself says, to one member or to all."""
    return "".join(f"! {line}\n" for line in lines).encode()


def online(users: int) -> str:
    """A number of users in words: ``user`` for 0 and 1, ``users`` from 2 on."""
    return f"{users} {'user' if users < 2 else 'users'} online"


class Kind(enum.StrEnum):
    """What a line of the server tells."""

    CONNECTED = "connected"
    ENTERED = "entered"
    MESSAGE = "message"
    OWN = "own"
    LEFT = "left"
    ANSWER = "answer"
    OTHER = "other"


class Event(NamedTuple):
    """One line of the server: ``name`` entered, spoke or left, ``text`` was said, ``users`` are online now."""

    kind: Kind
    line: str
    name: str | None = None
    text: str = ""
    users: int | None = None


_COUNT = r"\((\d{1,9}) users? online\)"
_CONNECTED = re.compile(rf"> Connected to the chat server {_COUNT}")
_ENTERED = re.compile(rf"> New user (\S+) entered {_COUNT}")
_LEFT = re.compile(rf"< The user (\S+) left {_COUNT}")
_SAID = re.compile(r"\[(\S+?)\] (.*)", re.DOTALL)


def parse(line: str) -> Event:
    """Understand a line of the server, given without its newline.

    A name is any run without spaces, a head ends at the first ``] ``. Pass on what is `Kind.OTHER`: more may come.
    """
    match line[:1]:
        case "[" if said := _SAID.fullmatch(line):
            name, text = said.groups()
            return Event(Kind.OWN, line, text=text) if name == "You" else Event(Kind.MESSAGE, line, name, text)
        case ">" if notice := _ENTERED.fullmatch(line):
            return Event(Kind.ENTERED, line, notice[1], users=int(notice[2]))
        case "<" if notice := _LEFT.fullmatch(line):
            return Event(Kind.LEFT, line, notice[1], users=int(notice[2]))
        case ">" if notice := _CONNECTED.fullmatch(line):
            return Event(Kind.CONNECTED, line, users=int(notice[1]))
        case "!" if line.startswith("! "):
            return Event(Kind.ANSWER, line, text=line[2:])
    return Event(Kind.OTHER, line, text=line)
