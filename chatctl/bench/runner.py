"""The schedule of a bench: every mode and size in turn, over and over, so that a machine that drifts favours none."""

import contextlib
import ipaddress
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType

from chatctl.bench.account import percentiles
from chatctl.bench.host import Process, listening, serve
from chatctl.bench.load import PATTERNS, Load
from chatctl.descriptors import need
from chatctl.errors import NetworkError, unreachable
from chatctl.peer.connection import PATIENCE
from chatctl.peer.stay import Stay

WARM_UP = 0.2
"""Part of the seconds of a run that are talked before it, and not measured."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be measured.

    Attributes:
        modes: of the server.
        members: numbers of them.
        talkers: of them, at most.
        size: bytes of a line.
        seconds: of talking in a run.
        pattern: of it, a word of `load.PATTERNS`.
        rate: lines a second, in ``steady``.
        runs: of each mode with each number of members.
        address: of a server that runs already; its mode is not known.
        dialect: that the members speak: ``text`` or ``json``.
    """

    modes: Sequence[str]
    members: Sequence[int]
    talkers: int
    size: int
    seconds: float
    pattern: str
    rate: float
    runs: int
    address: tuple[str, int] | None = None
    dialect: str = "text"

    def __len__(self) -> int:
        return len(self.modes) * len(self.members) * self.runs


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What one run has shown.

    Attributes:
        mode: of the server.
        members: how many.
        deliveries_per_s: lines that came to anybody.
        p50, p99, p999: milliseconds from sent to received.
        cpu_us_per_delivery: of the server; None: not known, or less than the system's clock can tell.
        kib_per_member: of its memory; likewise.
        threads: of the server; likewise.
        join_s: seconds until all were members.
        server_share: of one core, that the server used; None: not known.
        load_share: of one core, that the load used.
        lost, doubled, disordered: lines, over all members.
        cut: members whose connection ended.
    """

    mode: str
    members: int
    deliveries_per_s: float
    p50: float
    p99: float
    p999: float
    cpu_us_per_delivery: float | None
    kib_per_member: float | None
    threads: int | None
    join_s: float
    server_share: float | None
    load_share: float
    lost: int
    doubled: int
    disordered: int
    cut: int


def resolve(host: str, port: int) -> tuple[str, int]:
    """The address of a server that answers. Raises `NetworkError`."""
    try:
        with socket.create_connection((host, port), PATIENCE) as sock:
            address: tuple[str, int] = sock.getpeername()[:2]
            with contextlib.suppress(OSError):  # under TLS, whoever only looks in is sent away
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(4096):  # it is out of the room before anybody else comes
                    pass
            return address
    except (OSError, UnicodeError) as error:
        raise unreachable(host, port, error) from error


def is_loopback(host: str) -> bool:
    """Whether all that a host name means is this machine. Raises `NetworkError`."""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError) as error:
        raise NetworkError(f"cannot find {host}: {getattr(error, 'strerror', None) or error}") from error
    addresses = [ipaddress.ip_address(address.partition("%")[0]) for address in found]
    return all((getattr(address, "ipv4_mapped", None) or address).is_loopback for address in addresses)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Have SIGTERM and SIGHUP end a bench like Ctrl-C, with what was measured and no server left."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = [(number, signal.signal(number, interrupt)) for number in (signal.SIGTERM, signal.SIGHUP)]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def measure(plan: Plan, enter: Callable[[], Stay]) -> Iterator[Figures]:
    """The figures of each run, as they come.

    Args:
        plan: what is to be measured.
        enter: makes each member's stay.

    Raises:
        NetworkError: not all members were let in.
        PasswordError: the room has another password.
        ResourceError: a server does not start.
    """
    need(max(plan.members), "members")
    for _ in range(plan.runs):
        for members in plan.members:
            for mode in plan.modes:
                if plan.address:
                    process = listening(plan.address) if is_loopback(plan.address[0]) else Process(None)
                    yield _run(plan, enter, mode, members, plan.address, process)
                else:
                    with serve(mode, members) as (address, process):
                        yield _run(plan, enter, mode, members, address, process)


def _run(
    plan: Plan, enter: Callable[[], Stay], mode: str, members: int, address: tuple[str, int], process: Process
) -> Figures:
    pattern = PATTERNS[plan.pattern]
    with Load(address, enter, members, plan.talkers, plan.size, pattern, plan.rate, plan.dialect) as load:
        empty = process.usage()
        began = time.process_time()
        joined = load.join()
        before = process.usage()
        seen = joined
        start = empty
        if not pattern.storm:
            load.talk(plan.seconds * WARM_UP)
            start, began = process.usage(), time.process_time()
            seen = load.talk(plan.seconds)
        load_cpu = time.process_time() - began
        end = process.usage()
    p50, p99, p999 = (1000 * seconds for seconds in percentiles(seen.latencies, 0.5, 0.99, 0.999))
    cpu = end.cpu - start.cpu if start and end else 0.0
    return Figures(
        mode=mode,
        members=members,
        deliveries_per_s=seen.deliveries / seen.seconds,
        p50=p50,
        p99=p99,
        p999=p999,
        cpu_us_per_delivery=cpu / seen.deliveries * 1e6 if cpu and seen.deliveries else None,
        kib_per_member=(before.memory - empty.memory) / 1024 / members if before and empty else None,
        threads=before.threads if before else None,
        join_s=joined.seconds,
        server_share=cpu / seen.seconds if cpu else None,
        load_share=load_cpu / seen.seconds,
        lost=seen.lost + joined.lost,
        doubled=seen.doubled + joined.doubled,
        disordered=seen.disordered,
        cut=seen.cut,
    )
