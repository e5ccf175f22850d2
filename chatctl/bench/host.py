"""The server that is measured: its process, and what that uses."""

import contextlib
import signal
import socket
import subprocess
import sys
import time
from typing import NamedTuple, Self

from chatctl.errors import ResourceError

try:
    import psutil
except ImportError as error:
    raise ResourceError("it needs the package psutil: pip install 'chatctl[bench]'") from error

_ENDS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
_PATIENCE = 10.0  # seconds for a server to start, or to end


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


def _listen() -> None:
    """Take signals again."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)


def leave(sock: socket.socket) -> None:
    """Leave a room on a connection, before anybody else comes."""
    sock.shutdown(socket.SHUT_WR)
    while sock.recv(4096):
        pass


class Server(Process):
    """A server of ours on the loopback; a context, at whose end it ends.

    Args:
        mode: of it.
        members: that it must have room for.

    Raises:
        ResourceError: it does not start.
    """

    def __init__(self, mode: str, members: int) -> None:
        super().__init__(None)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address: tuple[str, int] = free.getsockname()
        command = [sys.executable, "-m", "chatctl", "server", *map(str, self.address), "--mode", mode, "--rate", "0"]
        self._command = [*command, "--max-users", str(members + 1)]
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is None:
            return
        self._server.terminate()
        try:
            self._server.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()

    def _start(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)  # or it would be lost between its start and its name
        try:
            self._server = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the bench, which ends it
                preexec_fn=_listen,
            )
        finally:
            _listen()
        self._process = psutil.Process(self._server.pid)
        deadline = time.monotonic() + _PATIENCE
        while self._server.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(self.address, _PATIENCE) as sock:
                leave(sock)
                return
            time.sleep(0.01)
        raise ResourceError(f"the server does not start: try it: {' '.join(self._command)}")
