"""Every byte of the protocol: UTF-8 text, one line a message, no handshake.

What the server writes, and to whom:

    > Connected to the chat server (3 users online)       the newcomer, first of all
    > New user 127.0.0.1:32838 entered (3 users online)   everyone else, and the console
    [127.0.0.1:32838] text                                everyone but the sender, and the console
    [You] text                                            the sender
    < The user 127.0.0.1:32838 left (2 users online)      everyone who stays, and the console
    = The user 127.0.0.1:32838 is now alice               everyone else, and the console
    * alice text                                          everyone, and the console
    (alice to You) text                                   who gets a private line
    (You to bob) text                                     who says one
    ! text                                                one member (an answer) or all (an announcement)
    | 2026-11-24 12:03 [alice] text                       who asks for what was said before

Programs may have the same as JSON, an object a line, which begins with ``{`` (`jsonl`).

What a client writes is chat, unless it begins with ``/`` and a letter (`said`). It can never pass for a notice or for
somebody else's words: everything a member can cause begins with one of these heads, and `clean` leaves nothing in it
that a terminal obeys.

The package: `lines` (bytes from a peer → clean lines, with `telnet`), `events` (what can happen in a room), `dialects`
(the ways to tell of it), `text` (the plain one: a fact → lines, a line → an event), `jsonl` (that of programs), `words`
(what the server says to who cannot come in, or has to go), `address`. Nothing in it does I/O.
"""

from chatctl.wire.address import Address, host_and_port
from chatctl.wire.events import Event, Kind
from chatctl.wire.lines import MAX_LINE, LineDecoder, Rejected, clean, escaped, said
from chatctl.wire.text import answer, parse, skimmed, started
from chatctl.wire.words import online

__all__ = [
    "MAX_LINE",
    "Address",
    "Event",
    "Kind",
    "LineDecoder",
    "Rejected",
    "answer",
    "clean",
    "escaped",
    "host_and_port",
    "online",
    "parse",
    "said",
    "skimmed",
    "started",
]
