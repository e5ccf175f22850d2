"""The Click group, with one module for each command: options in, calls out.

A command imports what it runs inside its body: ``--help`` is quick.
"""

import contextlib
import os
import sys
from typing import Any, NoReturn

import click

from chatctl import __version__
from chatctl.cli import bench, bot, cert, client, layout, log, server
from chatctl.errors import ChatctlError


class _Group(layout.Group):
    """Turns errors into one line on stderr and their exit status."""

    def main(self, *arguments: Any, **options: Any) -> NoReturn:
        """Run a command line, and end with its status."""
        try:
            sys.exit(super().main(*arguments, **{**options, "standalone_mode": False}))
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(error.exit_code)
        except click.UsageError as error:
            path = error.ctx.command_path if error.ctx else "chatctl"
            message = " ".join(error.format_message().split()).removesuffix(".")
            with contextlib.suppress(OSError):  # the terminal is gone
                click.echo(f"{path}: {message[0].lower()}{message[1:]}\nTry '{path} --help'.", err=True)
            sys.exit(error.exit_code)
        except click.Abort:  # Ctrl-C while the command line was read
            sys.exit(130)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ChatctlError as error:
            with contextlib.suppress(OSError):
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


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    examples=[
        "chatctl server 0.0.0.0                         # run a room",
        "chatctl client chat.example.org                # join it",
        "nc chat.example.org 9999                       # join it without chatctl",
    ],
    statuses={
        0: "done",
        1: "no connection, or an address, a file or stdout cannot be used",
        2: "wrong usage, an input that cannot be read, or a script with errors",
        3: "a bot missed an echo, or something that its script expects",
        4: "wrong password",
        124: "a bot was not done in time",
        130: "Ctrl-C (the server ends with 0)",
    },
)
@click.version_option(__version__, message="chatctl %(version)s")
def cli() -> None:
    """Group chat in terminals over TCP, in plain text or under TLS.

    One machine runs the room. Everybody else joins it, with chatctl or with any program that opens a TCP connection.
    """


@click.command(
    cls=layout.Command,
    examples=[
        """echo 'eval "$(chatctl completion bash)"' >> ~/.bashrc    # 4.4 or later""",
        """echo 'eval "$(chatctl completion zsh)"' >> ~/.zshrc""",
        "mkdir -p ~/.config/fish/completions",
        "chatctl completion fish > ~/.config/fish/completions/chatctl.fish",
    ],
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script that completes commands and options."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found
    script = found(cli, {}, "chatctl", "_CHATCTL_COMPLETE").source()
    if shell == "zsh":  # a fresh one has no compdef; the first line stays, which zsh looks for in the files of fpath
        script = script.replace("\n", "\n(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }\n", 1)
    click.echo(script)


for command in (
    server.command,
    client.command,
    bot.command,
    log.command,
    bench.command,
    cert.command,
    completion,
):
    cli.add_command(command)
