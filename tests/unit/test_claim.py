"""A member's side of the dialect of programs, driven by bytes."""

import json
import math
from typing import Any

import pytest

from chatctl.errors import PasswordError
from chatctl.peer.claim import Claim
from chatctl.peer.stay import Stage, Stay
from chatctl.wire import Event, Kind

HELLO = {"kind": "hello", "v": 1, "server": "chatctl", "password": False, "line": 4096, "grace": 60}
AT = "2026-11-24T12:00:00Z"


def told(*events: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(event, separators=(",", ":")).encode() + b"\n" for event in events)


def welcome(seq: int, begin: int | None = None, **keys: Any) -> dict[str, Any]:
    found = {"kind": "welcome", "time": AT, "uid": 7, "you": "alice", "users": 2, "epoch": "abcdefgh", "first": 1}
    found |= {"from": begin or seq + 1, "seq": seq, "resumed": False, "taken": 0, "keeps": "nothing"}
    return found | keys


def message(seq: int, text: str, uid: int = 8, **keys: Any) -> dict[str, Any]:
    return {"seq": seq, "time": AT, "kind": "message", "uid": uid, "from": f"n{uid}", "text": text} | keys


def begin(claim: Claim, *first: dict[str, Any], password: bytes | None = None) -> Stay:
    """Another connection, with hello and more."""
    stay = Stay(password, claim=claim)
    assert stay.encrypt(b"") == b"/json\n"
    stay.receive(told(HELLO), 0.0)
    assert b"secret" in stay.answer(0.0)
    for event in first:
        stay.receive(told(event), 0.0)
    return stay


def shown(stay: Stay, *events: dict[str, Any]) -> list[str]:
    return [event.line for event in stay.receive(told(*events), 0.0)]


def entry(text: bytes) -> dict[str, Any]:
    assert text.startswith(b"/enter ")
    found: dict[str, Any] = json.loads(text.removeprefix(b"/enter "))
    return found


def test_entering() -> None:
    """The secret follows hello, and nothing before that decides anything; own lines are known by the own number."""
    claim = Claim("alice", 50)
    stay = Stay(claim=claim)
    assert stay.encrypt(b"") == b"/json\n"
    assert stay.receive(b"> Connected to the chat server (1 user online)\n", 0.0) == []
    assert (stay.answer(0.0), stay.stage) == (b"", Stage.WAITING)
    stay.receive(told(HELLO), 0.0)
    keys = entry(stay.answer(0.0))
    assert len(keys.pop("secret")) == 22
    assert keys == {"nick": "alice", "history": 50}
    events = stay.receive(told(welcome(3)), 0.0)
    assert [(event.kind, event.users) for event in events] == [(Kind.CONNECTED, 2)]
    assert (stay.stage, stay.question.me, claim.missed) == (Stage.OPEN, "alice", None)
    assert stay.send(b"hi", 0.0) == b"/id 1 hi\n"
    assert shown(stay, message(4, "hi", 7, id=1), message(5, "ho")) == ["[You] hi", "[n8] ho"]
    assert not claim.echoes.open


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_however_it_is_cut(size: int) -> None:
    """Chunks of any size come to the same."""
    claim = Claim("alice")
    stay = Stay(claim=claim)
    stay.encrypt(b"")
    data = b"> Connected to the chat server (1 user online)\n" + told(HELLO, welcome(3), message(4, "안녕"))
    events: list[Event] = []
    for place in range(0, len(data), size):
        events += stay.receive(data[place : place + size], 0.0)
    assert [event.line for event in events] == ["> Connected to the chat server (2 users online)", "[n8] 안녕"]


def test_what_was_there_before() -> None:
    """Old events are marked as such, and one's own coming in is not shown; then come live ones."""
    stay = begin(Claim("alice"))
    entered = {"seq": 3, "time": AT, "kind": "entered", "uid": 7, "from": "alice", "users": 2}
    events = stay.receive(told(welcome(3, 1), message(1, "a"), message(2, "b"), entered, message(4, "c")), 0.0)
    assert [(event.text, event.old) for event in events[1:]] == [("a", True), ("b", True), ("c", False)]


def test_coming_back() -> None:
    """What is not done is sent again under its numbers, and what was missed comes as ever."""
    claim = Claim("alice")
    stay = begin(claim, welcome(3))
    sent = b"".join(stay.send(b"%d" % number, 0.0) for number in range(4))
    assert sent == b"/id 1 0\n/id 2 1\n/id 3 2\n/id 4 3\n"
    shown(stay, message(4, "0", 7, id=1))
    stay.receive(b"", 0.0)
    again = Stay(claim=claim)
    again.encrypt(b"")
    again.receive(told(HELLO), 0.0)
    keys = entry(again.answer(0.0))
    assert (keys["epoch"], keys["after"]) == ("abcdefgh", 4)
    events = shown(again, welcome(6, 5, resumed=True, taken=2), message(5, "1", 7, id=2), message(6, "x"))
    assert events[1:] == ["[You] 1", "[n8] x"]
    assert again.answer(0.0) == b"/id 3 2\n/id 4 3\n"
    assert (claim.missed, claim.doubtful, again.send(b"new", 0.0)) == (0, [], b"/id 5 new\n")


@pytest.mark.parametrize(
    ("keys", "missed"), [({"resumed": True, "from": 9}, 5), ({"epoch": "zzzzzzzz"}, math.inf), ({"resumed": False}, 17)]
)
def test_what_is_missing(keys: dict[str, Any], missed: float) -> None:
    """It is said exactly, or that nobody can know."""
    claim = Claim("alice")
    begin(claim, welcome(3))
    begin(claim, welcome(20, **keys))
    assert claim.missed == missed


def test_a_room_that_was_started_anew() -> None:
    """Nothing is sent twice: what is not known to be said is doubtful."""
    claim = Claim("alice")
    stay = begin(claim, welcome(3))
    stay.send(b"one", 0.0)
    stay.send(b"/nick al", 0.0)
    again = begin(claim, welcome(1, epoch="zzzzzzzz"))
    assert again.answer(0.0) == b""
    assert (claim.doubtful, claim.echoes.missing) == ([b"one"], 1)


@pytest.mark.parametrize(
    "answer",
    [
        {"kind": "ack", "id": 1},
        {"kind": "error", "id": 1, "code": "nobody", "text": "nobody here is called bob (see /who)"},
        {"kind": "private", "time": AT, "uid": 7, "to": "bob", "id": 1, "text": "psst"},
    ],
)
def test_commands_are_done_once_too(answer: dict[str, Any]) -> None:
    """They have numbers, and are sent again until they are answered."""
    claim = Claim("alice")
    stay = begin(claim, welcome(3))
    assert stay.send(b"/msg bob psst", 0.0) == b"/id 1 /msg bob psst\n"
    again = begin(claim, welcome(3, resumed=True))
    assert again.answer(0.0) == b"/id 1 /msg bob psst\n"
    shown(again, answer)
    assert (claim.echoes.open, claim.echoes.said) == (False, 0)


def test_a_line_that_is_too_long() -> None:
    """It is known by its number, and not sent again."""
    claim = Claim("alice")
    stay = begin(claim, welcome(3))
    stay.send(b"x" * 5000, 0.0)
    stay.send(b"short", 0.0)
    text = "line too long, not sent: it may have 4096 bytes"
    shown(stay, {"kind": "error", "id": 1, "code": "long", "text": text})
    assert (claim.echoes.limit, list(claim.echoes.refused)) == (4096, [b"x" * 5000])
    assert begin(claim, welcome(3, resumed=True)).answer(0.0) == b"/id 2 short\n"


def test_a_gap_is_a_fault() -> None:
    """Who sees one connects again, and asks for it."""
    claim = Claim("alice")
    stay = begin(claim, welcome(3))
    assert shown(stay, message(5, "too early")) == []
    assert stay.ended
    assert "follows event 3" in stay.trouble
    assert claim.seq == 3


def test_skimming_sees_no_gaps() -> None:
    """Who leaves out what others say does not miss it."""
    claim = Claim("alice")
    stay = begin(claim, welcome(3))
    lines = told(*(message(seq, "x") for seq in range(4, 9)), message(9, "mine", 7, id=1), message(10, "x"))
    assert [event.text for event in stay.receive(lines, 0.0, skim=True)][:1] == ["mine"]
    assert shown(stay, message(11, "live")) == ["[n8] live"]
    assert claim.seq == 11


def test_whom_one_ignores() -> None:
    """Messages and actions are hidden by numbers, notices are not."""
    stay = begin(Claim("alice"), welcome(3), {"kind": "ignored", "uids": [8]})
    renamed = {"seq": 5, "time": AT, "kind": "renamed", "uid": 8, "from": "bob", "name": "rob"}
    assert shown(stay, message(4, "psst"), renamed, message(6, "hi", 9)) == [
        "= The user bob is now rob",
        "[n9] hi",
    ]


def test_history_in_its_frame() -> None:
    """Old lines that were asked for say so, and are no events of the present."""
    claim = Claim("alice")
    stay = begin(claim, welcome(30))
    frame = {"kind": "history", "count": 2, "of": 9, "first": 4, "id": 1}
    first, old, own = stay.receive(told(frame, message(4, "then"), message(5, "mine", 7)), 0.0)
    assert (first.kind, old.kind, old.old) == (Kind.HISTORY, Kind.OLD, True)
    assert (old.line[19:], own.line[19:]) == ("[n8] then", "[n7] mine")
    assert shown(stay, message(31, "now")) == ["[n8] now"]


def test_a_last_word() -> None:
    """Who must not come back does not; who was replaced sends nothing again."""
    claim = Claim("alice")
    stay = begin(claim, welcome(3))
    stay.send(b"hi", 0.0)
    bye = {"kind": "bye", "code": "replaced", "text": "you are here over another connection now", "again": False}
    shown(stay, bye)
    assert (stay.final, claim.doubtful) == (bye["text"], [b"hi"])
    assert begin(Claim(), welcome(1), bye | {"code": "closing", "again": True}).final is None


def test_a_server_without_programs() -> None:
    """It says so, or nothing for a while: then it is plain text, as ever, and the secret stays where it is."""
    for answer in (b"! no such command: /json (try /help; //text says /text)\n", b""):
        claim = Claim("alice")
        stay = Stay(claim=claim, curious=True)
        stay.encrypt(b"")
        events = stay.receive(b"> Connected to the chat server (1 user online)\n" + answer, 0.0) or stay.settle()
        assert [event.kind for event in events][:1] == [Kind.CONNECTED]
        assert stay.answer(0.0) == b"/nick alice\n/who\n"
        assert stay.send(b"hi", 0.0) == b"hi\n"


def test_hello_may_come_late() -> None:
    """What was said meanwhile was not heard: it is said again, under numbers."""
    claim = Claim("alice")
    stay = Stay(claim=claim)
    stay.encrypt(b"")
    stay.receive(b"> Connected to the chat server (1 user online)\n", 0.0)
    stay.settle()
    stay.answer(0.0)
    assert stay.send(b"hi", 0.0) == b"hi\n"
    stay.receive(told(HELLO), 0.0)
    assert entry(stay.answer(0.0))["nick"] == "alice"
    stay.receive(told({"kind": "error", "code": "usage", "text": "say /enter"}, welcome(3)), 0.0)
    assert stay.answer(0.0) == b"/id 1 hi\n"


def test_a_password() -> None:
    """It is asked for by hello, and goes with the secret; an older server takes the first line for one."""
    stay = Stay(claim=Claim("alice"))
    stay.encrypt(b"")
    stay.receive(b"! this room needs a password: send it as your first line\n" + told(HELLO | {"password": True}), 0.0)
    with pytest.raises(PasswordError, match="needs a password"):
        stay.answer(0.0)
    stay.password = b"wrong"
    assert entry(stay.answer(0.0))["password"] == "wrong"
    stay.receive(told({"kind": "error", "code": "password", "text": "wrong password"}), 0.0)
    stay.ask_again()
    stay.password = b"key"
    assert entry(stay.answer(0.0))["password"] == "key"
    older = Stay(b"key", claim=Claim("alice"))
    older.encrypt(b"")
    older.receive(b"! this room needs a password: send it as your first line\n! wrong password\n", 0.0)
    assert older.answer(0.0) == b"/nick alice\nkey\n"


def test_a_connection_that_ends_before_hello() -> None:
    """What is due is not doubtful for that: the next one may know it."""
    claim = Claim("alice")
    stay = begin(claim, welcome(3))
    stay.send(b"hi", 0.0)
    for said in (b"", b"! server full\n"):
        refused = Stay(claim=claim)
        refused.encrypt(b"")
        if said:
            refused.receive(said, 0.0)
        refused.receive(b"", 0.0)
        assert refused.trouble
    assert begin(claim, welcome(3, resumed=True)).answer(0.0) == b"/id 1 hi\n"


def test_leaving() -> None:
    """Who goes says so, else it would be waited for; there is nothing to be shown of the answer."""
    stay = begin(Claim("alice"), welcome(3))
    assert stay.part() == b"/quit\n"
    assert shown(stay, {"kind": "bye", "code": "quit", "text": "bye", "again": False}) == []
    stay.end()
    assert stay.trouble == ""
    assert begin(Claim("alice")).part() == b"/quit\n"  # it may be inside by now
    outside = Stay(claim=Claim("alice"))
    assert outside.part() == b""
