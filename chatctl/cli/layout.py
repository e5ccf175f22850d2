"""How help looks: options in groups, examples before them, exit statuses last.

A command is declared with ``cls=Command``, its options with `option`, which takes the group in which they are listed::

    @click.command("client", cls=Command, examples=["chatctl client localhost"], statuses={0: "done"})
    @option("--plain", is_flag=True, help="...")                                    # among the everyday ones
    @option("--bell", group="Display", type=click.Choice(["never", "always"]), help="...")
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import click

EVERYDAY = "Options"
"""The first group: of options that name no other, and of click's own ``--help``."""


class Option(click.Option):
    """An option that knows the heading under which help lists it.

    Args:
        group: the heading, without its colon. Groups stand in the order of their first options.
    """

    def __init__(self, *arguments: Any, group: str = EVERYDAY, **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self.group = group


option = functools.partial(click.option, cls=Option)


class Command(click.Command):
    """A command whose help can be looked things up in.

    Args:
        examples: command lines, shown as they are.
        statuses: exit statuses and what they mean.
    """

    def __init__(
        self,
        *arguments: Any,
        examples: Sequence[str] = (),
        statuses: Mapping[int, str] | None = None,
        **attributes: Any,
    ) -> None:
        super().__init__(*arguments, **attributes)
        self.examples = examples
        self.statuses = statuses or {}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx  # click leaves it out when an option has no value
            raise

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write all of it."""
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                formatter.write("".join(f"  {line}\n" for line in self.examples))  # they are not wrapped
        self.format_options(ctx, formatter)
        _table(formatter, "Exit status", [(str(status), text) for status, text in self.statuses.items()])

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, group by group."""
        groups: dict[str, list[tuple[str, str]]] = {EVERYDAY: []}
        for parameter in self.get_params(ctx):
            if isinstance(parameter, click.Option) and (record := parameter.get_help_record(ctx)):
                groups.setdefault(getattr(parameter, "group", EVERYDAY), []).append(record)
        for heading, records in groups.items():
            _table(formatter, heading, records)


class Group(Command, click.Group):
    """A command with commands, which help lists first, in the order in which they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names."""
        return list(self.commands)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, each with its whole summary, then the options."""
        summaries = [(name, command.get_short_help_str(80).rstrip(".")) for name, command in self.commands.items()]
        _table(formatter, "Commands", summaries)
        super().format_options(ctx, formatter)


def _table(formatter: click.HelpFormatter, heading: str, rows: Sequence[tuple[str, str]]) -> None:
    if rows:
        with formatter.section(heading):
            formatter.write_dl(rows)
