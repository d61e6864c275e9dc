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


FEW_P95 = 20
"""Below so many samples a p95 is drawn from the largest one or two."""
WIDE = 53
"""Cells of a row at its usual width; below that the columns move closer."""


def _widths(width: int) -> tuple[int, int]:
    return (22, 7) if width >= WIDE else (17, 6)


def heading(width: int = WIDE) -> Line:
    """Heads of the columns."""
    names, cells = _widths(width)
    return [(" " * names + "".join(f"{word:>{cells}}" for word in ("p50", "p95", "min", "max")), "dim")]


def figure(name: str, value: FigureLike | None, n: int, unit: str = "ms", width: int = WIDE) -> Line:
    """A row: name, p50, p95, min, max; a p95 of fewer than 20 samples bears a star."""
    names, cells = _widths(width)
    if value is None:
        return [(f"{name:<{names}}", ""), (" unmeasured", "dim")]
    few = "*" if n < FEW_P95 else ""
    shown = (ms(value.p50), ms(value.p95) + few, ms(value.min), ms(value.max))
    return [(f"{name:<{names}}", ""), ("".join(f"{text:>{cells}}" for text in shown), ""), (f" {unit}", "dim")]


def gaps_name(basis: str | None) -> str:
    """What the samples of inter-token latency are called: a chunk may be several tokens, where nobody counts them."""
    return "chunk gap" if basis == "chunk_gaps" else "ITL"


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
