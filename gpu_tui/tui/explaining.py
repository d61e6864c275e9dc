"""The dialog that tells every figure with its source: the plan as it was when asked for, its ages by the clock."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gpu_tui.core.cache_info import CacheInfo
from gpu_tui.core.origins import Origin
from gpu_tui.core.plan import Plan
from gpu_tui.core.planning import Judgement
from gpu_tui.core.remedies import Remedy, remedies
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.core.start_values import StartLog
from gpu_tui.core.vllm_errors import error_text
from gpu_tui.tui import texts
from gpu_tui.tui.screens.dialogs import TextDialog
from gpu_tui.view.compare_start import compared_lines
from gpu_tui.view.explain import explain as figures_of
from gpu_tui.view.explain import reading_origin
from gpu_tui.view.explain_start import start_lines
from gpu_tui.view.spans import Line

if TYPE_CHECKING:
    from gpu_tui.tui.app import GpuTuiApp


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was on the screen when the dialog was opened."""

    head: list[Line]
    evidence: list[Line]
    judgement: Judgement
    plan: Plan | None
    """None: nothing is known of the model."""
    running: Plan | None
    """The running server's own start, with what was measured of it; None: nothing is known of it."""
    remedies: tuple[Remedy, ...]
    log: StartLog | None
    cache: CacheInfo | None
    snapshot: Snapshot
    utilization_origin: Origin
    read_age_s: float | None
    """Of the reading."""
    found_age_s: float
    """Since the running server was looked at: by so much its log is older than it was then."""

    def lines(self, since_s: float) -> list[Line]:
        """All of it, so many seconds after it was opened. No figure changes, only what is told of its age."""
        lines, one = list(self.head), self.judgement
        if self.plan is not None:
            plan = self.plan.later(self.found_age_s + since_s)
            one = plan.judge()
            lines += start_lines(one, error_text(one, plan.rules), self.remedies)
            lines += self.evidence
        age = None if self.read_age_s is None else self.read_age_s + since_s
        if self.running is not None:
            running = self.running.later(self.found_age_s + since_s)
            lines += compared_lines(running, self.log, self.cache, reading_origin(self.snapshot, age))
        return lines + texts.explain_lines(figures_of(one.report, self.snapshot, age, self.utilization_origin))


def _running(app: GpuTuiApp, plan: Plan | None) -> Plan | None:
    """What is known of the running server, whatever is planned in its place and supposed of the tenants."""
    explorer, evidence = app.explorer, app.planner.evidence
    snapshot, books = explorer.snapshot, explorer.books()
    inputs = evidence.inputs or (snapshot.start if snapshot is not None else None)
    if plan is None or inputs is None or books is None:
        return None
    return replace(plan, inputs=inputs, books=books)


def explain(app: GpuTuiApp) -> None:
    """Every figure with its source."""
    explorer, planner = app.explorer, app.planner
    one, snapshot = explorer.judgement(), explorer.snapshot
    if one is None or snapshot is None:
        app.notify("Nothing has been read yet.", severity="warning")
        return
    plan = explorer.plan() if explorer.predicts else None
    asked = Asked(
        head=[[(app.host.sentence(one.report), "strong")], [], *texts.learned_lines(planner)],
        evidence=texts.evidence_lines(planner),
        judgement=one,
        plan=plan,
        running=_running(app, plan),
        remedies=() if plan is None else remedies(plan, one),
        log=planner.evidence.log,
        cache=planner.evidence.cache,
        snapshot=snapshot,
        utilization_origin=app.main.utilization_origin,
        read_age_s=app.telemetry.age_s(),
        found_age_s=planner.found_age_s,
    )
    opened, clock = app.clock.monotonic(), app.clock
    dialog = TextDialog(
        "Where these numbers come from", asked.lines(0.0), renew=lambda: asked.lines(clock.monotonic() - opened)
    )
    app.push_screen(dialog)
