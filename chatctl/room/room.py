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

import re
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, cast

from chatctl.room import commands
from chatctl.room.endings import LEFT
from chatctl.room.entrance import REFUSALS, Entrance
from chatctl.room.limits import Limits
from chatctl.room.lookup import NOTHING, Found, LookUp, Query
from chatctl.room.people import RefusedError
from chatctl.room.person import Newcomer, Person
from chatctl.room.programs import MAX_TOLD
from chatctl.room.stages import GREETED, INSIDE, OUTSIDE, SILENT, Due, M, Pause, Stage
from chatctl.wire import Rejected, said, words
from chatctl.wire.events import Said, Taken
from chatctl.wire.words import Farewell

GLANCE = 5.0
"""Seconds after which a member that is not read is visited, to see whether it is still there."""

MAX_WHISPERED = 256 * 1024
"""Bytes of its own, private lines most of all, that a member may leave unread before others can tell it no more."""

MOST_ASKING = 16
"""Members whose searches of what is stored are under way at a time."""

MAX_IGNORED = 10_000
"""Commands of a member that are ignored before it is cut."""

_USAGE = {
    "/json": "you are a program already",
    "/enter": "you are in the room already",
    "/id": "say /id N LINE: N is from 1 to 2^53 - 1, and LINE has no number of its own",
}
_NUMBERED = re.compile(rb"/id ([1-9]\d{0,15})(?: (.*))?", re.DOTALL)
_HIGHEST = 2**53 - 1  # a number of JSON that every reader has whole (RFC 8259, section 6)


class Room(Entrance[M]):
    """A room of members. ``received`` counts the bytes that came. ``past`` looks in what is stored, if anything is.

    See `Entrance` for its arguments.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        password: bytes | None = None,
        certified: bool = False,
        epoch: str = "",
    ) -> None:
        super().__init__(limits or Limits(), password=password, certified=certified, epoch=epoch)
        self.received = 0
        self.past: LookUp = lambda query, then: then(NOTHING)
        self._asking: set[M] = set()

    def receive(self, member: M, data: bytes, now: float) -> None:
        """Take what a member's link read; empty means its half-close. Input after its end is thrown away."""
        if member.stage not in self._HEARING:
            return
        self.now = now
        self.received += len(data)
        if self.limits.idle_timeout:
            member.heard = now
        items = member.decoder.feed(data) if data else member.decoder.finish()
        if not data and member.log.dialect.programs:  # it sends its last line again if that has no end
            items = []
        if replies := member.decoder.replies():
            self._negotiate(member, replies)
        if items and not isinstance(first := items[0], bytes) and first in REFUSALS:
            self.dismiss(member, now, Farewell("refused", REFUSALS[first]), f"sent {first.value}")
        while items and (hear := self._HEARING.get(member.stage)):
            items = hear(self, member, items)
        if not data or member.decoder.closed:
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
        self.give(member, member.log.dialect.private(None, to.name, line, uid=uid, at=at, number=member.number))
        if to.uid not in self.ledger.ignored.by(sender.uid, sender.address.host):
            view.tell(view.log.dialect.private(sender.name, None, line, uid=uid, at=at), answer=False)
            self.touch(cast(M, view))

    def tell(self, member: M, data: bytes, *, looked_at: int = 0) -> None:
        """Give a member what it has asked for, at a price: a token for each 256 bytes, and each 64 KiB looked at."""
        self.give(member, data)
        if member.bucket:
            member.bucket.charge(len(data), looked_at)

    def look_up(self, member: M, query: Query, then: Callable[[Found], None]) -> None:
        """Look for something in what is stored, and call ``then``, if the member is still there.

        Raises:
            RefusedError: the member has asked already, or too many have (``slow``).
        """
        if member in self._asking or len(self._asking) == MOST_ASKING:
            raise RefusedError("slow", "one search at a time: wait for the answer, and ask again")
        self._asking.add(member)

        def answer(found: Found) -> None:
            self._asking.remove(member)
            if member.stage is INSIDE:
                then(found)

        self.past(query, answer)

    def quit(self, member: M, now: float) -> None:
        """End a member that wants to go."""
        self.dismiss(member, now, Farewell("quit", "bye"), LEFT)

    def tick(self, now: float) -> None:
        """Act on the deadlines that have come."""
        self.now = now
        self.expire(now)
        for member, due in self.deadlines.due(now):
            self._OVERDUE[due](self, member, now)

    def enter(self, member: M, name: str = "", *, place: bytes = b"", newcomer: Newcomer | None = None) -> bool:
        """See `Lobby.enter`."""
        entered = super().enter(member, name, place=place, newcomer=newcomer)
        if entered:
            self._watch_idle(member, self.now)
        return entered

    def link(self, member: M, person: Person, newcomer: Newcomer, place: bytes) -> None:
        """See `Lobby.link`."""
        super().link(member, person, newcomer, place)
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
            word = Farewell("idle", f"{words.IDLE} for {self.limits.idle_timeout:g} s: bye")
            self.dismiss(member, now, word, "idle")

    def _does_not_close(self, member: M, now: float) -> None:
        self.leave(member, now, f"{member.reason}, without closing its end")

    _OVERDUE: ClassVar[dict[Due, Callable[[Any, Any, float], None]]] = {
        Due.HANDSHAKE: Entrance.no_handshake,
        Due.REQUEST: Entrance.no_request,
        Due.PASSWORD: Entrance.no_password,
        Due.GREETING: Entrance.no_word,
        Due.ENTRY: Entrance.no_entry,
        Due.PAUSE: _look_again,
        Due.IDLE: _silent,
        Due.LINGER: _does_not_close,
    }

    def _slow_down(self, member: M, seconds: float, now: float) -> None:
        """Have a member that has sent too much not be read for so many seconds."""
        if not seconds or member.stage not in (OUTSIDE, GREETED, INSIDE):
            return
        if member.stage is OUTSIDE:
            word = Farewell("password", "too much: send the password first")
            self.dismiss(member, now, word, "too much without the password")
            return
        if member.stage is GREETED:
            self.dismiss(member, now, Farewell("usage", "too much: send /enter first"), "too much without /enter")
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

    def _negotiate(self, member: M, replies: bytes) -> None:
        if member.told <= MAX_TOLD:
            member.tell(replies)
            self.touch(member)

    def _take_in(self, member: M, items: list[bytes | Rejected]) -> list[bytes | Rejected]:
        """Say and answer what a chunk of input came to: its lines are posted together, in their order.

        Returns:
            What follows the line by which a member is not in the room any more.
        """
        if member.log.dialect.programs:
            return self._take_numbered(member, items)
        lines: list[bytes] = []
        for at, item in enumerate(items):
            if isinstance(item, bytes):
                line = said(item) if item.startswith(b"/") else item  # a call for every line would be felt
                if line is not None:
                    lines.append(line)
                    continue
            self._say(member, lines)
            lines = []
            self._answer(member, item)
            if member.stage is not INSIDE:
                return items[at + 1 :]
        self._say(member, lines)
        return []

    def _take_numbered(self, member: M, items: list[bytes | Rejected]) -> list[bytes | Rejected]:
        """The same for a program, whose lines may have numbers; a line that is too long has one, too."""
        lines: list[bytes] = []
        numbers: list[int] = []
        thrown = iter(member.decoder.thrown)
        for item in items:
            number, rest = _numbered(item if isinstance(item, bytes) else next(thrown, b""))
            whole = rest if isinstance(item, bytes) and len(rest) <= self.limits.max_line else Rejected.TOO_LONG
            line = said(whole) if isinstance(whole, bytes) else None
            if line:
                lines.append(line)
                numbers.append(number)
                continue
            self._say(member, lines, numbers)
            lines, numbers = [], []
            self._do_once(member, number, whole)
            if member.stage is not INSIDE:
                break
        self._say(member, lines, numbers)
        return []

    def _do_once(self, member: M, number: int, item: bytes | Rejected) -> None:
        """Answer a line that is no chat, unless it was answered before under its number."""
        person = self.ledger.people[member.uid]
        place = person.place
        member.number = number
        if place and number > place.taken:
            self.ledger.changed(person)  # so that nobody sees what comes of it before it is written that it is done
        if item and not (place and 0 < number <= place.taken):
            self._answer(member, item)
        if member.number:  # nothing else has answered it
            self.give(member, member.log.dialect.ack(member.number))
        if place and number > place.taken:
            self.ledger.post(Taken(member.uid, number), self.now)

    def _say(self, member: M, lines: list[bytes], numbers: Sequence[int] = ()) -> None:
        if lines:
            self.post(Said(member.uid, tuple(lines), tuple(numbers) if numbers and any(numbers) else ()))

    def _answer(self, member: M, item: bytes | Rejected) -> None:
        """Answer a line that is no chat."""
        if isinstance(item, bytes):
            self._obey(member, item.decode())
        elif member.told > MAX_TOLD:
            self._ignore(member)
        else:
            self.refuse(member, "long", f"{words.TOO_LONG} {self.limits.max_line} bytes")

    def _obey(self, member: M, line: str) -> None:
        word, argument = commands.split(line)
        command = commands.MEMBERS.get(word)
        if member.told > MAX_TOLD and not (command and command.always):
            self._ignore(member)
            return
        try:
            if command:
                command.do(self, member, argument, self.now)
            elif line == "/json" and not member.log.dialect.programs:
                self.greet(member)
            elif word in _USAGE and member.log.dialect.programs:
                raise RefusedError("usage", _USAGE[word])
            else:
                raise RefusedError("unknown", commands.unknown(word, "says"))
        except RefusedError as refused:
            self.refuse(member, refused.code, refused.text)

    def _ignore(self, member: M) -> None:
        """Do not obey a member that leaves its answers unread: one chunk of input can ask for gigabytes."""
        if member.ignored % 1000 == 0:
            self.refuse(member, "slow", "too many commands at once: read the answers, then ask again")
        member.ignored += 1
        if member.ignored > MAX_IGNORED:
            self.expel(member, "too many commands")

    _HEARING: ClassVar[dict[Stage, Callable[[Any, Any, list[bytes | Rejected]], list[bytes | Rejected]]]] = {
        OUTSIDE: Entrance.unlock,
        SILENT: Entrance.introduce,
        GREETED: Entrance.admit,
        INSIDE: _take_in,
    }


def _numbered(line: bytes) -> tuple[int, bytes]:
    """The number that a program has given to a line, 0 if none, and the line without it."""
    found = _NUMBERED.fullmatch(line)
    if not found or int(found[1]) > _HIGHEST:
        return 0, line
    return int(found[1]), found[2] or b""
