"""Percentiles of many runs against what the server ran with: its utilization, or its KV cache in tokens.

The points are runs, as `gpu_tui.journal.records.Entry` tells them; real and simulated ones never stand in one plot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from gpu_tui.view.latency import ms
from gpu_tui.view.plots import Level, Plot, Series


class EntryLike(Protocol):
    """A run of the journal."""

    @property
    def id(self) -> int: ...  # noqa: D102
    @property
    def simulated(self) -> bool: ...  # noqa: D102
    @property
    def utilization_actual(self) -> float | None: ...  # noqa: D102
    @property
    def figures(self) -> Mapping[str, float | None]: ...  # noqa: D102


AXES = {"utilization": "utilization", "kv-tokens": "KV tokens"}
"""What runs are plotted against, and its name: the running server's, not the plan's."""

KINDS = {
    "llm": (
        ("e2e p50", "llm_e2e_p50_ms", "●", "series-1"),
        ("p95", "llm_e2e_p95_ms", "○", "series-1"),
        ("TTFT p50", "llm_ttft_p50_ms", "◆", "series-0"),
        ("p95", "llm_ttft_p95_ms", "◇", "series-0"),
    ),
    "stt": (("STT p50", "stt_p50_ms", "●", "series-2"), ("p95", "stt_p95_ms", "○", "series-2")),
}
"""Name in the legend, figure of the journal, marker, tone; the first is held against the target."""


def value_at(entry: EntryLike, axis: str) -> float | None:
    """Where a run stands on one of `AXES`; None when that is not known."""
    return entry.utilization_actual if axis == "utilization" else entry.figures.get("kv_cache_tokens")


def against(
    entries: Sequence[EntryLike], axis: str, kind: str, target_ms: float | None, *, simulated: bool = False
) -> Plot:
    """p50 and p95 of each run of one kind against one of `AXES`, with the target as a line.

    Args:
        entries: of any kind; only those of `simulated` are taken.
        axis: one of `AXES`.
        kind: one of `KINDS`; the LLM's target is for its end-to-end time.
        target_ms: None draws no line.
        simulated: plot the simulated runs instead of the real ones.
    """
    found = [(value_at(entry, axis), entry) for entry in entries if entry.simulated is simulated]
    known = sorted(((x, entry) for x, entry in found if x is not None), key=lambda one: (one[0], one[1].id))
    series, stops = [], []
    for name, figure, marker, tone in KINDS[kind]:
        points = [(x, entry.figures.get(figure)) for x, entry in known]
        series.append(Series(name, tuple((x, y) for x, y in points if y is not None), marker, tone))
    for x, entry in known:
        words = _told(entry, kind, target_ms)
        if words:
            stops.append((x, f"run {entry.id}, {AXES[axis]} {x:g}: {words}"))
    levels = () if target_ms is None else (Level("target", target_ms),)
    title = f"{kind.upper()} vs {AXES[axis]}"
    return Plot(title, AXES[axis], tuple(series), levels, stops=tuple(stops), keep_levels=True, simulated=simulated)


def _told(entry: EntryLike, kind: str, target_ms: float | None) -> str:
    known = [
        (name, marker, value)
        for name, figure, marker, _ in KINDS[kind]
        if (value := entry.figures.get(figure)) is not None
    ]
    words = ", ".join(f"{marker} {name} {ms(value)}" for name, marker, value in known)
    judged = entry.figures.get(KINDS[kind][1][1])
    if target_ms is None or judged is None or not words:
        return f"{words} ms" if words else ""
    return f"{words} ms; p95 {'above' if judged > target_ms else 'within'} target"


def runs_plots(
    entries: Sequence[EntryLike], targets: Mapping[str, float | None], *, simulated: bool = False
) -> tuple[Plot, ...]:
    """Every kind against every axis; targets by kind, in ms."""
    return tuple(
        against(entries, axis, kind, targets.get(kind), simulated=simulated) for axis in AXES for kind in KINDS
    )
