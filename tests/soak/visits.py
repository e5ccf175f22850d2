"""The kinds of guests: those who behave and those who do not."""

import asyncio
import contextlib
import math
import random
import socket
import time
from collections.abc import Awaitable, Callable

from tests.soak.guest import LIMIT, Guest

MAX_LAG = 512 * 1024  # of the servers
UNREAD = 4 * 1024 * 1024  # what the kernel may hold, beyond that, for a member that does not read

HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + random.Random(1).randbytes(506)  # how TLS begins


async def talker(guest: Guest) -> None:
    """Says a line now and then."""
    await guest.enter()
    until = time.monotonic() + (guest.life or math.inf)
    while time.monotonic() < until and not guest.scene.stop.is_set():
        guest.witness.asked.append(time.monotonic())
        await guest.say(1)
        await guest.scene.pause(min(guest.dice.expovariate(6), 1.0))
    await guest.leave()


async def listener(guest: Guest) -> None:
    """Says nothing."""
    await guest.enter()
    await guest.scene.pause(guest.life)
    await guest.leave()


async def staller(guest: Guest) -> None:
    """Reads nothing until it is cut."""
    guest.link.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    await guest.enter(deaf=True)
    transcript, scene = guest.scene.transcript, guest.scene
    await scene.until(lambda: guest.link.name in transcript.present)
    size = transcript.size
    while guest.link.name in transcript.present and not scene.stop.is_set():
        await scene.pause(0.1)
        if transcript.size - size > MAX_LAG + UNREAD:
            raise TimeoutError("does not read and is not cut")
    scene.tally.cut += guest.link.name not in transcript.present


async def burst(guest: Guest, block: Callable[[], bytes]) -> None:
    """Send many blocks at once, and read what comes of it, or do not."""
    deaf = guest.dice.random() < 0.5
    await guest.enter(deaf=deaf)
    with contextlib.suppress(*[OSError] * deaf):  # it may be cut, or not be read any more
        async with asyncio.timeout(5 if deaf else LIMIT):
            for _ in range(guest.dice.randint(1, 30)):
                await guest.send(block())
    if deaf:
        guest.link.reset_when_closed()  # it may be in the middle of a line
    else:
        await guest.leave()


async def flood(guest: Guest) -> None:
    """Says much at once."""
    await burst(guest, lambda: guest.compose(20))


async def commander(guest: Guest) -> None:
    """Asks much at once."""
    await burst(guest, lambda: b"/who\n/help\n/nothing\n" * 10)


async def paster(guest: Guest) -> None:
    """Says 500 lines at once: all are echoed, sooner or later."""
    await guest.enter()
    await guest.say(500)
    await guest.leave()


async def half_closer(guest: Guest) -> None:
    """Says something, the last line perhaps without a newline, and half-closes."""
    await guest.enter()
    await guest.send(guest.compose(guest.dice.randint(1, 20))[: guest.dice.choice((-1, None))])
    await guest.link.half_close()
    await guest.end()


async def dribbler(guest: Guest) -> None:
    """Sends single bytes."""
    await guest.enter()
    for byte in guest.compose(guest.dice.randint(1, 3), choice=50):
        await guest.send(bytes([byte]))
        await guest.scene.pause(guest.dice.uniform(0, 0.02))
    await guest.leave()


async def resetter(guest: Guest) -> None:
    """Resets the link before, in or after its first words; with TLS also in the handshake."""
    if guest.dice.random() < 0.5:
        await guest.link.connect()
        await guest.send((HELLO if guest.scene.room.context else b"half a line")[: guest.dice.randint(0, len(HELLO))])
    else:
        await guest.enter(deaf=guest.dice.random() < 0.5)
        await guest.send(guest.compose(guest.dice.randint(0, 9)) + b"half a line")
    if guest.dice.random() < 0.7:
        await guest.scene.pause(guest.dice.uniform(0, 1))
    guest.link.reset_when_closed()
    guest.scene.tally.resets += 1


async def overlong(guest: Guest) -> None:
    """Sends a line that is too long, and is told."""
    await guest.enter()
    await guest.send(b"x" * guest.dice.randint(4097, 200_000) + b"\n" + guest.compose(3))
    await guest.leave()
    if not any(b"too long" in answer for answer in guest.witness.answers):
        raise ConnectionError(f"not told: {guest.witness.answers}")


async def garbler(guest: Guest) -> None:
    """Sends garbage, and reads nothing."""
    guest.scene.transcript.garblers.add(guest.link.name)
    await guest.enter(deaf=True)
    with contextlib.suppress(OSError):  # it may be taken for something that is refused
        for _ in range(guest.dice.randint(1, 20)):
            await guest.send(guest.dice.randbytes(guest.dice.randint(1, 3000)).replace(b"/", b"\n"))
            await guest.scene.pause(0.05)
        await guest.link.half_close()
        await guest.scene.pause(0.2)


async def browser(guest: Guest) -> None:
    """Sends an HTTP request, and is sent away."""
    await guest.enter()
    await guest.send(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nhello\r\n")
    await guest.end()
    if not guest.witness.answers:
        raise ConnectionError("not told why")


async def stranger(guest: Guest) -> None:
    """Speaks TLS where there is none, or none where there is, and is sent away."""
    await guest.link.connect()
    await guest.send(b"hello?\n" if guest.scene.room.context else HELLO)
    async with asyncio.timeout(LIMIT):
        while await guest.link.receive():
            pass


async def silent(guest: Guest) -> None:
    """Connects and does nothing: with TLS not even the handshake."""
    await guest.link.connect()
    await guest.scene.pause(guest.dice.uniform(0, 15))


VISITS: dict[Callable[[Guest], Awaitable[None]], tuple[int, float]] = {  # how many at a time, seconds in between
    talker: (6, 1),
    listener: (4, 1),
    staller: (3, 1),
    flood: (2, 4),
    commander: (2, 4),
    paster: (2, 4),
    half_closer: (3, 1),
    dribbler: (2, 1),
    resetter: (4, 1),
    overlong: (1, 3),
    garbler: (2, 3),
    browser: (1, 2),
    stranger: (1, 2),
    silent: (3, 1),
}
