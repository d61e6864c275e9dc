"""No command: the terminal UI. Without a terminal it prints what it would show, once."""

from __future__ import annotations

import argparse
import os
import sys

from gpu_tui import wiring
from gpu_tui.config import Settings


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the TUI."""
    parser.add_argument("--interval", type=float, metavar="S", help="seconds between readings (default 1)")


def run(args: argparse.Namespace, options: wiring.Options, settings: Settings) -> int:
    """Show the explorer until it is left; the exit code is 0."""
    from gpu_tui.tui.app import GpuTuiApp

    app = GpuTuiApp(options, settings, no_color="NO_COLOR" in os.environ)
    app.run()
    if app.telemetry.hangs:
        # A driver call that never returns must not keep the interpreter from ending.
        sys.stdout.flush()
        os._exit(app.return_code or 0)
    return app.return_code or 0
