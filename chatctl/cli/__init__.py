"""The Click group, with one module for each command: options in, calls out.

A command imports what it runs inside its body: ``--help`` is quick.
"""

import contextlib
import os

import click

from chatctl import __version__
from chatctl.cli import bench, bot, cert, client, server
from chatctl.errors import ChatctlError


class _Group(click.Group):
    """Turns the project's errors into one line on stderr and their exit status."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ChatctlError as error:
            with contextlib.suppress(OSError):  # the terminal is gone
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
    an input that cannot be read, or a script that is not one; 3 an echo is missing, or something that a script expects;
    4 the room has another password; 124 the time is over; 130 Ctrl-C in client, bot and bench.
    """


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script that completes chatctl's commands and options in SHELL.

    \b
    Have the shell read it when it starts (bash 4.4 or later):
      echo 'eval "$(chatctl completion bash)"' >> ~/.bashrc
      echo 'eval "$(chatctl completion zsh)"' >> ~/.zshrc
      mkdir -p ~/.config/fish/completions
      chatctl completion fish > ~/.config/fish/completions/chatctl.fish
    """  # noqa: D301
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found
    script = found(cli, {}, "chatctl", "_CHATCTL_COMPLETE").source()
    if shell == "zsh":  # a fresh one has no compdef; the first line stays, which zsh looks for in the files of fpath
        script = script.replace("\n", "\n(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }\n", 1)
    click.echo(script)


for module in (server, client, bot, bench, cert):
    cli.add_command(module.command)
