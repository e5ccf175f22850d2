"""The counters for Prometheus, over HTTP on an address of their own: the one module that knows prometheus_client.

That package comes with ``chatctl[metrics]`` and is imported where it is needed.
"""

import contextlib
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from chatctl.errors import ListenError, ResourceError, installing
from chatctl.server.counters import Counters
from chatctl.wire import Address, host_and_port

if TYPE_CHECKING:
    from wsgiref.simple_server import WSGIServer

    from prometheus_client.metrics_core import Metric
    from prometheus_client.registry import Collector

_PATIENCE = 5.0  # seconds a scraper may be silent, as each has a thread
_PAUSE = 0.5  # seconds not to accept when that failed

log = logging.getLogger("chatctl.server")


def serve(place: str, read: Callable[[], Counters]) -> "Metrics":
    """Serve the counters until the result is closed.

    Args:
        place: HOST:PORT; port 0 picks a free one.
        read: called for every scrape, in a thread of its own, maybe in several at a time.

    Raises:
        ListenError: the address cannot be had.
        ResourceError: prometheus_client is not installed.
    """
    host, port = host_and_port(place)
    assert port is not None
    try:
        import prometheus_client
    except ImportError as error:
        needed = f"--metrics needs the package prometheus_client: {installing('metrics')}"
        raise ResourceError(needed) from error
    registry = prometheus_client.CollectorRegistry()
    prometheus_client.ProcessCollector(registry=registry)
    registry.register(_collector(read))
    try:
        server, thread = prometheus_client.start_http_server(port, host, registry)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise ListenError(f"cannot serve metrics on {place}: {why}: give --metrics another address or port") from error
    return Metrics(server, thread)


class Metrics:
    """A server of metrics at work in its threads."""

    def __init__(self, server: "WSGIServer", thread: threading.Thread) -> None:
        handler: Any = server.RequestHandlerClass
        server.RequestHandlerClass = type("Handler", (handler,), {"timeout": _PATIENCE})
        server.handle_error = _note  # type: ignore[method-assign]  # else a traceback for every scraper that resets
        server.get_request = _patiently(server.get_request)  # type: ignore[method-assign]
        self.port = server.server_port
        self._server = server
        self._thread = thread

    def close(self) -> None:
        """Stop serving. A scrape that has begun may still call ``read``."""
        with contextlib.suppress(OSError):  # wakes Linux's poll; elsewhere it sees the end within half a second
            self._server.socket.shutdown(socket.SHUT_RDWR)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _patiently(accept: Callable[[], Any]) -> Callable[[], Any]:
    """Let the processor rest when there is no descriptor to accept a scraper with."""

    def get_request() -> Any:
        try:
            return accept()
        except OSError:
            time.sleep(_PAUSE)
            raise

    return get_request


def _note(request: object, client_address: Any) -> None:
    log.info("metrics: %s: %s", Address.of(client_address), sys.exception())


def _collector(read: Callable[[], Counters]) -> "Collector":
    from prometheus_client.core import CounterMetricFamily as Counter
    from prometheus_client.core import GaugeMetricFamily as Gauge
    from prometheus_client.registry import Collector

    class Reading(Collector):
        def collect(self) -> "Iterator[Metric]":
            now = read()
            yield Gauge("chatctl_start_time_seconds", "When the server began, in Unix time.", now.since)
            yield Gauge("chatctl_users", "Members in the room.", now.users)
            yield Gauge("chatctl_held", "Members whose connections are lost, and who are waited for.", now.held)
            yield Gauge("chatctl_asleep", "Places kept of members that have gone.", now.asleep)
            links = Gauge("chatctl_links", "Members connected, by the dialect that they read.", labels=["dialect"])
            for dialect, number in now.links.items():
                links.add_metric([dialect], number)
            yield links
            yield Gauge("chatctl_outside", "Connections in a TLS handshake or without the password.", now.outside)
            yield Counter("chatctl_lines_total", "Chat lines said.", now.lines)
            yield Counter("chatctl_resumed_total", "Members that came back to their places.", now.resumed)
            yield Counter("chatctl_incomplete_total", "Of them, those that have missed something.", now.incomplete)
            yield Counter("chatctl_received_bytes_total", "Bytes read, without those of TLS.", now.bytes_in)
            yield Counter("chatctl_sent_bytes_total", "Bytes sent, without those of TLS.", now.bytes_out)
            if stored := now.stored:
                yield Counter("chatctl_stored_bytes_total", "Bytes written to the store.", stored.bytes)
                yield Counter("chatctl_stored_lines_total", "Lines written to the store.", stored.lines)
                yield Counter("chatctl_store_writes_total", "Times that the store was written.", stored.writes)
                yield Counter("chatctl_store_seconds_total", "Seconds that this took.", stored.seconds)
                yield Counter("chatctl_store_missing_total", "Events that could not be stored.", stored.missing)
            for name, help_text, reasons in (
                ("chatctl_refused_total", "Newcomers refused, by reason.", now.refused),
                ("chatctl_ended_total", "Members who left or were lost, by reason.", now.ended),
                ("chatctl_cut_total", "Members whom the server ended, by reason.", now.cut),
            ):
                family = Counter(name, help_text, labels=["reason"])
                for reason, number in reasons.items():
                    family.add_metric([reason], number)
                yield family

    return Reading()
