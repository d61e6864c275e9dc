"""No command: the terminal UI. Without a terminal it prints what it would show, once."""

from __future__ import annotations

import argparse
import os
import sys

from gpu_tui import wiring
from gpu_tui.cli import exit_codes, heap, output
from gpu_tui.clock import SystemClock
from gpu_tui.config import Settings
from gpu_tui.ports import TelemetrySource

FRAMES_PER_S = "240"
"""Upper bound of frames per second; one is drawn only when something has changed."""

SWITCH_S = 0.001
"""How long a thread of ours keeps the interpreter from another that wants it. At Python's own 5 ms, a key pressed while
the machine is being read waits so long at each of the threads that it passes: input, screen, output."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the TUI."""
    parser.add_argument("--interval", type=float, metavar="S", help="seconds between readings (default 1)")
    parser.add_argument("--quiet", action="store_const", const=False, help="no bell when an alert is raised")


def run(args: argparse.Namespace, options: wiring.Options, settings: Settings) -> int:
    """Show the explorer until it is left. Without a terminal, print services and verdict once.

    Raises:
        SourceUnavailable: without a terminal only: the machine cannot be read.
    """
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        return _print_once(args, settings)
    # Textual reads it when imported. At its own 60, a key that meets a reading's frame waits 16 ms for the next one.
    os.environ.setdefault("TEXTUAL_FPS", FRAMES_PER_S)
    from gpu_tui.tui.app import GpuTuiApp

    output.draw_in_utf8()
    sys.setswitchinterval(SWITCH_S)
    clock = SystemClock()
    # A mistake in a scenario is told before the screen is taken; a live machine waits for the first frame.
    source: TelemetrySource | None = None
    if options.replay is not None:
        from gpu_tui.wiring.replaying import open_replay

        source = open_replay(options.replay, clock, playing=True)
    elif options.simulated:
        source = wiring.open_source(options, settings, clock)
    app = GpuTuiApp(
        options, settings, source=source, clock=clock, no_color="NO_COLOR" in os.environ, started=heap.started
    )
    app.run()
    if app.mistake is not None:
        raise app.mistake
    if app.telemetry.hangs:
        # A driver call that never returns must not keep the interpreter from ending.
        sys.stdout.flush()
        os._exit(app.return_code or 0)
    return app.return_code or 0


def _print_once(args: argparse.Namespace, settings: Settings) -> int:
    from gpu_tui.cli import reading
    from gpu_tui.cli.commands import check

    output.note("This is no terminal: printed once instead of the explorer.")
    seen = reading.look(args.options, settings)
    args.util, _ = wiring.start_utilization(settings, seen.snapshot, seen.books(seen.gpus[0]))
    asked = argparse.ArgumentParser(add_help=False)
    check.configure(asked)  # what was not said is as the command has it
    code = check.run(argparse.Namespace(**{**vars(asked.parse_args([])), **vars(args), "json": False}), settings)
    return exit_codes.OK if code == exit_codes.INVALID else code
