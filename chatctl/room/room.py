"""The room: who comes in, what members say and ask, and when the server has had enough of one.

The room knows text and policy and no sockets. A backend has its connections inherit from `Member`, says what happened
to them, and then sends to each what it is owed:

    accepted                     `Room.arrive`, then `Room.join`, or `Room.knock` when there is a handshake before that
    bytes were read, or EOF      `Room.receive`
    a fault of the link          `Room.leave`
    the next deadline has come   `Room.tick`

After any of these the backend visits the members that `Room.moved` and `Room.touched` name, and then calls `Room.trim`.
It does not read a member that is ``paused`` for any reason.

Time is in seconds of any clock that only goes forward, and always an argument.
"""

from collections.abc import Callable
from typing import Any, ClassVar, cast

from chatctl.room import commands
from chatctl.room.entrance import REFUSALS, Entrance
from chatctl.room.ledger import Person
from chatctl.room.limits import Limits
from chatctl.room.lobby import LEFT
from chatctl.room.people import RefusedError
from chatctl.room.stages import INSIDE, OUTSIDE, SILENT, Due, M, Pause
from chatctl.wire import Rejected, said, words
from chatctl.wire.events import Said
from chatctl.wire.telnet import Telnet

GLANCE = 5.0
"""Seconds after which a member that is not read is visited, to see whether it is still there."""

MAX_TOLD = 64 * 1024
"""Bytes of answers that a member may leave unread before its commands are ignored."""

MAX_WHISPERED = 256 * 1024
"""Bytes of its own, private lines most of all, that a member may leave unread before others can tell it no more."""

MAX_IGNORED = 10_000
"""Commands of a member that are ignored before it is cut."""

_HEARD = (OUTSIDE, SILENT, INSIDE)  # where what a member sends means something


class Room(Entrance[M]):
    """A room of members. ``received`` counts the bytes that came.

    See `Entrance` for its arguments.
    """

    def __init__(self, limits: Limits | None = None, *, password: bytes | None = None, certified: bool = False) -> None:
        super().__init__(limits or Limits(), password=password, certified=certified)
        self.received = 0

    def receive(self, member: M, data: bytes, now: float) -> None:
        """Take what a member's link read; empty means its half-close. Input after its end is thrown away."""
        if member.stage not in _HEARD:
            return
        self.now = now
        self.received += len(data)
        if self.limits.idle_timeout:
            member.heard = now
        items = member.decoder.feed(data) if data else member.decoder.finish()
        if member.decoder.telnet:
            self._negotiate(member, member.decoder.telnet)
        if member.stage is OUTSIDE:
            items = self.unlock(member, items, now)
        if member.stage is SILENT:
            items = self.introduce(member, items)
        if items:
            self._take_in(member, items, now)
        if not data:
            self.finish(member, now, LEFT)
        elif member.bucket:
            self._slow_down(member, member.bucket.spend(data, now), now)

    def whisper(self, member: M, to: Person, line: bytes) -> None:
        """Tell one person alone what a member says, and show it to that member.

        Raises:
            RefusedError: that one cannot be told.
        """
        view = to.view
        if view is None:
            raise RefusedError("nobody", f"{to.name} has lost the connection: not sent")
        if view.overlaid > MAX_WHISPERED:
            raise RefusedError("slow", f"{to.name} is slow to read: not sent")
        sender = self.ledger.people[member.uid]
        uid, at = sender.uid, self.now + self.ledger.day
        member.tell(member.log.dialect.private(None, to.name, line, uid=uid, at=at))
        self.touch(member)
        if to.uid not in self.ledger.ignored.by(sender.uid, sender.address.host):
            view.tell(view.log.dialect.private(sender.name, None, line, uid=uid, at=at), answer=False)
            self.touch(cast(M, view))

    def tell(self, member: M, data: bytes, *, looked_at: int = 0) -> None:
        """Give a member what it has asked for, at a price: a token for each 256 bytes, and each 64 KiB looked at."""
        member.tell(data)
        self.touch(member)
        self._judge(member)
        if member.bucket:
            member.bucket.charge(len(data), looked_at)

    def quit(self, member: M, now: float) -> None:
        """End a member that wants to go."""
        self.dismiss(member, now, "bye", LEFT)

    def tick(self, now: float) -> None:
        """Act on the deadlines that have come."""
        self.now = now
        for member, due in self.deadlines.due(now):
            self._OVERDUE[due](self, member, now)

    def enter(self, member: M, name: str = "") -> None:
        """See `Lobby.enter`."""
        super().enter(member, name)
        self._watch_idle(member, self.now)

    def _look_again(self, member: M, now: float) -> None:
        """Have a paused member visited, as it may have gone, and read on if it has waited long enough."""
        self.touch(member)
        seconds = member.bucket.wait(now) if member.bucket else 0.0
        if seconds:
            self._pause(member, seconds, now)
        else:
            member.paused -= {Pause.RATE}
            self._watch_idle(member, now)

    def _silent(self, member: M, now: float) -> None:
        if member.heard + self.limits.idle_timeout > now:
            self._watch_idle(member, member.heard)
        else:
            self.dismiss(member, now, f"{words.IDLE} for {self.limits.idle_timeout:g} s: bye", "idle")

    def _does_not_close(self, member: M, now: float) -> None:
        self.leave(member, now, f"{member.reason}, without closing its end")

    _OVERDUE: ClassVar[dict[Due, Callable[[Any, Any, float], None]]] = {
        Due.HANDSHAKE: Entrance.no_handshake,
        Due.PASSWORD: Entrance.no_password,
        Due.GREETING: Entrance.no_word,
        Due.PAUSE: _look_again,
        Due.IDLE: _silent,
        Due.LINGER: _does_not_close,
    }

    def _slow_down(self, member: M, seconds: float, now: float) -> None:
        """Have a member that has sent too much not be read for so many seconds."""
        if not seconds or member.stage not in (OUTSIDE, INSIDE):
            return
        if member.stage is OUTSIDE:
            self.dismiss(member, now, "too much: send the password first", "too much without the password")
            return
        if member.bucket and not member.bucket.warned:
            member.bucket.warned = True
            self.answer(
                member, f"too fast: you are read at {self.limits.rate:g} lines a second from now on, nothing is lost"
            )
        if member.stage is INSIDE:
            member.paused |= {Pause.RATE}
            self.touch(member)
            self._pause(member, seconds, now)

    def _pause(self, member: M, seconds: float, now: float) -> None:
        self.deadlines.set(member, now + min(seconds, GLANCE), Due.PAUSE)

    def _watch_idle(self, member: M, since: float) -> None:
        if self.limits.idle_timeout:
            member.heard = since
            self.deadlines.set(member, since + self.limits.idle_timeout, Due.IDLE)

    def _negotiate(self, member: M, telnet: Telnet) -> None:
        if telnet.replies and member.told <= MAX_TOLD:
            member.tell(telnet.replies)
            self.touch(member)
        telnet.replies = b""

    def _take_in(self, member: M, items: list[bytes | Rejected], now: float) -> None:
        """Say and answer what a chunk of input came to: its lines are posted together, in their order."""
        lines: list[bytes] = []
        for item in items:
            if isinstance(item, bytes):
                line = said(item) if item.startswith(b"/") else item  # a call for every line would be felt
                if line is not None:
                    lines.append(line)
                    continue
            self._say(member, lines)
            lines = []
            if isinstance(item, bytes):
                self._obey(member, item.decode(), now)
            elif member.told > MAX_TOLD:
                self._ignore(member)
            elif item is Rejected.TOO_LONG:
                self.refuse(member, "long", f"{words.TOO_LONG} {self.limits.max_line} bytes")
            else:
                self.dismiss(member, now, REFUSALS[item], f"sent {item.value}")
            if member.stage is not INSIDE:
                return
        self._say(member, lines)

    def _say(self, member: M, lines: list[bytes]) -> None:
        if lines:
            self.post(Said(member.uid, tuple(lines)))

    def _obey(self, member: M, line: str, now: float) -> None:
        word, argument = commands.split(line)
        command = commands.MEMBERS.get(word)
        if member.told > MAX_TOLD and not (command and command.always):
            self._ignore(member)
        elif command:
            try:
                command.do(self, member, argument, now)
            except RefusedError as refused:
                self.refuse(member, refused.code, refused.text)
        else:
            self.refuse(member, "unknown", commands.unknown(word, "says"))

    def _ignore(self, member: M) -> None:
        """Do not obey a member that leaves its answers unread: one chunk of input can ask for gigabytes."""
        if member.ignored % 1000 == 0:
            self.refuse(member, "slow", "too many commands at once: read the answers, then ask again")
        member.ignored += 1
        if member.ignored > MAX_IGNORED:
            self.expel(member, "too many commands")
