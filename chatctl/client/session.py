"""One person's stay in a room, over one connection or several, without a screen.

It takes account of what comes and what is said, knows what the prompt says, and decides what follows when a connection
ends. Time enters as an argument, in seconds of any clock that goes on.
"""

import math
from collections.abc import Callable

from chatctl import wire
from chatctl.client import UNHEARD
from chatctl.client.dialer import Dialer, Down, Up
from chatctl.client.members import Members
from chatctl.errors import ChatctlError, InputError, NetworkError, PasswordError
from chatctl.password import check
from chatctl.peer.comeback import Comeback
from chatctl.peer.stay import Stage, Stay
from chatctl.peer.typed import lines_in
from chatctl.room.commands import MEMBERS
from chatctl.wire import Event, Kind

_NAMED = 5  # lines that are repeated when they may not have been sent
_SHOWN = 20  # names of those who are here
_BEGINNING = 40  # characters of a line that is named by how it begins
_AGAIN = 2.0  # seconds between two Ctrl-C that leave


class Session:
    """A stay.

    Args:
        dialer: makes the connections.
        password: for a room that needs one; None: it is asked for, see `secret`, and again if it is wrong.
        reconnect: come back when a connection is lost.
        wait: try again likewise until this member was inside once.
        note: tells the person something.

    ``members``: who is in the room. ``put_back``: has a line edited again; False: another one is.
    """

    def __init__(
        self,
        dialer: Dialer,
        password: bytes | None,
        *,
        reconnect: bool,
        wait: bool,
        note: Callable[[str], None],
    ) -> None:
        self.members = Members()
        self._claim = dialer.claim
        self.put_back: Callable[[str], bool] = lambda text: False
        self._dialer = dialer
        self._password = password
        self._asking = password is None
        self._comeback = Comeback(wanted=reconnect or wait)
        self._reconnect = reconnect
        self._wait = wait
        self._note = note
        self._stay = Stay(password)
        self._status = "connecting"
        self._trouble = ""  # why there is no connection, as it was said last
        self._entered = False  # at least once
        self._nameless = not dialer.claim.nick  # and it was not told how to have a name
        self._ignored: dict[str, None] = {}  # whom it has asked the room to hide
        self._acquainted = False  # it has been inside, or was told what may be wrong
        self._replayed_to = 0  # the number of the newest event that was there before; 0: all that has come
        self._known: set[str] | None = None  # who was there when the connection was lost
        self._here = ""  # who is there now, to be said once what came with it is shown
        self._interrupted = -math.inf  # when Ctrl-C was hit last
        self._pasted: list[bytes] = []  # the lines of the last paste

    def prompt(self, now: float) -> str:
        """What stands before the line that is edited: how the connection is, or how many are online.

        Lines that have not come back for a second are counted: the server may hang.
        """
        if self.secret:
            return "Password: "
        if self._status or self.members.users is None:
            return f"[{self._status}] > "
        late = self._stay.echoes.late(now)
        return f"[{wire.online(self.members.users)}{f', {late:,} unsent' if late else ''}] > "

    def look(self, mark: Up) -> None:
        """Give a hint, once, when nothing has come for some time over a connection to a room that is not known yet."""
        if mark.stay is self._stay and mark.stay.unheard and not self._acquainted:
            self._acquainted = True
            self._note(UNHEARD)

    def completions(self, words: list[str]) -> list[str]:
        """Commands where one can stand, names elsewhere; who wrote last, where nobody is named yet behind /msg."""
        word = words[-1]
        if len(words) == 1 and word.startswith("/"):
            return [command for command in MEMBERS if command.startswith(word)]
        if words == ["/msg", ""] and self.members.whisperer:
            return [self.members.whisperer]
        return self.members.beginning_with(word)

    @property
    def secret(self) -> bool:
        """Whether the room waits for a password that nobody has given yet."""
        return self._stay.stage is Stage.ASKED and self._stay.password is None

    @property
    def open(self) -> bool:
        """Whether lines can be sent."""
        return self._stay.stage is Stage.OPEN and self._dialer.up

    def give(self, typed: str, now: float) -> None:
        """Answer the room's question for its password."""
        try:
            self._password = self._stay.password = check(typed.encode("utf-8", "replace"), "what was typed")
            self.answer(now)
        except ChatctlError as error:
            self._note(f"{error}")

    def say(self, text: str, now: float) -> bool:
        """Send the lines of a text; False: there is no connection that could take them, or they are none to send."""
        try:
            lines = lines_in(text)
        except InputError as error:
            self._note(f"{error}")
            return False
        if lines and not self.open:
            self._note("not connected: the line stays where it is")
            return False
        for number, line in enumerate(lines, 1):
            if (limit := self._stay.echoes.limit) is not None and len(line) > limit:
                self._note(f"not sent: {_size(line, limit, number if len(lines) > 1 else 0)}")
                return False
        if len(lines) > 1:
            self._pasted = lines
        self._dialer.send(b"".join(self._stay.send(line, now) for line in lines))
        if len(lines) == 1:
            self._remember(lines[0].decode())
        return True

    def _remember(self, line: str) -> None:
        """Keep what is to hold in the next connection too."""
        word, _, whom = line.partition(" ")
        if word == "/ignore" and whom.strip():
            self._ignored[whom.strip()] = None
        elif word == "/unignore":
            self._ignored.pop(whom.strip(), None)

    def understand(self, data: bytes) -> list[Event]:
        """Take account of what the server says; nothing is its end. Then `answer`."""
        return self.take_in(self._stay.understand(data))

    def settle(self, mark: Up) -> list[Event] | None:
        """Go on in plain text, if the server does not know programs; None: that is not known yet."""
        if mark.stay is not self._stay or not self._stay.undecided:
            return []
        events = self._stay.settle()
        return None if self._stay.undecided else self.take_in(events)

    def take_in(self, events: list[Event]) -> list[Event]:
        """Take account of some events; return what is to be shown."""
        if self._asking:
            self._stay.ask_again()
        listed = self._stay.question.take()
        if listed:
            others = [event.text.split()[0] for event in listed[1:] if not event.text.endswith(" (you)")]
            self._here = "" if set(others) == self._known else _here(others)
        for event in (*listed, *events):
            self.members.learn(event)
            if self.members.me and ":" not in self.members.me:
                self._claim.nick = self.members.me
            if event.kind is Kind.CONNECTED:
                self._replayed_to = 0 if self._claim.resumed else event.data.get("seq", 0)
                if self._entered and self._ignored and not self._claim.resumed:
                    self._dialer.send("".join(f"/ignore {whom}\n" for whom in self._ignored).encode())
                self._entered = self._acquainted = True
                self._status = self._trouble = ""
        return self._marked(events)

    def _marked(self, events: list[Event]) -> list[Event]:
        """The events, with a line below what was said before this member came, or where something is missing."""
        if self._claim.missed:
            text, self._claim.missed = _missing(self._claim.missed), None
            place = next((place for place, event in enumerate(events, 1) if event.kind is Kind.CONNECTED), 0)
            return [*events[:place], _noted(text), *events[place:]]
        if not self._replayed_to or self._claim.seq < self._replayed_to:
            return events
        self._replayed_to = 0
        end = max((place for place, event in enumerate(events, 1) if event.old), default=0)
        return [*events[:end], _noted("now --"), *events[end:]] if end else events

    def answer(self, now: float) -> None:
        """Do what the events of `understand` ask for, once they are shown.

        Raises:
            PasswordError: the room has another password than was given, or than were typed.
        """
        if self._here:
            self._note(self._here)
            self._here = ""
        self._name_doubtful()
        if self._nameless and (me := self.members.me) and ":" in me:
            self._note(f"you are {me}: /nick NAME gives you a name")
            self._nameless = False
        echoes = self._stay.echoes
        while echoes.limit is not None and echoes.refused:
            self._return(echoes.refused.popleft(), echoes.limit)
        if not self.secret and (text := self._stay.answer(now)):
            self._dialer.send(text)

    def begin(self, mark: Up, now: float) -> None:
        """A connection has been made."""
        self._known = self.members.others if self._entered else None
        self._stay = mark.stay
        self._stay.password = self._password
        self._comeback.begin(now)

    def end(self, mark: Down, now: float) -> float | None:
        """The connection has ended: say so, and name what may not have been sent.

        Returns:
            After how many seconds to come back; None: this end is what was wanted.

        Raises:
            NetworkError: it is the end for good.
            PasswordError: the room did not wait any longer for its password.
        """
        if not mark.stay.program:
            self.doubt()
        stay, self._stay = mark.stay, Stay(self._password)
        if stay.leaving:
            return None
        if stay.stage is Stage.ASKED:
            raise PasswordError("the room needs a password, and did not wait any longer for it")
        if stay.final:
            raise NetworkError(f"the server ended this: {stay.final}")
        delay = self._comeback.delay(now, final=not (self._reconnect if self._entered else self._wait))
        if delay is None:
            raise NetworkError(stay.trouble)
        if stay.trouble != self._trouble:
            self._note(stay.trouble)
            self._trouble = stay.trouble
        return delay

    def wait(self, seconds: float) -> None:
        """So long it takes until the next attempt."""
        self._status = f"offline, again in {math.ceil(seconds)} s"

    def dial(self) -> None:
        """Make the next attempt."""
        self._status = "connecting"
        self._dialer.dial()

    def interrupt(self, now: float) -> bool:
        """Whether Ctrl-C on an empty line leaves: the second within `_AGAIN` seconds does, as one is easily hit."""
        again = now - self._interrupted <= _AGAIN
        self._interrupted = now
        if not again:
            self._note("Ctrl-C again to leave")
        return again

    def leave(self) -> None:
        """Close this side's end of the connection, once everything that was said is sent."""
        self._dialer.half_close(self._stay.part())

    @property
    def due(self) -> int:
        """Lines that were said and have not come back yet."""
        return len(self._stay.echoes.due)

    def doubt(self) -> None:
        """Name the lines that were sent and have not come back."""
        self._claim.give_up()
        self._name_doubtful()

    def _name_doubtful(self) -> None:
        lines, self._claim.doubtful = self._claim.doubtful, []
        for line in lines[:_NAMED]:
            self._note(f"maybe not sent: {line.decode()}")
        if len(lines) > _NAMED:
            self._note(f"maybe not sent: {len(lines) - _NAMED:,} more lines")

    def _return(self, line: bytes, limit: int) -> None:
        """Give a line back that the room has refused, as it was longer than the room takes."""
        number = next((number for number, pasted in enumerate(self._pasted, 1) if wire.said(pasted) == line), 0)
        typed = line if wire.said(line) == line else wire.escaped(line)
        text = typed.decode()
        beginning = text if len(text) <= _BEGINNING else f"{text[:_BEGINNING]}…"
        place = "back in the prompt" if self.put_back(text) else beginning
        self._note(f"{_size(typed, limit, number)}: {place}")


def _size(line: bytes, limit: int, number: int) -> str:
    """That a line is too long: that of a number in a paste, or, 0, the one that was typed."""
    which = f"line {number} of the paste" if number else "the line"
    return f"{which} has {len(line):,} bytes, the room takes {limit:,}"


def _noted(text: str) -> Event:
    """A line of the program's own among those of the room."""
    return Event(Kind.OTHER, f"-- {text}", text=text)


def _missing(events: float) -> str:
    """How much is not there of what happened meanwhile."""
    if math.isinf(events):
        return "the room does not know where you were: lines may be missing"
    return f"{events:,} {'line is' if events == 1 else 'lines are'} missing here"


def _here(names: list[str]) -> str:
    """Who is here, in a line, besides this member."""
    if not names:
        return "nobody else is here"
    shown, more = names[:_SHOWN], len(names) - _SHOWN
    return f"here: {', '.join(shown)}{f', {more:,} more' if more > 0 else ''} and you"
