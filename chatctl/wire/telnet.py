"""Telnet, which vanishes: a chat over TCP may well be joined with ``telnet``.

IAC begins a command; SB … IAC SE is a subnegotiation; WILL, WONT, DO and DONT name an option (RFC 854). Two things are
ever said to a peer, and only to one that speaks telnet:

    IAC DO BINARY           once, to its first command: until then Debian's telnet strips the eighth bit of what is
                            typed, and takes a 9D (there is one in 이) for the key that leaves (RFC 856)
    IAC WONT TIMING-MARK    to IAC DO TIMING-MARK, behind which telnet shows nothing until it has an answer (RFC 860);
                            it sends that with each interrupt, which -E has it find in Korean letters
"""

IAC = 0xFF
_SE, _SB, _WILL, _DONT = 0xF0, 0xFA, 0xFB, 0xFE
_SUBNEGOTIATION = 256  # bytes after which one that does not end is given up

_DO_BINARY, _DO_TIMING_MARK, _WONT_TIMING_MARK = b"\xff\xfd\x00", b"\xff\xfd\x06", b"\xff\xfc\x06"


class Telnet:
    """What one peer sends, without its commands.

    ``spoken``: there was a command. ``replies``: what the peer is to be sent; whoever
    sends it empties it.
    """

    __slots__ = ("_held", "replies", "spoken")

    def __init__(self) -> None:
        self.spoken = False
        self.replies = b""
        self._held = b""  # a command that has not ended

    @property
    def begun(self) -> bool:
        """Whether a command has not ended yet."""
        return bool(self._held)

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes, return what is left of them and of those before.

        ``IAC IAC`` is the data byte FF (RFC 854), so one FF stays of it. FF before a byte below F0 is no telnet and
        stays, to become U+FFFD like other invalid UTF-8.
        """
        data, self._held = self._held + data, b""
        text = []
        at = 0
        while (iac := data.find(IAC, at)) >= 0:
            text.append(self._plain(data[at:iac]))
            end = _end(data, iac)
            if end > len(data):
                self._held = data[iac:]
                return b"".join(text)
            if end == iac + 1 or data[iac + 1] == IAC:
                text.append(b"\xff")
            else:
                self._obey(data[iac:end])
            at = end
        text.append(self._plain(data[at:]))
        return b"".join(text)

    def _plain(self, text: bytes) -> bytes:
        """Text, behind a command with LF for Enter: CR alone in binary mode, else CR NUL or CR LF (RFC 854)."""
        return text.replace(b"\r", b"\n").replace(b"\0", b"") if self.spoken else text

    def _obey(self, command: bytes) -> None:
        if not self.spoken:
            self.spoken = True
            self.replies += _DO_BINARY
        if command == _DO_TIMING_MARK and not self.replies.endswith(_WONT_TIMING_MARK):
            self.replies += _WONT_TIMING_MARK


def _end(data: bytes, iac: int) -> int:
    """Where the command that begins at ``iac`` ends; more than ``len(data)`` when it has not ended yet."""
    if iac + 1 == len(data):
        return len(data) + 1
    command = data[iac + 1]
    if command < _SE:
        return iac + 1
    if _WILL <= command <= _DONT:
        return iac + 3
    if command != _SB:
        return iac + 2
    limit = iac + 2 + _SUBNEGOTIATION
    at = iac + 2
    while (at := data.find(IAC, at, limit - 1)) >= 0:
        if data[at + 1 : at + 2] == bytes([_SE]):
            return at + 2
        at += 2  # IAC IAC is data here, and no other command belongs here
    return limit
