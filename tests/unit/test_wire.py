"""The wire's lines, byte for byte."""

import pytest

from chatctl import wire
from chatctl.wire import Event, Kind, LineDecoder, Rejected, text
from chatctl.wire.events import Acted, Announced, Entered, Fact, Left, Renamed, Said

TOO_LONG, TLS, HTTP = Rejected.TOO_LONG, Rejected.TLS, Rejected.HTTP


def decode(data: bytes, *, max_line: int = 16, guard: bool = True) -> list[bytes | Rejected]:
    decoder = LineDecoder(max_line, guard=guard)
    return decoder.feed(data) + decoder.finish()


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"a\nb\r\nc", [b"a", b"b", b"c"]),
        (b"\n\r\n\na\n", [b"a"]),
        (b"tab\there\n", [b"tab\there"]),
        (b"\x00\x1b[2J\x7f\n", ["␀␛[2J␡".encode()]),
        (b"a\rb\r\r\n", ["a␍b␍".encode()]),
        ("\x85\x9b\u2028\u2029\n\u202a\u202e\u2066\u2069\n".encode(), [("\ufffd" * 4).encode()] * 2),
        ("한글\u200d e\u0301\n".encode(), ["한글\u200d e\u0301".encode()]),
        (b"\xed\x95\nx\xff\n", ["\ufffd".encode(), "x\ufffd".encode()]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", [b"a", b"\xef\xbb\xbfb"]),
        (b"\xef\xbb", ["\ufffd".encode()]),
        (
            b"0123456789abcdef\n0123456789abcdef\r\n0123456789abcdefg\nok\n",
            [b"0123456789abcdef"] * 2 + [TOO_LONG, b"ok"],
        ),
        (b"x" * 1000 + b"\n" + b"y" * 1000, [TOO_LONG, TOO_LONG]),
        (b"0123456789abcdef\rx\n", [TOO_LONG]),
    ],
)
def test_lines(data: bytes, lines: list[bytes | Rejected]) -> None:
    """Endings, cleaning, marks and the limit are as the wire says."""
    assert decode(data) == lines


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\xff\xfb\x01a\xff\xfe\nb\n", b"ab"),  # WILL ECHO, DONT with a newline for an option
        (b"\xff\xf1a\xff\xf9b\n", b"ab"),  # NOP, GA
        (b"\xff\xfa\x18\x00xterm\n\xff\xf0a\n", b"a"),  # a subnegotiation with a newline in it
        (b"\xff\xfa\xff\xff\xff\xf0a\n", b"a"),  # with an escaped FF in it
        (b"\xff\xfa" + b"z" * 256 + b"a\n", b"a"),  # one that never ends
        (b"a\xff\xffb\n", "a\ufffdb".encode()),  # the data byte FF
        (b"a\xff\xefb\n", "a\ufffd\ufffdb".encode()),  # no telnet
        (b"\xff\xfd\x03\xef\xbb\xbfa\n", b"a"),  # a mark behind telnet is still at the start
        (b"a\xff", b"a"),
    ],
)
def test_telnet_vanishes(data: bytes, text: bytes) -> None:
    """Negotiation leaves no trace, and no newline of it ends a line."""
    assert decode(data) == [text]


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"\x16\x03\x01\x02\x00\x01\n\n", [TLS]),
        (b"\x16\n", ["␖".encode()]),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", [HTTP]),
        (b"\r\nPOST /a HTTP/1.0\r\n", [HTTP]),
        (b"PRI * HTTP/2\r\n", [HTTP]),
        (b"GET up\nGET / HTTP/1.1\n", [b"GET up", b"GET / HTTP/1.1"]),
        (b"GET /" + b"x" * 20000 + b"\nHost: x\n", [HTTP]),
        (b"CONNECT http://" + b"x" * 20000, [HTTP]),
        (b"get /" + b"x" * 20000 + b"\nhi\n", [TOO_LONG, b"hi"]),
    ],
)
def test_foreign_protocols(data: bytes, lines: list[bytes | Rejected]) -> None:
    """TLS and HTTP are refused by how a connection begins; chat that looks a little like it is not."""
    assert decode(data, max_line=64) == lines


@pytest.mark.parametrize(
    ("line", "chat"),
    [
        ("hi /who", "hi /who"),
        ("//who", "/who"),
        ("// x", "/ x"),
        ("//", "/"),
        ("/", "/"),
        ("/ who", "/ who"),
        ("/\twho", "/\twho"),
        ("/* x */", "/* x */"),
        ("/**", "/**"),
        ("/1", "/1"),
        ("/_x", "/_x"),
        ("/usr/bin/env python", "/usr/bin/env python"),
        ("/a/", "/a/"),
        ("/a1/b", "/a1/b"),
        ("/x(2)/y", "/x(2)/y"),
        ("/who", None),
        ("/who a/b", None),
        ("/누구", None),
        ("/kick: 한", None),
        ("/a\tb/c", None),
    ],
)
def test_chat_and_commands(line: str, chat: str | None) -> None:
    """A command is a slash, a letter, and no other slash in its word; all else is said. What is escaped always is."""
    assert wire.said(line.encode()) == (None if chat is None else chat.encode())
    assert wire.said(wire.escaped(line.encode())) == line.encode()


def test_a_client_takes_what_comes() -> None:
    """Without the guard nothing is refused."""
    assert decode(b"GET / HTTP/1.1\n", guard=False) == [b"GET / HTTP/1.1"]
    assert decode(b"\x16\x03\n", guard=False) == ["␖␃".encode()]


@pytest.mark.parametrize(
    ("found", "host", "written"),
    [
        (("127.0.0.1", 5000), "127.0.0.1", "127.0.0.1:5000"),
        (("::1", 5000, 0, 0), "::1", "[::1]:5000"),
        (("::ffff:10.0.0.1", 5000, 0, 0), "10.0.0.1", "10.0.0.1:5000"),
        (("fe80::1%eth0", 5000, 0, 2), "fe80::1%eth0", "[fe80::1%eth0]:5000"),
        ("", "", "somebody who has gone"),
    ],
)
def test_address(found: tuple[object, ...], host: str, written: str) -> None:
    """What a socket says of a peer; an IPv4 address is one in whatever clothes it comes."""
    address = wire.Address.of(found)
    assert (address.host, str(address)) == (host, written)


A = wire.Address("a", 1)


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (wire.started(9999), "Chat Server started on port 9999."),
        (text.own(Fact(Entered(A), 1, "a:1", 1)), "> Connected to the chat server (1 user online)"),
        (text.others(Fact(Entered(A), 1, "a:1", 2)), "> New user a:1 entered (2 users online)"),
        (text.others(Fact(Left(1), 9, "a:1", 0)), "< The user a:1 left (0 user online)"),
        (text.others(Fact(Said(1, (b"x", b"y")), 2, "a:1", 2)), "[a:1] x\n[a:1] y"),
        (text.own(Fact(Said(1, (b"x",)), 2, "a:1", 2)), "[You] x"),
        (text.others(Fact(Acted(1, b"is now bob (9 users online)"), 2, "al", 2)), "* al is now bob (9 users online)"),
        (text.others(Fact(Renamed(1, "alice"), 2, "a:1", 2)), "= The user a:1 is now alice"),
        (text.own(Fact(Renamed(1, "alice"), 2, "a:1", 2)), "! you are alice now"),
        (text.private("alice", None, b"x"), "(alice to You) x"),
        (text.private(None, "bob", b"x"), "(You to bob) x"),
        (text.others(Fact(Announced("x"), 3, "", 2)), "! x"),
        (wire.answer("x", "y"), "! x\n! y"),
    ],
)
def test_what_the_server_writes(data: bytes, line: str) -> None:
    """Each formatter writes the line of the table, with its newline."""
    assert data == f"{line}\n".encode()


@pytest.mark.parametrize(
    ("line", "kind", "name", "text", "users"),
    [
        ("= The user 127.0.0.1:5 is now 김철수", Kind.RENAMED, "127.0.0.1:5", "김철수", None),
        ("= The user a b is now c", Kind.OTHER, None, "= The user a b is now c", None),
        ("* al is now bob (9 users online)", Kind.ACTION, "al", "is now bob (9 users online)", None),
        ("*bold*", Kind.OTHER, None, "*bold*", None),
        ("(alice to You) [bob] x", Kind.PRIVATE, "alice", "[bob] x", None),
        ("(alice to bob) x", Kind.OTHER, None, "(alice to bob) x", None),
        ("| 2026-99-01 00:00 [bob] hi", Kind.OTHER, None, "| 2026-99-01 00:00 [bob] hi", None),
        ("| 2026-01-01 [bob] hi", Kind.OTHER, None, "| 2026-01-01 [bob] hi", None),
        ("[al] | 2026-01-01 00:00 [bob] hi", Kind.MESSAGE, "al", "| 2026-01-01 00:00 [bob] hi", None),
        ("> Connected to the chat server (3 users online)", Kind.CONNECTED, None, "", 3),
        ("> New user [::1]:5 entered (1 user online)", Kind.ENTERED, "[::1]:5", "", 1),
        ("< The user min-su left (0 user online)", Kind.LEFT, "min-su", "", 0),
        ("[[::1]:5000] a] b", Kind.MESSAGE, "[::1]:5000", "a] b", None),
        ("[You] ", Kind.OWN, None, "", None),
        ("[You] [a] b", Kind.OWN, None, "[a] b", None),
        ("! server full", Kind.ANSWER, None, "server full", None),
        ("!", Kind.OTHER, None, "!", None),
        ("[no name", Kind.OTHER, None, "[no name", None),
        ("[a b] c", Kind.OTHER, None, "[a b] c", None),
        ("> New user a b entered (1 user online)", Kind.OTHER, None, "> New user a b entered (1 user online)", None),
        ("< The user a left (x users online)", Kind.OTHER, None, "< The user a left (x users online)", None),
        ("< The user a left (٣ users online)", Kind.OTHER, None, "< The user a left (٣ users online)", None),
        ("", Kind.OTHER, None, "", None),
    ],
)
def test_parse(line: str, kind: Kind, name: str | None, text: str, users: int | None) -> None:
    """Every line of the server is an event; what is not known is passed on."""
    assert wire.parse(line) == Event(kind, line, name, text, users)


def test_parse_own_private_line() -> None:
    """Of a private line of one's own it is known whom it was for."""
    assert wire.parse("(You to bob) x) y") == Event(Kind.PRIVATE, "(You to bob) x) y", text="x) y", to="bob")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("127.0.0.1:9100", ("127.0.0.1", 9100)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:65535", ("::1", 65535)),
        ("[fe80::1%eth0]:9100", ("fe80::1%eth0", 9100)),
        ("localhost", ("localhost", None)),
        ("192.0.2.7", ("192.0.2.7", None)),
        ("::1", ("::1", None)),
        ("[::1]", ("::1", None)),
        ("::", ("::", None)),
        ("fe80::1%eth0", ("fe80::1%eth0", None)),
        ("::ffff:192.0.2.7", ("::ffff:192.0.2.7", None)),
    ],
)
def test_addresses(text: str, parts: tuple[str, int | None]) -> None:
    """A host, and a port if there is one; brackets stand around an IPv6 address before a port."""
    assert wire.host_and_port(text) == parts


@pytest.mark.parametrize(
    "text",
    [
        *("", ":9100", "localhost:", "localhost:http", "localhost:-1", "localhost:65536"),
        *("[::1]9100", "[]:9100", "[localhost]:9100", "a b:9100", "localhost:9100\n"),
        *("localhost:٩", "http://localhost:9100", "\x1b[1m:9100", "a:b:c", "[a:b]:9100", "::1::", "1.2.3.4:5:6"),
        "localhost:" + "9" * 5000,
    ],
)
def test_what_is_no_address(text: str) -> None:
    """Anything else is refused, with an example and nothing that a terminal obeys."""
    with pytest.raises(ValueError, match=r"is not HOST:PORT, such as ") as raised:
        wire.host_and_port(text)
    assert str(raised.value).isprintable()
