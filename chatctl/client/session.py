"""One person's stay in a room, over one connection or several, without a screen.

It takes account of what comes and what is said, knows what the prompt says, and decides what follows when a connection
ends.
"""

import math
from collections.abc import Callable

from chatctl import wire
from chatctl.client.dialer import Dialer, Down, Up
from chatctl.client.members import Members
from chatctl.errors import ChatctlError, InputError, NetworkError, PasswordError
from chatctl.password import check
from chatctl.peer.blocking import lines_in
from chatctl.peer.stay import STEADY, Connection, Stage, delays
from chatctl.wire import Event, Kind, words

_NAMED = 5  # lines that are repeated when they may not have been sent


class Session:
    """A stay.

    Args:
        dialer: makes the connections.
        password: for a room that needs one; None: it is asked for, see `secret`.
        reconnect: come back when a connection is lost.
        note: tells the person something.

    ``me``: what the room calls this member, once it is known. ``members``: who is in the room.
    """

    def __init__(self, dialer: Dialer, password: bytes | None, *, reconnect: bool, note: Callable[[str], None]) -> None:
        self.members = Members()
        self._dialer = dialer
        self._password = password
        self._reconnect = reconnect
        self._note = note
        self._connection = Connection(password)
        self._status = "connecting"
        self._trouble = ""  # why there is no connection, as it was said last
        self._entered = False  # at least once
        self._last: Event | None = None  # of the room
        self._delays = delays()
        self._since = math.inf  # when the connection was made

    def prompt(self) -> str:
        """What stands before the line that is edited: how the connection is, or how many are online."""
        if self.secret:
            return "Password: "
        if self._status or self.members.users is None:
            return f"[{self._status}] > "
        return f"[{wire.online(self.members.users)}] > "

    @property
    def secret(self) -> bool:
        """Whether the room waits for a password that nobody has given yet."""
        return self._connection.stage is Stage.ASKED and self._connection.password is None

    @property
    def open(self) -> bool:
        """Whether lines can be sent."""
        return self._connection.stage is Stage.OPEN and self._dialer.up

    def give(self, typed: str) -> None:
        """Answer the room's question for its password."""
        try:
            self._password = self._connection.password = check(typed.encode("utf-8", "replace"), "what was typed")
            self._dialer.send(self._connection.answer())
        except ChatctlError as error:
            self._note(f"{error}")

    def say(self, text: str) -> bool:
        """Send the lines of a text; False: there is no connection that could take them, or they are none to send."""
        try:
            lines = lines_in(text)
        except InputError as error:
            self._note(f"{error}")
            return False
        if lines and not self.open:
            self._note("not connected: the line stays where it is")
            return False
        self._dialer.send(b"".join(map(self._connection.send, lines)))
        return True

    def understand(self, data: bytes) -> list[Event]:
        """Take account of what the server says, and answer when it asks for a password that is known.

        Raises:
            PasswordError: the room has another password.
        """
        events = self._connection.receive(data)
        for event in events:
            self.members.learn(event)
            if event.kind is Kind.CONNECTED:
                self._entered = True
                self._status = self._trouble = ""
        if events:
            self._last = events[-1]
        return events

    def answer(self) -> None:
        """Do what the server waits for, after `understand`.

        Raises:
            PasswordError: the room has another password than was given.
        """
        if not self.secret and (password := self._connection.answer()):
            self._dialer.send(password)

    def begin(self, mark: Up, now: float) -> None:
        """A connection has been made."""
        self._connection = Connection(self._password)
        self._since = now
        self._last = None
        self.members.me = mark.name

    def end(self, mark: Down, now: float) -> float | None:
        """The connection has ended: say so, and name what may not have been sent.

        Returns:
            After how many seconds to come back; None: this end is what was wanted.

        Raises:
            NetworkError: it is the end for good.
            PasswordError: the room did not wait any longer for its password.
        """
        connection, self._connection = self._connection, Connection(self._password)
        trouble = str(mark.error) if isinstance(mark.error, ChatctlError) else connection.trouble(mark.error)
        self._doubt(connection)
        if connection.leaving:
            return None
        if connection.stage is Stage.ASKED:
            raise PasswordError("the room needs a password, and did not wait any longer for it")
        if self._last and self._last.kind is Kind.ANSWER and self._last.text.startswith(words.FINAL):
            raise NetworkError(f"the server ended this: {self._last.text}")
        if not self._entered or not self._reconnect:
            raise NetworkError(trouble)
        if trouble != self._trouble:
            self._note(trouble)
            self._trouble = trouble
        if now - self._since > STEADY:
            self._delays = delays()
        self._since = math.inf
        return next(self._delays)

    def wait(self, seconds: float) -> None:
        """So long it takes until the next attempt."""
        self._status = f"offline, again in {math.ceil(seconds)} s"

    def dial(self) -> None:
        """Make the next attempt."""
        self._status = "connecting"
        self._dialer.dial()

    def leave(self) -> None:
        """Close this side's end of the connection, once everything that was said is sent."""
        self._connection.leaving = True
        self._dialer.half_close()

    @property
    def due(self) -> int:
        """Lines that were said and have not come back yet."""
        return len(self._connection.due)

    def doubt(self) -> None:
        """Name the lines that were sent and have not come back."""
        self._doubt(self._connection)

    def _doubt(self, connection: Connection) -> None:
        lines = connection.due
        for line in lines[:_NAMED]:
            self._note(f"maybe not sent: {line.decode()}")
        if len(lines) > _NAMED:
            self._note(f"maybe not sent: {len(lines) - _NAMED:,} more lines")
