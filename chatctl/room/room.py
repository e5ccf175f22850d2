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

import hashlib
import hmac
from typing import ClassVar

from chatctl.room import commands
from chatctl.room.limits import Bucket, Limits
from chatctl.room.stages import INSIDE, KNOCKING, LEFT, OUTSIDE, Due, Lobby, M, Pause
from chatctl.wire import LineDecoder, Rejected, said, words
from chatctl.wire.events import Said
from chatctl.wire.telnet import Telnet

GLANCE = 5.0
"""Seconds after which a member that is not read is visited, to see whether it is still there."""

MAX_TOLD = 64 * 1024
"""Bytes of answers that a member may leave unread before its commands are ignored."""

MAX_IGNORED = 10_000
"""Commands of a member that are ignored before it is cut."""

HANDSHAKE = 10.0
"""Seconds that a newcomer has for its TLS handshake."""

PASSWORD = 60.0
"""Seconds that a newcomer has for the password."""

TRIES = 3
"""Passwords that a newcomer may try."""

SPEAKS_TLS = "this room speaks TLS: come in with chatctl client --tls, or openssl s_client"

_HEARD = (OUTSIDE, INSIDE)  # where what a member sends means something

_REFUSALS = {
    Rejected.TLS: "this room speaks plain text, not TLS",
    Rejected.HTTP: "this is a chat server, not a web server",
}


class Room(Lobby[M]):
    """A room of members. ``received`` counts the bytes that came.

    Args:
        limits: what members may cost.
        password: the first line of who wants to come in, if it takes one.
    """

    def __init__(self, limits: Limits | None = None, *, password: bytes | None = None) -> None:
        self.limits = limits or Limits()
        super().__init__(self.limits.max_lag)
        self.received = 0
        self._password = None if password is None else hashlib.sha256(password).digest()

    def arrive(self, member: M) -> None:
        """Take note of a newcomer: the first call for each. It is not in the room yet."""
        member.decoder = LineDecoder(self.limits.max_line, guard=True)
        super().arrive(member)

    def knock(self, member: M, now: float) -> None:
        """Give a newcomer time for its handshake; `join` comes after that."""
        self.deadlines.set(member, now + HANDSHAKE, Due.HANDSHAKE)

    def join(self, member: M, now: float) -> None:
        """Let a newcomer in, or have it wait for the password. One that was turned away meanwhile is not let in."""
        if member.stage is not KNOCKING:
            return
        if self.limits.rate:
            member.bucket = Bucket(self.limits.rate, self.limits.burst, now)
        if self._password is None:
            self._enter(member, now)
        else:
            self._move(member, OUTSIDE)
            self.deadlines.set(member, now + PASSWORD, Due.PASSWORD)
            self.answer(member, words.NEEDS_PASSWORD)

    def receive(self, member: M, data: bytes, now: float) -> None:
        """Take what a member's link read; empty means its half-close. Input after its end is thrown away."""
        if member.stage not in _HEARD:
            return
        self.received += len(data)
        if self.limits.idle_timeout:
            member.heard = now
        items = member.decoder.feed(data) if data else member.decoder.finish()
        if member.decoder.telnet:
            self._negotiate(member, member.decoder.telnet)
        if member.stage is OUTSIDE:
            items = self._unlock(member, items, now)
        if items:
            self._take_in(member, items, now)
        if not data:
            self.finish(member, now, LEFT)
        elif member.bucket:
            self._slow_down(member, member.bucket.spend(data, now), now)

    def quit(self, member: M, now: float) -> None:
        """End a member that wants to go."""
        self.dismiss(member, now, "bye", LEFT)

    def tick(self, now: float) -> None:
        """Act on the deadlines that have come."""
        for member, due in self.deadlines.due(now):
            self._OVERDUE[due](self, member, now)

    def _no_handshake(self, member: M, now: float) -> None:
        self.dismiss(member, now, SPEAKS_TLS, f"no TLS handshake within {HANDSHAKE:.0f} s")

    def _no_password(self, member: M, now: float) -> None:
        self.dismiss(member, now, f"no password within {PASSWORD:.0f} s", "no password")

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
        self.leave(member, f"{member.reason}, without closing its end")

    _OVERDUE: ClassVar = {
        Due.HANDSHAKE: _no_handshake,
        Due.PASSWORD: _no_password,
        Due.PAUSE: _look_again,
        Due.IDLE: _silent,
        Due.LINGER: _does_not_close,
    }

    def _enter(self, member: M, now: float) -> None:
        self.enter(member)
        self._watch_idle(member, now)

    def _unlock(self, member: M, items: list[bytes | Rejected], now: float) -> list[bytes | Rejected]:
        """Look for the password in the input of a newcomer; return what follows it."""
        for at, item in enumerate(items):
            if item in _REFUSALS:
                return items[at:]
            digest = hashlib.sha256(item if isinstance(item, bytes) else b"").digest()
            if hmac.compare_digest(digest, self._password or b""):
                self._enter(member, now)
                return items[at + 1 :]
            member.tries += 1
            if member.tries == TRIES:
                self.dismiss(member, now, words.WRONG_PASSWORD, words.WRONG_PASSWORD)
                break
            self.answer(member, words.WRONG_PASSWORD)
        return []

    def _slow_down(self, member: M, seconds: float, now: float) -> None:
        """Have a member that has sent too much not be read for so many seconds."""
        if not seconds or member.stage not in _HEARD:
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
            if isinstance(item, bytes) and (line := said(item)) is not None:
                lines.append(line)
                continue
            self._say(member, lines)
            lines = []
            if isinstance(item, bytes):
                self._obey(member, item.decode(), now)
            elif member.told > MAX_TOLD:
                self._ignore(member)
            elif item is Rejected.TOO_LONG:
                self.answer(member, f"{words.TOO_LONG} {self.limits.max_line} bytes")
            else:
                self.dismiss(member, now, _REFUSALS[item], f"sent {item.value}")
            if member.stage is not INSIDE:
                return
        self._say(member, lines)

    def _say(self, member: M, lines: list[bytes]) -> None:
        if lines:
            self.ledger.post(Said(member.uid, tuple(lines)))

    def _obey(self, member: M, line: str, now: float) -> None:
        word, argument = commands.split(line)
        command = commands.MEMBERS.get(word)
        if member.told > MAX_TOLD and not (command and command.always):
            self._ignore(member)
        elif command:
            command.do(self, member, argument, now)
        else:
            self.answer(member, commands.unknown(word, "says"))

    def _ignore(self, member: M) -> None:
        """Do not obey a member that leaves its answers unread: one chunk of input can ask for gigabytes."""
        if member.ignored % 1000 == 0:
            self.answer(member, "too many commands at once: read the answers, then ask again")
        member.ignored += 1
        if member.ignored > MAX_IGNORED:
            self.expel(member, "too many commands")
