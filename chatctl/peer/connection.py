"""One connection to a server, without one: its bytes, TLS among them, and its end."""

import errno
import math
from typing import TYPE_CHECKING, NamedTuple

from chatctl.errors import NetworkError

if TYPE_CHECKING:  # who speaks plain text does not wait for it to load
    import ssl

PATIENCE = 10.0
"""Seconds to wait for a connection, and for its handshake."""

SILENCE = 30.0
"""Seconds to wait for the server's first line; a TLS port lets a plain client wait for 10."""

DEAD = 60
"""Seconds after which a server whose machine has gone is given up."""


class Target(NamedTuple):
    """A room to connect to: a name or an address, its port, and a `tls.client_context`, or None for plain text."""

    host: str
    port: int
    tls: "ssl.SSLContext | None" = None


class Connection:
    """The bytes of a connection.

    ``deadline``: when the server has been silent for too long; infinity, if it may be silent. ``ended``: there is no
    connection any more, or there should be none.

    Args:
        target: what it is connected to, for TLS; where no certificate can be for that, it has ended at once.
        now: the time, in seconds of any clock that goes on.
        first: what is sent before anything else.
    """

    def __init__(self, target: Target | None, now: float, first: bytes) -> None:
        self.ended = False
        self._error: OSError | NetworkError | None = None
        self._first = first
        self._now = now
        self._layer = None
        self.deadline = now + SILENCE
        if target and target.tls:
            from chatctl.layers.handshake import client_layer, client_side

            trouble = f"cannot connect to {target.host} port {target.port}"
            self.deadline = now + PATIENCE
            try:
                self._layer = client_layer(target.tls, target.host, trouble)
                self._side = client_side(self._layer, trouble)
                next(self._side)
            except NetworkError as error:
                self.end(error)

    def decrypt(self, data: bytes, now: float) -> bytes:
        """Take what came, return the text in it; then send what `encrypt` returns, and look at ``ended``."""
        if not data:
            self.end()
        elif self._layer:
            data = self._open(data, now)
        if data:
            self.deadline = math.inf
        return data

    def _open(self, data: bytes, now: float) -> bytes:
        assert self._layer
        text, shaking = b"", not self._layer.established
        try:
            text = self._side.send(data)
            if self._layer.error:  # behind that text
                self._side.send(b"")
        except NetworkError as error:
            self.end(error)
        if self._layer.ended:
            self.end()
        if shaking and self._layer.established:
            self.deadline = now + SILENCE
        return text

    def encrypt(self, text: bytes) -> bytes:
        """The bytes to be sent for a text, and for what TLS itself has to say; in the order in which they are made."""
        if not self._layer or self._layer.established:
            text, self._first = self._first + text, b""
        return self._layer.send(text) if self._layer else text

    def close(self) -> bytes:
        """The bytes to be sent before this side's end of the connection is closed; nothing can be sent after them."""
        if self._layer:
            self._layer.close()
        return self.encrypt(b"")

    def end(self, error: OSError | NetworkError | None = None) -> None:
        """The connection has ended: closed by the server, broken, or, with a `TimeoutError`, at its ``deadline``.

        Only the first end counts.
        """
        if self.ended:
            return
        self.ended = True
        self.deadline = math.inf
        self._error = error
        if self._layer and not isinstance(error, NetworkError):
            if not self._layer.established:
                try:
                    self._side.throw(error or _cut_off("the server closed the connection"))
                except NetworkError as failure:
                    self._error = failure
            elif not error and not self._layer.ended:
                self._error = _cut_off("the server ended it without saying so (no close_notify)")


def _cut_off(reason: str) -> ConnectionResetError:
    """The error for an end of the connection that TLS was not told of."""
    return ConnectionResetError(errno.ECONNRESET, reason)
