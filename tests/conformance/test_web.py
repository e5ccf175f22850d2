"""Browsers come in by a port of their own: what they may ask for, and pages as members like any other."""

import contextlib
import json
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import CloseCode
from websockets.sync.client import ClientConnection, connect

from tests.conformance.conftest import Start
from tests.rooms import PATIENCE, ThreadRoom

FLAGS = ("--web", "127.0.0.1:0", "--grace", "1h", "--greet-delay", "60")


Visit = Callable[..., "Page"]


class Page:
    """A page, but for what a person sees of it."""

    def __init__(self, room: ThreadRoom, **headers: str) -> None:
        scheme = "wss" if room.context else "ws"
        self._stack = contextlib.ExitStack()
        opened = connect(
            f"{scheme}://127.0.0.1:{room.web}/ws",
            ssl=trust(room),
            additional_headers={key.replace("_", "-"): value for key, value in headers.items()},
            compression=None,
            proxy=None,
            open_timeout=PATIENCE,
            max_size=None,
        )
        self.connection: ClientConnection = self._stack.enter_context(opened)

    def enter(self, **keys: Any) -> dict[str, Any]:
        """Enter; what comes after hello."""
        assert self.event()["kind"] == "hello"
        self.say("/enter " + json.dumps(keys))
        return self.event()

    def say(self, line: str) -> None:
        self.connection.send(line)

    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.connection.recv(PATIENCE))
        return event

    def until(self, text: str) -> list[dict[str, Any]]:
        """All events up to one with a text."""
        events = [self.event()]
        while events[-1].get("text") != text:
            events.append(self.event())
        return events

    def code(self) -> int:
        """By which code the connection ends."""
        with contextlib.suppress(ConnectionClosed):
            for _ in self.connection:
                pass
        assert self.connection.close_code
        return self.connection.close_code

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def visit() -> Iterator[Visit]:
    """Have a page come in."""
    pages: list[Page] = []

    def open_page(room: ThreadRoom, **headers: str) -> Page:
        pages.append(Page(room, **headers))
        return pages[-1]

    yield open_page
    for page in pages:
        page.close()


def trust(room: ThreadRoom) -> ssl.SSLContext | None:
    """What a browser speaks TLS with, if it does."""
    return room.context


@pytest.fixture
def room(start: Start) -> ThreadRoom:
    """A room that browsers may enter."""
    return start(*FLAGS)


def ask(room: ThreadRoom, request: str) -> tuple[int, dict[str, str], bytes]:
    """What is answered to a request: status, headers, body."""
    with contextlib.ExitStack() as stack:
        sock: socket.socket = stack.enter_context(socket.create_connection(("127.0.0.1", room.web), PATIENCE))
        if context := trust(room):
            sock = stack.enter_context(context.wrap_socket(sock, server_hostname="127.0.0.1"))
        sock.sendall(request.replace("\n", "\r\n").encode())
        data = b""
        while piece := sock.recv(65536):
            data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    first, *headers = head.decode().split("\r\n")
    return int(first.split()[1]), {key.lower(): value for key, value in (line.split(": ", 1) for line in headers)}, body


HOST = "Host: 127.0.0.1:8080\n"
UPGRADE = (
    "Upgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\n"
)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (f"GET / HTTP/1.1\n{HOST}\n", 200),
        (f"GET /app.js HTTP/1.1\n{HOST}\n", 200),
        (f"HEAD /style.css HTTP/1.1\n{HOST}\n", 200),
        ("GET / HTTP/1.1\nHost: localhost\n\n", 200),
        ("GET / HTTP/1.1\nHost: [::1]:8080\n\n", 200),
        ("GET / HTTP/1.1\nHost: Chat.Example.org\n\n", 200),
        ("GET / HTTP/1.1\nHost: evil.example\n\n", 421),
        ("GET / HTTP/1.1\nHost: 127.0.0.1.evil.example\n\n", 421),
        ("GET / HTTP/1.1\nHost: \n\n", 421),
        ("GET / HTTP/1.1\n\n", 400),
        (f"GET / HTTP/1.1\n{HOST}{HOST}\n", 400),
        (f"GET / HTTP/2.0\n{HOST}\n", 400),
        (f"GET /etc/passwd HTTP/1.1\n{HOST}\n", 404),
        (f"GET /?secret=x HTTP/1.1\n{HOST}\n", 404),
        (f"GET /../app.js HTTP/1.1\n{HOST}\n", 404),
        (f"POST / HTTP/1.1\n{HOST}\n", 405),
        (f"POST / HTTP/1.1\n{HOST}Content-Length: 5\n\nhello", 405),
        (f"GET / HTTP/1.1\n{HOST}Content-Length: 5\n\nhello", 400),
        (f"GET / HTTP/1.1\n{HOST}X: {'x' * 8192}\n\n", 431),
        (f"GET /ws HTTP/1.1\n{HOST}\n", 426),
        (f"GET /ws HTTP/1.1\nHost: evil.example\n{UPGRADE}\n", 421),
        (f"GET /ws HTTP/1.1\n{HOST}Origin: http://evil.example\n{UPGRADE}\n", 403),
        (f"GET /ws HTTP/1.1\n{HOST}Origin: http://127.0.0.1.evil.example:8080\n{UPGRADE}\n", 403),
        (f"GET /ws HTTP/1.1\n{HOST}Origin: https://127.0.0.1:8081\n{UPGRADE}\n", 403),
        (f"GET /ws HTTP/1.1\n{HOST}Origin: https://127.0.0.1\n{UPGRADE}\n", 403),
        (f"GET /ws HTTP/1.1\n{HOST}Origin: https://127.0.0.1:8080@evil.example\n{UPGRADE}\n", 403),
        (f"GET /ws HTTP/1.1\n{HOST}Origin: null\n{UPGRADE}\n", 403),
    ],
)
def test_what_is_asked_for(start: Start, request_: str, status: int) -> None:
    """A file of the page, by who looks at this server: all else is refused, by a status that says so, and closed."""
    room = start(*FLAGS, "--web-host", "chat.example.org")
    found, headers, body = ask(room, request_)
    assert found == status
    assert "set-cookie" not in headers
    assert headers["connection"] == "close"
    assert int(headers["content-length"]) == len(body) or request_.startswith("HEAD")
    policy = headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"


def test_a_file_that_is_known(room: ThreadRoom) -> None:
    """Nothing is sent again that a browser has."""
    _, headers, body = ask(room, f"GET / HTTP/1.1\n{HOST}\n")
    assert b"<!doctype html>" in body
    found, _, body = ask(room, f"GET / HTTP/1.1\n{HOST}If-None-Match: {headers['etag']}\n\n")
    assert (found, body) == (304, b"")


def origins(room: ThreadRoom) -> Iterator[dict[str, str]]:
    """What pages of this server say of themselves."""
    yield {}
    yield {"Origin": f"https://127.0.0.1:{room.web}"}
    if not room.context:
        yield {"Origin": f"http://127.0.0.1:{room.web}"}


def test_a_page_is_a_member(room: ThreadRoom, visit: Visit) -> None:
    """It says, hears, asks and goes like any other, and the plain ones see no difference."""
    for headers in origins(room):
        peer, page = room.stranger(), visit(room, **headers)
        peer.say("hello")
        peer.until("hello")
        welcome = page.enter(nick="ann")
        assert (welcome["kind"], welcome["you"], welcome["users"]) == ("welcome", "ann", 2)
        text = "<img src=x onerror=alert(1)> 안녕 👋"
        page.say(f"/id 1 {text}")
        assert page.event()["text"] == text
        peer.say("and you")
        assert peer.until("and you")[-3:] == [
            "> New user ann entered (2 users online)",
            f"[ann] {text}",
            "[You] and you",
        ]
        page.until("and you")
        page.say("/id 2 /history 3")
        history = page.event()
        assert (history["kind"], history["id"], history["count"]) == ("history", 2, 3)
        assert [page.event()["text"] for _ in range(3)] == ["hello", text, "and you"]
        page.connection.ping().wait(PATIENCE)
        page.say("/quit")
        assert page.event()["code"] == "quit"
        assert page.code() == CloseCode.NORMAL_CLOSURE
        assert peer.line() == "< The user ann left (1 user online)"
        peer.say("/quit")
        peer.rest()


def test_a_page_comes_back(room: ThreadRoom, visit: Visit) -> None:
    """In silence, without loss, and what it says twice is said once."""
    peer, page = room.stranger(), visit(room)
    peer.say("hello")
    peer.until("hello")
    welcome = page.enter(nick="ann", secret="s" * 22)
    page.say("/id 1 one")
    seq = page.event()["seq"]
    page.connection.socket.shutdown(socket.SHUT_RDWR)
    page.close()
    peer.say(*(f"line {number}" for number in range(200)))
    peer.until("line 199")
    again = visit(room)
    back = again.enter(secret="s" * 22, epoch=welcome["epoch"], after=seq)
    assert (back["resumed"], back["known"], back["from"], back["taken"]) == (True, True, seq + 1, 1)
    again.say("/id 1 one")
    again.say("/id 2 two")
    assert [event["text"] for event in again.until("two") if event["kind"] == "message"] == [
        *(f"line {number}" for number in range(200)),
        "two",
    ]
    again.say("/quit")
    assert [line for line in peer.until("left") if line[0] in "<>"] == ["< The user ann left (1 user online)"]


TEXT, BINARY, MORE, CLOSE = 1, 2, 0, 8


def frame(opcode: int, payload: bytes, *, fin: bool = True, reserved: int = 0) -> bytes:
    """A frame as a browser sends it, its mask all zeros (RFC 6455, section 5.2)."""
    size = len(payload)
    long = size.to_bytes(8, "big") if size > 125 else b""
    return bytes([fin << 7 | reserved << 4 | opcode, 0x80 | (127 if long else size)]) + long + bytes(4) + payload


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(BINARY, b"x"), CloseCode.UNSUPPORTED_DATA),
        (frame(TEXT, b"\xff"), CloseCode.INVALID_DATA),
        (frame(TEXT, b"\xed\x95", fin=False) + frame(MORE, b"x"), CloseCode.INVALID_DATA),
        (frame(TEXT, b"x" * 70_000), CloseCode.MESSAGE_TOO_BIG),
        (frame(MORE, b"x"), CloseCode.PROTOCOL_ERROR),
        (frame(TEXT, b"hello", reserved=4), CloseCode.PROTOCOL_ERROR),
        (frame(CLOSE, (1001).to_bytes(2, "big")), CloseCode.GOING_AWAY),
    ],
)
def test_what_is_no_text(room: ThreadRoom, visit: Visit, sent: bytes, code: int) -> None:
    """It ends the connection, by a code that says why; a message in pieces is one."""
    peer, page = room.stranger(), visit(room)
    peer.say("hello")
    peer.until("hello")
    page.enter(nick="ann")
    page.connection.socket.sendall(frame(TEXT, b"\xed\x95", fin=False) + frame(MORE, b"\x9c") + sent)
    assert page.code() == code
    assert peer.until("left")[1:] == ["[ann] 한", "< The user ann left (1 user online)"]


def test_a_password(start: Start, visit: Visit, tmp_path: Path) -> None:
    """A page gives it with its entry; a wrong one is told so, and tries again."""
    (tmp_path / "password").write_text("swordfish\n")
    room = start(*FLAGS, "--password-file", str(tmp_path / "password"), password="swordfish")
    page = visit(room)
    hello = page.event()
    assert (hello["kind"], hello["password"]) == ("hello", True)
    page.say("/enter {}")
    assert page.event()["code"] == "password"
    page.say('/enter {"password":"swordfish"}')
    assert page.event()["kind"] == "welcome"


def test_behind_a_proxy(start: Start, visit: Visit) -> None:
    """Who asks is the last address that is no proxy's; a header from elsewhere is nobody's."""
    room = start(*FLAGS, "--web-proxy", "127.0.0.0/8", "--web-proxy", "192.0.2.1", "--deny", "203.0.113.9")
    page = visit(room, X_Forwarded_For="198.51.100.1, 203.0.113.7, 192.0.2.1")
    assert page.enter()["you"].startswith("203.0.113.7:")
    with pytest.raises(InvalidStatus, match="503"):
        visit(room, X_Forwarded_For="203.0.113.9")


def test_nobody_else_is_believed(room: ThreadRoom, visit: Visit) -> None:
    """Without a proxy, a header is only a claim."""
    page = visit(room, X_Forwarded_For="203.0.113.7")
    assert page.enter()["you"].startswith("127.0.0.1:")


def test_a_limit_holds(start: Start, visit: Visit) -> None:
    """Of users, and of those from one address: pages are counted with all others."""
    room = start(*FLAGS, "--max-users", "1")
    peer, page = room.stranger(), visit(room)
    peer.say("hello")
    peer.until("hello")
    assert page.enter()["code"] == "full"


BYTES = st.binary(min_size=1, max_size=300)
FRAMES = st.lists(
    st.builds(
        frame,
        st.integers(0, 15),
        st.binary(max_size=200),
        fin=st.booleans(),
        reserved=st.sampled_from([0, 0, 0, 0, 1, 2, 4]),
    ),
    min_size=1,
    max_size=5,
).map(b"".join)


@pytest.mark.parametrize("number", [100, pytest.param(10_000, marks=[pytest.mark.full, pytest.mark.timeout(900)])])
@pytest.mark.parametrize("kind", [("select", "plain"), ("threads", "plain")], indirect=True, ids="-".join)
def test_whatever_comes(start: Start, number: int) -> None:
    """Random bytes as a request, and mutated frames: no harm is done, and nothing is left."""
    room = start(*FLAGS)
    peer = room.stranger()
    peer.say("hello")
    peer.until("hello")

    @settings(max_examples=number, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=BYTES)
    def request(data: bytes) -> None:
        with socket.create_connection(("127.0.0.1", room.web), PATIENCE) as sock, contextlib.suppress(OSError):
            sock.sendall(data + b"\r\n\r\n")
            while sock.recv(65536):
                pass

    @settings(max_examples=number, deadline=None, suppress_health_check=list(HealthCheck))
    @given(sent=FRAMES, at=st.integers(0, 100), byte=st.integers(0, 255))
    def frames(sent: bytes, at: int, byte: int) -> None:
        page = Page(room)
        page.enter()
        with contextlib.suppress(OSError):
            page.connection.socket.sendall(sent[: at % len(sent)] + bytes([byte]) + sent[at % len(sent) + 1 :])
        page.close()

    request()
    frames()
    peer.say("still here")
    peer.until("still here")
