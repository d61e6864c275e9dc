"""Latency of many runs as plots of text. plotext is imported here at the first plot, and nowhere else in this room."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from gpu_tui.journal.records import Entry
from gpu_tui.view.plots import Plot
from gpu_tui.view.runs_plots import KINDS, against

AXES = {"utilization": "the running server's utilization", "kv-tokens": "its KV cache in tokens"}
"""What latency is plotted against."""

_MARKERS = {"●": "o", "○": "^", "◆": "x", "◇": "+"}
"""Of the plots on the screen -> in text that may go into a mail."""


def plot(
    entries: Sequence[Entry], axis: str, targets: Mapping[str, float | None], width: int = 78, height: int = 18
) -> list[str]:
    """p50 and p95 of each run against one of `AXES`, a plot for each kind; a sentence where no run can be plotted.

    Only real runs, or only simulated ones: the caller chooses, and the heading says which.

    Args:
        entries: the runs.
        axis: one of `AXES`.
        targets: by kind, in ms; drawn as a line.
        width, height: of each plot.

    Raises:
        ValueError: both kinds of machine are among them.
    """
    if len({entry.simulated for entry in entries}) > 1:
        raise ValueError("simulated and real runs are never in one plot")
    simulated = bool(entries and entries[0].simulated)
    made = [against(entries, axis, kind, targets.get(kind), simulated=simulated) for kind in KINDS]
    shown = [one for one in made if not one.empty]
    if not shown:
        return [f"Latency against {AXES[axis]}: no {'SIMULATED ' if simulated else ''}run tells both."]
    lines: list[str] = []
    for one in shown:
        lines += [*([""] if lines else []), *_titled(one, axis, width, height)]
    return lines


def _titled(one: Plot, axis: str, width: int, height: int) -> list[str]:
    runs = len(one.stops)
    kind = f"{'SIMULATED ' if one.simulated else ''}run{'' if runs == 1 else 's'}"
    legend = [f"{_MARKERS[series.marker]} {series.name}" for series in one.series if series.points]
    legend += [f"... {level.name} {level.value:g}" for level in one.levels]
    head = f"{one.title.partition(' ')[0]} latency in ms against {AXES[axis]}, {runs} {kind}"
    return [head, "   ".join(legend), *_drawn(one, width, height)]


def _drawn(one: Plot, width: int, height: int) -> list[str]:
    import plotext

    figure: Any = plotext.figure
    figure.clear()
    figure.plot_size(width, height)
    points = [point for series in one.series for point in series.points]
    xs = [x for x, _ in points]
    top = max([y for _, y in points] + [level.value for level in one.levels]) * 1.08 or 1.0
    room = (max(xs) - min(xs)) * 0.05 or abs(xs[0]) * 0.1 or 1.0
    for level in one.levels:
        figure.line(level.value, 0, style="dotted")
    for series in one.series:
        if series.points:
            marker = _MARKERS[series.marker]
            figure.draw(figure.signal([x for x, _ in series.points], [y for _, y in series.points], marker=marker))
    _ticks(figure, "y", 0.0, top, max(2, height // 3))
    _ticks(figure, "x", min(xs) - room, max(xs) + room, max(2, width // 12))
    text: str = figure.build().string(colorless=True)
    return [line.rstrip() for line in text.splitlines()]


def _ticks(figure: Any, axis: str, low: float, high: float, most: int) -> None:
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= most)
    ticks = [step * i for i in range(math.ceil(low / step), math.floor(high / step) + 1)]
    figure.ruler(axis, 0).lim(low, high)
    figure.ruler(axis, 0).ticks(ticks, [f"{tick:.10g}" for tick in ticks])
