"""vLLM's error texts: real ones to the letter, and what is written is read back with the same figures."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from gpu_tui.core.checks import ModelNeed
from gpu_tui.core.origins import Origin, OriginKind
from gpu_tui.core.plan import Plan
from gpu_tui.core.start import Outcome
from gpu_tui.core.start_inputs import StartInputs
from gpu_tui.core.start_log import parse_start_log
from gpu_tui.core.start_terms import Given, TermName
from gpu_tui.core.vllm_errors import error_text
from gpu_tui.units import GIB
from tests.core.layouts import facts_of
from tests.factories import books_of, gpu, snapshot

VERSIONS = ("0.6.6", "0.8.5", "0.9.2", "0.12.0", "0.14.1", "0.19.1", "0.20.2", "0.28.0", "0.33.0", None)


def plan(u: float, *, version: str | None, total_gib: float = 24.0, free_gib: float = 24.0, **flags: Any) -> Plan:
    """A Qwen3-8B whose terms are known exactly, on a GPU of so much memory."""
    origin = Origin(kind=OriginKind.MEASURED, source="test")
    sizes = {TermName.WEIGHTS: 15.27, TermName.ACTIVATION: 1.4, TermName.NON_TORCH: 0.05, TermName.CUDA_GRAPHS: 0.5}
    given = {name: Given(size=round(gib * GIB), origin=origin, precision=0) for name, gib in sizes.items()}
    inputs = StartInputs(facts=facts_of("qwen3-8b"), version=version, given=given, **flags)
    device = gpu(total=total_gib * 1024, free=free_gib * 1024, cuda_total_bytes=round(total_gib * GIB))
    return Plan(gpu_memory_utilization=u, gpu=device, books=books_of(snapshot(device)), base=ModelNeed(), inputs=inputs)


def text(case: Plan) -> str | None:
    return error_text(case.judge(), case.rules)


def test_not_enough_free_to_the_letter() -> None:
    case = plan(0.95, version="0.10.2", total_gib=47.38, free_gib=31.44)
    assert text(case) == (
        "Free memory on device (31.44/47.38 GiB) on startup is less than desired GPU memory utilization (0.95, 45.01 "
        "GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes."
    )
    later = plan(0.9, version="0.14.1", total_gib=22.047, free_gib=19.77)
    assert text(later) == (
        "Free memory on device cuda:0 (19.77/22.05 GiB) on startup is less than desired GPU memory utilization (0.9, "
        "19.84 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes."
    )


def test_what_is_taken_before_vllm_looks_is_not_free() -> None:
    case = plan(0.95, version="0.19.1", free_gib=22.0)
    case = replace(case, base=replace(case.base, startup_overhead_bytes=round(0.5 * GIB)))
    assert "(21.5/24.0 GiB)" in str(text(case))


def test_no_cache_blocks_to_the_letter() -> None:
    start = (
        "No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing the engine"
    )
    page = "See https://docs.vllm.ai/en/latest/configuration/conserving_memory/ for more details."
    assert text(plan(0.5, version="0.9.2")) == f"{start}."
    assert text(plan(0.5, version="0.19.1")) == f"{start}. {page}"
    assert text(plan(0.5, version="0.33.0")) == (
        f"{start} (this flag also controls CPU memory reservation on the CPU backend, despite its name). {page}"
    )


def test_too_long_to_the_letter() -> None:
    old = plan(0.9, version="0.6.6", max_model_len=40_960)
    assert text(old) == (
        "The model's max seq len (40960) is larger than the maximum number of tokens that can be stored in KV cache "
        f"({old.judge().prediction.kv_tokens}). Try increasing `gpu_memory_utilization` or decreasing `max_model_len` "
        "when initializing the engine."
    )
    tail = "Try increasing `gpu_memory_utilization` or decreasing `max_model_len` when initializing the engine."
    head = (
        "To serve at least one request with the models's max seq len (40960), (5.62 GiB KV cache is needed, which is "
    )
    left = "larger than the available KV cache memory (4.88 GiB). "
    assert text(plan(0.9, version="0.8.5", max_model_len=40_960)) == f"{head}{left} {tail}"
    assert text(plan(0.9, version="0.10.2", max_model_len=40_960)) == (
        f"{head}{left}Based on the available memory, the estimated maximum model length is 35520. {tail}"
    )


def test_the_null_block_is_taken_off_before_it_is_told() -> None:
    case = plan(0.9, version="0.33.0", max_model_len=40_960, block_size=1024)
    prediction = case.judge().prediction
    assert prediction.kv_cache_bytes is not None
    told = re.search(r"memory \(([\d.]+) GiB\)", str(text(case)))
    assert told is not None
    assert told[1] == str(round((prediction.kv_cache_bytes - 1024 * 147_456) / GIB, 2))


def test_without_a_gate_torch_finds_out() -> None:
    assert text(plan(0.9, version="0.7.3", free_gib=12.0)) == "CUDA out of memory."


def test_a_start_and_the_unknown_have_no_error() -> None:
    assert text(plan(0.9, version="0.19.1", max_model_len=4096)) is None
    device = gpu(free=None)
    unknown = Plan(gpu_memory_utilization=0.9, gpu=device, books=books_of(snapshot(device)), base=ModelNeed())
    assert text(unknown) is None


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("u", "free", "length"), [(0.95, 10.0, 4096), (0.5, 24.0, 4096), (0.9, 24.0, 40_960)], ids=["gate", "none", "long"]
)
def test_every_text_is_read_back_as_the_same_failure(version: str | None, u: float, free: float, length: int) -> None:
    case = plan(u, version=version, free_gib=free, max_model_len=length)
    judged = case.judge()
    outcome, told = judged.prediction.outcome, text(case)
    assert outcome not in (None, Outcome.STARTED)
    assert told is not None
    if told == "CUDA out of memory.":
        assert outcome is Outcome.NOT_ENOUGH_FREE
        assert not case.rules.start_gate
        return
    failure = parse_start_log([f"ValueError: {told}"]).failure
    assert failure is not None
    assert outcome is not None
    assert failure.kind.value == outcome.value
    if outcome is Outcome.NOT_ENOUGH_FREE:
        assert failure.free is not None
        assert failure.free.size_bytes == pytest.approx(free * GIB, abs=0.005 * GIB)
        assert failure.utilization == u
    if outcome is Outcome.MAX_LEN_TOO_LONG:
        assert failure.max_model_len == length
        estimate = judged.prediction.largest_max_model_len
        assert failure.estimated_max_len in (None, estimate)
