"""Mann-Whitney's U, Holm's correction, and when nothing may be said."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.core import significance
from gpu_tui.core.significance import MIN_SAMPLES, Significance, holm, judge, rank_test

values = st.floats(-1e6, 1e6, allow_subnormal=False)
samples = st.lists(values, min_size=1, max_size=12)
few = st.lists(st.integers(0, 30).map(float), min_size=1, max_size=5)


def p_of(a: list[float], b: list[float]) -> float:
    test = rank_test(a, b)
    assert test is not None
    return test.p_value


def counted_out(a: list[float], b: list[float]) -> tuple[float, float]:
    """U, and its two-sided p by trying every division of the pooled values."""

    def u_of(one: tuple[float, ...], other: list[float]) -> float:
        return sum((y > x) + (y == x) / 2 for x in one for y in other)

    pooled = [*a, *b]
    u, middle = u_of(tuple(a), b), len(a) * len(b) / 2
    every = []
    for chosen in itertools.combinations(range(len(pooled)), len(a)):
        rest = [value for i, value in enumerate(pooled) if i not in chosen]
        every.append(abs(u_of(tuple(pooled[i] for i in chosen), rest) - middle) >= abs(u - middle) - 1e-9)
    return u, sum(every) / len(every)


@given(a=st.lists(values, min_size=1, max_size=4), b=st.lists(values, min_size=1, max_size=4))
def test_without_ties_it_is_the_share_of_all_divisions(a: list[float], b: list[float]) -> None:
    test = rank_test(a, b)
    assert test is not None
    u, p = counted_out(a, b)
    assert test.u == u
    if len({*a, *b}) == len(a) + len(b):
        assert test.exact
        assert test.p_value == pytest.approx(p)
    else:
        assert not test.exact


@given(a=few, b=few)
def test_with_ties_u_counts_them_half(a: list[float], b: list[float]) -> None:
    test = rank_test(a, b)
    assert test is not None
    assert test.u == counted_out(a, b)[0]


def test_an_example_of_the_literature() -> None:
    # scipy's documentation of mannwhitneyu: p = 0.1111 exactly, 0.11135 by approximation.
    males, females = [19.0, 22, 16, 29, 24], [20.0, 11, 17, 12]
    test = rank_test(females, males)
    assert test is not None
    assert (test.u, test.exact) == (17, True)
    assert test.p_value == pytest.approx(1 / 9)
    tied = rank_test([0.7, 0.7, 1.2, 3.0], [0.7, 4.0, 5.0, 6.0, 3.0])
    assert tied is not None
    assert (tied.u, tied.exact) == (16.5, False)
    # By hand: ties of 3 and 2, variance = 20/12 × (10 − (24 + 6)/72), z = (16.5 − 10 − 0.5)/√variance
    assert tied.p_value == pytest.approx(math.erfc(6 / math.sqrt(2 * 20 / 12 * (10 - 30 / 72))))


@given(a=samples, b=samples)
def test_it_does_not_matter_which_side_is_called_a(a: list[float], b: list[float]) -> None:
    one, other = rank_test(a, b), rank_test(b, a)
    assert one is not None
    assert other is not None
    assert one.p_value == pytest.approx(other.p_value)
    assert one.superiority + other.superiority == pytest.approx(1)
    assert 0 <= one.p_value <= 1


@given(a=st.lists(st.integers(0, 50), min_size=1, max_size=30), b=st.lists(st.integers(0, 50), min_size=1, max_size=30))
def test_only_the_order_counts(a: list[int], b: list[int]) -> None:
    assert p_of([*map(float, a)], [*map(float, b)]) == p_of([3.0 * x + 7 for x in a], [3.0 * x + 7 for x in b])


@given(a=samples)
def test_a_sample_does_not_differ_from_itself(a: list[float]) -> None:
    test = rank_test(a, a)
    assert test is not None
    assert (test.superiority, test.p_value) == (0.5, 1)


def test_exact_and_approximate_agree_where_they_meet() -> None:
    for u in range(0, 901, 25):
        assert significance._exact_p(u, 30, 30) == pytest.approx(significance._normal_p(u, 30, 30, []), abs=0.004)
    assert [rank_test([0.5] * n, [1.0, *range(2, 31)]).exact for n in (1, 30)] == [True, False]  # type: ignore[union-attr]
    distinct = [x + 0.5 for x in range(31)]
    exact = [rank_test(distinct[:n], [float(x) for x in range(30)]) for n in (30, 31)]
    assert [test.exact for test in exact if test] == [True, False]


def test_equal_sources_are_called_different_about_as_often_as_promised() -> None:
    drawn = random.Random(7)
    for n, trials in ((10, 600), (60, 300)):
        wrong = sum(
            p_of([drawn.expovariate(1) for _ in range(n)], [drawn.expovariate(1) for _ in range(n)]) < 0.05
            for _ in range(trials)
        )
        assert 0.015 <= wrong / trials <= 0.09


def test_a_real_difference_is_found() -> None:
    drawn = random.Random(11)
    a = [drawn.gauss(100, 5) for _ in range(20)]
    b = [drawn.gauss(110, 5) for _ in range(20)]
    test = rank_test(a, b)
    assert test is not None
    assert test.p_value < 0.001
    assert test.superiority > 0.8
    assert judge(test, test.p_value) is Significance.SIGNIFICANT
    assert judge(test, 0.2) is Significance.NOT_SIGNIFICANT


def test_nothing_is_said_of_few_samples() -> None:
    apart = rank_test([1.0, 2, 3, 4, 5, 6, 7], [11.0] * 50)
    assert apart is not None
    assert apart.p_value < 0.01
    assert judge(apart, apart.p_value) is Significance.TOO_FEW
    assert rank_test([], [1.0]) is None
    assert judge(None, None) is Significance.TOO_FEW
    enough = rank_test([float(x) for x in range(MIN_SAMPLES)], [float(x + 100) for x in range(MIN_SAMPLES)])
    assert enough is not None
    assert judge(enough, enough.p_value) is Significance.SIGNIFICANT


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_has_no_rank(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        rank_test([1.0, bad], [2.0])


def test_many_samples_are_no_burden() -> None:
    drawn = random.Random(1)
    assert p_of([drawn.random() for _ in range(100_000)], [drawn.random() + 0.1 for _ in range(1000)]) < 1e-6


@given(st.lists(st.floats(0, 1), max_size=8))
def test_correction_never_lowers_and_keeps_the_order(raw: list[float]) -> None:
    corrected = holm(raw)
    assert len(corrected) == len(raw)
    assert all(p <= c <= 1 for p, c in zip(raw, corrected, strict=True))
    assert [c for _, c in sorted(zip(raw, corrected, strict=True))] == sorted(corrected)


def test_correction_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.2]) == [0.2]
