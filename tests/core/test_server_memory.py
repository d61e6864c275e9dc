"""What a server's blocks and processes measure of its memory: laws against predictions, and one real start."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gpu_tui.core.cache_info import CacheInfo, EngineCache, SleepState
from gpu_tui.core.checks import ModelNeed
from gpu_tui.core.origins import Origin, OriginKind
from gpu_tui.core.plan import Plan
from gpu_tui.core.server_memory import BesideCache, beside_cache, rest_by_blocks, serving_engine
from gpu_tui.core.start_inputs import StartInputs
from gpu_tui.core.start_log import parse_start_log
from gpu_tui.core.start_terms import Given, TermName
from gpu_tui.units import GIB, MIB
from tests.core.layouts import facts_of
from tests.core.plans import exact, inputs
from tests.factories import books_of, gpu, info, snapshot

W, A, N, G = TermName.WEIGHTS, TermName.ACTIVATION, TermName.NON_TORCH, TermName.CUDA_GRAPHS
OPEN = ("0.9.2", "0.11.2", "0.19.1", "0.21.0", "0.33.0")
"""Releases whose KV cache is what they themselves leave over."""


def server_plan(told: StartInputs, u: float, used_mib: float = 70_000, total_mib: float = 81_559) -> Plan:
    """A running server on a card of its own, planned as it runs."""
    people = [
        info(77, "vllm", "vllm serve m --port 8001", ppid=1),
        info(78, "VLLM::EngineCor", ["VLLM::EngineCore"], ppid=77),
    ]
    seen = snapshot(gpu({78: used_mib}, total=total_mib), people, simulated=False)
    return Plan(
        gpu_memory_utilization=u,
        gpu=seen.gpus[0],
        books=books_of(seen),
        base=ModelNeed(),
        inputs=replace(told, gpu_memory_utilization=u, kv_cache_memory_bytes=None),
    )


def engine_of(plan: Plan) -> EngineCache:
    """What the metrics of this very start would tell."""
    start, left = plan.start(), plan.judge().prediction.kv_cache_bytes
    assert start is not None
    assert start.layout is not None
    assert left is not None
    blocks = start.layout.num_blocks(left)
    return EngineCache(
        block_size=start.layout.block_size,
        num_gpu_blocks=blocks,
        gpu_memory_utilization=plan.gpu_memory_utilization,
        kv_cache_size_tokens=start.layout.tokens(blocks, start.max_model_len),
    )


def rest(plan: Plan, engine: EngineCache) -> dict[TermName, Given]:
    start = plan.start()
    assert start is not None
    assert plan.inputs is not None
    return rest_by_blocks(engine, start, plan.inputs, plan.books, "metrics")


@given(inputs(versions=OPEN), st.floats(0.05, 1), st.floats(0.05, 1))
def test_the_blocks_of_a_start_predict_every_other_of_the_same_server_to_the_block(
    told: StartInputs, u: float, other: float
) -> None:
    truth = server_plan(replace(told, given={A: exact(1.5), N: exact(0.25), G: exact(0.5), **told.given}), u, 10**7)
    start, left = truth.start(), truth.judge().prediction.kv_cache_bytes
    assume(start is not None and start.layout is not None)
    assume(left is not None and left >= start.layout.bytes_per_block)  # type: ignore[union-attr]
    blind = server_plan(replace(told, given={}), u, 10**7)
    measured = rest(blind, engine_of(truth))
    engine = engine_of(truth)
    assume(engine.kv_cache_size_tokens is not None)
    assert measured
    assert blind.inputs is not None
    known = blind.with_flags(given=measured).at(other)
    was, is_now = truth.at(other).judge().prediction, known.judge().prediction
    assert was.kv_cache_bytes is not None
    assert is_now.kv_cache_bytes is not None
    block = start.layout.bytes_per_block  # type: ignore[union-attr]
    assert 0 <= was.kv_cache_bytes - is_now.kv_cache_bytes <= block + 2
    assert is_now.kv_cache_band is not None
    assert is_now.kv_cache_band[0] <= was.kv_cache_bytes <= is_now.kv_cache_band[1]


LLAVA = """\
Model loading took 14.0786 GiB and 10.247948 seconds
Available KV cache memory: 55.15 GiB
GPU KV cache size: 451,744 tokens"""
"""Of a real start by 0.10.2 on an H100, which took 1.97 GiB of activation and 0.07 GiB of other memory."""
SEEN = StartInputs(
    facts=replace(facts_of("llama-3.1-8b"), name="llava"),
    version="0.10.2",
    max_model_len=4096,
    cuda_total_bytes=round(79.19 * GIB),
    given={W: Given(size=round(14.0786 * GIB), origin=Origin(kind=OriginKind.MEASURED, source="log"))},
)
ENGINE = EngineCache(block_size=16, num_gpu_blocks=28_234, gpu_memory_utilization=0.9)


def test_a_real_start() -> None:
    measured = rest(server_plan(SEEN, 0.9), ENGINE)
    assert set(measured) == {A, N}, "0.10.2 puts graphs on top"
    assert measured[A].size == pytest.approx((1.97 + 0.07) * GIB, abs=0.02 * GIB)
    assert measured[A].origin.kind is OriginKind.MEASURED
    assert measured[A].origin.source == "metrics: requested − weights − 28,234 blocks of 2,097,152 bytes"
    assert (measured[N].size, measured[N].part_of) == (0, A)
    newer = rest(server_plan(replace(SEEN, version="0.21.0"), 0.9), ENGINE)
    assert newer[G].part_of is A
    assert G not in rest(server_plan(replace(SEEN, version="0.21.0", enforce_eager=True), 0.9), ENGINE)


@pytest.mark.parametrize(
    ("changed", "engine"),
    [
        pytest.param({"version": None}, {}, id="release-not-told"),
        pytest.param({"version": "0.9.0"}, {}, id="counts-other-tenants"),
        pytest.param({"num_gpu_blocks_override": 99}, {}, id="blocks-by-a-flag"),
        pytest.param({}, {"num_gpu_blocks_override": 99}, id="blocks-by-its-metrics"),
        pytest.param({}, {"kv_cache_memory_bytes": GIB}, id="pinned"),
        pytest.param({"speculative_tokens": 3}, {}, id="draft-model"),
        pytest.param({"pipeline_parallel_size": 2}, {}, id="stages"),
        pytest.param({}, {"num_gpu_blocks": None}, id="no-blocks"),
        pytest.param({}, {"block_size": 32}, id="another-block"),
        pytest.param({}, {"kv_cache_size_tokens": 900_000}, id="another-layout"),
        pytest.param({}, {"num_gpu_blocks": 40_000}, id="more-than-its-processes-hold"),
        pytest.param({"facts": replace(facts_of("llama-3.1-8b"), groups=())}, {}, id="no-layers"),
    ],
)
def test_what_measures_nothing(changed: dict[str, Any], engine: dict[str, Any]) -> None:
    assert rest(server_plan(replace(SEEN, **changed), 0.9), replace(ENGINE, **engine)) == {}


def test_processes_that_hold_less_than_cache_and_weights_refuse_the_blocks() -> None:
    assert rest(server_plan(SEEN, 0.9, used_mib=66_000), ENGINE) == {}
    offloaded = replace(ENGINE, cpu_offload_gb=8.0)
    assert rest(server_plan(SEEN, 0.9, used_mib=66_000), offloaded)
    hidden = server_plan(SEEN, 0.9)
    assert hidden.books.chosen is not None
    hidden = replace(hidden, books=replace(hidden.books, chosen=replace(hidden.books.chosen, used_bytes=None)))
    assert rest(hidden, ENGINE)


def test_engines_that_sleep_or_differ_tell_nothing() -> None:
    assert serving_engine(None) is None
    assert serving_engine(CacheInfo()) is None
    assert serving_engine(CacheInfo(engines=(EngineCache(engine="0"),))) is None
    assert serving_engine(CacheInfo(engines=(ENGINE, replace(ENGINE, engine="1")))) == ENGINE
    assert serving_engine(CacheInfo(engines=(ENGINE, replace(ENGINE, engine="1", num_gpu_blocks=9)))) is None
    assert serving_engine(CacheInfo(engines=(replace(ENGINE, sleep=SleepState.DISCARDED),))) is None
    assert serving_engine(CacheInfo(engines=(replace(ENGINE, sleep=SleepState.AWAKE),))) is not None


def beside(used_mib: float = 73_900, **changed: Any) -> BesideCache | None:
    plan = server_plan(replace(SEEN, given={}, **changed), 0.9, used_mib)
    return beside_cache(CacheInfo(engines=(ENGINE,)), None, plan.books, plan.start())


def test_what_its_processes_hold_beside_the_cache_stands_against_the_prediction() -> None:
    found = beside()
    assert found is not None
    cache = 28_234 * 16 * 131_072
    assert (found.used, found.cache.size) == (73_900 * MIB, cache)
    assert found.cache.told == "28,234 blocks by its metrics"
    assert found.size == 73_900 * MIB - cache
    assert found.low < found.middle < found.high
    assert found.low <= found.size <= found.high, "14.1 GiB of weights, 0.7 of graphs, a context"


def test_without_a_layout_the_log_tells_the_cache() -> None:
    plan = server_plan(replace(SEEN, given={}, facts=replace(facts_of("llama-3.1-8b"), groups=())), 0.9, 73_900)
    cache = CacheInfo(engines=(ENGINE,))
    assert beside_cache(cache, None, plan.books, plan.start()) is None
    found = beside_cache(cache, parse_start_log(LLAVA.splitlines()), plan.books, plan.start())
    assert found is not None
    assert found.cache.size == round(55.15 * GIB)


def test_a_server_that_is_loading_tells_nothing() -> None:
    plan = server_plan(SEEN, 0.9)
    assert beside_cache(None, parse_start_log(LLAVA.splitlines()), plan.books, plan.start()) is None
    assert beside(used_mib=20_000) is None, "less than its cache: the figures do not belong together"
