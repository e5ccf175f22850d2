"""What is found in the files of a store, and what is forgotten there."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatctl.room.journal import Saved
from chatctl.room.lookup import Query, Whose
from chatctl.server import segments
from chatctl.server.reader import Reader
from chatctl.wire import jsonl
from chatctl.wire.address import Address
from chatctl.wire.events import Acted, Entered, Fact, Record, Said


class Files:
    """A store that is written by hand, in segments of some lines."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seq = 0
        (path / "format").write_text("chatctl store 1\n")
        self.new()

    def new(self) -> None:
        """Begin a segment."""
        self.segment = self.path / f"{self.seq + 1:016d}.jsonl"
        self.segment.touch()
        self.own("segment", boot="", device=0, inode=0)

    def own(self, kind: str, **keys: Any) -> None:
        """A line of the store's own."""
        self.write(json.dumps({"seq": self.seq, "kind": kind} | keys, separators=(",", ":")).encode() + b"\n")

    def write(self, data: bytes) -> None:
        with self.segment.open("ab") as file:
            file.write(data)

    def happen(self, record: Record, name: str) -> None:
        fact = Fact(record, self.seq + 1, name, 1, getattr(record, "uid", 9), 1e9, 1, "")
        self.seq += 1
        self.write(jsonl.others(fact))

    def say(self, uid: int, text: str, name: str = "") -> None:
        self.happen(Said(uid, (text.encode(),)), name or f"n{uid}")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Three segments: what ann (1), bob (2) and a stranger (3) have said."""
    files = Files(tmp_path)
    files.happen(Entered(Address("192.0.2.1", 5)), "ann")
    files.say(1, "The first", "ann")
    files.say(2, "Grüße an ALLE", "bob")
    files.new()
    files.own("address", uid=2, address="192.0.2.7:5")
    files.say(3, 'a "quoted" \\ text', "192.0.2.9:5~2")
    files.happen(Acted(1, b"waves"), "ann")
    files.new()
    files.say(1, "first and last", "ann")
    files.say(2, "from rob", "rob")
    return files


def look(files: Files, text: str, **keys: Any) -> tuple[list[str], int]:
    """The texts that are found, and how many lines there are."""
    query = Query(text.casefold(), 20, 10_000, first=1, before=files.seq + 1)._replace(**keys)
    answer = Reader(files.path).answer({"do": "look_up"} | query._replace(ignored=list(query.ignored))._asdict())
    assert "error" not in answer, answer
    return [json.loads(line)["text"] for line in answer["lines"]], answer["total"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("FIRST", ["The first", "first and last"]),
        ("grüSSe", ["Grüße an ALLE"]),
        ("alle", ["Grüße an ALLE"]),
        ('"quoted"', ['a "quoted" \\ text']),
        ("\\", ['a "quoted" \\ text']),
        ("WAVES", ["waves"]),
        ("from", ["from rob"]),  # and not who says something
        ("ann", []),
        ("message", []),
        ("", ["The first", "Grüße an ALLE", 'a "quoted" \\ text', "waves", "first and last", "from rob"]),
    ],
)
def test_what_is_found(files: Files, text: str, found: list[str]) -> None:
    """In capitals or not, in what was said and nothing else, in all segments, the oldest first."""
    assert look(files, text) == (found, 6)


def test_how_much_is_found(files: Files) -> None:
    """The newest, as many as are wanted and have space, of what one may see, but of nobody who is ignored."""
    assert look(files, "", most=2) == (["first and last", "from rob"], 6)
    assert look(files, "", space=150) == (["from rob"], 6)
    assert look(files, "", first=3, before=6) == (["Grüße an ALLE", 'a "quoted" \\ text', "waves"], 3)
    assert look(files, "first", ignored=[2]) == (["The first", "first and last"], 4)
    assert look(files, "rob", ignored=[2]) == ([], 4)
    assert look(files, "", within=1) == (["first and last", "from rob"], 2)  # one block, the newest
    assert look(files, "", within=1_000_000, most=3) == (["waves", "first and last", "from rob"], 4)


def test_the_end_may_be_torn(files: Files) -> None:
    """What is written just now is not there yet, wherever it is cut."""
    files.write('{"seq":8,"time":"2001-09-09T01:46:40Z","kind":"message","uid":1,"from":"ann","text":"ä'.encode()[:-1])
    assert look(files, "ä") == ([], 6)
    assert look(files, "from")[0] == ["from rob"]
    files.write(b"\n")  # a server that went on behind it would be wrong, and does no harm
    assert look(files, "ä", before=9)[0] == []
    assert look(files, "", before=9, within=100)[0] == ["first and last", "from rob"]


@pytest.mark.parametrize(
    ("text", "uids", "left", "found"),
    [
        ("bob", [], ["The first", 'a "quoted" \\ text', "waves", "first and last"], [2]),
        ("BOB", [], ["The first", 'a "quoted" \\ text', "waves", "first and last"], [2]),
        ("nobody", [1], ["Grüße an ALLE", 'a "quoted" \\ text', "from rob"], [1]),
        ("192.0.2.7", [], ["The first", 'a "quoted" \\ text', "waves", "first and last"], [2]),
        ("192.0.2.9", [], ["The first", "Grüße an ALLE", "waves", "first and last", "from rob"], [3]),
        ("all", [], [], [1, 2, 3]),
        ("nobody", [], ["The first", "Grüße an ALLE", 'a "quoted" \\ text', "waves", "first and last", "from rob"], []),
    ],
)
def test_what_is_forgotten(files: Files, text: str, uids: list[int], left: list[str], found: list[int]) -> None:
    """All of somebody, under whichever name; the files are as long and as old as before, and numbers have no gap."""
    os.utime(files.segment, ns=(10**18, 10**18))
    before = [(path, path.stat().st_size) for path in segments.listed(files.path)]
    reader = Reader(files.path)
    answer = reader.answer({"do": "forget"} | Whose(text, uids, files.seq)._asdict())
    assert answer == {"found": found}
    assert look(files, "") == (left, len(left))
    assert [(path, path.stat().st_size) for path in segments.listed(files.path)] == before
    assert files.segment.stat().st_mtime_ns == 10**18
    lines = b"".join(path.read_bytes() for path, _ in before).splitlines()
    assert [told["seq"] for told in map(json.loads, lines) if "time" in told] == list(range(1, files.seq + 1))
    assert reader.answer({"do": "forget"} | Whose(text, uids, files.seq)._asdict()) == {"found": []}


def test_what_is_said_after_that_is_not(files: Files) -> None:
    """Only what came before the operator has said so."""
    Reader(files.path).answer({"do": "forget"} | Whose("all", [], 5)._asdict())
    assert look(files, "") == (["first and last", "from rob"], 2)


def test_no_store(tmp_path: Path) -> None:
    """It is said what is wrong, and nothing else happens."""
    answer = Reader(tmp_path).answer({"do": "look_up"} | Query("", 1, 1, ignored=[])._asdict())
    assert answer == {"error": f"{tmp_path} is no store: it is the directory that a server was given by --store"}


TEXTS = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=5)
NUMBERS = st.lists(st.integers(0, 3), max_size=50).map(lambda steps: [sum(steps[:at]) for at in range(len(steps))])


@given(numbers=NUMBERS, seq=st.integers(0, 100), torn=st.binary(max_size=9))
def test_a_place_is_found_by_bisection(numbers: list[int], seq: int, torn: bytes) -> None:
    """The first line that has a number or a higher one, behind which half a line may stand."""
    lines = [b'{"seq":%d,"kind":"x"}\n' % number for number in numbers]
    data = b"".join(lines) + torn.replace(b"\n", b"")
    below = b"".join(line for line, number in zip(lines, numbers, strict=True) if number < seq)
    place = segments.position(data, seq)
    assert place == len(below) or (place == len(data) and len(below) == sum(map(len, lines)))


@given(texts=st.lists(TEXTS), name=TEXTS, number=st.integers(0, 9))
def test_lines_are_understood_quickly(texts: list[str], name: str, number: int) -> None:
    """What is said is taken in without a parser of JSON, to the same end as with one."""
    said = Said(7, tuple(text.encode() for text in texts), tuple(number + at + 1 for at in range(len(texts))))
    lines = jsonl.others(Fact(said, 5, name, 1, 7, 1e9, len(texts), "")).splitlines(keepends=True)
    place = {"seq": 1, "kind": "place", "uid": 7, "name": "x", "address": "192.0.2.1:5", "taken": 0, "asleep": None}
    found = []
    for spaced in (False, True):  # which no line of ours has
        told = [json.dumps(json.loads(line)).encode() + b"\n" if spaced else line for line in lines]
        saved = Saved()
        saved.read([json.dumps(place).encode() + b"\n", *told])
        found.append((saved.seq, saved.last, saved.places[7]["taken"], saved.ended))
    assert found[0] == found[1] == (4 + len(texts) if texts else 1, 7, number + len(texts) if texts else 0, False)
