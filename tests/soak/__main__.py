"""Soak two rooms of one mode, a plain one and one with TLS: ``scripts/soak --seconds 600 --mode threads``.

Talkers and listeners share each room with stallers, floods, pastes, resets, half-closes and worse, all on 127.0.0.1.
One verdict line says how it went; the exit status is 0 for PASS, 1 for FAIL, 130 for Ctrl-C.

One member, the founder, is inside from the first line to the last. What it reads is the transcript of the room: each
sender's lines must be whole and numbered without a gap, each count must be exact. Everybody else who reads is a
witness: it must see the very same lines, its own as ``[You]``, from where it entered to where it left. So must the
console. No echo takes much longer than those of a third room, where nobody is but one who says line after line. At the
end the server's descriptors and threads are what they were before, its memory stayed within a bound.
"""

import argparse
import asyncio
import random
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

import psutil

from tests.rooms import Certificates, Room
from tests.soak.guest import Link
from tests.soak.scene import MIB, Scene
from tests.soak.visits import MAX_LAG, VISITS
from tests.soak.witness import Tally


async def beat(quiet: Room, scene: Scene) -> None:
    """Say line after line in a quiet room, and note how long the slowest took, the pause before it included."""
    link = Link(quiet.port, None)
    with link.sock:
        await link.connect()
        await link.receive()
        last = time.monotonic()
        while not scene.stop.is_set():
            await scene.pause(0.02)
            await link.send(b"beat\n")
            await link.receive()
            now = time.monotonic()
            scene.tally.beat = max(scene.tally.beat, now - last)
            last = now


async def soak(scenes: list[Scene], quiet: Room, seconds: float, seed: int) -> None:
    """Open the rooms, let all kinds of guests come for so long, close the rooms."""
    for scene in scenes:
        await scene.open()
    async with asyncio.TaskGroup() as group:
        group.create_task(beat(quiet, scenes[0]))
        for scene in scenes:
            group.create_task(scene.watch())
            for kind, (number, pause) in VISITS.items():
                for slot in range(number):
                    group.create_task(scene.visit(kind, pause, slot, seed))
        end = time.monotonic() + seconds
        while time.monotonic() < end and not scenes[0].stop.is_set():
            await scenes[0].pause(min(end - time.monotonic(), 10))
            if sys.stderr.isatty():
                print(verdict(*scenes), file=sys.stderr)
        scenes[0].stop.set()
    await asyncio.gather(*(scene.close() for scene in scenes))
    scenes[0].tally.judge()


def options() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="soak", description="Soak a plain room and one with TLS.")
    parser.add_argument("--seconds", metavar="N", type=float, default=60.0, help="how long guests come (60)")
    parser.add_argument("--mode", choices=["select", "threads"], default="select", help="of the servers (select)")
    parser.add_argument("--seed", metavar="S", type=int, default=random.randrange(10**6), help="of a run to repeat")
    return parser.parse_args()


def start(name: str, arguments: argparse.Namespace, directory: Path, tally: Tally, stop: asyncio.Event) -> Scene:
    """Start a server, with TLS if its name says so."""
    directory /= name
    directory.mkdir()
    flags = ["--max-lag", str(MAX_LAG), "--rate", "200", "--burst", "400"]
    certificates = Certificates(directory) if name == "TLS" else None
    return Scene(name, Room(arguments.mode, *flags, certificates=certificates), tally, stop)


def verdict(*scenes: Scene) -> str:
    """All of it so far, in one line."""
    tally = scenes[0].tally
    memory = ", ".join(f"{(scene.peak - scene.base) / MIB:+.0f} MB {scene.name}" for scene in scenes)
    descriptors, threads = (max(scene.grown[which] for scene in scenes) for which in (0, 1))
    return (
        f"{'FAIL' if tally.reasons else 'PASS'}, {tally.lines} lines, {tally.deliveries} deliveries checked, "
        + "".join(f"{tally.faults[kind]} {kind}, " for kind in ("lost", "out of order", "wrong counts"))
        + (f"{tally.faults['other']} other faults, " if tally.faults["other"] else "")
        + f"{tally.visits} visits ({tally.resets} resets, {tally.cut} cut), slowest echo {tally.slowest:.2f} s "
        f"(quiet room {tally.beat:.2f} s), memory {memory}, descriptors {descriptors:+}, threads {threads:+}"
    )


def interrupt(number: int, frame: object) -> None:
    """End as by Ctrl-C."""
    print(f"soak: ended by {signal.Signals(number).name}", file=sys.stderr)
    signal.raise_signal(signal.SIGINT)


def main() -> int:
    """Start the servers, soak them, say how it went; no server outlives this."""
    arguments = options()
    tally, stop, scenes = Tally(), asyncio.Event(), list[Scene]()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGALRM, interrupt)
    signal.alarm(int(arguments.seconds) + 150)  # whatever happens
    with tempfile.TemporaryDirectory(prefix="soak") as directory:
        try:
            for name in ("plain", "TLS"):
                scenes.append(start(name, arguments, Path(directory), tally, stop))
            asyncio.run(soak(scenes, Room(arguments.mode), arguments.seconds, arguments.seed))
        except KeyboardInterrupt:
            return 130
        except Exception as error:
            tally.fault("other", "".join(traceback.format_exception(error)))
        finally:
            for child in psutil.Process().children():
                child.kill()
                child.wait()
    found = verdict(*scenes) if scenes else "FAIL, nothing was started"
    print(f"soak {arguments.mode} {arguments.seconds:g} s: {found}, seed {arguments.seed}")
    for reason in tally.reasons[:10]:
        print(f"soak: {reason}", file=sys.stderr)
    return 1 if tally.reasons else 0


if __name__ == "__main__":
    sys.exit(main())
