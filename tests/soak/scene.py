"""A room under load."""

import asyncio
import contextlib
import random
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable

import psutil

from tests.rooms import Room
from tests.soak.guest import LIMIT, Guest
from tests.soak.witness import Founder, Tally, Transcript, Witness, show

MIB = 1024 * 1024
MEMORY = {"plain": 64 * MIB, "TLS": 128 * MIB}  # by how much a server may grow
ENOUGH = 100  # faults after which the rest is not worth the time


class Scene:
    """A room under load: its server, what its founder has read, and what the server uses."""

    def __init__(self, name: str, room: Room, tally: Tally, stop: asyncio.Event) -> None:
        self.name = name
        self.room = room
        self.tally = tally
        self.stop = stop
        self.transcript = Transcript(tally)
        self.console = Witness(b"the console", self.transcript)
        self.console.at = self.console.welcomed = self.console.announced = 0
        self.base = self.peak = 0  # bytes of memory
        self.spare = (0, 0)  # descriptors and threads with nobody but the founder inside
        self.grown = (0, 0)  # by how much they were more in the end

    async def pause(self, seconds: float | None) -> None:
        """Wait so long, but not beyond the end of the soak."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stop.wait(), seconds)

    async def until(self, condition: Callable[[], bool]) -> bool:
        """Wait until something is true; False when it is so late that it is a fault, or nobody is there to see it."""
        end = time.monotonic() + LIMIT
        while not condition() and self.founder.present and time.monotonic() < end:
            await asyncio.sleep(0.05)
        return condition()

    def growth(self) -> tuple[int, int]:
        """By how much descriptors and threads of the server are more than with nobody but the founder inside."""
        descriptors, threads = self.room.resources()
        return descriptors - self.spare[0], threads - self.spare[1]

    def alone(self) -> bool:
        """Whether all but the founder have left."""
        return list(self.transcript.present) == [self.founder.link.name]

    async def open(self) -> None:
        """Let the founder enter, and some guests who warm the server up; note what it uses then."""
        self.founder = Guest(self, random.Random())
        self.founder.witness = Founder(self.founder.link.name, self.transcript)
        self.founder.witness.announced = 1
        self.transcript.present[self.founder.link.name] = 0
        await self.founder.enter()
        await self.until(lambda: len(self.room.console) == 2 and self.founder.witness.welcomed == 1)
        self.spare = self.room.resources()
        self.room.console.clear()  # it was started, the founder entered; the transcript begins behind that
        self.transcript.witnesses[b"the console"] = self.console
        for _ in range(5):
            async with Guest(self, random.Random(1)) as guest:
                await guest.enter()
                await guest.say(10)
                await guest.leave()
        await self.until(lambda: self.alone() and max(self.growth()) <= 0)
        self.base = self.peak = self.room.memory()

    async def visit(self, kind: Callable[[Guest], Awaitable[None]], pause: float, slot: int, seed: int) -> None:
        """Have one guest of a kind after the other."""
        dice = random.Random(f"{seed} {self.name} {kind.__name__} {slot}")
        while not self.stop.is_set():
            self.tally.visits += 1
            async with Guest(self, dice, resident=slot % 2 == 1) as guest:
                try:
                    await kind(guest)
                except OSError as error:
                    self.tally.fault("other", f"{self.name}: {kind.__name__} {show(guest.link.name)}: {error!r}")
            await self.pause(dice.uniform(0, 2 * pause))

    async def watch(self) -> None:
        """Once a second look at the server and at what was seen."""
        while not self.stop.is_set():
            await self.pause(1)
            self.look()
            if not self.founder.present or len(self.tally.reasons) > ENOUGH:
                self.stop.set()

    def look(self) -> None:
        """Sample the memory, read the console, compare what was seen."""
        with contextlib.suppress(psutil.Error):  # it has ended
            self.peak = max(self.peak, self.room.memory())
        lines = self.room.console[:]
        del self.room.console[: len(lines)]
        self.console.feed("".join(f"{line}\n" for line in lines).encode())
        self.console.blind |= any(b"skipped" in answer for answer in self.console.answers)
        self.transcript.sweep()

    async def close(self) -> None:
        """See that nobody and nothing is left, and end the server."""
        try:
            await self._close()
        except (OSError, AssertionError, subprocess.TimeoutExpired, psutil.Error) as error:
            self.tally.fault("other", f"{self.name}: {error!r}, stderr: {self.room.stderr[-300:]!r}")

    async def _close(self) -> None:
        founder = self.founder
        if not await self.until(self.alone):
            raise TimeoutError(f"still inside: {self.transcript.present}")
        await founder.send(b"/who\n")
        if not await self.until(lambda: b"! 1 user online" in founder.witness.answers):
            raise TimeoutError(f"/who: {founder.witness.answers}")
        clean = await self.until(lambda: max(self.growth()) <= 0)
        self.grown = self.growth()
        assert clean, f"{self.grown} descriptors and threads more"
        self.look()
        assert self.peak - self.base <= MEMORY[self.name], f"{self.peak - self.base} bytes of memory more"
        self.room.signal(signal.SIGTERM)
        await founder.end()
        assert b"! server shutting down" in founder.witness.answers, f"not told of the end: {founder.witness.answers}"
        status = await asyncio.to_thread(self.room.wait)
        assert status == 0, f"exit status {status}"
        self.room.stop()  # which looks at stderr
        self.look()
        self.console.until, self.console.complete = self.transcript.first + len(self.transcript.lines), True
        self.transcript.sweep(final=True)
