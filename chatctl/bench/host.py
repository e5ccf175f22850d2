"""The server that is measured: its process, and what that uses."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

from chatctl.errors import ResourceError, installing

try:
    import psutil
except ImportError as error:
    raise ResourceError(f"it needs the package psutil: {installing('bench')}") from error

_ENDS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
_PATIENCE = 10.0  # seconds for a server to start, or to end
_STARTED = re.compile(rb"Chat Server started on port (\d+)\.\n")


class Usage(NamedTuple):
    """What a process uses: seconds of CPU so far, bytes of memory, threads."""

    cpu: float
    memory: int
    threads: int


class Process:
    """A server's process, whoever started it.

    Args:
        identifier: of it; None: it is not known, and neither is what it uses.
    """

    def __init__(self, identifier: int | None) -> None:
        self._process: psutil.Process | None = None
        if identifier is not None:
            with contextlib.suppress(psutil.Error):
                self._process = psutil.Process(identifier)

    def usage(self) -> Usage | None:
        """What it uses now; None, if that cannot be told."""
        try:
            if self._process:
                with self._process.oneshot():
                    times = self._process.cpu_times()
                    memory = self._process.memory_info().rss
                    return Usage(times.user + times.system, memory, self._process.num_threads())
        except psutil.Error:
            pass
        return None


def listening(address: tuple[str, int]) -> Process:
    """The process that has a port of this machine, if that can be told."""
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            here = connection.status == psutil.CONN_LISTEN and connection.laddr.port == address[1]
            if here and connection.laddr.ip in (address[0], "0.0.0.0", "::"):
                return Process(connection.pid)
    return Process(None)


@contextlib.contextmanager
def serve(mode: str, members: int) -> Iterator[tuple[tuple[str, int], Process]]:
    """Run a server of ours on a free port of the loopback as long as the context lasts: its address and its process.

    Its console goes to a file, which is rewound now and then: that costs the server no more than ``/dev/null`` does,
    and says when it has started. A pipe would have to be read, line by line of the room, on one of the cores that are
    measured; and one that nobody reads would spare the server its console, in threads mode a fifth of its CPU.

    Args:
        mode: of it.
        members: that it must have room for.

    Raises:
        ResourceError: it does not start.
    """
    command = [sys.executable, "-m", "chatctl", "server", "127.0.0.1", "0", "--mode", mode, "--rate", "0"]
    command += ["--greet-delay", "0"]  # else it would be part of the time for joining
    command += ["--max-users", str(members)]
    with contextlib.ExitStack() as stack:
        console = stack.enter_context(tempfile.TemporaryFile()).fileno()
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)  # or one would be lost between its start and its name
        try:
            server = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the bench, which ends it
                preexec_fn=_listen,
            )
            stack.callback(_end, server)
        finally:
            _listen()
        port = _port(server, console)
        if port is None:
            raise ResourceError(f"the server does not start: try it: {' '.join(command)}")
        ended = threading.Event()
        rewinder = threading.Thread(target=_rewind, args=(console, ended))
        rewinder.start()
        stack.callback(rewinder.join)
        stack.callback(ended.set)
        yield ("127.0.0.1", port), Process(server.pid)


def _listen() -> None:
    """Take signals again."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)


def _end(server: "subprocess.Popen[bytes]") -> None:
    server.terminate()
    try:
        server.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _port(server: "subprocess.Popen[bytes]", console: int) -> int | None:
    """The port that a server's console names, as soon as it does; None, if it has ended or that takes too long."""
    deadline = time.monotonic() + _PATIENCE
    while server.poll() is None and time.monotonic() < deadline:
        if started := _STARTED.match(os.pread(console, 100, 0)):
            return int(started[1])
        time.sleep(0.01)
    return None


def _rewind(console: int, ended: threading.Event) -> None:
    """Have a server, which shares the position, write its console from the file's beginning again, once a second."""
    while not ended.wait(1):
        os.lseek(console, 0, os.SEEK_SET)
