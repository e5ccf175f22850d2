"""The bench, as it is run."""

import contextlib
import json
import re
import selectors
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from chatctl.bench.load import PATTERNS
from chatctl.bench.report import rows
from chatctl.bench.runner import Figures, Plan
from tests.e2e.conftest import run
from tests.rooms import COMMAND, PATIENCE, Certificates, Room, environment

QUICK = ["--seconds", "0.1", "--runs", "1"]
LONGER = ["--seconds", "0.5", "--runs", "1"]


@pytest.fixture(scope="session")
def fonts(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where matplotlib keeps what it knows of fonts."""
    return str(tmp_path_factory.mktemp("fonts"))


@pytest.fixture
def mode() -> str:
    """One is enough where the bench loads a server that runs: rooms of all modes are the same to those inside."""
    return "select"


@contextlib.contextmanager
def begun(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """A bench under way, which ends here at the latest."""
    with subprocess.Popen(
        [*COMMAND, "bench", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as bench:
        try:
            yield bench
        finally:
            bench.terminate()


def figures(output: str) -> list[dict[str, str]]:
    """The lines of the table."""
    head, *lines = output.split("\n\n")[0].splitlines()
    names = re.split(r"\s{2,}", head.strip())
    return [dict(zip(names, re.split(r"\s{2,}", line.strip()), strict=False)) for line in lines]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pattern(pattern: str, tmp_path: Path) -> None:
    """Both modes are measured with each number of members; nothing is lost, and no process is left."""
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    path = tmp_path / "figures.json"
    result = run("bench", *QUICK, "--members", "3,40", "--pattern", pattern, "--json", str(path))
    assert (result.returncode, result.stderr.strip()) == (0, "measuring")
    assert [(row["members"], row["mode"]) for row in figures(result.stdout)] == [
        ("3", "select"),
        ("3", "threads"),
        ("40", "select"),
        ("40", "threads"),
    ]
    assert "Nothing was lost, doubled or out of order." in result.stdout
    content = json.loads(path.read_text())
    assert [one["members"] for one in content["runs"]] == [3, 3, 40, 40]
    for one in content["runs"]:
        assert one["deliveries_per_s"] > 0
        assert 0 < one["p50"] <= one["p99"] <= one["p999"]
        assert one["threads"] >= (40 if one["mode"] == "threads" and one["members"] == 40 else 1)
    assert {child.pid for child in psutil.Process().children(recursive=True)} == before


def test_a_picture(tmp_path: Path, fonts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made of the figures alone: the same make the same file, with a line for each mode."""
    picture = tmp_path / "a.svg"
    monkeypatch.setenv("MPLCONFIGDIR", fonts)
    options = ["--members", "3,5", "--json", "-", "--plot", str(picture)]
    result = run("bench", *QUICK, *options, env=environment(MPLCONFIGDIR=fonts))
    assert result.returncode == 0, result.stderr
    content = json.loads(result.stdout)
    runs = [Figures(**one) for one in content["runs"]]
    from chatctl.bench.plot import draw  # with all of matplotlib

    draw(str(tmp_path / "b.svg"), Plan(**content["plan"]), rows(runs))
    assert (tmp_path / "b.svg").read_bytes() == picture.read_bytes()
    for word in (b"<svg", b"select", b"threads"):
        assert word in picture.read_bytes()


def test_a_server_that_runs(room: Room, tmp_path: Path, fonts: str) -> None:
    """It is loaded where it is, with the shortest lines, and its process is found; the picture has no legend."""
    options = ["--members", "20", "--size", "32", "--plot", str(tmp_path / "a.svg")]
    result = run("bench", "127.0.0.1", str(room.port), *LONGER, *options, env=environment(MPLCONFIGDIR=fonts))
    assert result.returncode == 0
    assert "Warning" not in result.stderr
    (row,) = figures(result.stdout)
    assert float(row["CPU µs"]) >= 0
    assert room.console_until(r"\(0 user online\)")


@pytest.fixture(params=["tls", "password", "tls and password"])
def closed(mode: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Room, list[str]]]:
    """A room that not everybody can enter, and the options of who can."""
    flags, options, certificates = ["--rate", "0"], [], None
    if "tls" in request.param:
        certificates = Certificates(tmp_path)
        options += ["--tls-ca", str(certificates.authority)]
    if "password" in request.param:
        (tmp_path / "password").write_text("open sesame\n")
        options += ["--password-file", str(tmp_path / "password")]
        flags += options[-2:]
    started = Room(mode, *flags, certificates=certificates)
    yield started, options
    started.stop()


@pytest.mark.parametrize("pattern", ["burst", "lazy"])
def test_a_closed_room(closed: tuple[Room, list[str]], pattern: str) -> None:
    """Its members speak TLS and give the password, as those of a client do, and nothing is lost."""
    room, options = closed
    result = run("bench", "127.0.0.1", str(room.port), *QUICK, "--members", "30", "--pattern", pattern, *options)
    assert result.returncode == 0, result.stderr
    assert "Nothing was lost, doubled or out of order." in result.stdout


@pytest.mark.parametrize(
    ("password", "message"),
    [
        ("", "the room needs a password"),
        ("guess", "the room has another password"),
    ],
)
def test_a_wrong_password(mode: str, tmp_path: Path, password: str, message: str) -> None:
    """That is exit status 4, and one line."""
    (tmp_path / "password").write_text("open sesame\n")
    room = Room(mode, "--password-file", str(tmp_path / "password"))
    given = {"CHATCTL_PASSWORD": password} if password else {}
    result = run("bench", "127.0.0.1", str(room.port), *QUICK, "--members", "3", env=environment(**given))
    room.stop()
    assert (result.returncode, result.stdout) == (4, "")
    assert result.stderr.splitlines()[-1].startswith(f"chatctl bench: {message}: give its password by --password-file")


def test_a_server_that_is_not_trusted(mode: str, tmp_path: Path) -> None:
    """Nobody enters, and one line says why."""
    room = Room(mode, certificates=Certificates(tmp_path))
    result = run("bench", "127.0.0.1", str(room.port), *QUICK, "--members", "3", "--tls")
    room.stop()
    assert (result.returncode, result.stdout) == (1, "")
    assert f"cannot connect to 127.0.0.1 port {room.port}: its certificate comes from an unknown auth" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["192.0.2.1", "9"], "give --yes if its owner agrees"),
        (["127.0.0.1"], "the port is missing: write HOST PORT or HOST:PORT"),
        (["127.0.0.1", "9", "--mode", "select"], "leave it out"),
        (["--tls"], "give HOST and PORT"),
        (["--password-file", __file__], "give HOST and PORT"),
        (["--members", "1"], "each number must be from 2"),
        (["--members", "ten"], "is not a list of numbers"),
        (["--size", "10"], "10 is too little: the least is 32"),
    ],
)
def test_bad_usage(arguments: list[str], message: str) -> None:
    """It says what to do, before anything is loaded."""
    result = run("bench", *arguments)
    assert result.returncode == 2
    assert message in result.stderr


def test_other_people_in_the_room(room: Room) -> None:
    """What they say is not taken for the load's."""
    peer = room.peer()
    with begun("127.0.0.1", str(room.port), "--members", "6", *LONGER) as bench:
        peer.until(r"\] \w+\.0\.0 ")
        peer.say("0.5 x", "99.99 y", "3.1 z")
        output, errors = bench.communicate(timeout=PATIENCE)
        assert bench.returncode == 0, output + errors


def test_a_line_that_is_too_long(mode: str) -> None:
    """Where nothing comes back, that is one line."""
    room = Room(mode, "--max-line", "64")
    result = run("bench", "127.0.0.1", str(room.port), *QUICK, "--members", "4", "--size", "200")
    room.stop()
    assert result.returncode == 1
    assert "no line of 200 bytes came back" in result.stderr


def test_a_run_that_fails(mode: str, tmp_path: Path) -> None:
    """What was measured before it is shown all the same."""
    room = Room(mode, "--rate", "0", "--max-users", "10")
    path = tmp_path / "figures.json"
    result = run("bench", "127.0.0.1", str(room.port), *QUICK, "--members", "5,20", "--json", str(path))
    room.stop()
    assert result.returncode == 1
    assert [row["members"] for row in figures(result.stdout)] == ["5"]
    assert "server full" in result.stderr
    assert len(json.loads(path.read_text())["runs"]) == 1


def test_a_server_that_ends(room: Room) -> None:
    """In the middle of a run that is an error, and no verdict on its lines."""
    with begun("127.0.0.1", str(room.port), "--members", "6", "--runs", "1", "--seconds", "60") as bench:
        room.console_until(r"\w+\.0\.5 ")
        room.signal(signal.SIGTERM)
        output, errors = bench.communicate(timeout=PATIENCE)
        assert (bench.returncode, output) == (1, "")
        assert errors.endswith("chatctl bench: the server has ended the connections in the middle of a run\n")


@pytest.mark.parametrize(
    ("package", "arguments", "message"),
    [
        ("psutil", [], "it needs the package psutil: PYTHON -m pip install 'chatctl[bench]'"),
        (
            "matplotlib",
            ["--plot", "/dev/null"],
            "--plot needs the package matplotlib: PYTHON -m pip install 'chatctl[plot]'",
        ),
    ],
)
def test_a_package_that_is_missing(package: str, arguments: list[str], message: str) -> None:
    """One line says what to install, for the interpreter that runs, before anything is measured."""
    message = message.replace("PYTHON", shlex.quote(sys.executable))
    without = "import sys; sys.modules[sys.argv.pop(1)] = None; from chatctl.__main__ import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", without, package, "bench", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=environment(),
    )
    assert (result.returncode, result.stdout, result.stderr) == (1, "", f"chatctl bench: {message}\n")


@pytest.mark.parametrize("option", ["--json", "--plot"])
def test_a_file_that_cannot_be_written(option: str) -> None:
    """That is found before anything is measured."""
    result = run("bench", option, "/no/such/file")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "chatctl bench: cannot write /no/such/file: No such file or directory\n"


def test_no_server(listening: socket.socket) -> None:
    """Where nobody answers, that is one line."""
    port = listening.getsockname()[1]
    listening.close()
    result = run("bench", "127.0.0.1", str(port), *QUICK)
    assert result.returncode == 1
    assert "Connection refused" in result.stderr


class Careless(threading.Thread):
    """A chat server that speaks the wire, but makes a mistake with some lines for its last member, after a warm-up."""

    def __init__(self, mistake: str) -> None:
        super().__init__(daemon=True)
        self.mistake = mistake
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.stopping, self.stop = socket.socketpair()
        self.members: list[socket.socket] = []
        self.said = 0
        self.fences = 0

    def run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self.listening, selectors.EVENT_READ, self.listening)
            selector.register(self.stopping, selectors.EVENT_READ, self.stopping)
            while True:
                for key, _ in selector.select():
                    sock: socket.socket = key.data
                    if sock is self.stopping:
                        return
                    if sock is self.listening:
                        self.enter(selector)
                    elif data := sock.recv(65536):
                        for line in data.splitlines():
                            self.say(sock, line)
                    else:
                        selector.unregister(sock)
                        self.members.remove(sock)
                        sock.close()

    def enter(self, selector: selectors.BaseSelector) -> None:
        sock, _ = self.listening.accept()
        self.members.append(sock)
        selector.register(sock, selectors.EVENT_READ, sock)
        for member in self.members[:-1]:
            member.sendall(b"> New user x entered (%d users online)\n" % len(self.members))
        sock.sendall(b"> Connected to the chat server (%d users online)\n" % len(self.members))

    def say(self, sender: socket.socket, line: bytes) -> None:
        self.said += 1
        self.fences += line.startswith(b"fence")
        for member in list(self.members):
            times = 1
            if self.fences > 1 and member is self.members[-1] and self.said % 50 == 0 and b"fence" not in line:
                times = {"loses": 0, "doubles": 2}[self.mistake]
            head = b"[You] " if member is sender else b"[127.0.0.1:50000] "
            with contextlib.suppress(OSError):
                member.sendall((head + line + b"\n") * times)


@pytest.fixture
def careless(request: pytest.FixtureRequest) -> Iterator[Careless]:
    """Such a server."""
    server = Careless(request.param)
    server.start()
    yield server
    server.stop.send(b"x")
    server.join()
    for sock in (*server.members, server.listening, server.stop, server.stopping):
        sock.close()


@pytest.mark.parametrize(("careless", "column"), [("loses", "lost"), ("doubles", "doubled")], indirect=["careless"])
def test_a_server_that_makes_mistakes(careless: Careless, column: str) -> None:
    """They are found at a member whose lines are not parsed, and the exit status is 1."""
    result = run("bench", "127.0.0.1", str(careless.port), *LONGER, "--members", "12", "--talkers", "3", timeout=60)
    (row,) = figures(result.stdout)
    assert int(row[column].replace(",", "")) > 0
    assert result.returncode == 1
    assert "that is an error of the server" in result.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_end(number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM end it with what was measured so far, and no server is left."""
    with begun("--members", "5", "--seconds", "0.1", "--runs", "1000") as bench:
        process = psutil.Process(bench.pid)
        servers: set[int] = set()
        while len(servers) < 3:  # so two runs are over
            servers |= {child.pid for child in process.children()}
        left = process.children()
        bench.send_signal(number)
        output, errors = bench.communicate(timeout=PATIENCE)
        assert bench.returncode == 130
        assert [row["mode"] for row in figures(output)] == ["select", "threads"]
        assert "Traceback" not in errors
        assert psutil.wait_procs(left, PATIENCE)[1] == []
