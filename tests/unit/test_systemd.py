"""systemd's sockets and its ears, played by real descriptors and a real datagram socket."""

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatctl.errors import ListenError
from chatctl.server import systemd
from tests.rooms import PATIENCE, environment

HAND_DOWN = """
import os, sys
for number, descriptor in enumerate(sys.argv[2:], 3):
    os.dup2(int(descriptor), number)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.executable, [sys.executable, "-W", "error", "-c", sys.argv[1]])
"""
"""Begins the program of its first argument as systemd would, with the others as descriptors from 3 on."""

TAKE = """
import os
from chatctl.errors import ListenError
from chatctl.server import systemd
try:
    sockets = systemd.inherited()
except ListenError as error:
    sockets = []
    print(error)
for listening in sockets:
    print(listening.fileno(), listening.getsockname()[1], os.get_inheritable(listening.fileno()))
    listening.accept()[0].close()
    listening.close()
print([name for name in os.environ if name.startswith("LISTEN")], systemd.inherited())
"""
"""Takes its sockets and a newcomer from each; the last line tells what is left for a second call."""

NOTHING_LEFT = "[] []"


def take(*descriptors: int, number: int | None = None) -> list[str]:
    """What `TAKE` says when it is given these descriptors, or told so many."""
    told = {"LISTEN_FDS": str(len(descriptors) if number is None else number), "LISTEN_FDNAMES": "a:b"}
    with contextlib.ExitStack() as copies:
        high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 20) for descriptor in descriptors]  # 3 is for the copy
        for descriptor in high:
            copies.callback(os.close, descriptor)
        run = subprocess.run(
            [sys.executable, "-S", "-c", HAND_DOWN, TAKE, *map(str, high)],
            pass_fds=high,
            env=environment(**told, LISTEN_PIDFDID="1"),
            stdout=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
    return run.stdout.splitlines()


@pytest.fixture
def ears(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The datagram socket that NOTIFY_SOCKET names, by a path that is short enough for macOS."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        sock.bind(f"{directory}/notify")
        monkeypatch.setenv("NOTIFY_SOCKET", sock.getsockname())
        yield sock


def test_sockets_are_taken() -> None:
    """The descriptors from 3 on become sockets that accept, closed in children, and are taken once."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("::1", 0), family=socket.AF_INET6) as two:
        ports = [listening.getsockname()[1] for listening in (one, two)]
        with socket.create_connection(("127.0.0.1", ports[0])), socket.create_connection(("::1", ports[1])):
            said = take(one.fileno(), two.fileno())
    assert said == [f"3 {ports[0]} False", f"4 {ports[1]} False", NOTHING_LEFT]


def test_no_variables_are_no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without systemd there are none."""
    monkeypatch.delenv("LISTEN_PID", raising=False)
    monkeypatch.delenv("LISTEN_FDS", raising=False)
    assert systemd.inherited() == []


def test_sockets_of_another_process_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Descriptors that were meant for a parent are not touched, and its variables go no further."""
    monkeypatch.setenv("LISTEN_PID", str(os.getppid()))
    monkeypatch.setenv("LISTEN_FDS", "1")
    assert systemd.inherited() == []
    assert "LISTEN_PID" not in os.environ


@pytest.mark.parametrize("value", ["", "x", "-1", " 1", "1.0", "٣", "1" * 5000])
@pytest.mark.parametrize("name", ["LISTEN_PID", "LISTEN_FDS"])
def test_malformed_variables_are_reported(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """What is no number is an error of one line that names the variable."""
    for each, good in (("LISTEN_PID", str(os.getpid())), ("LISTEN_FDS", "1")):
        monkeypatch.setenv(each, value if each == name else good)
    with pytest.raises(ListenError, match=rf"^cannot listen: {name}=.* is no number: [^\n]+$"):
        systemd.inherited()


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        (socket.AF_INET, socket.SOCK_DGRAM),
        (socket.AF_INET, socket.SOCK_STREAM),  # one that does not listen, as with Accept=yes
        (socket.AF_UNIX, socket.SOCK_STREAM),
    ],
)
def test_other_sockets_are_reported(family: socket.AddressFamily, kind: socket.SocketKind) -> None:
    """Only a TCP socket that listens will do; the error says what the unit needs."""
    with socket.create_server(("127.0.0.1", 0)) as good, socket.socket(family, kind) as bad:
        assert take(good.fileno(), bad.fileno()) == [
            "cannot listen on descriptor 4 of LISTEN_FDS: it is no listening TCP socket: "
            "give the socket unit ListenStream=9999 (or ADDRESS:PORT) and Accept=no",
            NOTHING_LEFT,
        ]


def test_a_local_listener_is_reported() -> None:
    """A socket that listens on a path, as with ListenStream=/run/chat, is none for a room."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory, socket.socket(socket.AF_UNIX) as local:
        local.bind(f"{directory}/chat")
        local.listen()
        assert take(local.fileno())[0].startswith("cannot listen on descriptor 3 of LISTEN_FDS: it is no listening TCP")


def test_a_file_is_reported(tmp_path: Path) -> None:
    """A descriptor that is no socket, as with ListenFIFO=, is an error as well."""
    with (tmp_path / "file").open("wb") as file:
        assert take(file.fileno())[0].startswith("cannot listen on descriptor 3 of LISTEN_FDS: ")


def test_a_closed_descriptor_is_reported() -> None:
    """More descriptors told than there are is an error that names the first one missing."""
    with socket.create_server(("127.0.0.1", 0)) as good:
        said = take(good.fileno(), number=999_999_999)
    assert said[0].startswith("cannot listen on descriptor 4 of LISTEN_FDS: bad file descriptor: ")


def test_notify_is_one_datagram(ears: socket.socket) -> None:
    """Assignments arrive together, a line each, as UTF-8."""
    systemd.notify("READY=1", "STATUS=3 users · online")
    assert ears.recv(4096).decode() == "READY=1\nSTATUS=3 users · online"


@pytest.mark.skipif(sys.platform != "linux", reason="abstract names are Linux's")
def test_notify_knows_abstract_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that begins with ``@`` is in no file system."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ears:
        ears.settimeout(PATIENCE)
        ears.bind("")  # the kernel chooses a name
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + ears.getsockname()[1:].decode())
        systemd.notify("READY=1")
        assert ears.recv(4096) == b"READY=1"


@pytest.mark.parametrize("place", [None, "", "/nonexistent/notify", "/" + "x" * 200])
def test_notify_without_ears_does_nothing(monkeypatch: pytest.MonkeyPatch, place: str | None) -> None:
    """Nobody to tell, or nobody there, is no error."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if place is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", place)
    systemd.notify("READY=1")


def test_notify_waits_for_nobody(ears: socket.socket) -> None:
    """When nobody reads what was told before, the next is lost."""
    with contextlib.suppress(OSError):
        while True:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"full", socket.MSG_DONTWAIT, ears.getsockname())
    systemd.notify("READY=1")
    ears.setblocking(False)
    told = set()
    with contextlib.suppress(BlockingIOError):
        while True:
            told.add(ears.recv(4096))
    assert told == {b"full"}


def test_reloading_tells_the_time(ears: socket.socket) -> None:
    """RELOADING=1 comes with the monotonic time in microseconds."""
    before = time.monotonic_ns() // 1000
    systemd.reloading()
    word, _, stamp = ears.recv(4096).decode().partition("\nMONOTONIC_USEC=")
    assert word == "RELOADING=1"
    assert before <= int(stamp) <= time.monotonic_ns() // 1000


@pytest.mark.parametrize(("inode", "expected"), [(0, True), (1, False)])
def test_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inode: int, expected: bool) -> None:
    """What the variable names is the journal, and what else a desktop has passed it on to is not."""
    with open(tmp_path / "journal", "wb") as journal:
        found = os.fstat(journal.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino + inode}")
        assert systemd.is_journal(journal.fileno()) == expected
        monkeypatch.delenv("JOURNAL_STREAM")
        assert not systemd.is_journal(journal.fileno())
