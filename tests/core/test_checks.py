"""The three checks on the known machine, at their edges, and where memory is unknown."""

from __future__ import annotations

import math

import pytest

from gpu_tui.core.checks import CheckName, Feasible, Status, allocation_total, evaluate, feasible_range
from gpu_tui.core.steps import allocation
from gpu_tui.units import MIB
from tests.factories import KLOROS, KLOROS_HOLDS, books_of, gpu, judged, kloros, need, snapshot


def test_the_known_machine_at_040() -> None:
    report = judged(0.40)
    assert report.status is Status.INVALID
    assert report.allocation_bytes == math.ceil(12288 * MIB * 0.40)
    assert report.kv_cache_bytes == pytest.approx(-784.8 * MIB, abs=1)
    assert report.deficit_bytes == pytest.approx(1154.8 * MIB, abs=1)
    assert [check.passed for check in report.checks] == [False, True, True]
    assert report.first_failing is report.checks[0]
    assert report.free_at_least_bytes is None


def test_the_known_machine_at_050() -> None:
    report = judged(0.50)
    assert report.status is Status.VALID
    assert report.valid is True
    assert (report.allocation_bytes, report.kv_cache_bytes) == (6144 * MIB, 444 * MIB)
    assert report.available_bytes == 10026 * MIB
    assert report.books.persistent_bytes == 2262 * MIB
    assert report.deficit_bytes == 0
    assert report.first_failing is None
    assert report.feasible == Feasible(min_steps=4940, max_steps=8159)
    assert (report.feasible.min, report.feasible.max) == (0.4940, 0.8159)


def test_the_checks_are_always_three_in_order_with_need_have_and_margin() -> None:
    checks = judged(0.40, needs=need(startup=100)).checks
    assert [check.name for check in checks] == [CheckName.MODEL, CheckName.PERSISTENT, CheckName.TOTAL]
    asked = math.ceil(12288 * MIB * 0.40)
    assert [(c.need_bytes, c.have_bytes) for c in checks] == [
        (6070 * MIB, asked),
        (6070 * MIB, 10026 * MIB),
        (asked + 100 * MIB, 10026 * MIB),
    ]
    assert [c.margin_bytes for c in checks] == [
        asked - 6070 * MIB,
        3956 * MIB,
        10026 * MIB - asked - 100 * MIB,
    ]


def test_reserved_and_unattributed_memory_is_not_available() -> None:
    report = judged(0.50, kloros(reserved=236, unattributed=17))
    assert report.valid is True
    assert report.kv_cache_bytes == 444 * MIB
    assert report.available_bytes == 9773 * MIB


def test_above_the_range_check_3_fails_and_its_deficit_counts() -> None:
    report = judged(0.90)
    assert [check.passed for check in report.checks] == [True, True, False]
    assert report.deficit_bytes == math.ceil(12288 * MIB * 0.90) - 10026 * MIB


def test_hand_set_figures_stay_on_nvmls_total_and_derived_ones_on_cudas() -> None:
    seen = kloros(reserved=236)
    by_hand, derived = judged(0.5, seen), judged(0.5, seen, need(on_cuda_total=True))
    assert by_hand.allocation_bytes == 6144 * MIB
    assert derived.allocation_bytes == (12288 - 236) * MIB // 2
    assert allocation_total(by_hand.books, by_hand.need) == 12288 * MIB


@pytest.mark.parametrize(
    ("startup", "u", "tight"), [(0, 0.80, True), (0, 0.70, False), (100, 0.80, False), (0, 0.40, False)]
)
def test_tight(startup: float, u: float, tight: bool) -> None:
    assert judged(u, needs=need(startup=startup)).tight is tight


def test_tight_ends_at_600_mib() -> None:
    at = kloros(free=6144 + 600 - 6134)
    below = kloros(free=6144 + 599 - 6134)
    assert [judged(0.5, seen).tight for seen in (at, below)] == [False, True]


@pytest.mark.parametrize("u", [0, -0.1, 1.0001, math.nan, math.inf])
def test_a_utilization_outside_0_to_1_is_refused(u: float) -> None:
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        evaluate(u, books_of(KLOROS), need())


def test_the_whole_gpu_may_be_asked_for() -> None:
    assert judged(1.0, snapshot(gpu({}, total=8000))).valid is True


def test_a_model_that_fills_the_room_to_the_byte_fits() -> None:
    seen = snapshot(gpu({}, total=10000))
    assert judged(1.0, seen, need(9000, 1000)).valid is True
    assert judged(1.0, seen, need(9000, 1001)).valid is False
    assert judged(0.5, seen, need(4000, 1000)).checks[0].margin_bytes == 0
    assert judged(0.5, seen, need(4000, 1000)).valid is True


def test_the_next_byte_up_counts_as_vllm_rounds() -> None:
    assert allocation(3, 0.5) == 2
    assert allocation(12288 * MIB, 0.4) == 5_153_960_756


def test_nothing_fits_beside_large_tenants_and_it_is_told_how_much_must_go() -> None:
    seen = kloros(holds={1893: 242, 2816503: 2904, 2387058: 3342})
    report = judged(0.50, seen)
    assert report.feasible is None
    assert [check.passed for check in report.checks] == [True, False, False]
    # 0.4940 is the first multiple that holds 6070 MiB
    assert report.free_at_least_bytes == allocation(12288 * MIB, 0.4940) - 5800 * MIB


def test_room_that_falls_between_two_multiples_fits_none() -> None:
    # 6070.1 MiB would do, but 0.4939 gives 6069.04 and 0.4940 gives 6070.27
    seen = kloros(holds={2839331: 6000}, free=70.1)
    report = judged(0.5, seen)
    assert report.checks[1].passed is True
    assert report.feasible is None
    assert report.free_at_least_bytes == allocation(12288 * MIB, 0.4940) - round(6070.1 * MIB)


def test_a_model_larger_than_the_card_is_told_by_what_is_short() -> None:
    report = judged(1.0, snapshot(gpu({}, total=8000)), need(12000, 0))
    assert report.feasible is None
    assert report.free_at_least_bytes == 4000 * MIB


# --- unknown --------------------------------------------------------------------------------------------------------


def _told(u: float = 0.5, **fields: object) -> tuple[bool | None, ...]:
    report = judged(u, kloros(**fields))
    assert (report.status is Status.UNKNOWN) == (report.valid is None)
    return tuple(check.passed for check in report.checks)


def test_without_a_total_nothing_but_check_2_can_be_told() -> None:
    report = judged(0.5, kloros(total=None, free=3892))
    assert [check.passed for check in report.checks] == [None, True, None]
    assert (report.allocation_bytes, report.kv_cache_bytes, report.deficit_bytes) == (None, None, None)
    assert (report.valid, report.feasible, report.tight, report.free_at_least_bytes) == (None, None, False, None)


def test_without_free_memory_checks_2_and_3_are_unknown() -> None:
    assert _told(free=None) == (True, None, None)
    report = judged(0.4, kloros(free=None))
    assert report.checks[0].passed is False
    assert (report.valid, report.feasible, report.available_bytes) == (None, None, None)


def test_an_unknown_restarting_service_makes_the_verdict_unknown() -> None:
    report = judged(0.5, kloros(holds={**KLOROS_HOLDS, 2839331: None}, free=3892))
    assert [check.passed for check in report.checks] == [True, None, None]
    assert (report.status, report.available_bytes, report.deficit_bytes) == (Status.UNKNOWN, None, None)
    assert feasible_range(report.books, report.need) is None


def test_an_unknown_persistent_service_leaves_the_verdict_standing() -> None:
    report = judged(0.5, kloros(holds={**KLOROS_HOLDS, 2816503: None}, free=3892))
    assert report.status is Status.VALID
    assert report.available_bytes == 10026 * MIB
    assert (report.books.persistent_bytes, report.books.unattributed_bytes) == (None, None)
    assert (report.books.processes_bytes, report.books.restarting_bytes) == (None, 6134 * MIB)


def test_without_a_process_list_nothing_is_known_of_what_would_come_free() -> None:
    books = books_of(kloros(processes=None))
    assert not books.listed
    assert (books.restarting_bytes, books.persistent_bytes, books.processes_bytes) == (None, None, None)
    assert (books.unattributed_bytes, books.available_bytes) == (None, None)
    assert {service.used_bytes for service in books.services} == {None}
    assert judged(0.5, kloros(processes=None)).status is Status.UNKNOWN


def test_without_v2_reserved_memory_sits_inside_used() -> None:
    report = judged(0.5, kloros(reserved=None, unattributed=236))
    assert report.books.reserved_bytes is None
    assert report.books.unattributed_bytes == 236 * MIB
    assert report.valid is True
