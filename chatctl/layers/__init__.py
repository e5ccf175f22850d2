"""What a connection's bytes pass between the wire and the socket."""

from typing import Protocol


class Layer(Protocol):
    """Bytes in one form on the socket's side and in another one on ours; it does no I/O.

    Attributes:
        begun: the peer has sent something that this layer understands.
        established: the two sides agree; before that nothing can be sent through it.
        ended: the peer has closed its side in good order; nothing comes after what was received last.
        closed: so has this side.
        error: why nothing more can be received or sent, once what came before that was returned.
    """

    begun: bool
    established: bool
    ended: bool
    closed: bool
    error: OSError | None

    @property
    def identity(self) -> str:
        """Who the peer has proved to be; empty: it has proved nothing, or not yet."""

    @property
    def pending(self) -> bool:
        """Whether the layer itself has something to send: ``send(b"")`` returns it."""

    def receive(self, data: bytes) -> bytes:
        """Take what came from the socket's side, return what that comes to. An `OSError`: the layer cannot go on."""

    def send(self, data: bytes | memoryview) -> bytes:
        """Return what is to be sent on the socket's side. An `OSError`: the layer cannot go on."""

    def close(self) -> None:
        """Have it said that nothing more will be sent. Closing twice does nothing."""

    def explain(self, error: OSError) -> str:
        """What went wrong, in words."""
