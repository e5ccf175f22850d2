"""The command line of the client: options in, calls out."""

from typing import TYPE_CHECKING, Any

import click

from chatctl.cli.layout import Command, option
from chatctl.cli.options import Number, address, nick, way_in

if TYPE_CHECKING:
    from ssl import SSLContext


@click.command(
    "client",
    cls=Command,
    examples=[
        "chatctl client chat.example.org",
        "chatctl client localhost:9000 --tls-ca cert.pem",
        "make 2>&1 | chatctl client localhost           # say what a program prints",
    ],
    statuses={
        0: "left",
        1: "no connection, it was lost or refused, or a file cannot be used",
        2: "wrong usage",
        4: "wrong password, or none was given",
        130: "Ctrl-C",
    },
)
@address("HOST [PORT]", default=9999, required=True)
@nick
@option(
    "--reconnect/--no-reconnect",
    default=True,
    show_default=True,
    help="On a terminal, connect again when the connection is lost: after 1 to 60 s.",
)
@option(
    "--history",
    metavar="LINES",
    type=Number("0", "200"),
    default=50,
    show_default=True,
    help="On a terminal, show so many lines first that were said before, if the room keeps them.",
)
@option("--wait", is_flag=True, help="Wait for a room that cannot be reached yet: connect again likewise.")
@option("--plain", is_flag=True, help="Do not edit or draw on the terminal; behave as in a pipe.")
@way_in
@option(
    "--color",
    group="Display",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Colour names and notices. auto: on a terminal, unless NO_COLOR is set.",
)
@option(
    "--timestamps/--no-timestamps",
    group="Display",
    default=None,
    help="Put the local time (HH:MM) before every line.  [default: on a terminal]",
)
@option(
    "--notices",
    group="Display",
    type=click.Choice(["all", "smart", "none"]),
    default="all",
    show_default=True,
    help="Who enters and leaves. smart: only who has spoken, and many at once as one line.",
)
@option(
    "--highlight",
    group="Display",
    metavar="WORD",
    multiple=True,
    help="Treat lines with WORD as a mention of you, like those with your address; repeatable.",
)
@option(
    "--bell",
    group="Display",
    type=click.Choice(["never", "mention", "always"]),
    default="mention",
    show_default=True,
    help="Which messages ring the terminal's bell.",
)
def command(host: str, port: int, tls: "SSLContext | None", password: bytes | None, **options: Any) -> None:
    """Join a room, from a terminal or in a pipe.

    HOST is a name or an address, PORT is 9999 unless you give one; HOST:PORT works too.

    On a terminal you edit a line, with history and completion; /help lists the keys. Ctrl-D on an empty line leaves,
    and so does Ctrl-C, twice. If the room needs a password, you are asked for it.

    In a pipe, lines of stdin are said and the room's lines appear on stdout. At the end of stdin, the client leaves
    when everything it said has come back.
    """
    from chatctl.client import run
    from chatctl.peer.connection import Target

    run(Target(host, port, tls), password, **options)
