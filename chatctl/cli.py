"""The Click group: options in, calls out. A command imports what it runs inside its body: ``--help`` is quick."""

import math
import os
from typing import Any

import click

from chatctl import __version__
from chatctl.errors import ChatctlError


class _Group(click.Group):
    """Turns the project's errors into one line on stderr and their exit status."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ChatctlError as error:
            click.echo(f"chatctl {ctx.invoked_subcommand}: {error}", err=True)
            ctx.exit(error.status)
        except KeyboardInterrupt:
            if os.isatty(2):
                click.echo(err=True)  # the shell's prompt does not follow ^C on its line
            ctx.exit(130)


class _Rate(click.FloatRange):
    """A number of times a second, which NaN is not."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        rate: float = super().convert(value, param, ctx)
        if math.isnan(rate):
            self.fail(f"{value!r} is not a number of times a second.", param, ctx)
        return rate


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="chatctl %(version)s")
def cli() -> None:
    """Group chat in terminals over plain TCP.

    One runs the room (chatctl server 0.0.0.0 9999), everybody else enters it (chatctl client HOST 9999, or nc HOST
    9999).

    Exit status: 0 done; 1 no connection, or the server cannot have its address; 2 usage; 3 an echo is missing; 130
    Ctrl-C in client and bot.
    """


@cli.command()
@click.argument("ip")
@click.argument("port", type=click.IntRange(0, 65535))
@click.option(
    "--mode",
    type=click.Choice(["select", "threads"]),
    default="select",
    show_default=True,
    help="One thread for all members, or one for each. Both behave the same.",
)
@click.option(
    "--max-line",
    metavar="BYTES",
    type=click.IntRange(64, 65536),
    default=4096,
    show_default=True,
    help="Longest line a member may send; a longer one is not sent, and the member is told.",
)
@click.option(
    "--max-lag",
    metavar="BYTES",
    type=click.IntRange(65536, 1 << 30),
    default=4 * 1024 * 1024,
    show_default=True,
    help="How far a member that reads too slowly may fall behind before it is cut; the room keeps as much in memory.",
)
@click.option(
    "--max-users",
    metavar="NUMBER",
    type=click.IntRange(1),
    help="Members at a time; the next one is refused.  [default: 10000, or what the descriptor limit allows]",
)
@click.option("-v", "--verbose", is_flag=True, help="Also say on stderr who was refused and why members went.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing on stderr but errors.")
def server(
    ip: str, port: int, mode: str, max_line: int, max_lag: int, max_users: int | None, verbose: bool, quiet: bool
) -> None:
    """Run a room on IP (an address or a host name) and PORT (0 picks a free one).

    The room's lines appear on stdout. Ctrl-C or SIGTERM ends the room: everybody is told and gets what was said before.
    """
    from chatctl.server import serve

    serve(ip, port, mode, max_line=max_line, max_lag=max_lag, max_users=max_users, verbosity=verbose - quiet)


@cli.command()
@click.argument("ip")
@click.argument("port", type=click.IntRange(1, 65535))
def client(ip: str, port: int) -> None:
    """Enter the room at IP (an address or a host name) and PORT.

    Lines of stdin are said in the room, lines of the room appear on stdout; /help lists what else there is. Ctrl-D (the
    end of stdin) leaves once everything said has come back, Ctrl-C at once (exit status 130).
    """
    from chatctl.client import plain

    plain.run(ip, port)


@cli.command()
@click.argument("ip")
@click.argument("port", type=click.IntRange(1, 65535))
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True))
@click.option("-m", "messages", metavar="TEXT", multiple=True, help="Say TEXT instead of a file; repeatable.")
@click.option(
    "--rate",
    metavar="LINES_PER_SECOND",
    type=_Rate(0.001),
    help="Say no more lines a second than this.  [default: no limit]",
)
@click.option(
    "--repeat", metavar="NUMBER", type=click.IntRange(1), default=1, show_default=True, help="Say all of it this often."
)
@click.option("--wait-for-echo", is_flag=True, help="Say a line only when the one before has come back.")
def bot(
    ip: str,
    port: int,
    file: str | None,
    messages: tuple[str, ...],
    rate: float | None,
    repeat: int,
    wait_for_echo: bool,
) -> None:
    """Say the lines of FILE, or of stdin, in the room at IP and PORT, and leave.

    A line that begins with / is said, not obeyed. Exit status 0 means that the server has echoed every line; 3 that
    some are missing; 1 that the connection failed.
    """
    from chatctl.bot import runner

    if messages and file:
        raise click.UsageError("give either FILE or -m TEXT, not both")
    runner.run(ip, port, file=file or "-", messages=messages, rate=rate, repeat=repeat, wait_for_echo=wait_for_echo)
