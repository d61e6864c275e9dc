"""Result plots by plotext, in a thin widget of our own.

plotext keeps one global figure, so it is drawn on the UI thread only; it is imported at the first plot, which costs
a tenth of a second once. Its colours are not used: markers tell the series apart, tones follow them.
"""

from __future__ import annotations

import math
from typing import Any

from textual.binding import Binding

from gpu_tui.tui.widgets.panel import Panel
from gpu_tui.view.machine import MachinePlot, machine_chart
from gpu_tui.view.modes import TurnsPlot, turns_chart
from gpu_tui.view.plots import Level, Plot
from gpu_tui.view.spans import Line, plain

AnyPlot = Plot | MachinePlot | TurnsPlot
"""What is drawn here."""


class LatencyPlot(Panel):
    """One plot; nothing where there is no room for it."""

    MIN_SIZE = (24, 8)
    BINDINGS = [Binding("enter", "screen.big_plot", "Enlarge", show=False, tooltip="This plot as large as the screen")]

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._plot: AnyPlot | None = None
        self._plotted: tuple[tuple[int, int, Plot], list[Line]] | None = None

    def show(self, plot: AnyPlot | None) -> None:
        """Draw this plot."""
        self._plot = plot
        self.redraw()

    def draw(self, width: int, height: int) -> list[Line]:
        """The plot, or a word where there is none."""
        plot = self._plot
        if plot is None or plot.empty:
            return [[("nothing measured yet: r runs", "dim")]] if self.screen.has_class("-compact") else []
        if isinstance(plot, MachinePlot):
            return machine_chart(plot, width, height)
        if isinstance(plot, TurnsPlot):
            return turns_chart(plot, width, height)
        if width < self.MIN_SIZE[0] or height < self.MIN_SIZE[1]:
            return []
        key = (width, height, plot)
        if self._plotted is None or self._plotted[0] != key:
            self._plotted = (key, draw_plot(plot, width, height))
        return self._plotted[1]


def draw_plot(plot: Plot, width: int, height: int) -> list[Line]:
    """Plot into `width` × `height` cells: a legend line, then the plot. A level far above the points is only told."""
    import plotext

    figure: Any = plotext.figure
    figure.clear()
    # The room is ours to know: plotext would cut the plot to the size it takes the terminal to have.
    plotext.terminal.limit(False, False)
    points = [point for series in plot.series for point in series.points]
    highest, last = max(y for _, y in points), max(x for x, _ in points)
    legend, told = _legend(plot, width)
    figure.plot_size(width, height - len(legend))
    # A line that nothing explains is worse than none, and one far above the points would press them flat.
    shown = [level for level in told if plot.keep_levels or level.value <= 1.6 * highest]
    top = max(highest, *(level.value for level in shown), 0.001) * 1.08
    for level in shown:
        figure.line(level.value, 0, style="dotted")
    if plot.cursor is not None:
        figure.line(plot.cursor, 1, style="dotted")
    for series in plot.series:
        if series.points:
            xs, ys = zip(*series.points, strict=True)
            figure.draw(figure.signal(list(xs), list(ys), marker=series.marker))
    y_ticks, x_ticks = nice_ticks(top, max(2, (height - 4) // 2)), nice_ticks(last, max(2, width // 10))
    y_ticks = [tick for tick in y_ticks if tick <= top]
    if len(y_ticks) == 1:
        y_ticks.append(round_below(top))
    figure.ruler("y", 0).lim(0, top)
    figure.ruler("y", 0).ticks(y_ticks, [f"{tick:g}" for tick in y_ticks])
    figure.ruler("x", 0).lim(0, max(last, x_ticks[-1]))
    figure.ruler("x", 0).ticks(x_ticks, [f"{tick:g}" for tick in x_ticks])
    text: str = figure.build().string(colorless=True)
    tones = {series.marker: series.tone for series in plot.series}
    return [*legend, *(_toned(row, tones) for row in text.splitlines())]


def _legend(plot: Plot, width: int) -> tuple[list[Line], list[Level]]:
    """The legend as far as it fits, and the levels that it tells."""
    head: Line = [(f"ms {plot.title}:  ", "dim")]
    entries: Line = [(f"{series.marker} {series.name}  ", series.tone) for series in plot.series if series.points]
    levels: Line = [(f"┄ {level.name} {level.value:g}  ", "dim") for level in plot.levels]
    if plot.keep_levels:
        return _packed([*head, *entries, *levels], width, 2), list(plot.levels)
    line, told = [*head, *entries], []
    for level, entry in zip(plot.levels, levels, strict=True):
        if len(plain([*line, entry]).rstrip()) <= width:
            line.append(entry)
            told.append(level)
    while len(line) > 1 and len(plain(line).rstrip()) > width:
        line.pop()
    return [line], told


def _packed(entries: Line, width: int, most: int) -> list[Line]:
    """The entries in as few rows as they need, at most so many."""
    rows: list[Line] = [[]]
    for entry in entries:
        if rows[-1] and len(plain([*rows[-1], entry]).rstrip()) > width:
            rows.append([])
        rows[-1].append(entry)
    return rows[:most]


def round_below(top: float) -> float:
    """The largest 1, 2 or 5 times a power of ten that is at most `top` (above 0)."""
    power = 10.0 ** math.floor(math.log10(top))
    # The logarithm of a number just below a power of ten may round up to that power.
    return max((power * factor for factor in (1, 2, 5) if power * factor <= top), default=power / 2)


def nice_ticks(top: float, most: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten, from 0 to at least `top` where `most` steps allow it."""
    if top <= 0:
        return [0.0, 1.0]
    step = 10.0 ** math.floor(math.log10(top / most))
    step *= next(factor for factor in (1, 2, 5, 10) if top / (step * factor) <= most)
    return [step * i for i in range(math.ceil(top / step) + 1)]


def _toned(row: str, tones: dict[str, str]) -> Line:
    line: Line = []
    for character in row:
        tone = tones.get(character, "dim")
        if line and line[-1][1] == tone:
            line[-1] = (line[-1][0] + character, tone)
        else:
            line.append((character, tone))
    return line
