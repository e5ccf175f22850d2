"""The command line of the bot: options in, calls out."""

from typing import TYPE_CHECKING, Any

import click

from chatctl.cli.options import Number, way_in

if TYPE_CHECKING:
    from ssl import SSLContext

_FILE = click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True)


@click.command("bot")
@click.argument("ip", required=False)
@click.argument("port", type=click.IntRange(1, 65535), required=False)
@click.argument("file", required=False, type=_FILE)
@click.option("-m", "messages", metavar="TEXT", multiple=True, help="Say TEXT instead of a file; repeatable.")
@click.option(
    "--script",
    metavar="FILE",
    type=click.Path(),
    help="Do what FILE says, see below; - is stdin; example:smoke is one that comes with chatctl, example: lists them.",
)
@click.option("--check", is_flag=True, help="Only read the script, and print how it was understood; no IP, no PORT.")
@click.option(
    "--bots", metavar="NUMBER", type=click.IntRange(1, 100_000), default=1, show_default=True, help="So many do it."
)
@click.option(
    "--stagger",
    metavar="SECONDS",
    type=Number(0, 999_999_999),
    default=0.0,
    show_default=True,
    help="From the start of one bot to that of the next.",
)
@click.option(
    "--rate",
    metavar="LINES_PER_SECOND",
    type=Number(0.001),
    help="Say no more lines a second than this.  [default: no limit]",
)
@click.option(
    "--repeat",
    metavar="NUMBER",
    type=click.IntRange(1, 999_999_999),
    default=1,
    show_default=True,
    help="Do all of it this often.",
)
@click.option("--wait-for-echo", is_flag=True, help="Say a line only when the one before has come back.")
@click.option(
    "--reconnect",
    is_flag=True,
    help="Come back after 1 to 60 s when the connection is lost, or cannot be made; go on where it was.",
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=Number(0.001, 999_999_999),
    help="End all of it after so long.  [default: never]",
)
@click.option("--json", "form", flag_value="json", help="Show what every bot sees, as one JSON object a line.")
@click.option("-q", "--quiet", "form", flag_value="quiet", help="Show nothing of the room.")
@way_in
def command(
    ip: str | None,
    port: int | None,
    check: bool,
    form: str | None,
    tls: "SSLContext | None",
    password: bytes | None,
    **options: Any,
) -> None:
    """Say the lines of FILE, or of stdin, in the room at IP and PORT, and leave. Or play a script there.

    A line that begins with / is said, not obeyed. The room is shown as the first bot sees it. Exit status 0 means that
    all was done and the server has echoed every line.

    The steps of a script, one a line:

    \b
      send TEXT                say it
      command /WORD...         have the server obey it
      expect PATTERN           until a line comes that has it, behind the one
        [within SECONDS]         expected last; own PATTERN: in an own line
      users NUMBER             until so many are online
        [within SECONDS]
      wait SECONDS             do nothing
      stay [SECONDS]           let on and every do their work
      repeat NUMBER ... end    steps, so many times
      on PATTERN               from now on answer to others,
        [at most NUMBER          10 times in 10 s if nothing else is said
        in SECONDS]
        send TEXT
      every SECONDS send TEXT  from now on say it again and again
      quit                     leave at once
      # ...                    a comment

    PATTERN is /a regular expression/, plain words, or words in quotes; the line is searched as it is shown. TEXT can
    have {1} and {word}, the groups of the expression; {name} and {text} of the line found; {n}, which time it is;
    {time}, {users}, {me}, {bot}; {{ is a brace. docs/bot.md has all of it, with examples.

    Exit status: 0 done; 1 the connection failed; 2 usage, or the script is not one; 3 something expected or an echo is
    missing; 4 the room has another password, or none was given; 124 the time is over; 130 Ctrl-C.
    """  # noqa: D301
    _check_usage(ip, port, check, options)
    from chatctl.bot import runner
    from chatctl.bot.crowd import Run
    from chatctl.peer.stay import Target

    wanted = Run(**{**options, "file": options["file"] or "-"}, form=form or "text")
    if check:
        runner.check(wanted)
    else:
        assert ip is not None
        assert port is not None
        runner.run(Target(ip, port, tls), password, wanted)


def _check_usage(ip: str | None, port: int | None, check: bool, options: dict[str, Any]) -> None:
    if options["messages"] and options["file"]:
        raise click.UsageError("give either FILE or -m TEXT, not both")
    if options["script"] is not None and (options["messages"] or options["file"]):
        raise click.UsageError("give either --script FILE or lines to say, not both")
    if check and options["script"] is None:
        raise click.UsageError("--check needs --script FILE")
    if port is None and not check:
        raise click.UsageError(f"Missing argument '{'IP' if ip is None else 'PORT'}'.")
