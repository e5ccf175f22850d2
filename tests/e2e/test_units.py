"""The units of systemd in docs/systemd, as systemd reads them, and the server that they start."""

import re
import shlex
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import service
from tests.rooms import COMMAND, PATIENCE, Peer, environment

UNITS = Path(__file__).parents[2] / "docs" / "systemd"
PROGRAM = "/usr/local/bin/chatctl"
EXPOSED = 30  # tenths: systemd says of a service of 3.0 or less that it is OK


def options(name: str) -> list[str]:
    """The values of an option of the service."""
    return re.findall(rf"^{name}=(.*)$", (UNITS / "chatctl.service").read_text(), re.MULTILINE)


@pytest.fixture
def analyze() -> str:
    """systemd-analyze, of the oldest version that the units are for or a later one."""
    program = shutil.which("systemd-analyze")
    if not program:
        pytest.skip("systemd-analyze is not installed")
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    if int(said.split()[1]) < 252:
        pytest.skip("this systemd is too old")
    return program


def test_they_are_correct(analyze: str, tmp_path: Path) -> None:
    """Systemd finds nothing to complain of, but for where the program is."""
    program = tmp_path / "chatctl"
    program.touch(mode=0o755)
    units = [tmp_path / unit.name for unit in sorted(UNITS.iterdir())]
    for unit in units:
        unit.write_text((UNITS / unit.name).read_text().replace(PROGRAM, str(program)))
    done = subprocess.run([analyze, "verify", *units], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [unit.name for unit in units] == ["chatctl.service", "chatctl.socket"]


def test_the_service_is_hardened(analyze: str) -> None:
    """Its exposure is low, as systemd counts it."""
    flags = ["--offline=yes", f"--threshold={EXPOSED}", "--no-pager"]
    done = subprocess.run(
        [analyze, "security", *flags, UNITS / "chatctl.service"], capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_it_starts(files: Path, tmp_path: Path) -> None:
    """The command takes the socket, the credentials and the state directory, and reloads by the unit's command."""
    credentials, state = tmp_path / "credentials", tmp_path / "state"
    sources = {"/etc/chatctl/cert.pem": files / "server.crt", "/etc/chatctl/key.pem": files / "server.key"}
    sources["/etc/chatctl/password"] = tmp_path / "password"
    sources["/etc/chatctl/password"].write_text("swordfish\n")
    credentials.mkdir()
    for name, source in (value.split(":") for value in options("LoadCredential")):
        shutil.copy(sources[source], credentials / name)
        (credentials / name).chmod(0o400)
    (directory,) = options("StateDirectory")
    (state / directory).mkdir(parents=True)

    (start,), (reload,) = options("ExecStart"), options("ExecReload")
    program, *arguments = start.replace("%d", str(credentials)).replace("%S", str(state)).split(" ")
    assert program == PROGRAM
    with service(tmp_path, *COMMAND, *arguments) as (process, port, notified):
        assert notified.recv(100) == b"READY=1"
        context = ssl.create_default_context(cafile=files / "authority.pem")
        with Peer(port, host="localhost", context=context) as peer:
            assert peer.line() == "! this room needs a password: send it as your first line"
            peer.say("swordfish", "hello")
            peer.until(r"^\[You\] hello$")
            again = reload.replace("$MAINPID", str(process.pid))
            subprocess.run(shlex.split(again), check=True, timeout=PATIENCE, env=environment())
            assert notified.recv(100).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
            assert notified.recv(100) == b"READY=1"
            process.terminate()
            assert notified.recv(100) == b"STOPPING=1"
            assert peer.rest() == ["! server shutting down"]
        assert process.wait(PATIENCE) == 0
        assert process.stderr
        assert process.stderr.read() == b""
    store = state / directory / "room"
    said = subprocess.run(
        [*COMMAND, "log", store], check=True, capture_output=True, text=True, env=environment()
    ).stdout
    assert f"[{peer.name}] hello\n" in said
    assert store.stat().st_mode & 0o077 == 0
