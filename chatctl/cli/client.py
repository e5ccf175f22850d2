"""The command line of the client: options in, calls out."""

from typing import TYPE_CHECKING, Any

import click

from chatctl.cli.options import way_in

if TYPE_CHECKING:
    from ssl import SSLContext


@click.command("client")
@click.argument("ip")
@click.argument("port", type=click.IntRange(1, 65535))
@click.option("--plain", is_flag=True, help="Edit and draw nothing, as in a pipe.")
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Colours for names and notices; auto: on a terminal, unless the variable NO_COLOR is set.",
)
@click.option(
    "--timestamps/--no-timestamps",
    default=None,
    help="Put the local time (HH:MM) before every line.  [default: on a terminal]",
)
@click.option(
    "--notices",
    type=click.Choice(["all", "smart", "none"]),
    default="all",
    show_default=True,
    help="Who entered and left: everybody; only who spoke, with many at once in one line; nobody.",
)
@click.option(
    "--highlight",
    metavar="WORD",
    multiple=True,
    help="A message with WORD is a mention of you, like one with your address; repeatable.",
)
@click.option(
    "--bell",
    type=click.Choice(["never", "mention", "always"]),
    default="mention",
    show_default=True,
    help="When the terminal's bell rings: for no message, for mentions, for all.",
)
@click.option(
    "--reconnect/--no-reconnect",
    default=True,
    show_default=True,
    help="On a terminal, come back when the connection is lost: after 1 to 60 s.",
)
@click.option(
    "--wait", is_flag=True, help="When there is no server to begin with, try again in the same way until there is one."
)
@way_in
def command(ip: str, port: int, tls: "SSLContext | None", password: bytes | None, **options: Any) -> None:
    """Enter the room at IP (an address or a host name) and PORT.

    On a terminal there is a line to edit, with history and completion; /help lists the keys. Ctrl-D on an empty line
    leaves, Ctrl-C twice there leaves at once (exit status 130).

    In a pipe, with --plain or where TERM is dumb, lines of stdin are said in the room and lines of the room appear on
    stdout as they are; the end of stdin leaves once everything said has come back.

    For a room that needs a password, the client asks at its terminal if it is given none.
    """
    from chatctl.client import run
    from chatctl.peer.stay import Target

    run(Target(ip, port, tls), password, **options)
