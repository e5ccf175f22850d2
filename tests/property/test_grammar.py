"""The grammar in docs/wire.md is that of the parser and of the formatters."""

from collections.abc import Iterator

import pytest
from abnf import Node, ParseError, Rule
from hypothesis import example, given
from hypothesis import strategies as st

from chatctl import wire
from chatctl.wire import Address, Event, Kind, jsonl, text
from chatctl.wire.events import Acted, Announced, Closed, Entered, Fact, Left, Record, Renamed, Said
from tests.documents import ROOT, blocks

GRAMMAR = "\n".join(block.text for block in blocks(ROOT / "docs" / "wire.md") if block.kind == "abnf")
PROSE = "<a letter of another script>"  # ABNF has no class of letters: here they are Korean


class Wire(Rule):
    """The rules of the page."""


Wire.load_grammar(GRAMMAR.replace(PROSE, "%x3131-318E / %xAC00-D7A3").replace("\n", "\r\n"))

KINDS = {
    "own": Kind.OWN,
    "said": Kind.MESSAGE,
    "connected": Kind.CONNECTED,
    "entered": Kind.ENTERED,
    "left": Kind.LEFT,
    "renamed": Kind.RENAMED,
    "acted": Kind.ACTION,
    "telling": Kind.PRIVATE,
    "told": Kind.PRIVATE,
    "answer": Kind.ANSWER,
    "past": Kind.OLD,
}


def understood(rule: str, line: str) -> Node | None:
    """The line as a rule has it, all of it; None: it is not one of those."""
    try:
        return Wire(rule).parse_all(line)
    except ParseError:
        return None


def part(node: Node, rule: str) -> str:
    """What a rule has matched inside of a line, or nothing."""
    found = [each.value for each in _nodes(node) if each.name == rule]
    return str(found[0]) if found else ""


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _nodes(child)


texts = st.text(max_size=30).map(lambda line: wire.clean(line).replace("\n", ""))
names = st.one_of(
    st.builds(Address, st.sampled_from(["192.0.2.7", "2001:db8::7"]), st.integers(0, 65535)).map(str),
    texts.map(lambda name: "".join(name.split())).filter(lambda name: name not in ("", "You")),
)
records = st.one_of(
    st.builds(Entered, st.just(Address("192.0.2.7", 1))),
    st.builds(Acted, st.just(1), texts.map(str.encode)),
    st.builds(Renamed, st.just(1), names),
    st.builds(Left, st.just(1)),
    st.builds(Said, st.just(1), st.lists(texts.map(str.encode), min_size=1, max_size=3).map(tuple)),
    st.builds(Announced, texts),
    st.builds(Closed, texts),
)
PIECES = st.sampled_from(
    [
        *("> Connected to the chat server ", "> New user ", " entered ", "< The user ", " left ", "[You] ", "! "),
        *("= The user ", " is now ", "* ", "(You to ", " to You) ", ") ", "(a to You) ", "(You to You) "),
        *("(0 user online)", "(1 user online)", "(2 users online)", "(٣ users online)", "(1234567890 users online)"),
        *(
            "(",
            " users online)",
            "[",
            "] ",
            "]",
            "[[::1]:1] ",
            "[a:1] ",
            " ",
            "\t",
            "\u3000",
            "x",
            "\ue000",
            "connected",
            "| 2026-11-24 12:03 ",
            "| 2026-13-24 12:03 ",
        ),
    ]
)
lines = st.lists(st.one_of(PIECES, PIECES, texts), max_size=5).map("".join)


@pytest.mark.parametrize("own", [False, True])
@given(record=records, name=names, users=st.integers(0, 999_999_999))
def test_what_is_written(own: bool, record: Record, name: str, users: int) -> None:
    """Whatever the server says of a fact is a line of the rule for it, and of no other but its likes."""
    data = (text.own if own else text.others)(Fact(record, 1, name, users))
    rules = {Entered: "entered", Left: "left", Said: "said", Announced: "answer", Closed: "answer"}
    rules |= {Acted: "acted", Renamed: "renamed"}
    rule = rules[type(record)]
    if own and rule in ("entered", "said", "renamed"):
        rule = {"entered": "connected", "said": "own", "renamed": "answer"}[rule]
    elif own:
        assert data is None
        return
    assert data is not None
    assert data.endswith(b"\n")
    for line in data.decode().removesuffix("\n").split("\n"):
        assert understood(rule, line)
        assert understood("line", line)


@given(name=names, line=texts)
def test_what_is_written_to_two(name: str, line: str) -> None:
    """So are the two forms of a line that is for two alone."""
    assert understood("told", text.private(name, None, line.encode()).decode().removesuffix("\n"))
    assert understood("telling", text.private(None, name, line.encode()).decode().removesuffix("\n"))


@given(name=names, line=texts, action=st.booleans(), at=st.integers(0, 2**32))
def test_what_is_written_of_the_past(name: str, line: str, action: bool, at: int) -> None:
    """So is what was said before, whenever that was."""
    record = Acted(1, line.encode()) if action else Said(1, (line.encode(),))
    found = jsonl.others(Fact(record, 1, name, 1, 1, at)).splitlines()
    first, past, last = text.history(found, 1).decode().splitlines()
    assert understood("past", past)
    assert wire.parse(past).text == line
    assert understood("answer", first)
    assert understood("answer", last)


@given(port=st.integers(1, 65535))
def test_the_first_line_of_the_console(port: int) -> None:
    """It has a rule of its own, which no member's line has."""
    line = text.started(port).decode().removesuffix("\n")
    assert understood("started", line)
    assert not understood("line", line)


@given(lines)
@example("> Connected to the chat server (٣ users online)")
@example("> Connected to the chat server (1234567890 users online)")
@example("[a/b:1] c")
@example("> New user a\u00a0b entered (2 users online)")
@example("[You] ")
@example("| 2026-11-24 12:03 [a:1] c")
@example("| 2026-11-24 12:03 * a waves")
@example("! ")
def test_what_is_read(line: str) -> None:
    """A line that has a rule is understood as that, part by part; one that has none is something else."""
    event = wire.parse(line)
    for rule, kind in KINDS.items():
        if found := understood(rule, line):
            digits = "".join(char for char in part(found, "online") if char.isdigit())
            users = int(digits) if digits else None
            said = part(found, "new") or part(found, "text")
            event = event._replace(time=None, old=False)
            assert event == Event(kind, line, part(found, "name") or None, said, users, part(found, "to") or None)
            return
    assert event == Event(Kind.OTHER, line, text=line)
    assert not understood("line", line)


@given(
    head=st.sampled_from(["", "/", "//", "/who", "/w", "/*", "/ㅎ", "/1", "/ ", "/\u3000"]),
    rest=st.text(st.sampled_from("/ \t*_-aZ1한ㅋ\u3000\ue000👋"), max_size=8),
)
def test_what_is_sent(head: str, rest: str) -> None:
    """A command is obeyed, two slashes say one, and everything else is said."""
    line = head + rest
    said = wire.said(line.encode())
    if understood("command", line):
        assert said is None
    elif found := understood("quoted", line):
        assert said == b"/" + part(found, "text").encode()
    else:
        assert understood("chat", line)
        assert said == line.encode()
    assert understood("sent", line)
