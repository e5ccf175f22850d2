"""The command line of the bench: options in, calls out."""

import sys
from typing import TYPE_CHECKING, Any

import click

from chatctl.cli.layout import Command, option
from chatctl.cli.options import Number, Rate, Size, Time, address, way_in
from chatctl.errors import ChatctlError, OutputError

if TYPE_CHECKING:
    import ssl


def _sizes(text: str) -> tuple[int, ...]:
    """Numbers of members, with commas between them."""
    try:
        sizes = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not a list of numbers, such as 10,100,1000.") from error
    if sizes[0] < 2 or sizes[-1] > 100_000:
        raise click.BadParameter("each number must be from 2 to 100000.")
    return sizes


@click.command(
    "bench",
    cls=Command,
    examples=[
        "chatctl bench                                  # threads against select",
        "chatctl bench --members 500 --pattern line --runs 3",
        "chatctl bench 127.0.0.1 9999                   # a server that runs already",
    ],
    statuses={
        0: "done",
        1: "no connection; or lines were lost, doubled or out of order",
        2: "wrong usage",
        4: "wrong password, or none was given",
        130: "Ctrl-C, after showing what was measured so far",
    },
)
@address("[HOST PORT]")
@option(
    "--mode",
    "modes",
    multiple=True,
    type=click.Choice(["select", "threads"]),
    help="Measure this mode; repeatable.  [default: both]",
)
@option(
    "--members",
    metavar="NUMBERS",
    type=_sizes,
    default="10,100,1000",
    show_default=True,
    help="Members in the room; each number is measured by itself.",
)
@option(
    "--runs",
    type=Number("1"),
    default=5,
    show_default=True,
    help="Runs of each measurement; the table has their medians.",
)
@option(
    "--seconds",
    type=Time("50ms", "1h"),
    default="3s",
    show_default=True,
    help="Length of a run, after a warm-up of a fifth of that.",
)
@option("--yes", is_flag=True, help="Load a server on another machine. Ask whoever runs it first.")
@way_in
@option(
    "--pattern",
    group="Load",
    type=click.Choice(["burst", "line", "steady", "storm", "lazy"]),
    default="burst",
    show_default=True,
    help="burst: talk as fast as they hear; line: one line at a time; steady: at --rate; storm: all join at once and "
    "say nothing; lazy: burst, while a tenth of the members read slowly.",
)
@option(
    "--dialect",
    group="Load",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How the members are told of the room: in plain lines, or in JSON, as the client and the page are.",
)
@option(
    "--talkers",
    group="Load",
    type=Number("1"),
    default=10,
    show_default=True,
    help="Members who talk; at least one only listens.",
)
@option(
    "--rate",
    group="Load",
    type=Rate("0.1", "1000000"),
    default="200",
    show_default=True,
    help="Lines a second of all talkers together, with --pattern steady.",
)
@option(
    "--size",
    group="Load",
    type=Size("32", "4KiB"),
    default="64",
    show_default=True,
    help="Length of a line.",
)
@option(
    "--json",
    group="Output",
    metavar="FILE",
    help="Write all figures of all runs to FILE; - is stdout, and no table.",
)
@option("--plot", group="Output", metavar="FILE", help="Draw the results to FILE (SVG); needs chatctl[plot].")
def command(
    host: str | None,
    port: int | None,
    yes: bool,
    json: str | None,
    plot: str | None,
    tls: "ssl.SSLContext | None",
    password: bytes | None,
    **options: Any,
) -> None:
    """Measure what a server can carry.

    Without HOST and PORT, a server of each mode is started on this machine, and they are compared. HOST:PORT works
    too; a server that runs already is best started with --rate 0.

    The table has, for each mode and number of members: deliveries a second (a line that reaches a member is one) and
    how much the runs differ; the time from sent to received; the server's CPU for a delivery, its memory for a
    member, its threads; the time for all to join; lines lost, doubled and out of order; and members cut off.
    """
    if host is not None and options["modes"]:
        raise click.UsageError("--mode is for servers that the bench starts: leave it out, or leave HOST and PORT out")
    if host is None and (tls or click.get_current_context().params["password_file"] is not None):
        raise click.UsageError("--tls and --password-file are for a server that runs already: give HOST and PORT")
    from chatctl import output
    from chatctl.bench import report, runner
    from chatctl.peer.claim import Claim
    from chatctl.peer.connection import Target
    from chatctl.peer.stay import Stay

    address = target = None
    if host is not None and port is not None:
        if not yes and not runner.is_loopback(host):
            raise click.UsageError(f"{host} is not this machine: give --yes if its owner agrees to the load")
        address = runner.resolve(host, port)
        target = Target(host, port, tls)
    options["modes"] = options["modes"] or (("",) if address else ("select", "threads"))
    plan = runner.Plan(**options, address=address)
    for path in (None if json == "-" else json, plot):
        if path is not None:
            report.touch(path)
    if plot is not None:
        from chatctl.bench.plot import draw

    def enter() -> Stay:
        claim = Claim(place=False) if plan.dialect == "json" else None
        return Stay(password, target=target, claim=claim)

    runs: list[runner.Figures] = []
    failure: BaseException | None = None
    try:
        with runner.ended_by_signals(), click.progressbar(length=len(plan), label="measuring", file=sys.stderr) as bar:
            for figures in runner.measure(plan, enter):
                runs.append(figures)
                bar.update(1)
    except (ChatctlError, KeyboardInterrupt) as error:  # what was measured so far is shown all the same
        failure = error
    found = report.rows(runs)
    if found:
        text = f"{report.table(found)}\n{report.words(found, plan)}"
        if json == "-":
            text = report.as_json(plan, runs)
        elif json is not None:
            report.save(json, report.as_json(plan, runs))
        if plot is not None:
            draw(plot, plan, found)
        try:
            output.show(text)
        except BrokenPipeError:
            failure = failure or OutputError("nobody reads the output")
    if failure:
        raise failure
    if any(row.wrong for row in found):
        sys.exit(1)
