"""What comes before the first run: the extras, the checkout's own program, the shells' completion."""

import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pexpect
import pytest

from chatctl import __version__
from chatctl.errors import installing
from tests.e2e.conftest import run
from tests.rooms import COMMAND, PATIENCE, environment

ROOT = Path(__file__).parents[2]
OFFLINE = {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"}


@pytest.mark.parametrize("extra", ["bench", "metrics", "plot"])
def test_what_to_type_for_an_extra(extra: str, tmp_path: Path) -> None:
    """It is a command as it stands, and pip knows the extra: all of it is here already, so nothing is downloaded."""
    done = subprocess.run(
        ["sh", "-c", installing(extra)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=environment(HOME=str(tmp_path), **OFFLINE),
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what `scripts/chatctl` needs, in a folder with a blank in its name."""
    copy = tmp_path / "a checkout"
    copy.mkdir()
    for name in ("chatctl", "scripts"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    return copy


@pytest.fixture
def lent(tmp_path: Path) -> Path:
    """The packages of the tests: those that chatctl needs, and those that pip needs to install it, but not pip."""
    folder = tmp_path / "lent"
    folder.mkdir()
    for package in Path(sysconfig.get_path("purelib")).iterdir():
        if not package.name.startswith("pip"):
            (folder / package.name).symlink_to(package)
    return folder


def first_words(program: Path, lent: Path) -> tuple[str, bool]:
    """What ``--version`` of a checkout's program says, and whether it had to install; no package is downloaded."""
    offline = {"PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", **OFFLINE}  # 0 is yes
    settings = environment(HOME=str(program.parent), PYTHON=sys.executable, PYTHONPATH=str(lent), **offline)
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=3 * PATIENCE, env=settings)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\n") == done.stderr.startswith("chatctl: installing"), done.stderr
    return done.stdout, bool(done.stderr)


@pytest.mark.timeout(300)
def test_a_checkout_installs_itself(checkout: Path, lent: Path, tmp_path: Path) -> None:
    """Through symbolic links too, once, and again when it was moved or its needs have changed; it says so on stderr."""
    (tmp_path / "bin").mkdir()
    link, linked = tmp_path / "bin" / "chat", tmp_path / "bin" / "chatctl"
    linked.symlink_to(Path("..") / checkout.name / "scripts" / "chatctl")
    link.symlink_to(linked)
    said = f"chatctl {__version__}\n"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", checkout / ".venv"], check=True)  # not finished
    assert first_words(link, lent) == (said, True)
    assert first_words(link, lent) == (said, False)

    moved = checkout.rename(tmp_path / "moved")
    (moved / "chatctl" / "__init__.py").write_text('__version__ = "2"\n')
    assert first_words(moved / "scripts" / "chatctl", lent) == ("chatctl 2\n", True)
    assert first_words(moved / "scripts" / "chatctl", lent) == ("chatctl 2\n", False)

    with (moved / "pyproject.toml").open("a") as file:
        file.write("# a package more\n")
    assert first_words(moved / "scripts" / "chatctl", lent) == ("chatctl 2\n", True)
    assert first_words(moved / "scripts" / "chatctl", lent) == ("chatctl 2\n", False)


def test_a_wheel_has_the_examples(tmp_path: Path) -> None:
    """What pipx or pip install plays them as a checkout does."""
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, capture_output=True, check=True, timeout=PATIENCE, env=environment())
    (wheel,) = tmp_path.glob("*.whl")
    shutil.unpack_archive(wheel, tmp_path / "installed", "zip")
    installed = environment(PYTHONPATH=str(tmp_path / "installed"))
    check = [*COMMAND, "bot", "--check", "--script", "example:smoke"]
    done = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, env=installed)
    assert (done.returncode, done.stderr) == (0, "")
    assert "example:smoke: " in done.stdout


@pytest.fixture
def fresh(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody new, who has chatctl on the PATH."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "chatctl"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    program.chmod(0o755)
    (tmp_path / "home").mkdir()
    plain = environment(HOME=str(tmp_path / "home"))
    return plain | {"PATH": f"{program.parent}:{plain['PATH']}"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, fresh: dict[str, str]) -> None:
    """What ``completion --help`` says is typed in a shell that is as new as its home, and Tab knows the commands."""
    if not shutil.which(shell, path=fresh["PATH"]):
        pytest.skip(f"{shell} is not installed")
    said = re.findall(r"^ +((?:echo|mkdir|chatctl completion) .*)$", run("completion", "--help").stdout, re.MULTILINE)
    typed = "\n".join(line for line in said if shell in line)
    assert "completion" in typed
    subprocess.run([shell, "-c", typed], check=True, timeout=PATIENCE, env=fresh)
    if shell == "fish":
        asked = [shell, "-c", "complete -C 'chatctl ser'"]
        shown = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=PATIENCE, env=fresh).stdout
        assert shown.startswith("server\tRun a chat room")
        return
    with (Path(fresh["HOME"]) / f".{shell}rc").open("a") as startup:
        startup.write("PS1='ready> '\n")
    terminal = pexpect.spawn(shell, ["-i"], env=fresh, encoding="utf-8", timeout=PATIENCE)
    terminal.expect_exact("ready> ")
    terminal.send("chatctl ser\t--help; exit\r")
    terminal.expect_exact("Usage: chatctl server")
    assert "not found" not in terminal.read()
    terminal.close()
