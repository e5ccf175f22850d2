"""The bot's language: what is understood, and how what is not is shown."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from chatctl.bot.plan import Size, plan, size
from chatctl.bot.reader import FIELDS
from chatctl.bot.script import STEPS, Expect, On, Send, Users, Wait, parse
from chatctl.bot.sources import script
from chatctl.cli import cli
from chatctl.errors import InputError, ScriptError

WHOLE = r"""
# what a script can look like

on /New user (\S+) entered/ at most 3 in 60 send Welcome, {1}! You are one of {users}.
every 0.5 send tick {n}
expect own "a \"b\" within 5" within 5
expect hello there   within 3
expect /^! (?P<online>\d+)/i
send {online} {0} {1} {name} # not a comment
repeat 3
	send "round {n} \t."
    repeat 2
        wait 0.5
    end
end
users 3
command /who
stay 3
stay
quit
"""

PLAN = r"""
    4  on /New user (\S+) entered/ at most 3 in 60 send Welcome, {1}! You are one of {users}.
    5  every 0.5 send tick {n}
    6  expect own "a \"b\" within 5" within 5
    7  expect hello there within 3
    8  expect /^! (?P<online>\d+)/i within 10
    9  send {online} {0} {1} {name} # not a comment
   10  repeat 3
   11      send "round {n} \t."
   12      repeat 2
   13          wait 0.5
           end
       end
   16  users 3 within 10
   17  command /who
   18  stay 3
   19  stay
   20  quit
"""


def test_a_whole_script() -> None:
    """Every step is understood, and the plan says how."""
    steps = parse(WHOLE, "x").steps
    assert list(plan(steps)) == PLAN.strip("\n").split("\n")
    assert size(steps) == Size(steps=20, lines=5, least=6.0, most=float("inf"))
    assert size(steps[2:4], 3) == Size(steps=6, lines=0, least=0.0, most=24.0)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_line_endings(ending: str) -> None:
    """Lines end as they do on any system, the last one too."""
    assert list(map(str, parse(f"send a{ending}send b{ending}", "x").steps)) == ["send a", "send b"]
    assert [step.line for step in parse(f"send a{ending}{ending}send b", "x").steps] == [1, 3]


@pytest.mark.parametrize(
    ("pattern", "line", "found"),
    [
        ("a.b", "xa.bx", True),
        ("a.b", "axb", False),
        ("two words", "[a:1] two words", True),
        ('"  within 5"', "it is  within 5", True),
        (r'"\"\\\t"', '"\\\t', True),
        ("/a.b/", "axb", True),
        ("/A/", "a", False),
        ("/A/i", "a", True),
        (r"/\//", "a/b", True),
        ("/^! [0-9]+ users?/", "! 3 users online", True),
        ("#", "#", True),
        ("하늘", "[a:1] 하늘과 땅", True),
    ],
)
def test_patterns(pattern: str, line: str, found: bool) -> None:
    """Words and quotes are literal, regular expressions are Python's."""
    (step,) = parse(f"expect {pattern}", "x").steps
    assert isinstance(step, Expect)
    assert bool(step.pattern.regex.search(line)) is found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("plain", "plain"),
        ("  spaces  ", "spaces"),
        ('"  spaces  "', "  spaces  "),
        (r"a \t \ \"", r"a \t \ \""),
        (r'"a \t \\ \""', 'a \t \\ "'),
        ("{{ {{me} }} }", "{ {me} }} }"),
        ("{me}{bot}", "1:21"),
        ('"{me}"', "1:2"),
        ("# no comment", "# no comment"),
        ('say "hi"', 'say "hi"'),
    ],
)
def test_texts(text: str, said: str) -> None:
    """Quotes keep blanks and have escapes; braces are fields."""
    (step,) = parse(f"send {text}", "x").steps
    assert isinstance(step, Send)
    assert step.text.fill({"me": "1:2", "bot": "1"}) == said


def test_defaults() -> None:
    """What is not said is what docs/bot.md says."""
    expected, users, answer, stay = parse("expect a\nusers 2\non a send b\nstay", "x").steps
    assert isinstance(expected, Expect)
    assert (expected.own, expected.within) == (False, 10.0)
    assert isinstance(users, Users)
    assert users.within == 10.0
    assert isinstance(answer, On)
    assert (answer.limit, answer.seconds) == (10, 10.0)
    assert isinstance(stay, Wait)
    assert stay.seconds is None


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("send", "1:5", "the text is missing"),
        ("sing", "1:1", "unknown step 'sing': the steps are send, command,"),
        ("sned a", "1:1", "unknown step 'sned': did you mean 'send'?"),
        ("Send a", "1:1", "unknown step 'Send': did you mean 'send'?"),
        ("repaet 2\nsend a\nend", "1:1", "unknown step 'repaet': did you mean 'repeat'?"),
        ("expect /a", "1:8", "has no end: close it with /"),
        ("expect /a/x", "1:11", "only an i can stand right behind"),
        ("expect /a(/", "1:10", "missing ), unterminated subpattern"),
        ("expect /a/ soon", "1:12", "nothing can follow here"),
        ("expect", "1:7", "the pattern is missing"),
        ("expect own", "1:11", "the pattern is missing"),
        ("expect within 3", "1:8", "the pattern is missing"),
        ("expect a within", "1:16", "a number of seconds must follow"),
        ("expect a within five", "1:17", "a number of seconds must follow"),
        ('expect "', "1:8", "the quote has no end"),
        ('expect ""', "1:8", "it is empty"),
        (r'expect "\n"', "1:9", "in quotes, only"),
        ("expect /(?P<text>.)/", "1:8", "{text} has a meaning of its own"),
        ("send {n}", "1:6", "{n} counts, but there is no repeat"),
        ("send a {b", "1:8", "this brace has no end"),
        ("send a {color}", "1:8", "{color} is unknown; it can be {n},"),
        ("send {1}", "1:6", "no expect before this has found it"),
        ("send {name}", "1:6", "no expect before this has found it"),
        ("expect a\nsend {0} {1}", "2:10", "no expect before this has found it"),
        ("expect /(?a)(?u)x/", "1:8", "cannot be used"),
        (f"expect /a{{{'1' * 5000}}}/", "1:8", "cannot be used"),
        ("on /(a)/ send {2}", "1:15", "no expect before this has found it"),
        ('send "a" b', "1:10", "nothing can follow here"),
        ('send ""', "1:6", "the text is empty"),
        ("command who", "1:9", "a command begins with /"),
        ("repeat\nend", "1:7", "a whole number from 1"),
        ("repeat 0\nend", "1:8", "the least number here is 1"),
        ("repeat 1.5\nend", "1:8", "a whole number from 1"),
        ("repeat 2", "1:8", "this repeat has no end"),
        ("repeat 2\nend", "1:8", "there is nothing to repeat"),
        ("end", "1:1", "there is no repeat that could end here"),
        ("repeat 1\n" * 21 + "quit\n" + "end\n" * 21, "21:8", "20 levels deep at most"),
        ("wait", "1:5", "a number of seconds must follow"),
        ("wait -1", "1:6", "a number of seconds must follow"),
        ("wait 1e5", "1:6", "a number of seconds must follow"),
        ("wait 1 2", "1:8", "nothing can follow here"),
        ("every 0 send a", "1:7", "the least number here is 0.01"),
        ("every 1 a", "1:9", "the word send must follow here"),
        ("on a", "1:5", "the word send must follow here"),
        ("on a at most 3 send b", "1:16", "the word in must follow here"),
        ("quit now", "1:6", "nothing can follow here"),
        ("stay soon", "1:6", "a number of seconds must follow"),
    ],
)
def test_errors(text: str, place: str, message: str) -> None:
    """What is wrong is named, with its line, its column and a caret below it."""
    with pytest.raises(ScriptError) as caught:
        parse(text, "x.chat")
    first, shown, caret = str(caught.value).split("\n")
    line, column = map(int, place.split(":"))
    assert first.startswith(f"x.chat:{place}: ")
    assert message in first
    assert shown == "    " + text.split("\n")[line - 1]
    assert caret == " " * (4 + column - 1) + "^"
    assert caught.value.status == 2


def test_all_mistakes_are_shown() -> None:
    """Each has its block, in the order of the lines; none is there only because of another one."""
    with pytest.raises(ScriptError) as caught:
        parse("sned a\nrepeat x\n  expect /(\nend\nsend {1} {n}\nrepeat 2\n  say hi\nend\nwiat 1\nend", "x")
    blocks = str(caught.value).split("\n")
    assert [line.split(" ")[0] for line in blocks[::3]] == [
        "x:1:1:",
        "x:2:8:",
        "x:3:10:",
        "x:5:10:",
        "x:7:3:",
        "x:9:1:",
        "x:10:1:",
    ]
    assert [line.strip() for line in blocks[2::3]] == ["^"] * 7


def test_a_file_that_is_no_script() -> None:
    """Of very many mistakes the first are shown, and how many more there are."""
    with pytest.raises(ScriptError) as caught:
        parse("{\n" * 1000, "x")
    assert len(str(caught.value).split("\n")) == 61
    assert str(caught.value).endswith("\nand 980 more mistakes")


def test_the_caret_stands_right_below() -> None:
    """Tabs, wide characters and what a terminal would obey do not move it."""
    with pytest.raises(ScriptError) as caught:
        parse("\texpect 한국어\x1b within x", "x")
    assert str(caught.value).split("\n")[1:] == ["    \texpect 한국어␛ within x", "    \t" + " " * 22 + "^"]


def test_fields_come_from_what_was_found_before() -> None:
    """Groups are those of the expects before; in an answer, those of its own pattern too."""
    parse("expect /(?P<a>.)/\nexpect b\nsend {a} {0}", "x")
    parse("on /(x)(?P<y>y)/ send {1} {2} {y} {name} {text} {n}", "x")
    parse("every 1 send {n}", "x")
    parse("expect /(.)/\nexpect b\nsend {1}", "x")
    with pytest.raises(ScriptError, match="no expect before"):
        parse("expect /(.)/\nexpect b\nsend {2}", "x")


def test_files(tmp_path: Path) -> None:
    """A script is a file in UTF-8; another one is shown where it is not, and one that is not there is named."""
    path = tmp_path / "a.chat"
    path.write_bytes(b"\xef\xbb\xbfsend a\n")
    assert [str(step) for step in script(str(path)).steps] == ["send a"]
    path.write_bytes(b"send a\nsend \xed\x95\x9c\xff\n")
    with pytest.raises(ScriptError, match=r"a\.chat:2:7: this is not UTF-8"):
        script(str(path))
    with pytest.raises(InputError, match="cannot read"):
        script(str(tmp_path / "none"))


def test_help_names_every_step_and_field() -> None:
    """``chatctl bot --help-script`` has the whole language, and an example that is a script."""
    text = CliRunner(env={"COLUMNS": "80"}).invoke(cli, ["bot", "--help-script"]).stdout
    for word in STEPS:
        assert re.search(rf"^  {word}\b", text, re.MULTILINE), word
    for field in FIELDS:
        assert f"  {{{field}}} " in text, field
    assert len(parse(text.split("Example:\n")[1], "x").steps) == 5
