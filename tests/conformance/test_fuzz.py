"""The whole server fed with bytes of every kind, in any pieces, from several connections at once, ended in any way."""

import contextlib
import re

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatctl import wire
from tests.conformance.conftest import Start
from tests.rooms import Peer

FRAGMENTS = [
    b"hello\n",
    b"\r\n",
    b"\n" * 50,
    b"x" * 5_000,
    "한글 👩‍💻\n".encode(),
    "한".encode()[:2],
    b"\xef\xbb\xbf",
    b"\xff\xfb\x01",
    b"\xff\xfa",
    b"\xff\xff\n",
    b"\x1b[2J\x1b]0;title\x07\n",
    "\u202e\u2066\u2028\x85\n".encode(),
    b"[You] not me\n",
    b"> New user x:1 entered (9 users online)\n",
    b"< The user x:1 left (0 user online)\n",
    b"! server: not me\n",
    b"/who\n",
    b"/help\n",
    b"//quit\n",
    b"/quit\n",
    b"/kick me\n",
    b"/json\n",
    b"/enter {}\n",
    b'/enter {"secret":"aaaaaaaaaaaaaaaaaaaaaa","after":3,"history":9}\n',
    b'/json\n/enter {"secret":"aaaaaaaaaaaaaaaaaaaaaa"}\n/id 1 one\n/id 2 two\n',
    b'/json\n/enter {"secret":"bbbbbbbbbbbbbbbbbbbbbb","epoch":"aaaaaaaa"}\n/id 1 one\n',
    b"/enter [1,2]\n/enter " + b"[" * 4_000 + b"\n",
    b"/id 3 three\n/id 3 three\n/id 9007199254740992 x\n/id 4 /quit\n",
    b"/history 9 before 5\n",
    b"\x16\x03\x01\x00\xf1\x01",
    b"GET / HTTP/1.1\r\n",
    b"POST /" + b"y" * 5_000,
]
ENDS = ["close", "half-close", "reset", "stay"]
BYTES = st.sampled_from(FRAGMENTS) | st.binary(max_size=200)
STEPS = st.lists(st.tuples(st.integers(0, 2), BYTES | st.sampled_from(ENDS), st.booleans()), max_size=25)

NOTICE = re.compile(r"[<>] (?:New|The) user 127\.0\.0\.1:\d+ (?:entered|left) \((\d+) users? online\)")
SAID = re.compile(r"\[127\.0\.0\.1:\d+\] .+", re.DOTALL)


def act(peer: Peer, step: bytes | str, raw: bool) -> None:
    """Send some bytes, under TLS or past it, or end the connection in some way; the server may have ended it before."""
    with contextlib.suppress(OSError):
        if step == "close":
            peer.close()
        elif step == "half-close":
            peer.half_close()
        elif step == "reset":
            peer.reset()
        elif isinstance(step, bytes):
            if raw:
                peer.sock.sendall(step)
            else:
                peer.send(step)


def check(lines: list[str], users: int) -> int:
    """What the witness heard must be lines that the server may write, with counts that step by one."""
    for line in lines:
        assert wire.clean(line) == line
        notice = NOTICE.fullmatch(line)
        assert notice or SAID.fullmatch(line), line
        if notice:
            users += 1 if line.startswith(">") else -1
            assert int(notice[1]) == users
    return users


def test_bytes_of_every_kind(start: Start) -> None:
    """Whatever comes, the others see whole clean lines and exact counts, and the server goes on and ends well."""
    room = start("--max-lag", "65536", "--rate", "5000", "--burst", "3000", "--grace", "50ms")
    witness = room.peer()
    users = 1

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(STEPS)
    def feed(steps: list[tuple[int, bytes | str, bool]]) -> None:
        nonlocal users
        visitors = [room.stranger() for _ in range(3)]
        for number, step, raw in steps:
            act(visitors[number], step, raw)
        for visitor in visitors:
            visitor.close()
        heard = witness.fence()
        users = check(heard, users)

    feed()
    while users > 1:
        users = check([witness.line()], users)
