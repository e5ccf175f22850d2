"""The bot's language: text → steps, or an error that shows the place.

One step a line. `parse` reads it, with a `Reader` for each line (`reader.py`); what a step does is in
`interpreter.py`. It does no I/O.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from chatctl.bot.reader import Pattern, Reader, Scope, Text
from chatctl.errors import ScriptError

STEPS = {
    "send": ("send TEXT", "Say TEXT."),
    "command": ("command /WORD...", "Give the server a command, such as /who."),
    "msg": ("msg NAME TEXT", "Say TEXT to one member alone."),
    "expect": (
        "expect [own] PATTERN [within SECONDS]",
        "Wait, 10 s at most, for a line with PATTERN behind the one expected last; own: for one of the bot's own.",
    ),
    "users": ("users NUMBER [within SECONDS]", "Wait, 10 s at most, until so many are online."),
    "wait": ("wait SECONDS", "Do nothing for so long."),
    "stay": ("stay [SECONDS]", "Let on and every do their work: for ever, or for so long."),
    "repeat": ("repeat NUMBER ... end", "Take the steps between them so many times."),
    "on": (
        "on PATTERN [at most NUMBER in SECONDS] send TEXT, or ... msg NAME TEXT",
        "From now on answer each line of others that has PATTERN, at most 10 times in 10 s. What is for the bot "
        "alone is answered by msg only.",
    ),
    "every": ("every SECONDS send TEXT", "From now on say TEXT again and again."),
    "quit": ("quit", "Leave at once."),
}
"""The steps: how they are written, and what they do."""

PATIENCE = 10.0
"""Seconds that ``expect`` and ``users`` wait if they are not told."""

GUARD = (10, 10.0)
"""Answers, and the seconds in which an ``on`` gives no more of them, if it is not told."""

DEEPEST = 20
"""Levels of ``repeat`` in ``repeat``."""

SHOWN = 20
"""Mistakes of one script that are shown."""


@dataclass(frozen=True)
class Send:
    """Say a text to all, or to one; or give a command: as the ``verb`` is."""

    line: int
    text: Text
    verb: str = "send"

    def __str__(self) -> str:
        return f"{self.verb} {self.text}"


@dataclass(frozen=True)
class Expect:
    """Wait for a line behind the reading position; that moves just behind it."""

    line: int
    pattern: Pattern
    own: bool
    within: float

    def __str__(self) -> str:
        return f"expect {'own ' if self.own else ''}{self.pattern} within {self.within:g}"


@dataclass(frozen=True)
class Users:
    """Wait until so many are online."""

    line: int
    number: int
    within: float

    def __str__(self) -> str:
        return f"users {self.number} within {self.within:g}"


@dataclass(frozen=True)
class Wait:
    """Go on later. ``stays``: that is what it was written as; no seconds: never."""

    line: int
    seconds: float | None
    stays: bool = False

    def __str__(self) -> str:
        return f"{'stay' if self.stays else 'wait'}{'' if self.seconds is None else f' {self.seconds:g}'}"


@dataclass(frozen=True)
class Repeat:
    """Take steps so many times."""

    line: int
    times: int
    steps: list["Step"] = field(default_factory=list)

    def __str__(self) -> str:
        return f"repeat {self.times}"


@dataclass(frozen=True)
class On:
    """From now on answer to each line that is found, at most ``limit`` times in ``seconds``."""

    line: int
    pattern: Pattern
    limit: int
    seconds: float
    text: Text
    verb: str = "send"

    def __str__(self) -> str:
        return f"on {self.pattern} at most {self.limit} in {self.seconds:g} {self.verb} {self.text}"


@dataclass(frozen=True)
class Every:
    """From now on say a text again and again."""

    line: int
    seconds: float
    text: Text
    verb: str = "send"

    def __str__(self) -> str:
        return f"every {self.seconds:g} send {self.text}"


@dataclass(frozen=True)
class Quit:
    """Leave."""

    line: int

    def __str__(self) -> str:
        return "quit"


@dataclass(frozen=True)
class Script:
    """Steps, and what to call them in errors."""

    name: str
    steps: list["Step"]

    def uses(self, field: str) -> bool:
        """Whether a text of its steps has that in braces."""
        steps = list(self.steps)
        for step in steps:
            if isinstance(step, Repeat):
                steps += step.steps
        return any(field in step.text.parts[1::2] for step in steps if isinstance(step, Send | On | Every))


Step: TypeAlias = Send | Expect | Users | Wait | Repeat | On | Every | Quit


def parse(text: str, name: str) -> Script:
    """Read a script.

    Args:
        text: of the script.
        name: what to call it in errors.

    Raises:
        ScriptError: it is not one; it shows the place of every mistake, of the first `SHOWN` if there are more.
    """
    scope = Scope()
    steps: list[Step] = []
    opened: list[tuple[Reader, Repeat]] = []
    mistakes: list[ScriptError] = []
    for number, line in enumerate(text.split("\n"), 1):
        reader = Reader(line.removesuffix("\r"), name, number, scope)
        if reader.at_end() or reader.rest().startswith("#"):
            continue
        word = reader.word()
        try:
            step = _step(word, reader, opened)
        except ScriptError as mistake:
            mistakes.append(mistake)
            step = _stand_in(word, reader)
        if step is None:
            del opened[-1:]
        else:
            (opened[-1][1].steps if opened else steps).append(step)
        if isinstance(step, Repeat):
            opened.append((reader, step))
        scope.depth = len(opened)
    if opened:
        mistakes.append(opened[-1][0].mistake("this repeat has no end: write end on a line behind its last step"))
    if mistakes:
        more = [f"and {len(mistakes) - SHOWN} more mistakes"] if len(mistakes) > SHOWN else []
        raise ScriptError("\n".join([*map(str, mistakes[:SHOWN]), *more]))
    return Script(name, steps)


def _step(word: str, reader: Reader, opened: list[tuple[Reader, Repeat]]) -> Step | None:
    """The step that a line says, behind its first word; None: it ends a repeat."""
    if word == "end":
        reader.finish()
        if not opened:
            reader.fail("there is no repeat that could end here")
        if not opened[-1][1].steps:
            opened[-1][0].fail("there is nothing to repeat: put steps before its end")
        return None
    if word not in STEPS:
        meant = _meant(word)
        hint = f"did you mean {meant!r}?" if meant else f"the steps are {', '.join(STEPS)}"
        reader.fail(f"unknown step {word!r}: {hint}")
    step = _READERS[word](reader)
    reader.finish()
    if isinstance(step, Repeat) and len(opened) >= DEEPEST:
        reader.fail(f"repeat in repeat goes {DEEPEST} levels deep at most")
    return step


def _stand_in(word: str, reader: Reader) -> Step | None:
    """What takes the place of a line that is wrong, so that none of those behind it is called wrong because of it."""
    meant = _meant(word)
    reader.scope.unsure |= meant == "expect"
    if meant == "end":
        return None
    return Repeat(reader.number, 1, [Quit(reader.number)]) if meant == "repeat" else Quit(reader.number)


def _meant(word: str) -> str:
    """The word of a step that is most like this one; empty: none is."""
    return next(iter(difflib.get_close_matches(word.lower(), [*STEPS, "end"], 1)), "")


def _command(reader: Reader) -> Send:
    if not reader.rest().startswith(("/", '"/')):
        reader.fail("a command begins with /, as in: command /who", here=True)
    return Send(reader.number, reader.text(), "command")


def _expect(reader: Reader) -> Expect:
    own = reader.take("own")
    pattern = reader.pattern("within")
    reader.scope.expected(pattern)
    return Expect(reader.number, pattern, own, _within(reader))


def _within(reader: Reader) -> float:
    return reader.seconds() if reader.take("within") else PATIENCE


def _on(reader: Reader) -> On:
    pattern = reader.pattern("at most", "send", "msg")
    limit, seconds = GUARD
    if reader.take("at most"):
        limit = reader.whole()
        reader.need("in")
        seconds = reader.seconds()
    if reader.take("msg"):
        return On(reader.number, pattern, limit, seconds, _told(reader, answering=pattern), "msg")
    reader.need("send")
    return On(reader.number, pattern, limit, seconds, reader.text(answering=pattern))


def _told(reader: Reader, *, answering: Pattern | None = None) -> Text:
    """Whom to tell something, and what."""
    if len(reader.rest().split()) < 2:
        reader.fail("say whom to tell, and what, as in: msg alice hello", here=True)
    return reader.text(answering=answering)


def _every(reader: Reader) -> Every:
    seconds = reader.seconds(least=0.01)
    reader.need("send")
    return Every(reader.number, seconds, reader.text(counting=True))


_READERS: dict[str, Callable[[Reader], Step]] = {
    "send": lambda reader: Send(reader.number, reader.text()),
    "command": _command,
    "msg": lambda reader: Send(reader.number, _told(reader), "msg"),
    "expect": _expect,
    "users": lambda reader: Users(reader.number, reader.whole(), _within(reader)),
    "wait": lambda reader: Wait(reader.number, reader.seconds()),
    "stay": lambda reader: Wait(reader.number, None if reader.at_end() else reader.seconds(), stays=True),
    "repeat": lambda reader: Repeat(reader.number, reader.whole()),
    "on": _on,
    "every": _every,
    "quit": lambda reader: Quit(reader.number),
}
