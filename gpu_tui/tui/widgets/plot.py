"""Result plots by plotext, in a thin widget of our own.

plotext keeps one global figure, so it is drawn on the UI thread only; it is imported at the first plot, which costs
a tenth of a second once. Its colours are not used: markers tell the series apart, tones follow them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gpu_tui.tui.widgets.panel import Panel
from gpu_tui.view.spans import Line


@dataclass(frozen=True, slots=True)
class Series:
    """One series: points in milliseconds over the request's number."""

    name: str
    points: tuple[tuple[float, float], ...]
    marker: str
    """A glyph that stands nowhere else in a plot."""
    tone: str


class LatencyPlot(Panel):
    """Latency of each request in the order in which they were sent."""

    MIN_SIZE = (24, 8)

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._series: tuple[Series, ...] = ()
        self._plotted: tuple[tuple[int, int, tuple[Series, ...]], list[Line]] | None = None

    def show(self, series: Sequence[Series]) -> None:
        """Plot these series."""
        self._series = tuple(s for s in series if s.points)
        self.redraw()

    def draw(self, width: int, height: int) -> list[Line]:
        """The plot, or nothing where there is no room for one."""
        if not self._series:
            return [[("nothing measured yet: r runs", "dim")]] if self.screen.has_class("-compact") else []
        if width < self.MIN_SIZE[0] or height < self.MIN_SIZE[1]:
            return []
        key = (width, height, self._series)
        if self._plotted is None or self._plotted[0] != key:
            self._plotted = (key, draw_plot(self._series, width, height))
        return self._plotted[1]


def draw_plot(series: Sequence[Series], width: int, height: int) -> list[Line]:
    """Plot into `width` × `height` cells: a legend line, then the plot, y from 0."""
    import plotext

    figure: Any = plotext.figure
    figure.clear()
    figure.plot_size(width, height - 1)
    top = max(y for s in series for _, y in s.points)
    last = max(x for s in series for x, _ in s.points)
    for one in series:
        signal = figure.signal([x for x, _ in one.points], [y for _, y in one.points], marker=one.marker)
        figure.draw(signal)
    y_ticks, x_ticks = nice_ticks(top, max(2, (height - 4) // 2)), nice_ticks(last, max(2, width // 10))
    y_ticks = [tick for tick in y_ticks if tick <= top * 1.08]
    figure.ruler("y", 0).lim(0, top * 1.08)
    figure.ruler("y", 0).ticks(y_ticks, [f"{tick:g}" for tick in y_ticks])
    figure.ruler("x", 0).lim(0, max(last, x_ticks[-1]))
    figure.ruler("x", 0).ticks(x_ticks, [f"{tick:g}" for tick in x_ticks])
    text: str = figure.build().string(colorless=True)
    tones = {one.marker: one.tone for one in series}
    legend: Line = [("ms by request:  ", "dim")]
    for one in series:
        legend.append((f"{one.marker} {one.name}  ", one.tone))
    return [legend, *(_toned(row, tones) for row in text.splitlines())]


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
