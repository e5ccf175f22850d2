"""What holds on the wire for all bytes."""

import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st

from chatctl import wire
from chatctl.wire import Kind, LineDecoder, Rejected
from chatctl.wire.events import Fact, Said

# Bytes in which every special case of the wire is likely.
PIECES = st.sampled_from(
    [
        b"\n",
        b"\r\n",
        b"\r",
        b"\xff",
        b"\xff\xfb\x01",
        b"\xff\xfa",
        b"\xff\xf0",
        b"\xef\xbb\xbf",
        b"\x16\x03",
        b"\xed\x95\x9c",
        b"GET / HTTP/1.1",
        b" HTTP/1.1",
        b"GET /",
        b"/who",
        b"x" * 9,
        b"z" * 250,
        "👩‍💻\u202e\u2028".encode(),
        b"\x1b[2J",
    ]
)
STREAMS = st.lists(st.one_of(PIECES, st.binary(max_size=6)), max_size=12).map(b"".join)


def whole(data: bytes, max_line: int, guard: bool) -> list[bytes | Rejected]:
    decoder = LineDecoder(max_line, guard=guard)
    return decoder.feed(data) + decoder.finish()


@given(data=STREAMS, cuts=st.lists(st.integers(0, 200), max_size=12), max_line=st.integers(1, 24), guard=st.booleans())
@example(data=b"A" * 30 + b" /\n", cuts=[], max_line=24, guard=True)
@example(data=b"GET /\n", cuts=[], max_line=4, guard=True)
@example(data=b"\xff\xfa" + b"z" * 255 + b"\xff\xf0a\n", cuts=[258], max_line=9, guard=True)
def test_chunks_make_no_difference(data: bytes, cuts: list[int], max_line: int, guard: bool) -> None:
    """Whole, cut anywhere, or byte by byte: the same lines come out."""
    expected = whole(data, max_line, guard)
    for ends in (sorted(cuts), range(len(data))):
        decoder = LineDecoder(max_line, guard=guard)
        lines: list[bytes | Rejected] = []
        begin = 0
        for end in [*ends, len(data)]:
            lines += decoder.feed(data[begin:end])
            begin = max(begin, end)
        assert lines + decoder.finish() == expected


@given(data=STREAMS, max_line=st.integers(1, 24))
def test_lines_are_clean(data: bytes, max_line: int) -> None:
    """What comes out is UTF-8, never empty, no terminal obeys it, and cleaning it again changes nothing."""
    for line in whole(data, max_line, guard=False):
        if isinstance(line, bytes):
            text = line.decode()
            assert text
            assert wire.clean(text) == text
            assert not any(unicodedata.category(char) in ("Cc", "Zl", "Zp") and char != "\t" for char in text)
            assert not set(text) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@given(st.text())
def test_clean_is_idempotent(text: str) -> None:
    """Cleaning twice is cleaning once, and keeps the number of characters."""
    cleaned = wire.clean(text)
    assert wire.clean(cleaned) == cleaned
    assert len(cleaned) == len(text)


@given(name=st.from_regex(r"\A[^\s\]]{1,20}\Z").filter(lambda name: name != "You"), text=st.text())
def test_what_is_said_is_understood(name: str, text: str) -> None:
    """Whatever a member says, a reader of the wire takes it for that member's words."""
    text = wire.clean(text).replace("\n", "")
    line = wire.text.others(Fact(Said(1, (text.encode(),)), 1, name, 1)).decode().removesuffix("\n")
    assert wire.parse(line)[0:1] + wire.parse(line)[2:4] == (Kind.MESSAGE, name, text)


@given(st.text())
def test_parse_takes_anything(line: str) -> None:
    """No line makes a reader fail, and none is lost."""
    assert wire.parse(line).line == line
