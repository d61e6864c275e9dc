"""The reason sentences, to the letter."""

from __future__ import annotations

import pytest

from gpu_tui.core.reasons import reason
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.units import MIB
from tests.factories import KLOROS, KLOROS_HOLDS, gpu, judged, kloros, need, snapshot

OOM = {1893: 242, 2816503: 2904, 2387058: 3342}


@pytest.mark.parametrize(
    ("u", "sentence"),
    [
        (0.40, "VLLM allocation (4915MB) too small for model+cache (need 6070MB, deficit: 1155MB)"),
        (
            0.50,
            "Valid: 6144MB allocation fits model (5700MB) + KV cache (444MB) with persistent services (2262MB)",
        ),
        (
            0.90,
            "Insufficient GPU memory with persistent services: need 11059MB, have 10026MB (persistent: 2262MB)",
        ),
    ],
)
def test_the_known_machine(u: float, sentence: str) -> None:
    assert reason(judged(u)) == sentence


@pytest.mark.parametrize(
    ("seen", "u", "sentence"),
    [
        (
            kloros(holds=OOM),
            0.50,
            "Insufficient GPU memory with persistent services: need 6144MB, have 5800MB (persistent: 6488MB)"
            "; no utilization fits: free at least 270MB",
        ),
        (
            kloros(holds=OOM, unattributed=300),
            0.50,
            "Insufficient GPU memory with persistent services: need 6144MB, have 5500MB "
            "(persistent: 6488MB, unattributed: 300MB); no utilization fits: free at least 570MB",
        ),
        (
            kloros(holds=OOM, unattributed=-100),
            0.50,
            "Insufficient GPU memory with persistent services: need 6144MB, have 5900MB "
            "(persistent: 6488MB, unattributed: -100MB); no utilization fits: free at least 170MB",
        ),
        (
            kloros(holds=OOM),
            0.40,
            "VLLM allocation (4915MB) too small for model+cache (need 6070MB, deficit: 1155MB)"
            "; no utilization fits: free at least 270MB",
        ),
        (
            kloros(holds={**KLOROS_HOLDS, 2816503: None}, free=3892),
            0.90,
            "Insufficient GPU memory with persistent services: need 11059MB, have 10026MB (persistent: unknown)",
        ),
        (
            kloros(holds={**KLOROS_HOLDS, 2816503: None}, free=3892),
            0.50,
            "Valid: 6144MB allocation fits model (5700MB) + KV cache (444MB) with persistent services (unknown)",
        ),
    ],
)
def test_other_tenants(seen: Snapshot, u: float, sentence: str) -> None:
    assert reason(judged(u, seen)) == sentence


def test_the_startup_overhead_is_part_of_what_is_needed() -> None:
    assert reason(judged(0.80, needs=need(startup=400))) == (
        "Insufficient GPU memory with persistent services: need 10230MB, have 10026MB (persistent: 2262MB)"
    )


@pytest.mark.parametrize(
    ("required", "figures"),
    [
        # allocation is 5000 MiB; "MB" to the nearest, halves up
        (5000 + 1, "(5000MB) too small for model+cache (need 5001MB, deficit: 1MB)"),
        (5000 + 0.5, "(5000MB) too small for model+cache (need 5001MB, deficit: 1MB)"),
        (5000 + 0.4, "(5000.0MB) too small for model+cache (need 5000.4MB, deficit: 0.4MB)"),
        (5000 + 1 / MIB, "(5000.0MB) too small for model+cache (need 5000.0MB, deficit: 0.0MB)"),
        (5000 + 1.5, "(5000MB) too small for model+cache (need 5002MB, deficit: 2MB)"),
    ],
)
def test_a_sentence_takes_one_decimal_where_its_figures_would_look_alike(required: float, figures: str) -> None:
    report = judged(0.5, snapshot(gpu({}, total=10000)), need(required, 0))
    assert reason(report) == f"VLLM allocation {figures}"


def test_a_deficit_that_would_read_0_takes_one_decimal_though_the_figures_differ() -> None:
    # 5000.4 and 5000.7 print as 5000 and 5001, their difference as 0
    report = judged(0.5, snapshot(gpu({}, total=10000.8)), need(5000.7, 0))
    assert reason(report) == "VLLM allocation (5000.4MB) too small for model+cache (need 5000.7MB, deficit: 0.3MB)"


def test_need_and_have_beside_tenants_take_one_decimal_where_alike() -> None:
    seen = snapshot(gpu({}, total=10000, free=4999.8))
    assert reason(judged(0.5, seen, need(1000, 0))) == (
        "Insufficient GPU memory with persistent services: need 5000.0MB, have 4999.8MB "
        "(persistent: 0.0MB, unattributed: 5000.2MB)"
    )


def test_unattributed_memory_that_would_read_0_is_left_out() -> None:
    seen = snapshot(gpu({}, total=10000, unattributed=0.3))
    assert reason(judged(1.0, seen, need(9000, 0))) == (
        "Insufficient GPU memory with persistent services: need 10000.0MB, have 9999.7MB "
        "(persistent: 0.0MB, unattributed: 0.3MB)"
    )
    seen = snapshot(gpu({}, total=10000, unattributed=0.3, free=4999.7))
    assert "unattributed: 5000MB)" in reason(judged(1.0, seen, need(4000, 0)))
    tenants = kloros(holds=OOM, unattributed=0.3)
    assert "(persistent: 6488MB)" in reason(judged(0.5, tenants))


@pytest.mark.parametrize(
    ("seen", "sentence"),
    [
        (kloros(total=None, free=None), "Unknown: the driver does not report this GPU's memory"),
        (kloros(free=None), "Unknown: the driver does not report this GPU's memory"),
        (
            kloros(processes=None),
            "Unknown: the driver does not list the processes on this GPU, so what would come free is not known",
        ),
        (
            kloros(holds={**KLOROS_HOLDS, 2839331: None}, free=3892),
            "Unknown: the driver does not report the memory of judge, so what would come free is not known",
        ),
    ],
)
def test_unknown_says_what_is_unknown(seen: Snapshot, sentence: str) -> None:
    assert reason(judged(0.5, seen)) == sentence
    assert reason(judged(0.4, seen)) == sentence


def test_nothing_in_the_way_of_the_known_range() -> None:
    assert reason(judged(0.4940, KLOROS)).startswith("Valid: 6070MB allocation fits model (5700MB) + KV cache (370MB)")
    assert reason(judged(0.8159, KLOROS)).startswith("Valid: 10026MB")
    assert reason(judged(0.4939, KLOROS)).startswith("VLLM allocation (6069MB)")
    assert reason(judged(0.8160, KLOROS)).startswith("Insufficient GPU memory")
