"""Who may import what: the rules of the architecture, and a quick start."""

import ast
import importlib
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import click
import pytest

import chatctl
from chatctl.cli import server
from chatctl.server import MODES
from chatctl.server.base import Server
from chatctl.server.limits import Limits
from tests.rooms import environment

ROOT = Path(chatctl.__file__).parent
IO = {"socket", "selectors", "threading", "ssl", "time", "click"}
PURE = [
    "wire.py",
    "telnet.py",
    "client/connection.py",
    *(f"server/{name}.py" for name in ("broadcast", "commands", "counters", "deadlines", "door", "room", "roster")),
]
FOLDERS = {"server", "client", "bot", "bench"}
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))


def imported(module: str) -> set[str]:
    """The full names of everything a module imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / module).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("module", PURE)
def test_pure_modules_do_no_io(module: str) -> None:
    """The wire, the log and the room know no sockets, no threads and no clock."""
    assert not {name.split(".")[0] for name in imported(module)} & IO


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_downwards(module: str) -> None:
    """Commands' folders import what they share, never one another, but for the client's connection."""
    folder = module.split("/")[0]
    ours = {name.removeprefix("chatctl.") for name in imported(module) if name.startswith("chatctl.")}
    if folder in FOLDERS:
        others = {name for name in ours if name.split(".")[0] in FOLDERS - {folder}}
        lent = {
            "bot": ("client.connection.", "client.conversation.", "client.secure."),
            "bench": ("client.connection.",),
        }
        assert all(name.startswith(lent.get(folder, ())) for name in others)
        assert not any(name.startswith("cli.") for name in ours)
    elif folder != "cli" and module != "__main__.py":
        assert not {name.split(".")[0] for name in ours} & (FOLDERS | {"cli"})


@pytest.mark.parametrize("module", [module for module in MODULES if not module.startswith("cli/")])
def test_only_the_command_line_knows_click(module: str) -> None:
    """Everything else can be used without it."""
    assert "click" not in {name.split(".")[0] for name in imported(module)}


@pytest.mark.parametrize("module", MODULES)
def test_only_the_editor_knows_the_toolkit(module: str) -> None:
    """prompt_toolkit is behind the client's terminal, and nowhere else."""
    knows = "prompt_toolkit" in {name.split(".")[0] for name in imported(module)}
    assert knows == (module in ("client/editor.py", "client/graphemes.py", "client/history.py"))


def test_no_module_hides_one_of_the_standard_library() -> None:
    """A module is never named like one of Python's own."""
    assert not {Path(module).stem for module in MODULES} & sys.stdlib_module_names - {"__init__", "__main__"}


def modules(*arguments: str) -> set[str]:
    """What a run of Python loads."""
    run = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True, env=environment()
    )
    return {line.split("|")[-1].strip() for line in run.stderr.splitlines() if line.startswith("import time:")}


def test_the_filter_is_light() -> None:
    """In a pipe the client loads nothing of what its terminal needs."""
    loaded = {name.split(".")[0] for name in modules("-m", "chatctl", "client", "127.0.0.1", "1")}
    assert "socket" in loaded
    assert not loaded & {"asyncio", "prompt_toolkit", "wcwidth", "ssl"}


def test_help_imports_nothing_but_click() -> None:
    """``--help`` loads no module that ``import click`` does not, but for ours and what click loads to print it."""
    extra = modules("-m", "chatctl", "--help") - modules("-c", "import click, click.shell_completion")
    heavy = {
        "asyncio",
        "logging",
        "socket",
        "selectors",
        "ssl",
        "threading",
        "http",
        "email",
        "subprocess",
        "ipaddress",
    }
    assert not {name.split(".")[0] for name in extra} & heavy
    assert {name for name in extra if name.startswith("chatctl.")} == {
        "chatctl.cli",
        *(f"chatctl.cli.{name}" for name in ("bench", "bot", "client", "options", "server")),
        "chatctl.errors",
    }


def test_defaults_are_those_of_the_modules() -> None:
    """The command line repeats the defaults of the modules that it does not import."""
    defaults = server.command.make_context("server", ["127.0.0.1", "0"]).params
    for field in fields(Limits):
        assert defaults[field.name] == field.default, field.name


def test_choices_of_the_bench() -> None:
    """Its command line offers just what its modules know, which it does not import."""
    from chatctl.bench.load import PATTERNS
    from chatctl.bench.member import LEAST
    from chatctl.cli import bench

    types = {parameter.name: parameter.type for parameter in bench.command.params}
    assert isinstance(types["pattern"], click.Choice)
    assert tuple(sorted(types["pattern"].choices)) == tuple(sorted(PATTERNS))
    assert isinstance(types["modes"], click.Choice)
    assert set(types["modes"].choices) == set(MODES)
    assert isinstance(types["size"], click.IntRange)
    assert types["size"].min == LEAST


def test_every_mode_can_be_chosen() -> None:
    """The command line offers just the modes of the registry, which it does not import, and each has its class."""
    mode = next(parameter for parameter in server.command.params if parameter.name == "mode")
    assert isinstance(mode.type, click.Choice)
    assert set(mode.type.choices) == set(MODES)
    for place in MODES.values():
        module, name = place.split(":")
        assert issubclass(getattr(importlib.import_module(module), name), Server)
