"""Whether two sets of latencies differ by more than their own scatter: Mann-Whitney's U, two-sided.

Chosen over a t-test because latencies are skewed and have outliers, and over a permutation test because it needs no
random numbers: the same samples always give the same answer. It takes the samples as independent; requests of one run
share that run's conditions, so that a small p speaks of these two runs and not yet of what changed between them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

ALPHA = 0.05
"""Differences with a corrected p below it are called significant."""

MIN_SAMPLES = 8
"""Fewer on either side say too little of their own scatter, whatever p comes out."""

_EXACT_PRODUCT = 900
"""Largest n_a × n_b counted out one by one; above it the normal approximation is good to the third digit."""


class Significance(StrEnum):
    """What may be said of a difference."""

    SIGNIFICANT = "significant"
    NOT_SIGNIFICANT = "not significant"
    TOO_FEW = "too few samples to say"


@dataclass(frozen=True, slots=True, kw_only=True)
class RankTest:
    """Mann-Whitney's test of two samples."""

    n_a: int
    n_b: int
    u: float
    """Pairs (a, b) with b > a, ties counted half."""
    p_value: float
    """Two-sided: how often samples that do not differ would lie this far apart."""
    exact: bool
    """Counted out; else the normal approximation, with corrections for ties and continuity."""

    @property
    def superiority(self) -> float:
        """Chance that a value of B is above one of A, ties counted half; 0.5 when neither side is above."""
        return self.u / (self.n_a * self.n_b)


def rank_test(a: Sequence[float], b: Sequence[float]) -> RankTest | None:
    """Compare two samples; None when either is empty.

    Mann and Whitney 1947; ties as in Hollander, Wolfe and Chicken, Nonparametric Statistical Methods, §4.1.

    Raises:
        ValueError: a sample is not a finite number.
    """
    if not all(map(math.isfinite, (*a, *b))):
        raise ValueError("a sample is not a finite number")
    if not a or not b:
        return None
    doubled, ties = _doubled_u(a, b)
    exact = not ties and len(a) * len(b) <= _EXACT_PRODUCT
    p = _exact_p(doubled // 2, len(a), len(b)) if exact else _normal_p(doubled / 2, len(a), len(b), ties)
    return RankTest(n_a=len(a), n_b=len(b), u=doubled / 2, p_value=p, exact=exact)


def _doubled_u(a: Sequence[float], b: Sequence[float]) -> tuple[int, list[int]]:
    """2U as a whole number, and the size of each group of equal values larger than one."""
    ordered = sorted([(value, 0) for value in a] + [(value, 1) for value in b])
    doubled, below, start, ties = 0, 0, 0, []
    while start < len(ordered):
        end = start
        while end < len(ordered) and ordered[end][0] == ordered[start][0]:
            end += 1
        of_b = sum(side for _, side in ordered[start:end])
        of_a = end - start - of_b
        doubled += of_b * (2 * below + of_a)
        below += of_a
        if end - start > 1:
            ties.append(end - start)
        start = end
    return doubled, ties


def _exact_p(u: int, n_a: int, n_b: int) -> float:
    """Both tails of the distribution of U over all interleavings, by its generating function (Gaussian binomial)."""
    counts = [1] + [0] * (n_a * n_b)
    for i in range(1, n_a + 1):
        for k in range(len(counts) - 1, n_b + i - 1, -1):  # × (1 − q^(n_b + i))
            counts[k] -= counts[k - n_b - i]
        for k in range(i, len(counts)):  # ÷ (1 − q^i)
            counts[k] += counts[k - i]
    tail = sum(counts[: min(u, n_a * n_b - u) + 1])
    return min(1.0, 2 * tail / math.comb(n_a + n_b, n_a))


def _normal_p(u: float, n_a: int, n_b: int, ties: Sequence[int]) -> float:
    n = n_a + n_b
    tied = sum(t**3 - t for t in ties) / (n * (n - 1))
    variance = n_a * n_b / 12 * (n + 1 - tied)
    away = abs(u - n_a * n_b / 2) - 0.5  # U moves in steps
    if variance <= 0 or away <= 0:
        return 1.0
    return math.erfc(away / math.sqrt(2 * variance))


def holm(p_values: Sequence[float]) -> list[float]:
    """The same p-values, in their order, corrected for their number.

    Of many figures one differs by chance alone; after Holm's step-down correction (1979) the chance that any of them
    is called significant without being so stays below α.
    """
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, p_values[i] * (len(p_values) - rank)))
        corrected[i] = highest
    return corrected


def judge(test: RankTest | None, corrected_p: float | None) -> Significance:
    """What a test's corrected p allows to be said."""
    if test is None or corrected_p is None or min(test.n_a, test.n_b) < MIN_SAMPLES:
        return Significance.TOO_FEW
    return Significance.SIGNIFICANT if corrected_p < ALPHA else Significance.NOT_SIGNIFICANT
