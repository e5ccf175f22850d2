"""Bytes from a peer → clean lines: what a member may send, made harmless before anybody sees it."""

import enum
import re

from chatctl.wire.telnet import IAC, Telnet

MAX_LINE = 4096
"""Bytes a client's line may have, its LF or CRLF not counted, unless the server is told otherwise."""

BEGINNING = 32
"""Bytes kept of a line that is too long: its number stands there, if it has one."""

_BOM = b"\xef\xbb\xbf"
_TLS = b"\x16\x03"  # a handshake record, major version 3 (RFC 8446, section 5.1)

_REQUEST_LINE = re.compile(rb" HTTP/\d+(\.\d+)?\Z")  # how the first line of HTTP/1 and of HTTP/2 ends (RFC 9112, 9113)
_REQUEST_START = re.compile(rb"[A-Z]+ (/|http)")

_VISIBLE = {code: 0x2400 + code for code in range(0x20) if code != ord("\t")} | {0x7F: 0x2421}  # C0 and DEL as pictures
_VISIBLE |= dict.fromkeys([*range(0x80, 0xA0)], 0xFFFD)  # C1
_VISIBLE |= dict.fromkeys([0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD)  # breaks, bidi


_COMMAND = re.compile(r"/[^\W\d_][^\s/]*(\s|\Z)")  # a word of one slash, and a letter behind it


def said(line: bytes) -> bytes | None:
    """What a line that a member sends says in the room; None: it is a command, which the server obeys.

    Chat is whatever does not begin with ``/``, and of what does: ``//x``, which says ``/x``; a line whose second
    character is no letter (``/* x */``); one whose first word has another slash (``/etc/passwd``). So code can be
    pasted from anywhere.
    """
    if not line.startswith(b"/"):
        return line
    if line.startswith(b"//"):
        return line[1:]
    return None if _COMMAND.match(line.decode()) else line


def escaped(line: bytes) -> bytes:
    """The line to send so that just this is said, whatever it begins with; see `said`."""
    return b"/" + line if line.startswith(b"/") else line


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

    Telnet and a byte-order mark at the start vanish, lines end with LF or CRLF, invalid UTF-8 becomes
    U+FFFD, control characters become visible (`clean`), lines that are empty after that are left out. A line that
    is too long is thrown away up to its newline in constant memory. How the bytes are cut into chunks makes no
    difference to what comes out.

    Args:
        max_line: bytes a line may have, without its ending; a longer one yields `Rejected.TOO_LONG`. From 64 on
            an over-long request is known by as many bytes of its beginning.
        guard: refuse a connection that begins like TLS or HTTP: yield `Rejected.TLS` or `Rejected.HTTP` and nothing
            after it. A browser could otherwise be made to speak in the room by any web page.

    ``max_line`` may be changed. ``telnet``: the peer's, once it may have spoken that.
    ``thrown``: how each line began, in its first `BEGINNING` bytes, that was too long among the last that came.
    """

    __slots__ = ("_ended", "_guard", "_opening", "_partial", "_skipping", "max_line", "telnet", "thrown")

    def __init__(self, max_line: int = MAX_LINE, *, guard: bool = False) -> None:
        self.max_line = max_line
        self.telnet: Telnet | None = None
        self.thrown: tuple[bytes, ...] = ()
        self._guard = guard  # True until the first line has passed
        self._opening: bytes | None = b""  # the first bytes, while they may be a BOM or TLS; None after that
        self._partial = b""  # a line that has not ended, at most max_line + 1 bytes
        self._skipping = False  # inside a line that was too long
        self._ended = False  # nothing gets through any more

    @property
    def closed(self) -> bool:
        """Whether the peer has said that nothing more comes, though its connection has not ended."""
        return False

    def replies(self) -> bytes:
        """Take what is to be sent to the peer by what is below the lines: telnet."""
        if self.telnet is None:
            return b""
        replies, self.telnet.replies = self.telnet.replies, b""
        return replies

    @property
    def partial(self) -> bytes:
        """What there is of a line that has not ended."""
        return self._partial

    @property
    def begun(self) -> bool:
        """Whether it is inside a line, or at the very start."""
        in_command = self.telnet is not None and self.telnet.begun
        return bool(self._partial or in_command or self._skipping or self._opening is not None)

    def feed(self, data: bytes) -> list[bytes | Rejected]:
        """Take the next bytes, return the lines they complete, in order: UTF-8, not empty, without their ending."""
        self.thrown = ()
        if self.telnet or IAC in data:
            self.telnet = self.telnet or Telnet()
            data = self.telnet.feed(data)
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
        if not self._guard and max(map(len, raw_lines)) <= self.max_line:  # none to refuse: look at all of it at once
            try:
                if block.decode().replace("\n", "").isprintable():
                    return [line for line in raw_lines if line]
            except UnicodeDecodeError:
                pass
        lines: list[bytes | Rejected] = []
        for raw in raw_lines:
            raw = raw.removesuffix(b"\r")
            line = self._too_long(raw) if len(raw) > self.max_line else self._clean(raw)
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
        self._ended = self._guard and _REQUEST_START.match(start[: self.max_line]) is not None
        self._guard = False
        if self._ended:
            return Rejected.HTTP
        self.thrown += (start[:BEGINNING],)
        return Rejected.TOO_LONG

    def _extend(self, data: bytes) -> list[bytes | Rejected]:
        """Keep ``data``, which has no newline, as (more of) a line that has not ended."""
        if self._ended:
            return []
        self._partial += data
        # One byte more may be the CR of its ending.
        if len(self._partial) <= self.max_line + self._partial.endswith(b"\r"):
            return []
        start, self._partial = self._partial, b""
        self._skipping = True
        return [self._too_long(start)]
