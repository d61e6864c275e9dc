"""What a measurement needs of the app: the plan and its machine, a question, a place to show it, the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_tui import wiring
from gpu_tui.core.books import Books
from gpu_tui.core.checks import CheckReport
from gpu_tui.core.snapshot import Gpu, Snapshot
from gpu_tui.errors import GpuTuiError
from gpu_tui.tui import texts
from gpu_tui.tui.screens.dialogs import ConfirmDialog
from gpu_tui.tui.watching import RunWatch
from gpu_tui.tui.widgets.keys import Keys
from gpu_tui.tui.widgets.latency import LatencyPanel, RunView, progress_line
from gpu_tui.view.verdict import sentence

if TYPE_CHECKING:
    from gpu_tui.bench.demo import DemoServers
    from gpu_tui.bench.events import Preview, RequestDone, Summary
    from gpu_tui.bench.plan import MeasurePlan
    from gpu_tui.tui.app import GpuTuiApp


@dataclass(frozen=True)
class _Begun:
    """The machine and the verdict as they were when the run began: what the journal keeps it with."""

    snapshot: Snapshot
    books: Books
    report: CheckReport | None
    gpu: Gpu | None


class Host:
    """The runner's host; see `gpu_tui.tui.run.RunHost`."""

    def __init__(self, app: GpuTuiApp) -> None:
        self._app = app
        self._begun: _Begun | None = None
        self.watch = RunWatch()
        self.demo: DemoServers | None = None
        """The demo machine's endpoints, once a run has asked for them."""

    def close(self) -> None:
        """End the demo's endpoints."""
        if self.demo is not None:
            self.demo.stop()

    def report(self) -> CheckReport | None:
        """The verdict on the plan now."""
        return self._app.explorer.report()

    def sentence(self, report: CheckReport) -> str:
        """The reason, or what keeps the machine from being read."""
        return sentence(report, self._app.explorer.problem)

    def way_out(self, report: CheckReport) -> str:
        """What to do about an invalid plan."""
        ways = []
        nearest = self._app.explorer.nearest_feasible()
        if nearest is not None:
            ways.append(f"f moves to {nearest / 1000:.3f}")
        own = self.own_utilization()
        if own is not None:
            ways.append(f"o to the running server's own {own:.3f}")
        return f"{'; '.join(ways)}." if ways else "Stop a tenant, or plan a smaller model (m)."

    def own_utilization(self) -> float | None:
        """The running server's utilization, by its command line."""
        books = self._app.explorer.books()
        return None if books is None else wiring.running_utilization(books)

    def make_plan(self) -> MeasurePlan:
        """Whom to measure. Runs on a thread: ports are looked up, and the demo's endpoints may have to start."""
        app = self._app
        snapshot, books = app.explorer.snapshot, app.explorer.books()
        if snapshot is None or books is None:
            raise GpuTuiError("The machine has not been read yet.", "Wait for the first reading.")
        if app.replay.active:
            raise GpuTuiError("A recording has no services that could be measured.", "Leave the replay to measure.")
        self._begun = _Begun(snapshot, books, app.explorer.report(), app.explorer.gpu)
        demo = None
        if snapshot.simulated:
            self.demo = self.demo or wiring.demo_servers(snapshot)
            demo = self.demo.start()
        return wiring.measure_plan(app.settings, app.options, snapshot, books, app.explorer.utilization, demo=demo)

    def begin_watch(self) -> None:
        """From now on the readings belong to the run."""
        app, gpu = self._app, self._begun.gpu if self._begun is not None else None
        key = None if gpu is None else gpu.key
        self.watch.begin(key, app.explorer.classifier, app.explorer.restarts, app.settings.interval_s)

    def watched(self, summary: Summary) -> Summary:
        """The summary with what the machine did meanwhile."""
        return self.watch.told(summary)

    async def confirm(self, preview: Preview) -> bool:
        """Ask once, naming URL and load."""
        dialog = ConfirmDialog("Measure these services?", texts.load_lines(preview), yes="Measure (y)")
        answer: bool | None = await self._app.push_screen_wait(dialog)
        return answer is True

    async def keep(self, summary: Summary, requests: Sequence[RequestDone]) -> str:
        """Write the run into the journal; what to tell of it. A journal that fails never costs the figures."""
        app, begun = self._app, self._begun
        if begun is None:
            return ""
        try:
            number = await asyncio.to_thread(
                wiring.record_run,
                app.settings,
                app.options,
                begun.snapshot,
                begun.books,
                begun.report,
                summary,
                requests=tuple(requests),
                gpu=begun.gpu,
            )
        except GpuTuiError as error:
            app.notify(f"The run was not kept. {error}", severity="warning", timeout=10)
            return "not kept in the journal"
        return "" if number is None else f"kept as run {number}"

    def show_run(self, view: RunView) -> None:
        """Show how the run stands, in the panel and in the footer."""
        main = self._app.main
        if not main.is_mounted:
            return
        for panel in main.query(LatencyPanel):
            panel.show(view)
        small = main.has_class("-compact")
        main.query_one("#footer", Keys).show(progress_line(view) if small else [])
        if view.state in ("refused", "failed", "cancelled", "done") and small:
            main.panels.show_latency(main)
