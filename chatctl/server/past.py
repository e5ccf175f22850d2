"""What is stored, for who asks, while the room goes on: a thread that asks a process that reads, see `reader`."""

import contextlib
import functools
import json
import logging
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import chatctl
from chatctl.room.lookup import NOTHING, Found, Query, Whose

log = logging.getLogger("chatctl.server")


class Past:
    """Looks in the files of a store. The process is started when somebody asks first.

    Args:
        path: the directory.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="past", daemon=True)
        self._reader: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def close(self, timeout: float) -> None:
        """Do what was asked for, for so many seconds at most, and end."""
        self._jobs.put(None)
        self._thread.join(timeout)
        if self._reader:
            self._reader.kill()  # it does not answer
        self._thread.join(timeout)

    def look_up(self, query: Query, then: Callable[[Found], None]) -> None:
        """Look for something, and call ``then`` with what is found, in another thread."""
        self._jobs.put(functools.partial(self._look_up, query, then))

    def forget(self, whose: Whose, begin: Callable[[], None], then: Callable[[Collection[int], str], None]) -> None:
        """Blank what some people have said.

        Args:
            whose: who, and until when.
            begin: returns when all of that is written.
            then: is called in another thread, with the numbers of those people, and why it could not be done, if so.
        """
        self._jobs.put(functools.partial(self._forget, whose, begin, then))

    def _serve(self) -> None:
        while job := self._jobs.get():
            job()
        self._end()

    def _look_up(self, query: Query, then: Callable[[Found], None]) -> None:
        answer = self._ask("look_up", query._replace(ignored=list(query.ignored))._asdict())
        if "error" in answer:
            then(NOTHING)
        else:
            then(Found([line.encode() for line in answer["lines"]], answer["total"], answer["looked_at"]))

    def _forget(self, whose: Whose, begin: Callable[[], None], then: Callable[[Collection[int], str], None]) -> None:
        begin()
        answer = self._ask("forget", whose._replace(uids=list(whose.uids))._asdict())
        then(answer.get("found", ()), answer.get("error", ""))

    def _ask(self, do: str, keys: dict[str, Any]) -> dict[str, Any]:
        """Have the process do something; its answer, with ``error`` if it has not done it."""
        answer: dict[str, Any]
        try:
            reader = self._reader = self._reader or _start(self._path)
            assert reader.stdin
            assert reader.stdout
            reader.stdin.write(json.dumps({"do": do} | keys).encode() + b"\n")
            reader.stdin.flush()
            answer = json.loads(reader.stdout.readline())
        except (OSError, ValueError) as error:
            self._end()
            answer = {"error": getattr(error, "strerror", None) or "the process that reads it has ended"}
        if "error" in answer:
            log.error("cannot read the store %s: %s", self._path, answer["error"])
        return answer

    def _end(self) -> None:
        """Let the process end, which the next question starts again."""
        reader, self._reader = self._reader, None
        if reader:
            reader.kill()
            with contextlib.suppress(OSError):
                reader.communicate()


def _start(path: Path) -> "subprocess.Popen[bytes]":
    place = str(Path(chatctl.__file__).parent.parent)
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "chatctl.server.reader", str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([place, *filter(None, [os.environ.get("PYTHONPATH")])])},
        process_group=0,  # Ctrl-C is for the server
    )
