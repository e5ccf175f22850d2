"""What stands in a line of a script: words, numbers, patterns, texts; and errors that show the place."""

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from wcwidth import wcwidth

from chatctl.errors import ScriptError
from chatctl.wire import clean

MOST = 999_999_999
"""The greatest number that can be written."""

FIELDS = {
    "n": "which round of its repeat this is, or which time that on or every speaks",
    "name": "who said the line that was found, or entered or left in it",
    "text": "what was said in it",
    "time": "the local time, as HH:MM:SS",
    "users": "how many are online",
    "me": "the name that the room has for this bot",
    "bot": "the number of this bot, from 1",
}
"""What can stand in the braces of a text, besides the groups of a pattern."""

_FOUND = ("name", "text")  # of a line that was found
_BLANKS = r"[ \t]+"
_WORD = re.compile(r"\S+")
_WHOLE = re.compile(r"[0-9]{1,9}(?!\S)")
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?(?!\S)")
_REGEX = re.compile(r"/((?:[^/\\]|\\.)*)/(\S*)")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"t": "\t", '"': '"', "\\": "\\"}
_BRACES = re.compile(r"\{\{|\{([^{}]*)\}|\{")


@dataclass(frozen=True)
class Pattern:
    """What a line is searched for; ``source`` is how that was written."""

    source: str
    regex: re.Pattern[str]

    def __str__(self) -> str:
        return self.source


@dataclass(frozen=True)
class Text:
    """What is to be said: literal parts and names of fields in turn; ``source`` is how it was written."""

    source: str
    parts: tuple[str, ...]

    def __str__(self) -> str:
        return self.source

    def fill(self, values: Mapping[str, str]) -> str:
        """The text with its fields; one without a value is empty."""
        return "".join(values.get(part, "") if index % 2 else part for index, part in enumerate(self.parts))


@dataclass
class Scope:
    """Which fields a text can have at a place of the script.

    ``depth``: of repeats around it. ``numbered``, ``named``: groups of the ``expect``s before it; a whole match is one.
    ``unsure``: an ``expect`` before it is wrong, so there may be any.
    """

    depth: int = 0
    numbered: int = 0
    named: set[str] = field(default_factory=set)
    unsure: bool = False

    def expected(self, pattern: Pattern) -> None:
        """An ``expect`` stands here."""
        self.numbered = max(self.numbered, pattern.regex.groups + 1)
        self.named |= pattern.regex.groupindex.keys()

    def fields(self, *, answering: Pattern | None, counting: bool) -> set[str]:
        """All of them."""
        numbered = max(self.numbered, answering.regex.groups + 1 if answering else 0)
        found = {*map(str, range(numbered)), *(_FOUND if numbered else ())}
        named = self.named | set(answering.regex.groupindex if answering else ())
        counted = {"n"} if self.depth or counting or answering else set()
        return found | named | counted | FIELDS.keys() - {"n", *_FOUND}


class Reader:
    """Reads one line from left to right.

    Args:
        line: without its ending.
        name: of the script.
        number: of the line, from 1.
        scope: what the steps before have made known.
    """

    def __init__(self, line: str, name: str, number: int, scope: Scope) -> None:
        self.number = number
        self.scope = scope
        self._line = line.rstrip()
        self._name = name
        self._at = 0
        self._began = 0  # where the part begins that was read last
        self._skip()

    def at_end(self) -> bool:
        """Whether nothing follows."""
        return self._at == len(self._line)

    def rest(self) -> str:
        """All that follows."""
        return self._line[self._at :]

    def word(self) -> str:
        """The next word."""
        return self._match(_WORD, "something is missing here")[0]

    def take(self, words: str) -> bool:
        """Step over words if they follow; say whether they did."""
        found = _keyword(words).match(self._line, self._at)
        if found:
            self._advance(found.end())
        return found is not None

    def need(self, words: str) -> None:
        """Step over words that must follow."""
        if not self.take(words):
            self.fail(f"the word {words} must follow here", here=True)

    def whole(self) -> int:
        """A whole number from 1."""
        number = int(self._match(_WHOLE, f"a whole number from 1 to {MOST} must follow here")[0])
        if not number:
            self.fail("the least number here is 1")
        return number

    def seconds(self, least: float = 0.0) -> float:
        """A number of seconds."""
        seconds = float(self._match(_SECONDS, "a number of seconds must follow here, such as 5 or 0.5")[0])
        if seconds < least:
            self.fail(f"the least number here is {least:g}")
        return seconds

    def pattern(self, *ends: str) -> Pattern:
        """A pattern: ``/regular expression/`` (with ``i`` behind it: capitals or not), a quoted or bare literal.

        Args:
            ends: words before which a bare one ends.
        """
        begin = self._at
        if self.rest().startswith("/"):
            found = self._match(_REGEX, r"this regular expression has no end: close it with /; a / in it is \/")
            if found[2] not in ("", "i"):
                self._began += found.start(2) - found.start()
                self.fail(r"only an i can stand right behind a regular expression; a / in it is \/")
            regex = self._compile(found[1], re.IGNORECASE if found[2] else re.NOFLAG)
        else:
            regex = re.compile(re.escape(self._literal(ends)))
        return Pattern(self._line[begin : self._at].rstrip(), regex)

    def text(self, *, answering: Pattern | None = None, counting: bool = False) -> Text:
        """A text, up to the end of the line.

        Args:
            answering: the pattern of the lines that it answers to.
            counting: whether it is said many times.
        """
        begin = self._at
        source = self.rest()
        escaped = source.startswith('"')
        if escaped:
            found = self._match(_QUOTED, _OPEN_QUOTE)
            self.finish(hint=r': a text that begins with a quote is written as in "\"so\", she said"')
            raw, offset = found[1], begin + 1
        else:
            raw, offset = self._match(re.compile(".+"), "the text is missing")[0], begin
        known = self.scope.fields(answering=answering, counting=counting)
        parts, last = [""], 0
        for brace in _BRACES.finditer(raw):
            parts[-1] += self._unescape(raw[last : brace.start()], escaped, offset + last)
            last = brace.end()
            if brace[0] == "{{":
                parts[-1] += "{"
            elif brace[1] in known or (self.scope.unsure and brace[1] not in (None, "n")):
                parts += [brace[1], ""]
            else:
                self._began = offset + brace.start()
                self.fail(_explain(brace[1]))
        parts[-1] += self._unescape(raw[last:], escaped, offset + last)
        if parts == [""]:
            self.fail("the text is empty")
        return Text(source, tuple(parts))

    def finish(self, hint: str = "") -> None:
        """Make sure that nothing follows."""
        if not self.at_end():
            self.fail(f"nothing can follow here{hint}", here=True)

    def fail(self, message: str, *, here: bool = False) -> NoReturn:
        """Raise the `mistake`."""
        raise self.mistake(message, here=here)

    def mistake(self, message: str, *, here: bool = False) -> ScriptError:
        """What to raise for the part that was read last, or for what comes next: it shows the place."""
        column = self._at if here else self._began
        shown = clean(self._line).encode("utf-8", "replace").decode()
        lead = "".join("\t" if char == "\t" else " " * max(wcwidth(char), 0) for char in shown[:column])
        place = f"{self._name}:{self.number}:{column + 1}"
        return ScriptError(f"{place}: {message}\n    {shown}\n    {lead}^")

    def _match(self, pattern: re.Pattern[str], otherwise: str) -> re.Match[str]:
        found = pattern.match(self._line, self._at)
        if not found:
            self.fail(otherwise, here=True)
        self._began = self._at
        self._advance(found.end())
        return found

    def _advance(self, place: int) -> None:
        self._at = place
        self._skip()

    def _skip(self) -> None:
        while self._at < len(self._line) and self._line[self._at] in " \t":
            self._at += 1

    def _literal(self, ends: tuple[str, ...]) -> str:
        if self.rest().startswith('"'):
            begin = self._at + 1
            return self._unescape(self._match(_QUOTED, _OPEN_QUOTE)[1], True, begin) or self.fail("it is empty")
        stops = [found.start() for found in (_keyword(word).search(self._line, self._at) for word in ends) if found]
        stop = min(stops, default=len(self._line))
        literal = self._line[self._at : stop].rstrip()
        if not literal:
            self.fail("the pattern is missing: /a regular expression/, plain words, or words in quotes", here=True)
        self._began = self._at
        self._advance(stop)
        return literal

    def _unescape(self, text: str, escaped: bool, offset: int) -> str:
        if not escaped:
            return text
        for found in _ESCAPE.finditer(text):
            if found[1] not in _ESCAPES:
                self._began = offset + found.start()
                self.fail(r"in quotes, only \" and \\ and \t have a backslash")
        return _ESCAPE.sub(lambda found: _ESCAPES[found[1]], text)

    def _compile(self, source: str, flags: re.RegexFlag) -> re.Pattern[str]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what a later Python may understand otherwise
                regex = re.compile(source, flags)
        except re.error as error:
            self._began += 1 + (error.pos or 0)
            self.fail(f"this regular expression is not one: {error.msg}")
        except (RecursionError, OverflowError, ValueError):
            self.fail("this regular expression cannot be used: make it simpler")
        if taken := regex.groupindex.keys() & FIELDS.keys():
            self.fail(f"{{{min(taken)}}} has a meaning of its own: give the group another name")
        return regex


_OPEN_QUOTE = r'the quote has no end: close it with "; a " in it is \"'


def _keyword(words: str) -> re.Pattern[str]:
    """What finds words where they stand by themselves."""
    return re.compile(rf"(?<!\S){_BLANKS.join(words.split())}(?!\S)")


def _explain(name: str | None) -> str:
    """Why a field cannot stand where it stands."""
    if name is None:
        return "this brace has no end; {{ is a brace itself"
    if name == "n":
        return "{n} counts, but there is no repeat around this"
    if name in _FOUND or name.isdecimal():
        return f"{{{name}}} is of a line that was found, and no expect before this has found it"
    groups = "or a (?P<name>group) of an expect before this"
    return f"{{{name}}} is unknown; it can be {', '.join(f'{{{known}}}' for known in FIELDS)} {groups}; {{{{ is a brace"
