"""The page, and how browsers come in: one HTTP request, and then frames of WebSocket, over a port of its own.

A connection is asked for one thing: a file of the page, after which it is closed, or `/ws`, after which it is a member
of the room like any other, in the dialect `frames`. websockets does the protocols, without I/O (RFC 9112, RFC 6455);
what may be asked for, by whom, and what a browser is told about the page is decided here. That package comes with
``chatctl[web]``.
"""

import codecs
import email.utils
import hashlib
import ipaddress
import logging
from collections.abc import Collection, Sequence
from http import HTTPStatus
from importlib import resources
from typing import NamedTuple
from urllib.parse import urlsplit

from chatctl.errors import ResourceError, installing
from chatctl.room.door import Network
from chatctl.wire import Address, LineDecoder, Rejected, host_and_port

try:
    from websockets.datastructures import Headers, MultipleValuesError
    from websockets.frames import CloseCode, Frame, Opcode
    from websockets.http11 import Request, Response
    from websockets.protocol import State
    from websockets.server import ServerProtocol
except ImportError as error:
    raise ResourceError(f"--web needs the package websockets: {installing('web')}") from error

MAX_HEAD = 8192
"""Bytes of a request, up to the empty line behind its headers."""

_NUMBER = 64  # bytes that a message may have beyond a line, for ``/id N``
_QUIET = logging.getLogger("chatctl.server.web")  # what the library has to say is of no use to an operator
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False

_FILES = {"/": "index.html", "/app.js": "app.js", "/style.css": "style.css"}
_TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
"""What a browser is told with each answer: the page runs its own files alone, and is in nobody's frame."""


class _File(NamedTuple):
    body: bytes
    type: str
    tag: str


class Site:
    """What is served to browsers, and to which.

    Args:
        names: of this server: what may stand in ``Host`` besides addresses and ``localhost``.
        proxies: whose ``X-Forwarded-For`` is believed.
        secure: it is served under TLS.
        max_line: bytes that a line may have.
    """

    def __init__(self, names: Collection[str], proxies: Sequence[Network], *, secure: bool, max_line: int) -> None:
        self.names = {"localhost", *(name.lower() for name in names)}
        self.proxies = proxies
        self.secure = secure
        self.max_line = max_line
        self.files = {path: _load(name) for path, name in _FILES.items()}

    def caller(self, address: Address) -> "Caller":
        """Somebody who comes from there."""
        return Caller(self, address)

    @staticmethod
    def refusal(why: str) -> bytes:
        """What a browser is told that is not let in at all."""
        body = f"{why}\n".encode()
        headers = Headers({"Connection": "close", "Content-Length": str(len(body))} | _HEADERS)
        return Response(503, "Service Unavailable", headers, body).serialize()

    def knows(self, host: str) -> bool:
        """Whether a ``Host`` is one of this server's, whatever the port.

        Another page could have its own name mean this server, and then speak to it (DNS rebinding).
        """
        name = _split(host)[0]
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self.names
        return True

    def came_from(self, address: Address, forwarded: Sequence[str]) -> Address:
        """Who asks, where a proxy asks for it: the last address that is no proxy's (RFC 7239 has why)."""
        hops = [hop.strip() for header in forwarded for hop in header.split(",")]
        here = address
        while hops and self._is_proxy(here.host):
            try:
                here = Address(str(ipaddress.ip_address(hops.pop().strip("[]"))), address.port)
            except ValueError:
                break
        return here

    def _is_proxy(self, host: str) -> bool:
        try:
            found = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(found in network for network in self.proxies)


class Answer(NamedTuple):
    """What becomes of a request.

    Attributes:
        data: what is to be sent.
        decoder: of what comes after that; None: the connection ends.
        rest: what has come after the request already.
        address: where who asks is.
    """

    data: bytes
    decoder: "FrameDecoder | None"
    rest: bytes
    address: Address


class Caller:
    """Somebody who has connected and not asked for anything yet.

    Args:
        site: what may be asked for.
        address: where it comes from.
    """

    def __init__(self, site: Site, address: Address) -> None:
        self._site = site
        self._address = address
        self._head = b""

    def receive(self, data: bytes) -> Answer | None:
        """Take what came; None: that is not all of a request."""
        head, end, rest = (self._head + data).partition(b"\r\n\r\n")
        if len(head) > MAX_HEAD:
            return self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if not end:
            self._head += data
            return None
        method = head.partition(b" ")[0]
        if method not in (b"GET", b"HEAD"):
            return self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, Allow="GET, HEAD")
        protocol = ServerProtocol(max_size=self._site.max_line + _NUMBER, logger=_QUIET)
        protocol.receive_data(head + end)
        (request,) = protocol.events_received() or (None,)
        if not isinstance(request, Request):
            return self._refuse(HTTPStatus.BAD_REQUEST)
        self._address = self._site.came_from(self._address, request.headers.get_all("X-Forwarded-For"))
        if refused := self._unwanted(request):
            return self._refuse(refused)
        if request.path == "/ws":
            return self._accept(protocol, request, rest)
        return self._serve(request)

    def _unwanted(self, request: Request) -> HTTPStatus | None:
        """Why a request is not answered: for whom it is, or whose page makes it."""
        try:
            host = request.headers["Host"]
            origin = request.headers.get("Origin")
        except (KeyError, MultipleValuesError):
            return HTTPStatus.BAD_REQUEST
        if not self._site.knows(host):
            return HTTPStatus.MISDIRECTED_REQUEST
        if request.path == "/ws" and origin is not None and not self._is_ours(origin, host):
            return HTTPStatus.FORBIDDEN
        return None

    def _is_ours(self, origin: str, host: str) -> bool:
        """Whether a page is the one that is served here: no other one may speak for who looks at it (RFC 6454)."""
        try:
            parts = urlsplit(origin)
            port = parts.port
        except ValueError:
            return False
        ports = {"https": 443} if self._site.secure else {"http": 80, "https": 443}
        if parts.scheme not in ports or parts.hostname is None or parts.path or parts.query or parts.username:
            return False
        name, own = _split(host)
        default = ports[parts.scheme]
        return (parts.hostname, port or default) == (name, own or default)

    def _accept(self, protocol: ServerProtocol, request: Request, rest: bytes) -> Answer:
        response = protocol.accept(request)
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            return self._refuse(HTTPStatus(response.status_code))
        protocol.send_response(response)
        decoder = FrameDecoder(protocol, self._site.max_line)
        return Answer(b"".join(protocol.data_to_send()), decoder, rest, self._address)

    def _serve(self, request: Request) -> Answer:
        file = self._site.files.get(request.path)
        if file is None:
            return self._refuse(HTTPStatus.NOT_FOUND)
        if request.headers.get_all("If-None-Match") == [file.tag]:
            return self._answer(HTTPStatus.NOT_MODIFIED, {"ETag": file.tag}, b"")
        headers = {"ETag": file.tag, "Content-Type": file.type, "Content-Length": str(len(file.body))}
        return self._answer(HTTPStatus.OK, headers, file.body if request.method == "GET" else b"")

    def _refuse(self, status: HTTPStatus, **headers: str) -> Answer:
        body = f"{status.value} {status.phrase}\n".encode()
        more = {"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(body))} | headers
        return self._answer(status, more, body)

    def _answer(self, status: HTTPStatus, headers: dict[str, str], body: bytes) -> Answer:
        all_of_them = {"Date": email.utils.formatdate(usegmt=True), "Connection": "close"} | _HEADERS | headers
        response = Response(status.value, status.phrase, Headers(all_of_them), body)
        return Answer(response.serialize(), None, b"", self._address)


class FrameDecoder(LineDecoder):
    """Frames from a page → clean lines: each message is one.

    Args:
        protocol: of an open connection.
        max_line: see `LineDecoder`.
    """

    __slots__ = ("_failed", "_protocol", "_replies", "_text")

    def __init__(self, protocol: ServerProtocol, max_line: int) -> None:
        super().__init__(max_line)
        self._protocol = protocol
        self._replies = b""
        self._failed = False
        self._text = codecs.getincrementaldecoder("utf-8")()

    @property
    def closed(self) -> bool:
        """Whether the page has said that nothing more comes, or was told so."""
        return self._protocol.state is not State.OPEN

    def replies(self) -> bytes:
        """Take what is to be sent to the page by what is below the lines: pongs, and the end."""
        replies, self._replies = self._replies, b""
        return replies

    def feed(self, data: bytes) -> list[bytes | Rejected]:
        """Take the next bytes, return the lines that they complete."""
        items: list[bytes | Rejected] = []
        thrown: list[bytes] = []
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and self._is_text(event):
                text = bytes(event.data)
                items += super().feed(text + b"\n" if event.fin else text)
                thrown += self.thrown
        self._replies += b"".join(self._protocol.data_to_send())
        self.thrown = tuple(thrown)
        return items

    def finish(self) -> list[bytes | Rejected]:
        """A message that has not ended is none."""
        return []

    def _is_text(self, frame: Frame) -> bool:
        """Whether a frame has some of a text; what else has any ends the connection."""
        if self._failed or frame.opcode not in (Opcode.TEXT, Opcode.CONT, Opcode.BINARY):
            return False
        if frame.opcode is Opcode.BINARY:
            self._fail(CloseCode.UNSUPPORTED_DATA, "text only")
            return False
        try:
            self._text.decode(bytes(frame.data), frame.fin)
        except UnicodeDecodeError:
            self._fail(CloseCode.INVALID_DATA, "no UTF-8")
        return not self._failed

    def _fail(self, code: CloseCode, why: str) -> None:
        if not self._failed and not self.closed:
            self._protocol.fail(code, why)
        self._failed = True


def _load(name: str) -> _File:
    body = resources.files("chatctl.server").joinpath("page", name).read_bytes()
    tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    return _File(body, f"{_TYPES[name.partition('.')[2]]}; charset=utf-8", tag)


def _split(host: str) -> tuple[str, int | None]:
    """The name and the port in a ``Host``; no name, where it is none."""
    try:
        name, port = host_and_port(host.lower())
    except ValueError:
        return "", None
    return name.strip("[]"), port
