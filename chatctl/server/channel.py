"""A link's socket with its layers, behind the two verbs of a socket that the backends use."""

import errno
import socket
from collections.abc import Sequence

from chatctl.layers import Layer

_PIECE = 8192  # bytes taken through the layers at a time: what a link whose socket is full holds of their output


class Channel:
    """A socket and its layers, such as TLS. One thread may receive while another one sends.

    ``failure``: why a layer cannot go on. What is received then is thrown away, what is sent is too: only the layers'
    own last words, such as an alert, still go.

    Args:
        sock: the socket.
        layers: from the socket inwards.
    """

    __slots__ = ("_layers", "_promised", "_sock", "_unsent", "failure")

    def __init__(self, sock: socket.socket, layers: Sequence[Layer]) -> None:
        self._sock = sock
        self._layers = layers
        self._unsent = memoryview(b"")  # what the socket has not taken
        self._promised = 0  # bytes of text that are gone when that is
        self.failure = ""

    @property
    def begun(self) -> bool:
        """Whether the peer has sent anything that the outermost layer understands."""
        return self._layers[0].begun

    @property
    def established(self) -> bool:
        """Whether all layers let text through."""
        return all(layer.established for layer in self._layers)

    @property
    def identity(self) -> str:
        """Who the peer has proved to be to a layer; empty: nobody."""
        return next(filter(None, (layer.identity for layer in self._layers)), "")

    @property
    def ended(self) -> bool:
        """Whether the peer has closed its side in good order; nothing comes after what was received last."""
        return any(layer.ended for layer in self._layers)

    @property
    def pending(self) -> bool:
        """Whether a layer itself has something to send; sending no bytes at all sends it."""
        return bool(self._unsent) or any(layer.pending for layer in self._layers)

    def close(self) -> None:
        """Have it sent that this is the end. Closing twice does nothing."""
        for layer in reversed(self._layers):
            layer.close()

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Read text; look at `pending` afterwards, even when it raises.

        Raises:
            BlockingIOError: what came was a handshake, not all of a record, or a ``failure``. Also without
                MSG_DONTWAIT.
            ConnectionResetError: the peer has gone without closing its side.
        """
        if self.ended:
            return b""
        data = self._sock.recv(size, flags)
        if not data and (self.failure or self._layers[0].closed):
            return data
        if not data:
            raise ConnectionResetError(errno.ECONNRESET, "gone without closing its side")
        if self.failure:
            raise BlockingIOError
        for layer in self._layers:
            try:
                data = layer.receive(data)
            except OSError as error:
                self._fail(layer, error)
                raise BlockingIOError from error
            if layer.error:
                self._fail(layer, layer.error)
            if not data:
                break
        if data or self.ended:
            return data
        raise BlockingIOError

    def send(self, data: bytes | memoryview, flags: int = 0) -> int:
        """Take text through the layers to the socket; return how much has gone. What has not must be given again.

        Before a handshake the peer cannot be told anything, unless it has sent nothing that a layer understands: then
        it may be somebody who reads plain text.

        Raises:
            BlockingIOError: nothing of it has gone: the socket is full.
        """
        if data and (self.failure or not self.established):
            self._promised = 0
            return len(data) if self.begun else self._sock.send(data, flags)
        sent = 0
        while True:
            if not self._unsent and not self._convert(data[sent : sent + _PIECE]):
                return len(data)
            try:
                while self._unsent:
                    self._unsent = self._unsent[self._sock.send(self._unsent, flags) :]
            except BlockingIOError:
                if sent:
                    return sent
                raise
            sent += self._promised
            self._promised = 0
            if sent >= len(data):
                return sent

    def _convert(self, data: bytes | memoryview) -> bool:
        """Take a piece of text through the layers; False: one of them cannot go on."""
        size = len(data)
        for layer in reversed(self._layers):
            try:
                data = layer.send(data)
            except OSError as error:  # the thread that receives has met something that ends the layer
                self._fail(layer, error)
                return False
        self._unsent = memoryview(data)
        self._promised = size
        return True

    def _fail(self, layer: Layer, error: OSError) -> None:
        """Note what went wrong, without what a client may do about it."""
        self.failure = self.failure or layer.explain(error).partition(":")[0]
