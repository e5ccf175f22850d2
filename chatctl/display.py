"""Events of the wire → text for a screen, for the client and the bot.

Without options the text is what stands on the wire. The heads of the wire tell own lines, messages, notices and answers
apart; colours only add to that. What comes from the network is clean by now (`wire.clean`): the only escape sequences
in the text are the ones made here, all of them SGR (ECMA-48, section 8.3.117).
"""

import re
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby

from chatctl.wire import Event, Kind, clean, online

PALETTE = (167, 166, 100, 64, 28, 30, 32, 27, 63, 134, 163, 161)
"""Colours for names, of xterm's 256: each has a contrast of 3:1 or more to black and to white (WCAG 2.1, 1.4.11)."""

FOLD = 3
"""Notices in a row that are shown one by one; more are folded into one line, where notices are folded."""

_SPEAKERS = 10_000  # members remembered to have spoken
_UNWRAPPED = 8192  # characters of a line that the terminal wraps itself
_CLOCK = "%H:%M "
_DATE = "%Y-%m-%d"
_TAB = "    "  # the columns of a real one depend on where it begins
_BELL = "\a"
_BOLD, _DIM, _REVERSED = "1", "2", "7"

_URL = re.compile(r"[a-z0-9+.-]://.|www\..", re.IGNORECASE)  # in a word: an address of a web page (RFC 3986)

_NOTICES = {Kind.ENTERED, Kind.LEFT, Kind.RENAMED}
_FOLDED = {Kind.ENTERED: "entered", Kind.LEFT: "left", Kind.RENAMED: "renamed"}
_SPOKEN = {Kind.MESSAGE, Kind.ACTION}
_ANSWERS = {Kind.ANSWER, Kind.ERROR, Kind.WHO, Kind.LISTED, Kind.HISTORY, Kind.BYE, Kind.ANNOUNCEMENT, Kind.REMOVED}


class Display:
    """Turns events into text, one batch after another.

    Args:
        color: tell names and kinds apart by colours too.
        timestamps: put the local time before every line, as HH:MM: the server's, where it tells that; and the date
            where another day begins.
        notices: which of the lines about members that enter, leave or take names are shown: ``all``; ``none``;
            ``smart``: only those about members who spoke, and more than `FOLD` in a row as one line with their numbers.
        bell: ring for what others say: ``always``, ``mention``: for a mention, and what is for the reader alone,
            ``never``.
        highlight: words that are a mention of whoever reads, besides ``me``.
        width: called for the columns of the screen, to wrap at words with a hanging indent; None: lines stay as they
            are.

    ``me``: what the room calls the reader, once it is known.
    """

    def __init__(
        self,
        *,
        color: bool = False,
        timestamps: bool = False,
        notices: str = "all",
        bell: str = "never",
        highlight: Sequence[str] = (),
        width: Callable[[], int] | None = None,
    ) -> None:
        self._color = color
        self._timestamps = timestamps
        self._notices = notices
        self._bell = bell
        self._ringing = False
        self._highlight = tuple(highlight)
        self._width = width
        self._columns = 0
        self._day = ""  # the date of the line that was shown last
        self._speakers: dict[str, None] = {}
        self._me: str | None = None
        self._mention = _any_of(self._highlight)

    @property
    def me(self) -> str | None:
        """What the room calls the reader."""
        return self._me

    @me.setter
    def me(self, name: str | None) -> None:
        self._me = name
        self._mention = _any_of((name or "", *self._highlight))

    def text(self, events: Iterable[Event], now: float) -> str:
        """The lines of some events that came together, and the bell once behind them if it rings.

        Args:
            events: in their order.
            now: seconds since the epoch, for those that do not tell their time.
        """
        self._columns = self._width() if self._width else 0
        if self._notices == "smart":
            shown: Iterable[Event] = self._smart(events)
        else:
            shown = events if self._notices == "all" else (event for event in events if event.kind not in _NOTICES)
        if self._timestamps:
            lines = [line for event in shown for line in self._timed(event, now)]
        else:
            lines = [self._line(event, "") for event in shown]
        if self._ringing:
            self._ringing = False
            lines.append(_BELL)
        return "".join(lines)

    def note(self, text: str, now: float) -> str:
        """A line of the program's own: its head is none of the wire's, so no member can have caused it."""
        text = clean(text)
        return self.text([Event(Kind.OTHER, f"-- {text}", text=text)], now)

    def _timed(self, event: Event, now: float) -> Iterator[str]:
        """A line with its time, and before it the date, if that is another one than of the line before."""
        at = now if event.time is None or event.kind is Kind.OLD else event.time
        day, clock = _local(int(at // 60))
        if day != (self._day or _local(int(now // 60))[0]):
            yield self._line(Event(Kind.OTHER, f"-- {day}", text=day, old=event.old), "")
        self._day = day
        yield self._line(event, clock)

    def _smart(self, events: Iterable[Event]) -> Iterator[Event]:
        """The events without the notices about those who never spoke."""
        kept = [event for event in events if self._concerns(event)]
        for noticed, run in groupby(kept, lambda event: event.kind in _NOTICES):
            group = list(run)
            if noticed and len(group) > FOLD:
                group = [_folded(group)]
            yield from group

    def _concerns(self, event: Event) -> bool:
        """Whether an event is no notice, or one about somebody who spoke."""
        if event.kind in _SPOKEN and event.name:
            self._note_speaker(event.name)
        if event.kind in (Kind.LEFT, Kind.RENAMED) and event.name:
            spoke = self._speakers.pop(event.name, "never") is None
            if spoke and event.kind is Kind.RENAMED:
                self._note_speaker(event.text)
            return spoke
        return event.kind is not Kind.ENTERED or event.name in self._speakers

    def _note_speaker(self, name: str) -> None:
        self._speakers.pop(name, None)
        self._speakers[name] = None
        if len(self._speakers) > _SPEAKERS:
            del self._speakers[next(iter(self._speakers))]

    def _line(self, event: Event, stamp: str) -> str:
        others = event.kind in _SPOKEN and event.name != self._me
        mention = others and self._mention is not None and bool(self._mention.search(event.text))
        alone = event.kind is Kind.PRIVATE and event.name is not None
        if event.old:
            pass  # it rings for nobody any more
        elif ((others or alone) and self._bell == "always") or ((mention or alone) and self._bell == "mention"):
            self._ringing = True
        width = self._columns
        if not width or len(event.line) > _UNWRAPPED:
            return self._colored(event, stamp, mention) + "\n"
        if not event.line.isprintable():
            event = event._replace(line=event.line.replace("\t", _TAB), text=event.text.replace("\t", _TAB))
        if event.line.isascii() and len(stamp) + len(event.line) <= width:
            return self._colored(event, stamp, mention) + "\n"
        head = event.line.removesuffix(event.text)
        indent = min(len(stamp) + len(head), width // 3)
        text = _broken(event.text, width - indent)
        line = self._colored(event._replace(line=head + text, text=text), stamp, mention)
        return _wrapped(line, width, indent)

    def _colored(self, event: Event, stamp: str, mention: bool) -> str:
        if not self._color:
            return stamp + event.line
        if event.old:
            return _sgr(_DIM, stamp + event.line)
        if stamp:
            stamp = _sgr(_DIM, stamp)
        head = event.line.removesuffix(event.text).rstrip(" ")
        if (event.kind in _SPOKEN or event.kind is Kind.PRIVATE) and event.name:
            look = f"38;5;{PALETTE[zlib.crc32(event.name.encode()) % len(PALETTE)]}"
            if event.kind is Kind.PRIVATE:
                look = f"{_BOLD};{look}"
            return f"{stamp}{_sgr(f'{_REVERSED};{look}' if mention else look, head)} {event.text}"
        if event.kind in (Kind.OWN, Kind.PRIVATE):
            return f"{stamp}{_sgr(_BOLD, head)} {event.text}"
        if event.kind in _ANSWERS:
            return stamp + _sgr(_BOLD, event.line)
        return stamp + _sgr(_DIM, event.line)


def _folded(notices: Sequence[Event]) -> Event:
    """Many notices in one line."""
    kinds = Counter(event.kind for event in notices)
    counts = ", ".join(f"{kinds[kind]} {what}" for kind, what in _FOLDED.items() if kinds[kind])
    users = next((event.users for event in reversed(notices) if event.users is not None), None)
    line = f"-- {counts}" + ("" if users is None else f" ({online(users)})")
    return notices[-1]._replace(kind=Kind.LEFT, line=line, name=None, text="")


@lru_cache(maxsize=8)
def _local(minute: int) -> tuple[str, str]:
    """The date and the time of a minute since the epoch: kept, as most lines of a flood are of one minute."""
    then = time.localtime(60 * minute)
    return time.strftime(_DATE, then), time.strftime(_CLOCK, then)


def _sgr(look: str, text: str) -> str:
    return f"\x1b[{look}m{text}\x1b[0m"


def _any_of(words: Sequence[str]) -> re.Pattern[str] | None:
    """What finds one of the words where it stands by itself, in capitals or not."""
    if not any(words):
        return None
    return re.compile(rf"(?<!\w)(?:{'|'.join(re.escape(word) for word in words if word)})(?!\w)", re.IGNORECASE)


def _broken(text: str, room: int) -> str:
    """The text with words that are wider than so many columns in pieces, but for addresses of web pages.

    Those are left to the terminal, which knows then that its rows are one address, to be opened or copied.

    `wcwidth.wrap` takes a time that grows with the square of a word's length: 6 s for 64 KiB.
    """
    if all(2 * len(word) <= room for word in text.split(" ")):
        return text
    import wcwidth

    words = []
    for word in text.split(" "):
        if _URL.search(word):
            words.append(word)
            continue
        piece, columns = "", 0
        for grapheme in wcwidth.iter_graphemes(word):
            wide = wcwidth.width(grapheme)
            if piece and columns + wide > room:
                words.append(piece)
                piece, columns = "", 0
            piece += grapheme
            columns += wide
        words.append(piece)
    return " ".join(words)


def _wrapped(line: str, width: int, indent: int) -> str:
    """A line in rows of so many columns, wrapped at words; rows after the first are indented.

    Args:
        line: may have SGR sequences.
        width: columns.
        indent: columns, fewer.
    """
    import wcwidth  # where no width is asked for it need not load

    if wcwidth.width(line) <= width:
        return line + "\n"
    rows = wcwidth.wrap(
        line,
        width,
        subsequent_indent=" " * indent,
        break_long_words=False,  # `_broken` has done that
        break_on_hyphens=False,
        replace_whitespace=False,
    )
    return "\n".join(rows) + "\n"
