"""``gpu-tui record FILE``: what is seen of the machine, observation by observation, until it is told to end."""

from __future__ import annotations

import argparse
import math
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from gpu_tui import wiring
from gpu_tui.cli import exit_codes, output
from gpu_tui.cli.main import COMPLETE_FILE
from gpu_tui.clock import SystemClock
from gpu_tui.config import Settings
from gpu_tui.view.text import clean

if TYPE_CHECKING:
    from gpu_tui.telemetry.recording.writer import Progress

NO_REPLAY = "record keeps what is seen of a machine now, and a recording is kept already."

_EPILOG = """\
JSON lines, compressed: zcat FILE | head shows them. Secrets on command lines are masked; users' names are kept.
With the machine goes what the running vLLM's command line, log, metrics and model files tell of its start.
A FILE that is a recording is gone on with. A full one becomes FILE.1, the one before FILE.2.

examples:
  gpu-tui record today.rec                       until Ctrl-C
  gpu-tui record night.rec --duration 36000      ten hours
  gpu-tui --replay today.rec                     the explorer on it
  gpu-tui check --util 0.45 --replay today.rec@14:03

exit codes: 0 recorded, 2 wrong usage, 3 nothing could be read all the while, 74 the file could not be written
"""

CHECK_S = 1.0
"""How often is looked whether the driver hangs; nothing is read for it."""


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0")
    return value


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def configure(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    parser.epilog = _EPILOG
    file = parser.add_argument("file", metavar="FILE", type=Path, help="made where there is none, for this user alone")
    vars(file)["complete"] = COMPLETE_FILE
    parser.add_argument("--interval", type=float, metavar="S", help="seconds between observations (default 1)")
    parser.add_argument("--duration", type=_seconds, metavar="S", help="end after so many seconds")
    parser.add_argument("--max-mib", type=_seconds, metavar="N", default=1024.0, help="size of a full file (1024)")
    parser.add_argument("--keep", type=_count, metavar="N", default=3, help="full files that stay (default 3)")
    parser.add_argument("--no-host", action="store_true", help="leave this machine's name out")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Record until SIGINT, SIGTERM or the duration ends it.

    Raises:
        ConfigError: the file cannot be written.
        UsageError: it is something else than a recording, or another recorder has it.
    """
    from gpu_tui.cli.recorder import Recorder
    from gpu_tui.wiring.recorded_start import Observed
    from gpu_tui.wiring.replaying import open_recorder

    clock = SystemClock()
    source = Observed(wiring.open_source(args.options, settings, clock), settings, clock)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: ended.set())
    writer = open_recorder(
        args.file,
        clock,
        interval_s=settings.interval_s,
        host=not args.no_host,
        max_bytes=int(args.max_mib * 2**20),
        keep=args.keep,
        note=output.note,
    )
    if args.options.simulated:
        output.note("SIMULATED: this records an invented machine, and says so.")
    output.note(f"Recording into {args.file}; Ctrl-C ends it.")
    recorder = Recorder(source, writer, clock, interval_s=settings.interval_s, on_fault=output.note)
    failure = recorder.run(ended, args.duration, CHECK_S)
    output.write(_summary(writer.progress))
    if failure is not None:
        output.error(failure)
        return exit_codes.OUTPUT
    return exit_codes.OK if recorder.seen else exit_codes.UNAVAILABLE


def _summary(progress: Progress) -> str:
    from gpu_tui.telemetry.recording.when import told

    if progress.first_at is None or progress.last_at is None:
        return f"{clean(str(progress.path))}: nothing was recorded"
    count = progress.observations
    size = f"{progress.bytes / 2**20:.1f} MiB" if progress.bytes >= 2**20 else f"{progress.bytes / 1024:.1f} KiB"
    rotated = f", {progress.rotations} full files set aside" if progress.rotations else ""
    return (
        f"{clean(str(progress.path))}: {count} observation{'' if count == 1 else 's'}, {told(progress.first_at)} to "
        f"{told(progress.last_at)}, {size}{rotated}"
    )
