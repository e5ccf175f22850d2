"""A person's stay over several connections: no thread, no screen, and a clock that the test makes up."""

import json
from typing import Any, cast

import pytest

from chatctl.client import UNHEARD
from chatctl.client.dialer import Dialer, Down, Up
from chatctl.client.session import Session
from chatctl.errors import NetworkError, PasswordError
from chatctl.peer.claim import Claim
from chatctl.peer.comeback import STEADY
from chatctl.peer.stay import MAX_LINE, Stay
from chatctl.wire import answer
from chatctl.wire.words import KICKED, NEEDS_PASSWORD, WRONG_PASSWORD

WELCOME = b"> Connected to the chat server (2 users online)\n"


class Line:
    """What a session dials by: it notes what is asked of it. ``sent``: texts, and None for the end of them."""

    def __init__(self) -> None:
        self.up = False
        self.claim = Claim()
        self.sent: list[bytes | None] = []
        self.dialed = 0

    def send(self, text: bytes) -> None:
        self.sent.append(text)

    def half_close(self, text: bytes = b"") -> None:
        self.sent += [text, None] if text else [None]

    def dial(self) -> None:
        self.dialed += 1


class Person:
    """A session, and what it says to the person."""

    def __init__(self, password: bytes | None = None, *, reconnect: bool = True, wait: bool = False) -> None:
        self.line = Line()
        self.notes: list[str] = []
        line = cast(Dialer, self.line)
        self.session = Session(line, password, reconnect=reconnect, wait=wait, note=self.notes.append)
        self.session.put_back = self.take_back
        self.typed = ""
        self.stay = Stay()

    def take_back(self, text: str) -> bool:
        """Where the line is edited: there may be another one there."""
        free = not self.typed
        self.typed = self.typed or text
        return free

    def begin(self, *said: bytes, now: float = 0.0) -> None:
        """A connection to a server without programs begins, in which it says something."""
        self.stay = Stay(curious=True, claim=self.line.claim)
        self.line.up = True
        self.session.begin(Up(self.stay), now)
        assert self.stay.encrypt(b"") == b"/json\n"
        self.session.settle(Up(self.stay))
        for text in said:
            self.session.understand(text)
            self.session.answer(now)

    def lose(self, error: OSError | None = None, now: float = 0.0) -> float | None:
        """It ends; after how many seconds to come back."""
        self.line.up = False
        self.stay.end(error)
        return self.session.end(Down(self.stay), now)


def inside(*, reconnect: bool = True) -> Person:
    """One that has been welcomed."""
    person = Person(reconnect=reconnect)
    person.begin(WELCOME)
    return person


def test_the_prompt() -> None:
    """It says how the connection is, or how many are online."""
    person = Person()
    assert person.session.prompt(0.0) == "[connecting] > "
    person.begin(WELCOME)
    assert person.session.prompt(0.0) == "[2 users online] > "
    person.lose()
    person.session.wait(1.2)
    assert person.session.prompt(0.0) == "[offline, again in 2 s] > "
    person.session.dial()
    assert (person.session.prompt(0.0), person.line.dialed) == ("[connecting] > ", 1)


def test_what_is_said() -> None:
    """Lines go out together, are due until they come back, and the last thing is the end."""
    person = inside()
    assert person.session.say("one\n/who\ntwo", 0.0)
    person.session.understand(b"[You] one\n")
    assert person.session.due == 2
    person.session.understand(b"[You] /who\n")
    assert person.session.due == 1
    person.session.leave()
    assert person.line.sent == [b"/who\n", b"one\n//who\ntwo\n", None]
    assert person.lose() is None
    assert person.notes == ["maybe not sent: two"]


def test_lines_that_do_not_come_back() -> None:
    """After a second the prompt counts them: the server may hang."""
    person = inside()
    person.session.say("one", 10.0)
    person.session.say("two", 10.5)
    assert person.session.prompt(10.9) == "[2 users online] > "
    assert person.session.prompt(11.0) == "[2 users online, 1 unsent] > "
    assert person.session.prompt(12.0) == "[2 users online, 2 unsent] > "
    person.session.understand(b"[You] one\n")
    assert person.session.prompt(12.0) == "[2 users online, 1 unsent] > "
    person.session.understand(b"[You] two\n")
    assert person.session.prompt(12.0) == "[2 users online] > "


def test_a_server_that_says_nothing() -> None:
    """There is a hint, once, that it may speak TLS; not when it is gone, or another connection than was looked at."""
    person = Person(wait=True)
    person.begin()
    first = Up(person.stay)
    person.lose()
    person.session.look(first)
    person.begin()
    person.session.look(first)
    assert person.notes == ["the server went away"]
    for _ in range(2):
        person.session.look(Up(person.stay))
        person.lose()
        person.begin()
    assert person.notes == ["the server went away", UNHEARD]


@pytest.mark.parametrize("again", [False, True])
def test_a_server_that_has_spoken(again: bool) -> None:
    """There is no hint, nor when the connection is lost and made again: it is known what that room speaks."""
    person = inside()
    if again:
        person.lose()
        person.begin()
    person.session.look(Up(person.stay))
    assert UNHEARD not in person.notes


TOO_LONG = answer("line too long, not sent: it may have 8 bytes")


def test_a_line_that_is_too_long_for_the_room() -> None:
    """It comes back behind what the server says; in this connection such a line stays where it is from then on."""
    person = inside()
    assert person.session.say("long enough", 0.0)
    person.session.understand(TOO_LONG)
    assert (person.typed, person.notes) == ("", [])
    person.session.answer(0.0)
    assert person.typed == "long enough"
    assert not person.session.say("long enough", 0.0)
    assert person.session.say("12345678", 0.0)
    size = "the line has 11 bytes, the room takes 8"
    assert person.notes == [f"{size}: back in the prompt", f"not sent: {size}"]
    assert person.session.due == 1
    person.lose()
    person.begin(WELCOME)
    assert person.session.say("long enough", 0.0)


def test_a_line_that_is_too_long_while_something_is_typed() -> None:
    """What is typed stays, and the other line is named by its beginning."""
    person = inside()
    person.session.say("x" * 50, 0.0)
    person.typed = "next"
    person.session.understand(TOO_LONG)
    person.session.answer(0.0)
    assert person.typed == "next"
    assert person.notes == [f"the line has 50 bytes, the room takes 8: {'x' * 40}…"]


def test_a_paste_that_is_too_long() -> None:
    """Which of its lines it is, is said; the first that was refused comes back as it says the same."""
    person = inside()
    paste = "short\n/say hello\n/etc/passwd"
    assert person.session.say(paste, 0.0)
    person.session.understand(TOO_LONG + TOO_LONG)
    person.session.answer(0.0)
    assert person.typed == "//say hello"
    assert not person.session.say(paste, 0.0)
    assert person.notes == [
        "line 2 of the paste has 11 bytes, the room takes 8: back in the prompt",
        "line 3 of the paste has 11 bytes, the room takes 8: /etc/passwd",
        "not sent: line 2 of the paste has 11 bytes, the room takes 8",
    ]


def test_lines_that_come_back_with_a_refusal() -> None:
    """Whatever comes in the same read, every line that was refused is given back, and the others are struck off."""
    person = inside()
    for line in ("a short", "한" * 30, "short too", "x" * 65):
        assert person.session.say(line, 0.0)
    refusal = answer("line too long, not sent: it may have 64 bytes")
    person.session.understand(b"[You] a short\n" + refusal + b"[You] short too\n" + refusal)
    person.session.answer(0.0)
    assert person.session.due == 0
    assert person.typed == "한" * 30
    assert person.notes == [
        "the line has 90 bytes, the room takes 64: back in the prompt",
        f"the line has 65 bytes, the room takes 64: {'x' * 40}…",
    ]
    sent = list(person.line.sent)
    assert not person.session.say("x" * 65, 0.0)
    assert person.line.sent == sent
    assert person.session.say("x" * 64, 0.0)


def test_what_cannot_be_said() -> None:
    """Without a connection a line stays where it is, and so does one that is too long."""
    person = Person()
    assert not person.session.say("hi", 0.0)
    person.begin(WELCOME)
    assert not person.session.say("x" * (MAX_LINE + 1), 0.0)
    assert person.line.sent == [b"/who\n"]
    assert [note.partition(":")[0] for note in person.notes] == [
        "not connected",
        f"a line of the input has more than {MAX_LINE} bytes",
    ]


def test_who_is_here() -> None:
    """The quiet question teaches names, and which of them is this member's, anew in every connection."""
    person = inside()
    assert person.session.understand(answer("2 users online", "10.0.0.1:1", "192.0.2.7:2 (you)")) == []
    assert person.session.members.me == "192.0.2.7:2"
    assert person.session.members.beginning_with("10.") == ["10.0.0.1:1"]
    person.session.answer(0.0)
    assert person.notes == ["here: 10.0.0.1:1 and you", "you are 192.0.2.7:2: /nick NAME gives you a name"]
    person.lose()
    person.begin(WELCOME)
    assert person.session.members.me is None


@pytest.mark.parametrize(
    ("number", "note"),
    [
        (1, "nobody else is here"),
        (3, "here: 10.0.0.1:1, 10.0.0.1:2 and you"),
        (24, f"here: {', '.join(f'10.0.0.1:{port}' for port in range(1, 21))}, 3 more and you"),
    ],
)
def test_those_who_are_here(number: int, note: str) -> None:
    """They are named in one line, however many they are."""
    person = inside()
    others = [f"10.0.0.1:{port}" for port in range(1, number)]
    person.session.understand(answer(f"{number} users online", *others, "192.0.2.7:2 (you)"))
    assert person.notes == []  # what came with that is shown first
    person.session.answer(0.0)
    assert person.notes[0] == note


def test_a_name_is_kept() -> None:
    """The one that the room has given is asked for in the next connection, and so is whom to ignore."""
    person = inside()
    person.session.say("/nick alice", 0.0)
    person.session.understand(answer("you are alice now"))
    assert (person.session.members.me, person.line.claim.nick) == ("alice", "alice")
    person.session.say("/ignore bob", 0.0)
    person.session.say("/ignore eve", 0.0)
    person.session.say("/unignore bob", 0.0)
    person.lose()
    person.line.sent.clear()
    person.begin(WELCOME)
    assert person.line.sent == [b"/ignore eve\n", b"/nick alice\n/who\n"]


@pytest.mark.parametrize(("now", "told"), [(["a:1", "c:3"], False), (["a:1"], True), (["a:1", "c:3", "d:4"], True)])
def test_who_is_here_after_a_loss(now: list[str], told: bool) -> None:
    """Who comes back is told only of others than were there when the connection was lost."""
    person = inside()
    person.session.understand(answer("3 users online", "a:1", "b:2", "me:9 (you)"))
    person.session.understand(b"> New user c:3 entered (4 users online)\n< The user b:2 left (3 users online)\n")
    person.session.answer(0.0)
    person.lose()
    person.notes.clear()
    person.begin(WELCOME)
    person.session.understand(answer(f"{len(now) + 1} users online", *now, "me:10 (you)"))
    person.session.answer(0.0)
    assert person.notes == ([f"here: {', '.join(now)} and you"] if told else [])


def test_a_password_that_is_typed() -> None:
    """It is asked for once, and known from then on."""
    person = Person()
    person.begin(answer(NEEDS_PASSWORD))
    assert (person.session.secret, person.session.prompt(0.0)) == (True, "Password: ")
    person.session.give("", 0.0)
    assert person.notes == ["cannot use the password in what was typed: its first line is empty"]
    person.session.give("secret", 0.0)
    person.session.understand(WELCOME)
    person.lose()
    person.begin(answer(NEEDS_PASSWORD))
    assert person.line.sent == [b"secret\n", b"secret\n"]
    assert not person.session.secret


def test_a_wrong_password() -> None:
    """One that was given, and not typed, ends the session."""
    person = Person(b"guess")
    person.begin(answer(NEEDS_PASSWORD))
    with pytest.raises(PasswordError, match="another password"):
        person.begin(answer(NEEDS_PASSWORD), answer(WRONG_PASSWORD))


def test_a_typed_password_that_is_wrong() -> None:
    """It is asked for again, also one that was right once; the third wrong one ends the session."""
    person = Person()
    person.begin(answer(NEEDS_PASSWORD))
    person.session.give("old", 0.0)
    person.session.understand(WELCOME)
    person.lose()
    person.begin(answer(NEEDS_PASSWORD))
    for guess in ("a", "b"):
        assert not person.session.secret
        person.session.understand(answer(WRONG_PASSWORD))
        person.session.answer(0.0)
        assert person.session.secret
        person.session.give(guess, 0.0)
    person.session.understand(answer(WRONG_PASSWORD))
    with pytest.raises(PasswordError, match="another password"):
        person.session.answer(0.0)
    assert person.line.sent == [b"old\n", b"old\n", b"a\n", b"b\n"]


def test_a_room_that_does_not_wait() -> None:
    """Who did not type the password in time is told so."""
    person = Person()
    person.begin(answer(NEEDS_PASSWORD))
    with pytest.raises(PasswordError, match="did not wait any longer"):
        person.lose()


def test_coming_back() -> None:
    """A lost connection is told once, and made again after a delay that grows until one has lasted."""
    person = inside()
    delays = [person.lose(now=1.0)]
    for _ in range(2):
        person.stay = Stay()  # which there never was
        delays.append(person.lose(now=2.0))
    assert person.notes == ["the server went away"]
    person.begin(WELCOME, now=10.0)
    delays.append(person.lose(now=10.1 + STEADY))
    for delay, least in zip(delays, [1, 2, 4, 1], strict=True):
        assert delay is not None
        assert least <= delay <= 1.5 * least
    assert person.notes == ["the server went away"] * 2


def test_waiting_for_a_first_connection() -> None:
    """Who wants that tries again until it is inside, which is no reason to come back after that."""
    person = Person(reconnect=False, wait=True)
    for least in (1, 2):
        person.stay = Stay()  # which there never was
        delay = person.lose(ConnectionRefusedError(111, "Connection refused"))
        assert delay is not None
        assert least <= delay <= 1.5 * least
    assert person.notes == ["the connection broke: Connection refused"]
    person.begin(WELCOME)
    with pytest.raises(NetworkError, match="the server went away"):
        person.lose()


@pytest.mark.parametrize("reconnect", [True, False])
def test_the_end_for_good(reconnect: bool) -> None:
    """Who was never inside, does not want to come back, or was sent away, does not."""
    with pytest.raises(NetworkError, match="the server went away"):
        inside(reconnect=False).lose()
    never = Person(reconnect=reconnect)
    never.stay.end(NetworkError("cannot connect"))
    with pytest.raises(NetworkError, match="cannot connect"):
        never.lose()
    kicked = inside(reconnect=reconnect)
    kicked.session.understand(answer(f"{KICKED}: enough"))
    with pytest.raises(NetworkError, match="the server ended this: kicked: enough"):
        kicked.lose()


def test_leaving_by_ctrl_c() -> None:
    """The second of two within 2 s leaves; another one is a first again, and says so."""
    person = inside()
    assert [person.session.interrupt(now) for now in (0.0, 2.1, 4.1, 9.0)] == [False, False, True, False]
    assert person.notes == ["Ctrl-C again to leave"] * 3


def test_what_may_be_lost() -> None:
    """A handful of lines is named, of more there is a number."""
    person = inside()
    person.session.say("\n".join("abcdefg"), 0.0)
    person.lose()
    assert person.notes[:6] == [*(f"maybe not sent: {line}" for line in "abcde"), "maybe not sent: 2 more lines"]


def program(person: Person, seq: int, *events: str, now: float = 0.0, **keys: Any) -> list[str]:
    """A connection to a server that knows programs begins; what is shown of the welcome and what follows."""
    person.stay = Stay(curious=True, claim=person.line.claim)
    person.line.up = True
    person.session.begin(Up(person.stay), now)
    person.stay.encrypt(b"")
    hello = {"kind": "hello", "v": 1, "server": "chatctl", "password": False, "line": 4096, "grace": 60}
    welcome = {"kind": "welcome", "time": "2026-11-24T12:00:00Z", "uid": 7, "you": "alice", "users": 2, "first": 1}
    welcome |= {"epoch": "abcdefgh", "from": seq + 1, "seq": seq, "resumed": False, "taken": 0, "keeps": "nothing"}
    data = "".join(f"{each}\n" for each in (json.dumps(hello), json.dumps(welcome | keys), *events))
    shown = [event.line for event in person.session.understand(data.encode())]
    person.session.answer(now)
    return shown


def said(seq: int, text: str) -> str:
    head = {"seq": seq, "time": "2026-11-24T12:00:00Z", "kind": "message", "uid": 8, "from": "bob"}
    return json.dumps(head | {"text": text})


def test_what_was_said_before() -> None:
    """A line stands below it; where nothing was, none does."""
    connected = "> Connected to the chat server (2 users online)"
    person = Person()
    shown = program(person, 2, said(1, "a"), said(2, "b"), said(3, "c"), **{"from": 1})
    assert shown == [connected, "[bob] a", "[bob] b", "-- now --", "[bob] c"]
    assert program(Person(), 2, said(3, "c")) == [connected, "[bob] c"]


@pytest.mark.parametrize(
    ("keys", "note"),
    [
        ({"from": 3}, None),
        ({"from": 4}, "-- 1 line is missing here"),
        ({"from": 9}, "-- 6 lines are missing here"),
        ({"epoch": "zzzzzzzz"}, "-- the room does not know where you were: lines may be missing"),
    ],
)
def test_what_is_missing(keys: dict[str, Any], note: str | None) -> None:
    """It is said where it is missing, and nothing is, where nothing is."""
    person = Person()
    program(person, 2)
    person.lose()
    shown = program(person, 9, **({"resumed": True} | keys))
    assert shown[1:] == ([note] if note else [])


def test_what_is_sent_again() -> None:
    """In the account of one's own lines a loss leaves no trace, unless the server was started anew."""
    person = Person()
    program(person, 2)
    assert person.session.say("hi", 0.0)
    person.lose()
    assert person.notes == ["the server went away"]
    program(person, 2, resumed=True)
    assert (person.line.sent[-1] or b"").endswith(b"\n/id 1 hi\n/who\n")
    assert person.session.due == 1
    person.lose()
    program(person, 1, epoch="zzzzzzzz")
    assert person.notes[-1] == "maybe not sent: hi"
    assert person.session.due == 0
    person.session.leave()
    assert person.line.sent[-2:] == [b"/quit\n", None]
