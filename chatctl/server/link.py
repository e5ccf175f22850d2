"""A member's connection."""

import contextlib
import socket
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

from chatctl.keepalive import keep_alive
from chatctl.layers import Layer
from chatctl.room.log import Log
from chatctl.room.stages import FINISHED, Member
from chatctl.server.channel import Channel
from chatctl.wire import Address

if TYPE_CHECKING:
    from chatctl.server.web import Caller

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER, on, no time: close() resets and the kernel frees what was not sent

_LEFTOVERS = 64  # reads, of 64 KiB, of what a peer that does not close had still sent

PATIENCE = 120
"""Seconds after which a dead peer is given up."""


class Link(Member):
    """A member with a socket.

    The socket is a blocking one without a timeout in both modes: what must not wait says MSG_DONTWAIT. Bytes are
    received and sent through ``channel``: that is the socket, or what stands before it: ``layered``, if it has layers.

    ``caller``: a browser that has asked for nothing yet. ``eof``: the peer has closed its end, nothing more will be
    read. ``shut``: we have closed ours, nothing more will be sent. ``watched``: what the selector watches it for.
    """

    __slots__ = ("caller", "channel", "eof", "layered", "shut", "sock", "watched")

    def __init__(
        self,
        log: Log,
        address: Address,
        sock: socket.socket,
        layers: Sequence[Layer],
        caller: "Caller | None" = None,
    ) -> None:
        super().__init__(log, address)
        self.caller = caller
        self.sock = sock
        self.layered = Channel(sock, layers) if layers else None
        self.channel: socket.socket | Channel = self.layered or sock
        self.eof = False
        self.shut = False
        self.watched = 0

    def last_words(self) -> bool:
        """Whether a layer itself has something to send, when all else is sent: that this is the end, once it is."""
        if self.layered is None:
            return False
        if self.stage is FINISHED and not self.unwritten:
            self.layered.close()
        return self.layered.pending

    @property
    def was_reset(self) -> bool:
        """Whether the connection was reset, even when another thread has been told of that already."""
        try:
            self.sock.getpeername()  # it has no peer then
        except OSError:
            return True
        return False

    def watch_over(self) -> None:
        """Have the kernel send at once, and find out about a dead peer."""
        keep_alive(self.sock, PATIENCE)

    def close(self) -> None:
        """Close the socket, which nobody uses any more.

        A link that got all it was owed is closed so that the kernel goes on to deliver it: what was not read is read
        away first. The others are reset, so that the kernel gives up too.
        """
        with contextlib.suppress(OSError):
            if not self.shut:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            elif not self.eof:
                for _ in range(_LEFTOVERS):
                    if not self.sock.recv(65536, socket.MSG_DONTWAIT):
                        break
        self.sock.close()
