"""A link's socket under TLS, with the two verbs of a socket that the backends use."""

import errno
import socket
import ssl

from chatctl.layers.tls import Layer, explain

_PIECE = 8192  # bytes encrypted at a time: what a link whose socket is full holds of ciphertext


class Secure:
    """A socket under TLS. One thread may receive while another one sends.

    ``failure``: why TLS cannot go on. What is received then is thrown away, what is sent is too: only TLS's own last
    words, an alert, still go.
    """

    __slots__ = ("_layer", "_promised", "_sock", "_unsent", "failure")

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self._sock = sock
        self._layer = Layer(context, server_side=True)
        self._unsent = memoryview(b"")  # ciphertext that the socket has not taken
        self._promised = 0  # bytes of plain text that are gone when that is
        self.failure = ""

    @property
    def established(self) -> bool:
        """Whether the handshake is done."""
        return self._layer.established

    @property
    def speaks_tls(self) -> bool:
        """Whether the peer has sent anything that is TLS."""
        return self._layer.begun

    @property
    def ended(self) -> bool:
        """Whether the peer has closed its side in good order; nothing comes after what was received last."""
        return self._layer.ended

    @property
    def pending(self) -> bool:
        """Whether TLS itself has something to send; sending no bytes at all sends it."""
        return bool(self._unsent) or self._layer.pending

    def close(self) -> None:
        """Have it sent that this is the end. Closing twice does nothing."""
        self._layer.close()

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Read plain text; look at `pending` afterwards, even when it raises.

        Raises:
            BlockingIOError: what came was the handshake, not all of a record, or a ``failure``. Also without
                MSG_DONTWAIT.
            ConnectionResetError: the peer has gone without closing its side.
        """
        if self._layer.ended:
            return b""
        data = self._sock.recv(size, flags)
        if not data and (self.failure or self._layer.closed):
            return data
        if not data:
            raise ConnectionResetError(errno.ECONNRESET, "gone without closing its side")
        if self.failure:
            raise BlockingIOError
        try:
            plain = self._layer.receive(data)
        except ssl.SSLError as error:
            self.failure = _reason(error)
            raise BlockingIOError from error
        if self._layer.error:
            self.failure = _reason(self._layer.error)
        if plain or self._layer.ended:
            return plain
        raise BlockingIOError

    def send(self, data: bytes | memoryview, flags: int = 0) -> int:
        """Encrypt and give it to the socket; return how much has gone. What has not must be given again.

        Before the handshake the peer cannot be told anything, unless it has sent nothing that is TLS: then it may be
        somebody who reads plain text.

        Raises:
            BlockingIOError: nothing of it has gone: the socket is full.
        """
        if data and (self.failure or not self._layer.established):
            self._promised = 0
            return len(data) if self._layer.begun else self._sock.send(data, flags)
        sent = 0
        while True:
            if not self._unsent and not self._encrypt(data[sent : sent + _PIECE]):
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

    def _encrypt(self, data: bytes | memoryview) -> bool:
        try:
            self._unsent = memoryview(self._layer.send(data))
        except ssl.SSLError as error:  # the thread that receives has met something that ends TLS
            self.failure = self.failure or _reason(error)
            return False
        self._promised = len(data)
        return True


def _reason(error: ssl.SSLError) -> str:
    """What went wrong, without what a client may do about it."""
    return explain(error).partition(":")[0]
