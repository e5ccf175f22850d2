"""The command line of the server: options in, calls out."""

import os
from typing import Any

import click

from chatctl.cli.layout import Command, option
from chatctl.cli.options import Number, Rate, Size, Time, address, network, place


@click.command(
    "server",
    cls=Command,
    examples=[
        "chatctl server 127.0.0.1                       # for this machine alone",
        "chatctl server 0.0.0.0 9999 --tls-cert cert.pem --tls-key key.pem",
    ],
    statuses={
        0: "ended by Ctrl-C, SIGTERM or /shutdown",
        1: "the address, a file or stdout cannot be used",
        2: "wrong usage",
    },
)
@address("[HOST [PORT]]", default=9999, least=0)
@option(
    "--password-file",
    metavar="FILE",
    help="Let in only members who know the password: the first line of FILE.",
)
@option("--transcript", metavar="FILE", help="Append the room's lines to FILE, with the time.")
@option("-v", "--verbose", is_flag=True, help="Also say how to join, who was refused and why members left.")
@option("-q", "--quiet", is_flag=True, help="Log nothing but errors.")
@option(
    "--tls-cert",
    group="TLS",
    metavar="FILE",
    help="Speak TLS, with the certificate in FILE (PEM); chatctl cert makes one.",
)
@option("--tls-key", group="TLS", metavar="FILE", help="Its private key, if that is not in the same file.")
@option(
    "--tls-client-ca",
    group="TLS",
    metavar="FILE",
    help="Let in only members with a certificate from an authority in FILE (PEM).",
)
@option(
    "--greet-delay",
    group="Names",
    type=Time("0", "60"),
    default="50ms",
    show_default=True,
    help="How long a newcomer may take to send /nick NAME before it is greeted and announced.",
)
@option(
    "--hide-addresses",
    group="Names",
    is_flag=True,
    help="Show members the addresses only of those who have no name. The operator sees all.",
)
@option(
    "--history",
    metavar="LINES",
    type=Number("0"),
    default=200,
    show_default=True,
    help="Lines that the room keeps in memory for /history and /search, 1 MiB of them at most; 0 means none.",
)
@option(
    "--store",
    metavar="DIR",
    help="Keep what is said, places and bans in DIR, so that the room goes on after a restart; chatctl log prints it.",
)
@option(
    "--store-size",
    type=Size("1MiB", "1024GiB"),
    default="64MiB",
    show_default=True,
    help="How much of it to keep; the oldest goes first.",
)
@option(
    "--store-days",
    metavar="DAYS",
    type=Number("0"),
    default=0,
    show_default=True,
    help="Keep it for so many days; 0 means until --store-size is reached.",
)
@option(
    "--web",
    group="Web",
    metavar="HOST:PORT",
    type=place,
    help="Let browsers in at this address, too; needs chatctl[web].",
)
@option(
    "--web-host",
    "web_hosts",
    group="Web",
    metavar="NAME",
    multiple=True,
    help="A name of this server by which browsers may ask for the page, besides its addresses; repeatable.",
)
@option(
    "--web-proxy",
    "web_proxies",
    group="Web",
    metavar="NETWORK",
    multiple=True,
    type=network,
    help="Believe who comes from this address or network for whom it asks (X-Forwarded-For); repeatable.",
)
@option(
    "--grace",
    type=Time("0", "86400"),
    default="60",
    show_default=True,
    help="How long to wait for a client that has lost its connection before the others are told that it left.",
)
@option(
    "--max-users",
    group="Limits",
    type=Number("1"),
    help="People at a time; the next one is refused, unless somebody whose connection is lost can give way.  [default: "
    "10000, or as many as the descriptor limit allows]",
)
@option(
    "--max-per-ip",
    group="Limits",
    type=Number("0"),
    default=0,
    show_default=True,
    help="People at a time from one address; 0 means no limit.",
)
@option(
    "--rate",
    group="Limits",
    type=Rate("0"),
    default="100",
    show_default=True,
    help="Lines a second from one member after its burst; what comes faster waits and is not lost. A line counts once "
    "for every 256 bytes. 0 means no limit.",
)
@option(
    "--burst",
    group="Limits",
    type=Number("1"),
    default=2000,
    show_default=True,
    help="Lines that a member may send at once before --rate applies.",
)
@option(
    "--idle-timeout",
    group="Limits",
    type=Time("0"),
    default="0",
    show_default=True,
    help="Disconnect who sends nothing for this long; 0 means never.",
)
@option(
    "--max-line",
    group="Limits",
    type=Size("64", "64KiB"),
    default="4KiB",
    show_default=True,
    help="Longest line; a longer one is not sent, and its sender is told.",
)
@option(
    "--max-lag",
    group="Limits",
    type=Size("64KiB", "1GiB"),
    default="4MiB",
    show_default=True,
    help="Disconnect who reads so slowly that this much waits for it. The room keeps as much in memory.",
)
@option(
    "--allow",
    group="Limits",
    metavar="NETWORK",
    multiple=True,
    type=network,
    help="Let in only who comes from this address or network, such as 192.0.2.0/24 or 2001:db8::/32; repeatable.",
)
@option(
    "--deny",
    group="Limits",
    metavar="NETWORK",
    multiple=True,
    type=network,
    help="Refuse who comes from this address or network, even if allowed; repeatable.",
)
@option(
    "--mode",
    group="Operation",
    type=click.Choice(["select", "threads"]),
    default="select",
    show_default=True,
    help="Serve all members with one thread, or each with its own. Both behave the same.",
)
@option(
    "--metrics",
    group="Operation",
    metavar="HOST:PORT",
    type=place,
    help="Serve counters for Prometheus over HTTP; needs chatctl[metrics].",
)
def command(host: str | None, port: int | None, mode: str, verbose: bool, quiet: bool, **options: Any) -> None:
    """Run a chat room.

    HOST is the address to listen on: 127.0.0.1 for this machine alone, 0.0.0.0 or :: for every network it is in. PORT
    is 9999 unless you give one; 0 picks a free one. HOST:PORT works too. Under a systemd socket unit leave both out.

    The room's lines appear on stdout, problems on stderr. What you type is announced to all; /help lists the commands
    you have. Ctrl-C or SIGTERM ends the room: everybody is told, and gets what was said before. SIGHUP opens the
    transcript anew and reloads the certificates (at a terminal it ends the room), SIGUSR1 prints counters.

    A connection that is dead, or takes nothing for two minutes, is given up.

    SIZE is a number of bytes, or 64k, 4MiB, 1g (k is KiB, 1024 bytes); TIME one of seconds, or 5s, 2m, 1h.
    """
    if host is None and "LISTEN_FDS" not in os.environ:
        raise click.UsageError("the host is missing: 127.0.0.1 is for this machine alone, 0.0.0.0 for all others too")
    if options["tls_cert"] is None and (options["tls_key"] or options["tls_client_ca"]):
        raise click.UsageError("--tls-key and --tls-client-ca need --tls-cert FILE")
    from dataclasses import fields

    from chatctl.room.limits import Limits
    from chatctl.server import Pages, serve
    from chatctl.server.store import Bounds

    bounds = Bounds(options.pop("store_size"), options.pop("store_days"))
    web, names, proxies = (options.pop(name) for name in ("web", "web_hosts", "web_proxies"))
    if not web and (names or proxies):
        raise click.UsageError("--web-host and --web-proxy need --web HOST:PORT")
    pages = Pages(web, names, proxies) if web else None
    limits = Limits(**{field.name: options.pop(field.name) for field in fields(Limits)})
    serve(host, port, mode, limits, **options, bounds=bounds, pages=pages, verbosity=verbose - quiet)
