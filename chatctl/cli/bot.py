"""The command line of the bot: options in, calls out."""

from typing import TYPE_CHECKING

import click

from chatctl.cli.options import Number, way_in

if TYPE_CHECKING:
    from ssl import SSLContext


@click.command("bot")
@click.argument("ip")
@click.argument("port", type=click.IntRange(1, 65535))
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True))
@click.option("-m", "messages", metavar="TEXT", multiple=True, help="Say TEXT instead of a file; repeatable.")
@click.option(
    "--rate",
    metavar="LINES_PER_SECOND",
    type=Number(0.001),
    help="Say no more lines a second than this.  [default: no limit]",
)
@click.option(
    "--repeat", metavar="NUMBER", type=click.IntRange(1), default=1, show_default=True, help="Say all of it this often."
)
@click.option("--wait-for-echo", is_flag=True, help="Say a line only when the one before has come back.")
@way_in
def command(
    ip: str,
    port: int,
    file: str | None,
    messages: tuple[str, ...],
    rate: float | None,
    repeat: int,
    wait_for_echo: bool,
    tls: "SSLContext | None",
    password: bytes | None,
) -> None:
    """Say the lines of FILE, or of stdin, in the room at IP and PORT, and leave.

    A line that begins with / is said, not obeyed. Exit status 0 means that the server has echoed every line; 3 that
    some are missing; 1 that the connection failed; 4 that the room has another password, or none was given.
    """
    from chatctl.bot import runner

    if messages and file:
        raise click.UsageError("give either FILE or -m TEXT, not both")
    runner.run(
        ip,
        port,
        file=file or "-",
        messages=messages,
        rate=rate,
        repeat=repeat,
        wait_for_echo=wait_for_echo,
        tls=tls,
        password=password,
    )
