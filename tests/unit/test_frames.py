"""The dialect of pages: the lines of programs, each in a frame that a browser can read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.uri import parse_uri

from chatctl.room.log import Log
from chatctl.wire import frames, jsonl
from chatctl.wire.events import Fact, Said
from chatctl.wire.words import Farewell


def read(data: bytes) -> list[Frame]:
    """The frames as a client finds them."""
    client = ClientProtocol(parse_uri("ws://localhost/"), state=OPEN, max_size=None)
    client.receive_data(data)
    assert client.parser_exc is None
    return [event for event in client.events_received() if isinstance(event, Frame)]


@given(
    sizes=st.lists(st.sampled_from([1, 9, 10, 124, 125, 126, 2559, 2560, 2600, 2815, 2816, 2826, 65535, 65536, 70000]))
)
def test_each_line_is_a_frame(sizes: list[int]) -> None:
    """Whatever its length: the frame ends with its only newline, and is what a library understands."""
    lines = [b"x" * size for size in sizes]
    data = frames.wrap(b"".join(line + b"\n" for line in lines))
    assert data.count(b"\n") == len(lines)
    found = read(data)
    assert [bytes(frame.data).rstrip(b" \n") for frame in found] == lines
    assert all(frame.opcode is Opcode.TEXT and frame.fin and bytes(frame.data).endswith(b"\n") for frame in found)
    assert frames.unwrap(data) == lines


@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=300), min_size=1, max_size=9)
)
def test_events_are_counted(texts: list[str]) -> None:
    """A number is a position in a log of frames as in one of lines."""
    fact = Fact(Said(7, tuple(text.encode() for text in texts)), 1, "ann", 1, 7, 1e9, len(texts), "")
    log = Log(frames)
    log.append(frames.others(fact), len(texts))
    for at in range(len(texts)):
        (line, *_) = frames.unwrap(log.read(log.position(at + 1), log.tip))
        assert json.loads(line)["seq"] == at + 1
    assert frames.unwrap(frames.others(fact)) == jsonl.others(fact).splitlines()


def test_what_is_removed_stays_as_long() -> None:
    """In frames of every length, also with blanks before their ends."""
    texts = [b"x" * size for size in (1, 2480, 2490, 70000)]
    told = frames.others(Fact(Said(7, tuple(texts)), 1, "ann", 1, 7, 1e9, len(texts), ""))
    blanked = jsonl.Blank([7])(told)
    assert (len(blanked), b"xx" in blanked) == (len(told), False)
    assert [json.loads(line)["text"] for line in frames.unwrap(blanked)] == [" " * len(text) for text in texts]


def test_the_last_word_ends_the_connection() -> None:
    """Behind it comes the frame that says so."""
    told, close = read(frames.farewell(Farewell("quit", "bye"), number=5))
    assert json.loads(bytes(told.data)) == {"kind": "bye", "id": 5, "code": "quit", "text": "bye", "again": False}
    assert (close.opcode, bytes(close.data)) == (Opcode.CLOSE, (1000).to_bytes(2, "big"))


@pytest.mark.parametrize("name", ["private", "answer", "error", "ack", "welcome", "ignored", "who", "history"])
def test_nothing_is_missing(name: str) -> None:
    """What one member is told is documented as in the dialect that is in the frames."""
    assert getattr(frames, name).__doc__ == getattr(jsonl, name).__doc__
