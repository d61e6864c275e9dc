"""A plot as large as the screen, with a cursor that reads values."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen

from gpu_tui.tui.widgets.panel import Panel
from gpu_tui.tui.widgets.plot import AnyPlot, LatencyPlot
from gpu_tui.view.spans import Line, wrap


class Reading(Panel):
    """The values under the cursor, in at most two lines."""

    text = ""

    def draw(self, width: int, height: int) -> list[Line]:
        """As much as fits."""
        return wrap([(self.text, "strong")], width)[:height]


class PlotScreen(ModalScreen[None]):
    """Plots, one at a time.

    Args:
        plots: empty ones are left out.
        first: title of the plot to begin with.
    """

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

    def __init__(self, plots: Sequence[AnyPlot], first: str = "") -> None:
        super().__init__()
        self._plots = [plot for plot in plots if not plot.empty]
        self._which = next((i for i, plot in enumerate(self._plots) if plot.title == first), 0)
        self._at = -1

    def compose(self) -> ComposeResult:
        """Plot above, reading below."""
        with Vertical(classes="plot-box"):
            yield LatencyPlot()
            yield Reading()

    def on_mount(self) -> None:
        """Draw the first plot."""
        self._show()

    def action_move(self, steps: int) -> None:
        """Move the cursor over the points."""
        if self._plots:
            last = len(self._plots[self._which].xs()) - 1
            self._at = min(max(self._at + steps, 0), last)
            self._show()

    def action_turn(self, step: int) -> None:
        """Another plot."""
        if self._plots:
            self._which = (self._which + step) % len(self._plots)
            self._at = -1
            self._show()

    def _show(self) -> None:
        box, reading = self.query_one(".plot-box"), self.query_one(Reading)
        if not self._plots:
            box.border_title = "Plots"
            reading.text = "Nothing to plot yet: r measures."
            reading.redraw()
            return
        plot = self._plots[self._which].read_at(self._at)
        # A title may hold what a file says: text, never markup.
        box.border_title = Content(f"{plot.title}{' (SIMULATED)' if plot.simulated else ''}")
        box.border_subtitle = f"{self._which + 1} of {len(self._plots)}   ←→ read values, tab next plot, esc closes"
        self.query_one(LatencyPlot).show(plot)
        reading.text = plot.reading() or f"{plot.title}; → puts a cursor"
        reading.redraw()
