"""``check --wait-quiet`` and ``--on-unknown``: when to judge, and what a machine that cannot be judged means."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_tui import wiring
from gpu_tui.cli import exit_codes, output
from gpu_tui.core.books import keep_books
from gpu_tui.core.quiet import STEADY_BYTES, Quiet, see
from gpu_tui.errors import SourceUnavailable, UsageError
from gpu_tui.units import MIB, mib_to_bytes

if TYPE_CHECKING:
    from gpu_tui.clock import Clock
    from gpu_tui.config import Settings
    from gpu_tui.core.snapshot import Snapshot
    from gpu_tui.ports import TelemetrySource

EVERY_S = 1.0
"""Between readings."""
TIMEOUT_S = 60.0
"""systemd gives each ExecStartPre= 90 s, unless told otherwise: TimeoutStartSec= of systemd.service(5)."""
SAY_EVERY_S = 10.0


def configure(parser: argparse.ArgumentParser) -> None:
    """The flags."""
    group = parser.add_argument_group("as a condition for a start")
    group.add_argument(
        "--wait-quiet",
        metavar="S",
        type=_seconds,
        help="read every second until the GPU's free memory has been steady for S seconds, then judge",
    )
    group.add_argument(
        "--wait-timeout",
        metavar="T",
        type=_seconds,
        help=f"give up waiting after T seconds: unknown (default {TIMEOUT_S:g}, at least S + 30)",
    )
    group.add_argument(
        "--quiet-mib",
        metavar="N",
        type=float,
        default=STEADY_BYTES / MIB,
        help=f"what moves by less counts as steady, MiB (default {STEADY_BYTES // MIB})",
    )
    group.add_argument(
        "--on-unknown",
        choices=("fail", "pass"),
        default="fail",
        help="what a machine that cannot be judged means: exit 3 (fail, the default), or 0 with a warning (pass)",
    )


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value <= 86400:  # refuses NaN as well
        raise argparse.ArgumentTypeError(f"{text!r}: give seconds above 0")
    return value


def refuse(args: argparse.Namespace) -> None:
    """Refuse what means nothing together.

    Raises:
        UsageError: there is nothing to wait for.
    """
    if args.wait_quiet is None:
        if args.wait_timeout is not None:
            raise UsageError(
                "--wait-timeout is about --wait-quiet.", "Say for how long it must be quiet, or leave it out."
            )
        return
    if args.wait_timeout is not None and args.wait_timeout < args.wait_quiet:
        raise UsageError(
            f"--wait-timeout {args.wait_timeout:g} ends before it can have been quiet for {args.wait_quiet:g} s.",
            "Give it more than --wait-quiet, or leave it out.",
        )
    if not 0 < args.quiet_mib < 1e9:
        raise UsageError("--quiet-mib must be above 0.", "Leave it out for 64 MiB.")
    if args.options.replay is not None or args.options.scenario == "-":
        raise UsageError(
            "--wait-quiet is about a machine that goes on, no recording and no cases.",
            "Leave it out.",
        )


def on_unknown(args: argparse.Namespace, judge: Callable[[], int]) -> int:
    """What `judge` says, with the unknown turned into what was asked for.

    Raises:
        SourceUnavailable: the machine cannot be read, and that is to fail.
    """
    if args.on_unknown == "fail":
        return judge()
    try:
        code = judge()
    except SourceUnavailable as error:
        output.error(error)
        code = exit_codes.UNAVAILABLE
    if code != exit_codes.UNAVAILABLE:
        return code
    output.note("NOT CHECKED: --on-unknown pass lets the start go on, and nothing says that it fits.")
    return exit_codes.OK


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Reads until the memory is steady."""

    quiet_s: float
    timeout_s: float
    steady_bytes: int
    settings: Settings

    @classmethod
    def of(cls, args: argparse.Namespace, settings: Settings) -> Waiting | None:
        """As the flags ask; None: one reading is enough."""
        if args.wait_quiet is None:
            return None
        timeout = args.wait_timeout or max(TIMEOUT_S, args.wait_quiet + 30)
        return cls(
            quiet_s=args.wait_quiet,
            timeout_s=timeout,
            steady_bytes=mib_to_bytes(args.quiet_mib),
            settings=settings,
        )

    def __call__(self, source: TelemetrySource, clock: Clock) -> Snapshot:
        """The reading to judge.

        Raises:
            SourceUnavailable: it was never steady for so long, or could not be read to the end.
            UsageError: it is open which GPU is meant.
        """
        began, said = clock.monotonic(), float("-inf")
        never, quiet = threading.Event(), None
        failed: SourceUnavailable | None = None
        output.note(
            f"Waiting until the GPU's free memory moves by less than {self.steady_bytes / MIB:g} MiB "
            f"for {self.quiet_s:g} s (at most {self.timeout_s:g} s)."
        )
        while True:
            try:
                snapshot = wiring.read_once(source, clock)
            except SourceUnavailable as error:
                if error.kind == "timeout":
                    raise  # a driver that hangs holds the thread that asked it: it is not asked again
                failed, quiet = error, None
            else:
                failed, quiet = None, self._see(quiet, snapshot)
                if quiet.lasted_s >= self.quiet_s and not quiet.unknown:
                    output.note(f"Steady for {quiet.lasted_s:.0f} s.")
                    return snapshot
            now = clock.monotonic()
            if now - began >= self.timeout_s:
                raise failed or self._never(quiet)
            if quiet is not None and quiet.moved and quiet.since_s > said + SAY_EVERY_S:
                said = now
                output.note(f"Not yet: {quiet.moved}.")
            clock.wait(min(EVERY_S, max(0.01, began + self.timeout_s - now)), never)

    def _see(self, quiet: Quiet | None, snapshot: Snapshot) -> Quiet:
        rules = wiring.classifier(self.settings)
        gpus = wiring.choose_gpus(snapshot, self.settings, rules)
        held: dict[str, int] = {}
        for gpu in gpus:
            for service in keep_books(snapshot, gpu, rules, self.settings.restarts).services:
                if service.used_bytes is not None:
                    held[service.name] = held.get(service.name, 0) + service.used_bytes
        free = {gpu.label: gpu.free_bytes for gpu in gpus}
        return see(quiet, snapshot.taken_monotonic, free, held, steady_bytes=self.steady_bytes)

    def _never(self, quiet: Quiet | None) -> SourceUnavailable:
        why = f": {quiet.moved}" if quiet is not None and quiet.moved else ""
        return SourceUnavailable(
            f"The GPU's memory was never steady for {self.quiet_s:g} s within {self.timeout_s:g} s{why}.",
            "Start when nothing else starts or stops, wait longer with --wait-timeout, or allow more with --quiet-mib.",
            kind="not_quiet",
        )
