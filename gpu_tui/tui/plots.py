"""The plots behind the keys: those of the run on show, and those of the journal's runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gpu_tui import wiring
from gpu_tui.config import Settings
from gpu_tui.errors import GpuTuiError
from gpu_tui.tui.screens.plot import PlotScreen
from gpu_tui.tui.widgets.latency import LatencyPanel, run_plots
from gpu_tui.view.plots import Plot
from gpu_tui.view.runs_plots import EntryLike
from gpu_tui.view.runs_plots import runs_plots as plots_of

if TYPE_CHECKING:
    from gpu_tui.tui.app import GpuTuiApp

MOST = 500
"""Runs of the journal that are plotted: more than that are a cloud."""


def targets_of(settings: Settings) -> Mapping[str, float]:
    """The configured targets by kind, in ms."""
    targets = settings.evaluator.targets
    return {"llm": targets.llm_ms, "stt": targets.stt_ms}


async def journal_plots(app: GpuTuiApp) -> list[Plot]:
    """Plots of the runs in the journal, of real ones for a real machine; none, and a word, where it cannot be read."""
    snapshot = app.explorer.snapshot
    simulated = app.options.simulated if snapshot is None else snapshot.simulated

    def read() -> Sequence[EntryLike]:
        with wiring.open_journal(app.settings) as journal:
            return journal.entries(limit=MOST, simulated=simulated)

    if wiring.journal_path(app.settings) is None:
        return []
    try:
        entries = await asyncio.to_thread(read)
    except GpuTuiError as error:
        app.notify(str(error), severity="warning", timeout=10)
        return []
    made = plots_of(entries, targets_of(app.settings), simulated=simulated)
    return [plot for plot in made if not plot.empty]


async def show_plots(app: GpuTuiApp) -> None:
    """All of them, as large as the screen, from the one on show on."""
    plots = [*run_plots(app.runner.view), *await journal_plots(app)]
    if not plots:
        app.notify("Nothing has been measured yet; r runs.", severity="warning")
    elif app.screen is app.main:  # meanwhile a key may have opened something else
        shown = next((panel.shown for panel in app.main.query(LatencyPanel)), "")
        app.push_screen(PlotScreen(plots, shown))


async def next_plot(app: GpuTuiApp) -> None:
    """Turn the latency panel to its next plot."""
    plots = await journal_plots(app)
    for panel in app.main.query(LatencyPanel):
        panel.turn(plots)
