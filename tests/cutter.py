"""A proxy that cuts the links of members that are to come back."""

import contextlib
import socket
import threading
from typing import Self


class Cutter:
    """A proxy that cuts links: after the server has taken a line, and before its sender has heard of that.

    Args:
        port: of the server.
        cuts: how often.
    """

    def __init__(self, port: int, cuts: int) -> None:
        self.cuts = cuts
        self._to = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._socks: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()
        self._others: list[threading.Thread] = []

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                self._socks += [near, far]
                for source, sink, cuts in ((near, far, False), (far, near, True)):
                    thread = threading.Thread(target=self._carry, args=(source, sink, cuts))
                    self._others.append(thread)
                    thread.start()

    def _carry(self, source: socket.socket, sink: socket.socket, cuts: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if cuts and self.cuts and b'"id":' in data and b'"welcome"' not in data:
                    self.cuts -= 1
                    source.shutdown(socket.SHUT_RDWR)
                    sink.shutdown(socket.SHUT_RDWR)
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()
        for thread in self._others:
            thread.join()
        for sock in self._socks:
            sock.close()
