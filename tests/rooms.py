"""A real server, in a process or in a thread of the test, and raw sockets as its members."""

import abc
import contextlib
import faulthandler
import itertools
import json
import logging
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
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import IO, Any, Self

import psutil
import trustme

from chatctl.cli.server import command
from chatctl.layers import tls
from chatctl.layers.certificate import fingerprint
from chatctl.room.limits import Limits
from chatctl.server import Pages, build, operation
from chatctl.server.base import DEFAULT_USERS, Server
from chatctl.server.store import Bounds

COMMAND = [sys.executable, "-m", "chatctl"]

PATIENCE = 20.0  # seconds until a test that waits has failed
_NEGOTIATION = re.compile(rb"\xff[\xfb-\xfe].", re.DOTALL)
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
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # behind a handshake, else, 40 ms are lost
        self.sock.connect((host, port))
        address = self.sock.getsockname()
        self.name = f"[{address[0]}]:{address[1]}" if ":" in host else f"{address[0]}:{address[1]}"
        self.lines: list[str] = []  # read and not yet returned
        self.telnet: list[bytes] = []  # what the server negotiated
        self._partial = b""
        self.layer = tls.TLS(context, host=host) if context else None
        if self.layer:
            self._shake_hands(self.layer)

    def _shake_hands(self, layer: tls.TLS) -> None:
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
        text = self._partial + text
        self.telnet += re.findall(_NEGOTIATION, text)
        *lines, self._partial = re.sub(_NEGOTIATION, b"", text).split(b"\n")
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


class Program(Peer):
    """A member that speaks the dialect of programs."""

    welcome: dict[str, Any]

    def enter(self, **keys: Any) -> Self:
        """Enter; what came before hello is passed over."""
        self.say("/json")
        while self.event()["kind"] != "hello":
            pass
        self.say("/enter " + json.dumps(keys))
        self.welcome = self.event()
        assert self.welcome["kind"] == "welcome", self.welcome
        return self

    def event(self) -> dict[str, Any]:
        """What comes next, but for lines of the plain dialect."""
        while not (line := self.line()).startswith("{"):
            pass
        event: dict[str, Any] = json.loads(line)
        return event

    def events(self, number: int) -> list[dict[str, Any]]:
        """So many that come next."""
        return [self.event() for _ in range(number)]

    def fence(self) -> list[str]:
        """Say a unique line and return everything that came before its echo."""
        mark = f"fence {next(_fences)}"
        self.say(mark)
        return self.until(rf'"uid":{self.welcome["uid"]},[^{{]*"text":"{mark}"')[:-1]

    def leave(self) -> list[str]:
        """Go for good."""
        self.say("/quit")
        return self.rest()


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

    ``server`` and ``client`` hold key and certificate. ``fingerprint``: of the server's.
    """

    def __init__(self, directory: Path) -> None:
        self.trusted = trustme.CA()
        self.authority, self.server, self.client = (directory / f"{name}.pem" for name in ("ca", "server", "client"))
        self.trusted.cert_pem.write_to_path(self.authority)
        server = self.trusted.issue_cert("localhost", "127.0.0.1", "::1", "::")
        server.private_key_and_cert_chain_pem.write_to_path(self.server)
        certificate = ssl.PEM_cert_to_DER_cert(server.cert_chain_pems[0].bytes().decode())
        self.fingerprint = fingerprint(certificate)
        self.trusted.issue_cert("someone@example.org").private_key_and_cert_chain_pem.write_to_path(self.client)
        for private in (self.server, self.client):
            private.chmod(0o600)

    def context(self, *, identity: bool = False) -> ssl.SSLContext:
        """What a client that trusts the authority speaks TLS with; one with an identity has a certificate itself."""
        return tls.client_context(str(self.authority), str(self.client) if identity else None, None)


class Output:
    """Lines that somebody else's thread shows."""

    def __init__(self, *lines: str) -> None:
        self.lines = list(lines)
        self._came = threading.Condition()

    def show(self, line: str) -> None:
        with self._came:
            self.lines.append(line)
            self._came.notify()

    def until(self, pattern: str) -> list[str]:
        """The lines so far, as soon as one matches."""
        with self._came:
            shown = self._came.wait_for(lambda: any(re.search(pattern, line) for line in self.lines), PATIENCE)
            assert shown, self.lines[-20:]
            return list(self.lines)


class Pipe(Output):
    """What a process writes into a pipe, read by a thread."""

    def __init__(self, stream: IO[bytes], *lines: str) -> None:
        super().__init__(*lines)
        self._stream = stream
        self._thread = threading.Thread(target=self._read, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _read(self) -> None:
        for line in self._stream:
            self.show(line.decode().rstrip("\n"))

    def close(self) -> None:
        """Read to the end, if it is read at all, and close."""
        if self._thread.is_alive():
            self._thread.join()
        self._stream.close()


class Shown(Output):
    """A server's console that is kept: a `chatctl.server.console.Sink`."""

    def write(self, data: bytes) -> None:
        for line in data.decode().splitlines():
            self.show(line)

    def reopen(self) -> None:
        pass

    def close(self) -> None:
        pass


class Records(logging.Handler):
    """What is logged in this process, as a server's stderr would show it, and all of it that is an error."""

    def __init__(self, output: Output) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("chatctl server: %(message)s"))
        self.errors: list[str] = []
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if record.levelno >= logging.ERROR:
            self.errors.append(text)
        self._output.show(text)


class AnyRoom(abc.ABC):
    """A server, and the peers that a test sends there.

    Args:
        port: where it listens.
        usage: the process that it runs in.
        console: what its console shows.
        diagnostics: what it logs.
        host: where it listens.
        context: what its peers speak TLS with, if they do.
        password: what its peers say first, if it takes one.
    """

    def __init__(
        self,
        port: int,
        usage: psutil.Process,
        console: Output,
        diagnostics: Output,
        *,
        host: str,
        context: ssl.SSLContext | None,
        password: str,
    ) -> None:
        self.port = port
        self.usage = usage
        self.host = host
        self.context = context
        self.password = password
        self.console_until = console.until
        self.stderr_until = diagnostics.until
        self._shown = console
        self._diagnostics = diagnostics
        self._peers: list[Peer] = []
        self._base = (0, 0)

    @property
    @abc.abstractmethod
    def running(self) -> bool:
        """Whether the server has not ended."""

    @abc.abstractmethod
    def end(self) -> None:
        """Ask the server to end; when asked for twice, at once."""

    @abc.abstractmethod
    def wait(self) -> int:
        """The exit status, as soon as there is one; where every thread is, on stderr, if there is none."""

    @abc.abstractmethod
    def stop(self) -> None:
        """End the server, which must do so in good order and leave nothing behind. Stopping twice does nothing."""

    @property
    def console(self) -> list[str]:
        """What the console has shown so far."""
        return self._shown.lines

    @property
    def stderr(self) -> str:
        """What stderr has shown so far, or would have; all of it once the server was stopped."""
        return "".join(f"{line}\n" for line in self._diagnostics.lines)

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

    def program(self, **keys: Any) -> Program:
        """A program that has been welcomed; ``keys`` are those of its ``/enter``."""
        program = Program(self.port, host=self.host, context=self.context)
        self._peers.append(program)
        return program.enter(**keys)

    def next_in(self, *words: str) -> Peer:
        """A connection that was not refused, for when others see that a member left: its place is free a bit later.

        It speaks first, if there are ``words``, and so has not to wait for a greeting.
        """
        deadline = time.monotonic() + PATIENCE
        while (peer := self._spoken(*words)).line().startswith(("! server full", "! too many")):
            assert time.monotonic() < deadline, "still full"
            peer.close()
        return peer

    def _spoken(self, *words: str) -> Peer:
        peer = self.stranger()
        with contextlib.suppress(OSError):  # it was refused
            peer.say(*words)
        return peer

    def peers(self, number: int, **options: Any) -> list[Peer]:
        """Members that have all seen one another enter, and have read nothing but that."""
        peers = [self.peer(**options) for _ in range(number)]
        mark = f"fence {next(_fences)}"
        peers[-1].say(mark)
        for peer in peers:
            peer.until(rf"^\[\S+\] {mark}$")
        return peers

    def resources(self) -> tuple[int, int]:
        """Open descriptors and threads."""
        return self.usage.num_fds(), self.usage.num_threads()

    def note_resources(self) -> None:
        """Remember what the server uses with nobody but one member inside."""
        with self._spoken(*filter(None, [self.password]), "hi") as visitor:
            visitor.fence()
            self._base = self.resources()
            visitor.half_close()
            visitor.rest()

    def assert_clean(self) -> None:
        """No member, no descriptor and no thread is left of those who were here, as one last visitor sees it."""
        self.close_peers()
        deadline = time.monotonic() + PATIENCE
        descriptors, threads = self._base
        with self.next_in(*filter(None, [self.password]), "hi") as visitor:
            found = (0, 0, 0)
            while not (found[0] == 1 and found[1] <= descriptors and found[2] <= threads):
                assert time.monotonic() < deadline, f"users, descriptors, threads: {found}, not {(1, *self._base)}"
                found = (_online(visitor), *self.resources())

    def ended(self) -> str:
        """All that the server has logged, when everybody has gone without a trace and it has ended well."""
        self.assert_clean()
        self.stop()
        return self.stderr

    def close_peers(self) -> None:
        for peer in self._peers:
            peer.close()


class Room(AnyRoom):
    """A server process; its console and its diagnostics are read by threads."""

    def __init__(
        self,
        mode: str,
        *flags: str,
        host: str = "127.0.0.1",
        read_console: bool = True,
        descriptors: int | None = None,
        program: Sequence[str] = ("-m", "chatctl"),
        certificates: Certificates | None = None,
        identity: bool = False,
        password: str = "",
    ) -> None:
        program_line: list[str] = [sys.executable, *program, "server", *_arguments(mode, flags, host, certificates)]
        if descriptors:
            program_line = ["sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh", *program_line]
        self.process = subprocess.Popen(
            program_line,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            start_new_session=True,  # no terminal: SIGHUP means to reload
        )
        assert self.process.stdout
        assert self.process.stderr
        first = self.process.stdout.readline().decode()
        self._pipes = Pipe(self.process.stdout, first.rstrip("\n")), Pipe(self.process.stderr)
        super().__init__(
            0,
            psutil.Process(self.process.pid),
            *self._pipes,
            host=host,
            context=certificates.context(identity=identity) if certificates else None,
            password=password,
        )
        for pipe in self._pipes[not read_console :]:
            pipe.start()
        started = re.fullmatch(r"Chat Server started on port (\d+)\.\n", first)
        assert started, f"{first!r} {self.stderr}"
        self.port = int(started[1])

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def memory(self) -> int:
        """Bytes of memory in use."""
        return int(self.usage.memory_info().rss)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> None:
        self.signal(signal.SIGTERM)

    def wait(self) -> int:
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGABRT)
            self.process.wait()
            raise

    def crash(self) -> None:
        """End the server by SIGKILL, or note that it has ended so."""
        self.process.kill()
        assert self.process.wait(PATIENCE) == -signal.SIGKILL
        self.close_peers()
        for pipe in self._pipes:
            pipe.close()

    def stop(self) -> None:
        """End the server, which must do so in good order and without a word on stderr beyond its log."""
        self.close_peers()
        if self.running:
            self.end()
        status: int | None = None
        try:
            status = self.wait()
        finally:
            self.process.kill()
            self.process.wait()
            for pipe in self._pipes:
                pipe.close()
            assert status == 0, f"exit status {status}\n{self.stderr}"
        assert "Traceback" not in self.stderr
        assert "Exception" not in self.stderr


class ThreadRoom(AnyRoom):
    """A server in a thread of the test, one at a time. What a process measures, and signals, it has none of.

    An exception in one of its threads is a warning of pytest's, and so an error.

    ``web``: the port for browsers, if they are let in.
    """

    web: int

    def __init__(
        self,
        mode: str,
        *flags: str,
        host: str = "127.0.0.1",
        certificates: Certificates | None = None,
        identity: bool = False,
        password: str = "",
    ) -> None:
        shown, diagnostics, process = Shown(), Output(), psutil.Process()
        self._before = process.num_fds(), process.num_threads()
        options = command.make_context("server", _arguments(mode, flags, host, certificates)).params
        limits = Limits(**{field.name: options[field.name] for field in fields(Limits)})
        self._server = build(
            options["host"],
            options["port"],
            mode,
            replace(limits, max_users=limits.max_users or DEFAULT_USERS),
            shown,
            operation.certificates(options["tls_cert"], options["tls_key"], options["tls_client_ca"]),
            password_file=options["password_file"],
            certified=options["tls_client_ca"] is not None,
            transcript=options["transcript"],
            store=options["store"],
            bounds=Bounds(options["store_size"], options["store_days"]),
            pages=Pages(options["web"], options["web_hosts"], options["web_proxies"]) if options["web"] else None,
        )
        super().__init__(
            self._server.listener.port,
            process,
            shown,
            diagnostics,
            host=host,
            context=certificates.context(identity=identity) if certificates else None,
            password=password,
        )
        if options["web"]:
            self.web = self._server.listeners[1].port
        self._records = Records(diagnostics)
        self._log = logging.getLogger("chatctl")
        self._log.setLevel(logging.INFO if options["verbose"] else logging.WARNING)
        self._log.addHandler(self._records)
        self._status = 1
        self._thread = threading.Thread(target=self._run, name="server", daemon=True)
        self._thread.start()
        assert self.console_until("") == [f"Chat Server started on port {self.port}."]

    def _run(self) -> None:
        with self._server:
            self._server.run()
        self._status = 0

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def end(self) -> None:
        self._server.loop.call(self._server.stop)

    @contextlib.contextmanager
    def held(self) -> Iterator[Server]:
        """Have the loop's thread do nothing meanwhile."""
        there, go = threading.Event(), threading.Event()

        def wait() -> None:
            there.set()
            go.wait(PATIENCE)

        self._server.loop.call(wait)
        assert there.wait(PATIENCE)
        yield self._server
        go.set()

    def wait(self) -> int:
        self._thread.join(PATIENCE)
        if self.running:
            faulthandler.dump_traceback()
            raise TimeoutError("the server does not end")
        return self._status

    def stop(self) -> None:
        """End the server, which must do so in good order, log no error and leave no thread and no descriptor behind."""
        self.close_peers()
        if self.running:
            self.end()
        assert self.wait() == 0
        self._log.removeHandler(self._records)
        self._log.setLevel(logging.NOTSET)
        deadline = time.monotonic() + PATIENCE
        while any(now > before for now, before in zip(self.resources(), self._before, strict=True)):
            assert time.monotonic() < deadline, f"descriptors, threads: {self.resources()}, not {self._before}"
        assert self._records.errors == []


def _arguments(mode: str, flags: Sequence[str], host: str, certificates: Certificates | None) -> list[str]:
    """The command line of a server, which greets at once if not told otherwise."""
    secure = ["--tls-cert", str(certificates.server)] if certificates else []
    return [host, "0", "--mode", mode, "--greet-delay", "0", *flags, *secure]


def _online(visitor: Peer) -> int:
    visitor.say("/who")
    return int(visitor.until(r"^! \d+ users? online")[-1].split()[1])


def chat(lines: Iterable[str]) -> list[str]:
    """The lines that members said, without notices and answers."""
    return [line for line in lines if line.startswith("[")]
