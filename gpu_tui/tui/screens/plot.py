"""A plot as large as the screen, with a cursor that reads values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen

from gpu_tui.tui.widgets.panel import Panel
from gpu_tui.tui.widgets.plot import LatencyPlot
from gpu_tui.view.plots import PLOTS, Level, Plot, RequestLike
from gpu_tui.view.spans import Line


class Reading(Panel):
    """The values under the cursor."""

    text = ""

    def draw(self, width: int, height: int) -> list[Line]:
        """One line."""
        return [[(self.text[:width], "strong")]]


class PlotScreen(ModalScreen[None]):
    """The run's plots, one at a time."""

    BINDINGS = [
        Binding("escape,q,enter,b", "dismiss", "Close", id="plot.close", tooltip="Close"),
        Binding("left", "move(-1)", "Earlier", id="plot.left", tooltip="Cursor to the left"),
        Binding("right", "move(1)", "Later", id="plot.right", tooltip="Cursor to the right"),
        Binding("shift+left", "move(-10)", "Much earlier", show=False),
        Binding("shift+right", "move(10)", "Much later", show=False),
        Binding("home", "move(-100000)", "First", show=False),
        Binding("end", "move(100000)", "Last", show=False),
        Binding("tab,down,l", "turn(1)", "Next plot", id="plot.next", tooltip="Next plot"),
        Binding("shift+tab,up", "turn(-1)", "Previous plot", id="plot.previous", tooltip="Previous plot"),
    ]

    def __init__(self, requests: Sequence[RequestLike], levels: Sequence[Level], simulated: bool) -> None:
        super().__init__()
        self._plots: list[Plot] = [make(requests, levels) for make in PLOTS]
        self._simulated = simulated
        self._which = 0
        self._at = -1

    def compose(self) -> ComposeResult:
        """Plot above, reading below."""
        with Vertical(classes="plot-box") as box:
            box.border_title = "Latency" + (" (SIMULATED)" if self._simulated else "")
            box.border_subtitle = "←→ read values, tab next plot, esc closes"
            yield LatencyPlot()
            yield Reading()

    def on_mount(self) -> None:
        """Draw the first plot."""
        self._show()

    def action_move(self, steps: int) -> None:
        """Move the cursor over the points."""
        last = len(self._plots[self._which].xs()) - 1
        self._at = min(max(self._at + steps, 0), last)
        self._show()

    def action_turn(self, step: int) -> None:
        """Another plot."""
        self._which = (self._which + step) % len(self._plots)
        self._at = -1
        self._show()

    def _show(self) -> None:
        plot = self._plots[self._which]
        xs = plot.xs()
        if 0 <= self._at < len(xs):
            plot = replace(plot, cursor=xs[self._at])
        self.query_one(LatencyPlot).show(plot)
        reading = self.query_one(Reading)
        reading.text = plot.reading() or f"{plot.title}; → puts a cursor"
        reading.redraw()
