"""The optimizer's fitness."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.core.fitness import Targets, Weights, fitness, planned_memory_pct
from gpu_tui.units import MIB
from tests.factories import KLOROS_HOLDS, judged, kloros

BEST = {"stt_ms": 0.0, "llm_ms": 0.0, "capacity": 20.0, "oom": False, "memory_pct": 70.0}
maybe = st.one_of(st.none(), st.floats(0, 1e9))


def test_the_best_of_all_earns_1_and_an_oom_nothing() -> None:
    assert fitness(**BEST) == pytest.approx(1.0)
    assert fitness(**{**BEST, "oom": True}) == 0.0


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"stt_ms": 250.0}, 0.875),
        ({"stt_ms": 500.0}, 0.75),
        ({"stt_ms": 5000.0}, 0.75),
        ({"stt_ms": None}, 0.75),
        ({"llm_ms": 500.0}, 0.875),
        ({"llm_ms": 999.0}, 0.75025),
        ({"llm_ms": None}, 0.75),
        ({"capacity": 10.0}, 0.9),
        ({"capacity": 40.0}, 1.0),
        ({"capacity": None}, 0.8),
        ({"memory_pct": 95.0}, 0.95),
        ({"memory_pct": 45.0}, 0.95),
        ({"memory_pct": 20.0}, 0.9),
        ({"memory_pct": 121.0}, 0.9),
        ({"memory_pct": None}, 0.9),
    ],
)
def test_each_term(changed: dict[str, float | None], expected: float) -> None:
    assert fitness(**{**BEST, **changed}) == pytest.approx(expected)


@given(maybe, maybe, maybe, st.booleans(), maybe)
def test_it_stays_between_0_and_1(
    stt: float | None, llm: float | None, capacity: float | None, oom: bool, memory: float | None
) -> None:
    score = fitness(stt_ms=stt, llm_ms=llm, capacity=capacity, oom=oom, memory_pct=memory)
    assert 0 <= score <= 1 + 1e-9


@given(st.floats(0, 2000), st.floats(0, 2000))
def test_slower_never_earns_more(a: float, b: float) -> None:
    fast, slow = sorted((a, b))
    for name in ("stt_ms", "llm_ms"):
        assert fitness(**{**BEST, name: slow}) <= fitness(**{**BEST, name: fast})


def test_weights_and_targets_are_the_users() -> None:
    weights = Weights(stt=1, llm=0, capacity=0, no_oom=0, memory=0)
    assert fitness(**{**BEST, "stt_ms": 50.0}, weights=weights, targets=Targets(stt_ms=100)) == pytest.approx(0.5)


def test_planned_memory_counts_all_that_stays_and_the_allocation() -> None:
    assert planned_memory_pct(judged(0.5)) == pytest.approx(100 * (2262 + 6144) / 12288)
    with_driver = planned_memory_pct(judged(0.5, kloros(reserved=236, unattributed=17)))
    assert with_driver == pytest.approx(100 * (2262 + 236 + 17 + 6144) / 12288)
    without_v2 = planned_memory_pct(judged(0.5, kloros(reserved=None, unattributed=253)))
    assert without_v2 == with_driver


def test_planned_memory_is_unknown_where_a_part_is() -> None:
    assert planned_memory_pct(judged(0.5, kloros(total=None, free=10 * MIB))) is None
    assert planned_memory_pct(judged(0.5, kloros(holds={**KLOROS_HOLDS, 2816503: None}, free=3892))) is None
