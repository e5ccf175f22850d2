"""The command line of the server: options in, calls out."""

import os
from typing import Any

import click

from chatctl.cli.options import Number, network, place


@click.command("server")
@click.argument("ip", required=False)
@click.argument("port", type=click.IntRange(0, 65535), required=False)
@click.option(
    "--mode",
    type=click.Choice(["select", "threads"]),
    default="select",
    show_default=True,
    help="One thread for all members, or one for each. Both behave the same.",
)
@click.option("--tls-cert", metavar="FILE", help="Speak TLS, with the certificate in FILE (PEM).")
@click.option("--tls-key", metavar="FILE", help="Its private key, if that is not in the same file.")
@click.option(
    "--tls-client-ca",
    metavar="FILE",
    help="Let in only members with a certificate from one of the authorities in FILE (PEM).",
)
@click.option("--password-file", metavar="FILE", help="Let in only members whose first line is the first line of FILE.")
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
    help="Members at a time, those without the password yet included; the next is refused."
    "  [default: 10000, or what the descriptor limit allows]",
)
@click.option(
    "--max-per-ip",
    metavar="NUMBER",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="How many of them may come from one address; 0: no limit.",
)
@click.option(
    "--rate",
    metavar="LINES_PER_SECOND",
    type=Number(0),
    default=100.0,
    show_default=True,
    help="How fast a member is read after its burst: what it sends faster waits, and is not lost. A line counts once "
    "for each 256 bytes begun. 0: no limit.",
)
@click.option(
    "--burst",
    metavar="LINES",
    type=click.IntRange(1),
    default=2000,
    show_default=True,
    help="What a member may send at once before its rate matters.",
)
@click.option(
    "--idle-timeout",
    metavar="SECONDS",
    type=Number(0),
    default=0.0,
    show_default=True,
    help="End a member that sends nothing for so long; 0: never.",
)
@click.option(
    "--greet-delay",
    metavar="SECONDS",
    type=Number(0),
    default=0.05,
    show_default=True,
    help="How long a newcomer may take to say /nick NAME first, before it is greeted and announced; 0: no time.",
)
@click.option(
    "--hide-addresses", is_flag=True, help="Show members no addresses of those who have a name; the operator sees all."
)
@click.option(
    "--allow",
    metavar="CIDR",
    multiple=True,
    type=network,
    help="Let in only who comes from this network (192.0.2.0/24, 2001:db8::/32) or address; repeatable.",
)
@click.option(
    "--deny",
    metavar="CIDR",
    multiple=True,
    type=network,
    help="Let nobody in from this network or address, whatever is allowed; repeatable.",
)
@click.option(
    "--transcript", metavar="FILE", help="Append the room's lines to FILE, with the time; SIGHUP opens it anew."
)
@click.option(
    "--metrics",
    metavar="HOST:PORT",
    type=place,
    help="Serve counters for Prometheus over HTTP; needs chatctl[metrics].",
)
@click.option("-v", "--verbose", is_flag=True, help="Also say on stderr who was refused and why members went.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing on stderr but errors.")
def command(ip: str | None, port: int | None, mode: str, verbose: bool, quiet: bool, **options: Any) -> None:
    """Run a room on IP (an address or a host name) and PORT (0 picks a free one).

    Started by a systemd socket unit, it takes the sockets from there: leave out IP and PORT.

    The room's lines appear on stdout. What is typed at the terminal is announced to all; /help lists the operator's
    commands. Ctrl-C or SIGTERM ends the room: everybody is told and gets what was said before; a second one ends it at
    once. SIGUSR1 prints counters.
    SIGHUP opens the transcript anew and loads the certificates again; with a terminal, it ends the room.

    A connection that the other side has let die is found out within two minutes (TCP keepalive). One that takes nothing
    of what it is sent for two minutes is given up as well (TCP_USER_TIMEOUT).
    """
    if port is None and (ip is not None or "LISTEN_FDS" not in os.environ):
        raise click.UsageError(f"Missing argument '{'IP' if ip is None else 'PORT'}'.")
    if options["tls_cert"] is None and (options["tls_key"] or options["tls_client_ca"]):
        raise click.UsageError("--tls-key and --tls-client-ca need --tls-cert FILE")
    from dataclasses import fields

    from chatctl.room.limits import Limits
    from chatctl.server import serve

    limits = Limits(**{field.name: options.pop(field.name) for field in fields(Limits)})
    serve(ip, port, mode, limits, **options, verbosity=verbose - quiet)
