"""Who may import what: the rules of the architecture, and a quick start."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path

import click
import pytest

import chatctl
from chatctl.cli import server
from chatctl.room.limits import Limits
from chatctl.server import MODES
from chatctl.server.base import Server
from tests.rooms import environment

ROOT = Path(chatctl.__file__).parent
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))
RULES = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
IO = set(RULES["flake8-tidy-imports"]["banned-api"])
ABOVE = {  # whom the modules of a folder may import, besides their own folder and the modules beside it
    "wire": "",
    "layers": "wire",
    "room": "wire",
    "peer": "wire layers",
    "screen": "wire",
    "server": "wire layers room screen",
    "client": "wire layers room peer screen",
    "bot": "wire layers peer",
    "bench": "wire layers peer",
}


def pure() -> list[str]:
    """The modules that the linter's table names."""
    (pattern,) = RULES["per-file-ignores"]
    globs = re.fullmatch(r"!chatctl/\{(.*)\}\.py", pattern)
    assert globs
    return [module for module in MODULES for glob in globs[1].split(",") if Path(module).match(f"{glob}.py")]


def imported(module: str) -> set[str]:
    """The full names of everything a module imports when it runs, wherever in it."""
    names = set()
    nodes: list[ast.AST] = [ast.parse((ROOT / module).read_text())]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            nodes += node.orelse
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        nodes += ast.iter_child_nodes(node)
    return names


def source(name: str) -> str | None:
    """Which of our modules has a name that is imported; None: none of ours."""
    parts = name.split(".")[1:] if name.startswith("chatctl.") else []
    while parts:
        for place in ("/".join(parts) + ".py", "/".join(parts) + "/__init__.py"):
            if place in MODULES:
                return place
        parts.pop()
    return None


def reached(module: str) -> dict[str, str]:
    """Everything that comes with a module, and by way of which of ours; TLS, which does no I/O, is left out."""
    found: dict[str, str] = {}
    seen = [module]
    for place in seen:
        for name in imported(place):
            found.setdefault(name.split(".")[0], place)
            if (ours := source(name)) and ours not in seen and not ours.startswith("layers/"):
                seen.append(ours)
    return found


def test_the_pure_modules_are_named() -> None:
    """The table means all of the wire and of the room, and what it names is there."""
    assert {module for module in MODULES if module.startswith(("wire/", "room/"))} <= set(pure())
    assert {"peer/stay.py", "peer/comeback.py"} <= set(pure())


@pytest.mark.parametrize("module", pure())
def test_pure_modules_do_no_io(module: str) -> None:
    """The wire, the room and a stay know no sockets, no threads and no clock, nor does anything that they import."""
    assert {name: place for name, place in reached(module).items() if name in IO} == {}


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_downwards(module: str) -> None:
    """Folders import those below them, and nobody imports the command line."""
    folder = module.split("/")[0]
    ours = {place.split("/")[0] for name in imported(module) if (place := source(name))} - {"__init__.py"}
    folders = {name for name in ours if not name.endswith(".py")}
    if folder in ABOVE:
        assert folders <= {folder, *ABOVE[folder].split()}
    elif folder not in ("cli", "__main__.py"):
        assert folders <= {"wire"}


@pytest.mark.parametrize("module", [module for module in MODULES if not module.startswith("cli/")])
def test_only_the_command_line_knows_click(module: str) -> None:
    """Everything else can be used without it."""
    assert "click" not in {name.split(".")[0] for name in imported(module)}


@pytest.mark.parametrize("module", MODULES)
def test_only_the_editor_knows_the_toolkit(module: str) -> None:
    """prompt_toolkit is behind the line that is edited, and nowhere else."""
    knows = "prompt_toolkit" in {name.split(".")[0] for name in imported(module)}
    assert knows == (module in [f"screen/{name}.py" for name in ("device", "editor", "graphemes", "history")])


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


def test_the_server_is_light() -> None:
    """Until it has listened and shown so, the server loads nothing of what the line at its terminal needs."""
    loaded = {name.split(".")[0] for name in modules("-m", "chatctl", "server", "192.0.2.1", "1")}
    assert "selectors" in loaded
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
        *(f"chatctl.cli.{name}" for name in ("bench", "bot", "cert", "client", "layout", "log", "options", "server")),
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
    from chatctl.cli import bench

    types = {parameter.name: parameter.type for parameter in bench.command.params}
    assert isinstance(types["pattern"], click.Choice)
    assert tuple(sorted(types["pattern"].choices)) == tuple(sorted(PATTERNS))
    assert isinstance(types["modes"], click.Choice)
    assert set(types["modes"].choices) == set(MODES)


def test_every_mode_can_be_chosen() -> None:
    """The command line offers just the modes of the registry, which it does not import, and each has its class."""
    mode = next(parameter for parameter in server.command.params if parameter.name == "mode")
    assert isinstance(mode.type, click.Choice)
    assert set(mode.type.choices) == set(MODES)
    for place in MODES.values():
        module, name = place.split(":")
        assert issubclass(getattr(importlib.import_module(module), name), Server)
