"""One reading of the machine, as the headless commands take it, and the words they share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from gpu_tui import wiring
from gpu_tui.cli import output
from gpu_tui.clock import Clock, SystemClock
from gpu_tui.config import Settings
from gpu_tui.core.books import Books, keep_books
from gpu_tui.core.choice import HIGHEST_PORT, find_instance
from gpu_tui.core.services import Classifier
from gpu_tui.core.snapshot import Gpu, Snapshot
from gpu_tui.ports import TelemetrySource
from gpu_tui.units import format_mib
from gpu_tui.view.text import clean


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was read, and which GPUs it is about."""

    snapshot: Snapshot
    gpus: tuple[Gpu, ...]
    rules: Classifier
    settings: Settings
    clock: Clock
    source: TelemetrySource
    """What was read from; open still."""

    @property
    def age_s(self) -> float:
        """Seconds since the reading."""
        return max(0.0, self.clock.monotonic() - self.snapshot.taken_monotonic)

    def books(self, gpu: Gpu) -> Books:
        """A GPU's books, whichever instance restarts."""
        return keep_books(self.snapshot, gpu, self.rules, self.settings.restarts)


def look(
    options: wiring.Options,
    settings: Settings,
    *,
    default_gpu: str | None = None,
    wait: Callable[[TelemetrySource, Clock], Snapshot] | None = None,
) -> Look:
    """Read the machine once and choose the GPUs.

    Args:
        options: which machine.
        settings: which GPU and instance.
        default_gpu: taken where none is chosen; None asks for a choice when there are several.
        wait: reads until the machine is as it should be; None: the first reading is taken.

    Raises:
        SourceUnavailable: it cannot be read, or not in time.
        UsageError: it is open, or mistaken, which GPU is meant.
    """
    clock = SystemClock()
    source = wiring.open_source(options, settings, clock)
    if options.replay is not None:
        from gpu_tui.wiring.replaying import replay_notes

        for words in replay_notes(source):
            output.note(words)
    snapshot = wiring.read_once(source, clock) if wait is None else _waited(source, clock, options, wait)
    if wait is None:
        _say_if_simulated(snapshot)
    if settings.gpu is None and default_gpu is not None:
        settings = replace(settings, gpu=default_gpu)
    rules = wiring.classifier(settings)
    gpus = wiring.choose_gpus(snapshot, settings, rules)
    _say_if_absent(snapshot, settings, rules)
    return Look(snapshot=snapshot, gpus=gpus, rules=rules, settings=settings, clock=clock, source=source)


def _waited(
    source: TelemetrySource,
    clock: Clock,
    options: wiring.Options,
    wait: Callable[[TelemetrySource, Clock], Snapshot],
) -> Snapshot:
    if options.simulated:
        _say_if_simulated(wiring.read_once(source, clock))  # first: a wait may end without a verdict
    return wait(source, clock)


def _say_if_simulated(snapshot: Snapshot) -> None:
    if snapshot.simulated:
        output.note(f"SIMULATED: scenario {clean(snapshot.source_detail, 80)}, not this machine.")


def _say_if_absent(snapshot: Snapshot, settings: Settings, rules: Classifier) -> None:
    port = settings.restarts
    if port is not None and port <= HIGHEST_PORT and find_instance(snapshot, rules, port) is None:
        output.note(f"No vLLM instance has the pid or port {port}: nothing comes free, all memory in use stays.")


def mib(size: int | None) -> str:
    """A size in MiB digits, or ``unknown``."""
    return "unknown" if size is None else format_mib(size)


def headline(snapshot: Snapshot, gpu: Gpu) -> str:
    """Which GPU of which machine."""
    where = f"SIMULATED: scenario {clean(snapshot.source_detail, 80)}" if snapshot.simulated else snapshot.source_detail
    return f"GPU {gpu.label}  {clean(gpu.name, 64)}  {mib(gpu.total_bytes)} MiB  ({where})"
