"""Events → text, without a screen."""

import re
import time
import timeit
from collections.abc import Callable

import pytest

from chatctl.display import FOLD, PALETTE, Display
from chatctl.wire import Event, Kind, parse

NOW = 1_800_000_000.0


def events(*lines: str) -> list[Event]:
    return [parse(line) for line in lines]


def bare(text: str) -> str:
    """Without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_without_options_it_is_the_wire() -> None:
    """Every line stands as the server wrote it, whatever its length."""
    lines = ["> Connected to the chat server (1 user online)", "[You] hi", "[a:1]  x\ty", "! answer", "other", "[a:1] "]
    lines.append("[a:1] " + "word " * 100)
    assert Display().text(events(*lines), NOW) == "".join(f"{line}\n" for line in lines)


def test_colors_change_no_text() -> None:
    """Under the colours stands the same text; what a member said has none."""
    lines = [
        "[a:1] hi",
        "[You] hi",
        "! answer",
        "> New user b:1 entered (2 users online)",
        "[a:1] ",
        "[a:1]  two  spaces",
    ]
    text = Display(color=True).text(events(*lines), NOW)
    assert bare(text) == "".join(f"{line}\n" for line in lines)
    assert text.startswith(f"\x1b[38;5;{PALETTE[0]}m[a:1]\x1b[0m hi\n") or "m[a:1]\x1b[0m hi\n" in text


def test_colors_are_told_apart_on_both_backgrounds() -> None:
    """Each has a contrast of 3:1 to black and to white, by WCAG's relative luminance."""
    levels = (0, 95, 135, 175, 215, 255)  # of xterm's cube

    def linear(level: int) -> float:
        share = level / 255
        return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4

    for color in PALETTE:
        cube = color - 16
        red, green, blue = (linear(levels[digit]) for digit in (cube // 36, cube // 6 % 6, cube % 6))
        luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
        assert 1.05 / (luminance + 0.05) >= 3
        assert (luminance + 0.05) / 0.05 >= 3


def test_a_name_keeps_its_color() -> None:
    """Its colour depends on the name alone."""
    first, second = (Display(color=True).text(events("[a:1] x"), NOW) for _ in range(2))
    names = Display(color=True).text(events(*(f"[{number}:1] x" for number in range(100))), NOW)
    assert first == second
    assert len(set(re.findall(r"\x1b\[38;5;(\d+)m", names))) == len(PALETTE)


def test_timestamps() -> None:
    """The local time stands before every line, the program's own included."""
    stamp = time.strftime("%H:%M", time.localtime(NOW))
    display = Display(timestamps=True)
    assert display.text(events("[a:1] x"), NOW) == f"{stamp} [a:1] x\n"
    assert display.note("offline", NOW) == f"{stamp} -- offline\n"


@pytest.mark.parametrize(
    ("line", "rows"),
    [
        ("[a:1] one two three four", ["[a:1] one two three", "      four"]),
        ("[a:1] 하나 둘 셋 넷 다섯", ["[a:1] 하나 둘 셋 넷", "      다섯"]),
        ("[a:1] exactly twenty", ["[a:1] exactly twenty"]),
        ("[a:1] abcdefghijklmnopqrstuvwxyz", ["[a:1] abcdefghijklmn", "      opqrstuvwxyz"]),
        ("[a-long-name-it-is:1] two words", ["[a-long-name-it-is:1]", "      two words"]),
        ("[a:1] see https://example.org/a/b?c=d, ok", ["[a:1] see", "      https://example.org/a/b?c=d,", "      ok"]),
        ("[a:1] (www.example.org/한글/abc) and", ["[a:1]", "      (www.example.org/한글/abc)", "      and"]),
        ("[a:1] ://abcdefghijklmnopqrstuvw", ["[a:1] ://abcdefghijk", "      lmnopqrstuvw"]),
        ("[a:1] a\tb", ["[a:1] a    b"]),
        ("[a:1] 👩‍💻👩‍💻👩‍💻👩‍💻👩‍💻👩‍💻👩‍💻", ["[a:1] 👩‍💻👩‍💻👩‍💻👩‍💻👩‍💻👩‍💻👩‍💻"]),
    ],
)
@pytest.mark.parametrize("color", [False, True])
def test_wrapping(line: str, rows: list[str], color: bool) -> None:
    """Words go to the next row, indented like the text as far as that leaves room; a longer one is cut.

    The terminal wraps a head that is too wide, and an address of a web page, which stays whole that way.
    """
    text = Display(width=lambda: 20, color=color).text(events(line), NOW)
    assert [row.rstrip() for row in bare(text).splitlines()] == rows


def seconds(call: Callable[[], object]) -> float:
    """How long something takes: the best of three."""
    return min(timeit.repeat(call, number=1, repeat=3))


@pytest.mark.parametrize("word", ["x", "http://xx"])
@pytest.mark.parametrize("size", [8_000, 1_000_000])
def test_a_long_word_takes_no_time(size: int, word: str) -> None:
    """One that fills the screen is broken, and one that fills many is left to the terminal: as fast as words are."""
    display = Display(width=lambda: 80)
    word, words = word.ljust(size, "x"), "xxxx " * (size // 5)
    assert len(display.text(events(f"[a:1] {word}"), NOW)) >= size
    long = seconds(lambda: display.text(events(f"[a:1] {word}"), NOW))
    short = seconds(lambda: display.text(events(f"[a:1] {words}"), NOW))
    assert long < 5 * short


def test_a_long_word_in_a_note_takes_no_time() -> None:
    """What is repeated may be as long."""
    display = Display(width=lambda: 80)
    long = seconds(lambda: display.note("maybe not sent: " + "한" * 8000, NOW))
    short = seconds(lambda: display.note("maybe not sent: " + "한글 " * 2000, NOW))
    assert long < 5 * short


def test_notes_are_clean() -> None:
    """What is repeated in a note, as what was typed, is not obeyed by the terminal either."""
    assert Display().note("not sent: \x1b]0;pwn\x07\nline", NOW) == "-- not sent: ␛]0;pwn␇␊line\n"


def test_mentions() -> None:
    """One's own address and the given words, as words, from others; nothing else."""
    display = Display(highlight=["deploy"], bell="mention")
    display.me = "127.0.0.1:5"
    for line in ("[a:1] deployed", "[You] deploy", "! deploy", "[a:1] 127.0.0.1:56", "[deploy] x"):
        assert display.text(events(line), NOW) == f"{line}\n"
    for line in ("[a:1] Deploy?", "[a:1] (127.0.0.1:5)"):
        assert display.text(events(line, line), NOW) == f"{line}\n{line}\n\a"


def test_the_bell() -> None:
    """It rings for every message of others when that is asked for, and never otherwise."""
    assert Display(bell="always").text(events("[a:1] x"), NOW) == "[a:1] x\n\a"
    assert Display(bell="always").text(events("[You] x", "! x"), NOW) == "[You] x\n! x\n"
    assert Display(highlight=["x"]).text(events("[a:1] x"), NOW) == "[a:1] x\n"


def test_what_is_for_the_reader_alone() -> None:
    """A private line stands out and rings as a mention does, one's own does not; actions are as messages are."""
    display = Display(bell="mention", color=True)
    display.me = "alice"
    private = display.text(events("(bob to You) psst"), NOW)
    assert private.endswith("\n\a")
    assert bare(private) == "(bob to You) psst\n\a"
    assert private.startswith("\x1b[1;38;5;")
    assert display.text(events("(You to bob) psst"), NOW) == "\x1b[1m(You to bob)\x1b[0m psst\n"
    assert display.text(events("* alice greets alice"), NOW).endswith("alice\n")
    assert bare(display.text(events("* bob greets Alice"), NOW)) == "* bob greets Alice\n\a"
    message, action = (display.text(events(line), NOW) for line in ("[bob] x", "* bob x"))
    assert re.findall(r"38;5;\d+", message) == re.findall(r"38;5;\d+", action)


def test_notices_of_renames() -> None:
    """They are notices, of interest when somebody spoke, who is known by the new name from then on."""
    renamed, left = "= The user a:1 is now al", "< The user al left (1 user online)"
    assert Display(notices="none").text(events(renamed), NOW) == ""
    assert Display(notices="smart").text(events(renamed, left), NOW) == ""
    assert Display(notices="smart").text(events("* a:1 x", renamed, left), NOW) == f"* a:1 x\n{renamed}\n{left}\n"
    display = Display(notices="smart")
    display.text(events(*(f"[{name}:1] x" for name in "abcd")), NOW)
    many = [f"= The user {name}:1 is now {name}" for name in "abcd"]
    assert display.text(events(*many), NOW) == "-- 4 renamed\n"


def test_no_notices() -> None:
    """Lines about who enters and leaves are left out, the welcome is not."""
    lines = ["> Connected to the chat server (1 user online)", "> New user a:1 entered (2 users online)", "[a:1] x"]
    assert Display(notices="none").text(events(*lines, "< The user a:1 left (1 user online)"), NOW) == (
        f"{lines[0]}\n{lines[2]}\n"
    )


def test_smart_notices() -> None:
    """Only who spoke is announced to leave, and is forgotten then."""
    display = Display(notices="smart")
    left = "< The user a:1 left (1 user online)"
    assert display.text(events("> New user a:1 entered (2 users online)", left), NOW) == ""
    assert display.text(events("[a:1] x", left, left), NOW) == f"[a:1] x\n{left}\n"


def test_folded_notices() -> None:
    """Many at once become one line with their numbers."""
    display = Display(notices="smart")
    display.text(events(*(f"[{number}:1] x" for number in range(FOLD + 3))), NOW)
    few = [f"< The user {number}:1 left (9 users online)" for number in range(FOLD)]
    assert display.text(events(*few), NOW) == "".join(f"{line}\n" for line in few)
    display.text(events(*(f"[{number}:1] x" for number in range(FOLD + 3))), NOW)
    many = [f"< The user {number}:1 left ({10 - number} users online)" for number in range(FOLD + 2)]
    back = f"> New user {FOLD + 2}:1 entered (7 users online)"
    assert display.text(events("[x:1] a", *many, back, "[x:1] b"), NOW) == (
        f"[x:1] a\n-- 1 entered, {FOLD + 2} left (7 users online)\n[x:1] b\n"
    )


def local(at: float, form: str = "%H:%M") -> str:
    return time.strftime(form, time.localtime(at))


def test_the_servers_times() -> None:
    """Where the server tells when something happened, that stands before it; else the reader's own clock."""
    message = Event(Kind.MESSAGE, "[a:1] hi", "a:1", "hi", time=NOW - 60)
    shown = Display(timestamps=True).text([message, *events("[a:1] hi")], NOW)
    assert shown == f"{local(NOW - 60)} [a:1] hi\n{local(NOW)} [a:1] hi\n"


def test_another_day() -> None:
    """The date stands where it is another one than before, and first of all, if that is not today."""
    display = Display(timestamps=True)
    old = Event(Kind.MESSAGE, "[a:1] hi", "a:1", "hi", time=NOW - 86400, old=True)
    line = f"{local(NOW - 86400)} [a:1] hi\n"
    assert display.text([old, old], NOW) == f"-- {local(NOW - 86400, '%Y-%m-%d')}\n{line}{line}"
    line = f"{local(NOW)} [a:1] hi\n"
    assert display.text(events("[a:1] hi"), NOW) == f"-- {local(NOW, '%Y-%m-%d')}\n{line}"
    assert display.text(events("[a:1] hi"), NOW) == line
    assert Display(timestamps=True).text(events("[a:1] hi"), NOW) == line
    assert Display().text([old], NOW) == "[a:1] hi\n"


def test_old_lines_are_dimmed_and_silent() -> None:
    """What was said before the reader came is no reason to ring, and looks like that."""
    display = Display(color=True, bell="always", highlight=["hi"])
    assert display.text([events("[a:1] hi")[0]._replace(old=True)], NOW) == "\x1b[2m[a:1] hi\x1b[0m\n"
    assert display.text(events("[a:1] hi"), NOW).endswith("\a")
