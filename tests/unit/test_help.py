"""What ``--help`` shows: whole, in order, and true."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from chatctl.cli import cli
from chatctl.cli.layout import Command

PAGES = ["--help", *(f"{name} --help" for name in cli.commands), "bot --help-script"]
EXAMPLES = [
    line
    for command in (cli, *cli.commands.values())
    if isinstance(command, Command)
    for line in command.examples
    if "chatctl " in line.partition("#")[0]
]


def page(arguments: str) -> str:
    """A page as a terminal of 80 columns shows it."""
    result = CliRunner(env={"COLUMNS": "80"}).invoke(cli, arguments.split(), prog_name="chatctl")
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def section(text: str, heading: str) -> str:
    """What stands below a heading."""
    found = re.search(rf"^{heading}:\n((?:  .*\n)+)", text, re.MULTILINE)
    assert found, heading
    return found[1]


@pytest.mark.parametrize("arguments", PAGES)
def test_a_page_fits(arguments: str) -> None:
    """Nothing is wider than 80 columns, and nothing is cut."""
    text = page(arguments)
    assert max(map(len, text.splitlines())) <= 80
    assert not [line for line in text.splitlines() if line.endswith("...") and not line.startswith("Usage:")]
    assert text.isascii()


def test_the_order_of_the_commands() -> None:
    """What one needs first comes first, each with the whole first sentence of its page."""
    listed = [line.split(maxsplit=1) for line in section(page("--help"), "Commands").splitlines()]
    names = [name for name, _ in listed]
    assert names[:4] == ["server", "client", "bot", "bench"]
    assert set(names) == set(cli.commands)
    for name, summary in listed:
        assert page(f"{name} --help").splitlines()[2] == f"  {summary}."


@pytest.mark.parametrize("name", cli.commands)
def test_what_a_page_has(name: str) -> None:
    """Examples come before the options, the everyday ones of these first, and --help is among them."""
    text = page(f"{name} --help")
    headings = re.findall(r"^(\S.*):$", text, re.MULTILINE)
    assert headings[:2] == ["Examples", "Options"]
    assert f"chatctl {name}" in section(text, "Examples")
    assert "--help" in section(text, "Options")


@pytest.mark.parametrize("name", ["server", "client", "bot", "bench"])
def test_exit_statuses_come_last(name: str) -> None:
    """Each page of a command that can fail ends with what its statuses mean."""
    text = page(f"{name} --help")
    assert text.endswith(section(text, "Exit status"))
    assert re.findall(r"^  (\d+)  ", text, re.MULTILINE)[:3] == ["0", "1", "2"]


@pytest.mark.parametrize("line", EXAMPLES)
def test_examples_are_command_lines(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An example is understood, where its files are there."""
    monkeypatch.chdir(tmp_path)
    words = re.split(r"eval \"\$\(|\)\"| > | *# ", line.split(" | ")[-1])
    name, *arguments = shlex.split(next(part for part in words if "chatctl" in part))[1:]
    for word in arguments:
        if word.endswith(".chat"):
            Path(word).touch()
    cli.commands[name].make_context(name, arguments)
