"""What an operator does with a server that runs: signals, and lines typed at its terminal.

SIGINT, SIGTERM   end the room; a second one at once
SIGHUP            reopen the transcript and load the certificates anew; with a terminal: end, as it has gone
SIGUSR1           print the counters
a line typed      is announced to all, or a command, as `wire.said` has it; /help lists the commands
"""

import contextlib
import functools
import logging
import os
import signal
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from chatctl import wire
from chatctl.errors import ResourceError
from chatctl.layers import Layer
from chatctl.room import commands, door
from chatctl.room.lookup import Whose
from chatctl.room.stages import GREETED, KNOCKING, OUTSIDE, SILENT
from chatctl.screen import can_draw
from chatctl.server import systemd
from chatctl.server.base import Server
from chatctl.server.keyboard import Keyboard, controls, usable
from chatctl.server.terminal import Terminal
from chatctl.wire import LineDecoder, words
from chatctl.wire.events import Removed
from chatctl.wire.text import listed
from chatctl.wire.words import Farewell

_REMOVED = 1000  # people whose lines are removed by one event: it is a line, and has to be of a good length

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
        terminal: where to edit what is typed, if that can be done.
    """

    def __init__(
        self, server: Server, certificates: Certificates, say: Callable[[str], None], terminal: Terminal
    ) -> None:
        self._server = server
        self._certificates = certificates
        self._say = say
        self._terminal = terminal
        self._edits = False  # what is typed at the terminal
        bans = server.store.journal.bans if server.store else {}
        # With what somebody is called who was banned by name; also when that is over, so that it can be said so again.
        self._banned = {door.network(text): name for text, name in bans.items()}

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
        if self._edits and signal.getsignal(signal.SIGTSTP) != signal.SIG_IGN:  # a shell without job control
            actions |= {signal.SIGTSTP: self._terminal.suspend, signal.SIGCONT: self._terminal.begin_anew}
        return actions

    def attend(self, stdin: int, stdout: int) -> None:
        """Obey what is typed at the terminal, if there is one, in a line that is edited, if it can be."""
        for number in (signal.SIGTTIN, signal.SIGTTOU):  # a server in the background is not stopped by the shell
            signal.signal(number, signal.SIG_IGN)
        self._edits = controls(stdin) and controls(stdout) and can_draw(os.environ.get("TERM", ""))
        if self._edits:
            self._terminal.start(self, lambda: self._server.loop.call(self._stop))
        elif usable(stdin, stdout):
            Keyboard(stdin, self._typed).start()

    # What the editor asks, in its thread

    def prompt(self) -> str:
        """How many are online."""
        with self._server.lock:
            return f"[{wire.online(len(self._server.room.ledger.people))}] > "

    def secret(self) -> bool:
        """Nothing that is typed is."""
        return False

    def interrupt(self) -> bool:
        """Ctrl-C on an empty line ends the editor, and the room with it."""
        return True

    def completions(self, words: list[str]) -> list[str]:
        """Commands where one can stand, names elsewhere."""
        word = words[-1]
        if len(words) == 1 and word.startswith("/"):
            return [command for command in OPERATOR if command.startswith(word)]
        with self._server.lock:
            names = [person.name for person in self._server.room.ledger.people.values()]
        return [name for name in names if name.casefold().startswith(word.casefold())]

    def submit(self, text: str) -> bool:
        """Obey what was typed; several lines are a paste, and all text: a blank one is one blank.

        What has a line that is too long stays where it is.
        """
        limit = self._server.room.limits.max_line
        pasted = [line or " " for line in text.strip("\n").split("\n")]
        lines = LineDecoder(limit).feed("\n".join(pasted).encode("utf-8", "replace") + b"\n")
        clean = [line for line in lines if isinstance(line, bytes)]
        if clean != lines:
            with self._server.lock:
                self._server.console.tell(wire.answer(f"line too long, not sent: it may have {limit} bytes"))
            return False
        if len(clean) == 1:
            self._typed(clean[0])
        else:
            for line in clean:
                self._server.loop.call(functools.partial(self._obey, wire.escaped(line)))
        return True

    # What it does

    def _typed(self, line: bytes) -> None:
        if line.strip():
            self._server.loop.call(functools.partial(self._obey, line))

    def _obey(self, line: bytes) -> None:
        text = wire.said(line)
        with self._server.lock:
            if text is None:
                self._server.console.tell(wire.answer(*self._answer(*commands.split(line.decode()))))
            else:
                self._server.room.announce(f"server: {text.decode()}")

    def _answer(self, word: str, argument: str) -> list[str]:
        """Do what a command says; return what is to be answered."""
        command = OPERATOR.get(word)
        if command is None:
            return [commands.unknown(word, "announces")]
        if command.usage and not argument:
            return [f"usage: {word} {command.usage}"]
        return command.do(self, argument)

    def help(self, argument: str) -> list[str]:
        """The list of what can be typed."""
        return [*commands.listed(OPERATOR), "anything else is announced to all; //text announces /text"]

    def who(self, argument: str) -> list[str]:
        """Who is online."""
        return listed(commands.listed_people(self._server.room.ledger, time.monotonic()))

    def kick(self, argument: str) -> list[str]:
        """End the member of a name."""
        name, _, reason = argument.partition(" ")
        room = self._server.room
        word = _because(words.KICKED, reason)
        person = room.ledger.find(name)
        if person is None:
            return [f"nobody is called {name!r}: /kick NAME [REASON], with a name or an address from /who"]
        room.end(person, time.monotonic(), Farewell("kicked", word), word)
        return [f"{person.name} {word}"]

    def ban(self, argument: str) -> list[str]:
        """Keep a network, or the address of a member, out, and end who comes from there."""
        name, _, reason = argument.partition(" ")
        server, room = self._server, self._server.room
        person = room.ledger.find(name)
        host = person.address.host if person else room.ledger.names.home(name)
        try:
            network = _network(host or name)
        except ValueError as error:
            return [f"{error}: /ban NAME, with a name from /who, or /ban ADDRESS, as in 192.0.2.7 or 2001:db8::/32"]
        server.door.ban(network)
        self._banned.setdefault(network, "")
        if host:
            self._banned[network] = person.name if person else name
        self._keep_bans()
        word, now = Farewell("banned", _because(words.DENIED, reason)), time.monotonic()
        people = [person for person in room.ledger.people.values() if server.door.denies(person.address.host)]
        for person in people:
            room.end(person, now, word, "banned")
        links = [link for link in room.at(KNOCKING, OUTSIDE, SILENT, GREETED) if server.door.denies(link.address.host)]
        for link in links:
            room.dismiss(link, now, word, "banned")
        return [f"{door.shown(network)} banned, {len(people) + len(links)} ended"]

    def bans(self, argument: str) -> list[str]:
        """Who is kept out, by /ban or by --deny, and what somebody was called who was banned by name."""
        names = {network: f" ({name})" for network, name in self._banned.items() if name}
        denied = self._server.door.denied
        return [door.shown(network) + names.get(network, "") for network in denied] or ["nobody is banned"]

    def unban(self, argument: str) -> list[str]:
        """Keep a network, or the address of somebody, out no longer."""
        with contextlib.suppress(ValueError):
            named = [network for network, name in self._banned.items() if name == argument]
            network = named[-1] if named else _network(argument)
            if self._server.door.unban(network):
                self._keep_bans()
                return [f"{door.shown(network)} may come in again"]
        return [f"{argument!r} is not banned: /bans lists what is"]

    def _keep_bans(self) -> None:
        """Have them be the same after a restart."""
        if store := self._server.store:
            denied = self._server.door.denied
            store.journal.ban({door.shown(net): name for net, name in self._banned.items() if net in denied})

    def forget(self, argument: str) -> list[str]:
        """Remember no more what somebody has said, or all from an address, or everybody; members are told."""
        ledger, store = self._server.room.ledger, self._server.store
        person = ledger.find(argument)
        whose = Whose(argument, {person.uid} if person else set(), ledger.seq)
        known = ledger.forget(whose)
        if not store:
            return self._forgotten(argument, known)
        whose = whose._replace(uids=known.union(whose.uids))

        def forgotten(uids: Collection[int], why: str) -> None:
            ledger.forget(Whose("", uids, whose.seq))
            answer = self._forgotten(argument, known.union(uids))
            if why:
                answer.append(f"the store still has some of it: {why}: say it again")
            self._server.console.tell(wire.answer(*answer))

        call = self._server.call
        store.past.forget(whose, store.wait, lambda uids, why: call(functools.partial(forgotten, uids, why)))
        return []

    def _forgotten(self, text: str, uids: Collection[int]) -> list[str]:
        """Tell members what was removed; return what is to be answered."""
        what = "all that was said before" if text == "all" else f"what {text} has said"
        if not uids:
            return [f"nothing is kept of {text!r}: /forget NAME, /forget ADDRESS or /forget all"]
        people = sorted(uids)
        for at in range(0, len(people), _REMOVED):
            some = tuple(people[at : at + _REMOVED])
            self._server.room.post(Removed(some, f"server: {what} is removed"))
        return [f"{what} is removed, but for what members have on their screens, and a transcript"]

    def shutdown(self, argument: str) -> list[str]:
        """End the room, as soon as the lock is free."""
        self._server.loop.call(self._stop)
        return []

    def _stop(self) -> None:
        systemd.notify("STOPPING=1")
        self._terminal.end()
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
    "/ban": commands.Command("keep out all from an address or a network", Operator.ban, "NAME|ADDRESS [REASON]"),
    "/bans": commands.Command("what is kept out", Operator.bans),
    "/unban": commands.Command("let somebody or a network come in again", Operator.unban, "NAME|ADDRESS"),
    "/forget": commands.Command("keep nothing of what somebody said", Operator.forget, "NAME|ADDRESS|all"),
    "/shutdown": commands.Command("end the room", Operator.shutdown),
}
"""What an operator may type."""


def _because(word: str, reason: str) -> str:
    return f"{word}: {reason.strip()}" if reason else word


def _network(text: str) -> door.Network:
    """A network, or the address in what a member is called by default, who may have gone.

    Raises:
        ValueError: it is neither.
    """
    with contextlib.suppress(ValueError):
        text = wire.host_and_port(text)[0]
    return door.network(text.partition("%")[0])


def _has_terminal() -> bool:
    """Whether there is a controlling terminal, whose end SIGHUP tells of."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
