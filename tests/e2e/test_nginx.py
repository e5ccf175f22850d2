"""The sample of docs/server.md for nginx, before a room."""

import contextlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from tests.documents import ROOT, blocks
from tests.rooms import PATIENCE, Certificates, Room

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")


@contextlib.contextmanager
def proxy(sample: str, directory: Path, port: int) -> Iterator[None]:
    """Nginx with a part of its configuration, as soon as it listens."""
    config = directory / "nginx.conf"
    config.write_text(
        f"daemon off; master_process off; pid {directory}/pid; error_log stderr crit; events {{}}\n"
        f"http {{ access_log off; client_body_temp_path {directory}; proxy_temp_path {directory};\n"
        f"fastcgi_temp_path {directory}; uwsgi_temp_path {directory}; scgi_temp_path {directory};\n{sample} }}\n"
    )
    command = [NGINX or "", "-p", str(directory), "-c", str(config)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + PATIENCE
            while not listens(port):
                assert process.poll() is None, process.stderr and process.stderr.read()
                assert time.monotonic() < deadline
            yield
        finally:
            process.terminate()


def listens(port: int) -> bool:
    """Whether somebody is there."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.skipif(not NGINX, reason="nginx is not installed")
def test_a_page_behind_nginx(mode: str, tmp_path: Path, certificates: Certificates) -> None:
    """It comes in by the proxy's name and certificate, and who it is goes by where it comes from."""
    room = Room(mode, "-v", "--web", "127.0.0.1:0", "--web-host", "chat.example.org", "--web-proxy", "127.0.0.1")
    page = next(line for line in room.stderr_until("in a browser: ") if "in a browser: " in line).split()[-1]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (block,) = [block for block in blocks(ROOT / "docs" / "server.md") if block.kind == "nginx"]
    sample = block.text.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl").replace(
        "http://127.0.0.1:8080", page.rstrip("/")
    )
    for name in ("/etc/ssl/chat.pem", "/etc/ssl/chat.key"):
        sample = sample.replace(name, str(certificates.server))
    context = certificates.context()
    context.check_hostname = False

    def come(origin: str, **options: Any) -> ClientConnection:
        sock = socket.create_connection(("127.0.0.1", port))
        stack.callback(sock.close)
        opened: ClientConnection = connect(
            uri, origin=Origin(origin), ssl=context, sock=sock, proxy=None, compression=None, **options
        )
        return stack.enter_context(opened)

    uri = "wss://chat.example.org/ws"
    with contextlib.ExitStack() as stack:
        stack.callback(room.stop)
        stack.enter_context(proxy(sample, tmp_path, port))
        member = come("https://chat.example.org", additional_headers={"X-Forwarded-For": "203.0.113.7"})
        assert json.loads(member.recv(PATIENCE))["kind"] == "hello"
        member.send("/enter {}")
        assert json.loads(member.recv(PATIENCE))["you"].startswith("203.0.113.7:")
        with pytest.raises(InvalidStatus, match="403"):
            come("https://evil.example")
