from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.core.summary import percentile, summarize

samples = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=60)


@given(samples)
def test_figures_are_in_order(values: list[float]) -> None:
    s = summarize(values)
    assert s is not None
    assert min(values) == s.min <= s.p50 <= s.p95 <= s.p99 <= s.max == max(values)
    assert s.min <= s.mean <= s.max
    assert s.n == len(values)


@given(samples, st.randoms(use_true_random=False))
def test_the_order_of_samples_does_not_matter(values: list[float], random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert summarize(shuffled) == summarize(values)


@given(samples)
def test_the_middle_is_the_median(values: list[float]) -> None:
    s = summarize(values)
    assert s is not None
    assert s.p50 == pytest.approx(statistics.median(values), rel=1e-12, abs=1e-9)


@given(st.floats(-1e9, 1e9), st.integers(1, 50))
def test_equal_samples_have_equal_figures(value: float, n: int) -> None:
    s = summarize([value] * n)
    assert s is not None
    assert {s.p50, s.p95, s.p99, s.min, s.max, s.mean} == {value}


@given(samples, st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_is_never_a_smaller_value(values: list[float], a: float, b: float) -> None:
    ordered = sorted(values)
    low, high = sorted((a, b))
    assert percentile(ordered, low) <= percentile(ordered, high)


def test_no_samples_no_summary() -> None:
    assert summarize([]) is None


def test_known_percentiles_are_interpolated_as_numpy_does() -> None:
    s = summarize([10.0, 20.0, 30.0, 40.0, 50.0])
    assert s is not None
    assert (s.p50, s.p95, s.p99, s.mean) == (30.0, 48.0, pytest.approx(49.6), 30.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_a_number_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        summarize([1.0, bad, 2.0])
