"""A member's side of one connection, without one: bytes in → events, lines out → bytes to send.

A `Stay` knows no socket, no thread and no clock. Whoever has those drives it:

    a connection is there      make a `Stay`; send what ``encrypt(b"")`` returns, which begins the handshake under TLS
    bytes have come            `Stay.receive` returns the events; no bytes are the end of the connection
    after that                 send ``encrypt(answer(now))``: the password, or what TLS itself has to say
    a line is to be said       at `Stage.OPEN`, when `Echoes.hold` lets it: send ``encrypt(send(line, now))``
    all is said                set ``leaving``, send what `Stay.close` returns, and half-close
    the ``deadline`` is over   ``end(TimeoutError())``, as for any other error of the connection
    it has ``ended``           close the connection; ``trouble`` and ``final`` tell what to think of it

`Stay.receive` is `Stay.decrypt` and `Stay.understand` in one: who wants the text itself, or understands it later, calls
these. One thread may decrypt while another one encrypts, and a third understands, sends and answers.
"""

import enum

from chatctl import wire
from chatctl.errors import NetworkError, PasswordError
from chatctl.peer.claim import Claim
from chatctl.peer.connection import SILENCE, Connection, Target
from chatctl.peer.echoes import Echoes
from chatctl.peer.program import Program
from chatctl.peer.question import Question
from chatctl.wire import Event, Kind, LineDecoder, Rejected, words

MAX_LINE = 1024 * 1024
"""Bytes a line may have that is sent, or that the server sends: far more than any server relays."""

ANSWER = 2.0
"""Seconds after which a server that has not said hello is one that does not know programs."""

_TRIES = 3  # passwords that a server lets somebody try over one connection
_TOO_LONG = f"(a line of more than {MAX_LINE} bytes was left out)"
_GIVE_PASSWORD = "give its password by --password-file FILE or in CHATCTL_PASSWORD"


class Stage(enum.Enum):
    """How far a newcomer has come."""

    WAITING = "the server has not spoken, or refuses"
    ASKED = "the room waits for its password"
    ANSWERED = "the room has been sent one"
    REJECTED = "the room has another one"
    OPEN = "lines may be sent"


class Stay(Connection):
    """What was sent to a room, what came back, which echoes are due, and how it ended.

    ``stage``: until it is `Stage.OPEN`, only what `answer` returns may be sent. ``password``: may be set later.
    ``leaving``: to be set when this member goes, so that the server's end of the connection is no surprise.
    ``refusal``: what the server said instead of letting the member in. ``echoes``: the account of what was said.
    ``question``: knows what the room calls this member. ``program``: the dialect of programs, once the server has said
    hello.

    Args:
        password: for a room that needs one.
        target: what it is connected to, for TLS; where no certificate can be for that, the stay has ended at once.
        now: the time, in seconds of any clock that goes on.
        curious: ask the quiet question, unless the room is large.
        nick: the name to come in with, said before anything else.
        claim: what the member keeps from one connection to the next, its name too: the server is asked for the dialect
            of programs, and the stay goes on in plain text where that is not known, see `settle`.
    """

    def __init__(
        self,
        password: bytes | None = None,
        *,
        target: Target | None = None,
        now: float = 0.0,
        curious: bool = False,
        nick: str = "",
        claim: Claim | None = None,
    ) -> None:
        super().__init__(target, now, b"/json\n" if claim else _call_me(nick))
        self.stage = Stage.WAITING
        self.password = password
        self.leaving = False
        self.refusal: str | None = None
        self.echoes = claim.echoes if claim else Echoes()
        self.echoes.limit = None  # it may be another server by now
        self.question = Question(wanted=curious)
        self.program: Program | None = None
        self._claim = claim
        self._undecided: list[Event] | None = [] if claim else None  # what came before the dialect was known
        self._entered = False
        self._wrong = 0  # passwords, so far
        self._begun = bool(nick or claim)  # something was sent
        self._parting = False  # the server has been told that this member goes, whom nobody has to tell that it does
        self._due = b""  # what is to be sent as soon as that can be
        self._decoder = LineDecoder(MAX_LINE)
        self._last: Event | None = None

    # Bytes

    def receive(self, data: bytes, now: float, *, skim: bool = False) -> list[Event]:
        """Take what came, return the events; then send what `answer` and `encrypt` return, and look at ``ended``.

        Args:
            data: as it came; nothing is the end of the connection.
            now: the time.
            skim: leave out what others say, which is quicker.
        """
        text = self.decrypt(data, now)
        events = self.understand(text, skim=skim) if text else []
        if text and self.stage is not Stage.OPEN:
            self.deadline = now + SILENCE
        return events + self.understand(b"") if self.ended else events

    # Lines

    def send(self, line: bytes, now: float) -> bytes:
        """The text to be sent for a clean line; its echo is due from now on, if it is chat."""
        if not self._begun:  # a byte-order mark vanishes there on the wire
            self._begun = True
            line = line.removeprefix(b"\xef\xbb\xbf")
            if not line:
                return b""
        if line.startswith(b"/") and is_quit(line.decode()):
            self.leaving = True
        elif self.program and self._claim:
            return self._claim.number(line, now)
        else:
            self.echoes.say(line, now)
        return line + b"\n"

    def answer(self, now: float) -> bytes:
        """The text to be sent for what the server has said: the password that it waits for, or the quiet question.

        Raises:
            PasswordError: the room needs a password, and there is none, or it was wrong.
        """
        if self.stage is Stage.REJECTED:
            raise PasswordError(f"the room has another password: {_GIVE_PASSWORD}")
        if self.stage is Stage.ASKED:
            if self.password is None:
                raise PasswordError(f"the room needs a password: {_GIVE_PASSWORD}")
            self.stage = Stage.ANSWERED
            self._begun = True
            self.deadline = now + SILENCE
            return self._take_due() + (self._enter() if self.program else self.password + b"\n")
        if self.question.due:
            self._begun = True
            return self._take_due() + self.question.ask()
        return self._take_due()

    def _take_due(self) -> bytes:
        due, self._due = self._due, b""
        return due

    def _enter(self) -> bytes:
        assert self._claim
        return self._claim.enter(self.password if self.program and self.program.needs_password else None)

    def part(self) -> bytes:
        """The text to be sent before the end when this member goes: else a program would be waited for."""
        self.leaving = self._parting = True
        return b"/quit\n" if self.program else b""  # it may be inside already, and not know that yet

    def ask_again(self) -> None:
        """Forget a wrong password, so that another may be given: for who types it, after `understand`."""
        if self.stage is Stage.REJECTED and self._wrong < _TRIES:
            self.password = None
            self.stage = Stage.ASKED

    def settle(self) -> list[Event]:
        """Go on in plain text, `ANSWER` seconds after the beginning, if the server has not said hello.

        Then send what `answer` returns. A hello that comes later is obeyed all the same.
        """
        if self._undecided is None or (self._first and not self.ended):
            return []
        events, self._undecided = self._undecided, None
        if self._claim and not self.ended:  # else what is due can still be said over another connection
            self._claim.give_up()
            self._due += _call_me(self._claim.nick)
        for event in events:
            self._note(event)
        return self.question.hear(events)

    @property
    def undecided(self) -> bool:
        """Whether the server has been asked for the dialect of programs, and not answered."""
        return self._undecided is not None

    def understand(self, text: bytes, *, skim: bool = False) -> list[Event]:
        """The events in a text; no text is its end. Then send what `answer` returns."""
        me = self._claim.uid if self._claim and self.program else 0
        if skim:
            text = wire.skimmed(text, begun=self._decoder.begun, me=me)
        if self.program:
            self.program.skimming = skim
        items = self._decoder.feed(text) if text else self._decoder.finish()
        events = [event for item in items for event in self._events(item)] + ([] if text else self.settle())
        if self.question.pending and not self.program:
            events = self.question.hear(events) + ([] if text else self.question.give_up())
        self._last = events[-1] if events else self._last
        return events

    @property
    def trouble(self) -> str:
        """What was wrong with the end of the connection; nothing, if it was a good one."""
        if self.refusal:
            return f"the server refused: {self.refusal}"
        if isinstance(self._error, NetworkError):
            return f"{self._error}"
        if isinstance(self._error, TimeoutError) and self.stage is not Stage.OPEN:
            return f"the server has said nothing for {SILENCE:.0f} s: is it a chat server? with or without --tls?"
        if self._error:
            return f"the connection broke: {self._error.strerror}"
        return "" if self.leaving else "the server went away"

    @property
    def unheard(self) -> bool:
        """Whether the connection is in plain text, and the server has said nothing at all."""
        return not (self._layer or self._last or self.program or self.ended)

    @property
    def final(self) -> str | None:
        """The server's last word, if who gets that must not come back by itself."""
        if self.program:
            word = self.program.last_word
            return word.text if word and not word.data.get("again") else None
        last = self._last
        return last.text if last and last.kind is Kind.ANSWER and last.text.startswith(words.FINAL) else None

    # What the server says

    def _events(self, item: bytes | Rejected) -> list[Event]:
        """What a line tells; nothing, as long as the dialect is not known in which it is to be understood."""
        line = _TOO_LONG if isinstance(item, Rejected) else item.decode()
        program = self.program
        event = wire.parse(line, self._claim.uid if program and self._claim else 0)
        if self._claim and event.kind is Kind.HELLO and not program:
            self._greet(self._claim, event)
            return []
        if program:
            return self._heard(program, event)
        if self._undecided is None:
            self._note(event)
            return [event]
        if event.text.startswith(words.NO_COMMAND):
            return self.settle()
        if event.text == words.WRONG_PASSWORD:  # an older server has taken the first line for one
            return self.settle()
        self._undecided.append(event)
        return []

    def _greet(self, claim: Claim, event: Event) -> None:
        """Enter, now that the server has said hello; before that, nothing was obeyed."""
        self.program = Program(claim, event.data)
        self._undecided = None
        self._entered = False
        self._due = b""
        self.stage = Stage.ASKED if self.program.needs_password else Stage.WAITING
        if self.stage is Stage.WAITING:
            self._due = self._enter()

    def _heard(self, program: Program, event: Event) -> list[Event]:
        """The same of a line that is told to a program."""
        before = program.inside
        if self.question.listed(event):
            return []
        try:
            shown = program.hear(event, self._now)
        except NetworkError as fault:
            self.end(fault)
            return []
        if program.inside and not before:
            self._entered = True
            self.question.me = event.data["you"]
            self.refusal = None
            self.stage = Stage.OPEN
            self.question.welcome(event.users or 0)
            self._due += program.again
        elif not before and event.kind in (Kind.ERROR, Kind.BYE):
            self._answered(event.text)
        if event.kind is Kind.RENAMED and self._claim and event.uid == self._claim.uid:
            self._claim.nick = self.question.me = event.text
        return [shown] if shown and not (self._parting and event.kind is Kind.BYE) else []

    def _note(self, event: Event) -> None:
        """Take account of a line of the plain dialect."""
        if event.kind is Kind.OWN:
            self.echoes.hear(event.text.encode())
        elif event.kind is Kind.CONNECTED:
            self._entered = True
            self.question.welcome(event.users or 0)
            self.refusal = None
        elif event.kind is Kind.ANSWER and (renamed := words.RENAMED.fullmatch(event.text)):
            self.question.me = renamed[1]
        elif event.kind is Kind.ANSWER:
            self.echoes.answer(event.text)
        if not self._entered and event.kind is Kind.ANSWER:
            self._answered(event.text)
        else:
            self.stage = Stage.OPEN

    def _answered(self, text: str) -> None:
        """Understand what the server itself says to who is not inside."""
        if self.stage is Stage.WAITING and text == words.NEEDS_PASSWORD:
            self.stage = Stage.ASKED
        elif self.stage is Stage.ANSWERED and text == words.WRONG_PASSWORD:
            self._wrong += 1
            self.stage = Stage.REJECTED
        else:
            self.refusal = text
            self.stage = Stage.WAITING


def _call_me(nick: str) -> bytes:
    """The text by which one has a name."""
    return f"/nick {nick}\n".encode() if nick else b""


def is_quit(line: str) -> bool:
    """Whether a line that is sent asks the server to end the stay."""
    return line.split()[:1] == ["/quit"]
