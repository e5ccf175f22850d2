"""What is particular to a room that speaks TLS; every other test here runs under TLS as well."""

import contextlib
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatctl.layers import tls
from chatctl.server import MODES
from tests.conformance.conftest import Launch, Start
from tests.rooms import PATIENCE, AnyRoom, Certificates, Peer, ThreadRoom, chat, environment, gather

pytestmark = pytest.mark.parametrize("kind", [(mode, "tls") for mode in sorted(MODES)], ids="-".join)

SPEAKS_TLS = "! this room speaks TLS: come in with chatctl client --tls, or openssl s_client"


def raw(room: AnyRoom) -> Peer:
    """A connection without TLS."""
    return room.stranger(context=None)


def hello(certificates: Certificates) -> bytes:
    """What a client says first."""
    layer = tls.TLS(certificates.context(), host="localhost")
    layer.start()
    return layer.send(b"")


@contextlib.contextmanager
def s_client(room: ThreadRoom, *flags: str, quiet: bool = True) -> Iterator["subprocess.Popen[bytes]"]:
    """A member by OpenSSL's own client; one that is not quiet tells of the connection, and takes orders."""
    process = subprocess.Popen(
        [
            "openssl",
            "s_client",
            *["-quiet", "-no_ign_eof"] * quiet,
            "-connect",
            f"127.0.0.1:{room.port}",
            *flags,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if quiet else subprocess.STDOUT,
        env=environment(),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_client_of_somebody_else(room: ThreadRoom, certificates: Certificates, version: str) -> None:
    """OpenSSL's client talks and is heard, under both versions of TLS, and leaves in good order."""
    member = room.peer()
    with s_client(room, version, "-CAfile", str(certificates.authority), "-verify_return_error") as openssl:
        assert openssl.stdin
        assert openssl.stdout
        assert openssl.stdout.readline() == b"> Connected to the chat server (2 users online)\n"
        openssl.stdin.write("안녕\n".encode())
        openssl.stdin.flush()
        assert openssl.stdout.readline() == "[You] 안녕\n".encode()
        name = member.until("안녕")[-1].split("]")[0].removeprefix("[")
        member.say("hello")
        assert openssl.stdout.readline() == f"[{member.name}] hello\n".encode()
        openssl.stdin.close()
        assert openssl.wait(PATIENCE) == 0
        openssl.stdin = None
    assert member.until("left")[-1] == f"< The user {name} left (1 user online)"


def test_old_versions_are_refused(room: ThreadRoom) -> None:
    """There is no TLS 1.1."""
    with s_client(room, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0") as openssl:
        assert openssl.communicate(timeout=PATIENCE)[0] == b""
        assert openssl.returncode == 1


def test_plain_text_is_answered_in_plain_text(start: Start) -> None:
    """Who speaks no TLS is told so, and nobody in the room hears of it."""
    room = start("-v")
    member = room.peer()
    plain = raw(room)
    plain.say("hello?")
    assert plain.rest() == [SPEAKS_TLS]
    assert member.fence() == []
    assert f"{plain.name} went: spoke no TLS" in room.ended()


def test_a_broken_handshake(start: Start) -> None:
    """What begins like TLS and is not gets an alert, and its reason is in the log."""
    room = start("-v")
    member = room.peer()
    with raw(room) as broken:
        broken.send(b"\x16\x03\x01\x00\x05hello")
        alert = broken.sock.recv(100)
        assert (alert[0], len(alert)) == (0x15, 7)
        assert broken.sock.recv(1) == b""
        assert member.fence() == []
    assert f"{broken.name} went: TLS failed: " in room.ended()


def test_a_broken_record(room: ThreadRoom) -> None:
    """Ciphertext that was tampered with ends its sender: what came before was said, the leave is announced."""
    member, broken = room.peers(2)
    assert broken.layer
    broken.sock.sendall(broken.layer.send(b"whole\n") + b"\x17\x03\x03\x00\x20" + b"?" * 32)
    assert member.until("left")[-2:] == [
        f"[{broken.name}] whole",
        f"< The user {broken.name} left (1 user online)",
    ]
    assert member.fence() == []


def test_a_broken_record_of_a_stalled_member(room: ThreadRoom) -> None:
    """What it is owed cannot be encrypted any more; that ends it and nobody else."""
    talker = room.peer()
    broken = room.peer(receive_buffer=2048)
    assert broken.layer
    for number in range(300):
        talker.say(f"{number} {'x' * 4000}")
        talker.until(rf"^\[You\] {number} ")
    broken.sock.sendall(b"\x17\x03\x03\x00\x20" + b"?" * 32)
    while broken.sock.recv(1 << 20):
        pass
    talker.until(rf"^< The user {broken.name} left \(1 user online\)")
    assert talker.fence() == []


def test_no_close_notify_is_a_reset(start: Start) -> None:
    """An end of the connection that TLS does not vouch for drops the line that had not ended."""
    room = start("-v")
    member, cut_off = room.peers(2)
    cut_off.send("whole\nhal")
    cut_off.until("whole")
    cut_off.sock.shutdown(socket.SHUT_WR)
    assert member.until("left") == [f"[{cut_off.name}] whole", f"< The user {cut_off.name} left (1 user online)"]
    assert f"{cut_off.name} went: reset" in room.ended()


def test_key_updates(start: Start) -> None:
    """A member may renew its keys, as TLS 1.3 allows, but not hundreds of times: each costs as much as many lines."""
    room = start("-v")
    member = room.peer()
    with s_client(room, "-tls1_3", quiet=False) as openssl:
        assert openssl.stdin
        assert openssl.stdout
        for line in openssl.stdout:
            if line.startswith(b"> Connected"):
                break
        renewals = 0
        with contextlib.suppress(BrokenPipeError):
            while renewals < 10_000:  # how many it has sent when it learns of its end depends on the machine
                openssl.stdin.write(b"K\n")  # asks for new keys, if it comes alone
                openssl.stdin.flush()
                while (line := openssl.stdout.readline()) and not line.startswith(b"KEYUPDATE"):
                    pass
                if not line:
                    break
                renewals += 1
                if renewals == 20:
                    openssl.stdin.write(b"still here\n")
                    openssl.stdin.flush()
                    name = member.until(r"\] still here$")[-1].split("]")[0].removeprefix("[")
        assert 200 < renewals < 10_000
    assert member.until("left")[-1] == f"< The user {name} left (1 user online)"
    assert f"{name} went: TLS failed: too many records without data" in room.ended()


def test_client_certificates(start: Start, certificates: Certificates) -> None:
    """With --tls-client-ca only who has a certificate of that authority comes in."""
    room = start("-v", "--tls-client-ca", str(certificates.authority), identity=True)
    member = room.peer()
    without = room.stranger(context=certificates.context())
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
        without.rest()
    assert member.fence() == []
    assert f"{without.name} went: TLS failed: peer did not return a certificate" in room.ended()


def test_new_certificates(launch: Launch, certificates: Certificates, tmp_path: Path) -> None:
    """SIGHUP loads the certificates anew for those who come; bad ones change nothing, and the log says so."""
    used = Certificates(tmp_path)
    room = launch("--verbose", certificates=used)
    member = room.peer()
    renewed = Certificates(tmp_path)
    renewed.server.replace(used.server)
    room.signal(signal.SIGHUP)
    room.stderr_until("reloaded")
    room.context = renewed.context()
    room.peer()
    used.server.write_text("nonsense")
    room.signal(signal.SIGHUP)
    room.stderr_until(f"keeping the old certificates: cannot use {used.server}: no certificate and key in PEM format")
    assert room.peer().fence() == []
    assert "left" not in "".join(member.fence())


@pytest.mark.parametrize("members", [40, pytest.param(500, marks=[pytest.mark.full, pytest.mark.timeout(300)])])
def test_bad_peers_delay_nobody(start: Start, certificates: Certificates, members: int) -> None:
    """One stops in its handshake, one stops reading, one says nothing, one speaks plain text: nobody else notices."""
    room = start()
    talker, *others = room.peers(members)
    stuck, silent, plain, stalled = raw(room), raw(room), raw(room), room.peer(receive_buffer=2048)
    stuck.send(hello(certificates)[:200])
    plain.say("hello?")
    assert plain.rest() == [SPEAKS_TLS]
    texts = [f"{number} {'x' * 1000}" for number in range(30)]
    for text in texts:
        talker.say(text)
        talker.until(rf"^\[You\] {text}")
    talker.say("the end")
    gather(others, lambda peer: f"[{talker.name}] the end" in peer.lines)
    for peer in others:
        assert chat(peer.lines) == [f"[{talker.name}] {text}" for text in (*texts, "the end")]
        assert not any("left" in line for line in peer.lines)
    assert talker.fence() == ["[You] the end"]
    for peer in (stuck, silent, stalled):
        peer.close()


@pytest.mark.full
def test_a_handshake_has_ten_seconds(room: ThreadRoom, certificates: Certificates) -> None:
    """Who does not end its handshake is ended; who has not even begun it is told in plain text."""
    member = room.peer()
    stuck, silent = raw(room), raw(room)
    stuck.send(hello(certificates)[:200])
    assert silent.rest() == [SPEAKS_TLS]
    assert stuck.rest() == []
    assert member.fence() == []
