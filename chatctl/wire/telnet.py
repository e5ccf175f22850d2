"""Telnet negotiation, which vanishes: a chat over TCP may well be joined with ``telnet``.

IAC begins a command; SB … IAC SE is a subnegotiation; WILL, WONT, DO and DONT name an option (RFC 854).
"""

IAC = 0xFF
_SE, _SB, _WILL, _DONT = 0xF0, 0xFA, 0xFB, 0xFE
_SUBNEGOTIATION = 256  # bytes after which one that does not end is given up


def remove(data: bytes) -> tuple[bytes, bytes]:
    """Return ``data`` without its commands, and the beginning of one that has not ended: put what follows behind it.

    ``IAC IAC`` is the data byte FF (RFC 854), so one FF stays of it. FF before a byte below F0 is no telnet and stays,
    to become U+FFFD like other invalid UTF-8.
    """
    text = []
    at = 0
    while (iac := data.find(IAC, at)) >= 0:
        text.append(data[at:iac])
        end = _end(data, iac)
        if end > len(data):
            return b"".join(text), data[iac:]
        if end == iac + 1 or data[iac + 1] == IAC:
            text.append(b"\xff")
        at = end
    text.append(data[at:])
    return b"".join(text), b""


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
