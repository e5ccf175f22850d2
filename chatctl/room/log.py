"""One append-only log of bytes, and many views of it.

Saying something is one append, whatever the size of the room. A member is a cursor into the log with a few
overlays: places where it sees something else than the log says (its own lines as ``[You]``, its welcome, an answer
meant for it alone). How far it is behind is a subtraction, so a slow reader costs nothing but the window of the log
that is kept for it.

    log     … > New user B entered … | [A] hi | [B] hello | < The user C left … |
    B sees  … > Connected …          | [A] hi | [You] hello | < The user C left … |
    overlay     ^ replaces the notice            ^ replaces its own line

Views at the same cursor share one bytes object: a round over all members costs (lines + members), never their product.

Where a room is stored, nothing is seen by anybody before it is written: see `Marks`.

No I/O, no locks: whoever shares a log between threads brings the lock.
"""

import sys
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import TypeAlias, TypeVar

from chatctl.wire import text
from chatctl.wire.dialects import Dialect

CHUNK = 65536
"""Bytes a view takes from the log at a time: what a member whose socket is full can hold of its own."""

_ENTRY = 2048  # appends are gathered into entries of up to so many bytes: a list item for every short line is dearer
_SHARED = 4  # chunks kept for the next view at the same cursor; nearly all are at one or two
_FOREVER = sys.maxsize  # an offset that no log reaches
_AT_ONCE = -1  # before every offset

_Overlay: TypeAlias = tuple[int, int, bytes | memoryview, bool, int]
"""Where it begins, where the log goes on, the bytes in between, whether they are an answer, and the number of the batch
that has to be written before."""


class Marks:
    """How far what happens is written, for all logs of a room: what is not is seen by nobody.

    What happens is gathered in batches with numbers. ``batch``: of the one that is gathered now; 0: nothing is ever
    written, and all is seen at once. ``latest``: of the one with the newest of all that happened. ``written``: of the
    newest one that is written.
    """

    __slots__ = ("batch", "latest", "written")

    def __init__(self, batch: int = 0) -> None:
        self.batch = batch
        self.latest = 0
        self.written = 0

    @property
    def pending(self) -> bool:
        """Whether something has happened that is in no batch yet that was handed out."""
        return 0 < self.batch == self.latest


_NOT_STORED = Marks()


class Log:
    """Bytes that grow at the `tip` and are forgotten from the `start`; offsets into it are absolute.

    ``seq`` is the number of the newest event, ``kept`` how far any view may read. ``readers`` and ``visited`` are for
    who serves the readers: how many there are, and how far they could read when they were visited last.

    Args:
        dialect: what the bytes are written in.
        seq: how many events there were before the first that is appended.
        marks: tell how far what happens is written, if it is.
    """

    __slots__ = (
        "_chunks",
        "_entries",
        "_first",
        "_starts",
        "dialect",
        "kept",
        "marks",
        "readers",
        "seq",
        "tip",
        "visited",
    )

    def __init__(self, dialect: Dialect = text, seq: int = 0, marks: Marks = _NOT_STORED) -> None:
        self.dialect = dialect
        self.marks = marks
        self.seq = seq
        self.tip = 0
        self.kept = 0
        self.visited = 0
        self.readers = 0
        # Immutable entries: a bytearray cannot grow while somebody sends from it. Each begins at its start, with the
        # event of its first number.
        self._entries = [b""]
        self._starts = [0]
        self._first = [seq + 1]
        self._chunks: dict[int, bytes] = {}

    @property
    def start(self) -> int:
        """The oldest offset that can be read."""
        return self._starts[0]

    @property
    def first(self) -> int:
        """The number of the oldest event that can be read."""
        return self._first[0]

    def append(self, data: bytes, events: int = 1) -> int:
        """Add ``data``, which is a whole line for each of so many events, at the tip; return where it begins."""
        begin = self.tip
        if len(self._entries[-1]) + len(data) <= _ENTRY:
            self._entries[-1] += data
        else:
            self._entries.append(data)
            self._starts.append(begin)
            self._first.append(self.seq + 1)
        self.tip = begin + len(data)
        self.seq += events
        if (marks := self.marks).batch:
            marks.latest = marks.batch
        else:
            self.kept = self.tip
        self._chunks.clear()
        return begin

    def keep(self, kept: int) -> None:
        """Note that all up to an offset is written."""
        self.kept = kept
        self._chunks.clear()

    def position(self, seq: int) -> int:
        """Where the event of a number begins, up to the next one to come; the start, if it is older than that."""
        index = bisect_right(self._first, seq) - 1
        if index < 0:
            return self.start
        offset = 0
        for _ in range(seq - self._first[index]):
            offset = self._entries[index].index(b"\n", offset) + 1
        return self._starts[index] + offset

    def number(self, offset: int) -> int:
        """Of the first event that begins at an offset or behind it."""
        if offset <= self.start:
            return self.first
        index = bisect_right(self._starts, offset) - 1
        before = self._entries[index][: offset - self._starts[index]]
        return self._first[index] + before.count(b"\n") + (not before.endswith(b"\n") if before else 0)

    def rewrite(self, other: Callable[[bytes], bytes], end: int) -> None:
        """Have something else, of as many bytes, stand in place of lines before an offset."""
        for index, (start, entry) in enumerate(zip(self._starts, self._entries, strict=True)):
            old = entry[: max(end - start, 0)]
            self._entries[index] = other(old) + entry[len(old) :]
            assert len(self._entries[index]) == len(entry), "cursors stay where they are"
        self._chunks.clear()

    def chunk(self, cursor: int) -> bytes:
        """What follows ``cursor``, at most `CHUNK` bytes: one object for all who ask before the next append."""
        chunk = self._chunks.get(cursor)
        if chunk is None:
            if len(self._chunks) == _SHARED:
                self._chunks.clear()
            chunk = self._chunks[cursor] = self.read(cursor, min(cursor + CHUNK, self.kept))
        return chunk

    def read(self, begin: int, end: int) -> bytes:
        """The bytes from ``begin``, not below `start`, to ``end``, not above `kept`."""
        pieces = []
        index = bisect_right(self._starts, begin) - 1
        while begin < end:
            offset = self._starts[index]
            piece = self._entries[index][begin - offset : end - offset]
            pieces.append(piece)
            begin += len(piece)
            index += 1
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def trim(self, offset: int) -> None:
        """Forget what is below ``offset``, as far as whole entries go."""
        index = bisect_right(self._starts, offset) - 1
        if index > 0:
            del self._starts[:index], self._first[:index], self._entries[:index]


class View:
    """What one reader still has to get of a log: a cursor, overlays, and a tail that was taken but not sent.

    The reader calls `take`, sends what it got and, when not all of it went, hands the rest to `keep`. It takes again
    only when that is sent.

    ``uid`` is the number of the person who reads, 0 for nobody's. ``told`` counts the bytes of answers that were not
    taken yet, ``overlaid`` those of all that this view sees in place of the log or beside it.
    """

    __slots__ = ("_overlays", "_tail", "cursor", "log", "overlaid", "told", "uid")

    def __init__(self, log: Log) -> None:
        self.log = log
        self.uid = 0
        self.cursor = log.tip
        # Most views have none most of the time, so the empty tuple that all share stands for that.
        self._overlays: deque[_Overlay] | tuple[()] = ()
        self.overlaid = 0
        self.told = 0
        self._tail: memoryview | bytes = b""

    @property
    def owed(self) -> bool:
        """Whether there is anything left to take."""
        log = self.log
        if self.cursor < log.kept or self._tail:
            return True
        return self._overlays[0][4] <= log.marks.written if self._overlays else False

    @property
    def unwritten(self) -> bool:
        """Whether there will be more to take when all that has happened is written."""
        return self._overlays[-1][4] > self.log.marks.written if self._overlays else False

    @property
    def deaf(self) -> bool:
        """Whether it sees only what it is told."""
        return self.cursor == _FOREVER

    @property
    def lag(self) -> int:
        """Bytes behind the tip: of the log, of the overlays and of the tail."""
        return max(self.log.tip - self.cursor, 0) + self.overlaid + len(self._tail)

    def overlay(self, begin: int, end: int, data: bytes, *, answer: bool = False) -> None:
        """Let this view see ``data`` in place of the log from ``begin`` to ``end``, behind all earlier overlays."""
        if not isinstance(self._overlays, deque):
            self._overlays = deque()
        assert not self._overlays or self._overlays[-1][1] <= begin, "overlays are made in order, none behind an end"
        self._overlays.append((begin, end, data, answer, self.log.marks.latest))
        self.overlaid += len(data)

    def tell(self, data: bytes, *, answer: bool = True) -> None:
        """Let this view alone see ``data`` at the tip: an answer, or what somebody else has for its reader alone."""
        tip = max(self.log.tip, self.cursor)
        self.told += len(data) * answer
        latest = self.log.marks.latest
        if self._overlays and (last := self._overlays[-1])[:2] == (tip, tip) and last[3:] == (answer, latest):
            self.overlaid += len(data)  # one overlay for all that is told at one place
            self._overlays[-1] = (tip, tip, b"".join((last[2], data)), answer, latest)
        else:
            self.overlay(tip, tip, data, answer=answer)

    def skip_over(self, begin: int, end: int) -> None:
        """Let this view not see the log from ``begin`` to ``end``; neighbours cost as little as one."""
        if not self._overlays and self.cursor == begin:
            self.cursor = end
        elif self._overlays and self._overlays[-1][1:3] == (begin, b""):
            self._overlays[-1] = (self._overlays[-1][0], end, b"", False, self.log.marks.latest)
        else:
            self.overlay(begin, end, b"")

    def interpose(self, data: bytes) -> None:
        """Let this view see ``data`` before whatever is not written yet."""
        place = max(self.log.kept, self.cursor)
        overlays = deque(self._overlays)
        index = sum(overlay[0] < place for overlay in overlays)
        overlays.insert(index, (place, place, data, False, 0))
        self._overlays = overlays
        self.overlaid += len(data)

    def end(self) -> None:
        """Let this view see nothing of what is appended from now on."""
        if self.deaf:
            return
        self.overlay(self.log.tip, _FOREVER, b"")

    def deafen(self) -> None:
        """Let this view, which is owed nothing, see only what it is told, until it has to `hear`."""
        assert not self.owed
        self.cursor = _FOREVER

    def hear(self, begin: int) -> None:
        """Let a deaf view see what follows ``begin``, behind what it was told before."""
        assert self.cursor == _FOREVER
        if isinstance(self._overlays, deque):  # they stand before everything at that place
            self._overlays = deque(
                (_AT_ONCE, begin, data, answer, batch) for _, _, data, answer, batch in self._overlays
            )
        self.cursor = begin

    def change(self, log: Log) -> None:
        """Go over to another log, deaf; what is owed of this one, which must be little, is sent before anything."""
        owed, unwritten = [self._tail], self.log.tip
        self._tail = b""
        while data := self._take_up_to(unwritten, sys.maxsize):
            owed.append(data)
        self.log, self.cursor = log, _FOREVER
        self.tell(b"".join(owed), answer=False)  # which waits, too, until what has happened is written

    def skip(self) -> None:
        """Go to the tip and forget all that was owed."""
        self.cursor = self.log.tip
        self._overlays, self.overlaid, self.told, self._tail = (), 0, 0, b""

    def take(self) -> bytes | memoryview:
        """Take what comes next, at most `CHUNK` bytes; empty when nothing is owed. The cursor is then behind it."""
        if self._tail:
            tail, self._tail = self._tail, b""
            return tail
        if self._overlays:
            return self._take_up_to(self.log.kept, self.log.marks.written)
        data = self.log.chunk(self.cursor)
        self.cursor += len(data)
        return data

    def keep(self, data: bytes | memoryview, sent: int) -> None:
        """Give back what was taken last, ``sent`` bytes of which went; the next `take` begins with the rest."""
        assert not self._tail, "what was kept is sent before anything else is taken"
        self._tail = memoryview(data)[sent:] if sent < len(data) else b""

    def _take_up_to(self, kept: int, written: int) -> bytes | memoryview:
        """Take what comes next of the log up to an offset, and of the overlays up to a batch."""
        pieces: list[bytes | memoryview] = []
        space = CHUNK
        while space and self._overlays:
            begin, end, data, answer, batch = self._overlays[0]
            if self.cursor < begin:
                until = min(begin, self.cursor + space, kept)
                piece: bytes | memoryview = self.log.read(self.cursor, until) if self.cursor < until else b""
                self.cursor += len(piece)
                if not piece:
                    break
            elif batch > written:
                break
            else:
                self._overlays.popleft()
                piece = memoryview(data)[:space]
                self.overlaid -= len(piece)
                self.told -= len(piece) * answer
                self.cursor = end
                if len(piece) < len(data):
                    rest = memoryview(data)[space:]
                    self._overlays.appendleft((begin if begin == end else _AT_ONCE, end, rest, answer, batch))
            pieces.append(piece)
            space -= len(piece)
        if not self._overlays:
            self._overlays = ()
            if space and self.cursor < kept:
                shared = kept == self.log.kept
                begin, end = self.cursor, min(self.cursor + space, kept)
                pieces.append(self.log.chunk(begin)[:space] if shared else self.log.read(begin, end))
                self.cursor += len(pieces[-1])
        return b"".join(pieces)


V = TypeVar("V", bound=View)


def take_together(views: Iterable[V]) -> tuple[list[V], Collection[tuple[bytes, list[V]]]]:
    """Let views take: `View.take` for many, at a fraction of its price, as nearly all are at one cursor.

    Returns:
        Those with something of their own, which they have not taken yet; and for the others, what they took and who.
    """
    alone: list[V] = []
    together: dict[tuple[Log, int], tuple[bytes, list[V]]] = {}
    group: list[V] = []
    log: Log | None = None
    cursor = end = -1
    for view in views:
        if view._tail or view._overlays:
            alone.append(view)
            continue
        if view.cursor != cursor or view.log is not log:
            log, cursor = view.log, view.cursor
            data, group = together.setdefault((log, cursor), (log.chunk(cursor), []))
            end = cursor + len(data)
        view.cursor = end
        group.append(view)
    return alone, together.values()
