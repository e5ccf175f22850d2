"""A server that is left running: its transcript, its signals, its counters, systemd, its operator."""

import os
import re
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.conftest import Window, run, service
from tests.rooms import COMMAND, PATIENCE, Certificates, Peer, Room, environment


@pytest.fixture
def start(mode: str) -> Iterator[Callable[..., Room]]:
    """Start a server with flags."""
    rooms: list[Room] = []

    def start_room(*flags: str) -> Room:
        rooms.append(Room(mode, *flags))
        return rooms[-1]

    yield start_room
    for room in rooms:
        room.stop()


def lines_of(file: Path) -> list[str]:
    """What a transcript says, after a look at its time stamps."""
    stamped = [line.split(" ", 1) for line in file.read_text().splitlines()]
    assert all(datetime.fromisoformat(stamp).utcoffset() is not None for stamp, _ in stamped)
    return [line for _, line in stamped]


def test_transcript(start: Callable[..., Room], tmp_path: Path) -> None:
    """Every line of the room is in the file with the time, appended to what there was."""
    file = tmp_path / "transcript"
    file.write_text("2026-01-01T00:00:00.000+00:00 before\n")
    room = start("--transcript", str(file))
    with room.peer() as peer:
        peer.say("안녕", "bye")
        peer.half_close()
        peer.rest()
    room.stop()
    assert lines_of(file) == ["before", *room.console[1:]]
    assert room.console[2:4] == [f"[{peer.name}] 안녕", f"[{peer.name}] bye"]


def test_transcript_is_rotated(start: Callable[..., Room], tmp_path: Path) -> None:
    """After SIGHUP the lines go to a new file; none is lost."""
    file, old = tmp_path / "transcript", tmp_path / "transcript.1"
    room = start("--transcript", str(file))
    with room.peer() as peer:
        peer.fence()
        file.rename(old)
        room.signal(signal.SIGHUP)
        peer.fence()
        peer.say("later")
        peer.half_close()
        peer.rest()
    room.stop()
    assert lines_of(old) + lines_of(file) == room.console[1:]
    assert lines_of(file)[-1] == "! server shutting down"


def test_a_full_disk_does_not_stop_the_room(start: Callable[..., Room]) -> None:
    """What cannot be written is reported once, and the room goes on."""
    room = start("--transcript", "/dev/full")
    with room.peer() as peer:
        for _ in range(10):
            assert peer.fence() == []
    room.stop()
    assert room.stderr == "chatctl server: cannot write the transcript /dev/full: No space left on device\n"


def test_a_transcript_that_nobody_reads(mode: str, tmp_path: Path) -> None:
    """A FIFO without a reader is an error, not a wait."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    result = run("server", "127.0.0.1", "0", "--mode", mode, "--transcript", str(fifo))
    assert result.returncode == 1
    assert result.stderr.startswith(f"chatctl server: cannot open the transcript {fifo}: ")


def test_a_console_on_a_full_disk(mode: str) -> None:
    """That the console cannot be written is said once; the room goes on."""
    with open("/dev/full", "wb") as full, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        process = subprocess.Popen(
            [*COMMAND, "server", "127.0.0.1", str(port), "--mode", mode],
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(),
        )
    with process:
        assert process.stderr
        expected = b"chatctl server: cannot write to descriptor 1 any more: No space left on device\n"
        assert process.stderr.readline() == expected
        with Peer(port) as peer:
            assert peer.fence()
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
        assert process.stderr.read() == b""


def test_a_storm_of_signals(start: Callable[..., Room]) -> None:
    """SIGTERM is not lost behind thousands of others."""
    room = start()
    for _ in range(50_000):
        room.signal(signal.SIGUSR1)
    room.signal(signal.SIGTERM)
    assert room.wait() == 0


def test_a_second_signal_with_a_console_that_nobody_reads(mode: str) -> None:
    """Who does not want to wait for a paused pager says so again."""
    patient, hasty = rooms = [Room(mode, "--rate", "0", read_console=False) for _ in range(2)]
    for room in rooms:
        with room.peer() as peer:
            for _ in range(100):
                peer.say("x" * 4_000)
                peer.until(r"^\[You\] x+$")
            room.signal(signal.SIGTERM)
            peer.rest()
    hasty.signal(signal.SIGTERM)
    assert hasty.wait() == 0
    assert patient.process.poll() is None
    patient.signal(signal.SIGTERM)
    for room in rooms:
        room.stop()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--transcript", "/nonexistent/file"],
            "cannot open the transcript /nonexistent/file: No such file or directory",
        ),
        (["--password-file", "/nonexistent"], "cannot read /nonexistent: No such file or directory"),
        (["--tls-cert", "/nonexistent"], "cannot read /nonexistent: No such file or directory"),
        (["--tls-cert", "SERVER", "--tls-key", "/nonexistent"], "cannot read /nonexistent: No such file or directory"),
        (["--tls-cert", "ALONE"], "--tls-cert ALONE without a private key in it: give --tls-key FILE"),
        (["--tls-cert", "/dev/null"], "cannot use /dev/null: no certificate and key in PEM format are in there"),
        (
            ["--tls-cert", "SERVER", "--tls-key", "CLIENT"],
            "cannot use SERVER and CLIENT: the key is another certificate's",
        ),
        (
            ["--tls-cert", "SERVER", "--tls-client-ca", "/dev/null"],
            "cannot use /dev/null: no certificates in PEM format are in there",
        ),
    ],
)
def test_files_that_cannot_be_used(mode: str, tmp_path: Path, flags: list[str], message: str) -> None:
    """One line that names the file, and status 1, before the port is bound: it is not even looked at."""
    files = Certificates(tmp_path)
    names = {"SERVER": str(files.server), "CLIENT": str(files.client), "ALONE": str(files.authority)}
    for name, path in names.items():
        message = message.replace(name, path)
    result = run("server", "no-such-host.invalid", "0", "--mode", mode, *(names.get(flag, flag) for flag in flags))
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"chatctl server: {message}\n"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--deny", "10.0.0.1/8"], "10.0.0.1/8 has host bits set: write it as in 192.0.2.0/24 or 2001:db8::/32"),
        (["--allow", "here"], "'here' does not appear to be an IPv4 or IPv6 network"),
        (["--metrics", "9100"], "'9100' is not HOST:PORT"),
        (["--rate", "nan"], "'nan' is not a number\n"),
        (["--rate", "inf"], "'inf' is not a number\n"),
        (["--tls-key", "/dev/null"], "--tls-key and --tls-client-ca need --tls-cert FILE"),
    ],
)
def test_flags_that_cannot_be_used(flags: list[str], message: str) -> None:
    """Usage errors say what is wrong."""
    result = run("server", "127.0.0.1", "0", *flags)
    assert result.returncode == 2
    assert message in result.stderr


def test_counters_on_sigusr1(start: Callable[..., Room]) -> None:
    """One line on stderr counts members, lines, bytes both ways, the refused and those who went."""
    room = start("--max-users", "2", "-q")
    with room.peer() as first, room.peer() as second:
        first.say("hi", "/who")
        first.until("^! 2 users")
        second.say("안녕", "/quit")
        second.rest()
        first.until("left")
        room.peer()
        assert room.stranger().rest() == ["! server full"]
        room.signal(signal.SIGUSR1)
        assert re.fullmatch(
            r"chatctl server: 2 users, 0 outside, 2 lines, 21 bytes in, \d{3} bytes out, "
            r"links 2 \(text 2\), 0 held, 0 asleep, 0 resumed, 0 incomplete, "
            r"refused 1 \(server full 1\), cut 0, ended 1 \(left 1\), since \d{4}-\d\d-\d\dT\S+",
            room.stderr_until("users")[0],
        )


def test_metrics(start: Callable[..., Room]) -> None:
    """Prometheus' own parser reads what --metrics serves, and finds what was done, to the byte."""
    room = start("--metrics", "127.0.0.1:0")
    listening = {c.laddr.port for c in room.usage.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    (port,) = listening - {room.port}
    with room.peer() as first, room.peer() as second:
        first.send("hi\n")
        got = sum(len(f"{line}\n") for line in second.until("hi") + first.until("hi"))
        got += sum(len(f"> Connected to the chat server ({users} online)\n") for users in ("1 user", "2 users"))
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
    samples = {sample.name: sample.value for family in families for sample in family.samples}
    assert samples["chatctl_users"] == 2
    assert samples["chatctl_lines_total"] == 1
    assert samples["chatctl_received_bytes_total"] == 3
    assert samples["chatctl_sent_bytes_total"] == got
    assert samples["chatctl_start_time_seconds"] > 1.7e9


def test_metrics_in_the_way(mode: str) -> None:
    """An address of the metrics that is taken is one line and status 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        result = run("server", "127.0.0.1", "0", "--mode", mode, "--metrics", place)
    assert result.returncode == 1
    assert result.stderr.startswith(f"chatctl server: cannot serve metrics on {place}: ")
    assert result.stderr.count("\n") == 1


@pytest.fixture
def activated(mode: str, tmp_path: Path) -> Iterator[tuple["subprocess.Popen[bytes]", int, socket.socket]]:
    """A server on a socket that was handed to it, as by systemd; its port, and where it notifies."""
    with service(tmp_path, *COMMAND, "server", "--mode", mode) as started:
        yield started


def test_systemd(activated: tuple["subprocess.Popen[bytes]", int, socket.socket]) -> None:
    """The server takes the socket, says when it is ready, when it reloads, is ready again, and when it stops."""
    process, port, notified = activated
    assert notified.recv(100) == b"READY=1"
    process.send_signal(signal.SIGHUP)
    assert notified.recv(100).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
    assert notified.recv(100) == b"READY=1"
    assert process.stdout
    assert process.stdout.readline() == b"Chat Server started on port %d.\n" % port
    with Peer(port) as peer:
        assert peer.line() == "> Connected to the chat server (1 user online)"
        process.send_signal(signal.SIGHUP)
        assert notified.recv(100).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert notified.recv(100) == b"READY=1"
        process.send_signal(signal.SIGTERM)
        assert notified.recv(100) == b"STOPPING=1"
        assert peer.rest() == ["! server shutting down"]
    assert process.wait(PATIENCE) == 0


def test_no_address_and_no_systemd() -> None:
    """Without sockets from systemd, an address is needed."""
    result = run("server", env=environment(LISTEN_FDS="1", LISTEN_PID="1"))
    reason = "systemd has handed down no socket to this process: give HOST and PORT"
    assert (result.returncode, result.stderr) == (1, f"chatctl server: {reason}\n")
    assert run("server").stderr.startswith("chatctl server: the host is missing: 127.0.0.1 is for this machine alone")


@pytest.fixture(params=["xterm-256color", "dumb"])
def operated(window: Callable[..., Window], mode: str, request: pytest.FixtureRequest) -> tuple[Window, int]:
    """A server in a window, with a line to edit or on a terminal that has none, and its port."""
    server = window("server", "127.0.0.1", "0", "--mode", mode, TERM=request.param)
    return server, int(server.until(".")[0].split()[-1].removesuffix("."))


def test_the_operator_speaks(operated: tuple[Window, int]) -> None:
    """What is typed at the server is announced to all; //text announces /text; control characters show."""
    server, port = operated
    with Peer(port) as peer:
        server.until("(1 user online)")
        for typed, said in (("점검 있어요", "점검 있어요"), ("//who", "/who"), ("/etc/motd", "/etc/motd")):
            server.type(typed)
            server.until(f"! server: {said}")
            assert peer.until("^! ")[-1] == f"! server: {said}"


def test_the_operators_commands(operated: tuple[Window, int]) -> None:
    """/who, /kick and /ban work at the server, and are answered there only."""
    server, port = operated
    with Peer(port) as stays, Peer(port) as kicked, Peer(port, host="127.0.0.1") as other:
        server.until("(3 users online)")
        server.type("/who")
        assert server.until(other.name)[-4:] == ["! 3 users online", *(f"! {p.name}" for p in (stays, kicked, other))]
        server.type(f"/kick {kicked.name} too loud")
        assert kicked.rest()[-1] == "! kicked: too loud"
        server.until("(2 users online)")
        server.type("/kick nobody")
        server.until("! nobody is called 'nobody': /kick NAME [REASON], with a name or an address from /who")
        for word, usage in (("/kick", "NAME [REASON]"), ("/ban", "NAME|ADDRESS [REASON]"), ("/unban", "NAME|ADDRESS")):
            server.type(word)
            server.until(f"! usage: {word} {usage}")
        stays.say("/nick alice")
        server.until("is now alice")
        server.type("/who")
        server.until(other.name)
        assert f"! alice {stays.name}" in server.lines
        server.type("/ban nowhere")
        server.until("/ban ADDRESS, as in 192.0.2.7 or 2001:db8::/32")
        server.type("/frobnicate")
        server.until("! no such command: /frobnicate (try /help; //text announces /text)")
        server.type("/ban 127.0.0.0/8")
        assert stays.rest()[-1] == other.rest()[-1] == "! your address is not allowed here"
        server.until("! 127.0.0.0/8 banned, 2 ended")
        with Peer(port) as banned:
            assert banned.rest() == ["! your address is not allowed here"]
        server.type("/bans")
        server.until("! 127.0.0.0/8")
        server.type("/unban 127.0.0.0/8")
        server.until("! 127.0.0.0/8 may come in again")
        with Peer(port) as again:
            server.until("(1 user online)")
            server.type(f"/ban {again.name} too loud")
            server.until("! 127.0.0.1 banned, 1 ended")
            assert again.rest()[-1] == "! your address is not allowed here: too loud"
        assert not any("who" in line or "nobody" in line for line in stays.lines)


def test_the_operator_ends_the_room(operated: tuple[Window, int]) -> None:
    """/help lists the commands; /shutdown ends the room in good order."""
    server, port = operated
    server.type("/help")
    server.until("//text announces /text")
    assert any("/kick NAME [REASON]" in line for line in server.lines)
    with Peer(port) as peer:
        server.type("/shutdown")
        assert peer.rest()[-1] == "! server shutting down"
    assert server.end() == 0


def test_ctrl_d_ends_the_input_only(operated: tuple[Window, int]) -> None:
    """After Ctrl-D at the server the room goes on."""
    server, port = operated
    server.process.sendeof()
    server.process.send("not heard\n")
    with Peer(port) as peer:
        peer.fence()
    server.process.sendintr()
    assert server.end() == 0
    assert not any("! server: not heard" in line for line in server.lines)


def test_the_terminal_hangs_up(operated: tuple[Window, int]) -> None:
    """SIGHUP ends a server that has a terminal, as that has gone."""
    server, port = operated
    with Peer(port) as peer:
        peer.fence()
        server.process.kill(signal.SIGHUP)
        assert peer.rest()[-1] == "! server shutting down"
    assert server.end() == 0
