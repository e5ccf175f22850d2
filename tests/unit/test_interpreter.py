"""A script at work, with lines and times that the test makes up."""

import pytest

from chatctl.bot.feed import Feed
from chatctl.bot.interpreter import Interpreter
from chatctl.bot.script import parse
from chatctl.bot.speech import Pace
from chatctl.bot.unread import Memory
from chatctl.errors import EchoError, ExpectError, InputError
from chatctl.peer.echoes import OVERDUE
from chatctl.peer.stay import Stay

UNHURRIED = Pace()
WELCOME = "> Connected to the chat server (1 user online)"


class Rehearsal:
    """A bot whose room is the test: what it says is echoed at once, unless the room is deaf."""

    def __init__(
        self,
        text: str,
        times: int = 1,
        pace: Pace = UNHURRIED,
        *,
        deaf: bool = False,
        memory: int = 10**6,
        curious: bool = False,
    ) -> None:
        self.warnings: list[str] = []
        self.bot = Interpreter(
            parse(text, "x.chat"),
            times,
            pace,
            number=7,
            memory=Memory(memory),
            clock=lambda: "12:00:00",
            warn=self.warnings.append,
        )
        self.now = 100.0
        self._deaf = deaf
        self.stay = Stay(curious=curious)
        self.bot.enter(self.stay, "me:1")

    def hear(self, *lines: str) -> list[str]:
        """Have lines come in one packet; what the bot says to that."""
        self.bot.receive("".join(f"{line}\n" for line in lines).encode(), self.now)
        return self.speak()

    def begin(self, *lines: str) -> list[str]:
        """Let it in, with lines in the same packet."""
        return self.hear(WELCOME, *lines)

    def speak(self) -> list[str]:
        """What it says now, and to its echoes."""
        said: list[str] = []
        while data := self.bot.advance(self.now):
            lines = data.decode().splitlines()
            said += lines
            if not self._deaf:
                echoes = [line.removeprefix("/") for line in lines if line.startswith("//") or line[0] != "/"]
                self.bot.receive("".join(f"[You] {line}\n" for line in echoes).encode(), self.now)
        return said

    def pass_time(self, seconds: float) -> list[str]:
        """Let time go on from deadline to deadline; what it says meanwhile."""
        said = []
        end = self.now + seconds
        while self.bot.deadline <= end and not self.bot.finished:
            self.now = max(self.now, self.bot.deadline)
            said += self.speak()
        self.now = end
        return said + self.speak()


def test_nothing_is_said_before_the_room_is_entered() -> None:
    """A script begins when the server lets the bot in, and ends when all is said."""
    play = Rehearsal("send a\nsend b")
    assert play.speak() == []
    assert play.begin() == ["a", "b"]
    assert play.bot.finished


def test_two_lines_of_one_packet_meet_two_expects() -> None:
    """The reading position is behind the line that was found, not at the time when that was."""
    play = Rehearsal("expect one\nexpect two\nsend both")
    assert play.begin("[a:1] one", "[a:1] two") == ["both"]


def test_a_line_is_found_once() -> None:
    """Each expect looks behind the line of the one before, and lines in between are passed."""
    play = Rehearsal("expect so\nexpect so\nsend twice")
    assert play.begin("[b:1] so", "[b:1] x") == []
    assert play.hear("[b:1] so") == ["twice"]


def test_lines_that_came_while_waiting_are_found() -> None:
    """What came during other steps is not lost to an expect after them."""
    play = Rehearsal("wait 5\nexpect early within 0\nsend yes")
    assert play.begin("[a:1] early") == []
    assert play.pass_time(5) == ["yes"]


def test_the_welcome_can_be_expected() -> None:
    """The first line of all is the first that an expect sees."""
    assert Rehearsal("expect Connected\nsend yes").begin() == ["yes"]


def test_own_lines_count_only_if_asked_for() -> None:
    """A pattern that is in the bot's own line waits for another's; own waits for its own only."""
    play = Rehearsal("send hi\nexpect hi\nsend other")
    assert play.begin() == ["hi"]
    assert play.hear("[a:1] hi") == ["other"]
    play = Rehearsal("expect own hi\nsend own", deaf=True)
    assert play.begin("[a:1] hi") == []
    assert play.hear("[You] hi") == ["own"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "nothing came"),
        (["[a:1] x"], "instead came: [a:1] x"),
        (["[a:1] x", "[a:1] y"], "instead came 2 lines, the last: [a:1] y"),
    ],
)
def test_an_expectation_that_fails(lines: list[str], message: str) -> None:
    """It says where, what, how long, and what came instead."""
    play = Rehearsal("expect Connected\n\nexpect /z/ within 2.5")
    play.begin(*lines)
    assert play.pass_time(2.4) == []
    with pytest.raises(ExpectError) as caught:
        play.pass_time(0.2)
    assert str(caught.value) == f"x.chat:3: no line with /z/ within 2.5 s: {message}"
    assert caught.value.status == 3


def test_users() -> None:
    """It waits until so many are online, as every line says it, and not only the last of a packet."""
    play = Rehearsal("users 3 within 5\nsend {users}")
    assert play.begin("> New user a:1 entered (2 users online)") == []
    three, two = "> New user b:1 entered (3 users online)", "< The user b:1 left (2 users online)"
    assert play.hear(three, two) == ["3"]
    play = Rehearsal("users 3 within 5")
    play.begin(two)
    with pytest.raises(ExpectError, match=r"x\.chat:1: not 3 users within 5 s: there are 2"):
        play.pass_time(5)


def test_waiting() -> None:
    """A wait takes its time; a stay without one has no end."""
    play = Rehearsal("send a\nwait 1.5\nsend b\nstay 2\nsend c\nstay\nsend never")
    assert play.begin() == ["a"]
    assert play.pass_time(1.4) == []
    assert play.pass_time(0.1) == ["b"]
    assert play.pass_time(2) == ["c"]
    assert play.pass_time(1e6) == []
    assert not play.bot.finished


def test_repeating() -> None:
    """Rounds are counted, each repeat for itself; the whole script can be repeated as well."""
    play = Rehearsal("repeat 2\nsend a{n}\nrepeat 2\nsend b{n}\nend\nsend c{n}\nend", times=2)
    assert play.begin() == ["a1", "b1", "b2", "c1", "a2", "b1", "b2", "c2"] * 2
    assert play.bot.finished


def test_an_answer() -> None:
    """An on answers to others, in every packet, beside the other steps, with the groups of its own line."""
    play = Rehearsal(r"on /^\[(\S+)\] (?P<w>h\w)/ send {w} {1} {name} {text} {n}" + "\nstay 1\nsend {users}")
    assert play.begin("[a:1] hi you", "[b:2] ho") == ["hi a:1 a:1 hi you 1", "ho b:2 b:2 ho 2"]
    assert play.hear("[a:1] x", "! ha") == []
    assert play.pass_time(1) == ["1"]
    assert play.hear("[a:1] hi") == []


def test_an_answer_to_lines_behind_the_reading_position() -> None:
    """An on looks from the reading position on, as an expect does."""
    play = Rehearsal("expect go\non a send found\nstay")
    assert play.begin("[b:1] a", "[b:1] go", "[b:1] a") == ["found"]


def test_the_guard() -> None:
    """No more answers than so many in so many seconds; more are left out, and that is said once."""
    play = Rehearsal("on a at most 2 in 10 send b\nstay")
    assert play.begin(*["[c:1] a"] * 5) == ["b", "b"]
    assert play.warnings == ["x.chat:1: answered 2 times in 10 s: not more"]
    assert play.pass_time(9.9) == []
    assert play.hear("[c:1] a") == []
    assert play.pass_time(0.1) == []
    assert play.hear("[c:1] a") == ["b"]
    assert len(play.warnings) == 1


def test_an_answer_is_never_to_an_own_line() -> None:
    """A pattern that is in its own answer does not answer to that."""
    play = Rehearsal("on so send so\nstay")
    assert play.begin("[b:1] so") == ["so"]


def test_a_standing_step_stands_once() -> None:
    """An on or every in a repeat is the same one in every round."""
    play = Rehearsal("repeat 3\non go send b{n}\nevery 1 send c{n}\nend\nstay")
    assert play.begin("[d:1] go") == ["b1"]
    assert play.pass_time(2) == ["c1", "c2"]


def test_every() -> None:
    """It speaks after so many seconds, and again; what cannot be said in time is not said later."""
    play = Rehearsal("every 2 send tick {n} {time}\nstay 7\nsend end")
    assert play.begin() == []
    assert play.pass_time(7) == ["tick 1 12:00:00", "tick 2 12:00:00", "tick 3 12:00:00", "end"]
    play = Rehearsal("every 2 send tick {n}\nstay")
    play.begin()
    play.now += 9
    assert play.speak() == ["tick 1"]
    assert play.pass_time(1.9) == []
    assert play.pass_time(0.1) == ["tick 2"]


def test_fields() -> None:
    """A group stays until an expect has another one for it; one that took no part is empty."""
    play = Rehearsal("expect /(x)|(?P<y>y)/\nsend <{1}> <{2}> <{y}>\nexpect /z(.)/\nsend {1}{y}{0} {me} {bot}")
    assert play.begin("[a:1] y") == ["<> <y> <y>"]
    assert play.hear("[a:1] zo") == ["oyzo me:1 7"]


def test_what_the_room_calls_it() -> None:
    """A script with {me} begins when the room has said it, unseen, or after ten seconds without."""
    answer = ["! 1 user online", "! you:2 (you)"]
    play = Rehearsal("send {me}")
    assert play.bot.curious
    for heard, said in ((answer, ["you:2"]), ([], ["me:1"])):
        play = Rehearsal("send {me}", curious=True)
        assert play.begin() == []
        assert play.stay.answer(play.now) == b"/who\n"
        assert play.hear("[a:1] hi", *heard) + play.pass_time(OVERDUE) == said
    assert not Rehearsal("send {bot}\non /me/ send {n} {{me}}").bot.curious


def test_groups_that_come_again() -> None:
    """In a later round, and in an every, a group is the last that was found for it."""
    play = Rehearsal("expect /(x)(y)/\nevery 1 send {1}{2}\nrepeat 2\nsend {1}-{2}\nexpect /(z)/\nend\nstay")
    assert play.begin("[a:1] xy") == ["x-y"]
    assert play.hear("[a:1] z") == ["z-y"]
    assert play.pass_time(1) == ["zy"]


def test_a_packet_that_is_late() -> None:
    """All lines of a packet are looked at before a time is over."""
    play = Rehearsal("expect b within 1\nexpect c within 1\nsend yes")
    play.begin()
    play.now += 5
    assert play.hear("[a:1] a", "[a:1] b", "[a:1] c") == ["yes"]


def test_memory_is_shared() -> None:
    """Who reads its lines leaves memory to the others."""
    memory = Memory(100_000)
    bots = [Interpreter(parse("users 3 within 9\nexpect a\nstay", "x"), 1, UNHURRIED, memory=memory) for _ in range(2)]
    for bot in bots:
        bot.enter(Stay(), "me:1")
        bot.receive(f"{WELCOME}\n".encode() + b"[a:1] x\n" * 1000, 0.0)
    assert 71_000 < memory.used <= 100_000
    for bot in bots:
        bot.receive(b"> New user c:1 entered (3 users online)\n[a:1] a\n", 0.0)
        bot.advance(0.0)
    assert memory.used == 0


def test_a_long_script() -> None:
    """Ten thousand steps take no longer than ten thousand rounds: what is ahead is found out once."""
    play = Rehearsal("send x\n" * 10_000)
    assert len(play.begin()) == 10_000


def test_what_is_said_is_said() -> None:
    """A text with a slash is chat, also when it comes out of a field; a command is obeyed; nothing is not sent."""
    play = Rehearsal("expect /] (.*)/\nsend /who\nsend {1}\ncommand /who\nexpect /] (.*)/\nsend {1}")
    assert play.begin("[a:1] /kick") == ["//who", "//kick", "/who"]
    assert play.hear("[a:1] ") == []
    assert play.bot.finished
    assert Rehearsal("send a\x1bb").begin() == ["a␛b"]


def test_quit() -> None:
    """It ends the script wherever it is, after what was said."""
    play = Rehearsal("repeat 3\nsend a\nquit\nend\nsend b")
    assert play.begin() == ["a"]
    assert play.bot.finished


def test_a_rate() -> None:
    """Lines are said no faster than asked, whoever wants them said."""
    play = Rehearsal("repeat 3\nsend {n}\nend", pace=Pace(rate=2))
    assert play.begin() == ["1"]
    assert play.pass_time(0.4) == []
    assert play.pass_time(0.1) == ["2"]
    assert play.pass_time(0.5) == ["3"]


def test_waiting_for_echoes() -> None:
    """A line is said only when the one before has come back, which must not take too long."""
    play = Rehearsal("send a\nsend b\nsend c", pace=Pace(wait_for_echo=True), deaf=True)
    assert play.begin() == ["a"]
    assert play.hear("[You] a") == ["b"]
    with pytest.raises(EchoError, match="no echo within 10 s: 1 of 2 lines were not echoed"):
        play.pass_time(OVERDUE)


def test_a_room_that_does_not_echo() -> None:
    """Nothing is sent more than 256 KiB ahead of the echoes, but for who never echoes after all."""
    play = Rehearsal(f"repeat 400\nsend {'x' * 1023}\nend", deaf=True)
    assert len(play.begin()) == 257
    assert len(play.pass_time(OVERDUE)) == 400 - 257


def test_a_lost_connection() -> None:
    """The script goes on where it was; what was not echoed is not said again, and stays missing."""
    play = Rehearsal("send a\nexpect go\nsend b", deaf=True)
    assert play.begin() == ["a"]
    play.bot.enter(Stay(), "me:2")
    assert play.speak() == []
    assert play.begin("[c:1] go") == ["b"]
    assert (play.bot.speech.sent, play.bot.speech.missing) == (2, 2)
    play.hear("[You] b")
    assert play.bot.speech.account() == "1 of 2 lines were not echoed"


def test_blocked() -> None:
    """While the connection takes nothing, nothing is said."""
    play = Rehearsal("send a")
    play.bot.speech.blocked = True
    assert play.begin() == []
    play.bot.speech.blocked = False
    assert play.speak() == ["a"]


def test_kept_lines_are_bounded() -> None:
    """Of lines that nobody reads, the oldest are forgotten; where none will be read, none are kept."""
    play = Rehearsal("wait 1\nexpect old within 1\nstay", memory=1000)
    play.begin("[a:1] old", *["[a:1] new"] * 1000)
    with pytest.raises(ExpectError, match=r"new \(9\d\d lines before that had to be forgotten\)"):
        play.pass_time(2)
    play = Rehearsal("expect a\nstay")
    play.begin("[b:1] a", *["[b:1] c"] * 1000)
    assert not list(play.bot._unread)


def test_who_need_not_hear_skims() -> None:
    """Lines of others are not even looked at by a bot that nobody watches and that expects none of them."""
    for text, heard in (("stay", 1), ("expect own a\nstay", 1), ("stay\nexpect a", 101), ("on a send b\nstay", 101)):
        bot = Interpreter(parse(text, "x"), 1, Pace(), memory=Memory(1000))
        bot.enter(Stay(), "me:1")
        bot.receive(f"{WELCOME}\n".encode(), 0.0, watched=False)
        bot.advance(0.0)
        assert len(bot.receive(b"[a:1] x\n" * 100 + b"[You] y\n", 0.0, watched=False)) == heard, text
        assert len(bot.receive(b"[a:1] x\n" * 100 + b"[You] y\n", 0.0)) == 101


def test_a_script_that_never_waits_lets_others_have_their_turn() -> None:
    """It is called again at once instead of being at work for ever."""
    play = Rehearsal("repeat 1000000\nwait 0\nend")
    play.begin()
    assert play.bot.deadline == play.now
    assert 0 < play.bot.taken < 10_000


@pytest.mark.parametrize("keep", [False, True])
def test_a_feed(keep: bool) -> None:
    """Lines are said as they come, over and over if they are kept; the reader is asked for more when none are left."""
    asked: list[None] = []
    feed = Feed(keep=keep, ask=lambda: asked.append(None))
    bot = Interpreter(feed, 2 if keep else 1, Pace(), memory=Memory(0))
    bot.enter(Stay(), "me:1")
    assert bot.advance(0.0) == b""
    assert not asked
    bot.receive(f"{WELCOME}\n".encode(), 0.0)
    assert bot.advance(0.0) == b""
    assert len(asked) == 1
    feed.put([b"a", b"/b"])
    assert bot.advance(0.0) == b"a\n//b\n"
    assert len(asked) == 2
    assert bot.advance(0.0) == b""
    assert len(asked) == 2
    feed.put([])
    assert len(asked) == 3
    assert not bot.finished
    feed.end(None)
    assert bot.advance(0.0) == (b"a\n//b\n" if keep else b"")
    assert bot.finished


def test_a_feed_that_breaks() -> None:
    """What was read is said, once; then its error is raised."""
    feed = Feed(keep=True, ask=lambda: None)
    bot = Interpreter(feed, 2, Pace(), memory=Memory(0))
    bot.enter(Stay(), "me:1")
    feed.put([b"a"])
    feed.end(InputError("broken"))
    with pytest.raises(InputError, match="broken"):
        bot.receive(f"{WELCOME}\n".encode(), 0.0)
    assert bot.speech.sent == 1
