"""A process that reads what is stored, and answers: a line of JSON comes in, and one goes out.

    {"do": "look_up", "text": …}            the keys of `Query` → those of `Found`
    {"do": "forget", "text": …}             the keys of `Whose` → ``found``: the numbers of those people
                                            ``error``: why it cannot be done

It is one of its own because it computes: a thread of the server would hold the interpreter, for which that asks after
each system call. (Measured with a million lines, while somebody searched all the time: lines came 2 to 12 ms late.)
"""

import json
import os
import re
import signal
import sys
from collections.abc import Collection, Iterator
from contextlib import suppress
from json.encoder import encode_basestring as quoted
from pathlib import Path
from typing import Any, NamedTuple

from chatctl.errors import ResourceError
from chatctl.room.journal import host_in
from chatctl.room.lookup import NOTHING, Found, Query, Whose, left, pick, readable
from chatctl.server import segments
from chatctl.wire import jsonl

_SEARCHED = 256 * 1024  # bytes of a block where nearly all of it is passed over
_READ = 8 * 1024  # where each line of it is understood

_KINDS = (b'"kind":"message"', b'"kind":"action"')
_TEXT = b'"text":"'
_TEXTS = re.compile(_TEXT + rb"([^\n]*)")
_SAID = re.compile(rb'"kind":"(?:message|action)","uid":(\d+),"from":("(?:[^"\\]|\\.)*")')
_PLACED = re.compile(rb'"kind":"(?:place|address)","uid":(\d+),(?:"name":"[^"]*",)?"address":"([^"]*)"')
_BLANK = re.compile(rb'"text":" +"\}\n')


class Block(NamedTuple):
    """Some whole lines of a segment, and where they are in it."""

    file: Path
    offset: int
    data: bytes


class Reader:
    """Answers what is asked of a store.

    Args:
        path: the directory.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._totals: dict[tuple[Path, int, int], int] = {}  # of blocks: how many lines there are to be read

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Do what a line asks for; return what is to be answered."""
        do = asked.pop("do")
        try:
            if do == "forget":
                return {"found": sorted(self._forget(Whose(**asked)))}
            query = Query(**asked)
            found = self._history(query) if query.within else self._search(query)
            return found._replace(lines=[line.decode() for line in found.lines])._asdict()  # type: ignore[misc]
        except OSError as error:
            return {"error": error.strerror or str(error)}
        except (ResourceError, ValueError) as error:
            return {"error": str(error)}

    def _history(self, query: Query) -> Found:
        found, looked_at = NOTHING, 0
        for block in _backwards(self._path, query.first, query.before, _READ):
            found = found.behind(pick(readable(block.data.splitlines(), query.ignored), left(query, found)))
            looked_at += len(block.data)
            if len(found.lines) == query.most or looked_at >= query.within:
                break
        return found

    def _search(self, query: Query) -> Found:
        found, total, looked_at = NOTHING, 0, 0
        for block in _backwards(self._path, query.first, query.before, _SEARCHED):
            rest = left(query, found)
            if rest.most and (lines := _having(block.data, query.text)):
                found = found.behind(pick(readable(lines.splitlines(), query.ignored), rest))
            total += self._readable(block, query.ignored)
            looked_at += len(block.data)
        return Found(found.lines, total, looked_at)

    def _readable(self, block: Block, ignored: Collection[int]) -> int:
        """How many lines there are to be read in a block. It stays so, unless some of them are to be forgotten."""
        where = block.file, block.offset, len(block.data)
        total = self._totals.get(where)
        if total is None or ignored:
            total = sum(block.data.count(kind) for kind in _KINDS)
            if b'"text":" ' in block.data:
                total -= len(_BLANK.findall(block.data))
            if ignored:
                return total - sum(int(uid) in ignored for uid, _ in _SAID.findall(block.data))
            self._totals[where] = total
        return total

    def _forget(self, whose: Whose) -> Collection[int]:
        self._totals.clear()
        blank = jsonl.Blank(_people(self._path, whose).union(whose.uids))
        _blank(self._path, blank, whose.seq)
        return blank.found


def _backwards(path: Path, first: int, before: int, size: int) -> Iterator[Block]:
    """What is stored from one event on, before another one, in blocks of some bytes, the newest first."""
    files = [file for file in segments.listed(path) if segments.first(file) < before]
    for file in reversed(files):
        data = segments.read(file)
        begin, end = segments.position(data, first), segments.position(data, before)
        end = data.rfind(b"\n", begin, end) + 1  # what follows is torn, or is written just now
        while begin < end:
            middle = data.rfind(b"\n", begin, max(end - size, begin)) + 1 or begin
            yield Block(file, middle, data[middle:end])
            end = middle
        if segments.first(file) <= first:
            break


def _having(block: bytes, text: str) -> bytes:
    """Those lines of a block that may have a text, in capitals or not.

    Letters that fold to some of ASCII, as ß does, are found only where the text has others that have capitals.
    """
    plain = all(char.isascii() or char.upper() == char for char in text)
    folded = block.lower() if plain else block.decode("utf-8", "replace").casefold().encode()
    wanted = quoted(text)[1:-1].encode()
    if wanted not in folded:
        return b""
    texts = _TEXTS.findall(folded)  # it may be in a name, too
    if wanted not in b"\n".join(texts):
        return b""
    lines = [line for line in block.split(b"\n") if _TEXT in line]
    return b"\n".join(line for line, text in zip(lines, texts, strict=True) if wanted in text)


def _people(path: Path, whose: Whose) -> set[int]:
    """The numbers of those whom somebody means."""
    found: set[int] = set()
    seen: set[tuple[bytes, bytes]] = set()
    for block in _backwards(path, 0, whose.seq + 1, _READ):
        fresh = {*_SAID.findall(block.data)} - seen
        seen |= fresh
        for uid, told in fresh:
            name = json.loads(told)
            if whose.has(name, host_in(name)):
                found.add(int(uid))
        for uid, address in _PLACED.findall(block.data):
            if whose.text != "all" and whose.has("", host_in(address.decode())):
                found.add(int(uid))
    return found


def _blank(path: Path, blank: jsonl.Blank, seq: int) -> None:
    """Blank lines up to an event: as many bytes, so that nothing moves."""
    for block in _backwards(path, 0, seq + 1, _SEARCHED):
        blanked = blank(block.data)
        if blanked == block.data:
            continue
        descriptor = os.open(block.file, os.O_WRONLY | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            os.pwrite(descriptor, blanked, block.offset)
            os.utime(descriptor, ns=(status.st_atime_ns, status.st_mtime_ns))  # it gets no younger, see `Store`
            segments.put_on_disk(descriptor)
        finally:
            os.close(descriptor)


def main() -> None:
    """Answer until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is the server's, which ends this process
    with suppress(OSError):
        os.nice(19)  # whoever talks comes first
    reader = Reader(Path(sys.argv[1]))
    for line in sys.stdin.buffer:
        print(json.dumps(reader.answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
