"""What many samples say together: count, percentiles, extremes and mean. No samples, no summary."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencySummary:
    """A set of samples in few figures, all in the samples' own unit.

    ``min ≤ p50 ≤ p95 ≤ p99 ≤ max`` always holds, and ``min ≤ mean ≤ max``.
    """

    n: int
    """How many samples; at least 1. A p95 of five samples is an interpolation and not much more."""
    p50: float
    p95: float
    p99: float
    min: float
    max: float
    mean: float


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` (0..1) of the samples lie, linearly interpolated between neighbours.

    The rank is ``(n − 1) × share``: Hyndman and Fan's type 7, what numpy, pandas and vLLM's own benchmark use.

    Args:
        ordered: the samples, ascending; at least one.
        share: 0 gives the smallest, 1 the largest.
    """
    rank = (len(ordered) - 1) * share
    low = math.floor(rank)
    below = ordered[low]
    above = ordered[min(low + 1, len(ordered) - 1)]
    # Rounding may carry the product past its neighbour, and then p95 past max.
    return min(max(below + (above - below) * (rank - low), below), above)


def summarize(samples: Iterable[float]) -> LatencySummary | None:
    """The summary of these samples, in any order; None when there are none.

    Raises:
        ValueError: a sample is not a finite number; such a one has no place in an order.
    """
    ordered = sorted(samples)
    if not ordered:
        return None
    if not all(map(math.isfinite, ordered)):
        raise ValueError("a sample is not a finite number")
    smallest, largest = ordered[0], ordered[-1]
    return LatencySummary(
        n=len(ordered),
        p50=percentile(ordered, 0.50),
        p95=percentile(ordered, 0.95),
        p99=percentile(ordered, 0.99),
        min=smallest,
        max=largest,
        mean=min(max(math.fsum(ordered) / len(ordered), smallest), largest),
    )
