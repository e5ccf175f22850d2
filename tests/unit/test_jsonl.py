"""The dialect of programs: what is told of a fact, and how that is understood."""

import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatctl import wire
from chatctl.wire import Address, Kind, jsonl
from chatctl.wire.events import Acted, Announced, Closed, Entered, Fact, Left, Listed, Record, Removed, Renamed, Said
from tests.documents import ROOT

TIME = 1_700_000_000.9
STAMP = "2023-11-14T22:13:20Z"
NASTY = 'a "quoted" \\ backslash\tand 한글 👋'


SCHEMA = jsonschema.Draft202012Validator(json.loads((ROOT / "docs/wire.schema.json").read_text()))


def lines(data: bytes) -> list[str]:
    assert data.endswith(b"\n")
    return data.decode().removesuffix("\n").split("\n")


TOLD: list[tuple[Record, dict[str, object], str]] = [
    (Entered(Address("a", 1)), {"kind": "entered", "uid": 7, "from": "al", "users": 2}, "> New user al entered"),
    (Left(7, "lost"), {"kind": "left", "uid": 7, "from": "al", "users": 2, "why": "lost"}, "< The user al left"),
    (Renamed(7, "bo"), {"kind": "renamed", "uid": 7, "from": "al", "name": "bo"}, "= The user al is now bo"),
    (Acted(7, NASTY.encode(), 3), {"kind": "action", "uid": 7, "from": "al", "id": 3, "text": NASTY}, f"* al {NASTY}"),
    (Said(7, (NASTY.encode(),)), {"kind": "message", "uid": 7, "from": "al", "text": NASTY}, f"[al] {NASTY}"),
    (Announced(NASTY), {"kind": "announcement", "text": NASTY}, f"! {NASTY}"),
    (Closed("bye"), {"kind": "announcement", "text": "bye"}, "! bye"),
    (Removed((7, 8), "gone"), {"kind": "removed", "uids": [7, 8], "text": "gone"}, "! gone"),
]


@pytest.mark.parametrize(("record", "keys", "plain"), TOLD)
def test_what_happens(record: Record, keys: dict[str, object], plain: str) -> None:
    """An object with its number first, then the time; read, it is what the plain dialect tells."""
    (line,) = lines(jsonl.others(Fact(record, 5, "al", 2, 7, TIME)))
    assert line.startswith('{"seq":5,"time":')
    assert json.loads(line) == {"seq": 5, "time": STAMP} | keys
    SCHEMA.validate(json.loads(line))
    event = wire.parse(line)
    assert event.line.removesuffix(" (2 users online)") == plain
    assert (event.seq, event.time, event.id) == (5, 1_700_000_000.0, keys.get("id", 0))


def test_lines_of_a_chunk() -> None:
    """Each has a number, and its own id if there is one."""
    told = lines(jsonl.others(Fact(Said(7, (b"a", b"b"), (0, 9)), 5, "al", 2, 7, TIME)))
    events = [wire.parse(line) for line in told]
    assert [(event.seq, event.id, event.text) for event in events] == [(5, 0, "a"), (6, 9, "b")]


def test_own_lines() -> None:
    """They are known by the number of who reads."""
    message = lines(jsonl.others(Fact(Said(7, (b"hi",)), 5, "al", 2, 7, TIME)))[0]
    assert wire.parse(message, 7).kind is Kind.OWN
    assert wire.parse(message, 7).line == "[You] hi"
    assert wire.parse(message, 8).kind is Kind.MESSAGE
    renamed = lines(jsonl.others(Fact(Renamed(7, "bo"), 5, "al", 2, 7, TIME)))[0]
    assert wire.parse(renamed, 7).line == "! you are bo now"


def test_what_one_is_told() -> None:
    """Answers, errors, private lines, lists and the last word, each with the number of what they answer."""
    told = [
        *lines(jsonl.answer("one", "two", number=4)),
        *lines(jsonl.error("taken", "bob is taken")),
        *lines(jsonl.private(None, "bob", b"psst", uid=7, at=TIME, number=4)),
        *lines(jsonl.private("al", None, b"psst", uid=7, at=TIME)),
        '{"kind":"bye","code":"kicked","text":"kicked: spam","again":false}',
        *lines(jsonl.who([Listed(7, "al", "1.2.3.4:5"), Listed(8, "bo", "", 12.4)], 7)),
        *lines(jsonl.ack(4)),
    ]
    events = [wire.parse(line, 7) for line in told]
    assert [event.line for event in events] == [
        *("! one", "! two", "! bob is taken", "(You to bob) psst", "(al to You) psst", "! kicked: spam"),
        *("! 2 users online", "! al 1.2.3.4:5 (you)", "! bo (no link for 12 s)", ""),
    ]
    assert [event.id for event in events] == [4, 4, 0, 4, 0, 0, 0, 0, 0, 4]
    assert [event.code for event in events if event.code] == ["taken", "kicked"]
    assert events[5].data["again"] is False


def test_history() -> None:
    """A frame says how many lines follow, and these are as they were told."""
    found = jsonl.others(Fact(Said(7, (b"a", b"b")), 5, "al", 2, 7, TIME)).splitlines()
    head, *rest = lines(jsonl.history(found, 812, number=3))
    assert json.loads(head) == {"kind": "history", "id": 3, "count": 2, "of": 812, "first": 5}
    assert [line.encode() for line in rest] == found
    assert json.loads(lines(jsonl.history([], 812))[0]) == {"kind": "history", "count": 0, "of": 812, "first": 0}


@pytest.mark.parametrize(
    "line",
    [
        *("{", "{}", "{1", '{"kind":[]}', '{"kind":"new thing","seq":1}', '{"kind":"message"}'),
        '{"kind":"message","uid":1,"from":5,"text":"x"}',
        '{"kind":"message","uid":1,"from":"a","text":"x","seq":1.5}',
        '{"kind":"message","uid":-1,"from":"a","text":"x"}',
        '{"kind":"message","uid":1,"from":"a","text":"x","time":"yesterday"}',
        '{"kind":"entered","uid":1,"from":"a","users":"2"}',
        '{"kind":"welcome","uid":1}',
        '{"kind":' * 2000,
    ],
)
def test_what_is_not_understood(line: str) -> None:
    """Whatever a server sends, it is an event: one to be passed over."""
    assert wire.parse(line).kind is Kind.UNKNOWN


def test_nothing_in_it_is_obeyed() -> None:
    """Escapes in a text are made visible, as the same characters would be on the plain wire."""
    event = wire.parse('{"kind":"message","uid":1,"from":"a","text":"\\u001b[2J\\n\\ud800"}')
    assert event.text == "␛[2J␊?"


def test_skimming() -> None:
    """What others say is left out where the reader is known; own lines and all else stay."""
    happened: list[tuple[int, Record]] = [(7, Said(7, (b"a",))), (8, Said(8, (b"b",))), (8, Left(8))]
    told = b"".join(jsonl.others(Fact(record, 5, "al", 2, uid, TIME)) for uid, record in happened)
    kept = wire.skimmed(b"{}\n" + told + b"{}\n", begun=False, me=7)
    assert [wire.parse(line, 7).kind for line in kept.decode().splitlines()[1:-1]] == [Kind.OWN, Kind.LEFT]


@given(text=st.text(st.characters(codec="utf-8")), uid=st.integers(1, 2**53 - 1), number=st.integers(1, 2**53 - 1))
def test_whatever_is_said(text: str, uid: int, number: int) -> None:
    """Every text makes a line that every reader of JSON takes, and the schema too, and comes back as it was, clean."""
    clean = wire.clean(text).replace("\t", " ")
    (line,) = lines(jsonl.others(Fact(Said(uid, (clean.encode(),), (number,)), uid, "al", 2, uid, TIME)))
    SCHEMA.validate(json.loads(line))
    event = wire.parse(line)
    assert (event.text, event.uid, event.seq, event.id) == (clean, uid, uid, number)


def test_the_schema_knows_what_is_wrong() -> None:
    """A key that is missing or of another type, and a kind that nobody sends."""
    good = {"kind": "message", "seq": 1, "time": STAMP, "uid": 7, "from": "al", "text": "hi"}
    assert SCHEMA.is_valid(good | {"room": "a key of a later version"})
    for bad in (good | {"uid": "7"}, good | {"seq": -1}, good | {"time": "now"}, good | {"kind": "messages"}):
        assert not SCHEMA.is_valid(bad)
    del good["text"]
    assert not SCHEMA.is_valid(good)
