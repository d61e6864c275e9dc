"""A run's figures in words. Shape: what `gpu_tui.bench.events` calls LlmResult, SttResult and Figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from gpu_tui.view.spans import Line


class FigureLike(Protocol):
    """A summary of samples in milliseconds."""

    @property
    def p50(self) -> float: ...  # noqa: D102
    @property
    def p95(self) -> float: ...  # noqa: D102
    @property
    def min(self) -> float: ...  # noqa: D102
    @property
    def max(self) -> float: ...  # noqa: D102


def figure(name: str, value: FigureLike | None, n: int, *, extremes: bool = True) -> Line:
    """``TTFT p50 182 p95 240 (min 170 max 251) ms``; a p95 of few samples says so."""
    if value is None:
        return [(f"{name} unmeasured", "dim")]
    few = "*" if n < 20 else ""
    text = f"{name} p50 {ms(value.p50)}  p95{few} {ms(value.p95)}"
    if extremes:
        text += f"  min {ms(value.min)}  max {ms(value.max)}"
    return [(text, "")]


def ms(value: float) -> str:
    """Three significant digits are all that a noisy machine bears."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def errors(counts: Mapping[str, int]) -> str:
    """``2 timeout, 1 http_500``; empty when none."""
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()) if count)


def progress_bar(done: int, total: int, cells: int = 8) -> str:
    """``▓▓▓░░░░░``."""
    filled = 0 if total <= 0 else min(cells, done * cells // total)
    return "▓" * filled + "░" * (cells - filled)
