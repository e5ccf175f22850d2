"""The way in: binding addresses, accepting, refusing, and running out of descriptors without falling over.

A newcomer that is refused is told why and then ended like a member: half-closed, and its input read until it has
closed too, because `close` with unread input makes the kernel throw away what was sent (RFC 1122, section 4.2.2.13).
"""

import contextlib
import errno
import functools
import logging
import os
import selectors
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from chatctl import wire
from chatctl.errors import ListenError
from chatctl.wire import Address
from chatctl.wire.words import FULL

_BACKLOG = 4096  # connections the kernel may hold for us; Linux cuts it to net.core.somaxconn, 4,096 by default
_BATCH = 256  # newcomers at a time, so that a storm of them does not stall those inside
_REFUSED = 16  # refused newcomers that may linger at a time; what comes beyond is closed at once
_LINGER = 2.0  # seconds a refused newcomer may take to close its end
_PAUSE = 0.5  # seconds not to accept when the system has nothing left to accept with

_HINTS = {
    errno.EADDRINUSE: "the port is in use: choose another, or 0 for any free one",
    errno.EADDRNOTAVAIL: "this machine has no such address: try 127.0.0.1, or 0.0.0.0 for every one it has",
    errno.EACCES: "that port needs privileges: choose one from 1024 on",
    errno.EAFNOSUPPORT: "this machine does not speak that kind of address: try 127.0.0.1",
}

log = logging.getLogger("chatctl.server")


def bind(host: str, port: int) -> list[socket.socket]:
    """Listen on every address that ``host`` has, all with one port; port 0 picks a free one.

    An address of a host name that this machine lacks (``localhost`` is often ``::1`` as well) is skipped, if there is
    another.

    Raises:
        ListenError: none of the addresses, or not all of them, can be had.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise ListenError(f"cannot listen on {host}: no address found ({error}): give an IP address") from error
    addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    attempts = 10 if port == 0 else 1  # the free port of one address may be taken on the next
    while True:
        attempts -= 1
        try:
            return _listen_on_all(addresses, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not attempts:
                hint = _HINTS.get(error.errno or 0, f"{error.strerror}: choose another address or port")
                raise ListenError(f"cannot listen on {error.filename}: {hint}") from error


def _listen_on_all(addresses: Sequence[tuple[int, tuple[Any, ...]]], port: int) -> list[socket.socket]:
    """Listen on those of the addresses that this machine has; `OSError` names the one that cannot be had."""
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    with contextlib.ExitStack() as undo:
        for family, (host, _, *rest) in addresses:
            try:
                listening = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
                _listen(listening, (host, port, *rest))
            except OSError as error:
                error.filename = str(Address.of((host, port)))
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                missing = error
                log.info("not listening on %s: %s", error.filename, error.strerror)
                continue
            sockets.append(listening)
            port = listening.getsockname()[1]
        if missing and not sockets:
            raise missing
        undo.pop_all()
    return sockets


def _listen(listening: socket.socket, address: tuple[str | int, ...]) -> None:
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if listening.family == socket.AF_INET6:  # "::" means every address, IPv4 as well, whatever the system's default
        listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")
    listening.bind(address)
    listening.listen(_BACKLOG)


class Listener:
    """Accepts from listening sockets by way of a selector, whose keys' data are functions to call.

    Only the thread that runs the selector calls it.

    Args:
        sockets: from `bind`; they are closed by `stop`.
        selector: calls ``key.data(mask)``.
        welcome: called with the newcomers' sockets (blocking, without a timeout) and addresses.
        tell: how one that is refused is told why.

    ``addresses``: where it listens; all have the same ``port``, unless systemd has handed them down. ``refused`` counts
    by the reason those who were turned away.
    """

    def __init__(
        self,
        sockets: list[socket.socket],
        selector: selectors.BaseSelector,
        welcome: Callable[[list[tuple[socket.socket, Address]]], None],
        *,
        tell: Callable[[str], bytes] = wire.answer,
    ) -> None:
        for listening in sockets:
            listening.setblocking(False)
        self.addresses = [Address.of(listening.getsockname()) for listening in sockets]
        self.port = self.addresses[0].port
        self._sockets = sockets
        self._selector = selector
        self._welcome = welcome
        self._tell = tell
        self.refused: Counter[str] = Counter()
        self._spare: int | None = None  # a descriptor to give up when there is no other to accept with
        self._parting: dict[socket.socket, float] = {}  # the refused, with their deadlines, the earliest first
        self._resume_at: float | None = None  # in a pause
        self._take_spare()
        self._listen()

    @property
    def deadline(self) -> float | None:
        """When `tick` is due next."""
        first = next(iter(self._parting.values()), None)
        return min((at for at in (first, self._resume_at) if at is not None), default=None)

    def tick(self, now: float) -> None:
        """Close the refused whose time is over; accept again after a pause."""
        for refused, deadline in list(self._parting.items()):
            if deadline > now:
                break
            self._drop(refused)
        if self._resume_at is not None and self._resume_at <= now:
            self._resume_at = None
            self._take_spare()
            self._listen()

    def refuse(self, newcomer: socket.socket, address: Address, why: str, now: float) -> None:
        """Tell a newcomer why it cannot come in, and end its connection."""
        self._note(address, why)
        self._say(newcomer, why)
        with contextlib.suppress(OSError):
            if len(self._parting) < _REFUSED:
                self._selector.register(newcomer, selectors.EVENT_READ, functools.partial(self._read, newcomer))
                self._parting[newcomer] = now + _LINGER
                return
        newcomer.close()

    @property
    def lingering(self) -> bool:
        """Whether there are refused newcomers that have not closed yet."""
        return bool(self._parting)

    def stop(self) -> None:
        """Accept nobody any more; those who wait are turned away by the kernel."""
        self._resume_at = None
        self._unlisten()
        for listening in self._sockets:
            listening.close()
        self._sockets = []
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None

    def _listen(self) -> None:
        for listening in self._sockets:
            self._selector.register(listening, selectors.EVENT_READ, functools.partial(self._accept, listening))

    def _unlisten(self) -> None:
        for listening in self._sockets:
            with contextlib.suppress(KeyError):  # in a pause
                self._selector.unregister(listening)

    def _accept(self, listening: socket.socket, mask: int) -> None:
        """Take in those that wait."""
        if listening not in self._sockets:
            return  # stopped earlier in this turn
        newcomers = []
        for _ in range(_BATCH):
            try:
                newcomer, address = listening.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE) and self._turn_away(listening):
                    continue
                if isinstance(error, ConnectionAbortedError):
                    continue  # that newcomer has gone already
                self._pause(error)
                break
            newcomer.setblocking(True)  # BSD hands the listener's O_NONBLOCK down
            newcomers.append((newcomer, Address.of(address)))
        if newcomers:
            self._welcome(newcomers)

    def _turn_away(self, listening: socket.socket) -> bool:
        """Without a free descriptor, give up the spare one to tell a newcomer so; False when it is not there."""
        if self._spare is None:
            return False
        os.close(self._spare)
        self._spare = None
        with contextlib.suppress(OSError):
            newcomer, address = listening.accept()
            with newcomer:
                self._note(Address.of(address), "out of descriptors")
                self._say(newcomer, FULL)
                newcomer.recv(65536, socket.MSG_DONTWAIT)
        self._take_spare()
        return True

    def _note(self, address: Address, why: str) -> None:
        self.refused[why] += 1
        log.info("%s refused: %s", address, why)

    def _take_spare(self) -> None:
        if self._spare is None:
            with contextlib.suppress(OSError):  # somebody else was quicker
                self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _pause(self, error: OSError) -> None:
        """Let the processor rest until there may be something to accept with again."""
        log.warning("not accepting for %s s: %s", _PAUSE, error.strerror)
        self._resume_at = time.monotonic() + _PAUSE
        self._unlisten()

    def _read(self, refused: socket.socket, mask: int) -> None:
        """Throw away what a refused newcomer sends, until it closes."""
        if refused not in self._parting:
            return  # dropped earlier in this turn
        try:
            ended = not refused.recv(65536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            ended = True
        if ended:
            self._drop(refused)

    def _drop(self, refused: socket.socket) -> None:
        del self._parting[refused]
        self._selector.unregister(refused)
        refused.close()

    def _say(self, newcomer: socket.socket, why: str) -> None:
        with contextlib.suppress(OSError):
            newcomer.send(self._tell(why), socket.MSG_DONTWAIT)
            newcomer.shutdown(socket.SHUT_WR)
