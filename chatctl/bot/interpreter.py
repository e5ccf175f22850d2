"""One bot at work: a script over a room, without a connection and without a clock.

Whoever drives it tells it what came (`Interpreter.receive`), calls `Interpreter.advance` after that and at each
``deadline``, and sends what that returns. Steps are taken by a generator that yields what it waits for, so they read
here as they are written. After each line that came, all steps are taken that can be: how lines were cut into packets
makes no difference.

Lines that an ``expect`` or ``on`` ahead may still find are kept (`unread.py`); where no such step is ahead none are.
"""

import contextlib
import functools
import math
import re
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from chatctl.bot.feed import Feed
from chatctl.bot.plan import Hearing, hearings
from chatctl.bot.reader import Text
from chatctl.bot.script import Every, Expect, On, Quit, Repeat, Script, Send, Step, Users, Wait
from chatctl.bot.speech import Pace, Speech, later
from chatctl.bot.unread import Memory, Unread
from chatctl.errors import ExpectError
from chatctl.peer.connection import PATIENCE
from chatctl.peer.stay import Stage, Stay
from chatctl.wire import Event, Kind, clean, escaped

_BY_SOMEBODY = (Kind.ACTION, Kind.PRIVATE)  # without a name: by the bot itself
_BATCH = 1000  # lines of a feed that wait to be said, at most
_BUDGET = 1000  # steps taken at a time, so that a script that never waits lets others have their turn


class _Until(NamedTuple):
    """What a step waits for: a time, or something to be true."""

    time: float
    ready: Callable[[], bool]


_Course: TypeAlias = Generator[_Until, bool, None]


class _Standing:
    """An ``on`` or ``every`` at work: how often it has spoken, when it did, and when it will."""

    def __init__(self) -> None:
        self.count = 0
        self.times: deque[float] = deque()
        self.due = math.inf
        self.muted = False


class _Over(Exception):  # noqa: N818
    """The script wants to leave."""


class Interpreter:
    """A bot.

    Args:
        task: what it does: a script, or lines to say.
        times: how often.
        pace: how lines are said.
        number: of the bot, from 1.
        memory: for lines that are still to be read.
        clock: gives the local time, in words.
        warn: is told when an ``on`` is muted.

    ``speech``: what it says. ``deadline``: when `advance` is to be called, at the latest. ``finished``: all is said,
    and nothing more is expected. ``curious``: the script has ``{me}``. ``place``: the line of it that it is at.
    ``taken``: steps so far. ``waited``: seconds that ``wait`` and ``stay`` have taken before the present step.
    """

    def __init__(
        self,
        task: Script | Feed,
        times: int,
        pace: Pace,
        *,
        number: int = 1,
        memory: Memory,
        clock: Callable[[], str] = lambda: "",
        warn: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.speech = Speech(pace)
        self.deadline = math.inf
        self.finished = False
        self.curious = isinstance(task, Script) and task.uses("me")
        self.place = ""
        self.taken = 0
        self.waited = 0.0
        self._name = task.name if isinstance(task, Script) else ""
        self._unread = Unread(memory)
        self._clock = clock
        self._warn = warn
        self._now = -math.inf
        self._users = 0
        self._fields = {"bot": str(number)}
        self._found: dict[str, str] = {}  # in the lines that were expected
        self._rounds: list[int] = []
        self._said: list[bytes] = []  # and not yet returned
        self._hearing = hearings(task.steps)[0] if isinstance(task, Script) else Hearing.NONE
        self._standing: dict[On | Every, _Standing] = {}
        self._course = self._play(task, times) if isinstance(task, Script) else self._recite(task, times)
        self._until = next(self._course)

    def enter(self, stay: Stay, me: str) -> None:
        """Go on over a new connection, where it is called ``me`` as long as the room says nothing else."""
        self._fields["me"] = me
        self.speech.enter(stay)

    def receive(self, data: bytes, now: float, *, watched: bool = True) -> list[Event]:
        """Take what the server sent, return the events; empty data is its end.

        Args:
            data: as it came.
            now: in seconds, of any clock that goes on.
            watched: return all of them, and not only those that matter to the bot.
        """
        heard = watched or self._standing or self._hearing is Hearing.ALL
        events = self.speech.stay.receive(data, now, skim=not heard)
        self.take_in(events, now)
        return events

    def take_in(self, events: Sequence[Event], now: float) -> None:
        """Take account of some events, and take the steps that can be taken then."""
        self._now = now
        self._fields["me"] = self.speech.stay.question.me or self._fields["me"]
        for event in events:
            if event.old:  # it is no answer to anything
                continue
            self._users = self._users if event.users is None else event.users
            if self._hearing:
                self._unread.add(event.line)
            if self._standing:
                self._answer(event, self._standing)
            if self._hearing or event.users is not None:
                self._proceed()

    def advance(self, now: float) -> bytes:
        """Take the steps that can be taken now; return what is to be sent since the last time.

        Raises:
            ExpectError: something that the script expects did not come in time.
            EchoError: an echo did not.
            InputError: the feed cannot be read.
        """
        self._now = now
        for step, standing in self._standing.items():
            if isinstance(step, Every) and standing.due <= now:
                standing.due = later(standing.due, now, step.seconds)
                if self.speech.idle:  # else it cannot be said, and would be said many times later
                    self._speak(step, standing, self._found)
        self._said.append(self.speech.flush(now))
        idle = self._proceed(late=True)
        due = min((standing.due for standing in self._standing.values()), default=math.inf)
        self.deadline = min(self._until.time, self.speech.deadline, due) if idle else now
        said, self._said = b"".join(self._said), []
        return said

    def _proceed(self, *, late: bool = False) -> bool:
        """Take steps until one has to wait; False: there are more that need not.

        Args:
            late: let the time of a step be over; not while there may be lines that came before that.
        """
        for _ in range(_BUDGET):
            if self.finished or not ((ready := self._until.ready()) or (late and self._until.time <= self._now)):
                return True
            try:
                self._until = self._course.send(ready)
            except StopIteration:
                self.finished = True
            self._said.append(self.speech.flush(self._now))
        return False

    def _play(self, script: Script, times: int) -> _Course:
        yield _Until(math.inf, self._is_inside)
        yield _Until(self._now + PATIENCE, lambda: not self.speech.stay.question.open)
        ahead = self._hearing
        with contextlib.suppress(_Over):
            for number in range(1, times + 1):
                yield from self._take(script.steps, ahead if number < times else Hearing.NONE)
        self._standing.clear()
        yield _Until(math.inf, lambda: self.speech.idle)

    def _recite(self, feed: Feed, times: int) -> _Course:
        yield _Until(math.inf, self._is_inside)
        for _ in range(times):
            position = 0
            while True:
                while self.speech.waiting < _BATCH and (line := feed.read(position)) is not None:
                    position += 1
                    self.taken += 1
                    self.speech.say(escaped(line))
                if not self.speech.idle:
                    yield _Until(math.inf, lambda: self.speech.idle)
                elif feed.ended:
                    break
                else:
                    yield _Until(math.inf, functools.partial(feed.has, position))
            if feed.failure:
                raise feed.failure

    def _is_inside(self) -> bool:
        return self.speech.stay.stage is Stage.OPEN

    def _take(self, steps: Sequence[Step], ahead: Hearing) -> _Course:
        """Take steps; ``ahead``: what those after them have to hear."""
        heard = hearings(steps)
        for index, step in enumerate(steps):
            self._listen(max(ahead, heard[index]))
            self.place = f"{self._name}:{step.line}: "
            if isinstance(step, Repeat):
                behind = max(ahead, heard[index + 1])
                again = max(ahead, heard[index])
                self._rounds.append(0)
                for number in range(1, step.times + 1):
                    self._rounds[-1] = number
                    yield from self._take(step.steps, again if number < step.times else behind)
                self._rounds.pop()
            else:
                yield from self._do(step)
                self.taken += 1

    def _do(self, step: Step) -> _Course:
        match step:
            case Send(text=text, verb=verb):
                self._say(text, self._rounds[-1] if self._rounds else 0, self._found, verb)
                yield _Until(math.inf, lambda: self.speech.idle)
            case Expect():
                self._unread.begin()
                if not (yield _Until(self._now + step.within, functools.partial(self._find, step))):
                    raise ExpectError(
                        f"{self.place}no line with {step.pattern} within {step.within:g} s: {self._unread.passed()}"
                    )
            case Users(number=number, within=within):
                if not (yield _Until(self._now + within, lambda: self._users >= number)):
                    raise ExpectError(f"{self.place}not {number} users within {within:g} s: there are {self._users}")
            case Wait(seconds=seconds):
                began = self._now
                yield _Until(began + (math.inf if seconds is None else seconds), lambda: False)
                self.waited += self._now - began
            case On() | Every():
                self._install(step)
                yield _Until(-math.inf, lambda: True)
            case Quit():
                raise _Over

    def _listen(self, hearing: Hearing) -> None:
        """Keep lines that may be looked at, and drop what was kept when none are."""
        self._hearing = hearing
        if not hearing:
            self._unread.clear()

    def _find(self, step: Expect) -> bool:
        found = self._unread.find(step.pattern.regex, own=step.own)
        if found:
            self._found |= _values(*found)
        return found is not None

    def _install(self, step: On | Every) -> None:
        if step in self._standing:
            return
        standing = self._standing[step] = _Standing()
        if isinstance(step, Every):
            standing.due = self._now + step.seconds
        else:
            for event in self._unread:
                self._answer(event, {step: standing})

    def _answer(self, event: Event, standing: Mapping[On | Every, _Standing]) -> None:
        """Let each ``on`` answer to a line that is neither the bot's own nor its welcome."""
        if event.kind in (Kind.OWN, Kind.CONNECTED) or (event.kind in _BY_SOMEBODY and event.name in (None, self._me)):
            return
        for step, one in standing.items():
            if isinstance(step, On) and event.kind is Kind.PRIVATE and step.verb != "msg":
                continue  # what is for the bot alone is not answered before all
            if isinstance(step, On) and (found := step.pattern.regex.search(event.line)):
                while one.times and one.times[0] <= self._now - step.seconds:
                    one.times.popleft()
                if len(one.times) < step.limit:
                    one.muted = False
                    one.times.append(self._now)
                    self._speak(step, one, self._found | _values(found, event))
                elif not one.muted:
                    one.muted = True
                    self._warn(f"{self._name}:{step.line}: answered {step.limit} times in {step.seconds:g} s: not more")

    def _speak(self, step: On | Every, standing: _Standing, found: Mapping[str, str]) -> None:
        standing.count += 1
        self._say(step.text, standing.count, found, step.verb)

    def _say(self, text: Text, count: int, found: Mapping[str, str], verb: str) -> None:
        fields = {"n": str(count), "users": str(self._users), "time": self._clock()}
        line = clean(text.fill({**found, **self._fields, **fields})).encode("utf-8", "replace")
        if line:
            self.speech.say({"send": escaped(line), "command": line, "msg": b"/msg " + line}[verb])

    @property
    def _me(self) -> str:
        return self._fields.get("me", "")


def _values(found: re.Match[str], event: Event) -> dict[str, str]:
    """The fields of a line that was found."""
    numbered = {str(index): group for index, group in enumerate([found[0], *found.groups("")])}
    return numbered | found.groupdict("") | {"name": event.name or "", "text": event.text}
