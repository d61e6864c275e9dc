"""`gpu_tui.Evaluator`: the evaluator over this machine and a bench in a child process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gpu_tui import evaluator
from gpu_tui.clock import Clock, ManualClock, SystemClock
from gpu_tui.config import Settings
from gpu_tui.core.books import Books
from gpu_tui.core.checks import ModelNeed
from gpu_tui.core.snapshot import Gpu, Snapshot
from gpu_tui.core.start_inputs import StartInputs
from gpu_tui.errors import EndpointError, GpuTuiError
from gpu_tui.evaluator import Result
from gpu_tui.ports import BenchResult, TelemetrySource
from gpu_tui.wiring.machine import Options, load_settings, model_need, open_source, read_once
from gpu_tui.wiring.measuring import bench_result, demo_servers, measure_plan
from gpu_tui.wiring.planning import means_running, planned_start

if TYPE_CHECKING:
    from gpu_tui.bench.demo import DemoAddresses
    from gpu_tui.bench.events import RequestDone, Summary
    from gpu_tui.bench.plan import MeasurePlan

    _Measured = tuple[Snapshot, Books, Summary, list[RequestDone]]


REFRESH_S = 30.0
"""How often the running server's model is looked at again."""


class _BoundedSource:
    """A source whose `read` gives up in time, for callers that cannot wait for a driver that hangs."""

    def __init__(self, source: TelemetrySource, clock: Clock) -> None:
        self._source = source
        self._clock = clock

    def read(self) -> Snapshot:
        return read_once(self._source, self._clock)

    def close(self) -> None:
        self._source.close()


class _Needs:
    """What the planned model takes, as `check` and the explorer reckon it.

    What the running server tells is kept for `REFRESH_S`: an optimizer asks for every candidate.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._known: tuple[tuple[int, float | None], float, StartInputs | None] | None = None

    def __call__(self, snapshot: Snapshot | None, gpu: Gpu | None, books: Books | None) -> ModelNeed:
        base = model_need(self._settings, snapshot)
        if snapshot is None or gpu is None or books is None:
            return base
        known = self._running(snapshot, books) if means_running(self._settings, snapshot, books) else None
        start = planned_start(self._settings, snapshot, gpu, books, base, known)
        return base if start is None else start.need

    def _running(self, snapshot: Snapshot, books: Books) -> StartInputs | None:
        from gpu_tui.wiring.evidence import Seeker

        pid = books.chosen.owner_pid if books.chosen is not None else 0
        info = snapshot.processes.get(pid)
        who, now = (pid, info.started_at if info is not None else None), self._clock.monotonic()
        if self._known is None or self._known[0] != who or now - self._known[1] >= REFRESH_S:
            self._known = (who, now, Seeker(self._clock).running(snapshot, books).inputs)
        return self._known[2]


class _ChildBench:
    """Measures in a child process; with a simulated machine, its simulated endpoints."""

    def __init__(self, settings: Settings, options: Options) -> None:
        self._settings = settings
        self._options = options
        self._last: _Measured | None = None

    def take(self) -> _Measured | None:
        """The run that was measured since the last call, if one was."""
        taken, self._last = self._last, None
        return taken

    def measure(
        self, snapshot: Snapshot, books: Books, planned_utilization: float, whisper_label: str | None
    ) -> BenchResult:
        if self._options.replay is not None:
            raise EndpointError(
                "A recording has no services that could be measured.", "Leave --replay out to measure those of now."
            )

        def plan(demo: DemoAddresses | None) -> MeasurePlan:
            made = measure_plan(self._settings, self._options, snapshot, books, planned_utilization, demo=demo)
            if whisper_label is None:
                return made
            return replace(made, stt_size=whisper_label, stt_size_origin="the candidate")

        if not self._options.simulated:
            return self._run(snapshot, books, plan(None))
        with demo_servers(snapshot) as servers:
            return self._run(snapshot, books, plan(servers.start()))

    def _run(self, snapshot: Snapshot, books: Books, plan: MeasurePlan) -> BenchResult:
        from gpu_tui.bench.child import measure_blocking
        from gpu_tui.bench.events import RequestDone, Summary

        requests: list[RequestDone] = []

        def keep(event: object) -> None:
            if isinstance(event, RequestDone):
                requests.append(event)

        summary = measure_blocking(plan, keep)
        if not isinstance(summary, Summary):
            raise EndpointError("The measurement ended without figures.")
        self._last = (snapshot, books, summary, requests)
        return bench_result(summary)


class Evaluator(evaluator.Evaluator):
    """The optimizer's evaluator of this machine; see `gpu_tui.evaluator.Evaluator` for what it does.

    Args:
        options: another machine than the live one, or other settings than the configured ones.
        clock: the time.
        on_journal_error: told when a run was measured and could not be kept in the journal; the result is returned all
            the same. None: a `RuntimeWarning`.

    Raises:
        ConfigError: the configuration does not mean anything. A machine that cannot be read is no error here:
            its candidates come back ``unmeasured``.
    """

    def __init__(
        self,
        options: Options | None = None,
        *,
        clock: Clock | None = None,
        on_journal_error: Callable[[GpuTuiError], None] | None = None,
    ) -> None:
        options = options or Options()
        clock = clock or SystemClock()
        settings = load_settings(options)
        self._kept_by = (settings, options)
        self._child = _ChildBench(settings, options)
        self._on_journal_error = on_journal_error or _warn
        # Headless, a scenario stands at its tick 0: its story must not change the verdict of the second candidate.
        source = open_source(options, settings, ManualClock(wall=clock.wall()) if options.simulated else clock)
        super().__init__(
            _BoundedSource(source, clock),
            self._child,
            settings,
            need_for=_Needs(settings, clock),
            clock=clock,
        )

    def evaluate(self, candidate: Mapping[str, Any]) -> Result:
        """See `gpu_tui.evaluator.Evaluator.evaluate`. What was measured for it goes into the journal."""
        self._child.take()
        result = super().evaluate(candidate)
        measured = self._child.take()
        if measured is not None:
            self._keep(result, *measured)
        return result

    run_test = evaluate

    def _keep(
        self, result: Result, snapshot: Snapshot, books: Books, summary: Summary, requests: list[RequestDone]
    ) -> None:
        from gpu_tui.wiring.recording import record_run

        try:
            record_run(
                *self._kept_by,
                snapshot,
                books,
                None,
                summary,
                requests=requests,
                kind="evaluate",
                evaluation=dict(result),
            )
        except GpuTuiError as error:
            self._on_journal_error(error)


def _warn(error: GpuTuiError) -> None:
    import warnings

    warnings.warn(str(error), RuntimeWarning, stacklevel=5)
