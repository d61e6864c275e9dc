"""`gpu_tui.Evaluator`: the evaluator over this machine and a bench in a child process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_tui import evaluator
from gpu_tui.clock import Clock, ManualClock, SystemClock
from gpu_tui.config import Settings
from gpu_tui.core.books import Books
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.errors import EndpointError
from gpu_tui.ports import BenchResult, TelemetrySource
from gpu_tui.wiring.machine import Options, load_settings, model_need, open_source, read_once
from gpu_tui.wiring.measuring import bench_result, demo_servers, measure_plan

if TYPE_CHECKING:
    from gpu_tui.bench.demo import DemoAddresses


class _BoundedSource:
    """A source whose `read` gives up in time, for callers that cannot wait for a driver that hangs."""

    def __init__(self, source: TelemetrySource, clock: Clock) -> None:
        self._source = source
        self._clock = clock

    def read(self) -> Snapshot:
        return read_once(self._source, self._clock)

    def close(self) -> None:
        self._source.close()


class _ChildBench:
    """Measures in a child process; with a simulated machine, its simulated endpoints."""

    def __init__(self, settings: Settings, options: Options) -> None:
        self._settings = settings
        self._options = options

    def measure(self, snapshot: Snapshot, books: Books, planned_utilization: float) -> BenchResult:
        if not self._options.simulated:
            return self._run(snapshot, books, planned_utilization, None)
        with demo_servers(snapshot) as servers:
            return self._run(snapshot, books, planned_utilization, servers.start())

    def _run(self, snapshot: Snapshot, books: Books, planned: float, demo: DemoAddresses | None) -> BenchResult:
        from gpu_tui.bench.child import measure_blocking
        from gpu_tui.bench.events import Summary

        plan = measure_plan(self._settings, self._options, snapshot, books, planned, demo=demo)
        summary = measure_blocking(plan)
        if not isinstance(summary, Summary):
            raise EndpointError("The measurement ended without figures.")
        return bench_result(summary)


class Evaluator(evaluator.Evaluator):
    """The optimizer's evaluator of this machine; see `gpu_tui.evaluator.Evaluator` for what it does.

    Args:
        options: another machine than the live one, or other settings than the configured ones.
        clock: the time.

    Raises:
        ConfigError: the configuration does not mean anything. A machine that cannot be read is no error here:
            its candidates come back ``unmeasured``.
    """

    def __init__(self, options: Options | None = None, *, clock: Clock | None = None) -> None:
        options = options or Options()
        clock = clock or SystemClock()
        settings = load_settings(options)
        # Headless, a scenario stands at its tick 0: its story must not change the verdict of the second candidate.
        source = open_source(options, settings, ManualClock(wall=clock.wall()) if options.simulated else clock)
        super().__init__(
            _BoundedSource(source, clock),
            _ChildBench(settings, options),
            settings,
            need_for=lambda snapshot: model_need(settings, snapshot),
            clock=clock,
        )
