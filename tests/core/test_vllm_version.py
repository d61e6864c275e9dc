"""Which release accounts how: the table of what changed when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.core.vllm_version import Accounting, TokenRule, accounting_of

B, G, C = TokenRule.BLOCKS, TokenRule.PER_GROUP, TokenRule.CONCURRENCY


@pytest.mark.parametrize(
    ("version", "v0", "gate", "others", "graphs", "null_block", "early", "util", "rule"),
    [
        ("0.4.2", True, False, False, False, False, False, 0.9, B),
        ("0.6.4.post1", True, False, True, False, False, False, 0.9, B),
        ("0.6.6", True, False, False, False, False, False, 0.9, B),
        ("0.7.3", True, False, False, False, False, False, 0.9, B),
        ("0.8.5", False, False, True, False, False, False, 0.9, B),
        ("0.8.5.post1 (V0)", True, False, False, False, False, False, 0.9, B),
        ("0.9.0.1", False, False, True, False, False, False, 0.9, G),
        ("0.9.1", False, True, False, False, False, False, 0.9, G),
        ("0.9.2 V0", True, False, False, False, False, False, 0.9, B),
        ("0.10.2", False, True, False, False, False, False, 0.9, G),
        ("0.11.2", False, True, False, False, False, True, 0.9, G),
        ("0.19.1", False, True, False, False, False, True, 0.9, G),
        ("0.20.2", False, True, False, True, False, True, 0.92, C),
        ("0.28.0", False, True, False, True, False, True, 0.92, C),
        ("0.30.0", False, True, False, True, True, True, 0.92, C),
        ("0.33.0", False, True, False, True, True, True, 0.92, C),
        (None, False, True, False, True, True, True, 0.92, C),
    ],
)
def test_the_rules_of_a_release(
    version: str | None,
    v0: bool,
    gate: bool,
    others: bool,
    graphs: bool,
    null_block: bool,
    early: bool,
    util: float,
    rule: TokenRule,
) -> None:
    rules = accounting_of(version)
    assert rules.v0 is v0
    assert rules.start_gate is gate
    assert rules.counts_others is others
    assert rules.graphs_inside is graphs
    assert rules.reserves_null_block is null_block
    assert rules.context_before_snapshot is early
    assert rules.default_gpu_memory_utilization == util
    assert rules.token_rule is rule


@pytest.mark.parametrize(
    ("version", "release", "v0"),
    [
        ("0.19.1", (0, 19, 1), False),
        ("v0.8.5.post1 (V0)", (0, 8, 5), True),
        ("0.21.1rc1.dev9+g1a2b3c4", (0, 21, 1), False),
        ("vLLM 0.11", (0, 11, 0), False),
        ("0.8.4, VLLM_USE_V1=0", (0, 8, 4), True),
        ("0.7.3 with VLLM_USE_V1=1", (0, 7, 3), False),
        ("0.12.0 (V0)", (0, 12, 0), False),  # V0 was removed in 0.11
        ("V0", None, True),
        ("nightly", None, False),
        ("", None, False),
        (None, None, False),
    ],
)
def test_a_version_as_people_write_it(version: str | None, release: tuple[int, int, int] | None, v0: bool) -> None:
    rules = accounting_of(version)
    assert (rules.release, rules.v0) == (release, v0)


def test_a_release_is_told_to_people() -> None:
    assert accounting_of("0.19.1").label == "vLLM 0.19.1"
    assert accounting_of("0.8.5 (V0)").label == "vLLM 0.8.5 (V0)"
    assert "newest assumed" in accounting_of(None).label
    assert "not told" in accounting_of("V0").label


@given(st.text(max_size=40))
def test_no_text_is_too_odd(text: str) -> None:
    assert isinstance(accounting_of(text), Accounting)


@given(st.tuples(*[st.integers(0, 40)] * 2), st.tuples(*[st.integers(0, 40)] * 2))
def test_what_came_once_stays(one: tuple[int, int], other: tuple[int, int]) -> None:
    early, late = (accounting_of(f"0.{minor}.{patch}") for minor, patch in sorted((one, other)))
    for name in ("start_gate", "graphs_inside", "reserves_null_block", "context_before_snapshot", "mla_cache"):
        assert getattr(early, name) <= getattr(late, name)


@pytest.mark.parametrize(
    ("version", "release", "v0"),
    [
        ("main 2025-07-24", (0, 9, 1), False),
        ("V1, 2025-03-06 latest", (0, 7, 0), False),
        ("V0 2025-03-29", (0, 8, 0), True),
        ("nightly 2026-08-01", (0, 26, 0), False),
        ("2026-08-26", (0, 28, 0), False),
        ("2024-02-01", (0, 6, 0), True),
        ("2031-01-01", (0, 32, 0), False),
    ],
)
def test_a_date_stands_for_the_newest_release_of_its_day(version: str, release: tuple[int, int, int], v0: bool) -> None:
    rules = accounting_of(version)
    assert (rules.release, rules.v0, rules.dated) == (release, v0, True)
    assert "of that day" in rules.label


def test_a_number_stands_before_a_date() -> None:
    assert accounting_of("0.19.1, 2026-11-01") == Accounting(release=(0, 19, 1), v0=False)
    assert accounting_of("build 20260101").release is None
