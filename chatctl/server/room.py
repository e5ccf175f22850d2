"""The room: who is in it, how many they are, what they say and ask, and how each of them ends.

The room knows text and policy and no sockets. A backend has its connections inherit from `Member`, says what happened
to them, and then sends to each what it is owed:

    accepted                     `Room.join`
    bytes were read, or EOF      `Room.receive`
    a fault of the link          `Room.leave`
    the next deadline has come   `Room.tick`

After any of these the backend visits the members that `Room.moved` and `Room.touched` name, and then calls `Room.trim`.

One story for every ending: `Room.finish` announces the leave and ends the member's view there. The backend sends what
is still owed, half-closes, reads on until EOF, and then says `Room.leave`; when that takes too long, `Room.tick` does.
Time is in seconds of any clock that only goes forward, and always an argument.
"""

from collections.abc import Collection, Iterable
from typing import Generic, TypeVar

from chatctl import __version__, wire
from chatctl.server.broadcast import Log, View
from chatctl.wire import LineDecoder, Rejected

MAX_LAG = 4 * 1024 * 1024
"""Bytes that a member may be behind before it is cut, unless the server is told otherwise."""

MAX_TOLD = 64 * 1024
"""Bytes of answers that a member may leave unread before its commands are ignored."""

MAX_IGNORED = 10_000
"""Commands of a member that are ignored before it is cut."""

LINGER = 10.0
"""Seconds without progress that a finished member may take to read what it is owed and to close its end."""

GRACE = 2.0
"""Seconds that all members together have for the same when the server shuts down."""

FELL_BEHIND = "fell behind"

_REFUSALS = {
    Rejected.TLS: "this room speaks plain text, not TLS",
    Rejected.HTTP: "this is a chat server, not a web server",
}


class Member(View):
    """One member: a view of the room's log, a name, and what its input has come to.

    ``reason`` says why it went, for the diagnostics. ``finished``: its view has ended and its leave was announced.
    ``gone``: its link is to be closed now, whatever it is owed. ``ignored`` counts the commands that were not obeyed.
    """

    __slots__ = ("decoder", "finished", "gone", "ignored", "name", "reason")

    def __init__(self, log: Log, name: str) -> None:
        super().__init__(log)
        self.name = name
        self.decoder: LineDecoder | None = None
        self.reason = ""
        self.finished = False
        self.gone = False
        self.ignored = 0


M = TypeVar("M", bound=Member)


class Room(Generic[M]):
    """A room of members.

    Args:
        max_line: bytes a line may have.
        max_lag: bytes a member may be behind; the log keeps as many.
    """

    def __init__(self, *, max_line: int = wire.MAX_LINE, max_lag: int = MAX_LAG) -> None:
        self.log = Log()
        self.members: dict[M, None] = {}
        self.max_line = max_line
        self.max_lag = max_lag
        self._closed = False
        self._ending: dict[M, float] = {}  # finished members and their deadlines, the earliest first
        self._touched: dict[M, None] = {}
        self._visited = 0  # the tip when the members were visited last

    def join(self, member: M) -> None:
        """Let a member in: it is announced to the others and welcomed itself."""
        self.members[member] = None
        member.decoder = LineDecoder(self.max_line, guard=True)
        users = len(self.members)
        begin = member.cursor = self.log.append(wire.entered(member.name, users))
        member.overlay(begin, self.log.tip, wire.connected(users))

    def receive(self, member: M, data: bytes, now: float) -> None:
        """Take what a member's link read; empty means its half-close. Input after its end is thrown away."""
        decoder = member.decoder
        if decoder is None:
            return
        self._take_in(member, decoder.feed(data) if data else decoder.finish(), now)
        if not data:
            self.finish(member, now, "left")

    def finish(self, member: M, now: float, reason: str) -> None:
        """End a member in good order: announce its leave and end its view here. Finishing twice does nothing."""
        if member not in self.members:
            return
        member.end()
        self._depart(member, reason)
        self._touched[member] = None
        self._linger_until(member, now + LINGER)

    def leave(self, member: M, reason: str) -> None:
        """Give up a member whose link is gone or has to go: it gets nothing more. Doing so twice does nothing."""
        if member.gone:
            return
        if member in self.members:
            self._depart(member, reason)
        elif member.finished:
            del self._ending[member]
            member.reason = reason
        member.gone = True
        self._touched[member] = None

    def close(self, now: float) -> None:
        """End the room: tell all, end every view here, and let nobody be announced any more."""
        self.log.append(wire.answer("server shutting down"))
        self._closed = True
        for member in [*self.members, *self._ending]:
            if not member.finished:
                member.end()
                member.decoder = None
                member.reason = "server shutting down"
            self._touched[member] = None
            self._linger_until(member, now + GRACE)
        self.members.clear()

    @property
    def deadline(self) -> float | None:
        """When `tick` is due next; None: not until something happens."""
        return next(iter(self._ending.values()), None)

    def tick(self, now: float) -> None:
        """Give up the finished members whose time is over."""
        for member, deadline in list(self._ending.items()):
            if deadline > now:
                break
            self.leave(member, f"{member.reason}, without closing its end")

    def progress(self, member: M, now: float) -> None:
        """Note that a finished member took something: its time begins anew, but for the one of a shutdown."""
        if member in self._ending and not self._closed:
            self._linger_until(member, now + LINGER)

    def moved(self) -> Collection[M]:
        """All members when something was said to all since the last call, else none. Copy it: members may leave."""
        if self._visited == self.log.tip:
            return ()
        self._visited = self.log.tip
        return self.members

    def touched(self) -> Collection[M]:
        """The members that have something of their own since the last call: an answer, or an end."""
        touched, self._touched = self._touched, {}
        return touched

    @property
    def quiet(self) -> bool:
        """Whether `moved` and `touched` have nobody to name."""
        return self._visited == self.log.tip and not self._touched

    @property
    def backlog(self) -> int:
        """Bytes said since the members were visited last. Let it grow past a part of the window, and `trim` bites."""
        return self.log.tip - self._visited

    def trim(self, stalled: Iterable[M]) -> None:
        """Cut those of the ``stalled``, whose links take nothing now, that are too far behind; forget what none needs.

        All others were sent what there was when the members were visited last; what came since is kept.
        """
        for member in list(stalled):
            self._judge(member)
        self.log.trim(min(self.log.tip - self.max_lag, self._visited))

    def _judge(self, member: M) -> None:
        if member.lag > self.max_lag:
            self.leave(member, FELL_BEHIND)

    def _depart(self, member: M, reason: str) -> None:
        del self.members[member]
        member.decoder = None
        member.reason = reason
        self.log.append(wire.left(member.name, len(self.members)))

    def _linger_until(self, member: M, deadline: float) -> None:
        member.finished = True
        self._ending.pop(member, None)
        self._ending[member] = deadline  # all linger equally long, so the last one set is the last one due

    def _take_in(self, member: M, items: list[bytes | Rejected], now: float) -> None:
        """Say and answer what a chunk of input came to: its lines are posted together, in their order."""
        lines: list[bytes] = []
        for item in items:
            if isinstance(item, bytes):
                if not item.startswith(b"/"):
                    lines.append(item)
                    continue
                if item.startswith(b"//"):
                    lines.append(item[1:])
                    continue
            self._say(member, lines)
            lines = []
            if member.told > MAX_TOLD and item != b"/quit":
                self._ignore(member)
            elif isinstance(item, bytes):
                self._command(member, item.decode(), now)
            elif item is Rejected.TOO_LONG:
                self._answer(member, f"line too long, not sent: it may have {self.max_line} bytes")
            else:
                self._answer(member, _REFUSALS[item])
                self.finish(member, now, f"sent {item.value}")
            if member not in self.members:
                return
        self._say(member, lines)

    def _say(self, member: M, lines: list[bytes]) -> None:
        if lines:
            begin = self.log.append(wire.said(member.name, lines), len(lines))
            member.overlay(begin, self.log.tip, wire.echo(lines))

    def _answer(self, member: M, *lines: str) -> None:
        member.tell(wire.answer(*lines))
        self._touched[member] = None
        self._judge(member)

    def _ignore(self, member: M) -> None:
        """Do not obey a member that leaves its answers unread: one chunk of input can ask for gigabytes."""
        if member.ignored % 1000 == 0:
            self._answer(member, "too many commands at once: read the answers, then ask again")
        member.ignored += 1
        if member.ignored > MAX_IGNORED:
            self.leave(member, "too many commands")

    def _command(self, member: M, line: str, now: float) -> None:
        command = line.split(maxsplit=1)[0]
        if command == "/help":
            self._answer(
                member,
                f"chatctl {__version__}",
                "/help  this list",
                "/who   who is online",
                "/quit  leave the room",
                "//text says /text",
            )
        elif command == "/who":
            names = (f"{other.name} (you)" if other is member else other.name for other in self.members)
            self._answer(member, wire.online(len(self.members)), *names)
        elif command == "/quit":
            self._answer(member, "bye")
            self.finish(member, now, "left")
        else:
            self._answer(member, f"no such command: {command} (try /help; //text says /text)")
