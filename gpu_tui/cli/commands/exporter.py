"""``gpu-tui exporter``: metrics for Prometheus, until it is ended."""

from __future__ import annotations

import argparse
import ipaddress
import signal
import threading

from gpu_tui.cli import exit_codes, output
from gpu_tui.clock import SystemClock
from gpu_tui.config import Settings
from gpu_tui.view.text import clean

NO_REPLAY = "exporter tells of a machine now: Prometheus would keep a recording's figures as today's."

DEFAULT_LISTEN = ("127.0.0.1", 9835)

_EPILOG = """\
Needs prometheus-client, the extra "exporter". Scrape it with:
  scrape_configs:
    - job_name: gpu-tui
      static_configs: [{targets: ["127.0.0.1:9835"]}]

exit codes: 0 ended by SIGTERM, 2 wrong usage or configuration, 3 it cannot listen, or prometheus-client is missing
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    parser.epilog = _EPILOG
    parser.add_argument(
        "--listen",
        metavar="HOST:PORT",
        type=listen_address,
        default=DEFAULT_LISTEN,
        help="where to serve (default 127.0.0.1:9835); port 0 takes a free one",
    )
    parser.add_argument("--interval", type=float, metavar="S", help="seconds between readings (default 1)")


def listen_address(text: str) -> tuple[str, int]:
    """``HOST:PORT``, ``[::1]:PORT`` or ``PORT`` as host and port.

    Raises:
        argparse.ArgumentTypeError: it is neither.
    """
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise argparse.ArgumentTypeError(f"{text!r}: write an IPv6 address in brackets, as in [::1]:9835")
    if not (port.isascii() and port.isdigit() and int(port) < 65536) or (colon and not host):
        raise argparse.ArgumentTypeError(f"{text!r} is no HOST:PORT, such as 127.0.0.1:9835")
    return host or DEFAULT_LISTEN[0], int(port)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Serve until SIGTERM.

    Raises:
        GpuTuiError: it cannot listen there, or prometheus-client is missing.
    """
    from gpu_tui.wiring.exporting import Exporter

    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    host, port = args.listen
    exporter = Exporter(args.options, settings, SystemClock(), host, port, tell=_tell)
    if args.options.simulated:
        output.note("SIMULATED: these metrics are not about this machine; every series says so.")
    if not _is_loopback(host):
        output.note(
            f"Warning: whoever can reach {clean(host, 80)} can read these metrics; nothing asks for a password."
        )
    exporter.start()
    output.note(f"Serving {clean(exporter.url, 120)}")
    while not ended.wait(3600):
        pass  # a wait without an end would not let a signal through on every platform
    exporter.close()
    return exit_codes.OK


def _tell(sentence: str) -> None:
    output.note(clean(sentence, 400))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
