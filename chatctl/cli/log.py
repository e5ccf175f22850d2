"""The command line that prints what is stored: options in, calls out."""

import re
from typing import Any

import click

from chatctl.cli.layout import Command, option
from chatctl.cli.options import Time


class _Since(click.ParamType):  # type: ignore[type-arg]  # in older versions it takes none
    """A time of day, or how long ago; seconds since 1970."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        import time
        from datetime import datetime

        try:
            return max(datetime.fromisoformat(str(value)).timestamp(), 0.0)
        except (ValueError, OverflowError, OSError):
            pass
        try:
            return max(time.time() - Time("0").convert(value, param, ctx), 0.0)
        except click.BadParameter:
            self.fail(
                f"{value!r} is no time: write 2h for two hours ago, or 2026-11-23, or 2026-11-23T08:00.", param, ctx
            )


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise click.BadParameter(f"{text!r} is no regular expression: {error}.") from error


@click.command(
    "log",
    cls=Command,
    examples=["chatctl log room --since 2h", "chatctl log room --json --grep deploy | jq -r .text"],
    statuses={0: "done", 1: "there is no store, or it or stdout cannot be used", 2: "wrong usage"},
)
@click.argument("directory", metavar="DIR")
@option("--json", "as_json", is_flag=True, help="Print the lines as they are stored: JSON, one event a line.")
@option("--since", metavar="TIME", type=_Since(), help="Print nothing older: 2h (ago), or 2026-11-23T08:00.")
@option("--grep", "pattern", metavar="PATTERN", type=_pattern, help="Print only lines that match (Python's re).")
def command(directory: str, as_json: bool, since: float | None, pattern: re.Pattern[str] | None) -> None:
    """Print what was said in a room that is stored.

    DIR is what the server was given as --store. It may run meanwhile: what has been said by now is printed.
    """
    import contextlib
    from pathlib import Path

    from chatctl.server import printing

    with contextlib.suppress(BrokenPipeError):  # nobody reads on: ``| head -1``
        printing.show(Path(directory), since=since or 0.0, pattern=pattern, as_json=as_json)
