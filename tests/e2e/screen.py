"""Terminals that a test can look at: an emulated one, and tmux."""

import contextlib
import fcntl
import os
import re
import socket
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pexpect
import pyte

from tests.rooms import COMMAND, PATIENCE, environment

WELCOME = "> Connected to the chat server (3 users online)"
ASKED = "! this room needs a password: send it as your first line"


class Screen:
    """A program on an emulated terminal, read by a thread as fast as it can, or at a rate.

    Args:
        arguments: of chatctl.
        home: where its files go.
        rate: bytes a second that the terminal takes; None: as they come.
        size: columns and rows.
        more: environment variables.
    """

    def __init__(
        self,
        *arguments: str,
        home: Path,
        rate: int | None = None,
        size: tuple[int, int] = (80, 24),
        **more: str,
    ) -> None:
        columns, rows = size
        self.process = pexpect.spawn(
            COMMAND[0],
            [*COMMAND[1:], *arguments],
            env=environment(HOME=str(home), **more),
            dimensions=(rows, columns),
            timeout=PATIENCE,
        )
        self.process.delaybeforesend = None
        self.before = self.modes
        self.raw = bytearray()
        self.emulated = pyte.HistoryScreen(columns, rows, history=200_000, ratio=0.5)
        self._stream = pyte.ByteStream(self.emulated)
        self._fed = 0
        self._rate = rate
        self._changed = threading.Condition()
        self._over = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        portion = self._rate // 50 if self._rate else 65536
        while True:
            try:
                data = os.read(self.process.child_fd, portion)
            except OSError:
                data = b""
            with self._changed:
                self.raw += data
                self._over = not data
                self._changed.notify()
            if not data:
                return
            if self._rate:
                threading.Event().wait(len(data) / self._rate)  # a slow terminal

    def type(self, keys: str) -> None:
        self.process.send(keys)

    @property
    def modes(self) -> list[Any]:
        """Those of the terminal, which are there also when the program has ended."""
        return termios.tcgetattr(self.process.child_fd)

    def _draw(self) -> None:
        self._stream.feed(bytes(self.raw[self._fed :]))
        self._fed = len(self.raw)

    @property
    def rows(self) -> list[str]:
        """What is on the screen, without what is empty at its end."""
        with self._changed:
            self._draw()
            return "\n".join(row.rstrip() for row in self.emulated.display).rstrip("\n").split("\n")

    @property
    def row(self) -> str:
        """The line that the cursor is in, without its prompt."""
        with self._changed:
            self._draw()
            text: str = self.emulated.display[self.emulated.cursor.y].rstrip()
        return re.sub(r"^\[[^]]*\] > ?", "", text)

    def until(self, shown: Callable[["Screen"], object]) -> None:
        """Wait until something is to be seen."""
        deadline = time.monotonic() + PATIENCE
        while True:
            seen = len(self.raw)
            if shown(self):
                return
            with self._changed:
                if len(self.raw) == seen:
                    assert not self._over, "ended:\n" + "\n".join(self.emulated.display)
                    assert self._changed.wait(deadline - time.monotonic()), "\n".join(self.emulated.display)

    def until_text(self, text: str) -> None:
        """Wait until a row has the text."""
        self.until(lambda screen: any(text in row for row in screen.rows))

    def until_row(self, text: str) -> None:
        """Wait until the line that is edited is this."""
        self.until(lambda screen: screen.row == text)

    def resize(self, columns: int, rows: int) -> None:
        with self._changed:
            self._draw()
            self.emulated.resize(rows, columns)
            fcntl.ioctl(self.process.child_fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def end(self) -> int:
        """The exit status, once the program has ended; minus the signal's number when one ended it."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "\n".join(self.rows)
        self.process.wait()
        assert b"Traceback" not in self.raw
        assert b"Press ENTER" not in self.raw
        status = self.process.exitstatus
        return int(status) if status is not None else -int(self.process.signalstatus or 0)

    def close(self) -> None:
        self.process.close(force=True)
        self._thread.join()


class Tmux:
    """A shell in tmux, of its own and without anybody's configuration."""

    def __init__(self, directory: Path, columns: int = 80, rows: int = 24) -> None:
        self._tmux = ["tmux", "-S", str(directory / "tmux"), "-f", "/dev/null"]
        self._home = directory
        self(
            "new-session",
            *("-d", "-x", str(columns), "-y", str(rows), "env", "PS1=shell> ", "bash", "--norc", "--noprofile"),
            ";",
            *("set-option", "-g", "history-limit", "200000"),
        )
        # The limit holds for windows that are made after it.
        self("new-window", "env", "PS1=shell> ", "bash", "--norc", "--noprofile")
        self.until("shell>")

    def __call__(self, *command: str) -> str:
        environ = environment(HOME=str(self._home), TERM="xterm-256color", HISTFILE="")  # bash writes none when it ends
        return subprocess.run(
            [*self._tmux, *command], check=True, capture_output=True, text=True, env=environ, timeout=PATIENCE
        ).stdout

    def type(self, text: str) -> None:
        self("send-keys", "-l", "--", text)

    def key(self, *names: str) -> None:
        self("send-keys", *names)

    def run(self, *arguments: str) -> None:
        """Start chatctl in the shell."""
        self.type(" ".join([*COMMAND, *arguments]))
        self.key("Enter")

    def lines(self, *, all_of_it: bool = False) -> list[str]:
        """What is shown, wrapped rows joined; with the scrollback if asked for."""
        start = ["-S", "-"] if all_of_it else []
        return [line.rstrip() for line in self("capture-pane", "-p", "-J", *start).rstrip("\n").split("\n")]

    def until(self, text: str, *, last: bool = False) -> None:
        """Wait until a line has the text, or until it is the last one."""
        deadline = time.monotonic() + PATIENCE
        while True:
            lines = self.lines()
            if lines[-1] == text if last else any(text in line for line in lines):
                return
            assert time.monotonic() < deadline, "\n".join(lines)

    def close(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self("kill-server")


class Far:
    """The server's end of a connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.settimeout(PATIENCE)
        self._said = sock.makefile("rb")
        self._is_plain = False

    def tell(self, *lines: str) -> None:
        self.sock.sendall("".join(f"{line}\n" for line in lines).encode())

    def welcome(self, name: str = "") -> None:
        """Let the client in, and tell it quietly what it is called here: by its address, or another name."""
        self.be_plain("! no such command: /json (try /help; //text says /text)")
        self.tell(WELCOME)
        assert self.hear() == "/who"
        self.tell("! 1 user online", f"! {name or ':'.join(map(str, self.sock.getpeername()))} (you)")

    def be_plain(self, answer: str) -> None:
        """Know nothing of programs, and say so to a client that asks for them first, as an older server does."""
        if not self._is_plain:
            assert self.hear() == "/json"
            self.tell(answer)
            self._is_plain = True

    def hear(self) -> str:
        """The next line of the client, or "" at its end."""
        return self._said.readline().decode().rstrip("\n")

    def close(self) -> None:
        self._said.close()
        self.sock.close()


class Place:
    """A port that a client can come to, once or more often."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._all: list[Far] = []

    def accept(self, greeting: str | None = None) -> Far:
        """The next client; it is welcomed, unless there is another greeting, or an empty one."""
        self._listening.settimeout(PATIENCE)
        far = Far(self._listening.accept()[0])
        self._all.append(far)
        if greeting is None:
            far.welcome()
        elif greeting:
            far.tell(greeting)
        if greeting == ASKED:
            far.be_plain("! wrong password")
        return far

    def shut(self) -> None:
        """Refuse connections."""
        self._listening.close()

    def open(self) -> None:
        """Accept them again."""
        self._listening = socket.create_server(("127.0.0.1", self.port))

    def close(self) -> None:
        self.shut()
        for far in self._all:
            far.close()
