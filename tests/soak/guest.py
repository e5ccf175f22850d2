"""A guest of a soak: its connection, what it says, what it has to see."""

import asyncio
import random
import socket
import ssl
import struct
import zlib
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Self

from chatctl.layers.tls import TLS
from tests.soak.witness import Witness, show

if TYPE_CHECKING:
    from tests.soak.scene import Scene

LIMIT = 30.0  # seconds after which something that should have happened is a fault

WORDS = ["chat ", "room ", "7", "\t", "안녕", "하세요 ", "ㅎㅎ", "é", "שלום", "🙂", "👩‍💻", "🇰🇷", "//", "[You] ", "! "]
DICE = random.Random(1)
TEXTS = sorted(("".join(DICE.choices(WORDS, k=DICE.randint(1, 160))).encode() for _ in range(999)), key=len)


class Link:
    """A connection to be made, with TLS if there is a context for it. Its name is what the server will call it."""

    used: ClassVar[deque[int]] = deque(maxlen=2000)  # ports of late: while a name is talked of it must not come back

    def __init__(self, port: int, context: ssl.SSLContext | None) -> None:
        while True:
            self.sock = socket.socket()
            self.sock.setblocking(False)
            self.sock.bind(("127.0.0.1", 0))
            local = self.sock.getsockname()[1]
            if local not in self.used:
                break
            self.sock.close()
        self.used.append(local)
        self.name = b"127.0.0.1:%d" % local
        self._port = port
        self._context = context
        self._layer: TLS | None = None
        self._early = b""  # came with the end of the handshake
        self._sending = asyncio.Lock()
        self._loop = asyncio.get_running_loop()

    async def connect(self) -> None:
        """Connect, without a handshake."""
        await self._loop.sock_connect(self.sock, ("127.0.0.1", self._port))

    async def handshake(self) -> None:
        """Begin TLS, if that is what the room speaks."""
        if self._context:
            self._layer = TLS(self._context, host="127.0.0.1")
            self._layer.start()
            while not self._layer.established:
                self._early += await self._step(self._layer)
            await self.send(b"")

    async def send(self, data: bytes) -> None:
        """Send everything, before the handshake as it is; nothing: what TLS has to say."""
        async with self._sending:
            if raw := self._layer.send(data) if self._layer else data:
                await self._loop.sock_sendall(self.sock, raw)

    async def receive(self) -> bytes:
        """Receive something; nothing at an orderly end."""
        if not self._layer:
            return await self._loop.sock_recv(self.sock, 65536)
        data, self._early = self._early, b""
        while not data and not self._layer.ended:
            data = await self._step(self._layer)
        return data

    async def _step(self, layer: TLS) -> bytes:
        await self.send(b"")
        data = await self._loop.sock_recv(self.sock, 65536)
        if not data:
            raise ConnectionResetError("cut off without close_notify")
        return layer.receive(data)

    async def half_close(self) -> None:
        """Say that nothing more will be sent."""
        if self._layer:
            self._layer.close()
            await self.send(b"")
        else:
            self.sock.shutdown(socket.SHUT_WR)

    def reset_when_closed(self) -> None:
        """Have the server get ECONNRESET in the end."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Guest:
    """Somebody who visits a room: a link, numbered lines to say, and a witness if it reads. Leave the context to go."""

    def __init__(self, scene: "Scene", dice: random.Random, *, resident: bool = False) -> None:
        self.scene = scene
        self.dice = dice
        self.life = None if resident else dice.uniform(3, 20)  # seconds that it may stay; None: to the end
        self.link = Link(scene.room.port, scene.room.context)
        self.witness = Witness(self.link.name, scene.transcript)
        self.said = 0
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.witness.ended = True
        if self._reader:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        self.link.sock.close()

    @property
    def present(self) -> bool:
        """Whether it still reads."""
        return self._reader is not None and not self._reader.done()

    async def enter(self, *, deaf: bool = False) -> None:
        """Connect, and read from now on unless deaf."""
        if not deaf:
            self.scene.transcript.witnesses[self.link.name] = self.witness
        async with asyncio.timeout(LIMIT):
            await self.link.connect()
            await self.link.handshake()
        if not deaf:
            self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while data := await self.link.receive():
            self.witness.feed(data)
        if self.witness.partial:
            raise ConnectionError(f"it ended in the middle of a line: {show(self.witness.partial)}")

    def compose(self, number: int, choice: int = len(TEXTS)) -> bytes:
        """Some new lines, of the shortest texts if there is little choice."""
        lines = []
        for text in self.dice.choices(TEXTS[:choice], k=number):
            lines.append(b"%d %08x %b\n" % (self.said, zlib.crc32(text, self.said), text))
            self.said += 1
        return b"".join(lines)

    async def send(self, data: bytes) -> None:
        """Send something to a server that has not ended the connection."""
        if self._reader and self._reader.done():
            self._reader.result()
            raise ConnectionError(f"the server ended it: {self.witness.answers}")
        async with asyncio.timeout(LIMIT):
            await self.link.send(data)

    async def say(self, number: int) -> None:
        """Say some new lines."""
        await self.send(self.compose(number))

    async def leave(self) -> None:
        """Go in good order, one way or the other."""
        quits = self.dice.random() < 0.5
        await self.send(b"/quit\n" if quits else b"")
        if not quits:
            await self.link.half_close()
        await self.end()
        if quits and b"! bye" not in self.witness.answers:
            raise ConnectionError(f"the end came without a bye: {self.witness.answers}")

    async def end(self) -> None:
        """Read to the end, before which all echoes must have come."""
        assert self._reader
        async with asyncio.timeout(LIMIT):
            await self._reader
        if self.witness.echoed != self.said:
            self.scene.tally.fault("lost", f"{self.witness.echoed} of {self.said} echoes for {show(self.link.name)}")
        self.witness.complete = True
