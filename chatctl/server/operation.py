"""What an operator does with a server that runs: signals, and lines typed at its terminal.

SIGINT, SIGTERM   end the room; a second one at once
SIGHUP            reopen the transcript and load the certificates anew; with a terminal: end, as it has gone
SIGUSR1           print the counters
a line typed      is announced to all; /help lists the commands
"""

import functools
import logging
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence

from chatctl import wire
from chatctl.errors import ResourceError
from chatctl.layers import Layer
from chatctl.room import commands, door
from chatctl.room.stages import INSIDE, KNOCKING, OUTSIDE
from chatctl.server import systemd
from chatctl.server.base import Server
from chatctl.server.keyboard import Keyboard, usable
from chatctl.wire import words

Certificates = Callable[[], Callable[[], Sequence[Layer]]]

log = logging.getLogger("chatctl.server")


def certificates(cert: str | None, key: str | None, client_ca: str | None) -> Certificates:
    """How to load the server's certificates, now and again; without any there is no TLS.

    What is loaded makes the layers of a connection. Loading raises `ResourceError`.
    """
    if cert is None:
        return lambda: tuple
    from chatctl.layers import tls

    def load() -> Callable[[], Sequence[Layer]]:
        context = tls.server_context(cert, key, client_ca)
        return lambda: (tls.TLS(context, server_side=True),)

    return load


class Operator:
    """Whoever runs a server.

    Args:
        server: the server.
        certificates: how they are loaded, see `certificates`.
        say: prints a line on stderr.
    """

    def __init__(self, server: Server, certificates: Certificates, say: Callable[[str], None]) -> None:
        self._server = server
        self._certificates = certificates
        self._say = say

    @property
    def signals(self) -> Mapping[int, Callable[[], None]]:
        """What to do on which signal, in the server's main thread."""
        actions: dict[int, Callable[[], None]] = {
            signal.SIGINT: self._stop,
            signal.SIGTERM: self._stop,
            signal.SIGUSR1: self._count,
        }
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
            actions[signal.SIGHUP] = self._stop if _has_terminal() else self._reload
        return actions

    def attend(self, stdin: int, stdout: int) -> None:
        """Obey what is typed at the terminal, if there is one."""
        for number in (signal.SIGTTIN, signal.SIGTTOU):  # a server in the background is not stopped by the shell
            signal.signal(number, signal.SIG_IGN)
        if usable(stdin, stdout):
            Keyboard(stdin, self._typed).start()

    def _typed(self, line: bytes) -> None:
        self._server.loop.call(functools.partial(self._obey, line.decode()))

    def _obey(self, line: str) -> None:
        if not line.strip():
            return
        if not line.startswith("/") or line.startswith("//"):
            with self._server.lock:
                self._server.room.announce(f"server: {line.removeprefix('/')}")
            return
        word, argument = commands.split(line)
        command = OPERATOR.get(word)
        with self._server.lock:
            answer = command.do(self, argument) if command else [commands.unknown(word, "announces")]
            self._server.console.tell(wire.answer(*answer))

    def help(self, argument: str) -> list[str]:
        """The list of what can be typed."""
        return [*commands.listed(OPERATOR), "anything else is announced to all; //text announces /text"]

    def who(self, argument: str) -> list[str]:
        """Who is online."""
        return commands.who(self._server.room.ledger.people.values())

    def kick(self, argument: str) -> list[str]:
        """End the member of a name."""
        name, _, reason = argument.partition(" ")
        room = self._server.room
        word = f"{words.KICKED}: {reason.strip()}" if reason else words.KICKED
        for link in room.inside:
            if room.ledger.people[link.uid].name == name:
                room.dismiss(link, time.monotonic(), word, word)
                return [f"{name} {word}"]
        return [f"nobody is called {name!r}: /kick NAME [REASON], with a name from /who"]

    def ban(self, argument: str) -> list[str]:
        """Keep a network out, and end who comes from there."""
        try:
            network = door.network(argument)
        except ValueError as error:
            return [f"{error}: /ban ADDRESS, as in 192.0.2.7 or 2001:db8::/32"]
        server, room = self._server, self._server.room
        server.door.ban(network)
        banned = [link for link in room.at(KNOCKING, OUTSIDE, INSIDE) if server.door.denies(link.address.host)]
        for link in banned:
            room.dismiss(link, time.monotonic(), words.DENIED, "banned")
        return [f"{network} banned, {len(banned)} ended"]

    def shutdown(self, argument: str) -> list[str]:
        """End the room, as soon as the lock is free."""
        self._server.loop.call(self._stop)
        return []

    def _stop(self) -> None:
        systemd.notify("STOPPING=1")
        self._server.stop()

    def _count(self) -> None:
        self._say(self._server.counters().line())

    def _reload(self) -> None:
        systemd.reloading()
        with self._server.lock:
            for outlet in self._server.outlets:
                outlet.reopen()
        try:
            self._server.layers = self._certificates()
        except ResourceError as error:
            log.error("keeping the old certificates: %s", error)
        log.info("reloaded")
        systemd.notify("READY=1")


OPERATOR: dict[str, commands.Command[Callable[[Operator, str], list[str]]]] = {
    "/help": commands.Command("this list", Operator.help),
    "/who": commands.Command("who is online", Operator.who),
    "/kick": commands.Command("end a member", Operator.kick, "NAME [REASON]"),
    "/ban": commands.Command(
        "end all from an address or a network, and keep it out until the server ends", Operator.ban, "ADDRESS"
    ),
    "/shutdown": commands.Command("end the room", Operator.shutdown),
}
"""What an operator may type."""


def _has_terminal() -> bool:
    """Whether there is a controlling terminal, whose end SIGHUP tells of."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
