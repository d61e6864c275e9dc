"""Serves scrapes. Bounded: so many clients and scrapes at once; whatever they do, readings go on."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import CollectorRegistry

from gpu_tui.errors import GpuTuiError
from gpu_tui.wire_metrics import Family

MOST_AT_ONCE = 8
"""Scrapes served at the same time; more are told to come back. Ours to choose: Prometheus sends one."""
MOST_CONNECTIONS = 64
"""Clients connected at the same time, each with a thread; more are turned away unheard."""
CLIENT_S = 5.0
"""Longest a client may take for a step of its request or of its answer."""
PATH = "/metrics"
_TEXT = "text/plain; charset=utf-8"
_INDEX = b'<!doctype html><title>gpu-tui</title><h1>gpu-tui exporter</h1><p><a href="/metrics">Metrics</a></p>\n'


class Collector:
    """Families as prometheus-client takes them."""

    def __init__(self, families: Callable[[], list[Family]]) -> None:
        self._families = families

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Called once a scrape."""
        for family in self._families():
            kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
            names = tuple(family.samples[0][0]) if family.samples else ()
            made = kind(family.name, family.help, labels=names)
            for labels, value in family.samples:
                made.add_metric([labels[name] for name in names], value)
            yield made


class Scrapes:
    """How often and how well scrapes were answered."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = {"ok": 0, "error": 0, "busy": 0}

    def count(self, result: str) -> None:
        """One scrape has ended so: ``ok``, ``error`` or ``busy``."""
        with self._lock:
            self._counts[result] += 1

    def family(self) -> Family:
        """For the next scrape."""
        with self._lock:
            samples: list[tuple[dict[str, str], float]] = [({"result": k}, float(n)) for k, n in self._counts.items()]
        return Family(name="gpu_tui_scrapes_total", help="Scrapes by how they ended.", kind="counter", samples=samples)


class Server:
    """Listens and serves on threads of its own.

    Args:
        host: a name or an address; port: 0 takes a free one.
        families: what to tell; called on a serving thread, so it must not wait.

    Raises:
        GpuTuiError: the address cannot be listened on.
    """

    def __init__(self, host: str, port: int, families: Callable[[], list[Family]]) -> None:
        self.scrapes = Scrapes()
        registry = CollectorRegistry(auto_describe=False)
        registry.register(Collector(lambda: [*families(), self.scrapes.family()]))
        self._http = _listen(host, port, registry, self.scrapes)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.2,), name="gpu-tui-http", daemon=True)

    @property
    def url(self) -> str:
        """Where it is to be found."""
        host, port = self._http.server_address[:2]
        shown = f"[{host!s}]" if ":" in str(host) else str(host)
        return f"http://{shown}:{port}{PATH}"

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def close(self) -> None:
        """Stop listening; scrapes under way are left to end by themselves."""
        if self._thread.is_alive():
            self._http.shutdown()
        self._http.server_close()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 32

    def __init__(self, address: tuple[str, int], registry: CollectorRegistry, scrapes: Scrapes) -> None:
        self.registry = registry
        self.scrapes = scrapes
        self.free = threading.BoundedSemaphore(MOST_AT_ONCE)
        self.slots = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """One more client, if there is room for it."""
        if self.slots.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """On the client's thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news, and nothing of it belongs on our standard error."""


class _Http6(_Http):
    address_family = socket.AF_INET6


def _listen(host: str, port: int, registry: CollectorRegistry, scrapes: Scrapes) -> _Http:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, address = found[0][0], found[0][4]
        kind = _Http6 if family == socket.AF_INET6 else _Http
        return kind((str(address[0]), port), registry, scrapes)
    except OSError as error:
        said = error.strerror or str(error)
        raise GpuTuiError(
            f"The exporter cannot listen on {host} port {port}: {said}.",
            "End what listens there, or choose another address with --listen HOST:PORT.",
        ) from None


class _Handler(BaseHTTPRequestHandler):
    timeout = CLIENT_S
    server: _Http
    server_version = "gpu-tui"
    sys_version = ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/":
            self._send(HTTPStatus.OK, "text/html; charset=utf-8", _INDEX)
        elif path != PATH:
            self._send(HTTPStatus.NOT_FOUND, _TEXT, b"Metrics are at /metrics.\n")
        elif not self.server.free.acquire(blocking=False):
            self.server.scrapes.count("busy")
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, b"Too many scrapes at once.\n")
        else:
            try:
                self._scrape()
            finally:
                self.server.free.release()

    def do_HEAD(self) -> None:
        self.do_GET()

    def _scrape(self) -> None:
        try:
            encode, kind = choose_encoder(self.headers.get("Accept") or "")
            body = encode(self.server.registry)
        except Exception as error:  # noqa: BLE001 - told to whoever scrapes, and counted
            self.server.scrapes.count("error")
            words = f"gpu-tui has made a mistake: {type(error).__name__}\n".encode()
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, _TEXT, words)
            return
        self.server.scrapes.count("ok")
        self._send(HTTPStatus.OK, kind, body)

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        with contextlib.suppress(OSError):  # whoever asked has gone away
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Nothing: a scrape every 15 s is no news."""
