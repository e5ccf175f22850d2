"""What a bench has shown: a table, a paragraph in words, JSON."""

import json
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from chatctl import __version__
from chatctl.bench.runner import Figures, Plan
from chatctl.errors import ResourceError

CLOSE = 0.05
"""Modes that differ by no more than this part are called equal: so much do runs of one mode scatter."""

BUSY = 0.9
"""The load was the bottleneck if it used more than this part of a core, and more than the server did."""


@dataclass(frozen=True)
class Row:
    """The runs of one mode with one number of members: the median of each figure.

    ``spread``: half of what lies between the slowest and the fastest run, as a part of the median.
    """

    mode: str
    members: int
    runs: int
    deliveries_per_s: float
    spread: float
    p50: float
    p99: float
    p999: float
    cpu_us_per_delivery: float | None
    kib_per_member: float | None
    threads: float | None
    join_s: float
    lost: int
    doubled: int
    disordered: int
    cut: int
    load_bound: bool

    @property
    def wrong(self) -> int:
        """Lines that were lost, doubled or out of order."""
        return self.lost + self.doubled + self.disordered


def rows(runs: Sequence[Figures]) -> list[Row]:
    """A row for each mode and number of members, in order."""
    groups: dict[tuple[int, str], list[Figures]] = {}
    for run in sorted(runs, key=lambda run: run.members):
        groups.setdefault((run.members, run.mode), []).append(run)
    return [_row(group) for group in groups.values()]


def _row(runs: Sequence[Figures]) -> Row:
    def median(figure: Callable[[Figures], float | None]) -> float | None:
        known = [value for value in map(figure, runs) if value is not None]
        return statistics.median(known) if known else None

    def middle(figure: Callable[[Figures], float]) -> float:
        return statistics.median(map(figure, runs))

    speeds = [run.deliveries_per_s for run in runs]
    speed = statistics.median(speeds)
    return Row(
        mode=runs[0].mode,
        members=runs[0].members,
        runs=len(runs),
        deliveries_per_s=speed,
        spread=(max(speeds) - min(speeds)) / 2 / speed if speed else 0.0,
        p50=middle(lambda run: run.p50),
        p99=middle(lambda run: run.p99),
        p999=middle(lambda run: run.p999),
        cpu_us_per_delivery=median(lambda run: run.cpu_us_per_delivery),
        kib_per_member=median(lambda run: run.kib_per_member),
        threads=median(lambda run: run.threads),
        join_s=middle(lambda run: run.join_s),
        lost=sum(run.lost for run in runs),
        doubled=sum(run.doubled for run in runs),
        disordered=sum(run.disordered for run in runs),
        cut=sum(run.cut for run in runs),
        load_bound=middle(lambda run: run.load_share) > BUSY
        and middle(lambda run: run.server_share or 0.0) < middle(lambda run: run.load_share) * BUSY,
    )


_COLUMNS: dict[str, Callable[[Row], str]] = {
    "members": lambda row: f"{row.members:,}",
    "mode": lambda row: row.mode,
    "deliveries/s": lambda row: f"{row.deliveries_per_s:,.0f}",
    "±": lambda row: f"{row.spread:.0%}" if row.runs > 1 else "-",
    "p50 ms": lambda row: f"{row.p50:.2f}",
    "p99 ms": lambda row: f"{row.p99:.2f}",
    "p99.9 ms": lambda row: f"{row.p999:.2f}",
    "CPU µs": lambda row: _known(row.cpu_us_per_delivery, ".3f"),
    "KiB/member": lambda row: _known(row.kib_per_member, ".1f"),
    "threads": lambda row: _known(row.threads, ",.0f"),
    "join s": lambda row: f"{row.join_s:.3f}",
    "lost": lambda row: f"{row.lost:,}",
    "doubled": lambda row: f"{row.doubled:,}",
    "disorder": lambda row: f"{row.disordered:,}",
    "cut": lambda row: f"{row.cut:,}",
}


def _known(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def table(found: Sequence[Row]) -> str:
    """The rows, aligned; beside the later modes the ratio of their deliveries to the first one's."""
    columns = dict(_COLUMNS)
    if not found[0].mode:
        del columns["mode"]
    if len({row.mode for row in found}) > 1:
        base = {row.members: row.deliveries_per_s for row in reversed(found) if row.mode == found[0].mode}
        columns["ratio"] = lambda row: (
            f"{row.deliveries_per_s / base[row.members]:.2f}" if base.get(row.members) else "-"
        )
    cells = [list(columns), *([cell(row) for cell in columns.values()] for row in found)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    left = [*columns, "mode"].index("mode")
    return "".join(
        "  ".join(
            text.ljust(width) if index == left else text.rjust(width)
            for index, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        + "\n"
        for line in cells
    )


def words(found: Sequence[Row], plan: Plan) -> str:
    """What the figures mean, in a few sentences."""
    said = [_comparison(found)] if len({row.mode for row in found}) > 1 else []
    for mode in dict.fromkeys(row.mode for row in found):
        most = max((row for row in found if row.mode == mode), key=lambda row: row.members)
        costs = [f"{_known(most.cpu_us_per_delivery, '.2f')} µs of CPU for a delivery"] * (
            most.cpu_us_per_delivery is not None
        )
        costs += [f"{_known(most.kib_per_member, '.1f')} KiB for a member"] * (most.kib_per_member is not None)
        if costs:
            said.append(f"With {most.members:,} members {mode or 'the server'} takes {' and '.join(costs)}.")
    if plan.pattern not in ("steady", "storm") and any(row.load_bound for row in found):
        said.append(
            "Warning: where the load used more CPU than the server, it was the bottleneck, and the server can do more: "
            + ", ".join(f"{row.mode} with {row.members:,}".strip() for row in found if row.load_bound)
            + "."
        )
    if wrong := sum(row.wrong for row in found):
        said.append(f"{wrong:,} lines were lost, doubled or out of order: that is an error of the server.")
    else:
        said.append("Nothing was lost, doubled or out of order.")
    if cut := sum(row.cut for row in found):
        said.append(f"{cut:,} members were cut by the server.")
    return f"{' '.join(said)} Pattern {plan.pattern}, lines of {plan.size} bytes, {machine()}.\n"


def _comparison(found: Sequence[Row]) -> str:
    """From how many members on which mode is ahead, and by how much."""
    parts: list[tuple[str, list[int], list[float]]] = []  # who is ahead, with how many members, by how much
    for members in dict.fromkeys(row.members for row in found):
        same = sorted((row for row in found if row.members == members), key=lambda row: -row.deliveries_per_s)
        if len(same) > 1:
            lead = same[0].deliveries_per_s / max(same[1].deliveries_per_s, 1e-9) - 1
            ahead = same[0].mode if lead > CLOSE else ""
            if not parts or parts[-1][0] != ahead:
                parts.append((ahead, [], []))
            parts[-1][1].append(members)
            parts[-1][2].append(lead)
    said = []
    for ahead, sizes, leads in parts:
        where = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
        by = f"{min(leads):.0%}" if len(leads) == 1 else f"{min(leads):.0%} to {max(leads):.0%}"
        said.append(f"with {where} members " + (f"{ahead} is ahead by {by}" if ahead else "the modes are equal"))
    text = "; ".join(said)
    return f"{text[:1].upper()}{text[1:]}."


def machine() -> str:
    """What it was measured on."""
    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{os.cpu_count()} x {name}, {platform.system()}, {python}"


def as_json(plan: Plan, runs: Sequence[Figures]) -> str:
    """All that is known."""
    content = {
        "version": __version__,
        "machine": machine(),
        "plan": asdict(plan),
        "runs": [asdict(run) for run in runs],
        "medians": [asdict(row) for row in rows(runs)],
    }
    return json.dumps(content, indent=1) + "\n"


def touch(path: str) -> None:
    """Make sure that a file can be written, before all the work. Raises `ResourceError`."""
    try:
        Path(path).open("a").close()
    except OSError as error:
        raise ResourceError(f"cannot write {path}: {error.strerror}") from error


def save(path: str, text: str) -> None:
    """Write a file. Raises `ResourceError`."""
    try:
        Path(path).write_text(text)
    except OSError as error:
        raise ResourceError(f"cannot write {path}: {error.strerror}") from error
