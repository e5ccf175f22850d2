"""Every example of the README and of docs/ is executed, with the ports and the addresses of the test in it."""

import configparser
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from chatctl.cli import cli
from tests.documents import PAGES, ROOT, Block, anchors, blocks, links, words
from tests.property.test_grammar import GRAMMAR
from tests.rooms import COMMAND, PATIENCE, Certificates, ThreadRoom, environment

PASSWORD = "open sesame"
TYPED = f"{PASSWORD}\nhello\n/quit\n"  # by whoever an example asks to type
EXTRAS = ("telnet", "systemd-analyze")  # programs that scripts/test does not install
VARIABLE = (  # in what is shown: ports, times, versions, epochs
    r"127\.0\.0\.1:\d+|\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)|chatctl \d[\w.]+|(?<=\"epoch\":\")\w{8}"
)


class Stage:
    """A folder with all that the examples name, and the room that an example enters."""

    def __init__(self, directory: Path, certificates: Certificates) -> None:
        self.directory = directory
        self._certificates = certificates
        self._rooms: list[ThreadRoom] = []
        (directory / "scripts").mkdir()
        for name in ("scripts/chatctl", "chatctl"):
            program = directory / name
            program.write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
            program.chmod(0o755)
        (directory / "password").write_text(f"{PASSWORD}\n")

    def local(self, text: str, port: int) -> str:
        """A text of the documents with this machine in it, a port, and the certificate of the test."""
        if "chatctl cert" not in text:  # else it makes one
            for name in ("cert.pem", "key.pem"):
                shutil.copy(self._certificates.server, self.directory / name)  # it has both
        text = re.sub(r"\b(0\.0\.0\.0|192\.0\.2\.7|chat\.example\.org)\b", "127.0.0.1", text)
        text = re.sub(r"\bsha256:[0-9a-f]{64}\b", self._certificates.fingerprint, text)
        return re.sub(r"\b9100\b", "0", re.sub(r"\b9999\b", str(port), text))

    def room(self, text: str) -> ThreadRoom:
        """A room such as a text enters: with TLS, with a password, or plain."""
        secure = self._certificates if re.search(r"--tls|openssl", text) else None
        locked = ["--password-file", str(self.directory / "password")] if "--password" in text else []
        waits = ["--greet-delay", "5"] if "/json" in text else []  # or it would be greeted before it can say that
        self._rooms.append(ThreadRoom("select", *locked, *waits, certificates=secure))
        return self._rooms[-1]

    def run(self, *command: str, typed: str = TYPED) -> str:
        """What a command shows, when it has ended well."""
        result = subprocess.run(command, input=typed, stderr=subprocess.STDOUT, timeout=PATIENCE, **self.settings)
        assert result.returncode == 0, result.stdout
        assert "Traceback" not in result.stdout
        return str(result.stdout)

    @property
    def settings(self) -> dict[str, Any]:
        """How a program is started here."""
        found = environment(
            PATH=f"{self.directory}:{os.environ['PATH']}",
            SSL_CERT_FILE=str(self._certificates.authority),
            CHATCTL_PASSWORD=PASSWORD,
        )
        return {"cwd": self.directory, "env": found, "stdout": subprocess.PIPE, "text": True}

    def close(self) -> None:
        for room in self._rooms:
            room.stop()


@pytest.fixture
def stage(tmp_path: Path, certificates: Certificates) -> Iterator[Stage]:
    """Where an example is played."""
    opened = Stage(tmp_path, certificates)
    yield opened
    opened.close()


def shell(text: str, stage: Stage) -> None:
    """Commands end well, and who enters a room is seen there. A server, as the last one, starts, and ends when told."""
    if server := re.search(r"^(scripts/)?chatctl server .*\n\Z", text, re.MULTILINE):
        serve(f"{text[: server.start()]}exec {server[0]}", stage)
        return
    room = stage.room(text)
    stage.run("bash", "-euc", stage.local(text, room.port))
    if "9999" in text:
        room.console_until("entered")


def serve(text: str, stage: Stage) -> None:
    """A server, on a port that it picks itself."""
    command = ["bash", "-euc", stage.local(text, 0)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, **stage.settings) as server:
        assert server.stdout
        try:
            assert any(re.fullmatch(r"Chat Server started on port \d+\.\n", line) for line in server.stdout)
            server.send_signal(signal.SIGTERM)
            assert server.wait(PATIENCE) == 0
        finally:
            server.kill()


def session(text: str, stage: Stage) -> None:
    """Commands behind ``$``, and what they show."""
    room = stage.room(text)
    before, *parts = re.split(r"^\$ ", text, flags=re.MULTILINE)
    assert parts
    assert not before
    for part in parts:
        command, shown = part.split("\n", 1)
        output = stage.run("bash", "-euc", stage.local(command, room.port))
        assert re.sub(VARIABLE, "…", output) == re.sub(VARIABLE, "…", shown)


def script(text: str, stage: Stage) -> None:
    """A script of the bot, played by two."""
    room = stage.room(text)
    play = ("chatctl", "bot", "127.0.0.1", str(room.port), "--script", "-", "--bots", "2", "--timeout", "15")
    stage.run("sh", "-c", 'exec "$@"', "sh", *play, typed=text)


def program(text: str, stage: Stage) -> None:
    """A program in Python."""
    stage.run(sys.executable, "-W", "error", "-c", stage.local(text, stage.room(text).port))


def unit(text: str, stage: Stage) -> None:
    """A unit of systemd."""
    found = configparser.ConfigParser(interpolation=None)
    found.read_string(text)
    assert found.sections()


def grammar(text: str, stage: Stage) -> None:
    """A part of the grammar that tests/property/test_grammar.py holds against the parser."""
    assert text in GRAMMAR


KINDS: dict[str, Callable[[str, Stage], None]] = {
    "sh": shell,
    "console": session,
    "chat": script,
    "python": program,
    "systemd": unit,
    "abnf": grammar,
}


@pytest.mark.parametrize("block", [block for block in blocks() if not block.reason], ids=str)
def test_the_examples(block: Block, stage: Stage) -> None:
    """Each is of a kind that can be executed, and does what it is there for."""
    for extra in EXTRAS:
        if extra in block.text.split() and not shutil.which(extra):
            pytest.skip(f"{extra} is not installed")
    assert block.kind in KINDS, "what is this? name its kind behind the fence, or 'not run:' and why not"
    KINDS[block.kind](block.text, stage)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_pages(page: Path) -> None:
    """Each has an example that is executed, and its links lead somewhere."""
    assert any(not block.reason for block in blocks(page))
    for target in links(page):
        if not target.startswith("https://"):
            path, _, anchor = target.partition("#")
            file = page.parent / path if path else page
            assert file.exists(), target
            assert not anchor or anchor in anchors(file), target


def test_the_readme_is_short() -> None:
    """Nobody reads more."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_the_changelog() -> None:
    """A version has each kind of change once, and nothing is said twice: git keeps what both sides of a merge have."""
    text = (ROOT / "CHANGELOG.md").read_text()
    changes = re.findall(r"^- .*$", text, re.MULTILINE)
    assert len(changes) == len(set(changes))
    for version in text.split("\n## ")[1:]:
        kinds = re.findall(r"^### (.*)$", version, re.MULTILINE)
        assert kinds
        assert len(kinds) == len(set(kinds)), kinds


def test_the_options() -> None:
    """Those that the documents name are there."""
    commands = cli.commands.values()
    there = {
        name for command in commands for option in command.params for name in (*option.opts, *option.secondary_opts)
    }
    named = {name for page in PAGES for word in words(page) for name in re.findall(r"(?<!\S)--[a-z][a-z-]+", word)}
    assert named - there <= {"--help"}
    assert isinstance(cli, click.Group)


def test_a_block_that_nobody_executes(tmp_path: Path) -> None:
    """Indented code has no kind, in a list it is found too, and a reason is what stands behind "not run:"."""
    page = tmp_path / "page.md"
    page.write_text("# A\n\n    code\n\n- x\n\n  ```sh not run: too dear\n  y\n  ```\n")
    assert blocks(page) == [Block(page, 3, "", "", "code\n"), Block(page, 7, "sh", "too dear", "y\n")]
