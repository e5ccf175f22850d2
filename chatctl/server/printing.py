"""Printing what is stored: what ``chatctl log`` does, also while a server writes."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from chatctl import output
from chatctl.room.journal import OWN
from chatctl.server import segments
from chatctl.wire import jsonl

_KIND = re.compile(rb'\{"seq":\d+,(?:"time":"([^"]*)",)?"kind":"([a-z]+)"')
_ONCE = 64 * 1024  # characters that are written at once


def show(directory: Path, *, since: float = 0.0, pattern: re.Pattern[str] | None = None, as_json: bool = False) -> None:
    """Print what has happened in a room, the oldest first, on stdout.

    Args:
        directory: its store.
        since: print nothing older; seconds since 1970.
        pattern: print only what has this somewhere, the time apart.
        as_json: print the lines as they are stored.

    Raises:
        ResourceError: there is no store, or it cannot be read.
        OutputError: stdout cannot be written.
        BrokenPipeError: nobody reads it any more.
    """
    waiting: list[str] = []
    size = 0
    for line in _printed(directory, jsonl.stamp(int(since)).encode(), pattern, as_json):
        waiting.append(line)
        size += len(line)
        if size >= _ONCE:
            output.show("".join(waiting))
            waiting, size = [], 0
    output.show("".join(waiting))


def _printed(directory: Path, since: bytes, pattern: re.Pattern[str] | None, as_json: bool) -> Iterator[str]:
    at = b""
    for line in _stored(directory):
        found = _KIND.match(line)
        if not found:
            continue
        time, kind = found[1], found[2].decode()
        at = time or at
        if at < since or (kind in OWN and kind != "missing"):
            continue
        told = line.decode("utf-8", "replace")
        text = _missing(told) if kind == "missing" else jsonl.parse(told[:-1]).line
        if not pattern or pattern.search(text):
            yield told if as_json else f"{_local(at.decode())} {text.rstrip()}\n"


def _stored(directory: Path) -> Iterator[bytes]:
    """The whole lines of a store."""
    for file in segments.listed(directory):
        for line in segments.read(file).splitlines(keepends=True):
            if line.endswith(b"\n"):
                yield line


def _missing(told: str) -> str:
    events = json.loads(told)["events"]
    return f"! {events} {'line is' if events == 1 else 'lines are'} missing: the store could not be written"


@lru_cache(maxsize=8)
def _local(stamp: str) -> str:
    """A time of a store, as the transcript has it."""
    at = datetime.fromisoformat(stamp) if stamp else datetime.fromtimestamp(0, UTC)
    return at.astimezone().isoformat(timespec="seconds")
