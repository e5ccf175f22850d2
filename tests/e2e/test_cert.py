"""``chatctl cert``: what it prints, what it needs, and what it does not overwrite."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import WELCOME, run
from tests.rooms import COMMAND, PATIENCE, environment


@pytest.fixture
def lacking(tmp_path: Path) -> dict[str, str]:
    """The environment of a Python without the package cryptography."""
    package = tmp_path / "lacking" / "cryptography"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError\n")
    return environment(PYTHONPATH=os.pathsep.join([str(package.parent), os.environ.get("PYTHONPATH", "")]))


def test_the_command_lines_it_prints(mode: str, tmp_path: Path) -> None:
    """They are right as they stand, but for the address and the port: with them the others get in."""
    made = run("cert", "127.0.0.1", "localhost", cwd=tmp_path)
    assert (made.returncode, made.stderr) == (0, "")
    lines = made.stdout.splitlines()
    assert lines[0] == "cert.pem and key.pem are for 127.0.0.1, localhost, valid for ten years"
    pin = re.fullmatch("fingerprint: (sha256:[0-9a-f]{64})", lines[1])
    assert pin
    assert lines[2] == "the room:    chatctl server 0.0.0.0 9999 --tls-cert cert.pem --tls-key key.pem"
    assert lines[3] == f"the others:  chatctl client 127.0.0.1 9999 --tls-pin {pin[1]}"
    serve, enter = (shlex.split(line.partition("chatctl ")[2]) for line in lines[2:])
    with subprocess.Popen(
        [*COMMAND, "server", "127.0.0.1", "0", "--mode", mode, *serve[3:]],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        env=environment(),
    ) as server:
        assert server.stdout
        port = server.stdout.readline().decode().split()[-1].removesuffix(".")
        result = run("client", "127.0.0.1", port, *enter[3:])
        server.terminate()
        assert server.wait(PATIENCE) == 0
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{WELCOME}\n", "")


def test_without_the_package(lacking: dict[str, str], tmp_path: Path) -> None:
    """The program openssl makes it as well."""
    made = run("cert", "localhost", "--out", str(tmp_path), env=lacking)
    assert (made.returncode, made.stderr) == (0, "")
    shown = ["openssl", "x509", "-in", str(tmp_path / "cert.pem"), "-noout", "-fingerprint", "-sha256"]
    found = subprocess.run(shown, capture_output=True, text=True, check=True).stdout
    pin = found.partition("=")[2].strip().replace(":", "").lower()
    assert f"fingerprint: sha256:{pin}\n" in made.stdout


def test_with_nothing_to_make_it_with(lacking: dict[str, str], tmp_path: Path) -> None:
    """Without either, one line says what to install, by the interpreter that runs."""
    made = run("cert", "localhost", "--out", str(tmp_path), env=lacking | {"PATH": str(tmp_path)})
    install = f"{shlex.quote(COMMAND[0])} -m pip install 'chatctl[tls]' (or the program openssl)"
    assert (made.returncode, made.stdout) == (1, "")
    assert made.stderr == f"chatctl cert: it needs the package cryptography: {install}\n"
    assert not (tmp_path / "key.pem").exists()


def test_an_openssl_that_fails(lacking: dict[str, str], tmp_path: Path) -> None:
    """What it says is passed on, in one line."""
    program = tmp_path / "openssl"
    program.write_text("#!/bin/sh\necho 'no such option' >&2\nexit 1\n")
    program.chmod(0o755)
    made = run("cert", "localhost", "--out", str(tmp_path), env=lacking | {"PATH": f"{tmp_path}:/bin"})
    assert made.returncode == 1
    assert made.stderr == "chatctl cert: openssl has made no certificate: no such option\n"


def test_a_second_time(tmp_path: Path) -> None:
    """What is there already is left alone."""
    assert run("cert", "localhost", cwd=tmp_path).returncode == 0
    before = (tmp_path / "key.pem").read_bytes()
    again = run("cert", "localhost", cwd=tmp_path)
    reason = "key.pem is there already: move it away, or give another folder by --out"
    assert (again.returncode, again.stdout, again.stderr) == (1, "", f"chatctl cert: {reason}\n")
    assert (tmp_path / "key.pem").read_bytes() == before


def test_usage(tmp_path: Path) -> None:
    """What is neither a name nor an address is a mistake in the command line, and so is none at all."""
    result = run("cert", "localhost", "no:host", cwd=tmp_path)
    assert result.returncode == 2
    assert "'no:host' is no host name and no address" in result.stderr
    assert run("cert", cwd=tmp_path).returncode == 2
    assert list(tmp_path.iterdir()) == []
