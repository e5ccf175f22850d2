"""Any text is a script or an error with a place."""

import re

from hypothesis import given
from hypothesis import strategies as st

from chatctl.bot.plan import plan
from chatctl.bot.script import STEPS, parse
from chatctl.errors import ScriptError

PIECES = (
    r'end own within at-most in / /a(b)/ /(?P<c>.)/i " "x\"y" \ 1 0.5 [a- (? /(?a)(?u)/ '
    "{n} {1} {c} {text} {{ { } # one 한글"
)
words = st.sampled_from([*STEPS, *PIECES.replace("-most", " most").split(" "), "\t", "\x1b", "\r"])
lines = st.one_of(
    st.lists(words, max_size=8).map(" ".join),
    st.text(max_size=20),
    st.tuples(st.sampled_from([*STEPS, "end"]), st.text(max_size=20)).map(" ".join),
)
texts = st.lists(lines, max_size=8).map("\n".join)


@given(texts)
def test_any_text(text: str) -> None:
    """It is understood, or refused with places in it, each in a block of its own."""
    message = ""
    try:
        parse(text, "x")
    except ScriptError as error:
        message = str(error)
    if message:
        block = r"x:(\d+):(\d+): .+\n    .*\n    [ \t]*\^"
        assert re.fullmatch(rf"{block}(\n{block})*", message), message
        for line, column in re.findall(rf"^{block}$", message, re.MULTILINE):
            assert int(column) <= len(text.split("\n")[int(line) - 1]) + 1


@given(texts)
def test_a_plan_is_a_script(text: str) -> None:
    """What the plan says is understood as the same steps."""
    try:
        steps = parse(text, "x").steps
    except ScriptError:
        return
    again = "\n".join(line[7:] for line in plan(steps))
    assert [line[7:] for line in plan(parse(again, "x").steps)] == [line[7:] for line in plan(steps)]
