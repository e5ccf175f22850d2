"""The counters as Prometheus sees them, over real HTTP."""

import logging
import logging.handlers
import queue
import shlex
import socket
import struct
import sys
import threading
import urllib.request
from collections.abc import Iterator
from typing import TypeAlias

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from chatctl.errors import ListenError, ResourceError
from chatctl.server import metrics
from chatctl.server.counters import Counters
from tests.rooms import PATIENCE

Diagnostics: TypeAlias = "queue.SimpleQueue[logging.LogRecord]"

READING = Counters(
    since=1700000000.5,
    users=3,
    held=1,
    asleep=7,
    links={"text": 2, "json": 1},
    outside=1,
    lines=1234,
    resumed=5,
    incomplete=4,
    bytes_in=5678,
    bytes_out=91011,
    refused={"server full": 2, "denied": 1},
    ended={"left": 9},
    cut={},
)


@pytest.fixture
def served() -> Iterator[metrics.Metrics]:
    """`READING` on a free port."""
    handle = metrics.serve("127.0.0.1:0", lambda: READING)
    yield handle
    handle.close()


@pytest.fixture
def diagnostics(caplog: pytest.LogCaptureFixture) -> Iterator[Diagnostics]:
    """What the server logs, to be waited for."""
    records: Diagnostics = queue.SimpleQueue()
    handler = logging.handlers.QueueHandler(records)
    caplog.set_level(logging.INFO, metrics.log.name)
    metrics.log.addHandler(handler)
    yield records
    metrics.log.removeHandler(handler)


def scrape(port: int, host: str = "127.0.0.1") -> dict[str, Metric]:
    """One scrape's families by name; a counter's is its name without ``_total``."""
    with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=PATIENCE) as answer:
        return {family.name: family for family in text_string_to_metric_families(answer.read().decode())}


def test_every_figure_is_served(served: metrics.Metrics) -> None:
    """Each counter has its name, its labels and its number."""
    families = scrape(served.port)
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for name, family in families.items()
        for sample in family.samples
        if name.startswith("chatctl_")
    }
    assert samples == {
        ("chatctl_start_time_seconds",): 1700000000.5,
        ("chatctl_users",): 3,
        ("chatctl_held",): 1,
        ("chatctl_asleep",): 7,
        ("chatctl_links", "text"): 2,
        ("chatctl_links", "json"): 1,
        ("chatctl_outside",): 1,
        ("chatctl_lines_total",): 1234,
        ("chatctl_resumed_total",): 5,
        ("chatctl_incomplete_total",): 4,
        ("chatctl_received_bytes_total",): 5678,
        ("chatctl_sent_bytes_total",): 91011,
        ("chatctl_refused_total", "server full"): 2,
        ("chatctl_refused_total", "denied"): 1,
        ("chatctl_ended_total", "left"): 9,
    }


def test_every_metric_says_what_it_is(served: metrics.Metrics) -> None:
    """Each has a type and a help text; what only grows is a counter."""
    ours = {name: family for name, family in scrape(served.port).items() if name.startswith("chatctl_")}
    assert all(family.documentation for family in ours.values())
    assert {name for name, family in ours.items() if family.type == "gauge"} == {
        "chatctl_start_time_seconds",
        "chatctl_users",
        "chatctl_held",
        "chatctl_asleep",
        "chatctl_links",
        "chatctl_outside",
    }
    assert {family.type for family in ours.values()} == {"gauge", "counter"}


@pytest.mark.skipif(sys.platform != "linux", reason="the process's figures are those of /proc")
def test_the_process_is_measured_too(served: metrics.Metrics) -> None:
    """Memory, processor time and descriptors come from the library."""
    assert {"process_resident_memory_bytes", "process_cpu_seconds", "process_open_fds"} <= scrape(served.port).keys()


def test_every_scrape_reads_anew() -> None:
    """Nothing is kept from one scrape to the next."""
    users = iter([1, 2])
    handle = metrics.serve("127.0.0.1:0", lambda: READING._replace(users=next(users)))
    try:
        assert [scrape(handle.port)["chatctl_users"].samples[0].value for _ in range(2)] == [1, 2]
    finally:
        handle.close()


def test_ipv6_is_served() -> None:
    """An address in brackets is one of IPv6."""
    handle = metrics.serve("[::1]:0", lambda: READING)
    try:
        assert scrape(handle.port, "[::1]")["chatctl_users"].samples[0].value == 3
    finally:
        handle.close()


def test_closing_leaves_nothing_behind() -> None:
    """The thread has ended and the port is free; closing again does nothing."""
    before = threading.enumerate()
    handle = metrics.serve("127.0.0.1:0", lambda: READING)
    handle.close()
    handle.close()
    assert set(threading.enumerate()) <= set(before)
    with socket.create_server(("127.0.0.1", handle.port)):
        pass


def test_a_silent_scraper_is_closed(monkeypatch: pytest.MonkeyPatch, diagnostics: Diagnostics) -> None:
    """Who connects and asks for nothing does not keep a thread for good."""
    monkeypatch.setattr(metrics, "_PATIENCE", 0.01)
    handle = metrics.serve("127.0.0.1:0", lambda: READING)
    try:
        with socket.create_connection(("127.0.0.1", handle.port), PATIENCE) as scraper:
            assert scraper.recv(1) == b""
    finally:
        handle.close()
    assert diagnostics.get(timeout=PATIENCE).getMessage().endswith("timed out")


def test_a_reset_is_one_line(
    served: metrics.Metrics, diagnostics: Diagnostics, capfd: pytest.CaptureFixture[str]
) -> None:
    """A scraper that breaks its connection is logged, without a traceback on stderr."""
    with socket.create_connection(("127.0.0.1", served.port)) as scraper:
        scraper.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        name = "{}:{}".format(*scraper.getsockname())
    assert diagnostics.get(timeout=PATIENCE).getMessage().startswith(f"metrics: {name}: ")
    assert capfd.readouterr().err == ""


def test_a_port_in_use_is_reported() -> None:
    """A taken port is an error that names it and says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ListenError, match=rf"^cannot serve metrics on {place}: .+: give --metrics another "):
            metrics.serve(place, lambda: READING)


@pytest.mark.parametrize("place", ["192.0.2.1:0", "a..b:0", "[2001:db8::1]:0"])
def test_an_address_that_is_not_ours_is_reported(place: str) -> None:
    """An address of another machine, a name that is none and an IPv6 address of another are errors as well."""
    with pytest.raises(ListenError, match=r"^cannot serve metrics on .+: give --metrics another "):
        metrics.serve(place, lambda: READING)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without prometheus_client the error says how to install it."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ResourceError) as raised:
        metrics.serve("127.0.0.1:0", lambda: READING)
    needed, _, command = str(raised.value).rpartition(": ")
    assert needed == "--metrics needs the package prometheus_client"
    assert command == f"{shlex.quote(sys.executable)} -m pip install 'chatctl[metrics]'"
