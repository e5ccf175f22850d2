"""The command line of the bot: options in, calls out."""

from typing import TYPE_CHECKING, Any

import click

from chatctl.cli.layout import Command, option
from chatctl.cli.options import Number, Rate, Time, address, name, nick, way_in

if TYPE_CHECKING:
    from ssl import SSLContext

_FILE = click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True)

_EXAMPLE = (  # a script
    "users 2 within 60",
    r"on /New user (\S+) entered/ send Welcome, {1}!",
    "send Hello, I am bot {bot}.",
    "expect /hello|hi/i within 30",
    "send Nice to meet you, {name}.",
)


def _explain(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    """Print how scripts are written, and end."""
    if not wanted or ctx.resilient_parsing:
        return
    from chatctl.bot.reader import FIELDS
    from chatctl.bot.script import STEPS

    patterns = [
        ("plain words", "Just these characters."),
        ('"plain words"', r"The same, with blanks at the ends; \" and \\ and \t are a quote, a backslash, a tab."),
        ("/expression/", "A regular expression as in Python; /expression/i ignores case."),
    ]
    fields = [
        ("{0}, {1}, {word}", "A match of the expression: all of it, or a group by its number or name."),
        *((f"{{{name}}}", f"{meaning[0].upper()}{meaning[1:]}.") for name, meaning in FIELDS.items()),
        ("{{", "A brace."),
    ]
    page = ctx.make_formatter()
    page.write_text("A script has one step a line. A line that begins with # is a comment.")
    for heading, rows in (
        ("Steps", STEPS.values()),
        ("PATTERN: what a line is searched for, as the room shows it", patterns),
        ("TEXT: up to the end of the line, or in quotes; it can have", fields),
    ):
        with page.section(heading):
            page.write_dl(rows, col_max=24)
    with page.section("Example"):
        page.write("".join(f"  {line}\n" for line in _EXAMPLE))
    click.echo(page.getvalue(), nl=False)
    ctx.exit()


@click.command(
    "bot",
    cls=Command,
    examples=[
        "chatctl bot chat.example.org 9999 -m 'The backup is done.'",
        "tail -f server.log | chatctl bot chat.example.org:9999 --quiet",
        "chatctl bot localhost 9999 --script example:greeter",
    ],
    statuses={
        0: "done, and every line was echoed",
        1: "no connection, it was lost or refused, or a file cannot be used",
        2: "wrong usage, a file that cannot be read, or a script with errors",
        3: "something that the script expects, or an echo, did not come",
        4: "wrong password, or none was given",
        124: "not done within --timeout",
        130: "Ctrl-C",
    },
)
@address("HOST PORT [FILE]", file=_FILE)
@nick
@option("-m", "messages", metavar="TEXT", multiple=True, help="Say TEXT instead of a file; repeatable.")
@option(
    "--script",
    metavar="FILE",
    type=click.Path(),
    help="Play the script in FILE; - is stdin; example:smoke comes with chatctl, example: lists what does.",
)
@option(
    "--help-script",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_explain,
    help="Show how scripts are written, and exit.",
)
@option("--check", is_flag=True, help="Show how the script is understood, or its errors, without a server.")
@option("-q", "--quiet", "form", flag_value="quiet", help="Do not show the room.")
@option("--json", "form", flag_value="json", help="Show what each bot sees as JSON, one object a line.")
@way_in
@option(
    "--repeat",
    group="Pace",
    type=Number("1", "999999999"),
    default=1,
    show_default=True,
    help="How many times to do it all.",
)
@option(
    "--rate",
    group="Pace",
    type=Rate("0.001"),
    help="Say at most this many lines a second.  [default: no limit]",
)
@option("--wait-for-echo", group="Pace", is_flag=True, help="Say a line only when the one before has come back.")
@option(
    "--timeout",
    group="Pace",
    type=Time("1ms", "999999999"),
    help="Give up after this long.  [default: never]",
)
@option(
    "--reconnect",
    group="Pace",
    is_flag=True,
    help="Connect again, after 1 to 60 s, when the connection fails or is lost, and go on.",
)
@option(
    "--bots",
    group="Several bots",
    type=Number("1", "100000"),
    default=1,
    show_default=True,
    help="Number of bots.",
)
@option(
    "--stagger",
    group="Several bots",
    type=Time("0", "999999999"),
    default="0",
    show_default=True,
    help="Time between the start of one bot and the next.",
)
def command(
    host: str | None,
    port: int | None,
    check: bool,
    form: str | None,
    tls: "SSLContext | None",
    password: bytes | None,
    **options: Any,
) -> None:
    """Say lines in a room, or play a script in it.

    HOST is a name or an address; HOST:PORT works too. --check needs neither.

    The lines are those of FILE, or of stdin as they come; one that begins with / is said, not obeyed as a command. The
    bot leaves when each line has come back, and shows meanwhile what the first bot sees of the room.

    TIME is a number of seconds, or 500ms, 5s, 2m, 1h.
    """
    _check_usage(host, check, options)
    from chatctl.bot import runner
    from chatctl.bot.crowd import Run
    from chatctl.peer.connection import Target

    wanted = Run(**{**options, "file": options["file"] or "-"}, form=form or "text")
    if check:
        runner.check(wanted)
    else:
        assert host is not None
        assert port is not None
        runner.run(Target(host, port, tls), password, wanted)


def _check_usage(host: str | None, check: bool, options: dict[str, Any]) -> None:
    if options["messages"] and options["file"]:
        raise click.UsageError("give either FILE or -m TEXT, not both")
    if options["script"] is not None and (options["messages"] or options["file"]):
        raise click.UsageError("give either --script FILE or lines to say, not both")
    if check and options["script"] is None:
        raise click.UsageError("--check needs --script FILE")
    if host is None and not check:
        raise click.UsageError("host and port are missing: write HOST PORT or HOST:PORT")
    if options["nick"] and options["bots"] > 1:
        name(f"{options['nick']}-{options['bots']}")
