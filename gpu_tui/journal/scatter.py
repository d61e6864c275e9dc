"""Latency of many runs as a plot of text. plotext is imported here at the first plot, and nowhere else in this room."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gpu_tui.journal.records import Entry

AXES = {"utilization": "the running server's utilization", "kv-tokens": "its KV cache in tokens"}
"""What latency is plotted against."""

_SERIES = (("llm_ttft_p50_ms", "LLM TTFT", "o"), ("llm_e2e_p50_ms", "LLM end to end", "#"), ("stt_p50_ms", "STT", "x"))


def plot(entries: Sequence[Entry], axis: str, width: int = 78, height: int = 18) -> list[str]:
    """Median latency of each run against one of `AXES`; a sentence where no run can be plotted.

    Only real runs, or only simulated ones: the caller chooses, and the heading says which.

    Raises:
        ValueError: both kinds are among them.
    """
    if len({entry.simulated for entry in entries}) > 1:
        raise ValueError("simulated and real runs are never in one plot")
    points = {name: _points(entries, field, axis) for field, name, _ in _SERIES}
    runs = sum(_at(entry, axis) is not None for entry in entries)
    kind = f"{'SIMULATED ' if entries and entries[0].simulated else ''}run{'' if runs == 1 else 's'}"
    if not any(points.values()):
        return [f"Latency against {AXES[axis]}: no {kind.removesuffix('s')} tells both."]
    legend = "   ".join(f"{marker} {name}" for _, name, marker in _SERIES if points[name])
    shown = [(points[name], marker) for _, name, marker in _SERIES if points[name]]
    return [f"Median latency in ms against {AXES[axis]}, {runs} {kind}", legend, *_drawn(shown, width, height)]


def _at(entry: Entry, axis: str) -> float | None:
    return entry.utilization_actual if axis == "utilization" else entry.figures.get("kv_cache_tokens")


def _points(entries: Sequence[Entry], field: str, axis: str) -> list[tuple[float, float]]:
    pairs = ((_at(entry, axis), entry.figures.get(field)) for entry in entries)
    return sorted((x, y) for x, y in pairs if x is not None and y is not None)


def _drawn(series: Sequence[tuple[list[tuple[float, float]], str]], width: int, height: int) -> list[str]:
    import plotext

    figure: Any = plotext.figure
    figure.clear()
    figure.plot_size(width, height)
    xs = [x for points, _ in series for x, _ in points]
    top = max(y for points, _ in series for _, y in points) * 1.08 or 1.0
    room = (max(xs) - min(xs)) * 0.05 or abs(xs[0]) * 0.1 or 1.0
    for points, marker in series:
        figure.draw(figure.signal([x for x, _ in points], [y for _, y in points], marker=marker))
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
