"""A real server process, and raw sockets as its members."""

import itertools
import os
import re
import selectors
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, Any, Self

import psutil
import trustme

from chatctl.layers import tls

COMMAND = [sys.executable, "-m", "chatctl"]

PATIENCE = 20.0  # seconds until a test that waits has failed
_fences = itertools.count()


def environment(**more: str) -> dict[str, str]:
    """An environment in which a program's output depends on nothing of the machine."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PATH", "PYTHON"))}
    fixed = {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "HOME": "/nonexistent", "PYTHONFAULTHANDLER": "1"}
    return kept | fixed | more


class Peer:
    """A member by raw socket, as nc would be, or as ``openssl s_client`` would be when there is a context for TLS.

    One that is refused before the handshake, in plain text, goes on without TLS.
    """

    def __init__(
        self,
        port: int,
        *,
        host: str = "127.0.0.1",
        receive_buffer: int | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(PATIENCE)
        self.sock.connect((host, port))
        address = self.sock.getsockname()
        self.name = f"[{address[0]}]:{address[1]}" if ":" in host else f"{address[0]}:{address[1]}"
        self.lines: list[str] = []  # read and not yet returned
        self._partial = b""
        self.layer = tls.Layer(context, host=host) if context else None
        if self.layer:
            self._shake_hands(self.layer)

    def _shake_hands(self, layer: tls.Layer) -> None:
        layer.start()
        try:
            while not layer.established:
                self.sock.sendall(layer.send(b""))
                data = self.sock.recv(65536)
                if not data:
                    raise EOFError("in the handshake")
                self._take_in(layer.receive(data))
            self.sock.sendall(layer.send(b""))
        except tls.NotTLS as error:
            self.layer = None
            self._take_in(error.data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        return self.sock.fileno()

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        """Close so that the other side gets ECONNRESET."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def half_close(self) -> None:
        if self.layer:
            self.layer.close()
            self.sock.sendall(self.layer.send(b""))
        self.sock.shutdown(socket.SHUT_WR)

    def send(self, data: bytes | str) -> None:
        raw = data.encode() if isinstance(data, str) else data
        self.sock.sendall(self.layer.send(raw) if self.layer else raw)

    def say(self, *lines: str) -> None:
        self.send("".join(f"{line}\n" for line in lines))

    def fill(self) -> bool:
        """Read once; False at the end."""
        if self.layer and self.layer.ended:
            return False
        data = self.sock.recv(1 << 20)
        if not self.layer:
            self._take_in(data)
        elif data:
            self._take_in(self.layer.receive(data))
        else:
            raise ConnectionResetError("cut off without close_notify")
        return bool(data)

    def _take_in(self, text: bytes) -> None:
        *lines, self._partial = (self._partial + text).split(b"\n")
        self.lines += [line.decode() for line in lines]

    def line(self) -> str:
        """The next line; ``EOFError`` when there is none."""
        while not self.lines:
            if not self.fill():
                raise EOFError(f"after {self._partial!r}")
        return self.lines.pop(0)

    def until(self, pattern: str) -> list[str]:
        """All lines up to the first that matches, that one included."""
        lines = [self.line()]
        while not re.search(pattern, lines[-1]):
            lines.append(self.line())
        return lines

    def rest(self) -> list[str]:
        """All lines until the end of the connection, which must be an orderly one after a whole line."""
        while self.fill():
            pass
        assert self._partial == b""
        lines, self.lines = self.lines, []
        return lines

    def fence(self) -> list[str]:
        """Say a unique line and return everything that came before its echo."""
        mark = f"fence {next(_fences)}"
        self.say(mark)
        return self.until(rf"^\[You\] {mark}$")[:-1]


def gather(peers: Sequence[Peer], done: Callable[[Peer], bool]) -> None:
    """Read all peers at the same time until each is done."""
    deadline = time.monotonic() + PATIENCE * 2
    with selectors.DefaultSelector() as selector:
        for peer in peers:
            if not done(peer):
                selector.register(peer, selectors.EVENT_READ, peer)
        while selector.get_map():
            ready = selector.select(deadline - time.monotonic())
            assert ready, f"{len(selector.get_map())} of {len(peers)} still wait"
            for key, _ in ready:
                if not key.data.fill() or done(key.data):
                    selector.unregister(key.fileobj)


class Certificates:
    """PEM files made for a test: of an authority, of a server on this machine, of a client.

    ``server`` and ``client`` hold key and certificate.
    """

    def __init__(self, directory: Path) -> None:
        self.trusted = trustme.CA()
        self.authority, self.server, self.client = (directory / f"{name}.pem" for name in ("ca", "server", "client"))
        self.trusted.cert_pem.write_to_path(self.authority)
        server = self.trusted.issue_cert("localhost", "127.0.0.1", "::1", "::")
        server.private_key_and_cert_chain_pem.write_to_path(self.server)
        self.trusted.issue_cert("someone@example.org").private_key_and_cert_chain_pem.write_to_path(self.client)

    def context(self, *, identity: bool = False) -> ssl.SSLContext:
        """What a client that trusts the authority speaks TLS with; one with an identity has a certificate itself."""
        return tls.client_context(str(self.authority), str(self.client) if identity else None, None)


class Output:
    """What a process writes into a pipe, read by a thread."""

    def __init__(self, stream: IO[bytes], lines: list[str]) -> None:
        self.lines = lines
        self._stream = stream
        self._came = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _read(self) -> None:
        for line in self._stream:
            with self._came:
                self.lines.append(line.decode().rstrip("\n"))
                self._came.notify()

    def until(self, pattern: str) -> list[str]:
        """The lines so far, as soon as one matches."""
        with self._came:
            shown = self._came.wait_for(lambda: any(re.search(pattern, line) for line in self.lines), PATIENCE)
            assert shown, self.lines[-20:]
            return list(self.lines)

    def close(self) -> None:
        """Read to the end, if it is read at all, and close."""
        if self._thread.is_alive():
            self._thread.join()
        self._stream.close()


class Room:
    """A server process; its console and its diagnostics are read by threads."""

    def __init__(
        self,
        mode: str,
        *flags: str,
        host: str = "127.0.0.1",
        read_console: bool = True,
        descriptors: int | None = None,
        program: Sequence[str] = ("-m", "chatctl"),
        certificates: "Certificates | None" = None,
        identity: bool = False,
        password: str = "",
    ) -> None:
        command: list[str] = [sys.executable, *program, "server", host, "0", "--mode", mode, *flags]
        if certificates:
            command += ["--tls-cert", str(certificates.server)]
        if descriptors:
            command = ["sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh", *command]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            start_new_session=True,  # no terminal: SIGHUP means to reload
        )
        assert self.process.stdout
        assert self.process.stderr
        first = self.process.stdout.readline().decode()
        self._console = Output(self.process.stdout, [first.rstrip("\n")])
        self._diagnostics = Output(self.process.stderr, [])
        self._diagnostics.start()
        started = re.fullmatch(r"Chat Server started on port (\d+)\.\n", first)
        assert started, f"{first!r} {self.stderr}"
        self.port = int(started[1])
        self.host = host
        self.password = password
        self.context = certificates.context(identity=identity) if certificates else None
        self.usage = psutil.Process(self.process.pid)
        self._peers: list[Peer] = []
        self._base = (0, 0)
        if read_console:
            self._console.start()

    @property
    def console(self) -> list[str]:
        """What the console has shown so far."""
        return self._console.lines

    @property
    def stderr(self) -> str:
        """What stderr has shown so far; all of it once the server was stopped."""
        return "".join(f"{line}\n" for line in self._diagnostics.lines)

    def console_until(self, pattern: str) -> list[str]:
        """The console's lines so far, as soon as one matches."""
        return self._console.until(pattern)

    def stderr_until(self, pattern: str) -> list[str]:
        """The same of stderr."""
        return self._diagnostics.until(pattern)

    def peer(self, **options: Any) -> Peer:
        """A member that has been welcomed."""
        peer = self.stranger(**options)
        if self.password:
            peer.say(self.password)
            peer.line()
        assert re.fullmatch(r"> Connected to the chat server \(\d+ users? online\)", peer.line())
        return peer

    def stranger(self, **options: Any) -> Peer:
        """A connection that has read nothing yet."""
        peer = Peer(self.port, **({"host": self.host, "context": self.context} | options))
        self._peers.append(peer)
        return peer

    def next_in(self) -> Peer:
        """A connection that was not refused, for when others see that a member left: its place is free a bit later."""
        deadline = time.monotonic() + PATIENCE
        while (peer := self.stranger()).line().startswith(("! server full", "! too many")):
            assert time.monotonic() < deadline, "still full"
            peer.close()
        return peer

    def peers(self, number: int, **options: Any) -> list[Peer]:
        """Members that have all seen one another enter, and have read nothing but that."""
        peers = [self.peer(**options) for _ in range(number)]
        mark = f"fence {next(_fences)}"
        peers[-1].say(mark)
        for peer in peers:
            peer.until(rf"^\[\S+\] {mark}$")
        return peers

    def memory(self) -> int:
        """Bytes of memory in use."""
        return int(self.usage.memory_info().rss)

    def resources(self) -> tuple[int, int]:
        """Open descriptors and threads."""
        return self.usage.num_fds(), self.usage.num_threads()

    def note_resources(self) -> None:
        """Remember what the server uses with nobody but one member inside."""
        with self.peer() as visitor:
            visitor.fence()
            self._base = self.resources()
            visitor.half_close()
            visitor.rest()

    def assert_clean(self) -> None:
        """No member, no descriptor and no thread is left of those who were here, as one last visitor sees it."""
        for peer in self._peers:
            peer.close()
        deadline = time.monotonic() + PATIENCE
        descriptors, threads = self._base
        with self.next_in() as visitor:
            if self.password:
                visitor.say(self.password)
            found = (0, 0, 0)
            while not (found[0] == 1 and found[1] <= descriptors and found[2] <= threads):
                assert time.monotonic() < deadline, f"users, descriptors, threads: {found}, not {(1, *self._base)}"
                found = (_online(visitor), *self.resources())

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """The exit status, as soon as there is one; where every thread is, on the server's stderr, if there is none."""
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGABRT)
            self.process.wait()
            raise

    def stop(self) -> None:
        """End the server, which must do so in good order and without a word on stderr beyond its log."""
        for peer in self._peers:
            peer.close()
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        status: int | None = None
        try:
            status = self.wait()
        finally:
            self.process.kill()
            self.process.wait()
            self._console.close()
            self._diagnostics.close()
            assert status == 0, f"exit status {status}\n{self.stderr}"
        assert "Traceback" not in self.stderr
        assert "Exception" not in self.stderr


def _online(visitor: Peer) -> int:
    visitor.say("/who")
    return int(visitor.until(r"^! \d+ users? online")[-1].split()[1])


def chat(lines: Iterable[str]) -> list[str]:
    """The lines that members said, without notices and answers."""
    return [line for line in lines if line.startswith("[")]
