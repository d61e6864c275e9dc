"""The KV cache's layout: figures that real engines logged, and laws against brute force."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gpu_tui.core.kv_layout import UNLIMITED, KvLayout
from gpu_tui.core.kv_options import CacheOptions
from gpu_tui.core.kv_pages import kv_layout
from gpu_tui.core.model_facts import LayerGroup, LayerKind, ModelFacts
from gpu_tui.core.vllm_version import TokenRule, accounting_of
from tests.core.layouts import KNOWN, VERSIONS, drawn_layouts, facts_of, flags, layout_of, layouts, models

LENGTHS = st.integers(1, 200_000)


@pytest.mark.parametrize(
    ("name", "options", "tokens"),
    [
        # "Setting attention block size to N tokens": logs of Qwen 3.5/3.6, plain, with an fp8 cache, with MTP.
        ("qwen3.5-27b", {}, 784),
        ("qwen3.5-27b", {"kv_cache_dtype": "fp8"}, 1568),
        ("qwen3.5-27b", {"kv_cache_dtype": "nvfp4"}, 2784),
        ("qwen3.5-27b", {"kv_cache_dtype": "fp8", "speculative_tokens": 3}, 1600),
        ("qwen3.5-35b-a3b", {}, 1056),
        ("qwen3.5-35b-a3b", {"kv_cache_dtype": "fp8"}, 2096),
        ("qwen3.5-122b-a10b", {}, 2096),
        ("qwen3.5-122b-a10b", {"kv_cache_dtype": "fp8", "speculative_tokens": 1}, 4192),
        ("qwen3.5-9b", {}, 528),
        ("llama-3.1-8b", {}, 16),
        ("llama-3.1-8b", {"block_size": 32}, 32),
        ("deepseek-v3.2", {}, 64),
    ],
)
def test_block_sizes_as_logged(name: str, options: Mapping[str, Any], tokens: int) -> None:
    assert layout_of(name, **options).block_size == tokens


@pytest.mark.parametrize(
    ("name", "options", "size"),
    [
        ("deepseek-r1", {}, 70_272),  # 61 layers × (512 + 64) × 2
        ("deepseek-r1", {"tensor_parallel_size": 8}, 70_272),  # the latent cache is not divided
        ("deepseek-r1", {"kv_cache_dtype": "fp8"}, 35_136),
        ("smollm2-135m", {}, 23_040),  # 30 layers × 3 heads × 64 × 2 × 2, as vLLM on the CPU allots it
        ("llama-3.1-8b", {}, 131_072),
        ("llama-3.1-8b", {"tensor_parallel_size": 4}, 32_768),
        ("llama-3.1-8b", {"kv_cache_dtype": "fp8"}, 65_536),
        ("llama-3.1-8b", {"pipeline_parallel_size": 2}, 65_536),
        ("qwen3-8b", {}, 147_456),
        ("qwen2.5-7b", {"tensor_parallel_size": 8}, 14_336),  # 4 heads on 8 ranks: one each, replicated
    ],
)
def test_bytes_of_a_token(name: str, options: Mapping[str, Any], size: int) -> None:
    assert layout_of(name, **options).bytes_per_token == size


def test_what_smollm2_was_given_on_a_real_engine() -> None:
    layout = layout_of("smollm2-135m", block_size=128)
    assert layout.bytes_per_block == 23_040 * 128
    assert layout.num_blocks(364 * 23_040 * 128) == layout.num_blocks(365 * 23_040 * 128 - 1) == 364
    assert layout.tokens(364, 8192) == 46_592
    assert layout.need_bytes(8192) == 64 * 23_040 * 128


def test_what_qwen3_8b_was_given_on_a_real_engine() -> None:
    for version in ("0.8.5", "0.16.0", "0.20.2"):
        assert layout_of("qwen3-8b", version).tokens(8505, 40_960) == 136_080


def test_a_window_caps_what_a_request_holds() -> None:
    # Gemma 3 27B: 52 sliding and 10 full layers, 7 tables; a window holds min(1024 - 1 + 2048, L) tokens and a block.
    layout = layout_of("gemma-3-27b", "0.19.1", max_num_batched_tokens=2048)
    assert layout.num_groups == 7
    assert layout.blocks_per_request(32_768) == 2048 + 6 * (-(-(1023 + 2048) // 16) + 1)
    switched_off = layout_of("gemma-3-27b", "0.19.1", hybrid_manager=False)
    assert (switched_off.num_groups, switched_off.blocks_per_request(32_768)) == (1, 2048)


def test_a_model_of_windows_alone_has_no_end_once_its_windows_fit() -> None:
    layout = layout_of("mistral-7b-v0.1", "0.19.1")
    window = layout.blocks_per_request(10**6)
    assert layout.largest_request(window) == UNLIMITED
    assert layout.largest_request(window, 32_768) == 32_768
    assert layout.largest_request(window - 1) < 4096 + 2048
    assert layout.largest_request(2) == 16
    assert layout.largest_request(1) == 0


@pytest.mark.parametrize(
    ("version", "options", "batches"),
    [
        ("0.25.1", {}, 1),
        ("0.26.0", {}, 2),
        ("0.33.0", {}, 2),
        ("0.33.0", {"batches_in_flight": 1}, 1),  # without asynchronous scheduling, as on a CPU
        ("0.25.1", {"pipeline_parallel_size": 2}, 1),
        ("0.28.0", {"pipeline_parallel_size": 2}, 2),
        ("0.33.0", {"pipeline_parallel_size": 2}, 3),
    ],
)
def test_a_window_keeps_the_batches_in_flight(version: str, options: Mapping[str, Any], batches: int) -> None:
    layout = layout_of("gemma-3-27b", version, max_num_batched_tokens=2048, **options)
    assert layout.blocks_per_request(32_768) == 2048 + 6 * (-(-(1023 + batches * 2048) // 16) + 1)


@pytest.mark.parametrize(
    ("name", "version", "caching", "blocks"),
    [
        ("nemotron-h-8b", "0.31.0", None, 2),
        ("nemotron-h-8b", "0.32.0", None, 3),  # Mamba2: and the checkpoint of a prefill
        ("nemotron-h-8b", "0.32.0", False, 1),
        ("qwen3.5-27b", "0.32.0", None, 2),
        ("jamba-v0.1", "0.32.0", None, 2),
        ("mamba-2.8b", "0.32.0", None, 1),  # without attention prefixes are not cached unless asked for
        ("mamba-2.8b", "0.32.0", True, 2),
        ("codestral-mamba-7b", "0.32.0", True, 3),
        ("codestral-mamba-7b", "0.32.0", None, 1),
    ],
)
def test_states_of_one_request(name: str, version: str, caching: bool | None, blocks: int) -> None:
    layout = layout_of(name, version, prefix_caching=caching)
    assert {bucket.fixed_blocks for bucket in layout.buckets} - {0} == {blocks}


@pytest.mark.parametrize(
    ("version", "caching", "grows"),
    [
        ("0.16.0", True, False),
        ("0.24.0", None, False),
        ("0.24.0", True, True),
        ("0.27.1", None, True),
        ("0.27.1", False, False),
        ("0.28.0", None, False),
    ],
)
def test_up_to_0_27_every_state_of_mamba2_is_kept(version: str, caching: bool | None, grows: bool) -> None:
    layout = layout_of("nemotron-h-8b", version, prefix_caching=caching)
    states = next(bucket for bucket in layout.buckets if bucket.kind is LayerKind.STATE)
    assert (states.blocks(20 * layout.block_size) == 20) is grows
    # Blocks of whole chunks (128 tokens) where states are kept at their ends, else of what the kernels take.
    assert layout.block_size == (1152 if grows else 1040)


def test_ranks_that_do_not_divide_mamba2_s_groups_keep_one_each() -> None:
    # 64 layers; of 8192 + groups × 256 channels a share, 3 columns of them; of 128 heads of 64 × 128 a share.
    on_16 = layout_of("codestral-mamba-7b", tensor_parallel_size=16)
    assert on_16.bytes_per_block == 64 * 2 * ((8192 + 16 * 256) // 16 * 3 + 8 * 64 * 128)
    on_8 = layout_of("codestral-mamba-7b", tensor_parallel_size=8)
    assert on_8.bytes_per_block == 64 * 2 * ((8192 + 8 * 256) // 8 * 3 + 16 * 64 * 128)


def test_windows_alone_stay_windows_without_the_hybrid_manager() -> None:
    plain, off = (layout_of("mistral-7b-v0.1", "0.33.0", hybrid_manager=on) for on in (True, False))
    assert plain == off
    assert plain.buckets[0].cap_tokens is not None


def test_states_may_be_kept_in_another_dtype() -> None:
    whole = layout_of("mamba-2.8b").bytes_per_block  # 64 layers × 5120 channels × (3 of convolution + 16) × 2 bytes
    assert whole == 64 * 5120 * (3 + 16) * 2
    assert layout_of("mamba-2.8b", state_dtype="float32").bytes_per_block == 2 * whole
    assert layout_of("mamba-2.8b", ssm_state_dtype="float32").bytes_per_block == 64 * 5120 * (3 * 2 + 16 * 4)
    assert layout_of("mamba-2.8b", ssm_state_dtype="auto").bytes_per_block == whole


def test_blocks_grow_in_steps_of_what_the_kernels_take() -> None:
    # vLLM on a CPU, whose kernels take blocks of 32 tokens and more.
    assert layout_of("qwen3.5-27b", block_size=32, kernel_block=32).block_size == 800
    assert layout_of("qwen3.5-27b", block_size=16, kernel_block=32).block_size == 800


def test_falcon_hears_no_cache_dtype() -> None:
    plain, asked = layout_of("falcon-7b"), layout_of("falcon-7b", kv_cache_dtype="fp8")
    assert plain.bytes_per_block == asked.bytes_per_block


def test_states_take_the_same_blocks_for_every_request() -> None:
    layout = layout_of("qwen3.5-27b", "0.19.1")
    # 16 full layers, 48 of gated delta net: three tables of states, two blocks each with prefix caching.
    assert layout.num_groups == 4
    assert layout.blocks_per_request(1) == 1 + 3 * 2
    assert layout.blocks_per_request(784 * 5) == 5 + 3 * 2
    assert layout_of("qwen3.5-27b", "0.19.1", prefix_caching=False).blocks_per_request(1) == 1 + 3


def test_before_it_had_its_own_cache_deepseek_s_heads_were_stored_whole() -> None:
    group = LayerGroup(kind=LayerKind.MLA, layers=(0, 1), kv_heads=16, head_dim=192, latent_dim=576)
    facts = ModelFacts(groups=(group,), num_layers=2, dtype="bfloat16")
    before, since = (kv_layout(facts, CacheOptions(), accounting_of(version)) for version in ("0.6.6", "0.7.3"))
    assert before is not None
    assert since is not None
    assert (before.bytes_per_token, since.bytes_per_token) == (2 * 16 * 192 * 2 * 2, 2 * 576 * 2)


def test_a_dtype_that_is_not_known_has_no_layout() -> None:
    assert (
        kv_layout(facts_of("llama-3.1-8b"), CacheOptions(kv_cache_dtype="turboquant_3"), accounting_of("0.33")) is None
    )


@pytest.mark.parametrize("name", KNOWN)
def test_the_count_by_release(name: str) -> None:
    """Up to 0.8 blocks × size, to 0.19 divided by the tables first, since 0.20 what that many requests would hold."""
    length = 4096
    early, middle, late = (layout_of(name, version) for version in ("0.8.5", "0.19.1", "0.20.2"))
    # Of models that keep nothing but a state, a block is one whole request.
    tokens = [length if all(b.fixed_blocks for b in one.buckets) else one.block_size for one in (early, middle)]
    assert early.tokens(1000, length) == 1000 * tokens[0]
    assert middle.tokens(1000, length) == 1000 // middle.num_groups * tokens[1]
    assert late.token_rule is TokenRule.CONCURRENCY
    assert late.tokens(1000, length) == int(1000 / late.blocks_per_request(length) * length)


def test_without_a_length_the_count_since_0_20_is_unknown_for_hybrids_only() -> None:
    assert layout_of("gemma-3-27b", "0.20.2").tokens(1000, None) is None
    assert layout_of("llama-3.1-8b", "0.20.2").tokens(1000, None) == 16_000


@given(drawn_layouts(), st.integers(0, 400))
def test_the_longest_request_is_what_brute_force_finds(layout: KvLayout, blocks: int) -> None:
    told = layout.largest_request(blocks)
    if told == UNLIMITED:
        assert layout.blocks_per_request(UNLIMITED) <= blocks
        return
    highest = max(told, blocks * layout.block_size * layout.context_parallel) + 4 * layout.block_size
    assume(highest < 120_000)
    fits = [length for length in range(1, highest, 1) if layout.blocks_per_request(length) <= blocks]
    assert told == (max(fits) if fits else 0)


@given(layouts, st.integers(0, 10**6), st.one_of(st.none(), st.integers(1, 10**6)))
def test_the_longest_request_fits_and_one_token_more_does_not(layout: KvLayout, blocks: int, limit: int | None) -> None:
    told = layout.largest_request(blocks, limit)
    assert told == 0 or layout.blocks_per_request(told) <= blocks
    if told != limit and told != UNLIMITED:
        assert layout.blocks_per_request(told + 1) > blocks
    assert limit is None or told <= limit


@given(layouts, LENGTHS, LENGTHS)
def test_a_longer_request_never_needs_less(layout: KvLayout, one: int, other: int) -> None:
    short, long = sorted((one, other))
    assert 0 < layout.need_bytes(short) <= layout.need_bytes(long)


@given(layouts, st.integers(-(2**30), 2**38), st.integers(0, 2**34), st.one_of(st.none(), LENGTHS))
def test_more_cache_never_holds_fewer_tokens(layout: KvLayout, size: int, more: int, length: int | None) -> None:
    few, many = layout.num_blocks(size), layout.num_blocks(size + more)
    assert 0 <= few <= many
    assert layout.largest_request(few) <= layout.largest_request(many)
    fewer, most = layout.tokens(few, length), layout.tokens(many, length)
    assert (fewer is None) == (most is None)
    assert fewer is None or most is None or fewer <= most


@given(layouts, st.integers(0, 10**6), LENGTHS)
def test_concurrency_one_is_exactly_enough(layout: KvLayout, blocks: int, length: int) -> None:
    assert (layout.concurrency(blocks, length) >= 1) == (layout.blocks_per_request(length) <= blocks)
    assert (layout.concurrency(blocks, length) >= 1) == (blocks * layout.bytes_per_block >= layout.need_bytes(length))


@given(models(), flags, st.sampled_from(VERSIONS))
def test_more_ranks_never_need_more_memory_each(facts: ModelFacts, options: CacheOptions, version: str) -> None:
    one, two = (
        kv_layout(facts, replace(options, tensor_parallel_size=ranks), accounting_of(version)) for ranks in (1, 2)
    )
    assert (one is None) == (two is None)
    if one is not None and two is not None and one.block_size == two.block_size:
        assert two.bytes_per_block <= one.bytes_per_block


@given(layouts)
def test_a_token_s_price_is_the_slope_of_the_need(layout: KvLayout) -> None:
    assume(all(bucket.cap_tokens is None for bucket in layout.buckets))
    # Over a length that every block size and the ranks divide, the steps of the need have levelled out.
    span = math.lcm(*(bucket.block_size for bucket in layout.buckets)) * layout.context_parallel
    assert layout.need_bytes(2 * span) - layout.need_bytes(span) == pytest.approx(layout.bytes_per_token * span)
