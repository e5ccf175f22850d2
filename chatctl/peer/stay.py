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
import errno
import math
import re
from typing import TYPE_CHECKING, NamedTuple

from chatctl import wire
from chatctl.errors import NetworkError, PasswordError
from chatctl.peer.echoes import Echoes
from chatctl.peer.question import Question
from chatctl.wire import Event, Kind, LineDecoder, Rejected, words

if TYPE_CHECKING:  # who speaks plain text does not wait for it to load
    import ssl  # noqa: TID251

MAX_LINE = 1024 * 1024
"""Bytes a line may have that is sent, or that the server sends: far more than any server relays."""

PATIENCE = 10.0
"""Seconds to wait for a connection, and for its handshake."""

SILENCE = 30.0
"""Seconds to wait for the server's first line; a TLS port lets a plain client wait for 10."""

DEAD = 60
"""Seconds after which a server whose machine has gone is given up."""

_REFUSED = re.compile(rf"{words.TOO_LONG} (\d{{1,9}}) bytes")
_TRIES = 3  # passwords that a server lets somebody try over one connection
_TOO_LONG = f"(a line of more than {MAX_LINE} bytes was left out)"
_GIVE_PASSWORD = "give its password by --password-file FILE or in CHATCTL_PASSWORD"


class Target(NamedTuple):
    """A room to connect to: a name or an address, its port, and a `tls.client_context`, or None for plain text."""

    host: str
    port: int
    tls: "ssl.SSLContext | None" = None


class Stage(enum.Enum):
    """How far a newcomer has come."""

    WAITING = "the server has not spoken, or refuses"
    ASKED = "the room waits for its password"
    ANSWERED = "the room has been sent one"
    REJECTED = "the room has another one"
    OPEN = "lines may be sent"


class Stay:
    """What was sent to a room, what came back, which echoes are due, and how it ended.

    ``stage``: until it is `Stage.OPEN`, only what `answer` returns may be sent. ``password``: may be set later.
    ``deadline``: when the server has been silent for too long; infinity, if it may be silent. ``leaving``: to be set
    when this member goes, so that the server's end of the connection is no surprise. ``refusal``: what the server said
    instead of letting the member in. ``ended``: there is no connection any more, or there should be none. ``echoes``:
    the account of what was said. ``question``: knows what the room calls this member.

    Args:
        password: for a room that needs one.
        target: what it is connected to, for TLS; where no certificate can be for that, the stay has ended at once.
        now: the time, in seconds of any clock that goes on.
        curious: ask the quiet question, unless the room is large.
        nick: the name to come in with, said before anything else.
    """

    def __init__(
        self,
        password: bytes | None = None,
        *,
        target: Target | None = None,
        now: float = 0.0,
        curious: bool = False,
        nick: str = "",
    ) -> None:
        self.stage = Stage.WAITING
        self.password = password
        self.leaving = False
        self.refusal: str | None = None
        self.ended = False
        self.echoes = Echoes()
        self.question = Question(wanted=curious)
        self._error: OSError | NetworkError | None = None
        self._entered = False
        self._wrong = 0  # passwords, so far
        self._begun = bool(nick)  # something was sent
        self._hello = f"/nick {nick}\n".encode() if nick else b""
        self._decoder = LineDecoder(MAX_LINE)
        self._last: Event | None = None
        self._layer = None
        self.deadline = now + SILENCE
        if target and target.tls:
            from chatctl.layers.handshake import client_layer, client_side

            trouble = f"cannot connect to {target.host} port {target.port}"
            self.deadline = now + PATIENCE
            try:
                self._layer = client_layer(target.tls, target.host, trouble)
                self._side = client_side(self._layer, trouble)
                next(self._side)
            except NetworkError as error:
                self.end(error)

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

    def decrypt(self, data: bytes, now: float) -> bytes:
        """Take what came, return the text in it; then send what `encrypt` returns, and look at ``ended``."""
        if not data:
            self.end()
        elif self._layer:
            data = self._open(data, now)
        if data:
            self.deadline = math.inf
        return data

    def _open(self, data: bytes, now: float) -> bytes:
        assert self._layer
        text, shaking = b"", not self._layer.established
        try:
            text = self._side.send(data)
            if self._layer.error:  # behind that text
                self._side.send(b"")
        except NetworkError as error:
            self.end(error)
        if self._layer.ended:
            self.end()
        if shaking and self._layer.established:
            self.deadline = now + SILENCE
        return text

    def encrypt(self, text: bytes) -> bytes:
        """The bytes to be sent for a text, and for what TLS itself has to say; in the order in which they are made."""
        if not self._layer or self._layer.established:
            text, self._hello = self._hello + text, b""
        return self._layer.send(text) if self._layer else text

    def close(self) -> bytes:
        """The bytes to be sent before this side's end of the connection is closed; nothing can be sent after them."""
        if self._layer:
            self._layer.close()
        return self.encrypt(b"")

    # Lines

    def send(self, line: bytes, now: float) -> bytes:
        """The text to be sent for a clean line; its echo is due from now on, if it is chat."""
        if not self._begun:  # a byte-order mark vanishes there on the wire
            self._begun = True
            line = line.removeprefix(b"\xef\xbb\xbf")
            if not line:
                return b""
        chat = wire.said(line)
        if chat is not None:
            self.echoes.say(chat, now)
        elif is_quit(line.decode()):
            self.leaving = True
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
            return self.password + b"\n"
        if self.question.due:
            self._begun = True
            return self.question.ask()
        return b""

    def ask_again(self) -> None:
        """Forget a wrong password, so that another may be given: for who types it, after `understand`."""
        if self.stage is Stage.REJECTED and self._wrong < _TRIES:
            self.password = None
            self.stage = Stage.ASKED

    def understand(self, text: bytes, *, skim: bool = False) -> list[Event]:
        """The events in a text; no text is its end. Then send what `answer` returns."""
        if skim:
            text = wire.skimmed(text, begun=self._decoder.begun)
        items = self._decoder.feed(text) if text else self._decoder.finish()
        events = [self._event(item) for item in items]
        if self.question.pending:
            events = self.question.hear(events) + ([] if text else self.question.give_up())
        self._last = events[-1] if events else self._last
        return events

    # The end

    def end(self, error: OSError | NetworkError | None = None) -> None:
        """The connection has ended: closed by the server, broken, or, with a `TimeoutError`, at its ``deadline``.

        Only the first end counts.
        """
        if self.ended:
            return
        self.ended = True
        self.deadline = math.inf
        self._error = error
        if self._layer and not isinstance(error, NetworkError):
            if not self._layer.established:
                try:
                    self._side.throw(error or _cut_off("the server closed the connection"))
                except NetworkError as failure:
                    self._error = failure
            elif not error and not self._layer.ended:
                self._error = _cut_off("the server ended it without saying so (no close_notify)")

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
        return self._layer is None and self._last is None and not self.ended

    @property
    def final(self) -> str | None:
        """The server's last word, if who gets that must not come back by itself."""
        last = self._last
        return last.text if last and last.kind is Kind.ANSWER and last.text.startswith(words.FINAL) else None

    # What the server says

    def _event(self, item: bytes | Rejected) -> Event:
        event = wire.parse(_TOO_LONG if isinstance(item, Rejected) else item.decode())
        if event.kind is Kind.OWN:
            self.echoes.hear(event.text.encode())
        elif event.kind is Kind.CONNECTED:
            self._entered = True
            self.question.welcome(event.users or 0)
            self.refusal = None
        elif event.kind is Kind.ANSWER and (renamed := words.RENAMED.fullmatch(event.text)):
            self.question.me = renamed[1]
        elif event.kind is Kind.ANSWER and (refused := _REFUSED.fullmatch(event.text)):
            self.echoes.refuse(int(refused[1]))
        if not self._entered and event.kind is Kind.ANSWER:
            self._answered(event.text)
        else:
            self.stage = Stage.OPEN
        return event

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


def is_quit(line: str) -> bool:
    """Whether a line that is sent asks the server to end the stay."""
    return line.split()[:1] == ["/quit"]


def _cut_off(reason: str) -> ConnectionResetError:
    """The error for an end of the connection that TLS was not told of."""
    return ConnectionResetError(errno.ECONNRESET, reason)
