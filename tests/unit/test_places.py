"""Programs in the room: how they enter, come back, and number what they say."""

import json
from typing import Any

import jsonschema
import pytest

from chatctl.room import places as places_of
from chatctl.room.commands import MEMBERS
from chatctl.room.ledger import Ledger
from chatctl.room.places import ASLEEP
from chatctl.room.programs import ENTRY, MAX_TOLD, MOST_OWED, PASSWORD
from chatctl.room.stages import FINISHED, GONE, GREETED, INSIDE, KNOCKING, Due, Member
from chatctl.wire.events import Announced, Left
from chatctl.wire.words import Farewell
from tests.documents import ROOT
from tests.unit.test_room import Guests, drain

SECRETS = [letter * 22 for letter in "abcdefgh"]


class Programs(Guests):
    """A room that programs enter."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**({"grace": 60.0, "greet_delay": 0.05} | options))
        self.room.ledger.logs.epoch = "kvqhtaxb"
        self.now = 0.0
        self.port = 0

    def join(self, address: str) -> Member:
        """Somebody without a program."""
        member = self.arrive(address)
        self.room.join(member, self.now)
        self.room.no_word(member, self.now)
        drain(member)
        return member

    def come(self) -> Member:
        """Somebody who has not entered."""
        self.port += 1
        member = self.arrive(f"10.0.0.{self.port}:{self.port}")
        self.room.join(member, self.now)
        return member

    def hear(self, member: Member, *lines: str) -> list[dict[str, Any]]:
        """Say some lines; return what that member is told."""
        self.room.receive(member, "".join(f"{line}\n" for line in lines).encode(), self.now)
        return told(member)

    def enter(self, member: Member | None = None, **keys: Any) -> tuple[Member, list[dict[str, Any]]]:
        """Enter as a program; return the welcome and what follows."""
        if member is None:
            member = self.come()
        drain(member)
        hello, *rest = self.hear(member, "/json", "/enter " + json.dumps(keys))
        assert hello["kind"] == "hello"
        return member, rest

    def lose(self, member: Member) -> None:
        self.room.leave(member, self.now, "reset")

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.room.tick(self.now)


SCHEMA = jsonschema.Draft202012Validator(json.loads((ROOT / "docs/wire.schema.json").read_text()))


SHAPES: set[tuple[str, ...]] = set()


def told(member: Member) -> list[dict[str, Any]]:
    """What a member is told as a program: the first line of each shape is one that docs/wire.schema.json allows."""
    events = [json.loads(line) for line in drain(member).splitlines() if line.startswith("{")]
    for event in events:
        if (shape := (event["kind"], *event)) not in SHAPES:
            SCHEMA.validate(event)
            SHAPES.add(shape)
    return events


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["kind"] for event in events]


def texts(events: list[dict[str, Any]]) -> list[tuple[int, str]]:
    return [(event["seq"], event["text"]) for event in events if event["kind"] == "message"]


def test_a_program_enters() -> None:
    """Hello, the welcome, and what happens from then on, its own lines among it; the others get one notice."""
    guests = Programs()
    other = guests.join("a:1")
    member = guests.come()
    hello, welcome = guests.hear(member, "/json", f'/enter {{"nick":"alice","secret":"{SECRETS[0]}","more":[]}}')
    assert hello.pop("server").startswith("chatctl ")
    assert hello == {"kind": "hello", "v": 1, "password": False, "line": 4096, "grace": 60}
    assert welcome.pop("time").endswith("Z")
    assert welcome == {
        "kind": "welcome",
        "uid": 2,
        "you": "alice",
        "users": 2,
        "epoch": "kvqhtaxb",
        "first": 2,
        "from": 3,
        "seq": 2,
        "resumed": False,
        "taken": 0,
        "keeps": "200 lines in memory",
        "known": False,
    }
    assert drain(other) == "> New user alice entered (2 users online)\n"
    assert texts(guests.hear(member, "hi", "there")) == [(3, "hi"), (4, "there")]
    assert drain(other) == "[alice] hi\n[alice] there\n"


def test_a_browser_that_asks_for_nothing() -> None:
    """It has ten seconds, then its connection is given up; nobody sees anything of it."""
    guests = Programs()
    other = guests.join("a:1")
    member = guests.arrive("a:2")
    guests.room.knock(member, 0.0, Due.REQUEST)
    guests.pass_time(9.9)
    assert member.stage is KNOCKING
    guests.pass_time(0.1)
    assert member.stage is GONE
    assert (drain(member), drain(other), guests.room.ledger.hosts) == ("", "", {"a": 1})


def test_who_comes_back_misses_nothing() -> None:
    """In silence, with the same number, and all that was said meanwhile, once."""
    guests = Programs()
    other = guests.join("a:1")
    member, (welcome,) = guests.enter(nick="alice", secret=SECRETS[0])
    drain(other)
    guests.hear(member, "before")
    guests.lose(member)
    assert drain(other) == "[alice] before\n"
    assert guests.say(other, b"/who\n").splitlines()[1:] == ["! a:1 (you)", "! alice 10.0.0.1:1 (no link for 0 s)"]
    guests.say(other, "".join(f"{number}\n" for number in range(500)).encode())
    guests.room.moved()
    guests.room.touched()
    again, (back, *missed) = guests.enter(nick="alice", secret=SECRETS[0], epoch="kvqhtaxb", after=welcome["seq"] + 1)
    assert again in guests.room.touched()
    assert guests.room.moved() == ()  # nobody else has to be visited for that
    assert (back["uid"], back["you"], back["resumed"], back["users"]) == (welcome["uid"], "alice", True, 2)
    assert (back["from"], back["seq"]) == (4, 503)
    assert texts(missed) == [(4 + number, f"{number}") for number in range(500)]
    assert texts(guests.hear(again, "live")) == [(504, "live")]
    assert drain(other) == "[alice] live\n"
    assert (guests.room.ledger.resumed, guests.room.ledger.incomplete) == (1, 0)


@pytest.mark.parametrize("grace", [0.0, 60.0])
def test_a_loss_without_a_return(grace: float) -> None:
    """When the grace is over, the others are told, once; who comes back later is announced, with its own number."""
    guests = Programs(grace=grace)
    other = guests.join("a:1")
    member, (welcome,) = guests.enter(nick="alice", secret=SECRETS[0])
    guests.hear(member, "/id 7 hi")
    drain(other)
    guests.lose(member)
    if grace:
        assert drain(other) == ""
        assert guests.room.first_due == guests.now + 60.0
        guests.pass_time(59.9)
        assert drain(other) == ""
        guests.pass_time(0.1)
    assert drain(other) == "< The user alice left (1 user online)\n"
    _, (back, *missed) = guests.enter(secret=SECRETS[0], epoch="kvqhtaxb", after=3)
    assert (back["uid"], back["you"], back["resumed"], back["taken"]) == (welcome["uid"], "alice", True, 7)
    assert kinds(missed) == ["left", "entered"]
    assert missed[0]["why"] == "lost"
    assert drain(other) == "> New user alice entered (2 users online)\n"


@pytest.mark.parametrize("quits", [True, False])
def test_who_wants_to_go_has_gone(quits: bool) -> None:
    """``/quit`` and the operator end a place at once, and its secret begins a new one."""
    guests = Programs()
    other = guests.join("a:1")
    member, (welcome,) = guests.enter(nick="alice", secret=SECRETS[0])
    drain(other)
    if quits:
        assert guests.hear(member, "/quit") == [{"kind": "bye", "code": "quit", "text": "bye", "again": False}]
    else:
        guests.room.dismiss(member, 0.0, Farewell("kicked", "kicked"), "kicked")
        assert told(member) == [{"kind": "bye", "code": "kicked", "text": "kicked", "again": False}]
    assert drain(other) == "< The user alice left (1 user online)\n"
    _, (back, *_) = guests.enter(nick="alice", secret=SECRETS[0])
    assert (back["resumed"], back["uid"]) == (False, welcome["uid"] + 1)


def test_the_same_secret_twice() -> None:
    """The place moves to the newer link; the older one is told, and nothing of what it had sent is taken any more."""
    guests = Programs()
    other = guests.join("a:1")
    first, (welcome,) = guests.enter(nick="alice", secret=SECRETS[0])
    drain(other)
    second, (back,) = guests.enter(secret=SECRETS[0], epoch="kvqhtaxb", after=welcome["seq"])
    assert told(first)[-1]["code"] == "replaced"
    assert first.stage is FINISHED
    guests.hear(first, "/id 1 late")
    assert guests.room.inside == {other: None, second: None}.keys()
    assert (back["uid"], back["users"]) == (welcome["uid"], 2)
    assert texts(guests.hear(second, "hi")) == [(3, "hi")]
    assert drain(other) == "[alice] hi\n"
    guests.lose(first)
    guests.lose(second)
    guests.pass_time(60)
    assert drain(other) == "< The user alice left (1 user online)\n"


def test_a_number_counts_once() -> None:
    """What is sent again under a number that is done is answered, and not said again."""
    guests = Programs()
    other = guests.join("a:1")
    member, _ = guests.enter(nick="alice", secret=SECRETS[0])
    drain(other)
    lines = ["/id 1 one", "/id 2 two", "/id 2 two", "/id 1 one", "/id 3 ", "/id 4 /me waves", "/id 4 /me waves"]
    answered = [(event["id"], event["kind"]) for event in guests.hear(member, *lines)]
    expected = [(1, "ack"), (1, "message"), (2, "ack"), (2, "message"), (3, "ack"), (4, "ack"), (4, "action")]
    assert sorted(answered) == expected
    assert drain(other) == "[alice] one\n[alice] two\n* alice waves\n"


def test_every_number_is_answered() -> None:
    """By an event, an answer, an error or an acknowledgement, and once."""
    guests = Programs()
    guests.enter(nick="bob", secret=SECRETS[1])
    member, _ = guests.enter(nick="alice", secret=SECRETS[0])
    lines = [
        "hi",
        "//hi",
        "/who",
        "/nick al",
        "/msg bob psst",
        "/msg eve psst",
        "/nonsense",
        "/history",
        "/json",
        "/id 3 x",
    ]
    lines += ["/enter {}", "x" * 4096, "x" * 4097, "x" * 5000, "/ignore bob", "/help", "/quit"]
    for number, line in enumerate(lines, 1):
        answered = [event.get("id") for event in guests.hear(member, f"/id {number} {line}")]
        assert answered.count(number) == (1 if line != "/help" else len(MEMBERS) + 3)


def test_a_line_without_its_end_is_not_taken() -> None:
    """It comes again, whole."""
    guests = Programs()
    other = guests.join("a:1")
    member, _ = guests.enter(secret=SECRETS[0])
    drain(other)
    guests.room.receive(member, b"/id 7 hel", 0.0)
    guests.room.receive(member, b"", 0.0)
    again, (back,) = guests.enter(secret=SECRETS[0], epoch="kvqhtaxb", after=2)
    assert back["taken"] == 0
    assert texts(guests.hear(again, "/id 7 hello")) == [(3, "hello")]
    assert len(drain(other).splitlines()) == 1


def test_without_a_place_a_number_is_echoed_only() -> None:
    """Who has no secret has nothing that could be done twice."""
    guests = Programs()
    member, (welcome,) = guests.enter()
    assert welcome["you"] == str(member.address)
    assert [event["id"] for event in guests.hear(member, "/id 5 a", "/id 5 a")] == [5, 5]


def test_a_secret_of_any_characters() -> None:
    """Half a surrogate pair is no reason to fall over."""
    guests = Programs()
    secret = "\ud800" * 22
    guests.enter(secret=secret, nick="\udfff", epoch="\ud800", password="\ud800")
    member, (welcome, *_) = guests.enter(secret=secret)
    assert (member.stage, welcome["resumed"]) == (INSIDE, True)


def test_hello_comes_before_anything() -> None:
    """Until it has entered, whatever else a program says is refused and not said."""
    guests = Programs()
    other = guests.join("a:1")
    member = guests.come()
    events = guests.hear(
        member,
        "/json",
        "hi",
        "/json",
        "/id 5 hi",
        "/enter",
        "/enter []",
        '/enter {"after":-1}',
        '/enter {"nick":1}',
        '/enter {"secret":"short"}',
        "/enter {}",
    )
    assert kinds(events) == ["hello", *["error"] * 8, "welcome"]
    assert {event["code"] for event in events[1:-1]} == {"usage"}
    assert drain(other) == f"> New user {member.address} entered (2 users online)\n"


def test_a_program_has_time_to_enter() -> None:
    """And not for ever."""
    guests = Programs()
    member = guests.come()
    guests.hear(member, "/json")
    guests.pass_time(ENTRY - 0.1)
    assert member.stage is GREETED
    guests.pass_time(0.1)
    assert (member.stage, told(member)[-1]["kind"]) == (FINISHED, "bye")


def test_what_is_sent_instead_of_entering_is_bounded() -> None:
    """A chunk of nonsense is not answered for ever."""
    guests = Programs()
    member = guests.come()
    guests.hear(member, "/json")
    guests.room.receive(member, b"x\n" * 20_000, 0.0)
    assert len(drain(member)) < 2 * MAX_TOLD


@pytest.mark.parametrize("first", ["/json", "wrong"])
def test_a_password(first: str) -> None:
    """It comes with ``/enter``; three wrong ones end it, and each without one is one, whatever the secret."""
    guests = Programs(password=b"key")
    member = guests.come()
    (hello,) = list(guests.hear(member, *dict.fromkeys([first, "/json"])))
    assert hello["password"]
    assert guests.room.deadlines.first == PASSWORD
    assert guests.hear(member, f'/enter {{"secret":"{SECRETS[0]}"}}')[0]["code"] == "password"
    if first == "wrong":
        (bye,) = guests.hear(member, '/enter {"password":"wrong"}')
        assert (bye["kind"], bye["code"], bye["again"]) == ("bye", "password", False)
    else:
        assert kinds(guests.hear(member, '/enter {"password":"key"}')) == ["welcome"]


def test_late() -> None:
    """Who says it when it is in the room already: what was owed comes first, and its address becomes a name."""
    guests = Programs()
    other, member = guests.join("a:1"), guests.join("b:2")
    guests.say(other, b"before\n")
    guests.room.receive(member, b"mine\n/json\n", 0.0)
    guests.say(other, b"meanwhile\n")
    assert drain(member).splitlines()[:2] == ["[a:1] before", "[You] mine"]
    welcome, *events = guests.hear(member, f'/enter {{"nick":"alice","secret":"{SECRETS[0]}","history":1}}')
    assert (welcome["uid"], welcome["you"], welcome["users"], welcome["resumed"]) == (2, "alice", 2, False)
    assert kinds(events) == ["message", "renamed"]
    assert drain(other).splitlines()[-1] == "= The user b:2 is now alice"


def test_late_back_to_its_place() -> None:
    """Who was let in before it could say so is its address no longer: two notices, no more."""
    guests = Programs()
    other = guests.join("a:1")
    member, (welcome,) = guests.enter(nick="alice", secret=SECRETS[0])
    guests.lose(member)
    late = guests.join("b:2")
    drain(other)
    (_hello, back, *_events) = guests.hear(late, "/json", json.dumps({"secret": SECRETS[0]}).join(["/enter ", ""]))
    assert (back["uid"], back["users"], back["resumed"]) == (welcome["uid"], 2, True)
    assert drain(other) == "< The user b:2 left (2 users online)\n"
    assert texts(guests.hear(late, "hi"))
    assert drain(other) == "[alice] hi\n"


def test_late_back_to_a_place_whose_seat_is_taken_meanwhile() -> None:
    """Who is silent is let in before the address leaves, and may have the seat of who comes back: that one is woken."""
    guests = Programs(max_users=3)
    other = guests.join("a:1")
    alice, (welcome,) = guests.enter(nick="alice", secret=SECRETS[0])
    late = guests.join("b:2")
    guests.lose(alice)
    guests.hear(late, "/json")
    guests.room.join(guests.arrive("c:3"), guests.now)
    drain(other)
    back, *_ = guests.hear(late, f'/enter {{"secret":"{SECRETS[0]}"}}')
    assert (back["kind"], back["uid"], back["you"], back["users"]) == ("welcome", welcome["uid"], "alice", 3)
    assert drain(other).splitlines() == [
        "< The user alice left (2 users online)",
        "> New user c:3 entered (3 users online)",
        "< The user b:2 left (2 users online)",
        "> New user alice entered (3 users online)",
    ]
    assert kinds(guests.hear(late, "/id 1 hi")) == ["message"]


def test_a_kick_in_a_full_room_is_one() -> None:
    """Who is silent is not let in before that, and so has nobody leave for another reason."""
    guests = Programs(max_users=2)
    other = guests.join("a:1")
    alice, (welcome,) = guests.enter(nick="alice", secret=SECRETS[0])
    guests.lose(alice)
    guests.room.join(guests.arrive("c:3"), guests.now)
    drain(other)
    word = Farewell("kicked", "kicked")
    guests.room.end(guests.room.ledger.people[welcome["uid"]], guests.now, word, "kicked")
    assert drain(other) == "< The user alice left (1 user online)\n"
    assert guests.room.ledger.places.asleep == 0


def test_late_and_far_behind() -> None:
    """Who has not read what it was owed is to do that first."""
    guests = Programs()
    member = guests.join("a:1")
    other = guests.join("b:2")
    guests.say(other, (b"x" * 4000 + b"\n") * 20)
    guests.room.receive(member, b"/json\n", 0.0)
    assert member.lag > MOST_OWED
    assert member.stage is INSIDE
    assert drain(member).endswith("! read first: too much is on its way to you\n")


def test_a_full_room_has_room_for_who_comes_back() -> None:
    """Who is waited for gives way to a newcomer, the first lost first, but has a seat as long as nobody needs it."""
    guests = Programs(max_users=3)
    other = guests.join("a:1")
    alice, _ = guests.enter(nick="alice", secret=SECRETS[0])
    bob, _ = guests.enter(nick="bob", secret=SECRETS[1])
    full = guests.come()
    assert guests.hear(full, "/json", "/enter {}")[-1] == {
        "kind": "bye",
        "code": "full",
        "text": "server full",
        "again": True,
    }
    guests.lose(bob)
    guests.lose(alice)
    drain(other)
    _eve, (welcome,) = guests.enter(nick="eve", secret=SECRETS[2])
    assert welcome["users"] == 3
    assert drain(other) == "< The user bob left (2 users online)\n> New user eve entered (3 users online)\n"
    _, (back, *_) = guests.enter(secret=SECRETS[0], epoch="kvqhtaxb", after=2)
    assert (back["resumed"], back["users"]) == (True, 3)
    assert drain(other) == ""
    assert guests.room.refused == {"server full": 1}


def test_an_address_with_its_places() -> None:
    """Of one address, too, who is waited for gives way."""
    guests = Programs(max_per_ip=1)
    member = guests.arrive("10.0.0.1:1")
    guests.room.join(member, 0.0)
    guests.enter(member, nick="alice", secret=SECRETS[0])
    guests.lose(member)
    plain = guests.arrive("10.0.0.1:2")
    guests.room.join(plain, 0.0)
    guests.room.no_word(plain, 0.0)
    assert drain(plain) == "> Connected to the chat server (1 user online)\n"


def test_a_thousand_come_back_to_a_full_room() -> None:
    """All of them lose their links at once, and nobody is announced."""
    guests = Programs(max_users=1000)
    members = [guests.enter(secret=f"{number:022}")[0] for number in range(1000)]
    seq = guests.room.ledger.seq
    for member in members:
        guests.lose(member)
    for number in range(1000):
        _, (back, *_) = guests.enter(secret=f"{number:022}", epoch="kvqhtaxb", after=seq)
        assert (back["resumed"], back["users"]) == (True, 1000)
    assert guests.room.ledger.seq == seq


@pytest.mark.parametrize("why", ["kicked", "banned"])
def test_who_is_ended_without_a_link_gets_its_last_word(why: str) -> None:
    """It is announced at once, and told when it comes back, for a while."""
    guests = Programs()
    other = guests.join("a:1")
    member, (welcome,) = guests.enter(nick="alice", secret=SECRETS[0])
    guests.lose(member)
    drain(other)
    word = Farewell(why, f"{why} you are")
    guests.room.end(guests.room.ledger.people[welcome["uid"]], guests.now, word, why)
    assert drain(other) == "< The user alice left (1 user online)\n"
    back, (bye,) = guests.enter(secret=SECRETS[0])
    assert bye == {"kind": "bye", "code": why, "text": f"{why} you are", "again": False}
    assert back.stage is FINISHED
    guests.pass_time(60.0)
    _, (welcome, *_) = guests.enter(secret=SECRETS[0])
    assert welcome["resumed"] is False


def test_places_sleep_for_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """And so many at most."""
    monkeypatch.setattr(places_of, "MOST_ASLEEP", 10)
    guests = Programs(grace=0)
    for number in range(11):
        guests.lose(guests.enter(secret=f"{number:022}")[0])
    places = guests.room.ledger.places
    assert places.asleep == 10
    _, (first, *_) = guests.enter(secret=f"{0:022}")
    _, (second, *_) = guests.enter(secret=f"{1:022}")
    assert (first["resumed"], second["resumed"]) == (False, True)
    guests.now += ASLEEP
    guests.lose(guests.enter(secret=SECRETS[0])[0])
    assert places.asleep == 1


def test_a_name_wakes_with_its_place() -> None:
    """Who comes back from elsewhere has its name, if nobody else has it by now; else it is told."""
    guests = Programs(grace=0)
    member, _ = guests.enter(nick="alice", secret=SECRETS[0])
    guests.lose(member)
    thief, (_, refused) = guests.enter(nick="alice", secret=SECRETS[1])
    assert refused["text"] == "alice is kept for 60 s for who had it"
    again, (back, *_) = guests.enter(secret=SECRETS[0])
    assert back["you"] == "alice"
    guests.lose(again)
    guests.now += 61.0
    assert kinds(guests.hear(thief, "/id 1 /nick alice")) == ["entered", "left", "renamed", "ack"]
    awake, (back, *_, error) = guests.enter(secret=SECRETS[0])
    assert back["you"] == str(awake.address)
    assert (error["code"], error["text"]) == ("taken", "alice is taken")


def test_what_limits_somebody_comes_back_too() -> None:
    """Neither names nor lines are had anew by losing the link."""
    guests = Programs(rate=1.0, burst=10)
    member, _ = guests.enter(nick="alice", secret=SECRETS[0])
    for number in range(5):
        assert kinds(guests.hear(member, f"/nick a{number}")) == ["renamed"]
    assert member.bucket
    debt = member.bucket.wait(guests.now)
    replacing, _ = guests.enter(secret=SECRETS[0])
    assert replacing.bucket is member.bucket
    guests.lose(replacing)
    again, _ = guests.enter(secret=SECRETS[0])
    assert again.bucket is member.bucket
    assert again.bucket.wait(guests.now) >= debt
    assert guests.hear(again, "/nick a9")[0]["code"] == "slow"


def test_whom_one_ignores() -> None:
    """A program is told whom to hide, by number, also of those who come later, and when it comes back."""
    guests = Programs()
    bob, (welcome,) = guests.enter(nick="bob", secret=SECRETS[1])
    alice, _ = guests.enter(nick="alice", secret=SECRETS[0])
    ignored, answer = guests.hear(alice, "/id 1 /ignore bob")
    assert (ignored["uids"], answer["text"], answer["id"]) == ([welcome["uid"]], "you ignore bob", 1)
    guests.hear(bob, "psst")
    assert texts(told(alice)) == [(3, "psst")]
    guests.hear(alice, "/ignore 192.0.2.7")
    guests.join("192.0.2.7:5")
    assert told(alice)[-1] == {"kind": "ignored", "uids": [1, 3]}
    guests.lose(alice)
    _, (_, ignored) = guests.enter(secret=SECRETS[0], epoch="kvqhtaxb", after=4)
    assert ignored["uids"] == [1, 3]


def test_history_of_a_newcomer() -> None:
    """As many lines as it wants, with the notices between them, and no more, whatever it says it has seen."""
    guests = Programs(history=3)
    other = guests.join("a:1")
    guests.say(other, b"1\n2\n")
    guests.lose(guests.join("b:2"))
    guests.say(other, b"3\n4\n")
    for wanted, expected in ((0, []), (1, ["4"]), (3, ["2", "3", "4"]), (50, ["2", "3", "4"])):
        member, (welcome, *events) = guests.enter(history=wanted, epoch="kvqhtaxb", after=0)
        assert [text for _, text in texts(events)] == expected
        assert welcome["from"] == (events[0]["seq"] if events else welcome["seq"] + 1)
        assert welcome["first"] == 3
        assert not events or [event["seq"] for event in events] == list(range(welcome["from"], welcome["seq"] + 1))
        guests.lose(member)


def test_what_is_ahead_is_unknown() -> None:
    """Who has seen more than there is, or another numbering, does not wait for it."""
    guests = Programs()
    member, _ = guests.enter(secret=SECRETS[0])
    guests.hear(member, "hi")
    for epoch, after in (("kvqhtaxb", 999), ("aaaaaaaa", 1)):
        _, (back, *events) = guests.enter(secret=SECRETS[0], epoch=epoch, after=after, history=1)
        assert back["resumed"]
        assert texts(events) == [(2, "hi")]
    assert guests.room.ledger.incomplete == 2


def test_a_gap_that_is_too_large() -> None:
    """The newest part is sent, whole, and it is known how much is missing; nobody is cut for coming back."""
    guests = Programs(max_lag=1 << 20)
    other = guests.join("a:1")
    member, _ = guests.enter(secret=SECRETS[0])
    guests.lose(member)
    for number in range(1000):
        guests.say(other, b"%d %s\n" % (number, b"x" * 1000))
    again, (back, *events) = guests.enter(secret=SECRETS[0], epoch="kvqhtaxb", after=2)
    said = [event["seq"] for event in events if event["kind"] == "message"]
    assert said == list(range(back["from"], 1003))
    assert 200 < len(said) < 256
    assert again.stage is INSIDE
    (frame, *old) = guests.hear(again, f"/history 5 before {back['from']}")
    assert frame["count"] == 5
    assert [event["seq"] for event in old] == list(range(back["from"] - 5, back["from"]))


def test_nobody_reaches_below_where_it_came_in() -> None:
    """What was said before that is remembered for all, or not to be had."""
    guests = Programs(history=1)
    other = guests.join("a:1")
    guests.say(other, b"1\n2\n")
    member, (_welcome,) = guests.enter(secret=SECRETS[0])
    guests.say(other, b"3\n4\n")
    *_, frame, three, four = guests.hear(member, "/history 9 before 999")
    assert (frame["kind"], frame["count"], frame["first"]) == ("history", 2, 5)
    assert texts([three, four]) == [(5, "3"), (6, "4")]


def test_forgotten_lines_are_blank() -> None:
    """In the log of programs, too, with as many bytes, so that nobody's position moves."""
    guests = Programs()
    other = guests.join("a:1")
    member, _ = guests.enter(secret=SECRETS[0])
    guests.say(other, 'say "\\", 한글\n'.encode())
    guests.hear(member, "mine")
    guests.lose(member)
    ledger = guests.room.ledger
    tip = ledger.logs["json"].tip
    ledger.logs.blank([1], ledger.seq)
    assert ledger.logs["json"].tip == tip
    _, (_, *events) = guests.enter(secret=SECRETS[0], epoch="kvqhtaxb", after=2)
    assert [text.strip() for _, text in texts(events)] == ["", "mine"]


def test_a_log_of_programs_is_kept_for_who_comes_back() -> None:
    """As long as somebody may read on there, and no longer."""
    guests = Programs(history=0)
    ledger: Ledger = guests.room.ledger
    member, _ = guests.enter(secret=SECRETS[0])
    guests.lose(member)
    assert set(ledger.logs) == {"text", "json"}
    guests.pass_time(60.0)
    assert set(ledger.logs) == {"text"}


def test_a_shutdown_ends_programs_wherever_they_are() -> None:
    """Who is about to enter is told likewise."""
    guests = Programs()
    inside, _ = guests.enter(secret=SECRETS[0])
    greeted, late = guests.come(), guests.join("a:1")
    guests.hear(greeted, "/json")
    guests.hear(late, "/json")
    drain(inside)
    guests.room.close(1.0)
    assert kinds(told(greeted)) == kinds(told(late)) == ["bye"]
    assert kinds(told(inside)) == ["announcement"]
    guests.room.tick(10.0)
    assert {member.stage for member in (inside, greeted, late)} == {GONE}


def test_private_lines_to_who_has_lost_the_link() -> None:
    """They are not kept for that one, and the sender is told so."""
    guests = Programs()
    member, _ = guests.enter(nick="alice", secret=SECRETS[0])
    guests.lose(member)
    other = guests.join("a:1")
    assert guests.say(other, b"/msg alice psst\n") == "! alice has lost the connection: not sent\n"


def test_people_without_places_are_gone_at_once() -> None:
    """As ever; why that is, programs are told."""
    guests = Programs()
    member, _ = guests.enter(secret=SECRETS[0])
    for how, why in ((guests.lose, "lost"), (lambda other: guests.say(other, b"/quit\n"), "left")):
        other = guests.join("a:1")
        drain(member)
        how(other)
        assert [event["why"] for event in told(member) if event["kind"] == "left"] == [why]
    guests.room.post(Announced("x"))
    guests.room.post(Left(99))
    assert kinds(told(member)) == ["announcement"]
