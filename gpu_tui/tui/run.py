"""The run button: pre-flight, confirmation, the measuring child, its events on the way to the panels.

The bench is imported when a run begins, so that the first frame does not wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from textual.worker import Worker

from gpu_tui.core.checks import CheckReport, Status
from gpu_tui.errors import GpuTuiError
from gpu_tui.tui.widgets.latency import RunView

if TYPE_CHECKING:
    from gpu_tui.bench.events import Preview, RequestDone, Summary
    from gpu_tui.bench.plan import MeasurePlan


class RunHost(Protocol):
    """What the runner needs of the app."""

    def report(self) -> CheckReport | None:
        """The verdict on the plan now."""
        ...

    def sentence(self, report: CheckReport) -> str:
        """The reason of a verdict."""
        ...

    def way_out(self, report: CheckReport) -> str:
        """What to do about an invalid plan."""
        ...

    def make_plan(self) -> MeasurePlan:
        """Whom to measure, with what load. May block for a moment: called on a thread."""
        ...

    async def confirm(self, preview: Preview) -> bool:
        """Ask before load goes to a real service."""
        ...

    def begin_watch(self) -> None:
        """Note what the machine does from now on."""
        ...

    def watched(self, summary: Summary) -> Summary:
        """The summary with what the machine did during its run."""
        ...

    async def keep(self, summary: Summary, requests: Sequence[RequestDone]) -> str:
        """Write the run into the journal; a few words about it."""
        ...

    def show_run(self, view: RunView) -> None:
        """Show how the run stands."""
        ...


class Runner:
    """One run at a time."""

    def __init__(self, host: RunHost, spawn: Callable[..., Worker[None]]) -> None:
        self._host = host
        self._spawn = spawn
        self._worker: Worker[None] | None = None
        self.view = RunView()

    def start(self, mode: str | None = None) -> None:
        """Run, if the plan is valid and nothing runs yet; in the mode of the run before unless another is named."""
        if self.view.busy:
            return
        report = self._host.report()
        if report is None or report.status is not Status.VALID:
            self._refuse(report)
            return
        self._tell(
            replace(
                self.view,
                state="asking",
                message="Looking for the services' endpoints …",
                summary=None,
                requests=(),
                turns=(),
                mode=mode or self.view.mode,
                progress=None,
                kept="",
                planned=report.gpu_memory_utilization,
            )
        )
        self._worker = self._spawn(self._measure(), exclusive=True, group="bench")

    def cancel(self) -> bool:
        """End a run under way, its child and its sockets; False when there is none."""
        if not self.view.busy:
            return False
        if self._worker is not None:
            self._worker.cancel()
        self._tell(replace(self.view, state="cancelled", message="Cancelled; nothing was kept.", progress=None))
        return True

    def forget(self) -> None:
        """End a run under way and drop what was measured: it belongs to a machine that is left."""
        self.cancel()
        self._tell(RunView(levels=self.view.levels))

    def _refuse(self, report: CheckReport | None) -> None:
        words = "The machine has not been read yet" if report is None else self._host.sentence(report).rstrip(".")
        way = "" if report is None or report.status is not Status.INVALID else f" {self._host.way_out(report)}"
        self._tell(
            replace(
                self.view, state="refused", message=f"Nothing was measured: {words}.{way}", summary=None, requests=()
            )
        )

    async def _measure(self) -> None:
        try:
            from gpu_tui.bench.plan import Mode

            plan = replace(await asyncio.to_thread(self._host.make_plan), mode=Mode(self.view.mode))
            if not plan.simulated and not await self._confirmed(plan):
                return
            await self._load(plan)
        except GpuTuiError as error:
            self._tell(replace(self.view, state="failed", message=f"{error.message} {error.remedy}", progress=None))

    async def _confirmed(self, plan: MeasurePlan) -> bool:
        from gpu_tui.bench.child import MeasureRun
        from gpu_tui.bench.events import Preview

        preview: Preview | None = None
        async with MeasureRun(plan, dry_run=True) as run:
            async for event in run.events():
                if isinstance(event, Preview):
                    preview = event
        if preview is None or (preview.llm is None and preview.stt is None):
            reasons = preview.reason if preview else {}
            told = "; ".join(f"{kind.upper()} {why}" for kind, why in sorted(reasons.items()))
            hint = "Name endpoints in the configuration ([endpoints] llm, stt)."
            self._tell(replace(self.view, state="done", message=f"{told or 'unmeasured: no endpoint'}. {hint}"))
            return False
        if not await self._host.confirm(preview):
            self._tell(replace(self.view, state="cancelled", message="Nothing was sent."))
            return False
        return True

    async def _load(self, plan: MeasurePlan) -> None:
        from gpu_tui.bench.child import MeasureRun
        from gpu_tui.bench.events import Progress, RequestDone, Summary, TurnDone

        self._tell(replace(self.view, state="running", message="", simulated=plan.simulated))
        requests: list[RequestDone] = []
        self._host.begin_watch()
        async with MeasureRun(plan) as run:
            async for event in run.events():
                if isinstance(event, RequestDone):
                    requests.append(event)
                    self._tell(replace(self.view, requests=tuple(requests)))
                elif isinstance(event, TurnDone):
                    self._tell(replace(self.view, turns=(*self.view.turns, event.turn)))
                elif isinstance(event, Progress):
                    self._tell(replace(self.view, progress=event))
                elif isinstance(event, Summary):
                    self._finish(self._host.watched(event))
        if self.view.summary is not None and self.view.summary.measured:
            # After the figures are on the screen: a disk that is full or slow must not stand before them.
            self._tell(replace(self.view, kept=await self._host.keep(self.view.summary, requests)))

    def _finish(self, summary: Summary) -> None:
        message = "" if summary.measured else "Nothing could be measured."
        runs = (*self.view.runs, summary)
        self._tell(replace(self.view, state="done", message=message, summary=summary, progress=None, runs=runs))

    def _tell(self, view: RunView) -> None:
        self.view = view
        self._host.show_run(view)
