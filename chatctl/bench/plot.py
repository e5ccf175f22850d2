"""A picture of a bench: deliveries and latency against members, a line per mode, legible in print."""

from collections.abc import Sequence

from chatctl.bench.report import Row, machine
from chatctl.bench.runner import Plan
from chatctl.errors import ResourceError, installing

try:
    from matplotlib import rcParams
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter
except ImportError as error:
    raise ResourceError(f"--plot needs the package matplotlib: {installing('plot')}") from error

_LOOKS = [("#0b5394", "o", "-"), ("#b45f06", "s", "--"), ("#38761d", "^", ":")]  # told apart without colours too


def draw(path: str, plan: Plan, found: Sequence[Row]) -> None:
    """Write an SVG.

    Args:
        path: of the file.
        plan: of the bench.
        found: its rows.

    Raises:
        ResourceError: it cannot be written.
    """
    rcParams["svg.hashsalt"] = "chatctl"  # the same figures make the same file
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    speed, latency = figure.subplots(1, 2)
    for (color, marker, style), mode in zip(_LOOKS, dict.fromkeys(row.mode for row in found), strict=False):
        line = [row for row in found if row.mode == mode]
        members = [row.members for row in line]
        look = {"color": color, "marker": marker, "linestyle": style, "label": mode}
        bars = [row.spread * row.deliveries_per_s / 1e6 for row in line]
        speed.errorbar(members, [row.deliveries_per_s / 1e6 for row in line], yerr=bars, capsize=3, **look)
        latency.plot(members, [row.p99 for row in line], **look)
    for axes, title, unit in ((speed, "Deliveries", "million a second"), (latency, "Latency, p99", "milliseconds")):
        axes.set_title(title)
        axes.set_ylabel(unit)
        axes.set_xlabel("members")
        axes.set_xscale("log")
        axes.set_xticks(sorted({row.members for row in found}))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        if any(plan.modes):
            axes.legend()
    figure.suptitle(f"chatctl bench, pattern {plan.pattern}, lines of {plan.size} bytes: {machine()}", fontsize=9)
    try:
        figure.savefig(path, format="svg", metadata={"Date": None})
    except OSError as error:
        raise ResourceError(f"cannot write {path}: {error.strerror}") from error
