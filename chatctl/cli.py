"""The Click group: options in, calls out. A command imports what it runs inside its body: ``--help`` is quick."""

import os
from typing import TYPE_CHECKING, Any

import click

from chatctl import __version__
from chatctl.errors import ChatctlError
from chatctl.options import Number, network, place, way_in

if TYPE_CHECKING:
    from ssl import SSLContext


class _Group(click.Group):
    """Turns the project's errors into one line on stderr and their exit status."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ChatctlError as error:
            click.echo(f"chatctl {ctx.invoked_subcommand}: {error}", err=True)
            ctx.exit(error.status)
        except BaseException as error:
            if not _was_interrupted(error):
                raise
            if os.isatty(2):
                click.echo(err=True)  # the shell's prompt does not follow ^C on its line
            ctx.exit(130)


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether this is Ctrl-C, or what became of one that came in the middle of `threading`'s own bookkeeping."""
    while error and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="chatctl %(version)s")
def cli() -> None:
    """Group chat in terminals over TCP, in plain text or under TLS.

    One runs the room (chatctl server 0.0.0.0 9999), everybody else enters it (chatctl client HOST 9999, or nc HOST
    9999).

    Exit status: 0 done; 1 no connection, it was refused, or an address, a file or an output cannot be used; 2 usage, or
    an input that cannot be read; 3 an echo is missing; 4 the room has another password; 130 Ctrl-C in client and bot.
    """


@cli.command()
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
def server(ip: str | None, port: int | None, mode: str, verbose: bool, quiet: bool, **options: Any) -> None:
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

    from chatctl.server import serve
    from chatctl.server.limits import Limits

    limits = Limits(**{field.name: options.pop(field.name) for field in fields(Limits)})
    serve(ip, port, mode, limits, **options, verbosity=verbose - quiet)


@cli.command()
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
@way_in
def client(ip: str, port: int, **options: Any) -> None:
    """Enter the room at IP (an address or a host name) and PORT.

    On a terminal there is a line to edit, with history and completion; /help lists the keys. Ctrl-D on an empty line
    leaves, Ctrl-C there leaves at once (exit status 130).

    In a pipe, with --plain or where TERM is dumb, lines of stdin are said in the room and lines of the room appear on
    stdout as they are; the end of stdin leaves once everything said has come back.

    For a room that needs a password, the client asks at its terminal if it is given none.
    """
    from chatctl.client import run

    run(ip, port, **options)


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script that completes chatctl's commands and options in SHELL.

    Have it read when the shell starts: eval "$(chatctl completion bash)" in ~/.bashrc, the same with zsh in ~/.zshrc;
    chatctl completion fish > ~/.config/fish/completions/chatctl.fish
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found
    click.echo(found(cli, {}, "chatctl", "_CHATCTL_COMPLETE").source())


@cli.command()
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
def bot(
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
