"""From a model's layers and vLLM's flags to the layout of its KV cache on one GPU.

Follows `vllm/v1/kv_cache_interface.py` (page sizes, `max_memory_usage_bytes`), `vllm/v1/core/kv_cache_utils.py`
(groups) and `vllm/platforms/interface.py` (blocks grown for recurrent states), read in 0.8 to 0.33; V0's `CacheEngine`.
`tests/real/test_layouts.py` compares it with what vLLM 0.32 itself computes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import accumulate
from math import lcm

from gpu_tui.core.kv_layout import Bucket, KvLayout
from gpu_tui.core.kv_options import (
    BLOCK_SIZE,
    FP8_SPARSE_MLA_BYTES,
    NVFP4_SPARSE_MLA_BYTES,
    SPARSE_MLA_BLOCK_SIZE,
    CacheOptions,
    effective_dtype,
    element_bits,
)
from gpu_tui.core.kv_states import keeps_every_state, state_blocks, state_bytes
from gpu_tui.core.model_facts import LayerGroup, LayerKind, ModelFacts
from gpu_tui.core.vllm_version import NEWEST, Accounting


def kv_layout(facts: ModelFacts, options: CacheOptions, rules: Accounting) -> KvLayout | None:
    """The layout on the fullest pipeline stage; None when the layers or the cache's dtype are not known well enough."""
    dtype = effective_dtype(facts, options)
    bits = None if dtype is None else element_bits(dtype)
    if bits is None or dtype is None:
        return None
    kept = [group for group in facts.groups if not (rules.v0 and group.kind is LayerKind.STATE)]
    pages = [_token_bytes(group, options, dtype, bits, rules) for group in kept]
    if not kept or None in pages:
        return None
    size = _block_size(kept, pages, facts, options, rules)
    # Without the hybrid manager windows count for nothing beside full attention; alone they stay what they are.
    mixed = any(group.kind in (LayerKind.FULL, LayerKind.MLA) for group in kept)
    managed = options.hybrid_manager or not mixed
    windows = managed and not rules.v0 and (rules.release or NEWEST) >= (0, 9, 1)
    merged: dict[Bucket, tuple[int, ...]] = {}
    for group, page in zip(kept, pages, strict=True):
        bucket = _bucket(group, page or 0, size, facts, options, rules, windows)
        merged[bucket] = (*merged.get(bucket, ()), *group.layers)
    _add_draft(merged, facts, options)
    buckets, per_block = _pooled(merged, _stage_ends(facts, options))
    return KvLayout(
        bytes_per_block=per_block,
        buckets=buckets,
        context_parallel=options.decode_context_parallel_size,
        token_rule=rules.token_rule,
    )


def _token_bytes(group: LayerGroup, options: CacheOptions, dtype: str, bits: float, rules: Accounting) -> int | None:
    """Bytes one token takes in one layer on one rank; 0 for a STATE layer."""
    if group.kind is LayerKind.STATE:
        return 0
    if group.kind is LayerKind.MLA and rules.mla_cache:
        if group.latent_dim is None:
            return None
        sparse = group.indexer_dim is not None
        latent = int(group.latent_dim * bits / 8)
        if sparse and dtype.startswith("fp8"):
            latent = FP8_SPARSE_MLA_BYTES
        elif sparse and dtype == "nvfp4":
            latent = NVFP4_SPARSE_MLA_BYTES
        # The indexer keeps fp8 keys and one float32 scale for each 128 of them.
        return latent + (group.indexer_dim + -(-group.indexer_dim // 128) * 4 if group.indexer_dim is not None else 0)
    if group.kv_heads is None or group.head_dim is None:
        return None
    heads = max(1, group.kv_heads // options.tensor_parallel_size)
    return int(heads * (group.head_dim + (group.head_dim_v or group.head_dim)) * bits / 8)


def _block_size(
    kept: Sequence[LayerGroup],
    pages: Sequence[int | None],
    facts: ModelFacts,
    options: CacheOptions,
    rules: Accounting,
) -> int:
    """Tokens of a block; grown where a recurrent state must fit into it (`_align_hybrid_block_size`)."""
    sparse = any(group.indexer_dim is not None for group in kept)
    size = options.block_size or (SPARSE_MLA_BLOCK_SIZE if sparse else BLOCK_SIZE)
    states = [group.state for group in kept if group.state is not None]
    tokens = [
        page for group, page in zip(kept, pages, strict=True) if page and group.kind in (LayerKind.FULL, LayerKind.MLA)
    ]
    if not states or not tokens:
        return size
    largest = max(state_bytes(state, facts, options) for state in states)
    step = max(size, options.kernel_block, 128 if any(group.kind is LayerKind.MLA for group in kept) else 0)
    if keeps_every_state(states[0], facts, options, rules):
        step = lcm(step, states[0].chunk or 1)
    grown = step * -(-largest // (step * tokens[0]))
    return max(size, -(-grown // options.kernel_block) * options.kernel_block)


def _bucket(
    group: LayerGroup,
    token_bytes: int,
    size: int,
    facts: ModelFacts,
    options: CacheOptions,
    rules: Accounting,
    windows: bool,
) -> Bucket:
    if group.kind is LayerKind.STATE and group.state is not None:
        every = keeps_every_state(group.state, facts, options, rules)
        return Bucket(
            kind=LayerKind.STATE,
            layers=0,
            page_bytes=state_bytes(group.state, facts, options),
            block_size=size,
            fixed_blocks=0 if every else state_blocks(group.state, facts, options, rules),
        )
    if not windows or group.window is None or group.kind in (LayerKind.FULL, LayerKind.MLA):
        kind = LayerKind.MLA if group.kind is LayerKind.MLA else LayerKind.FULL
        return Bucket(kind=kind, layers=0, page_bytes=token_bytes * size, block_size=size)
    flight = _batches(options, rules) * options.max_num_batched_tokens
    cap = group.window + flight - (1 if group.kind is LayerKind.SLIDING else 0)
    return Bucket(kind=group.kind, layers=0, page_bytes=token_bytes * size, block_size=size, cap_tokens=cap)


def _batches(options: CacheOptions, rules: Accounting) -> int:
    """Batches whose tokens a window must keep beside its own: since 0.26 all that may be scheduled at once.

    With asynchronous scheduling these are two; with pipeline stages one each, and one more since 0.30, whose model
    runner does both (`VllmConfig.max_concurrent_batches`).
    """
    if options.batches_in_flight is not None:
        return options.batches_in_flight
    release = rules.release or NEWEST
    stages = options.pipeline_parallel_size
    if release < (0, 26, 0):
        return 1
    return stages + 1 if stages == 1 or release >= (0, 30, 0) else stages


def _stage_ends(facts: ModelFacts, options: CacheOptions) -> list[int]:
    """Where each pipeline stage but the last ends, in layers (`get_pp_indices`)."""
    stages = options.pipeline_parallel_size
    if stages == 1 or not facts.num_layers:
        return []
    sizes = [facts.num_layers // stages] * stages
    for i in range(2, facts.num_layers % stages + 2):
        sizes[-i] += 1
    return list(accumulate(sizes[:-1]))


def _fullest(tables: Iterable[tuple[Sequence[int], int]], ends: list[int]) -> int:
    """Bytes of layers with their pages on the stage that has most of them."""
    if not ends:
        return sum(len(layers) * page for layers, page in tables)
    held = [0] * (len(ends) + 1)
    for layers, page in tables:
        for layer in layers:
            held[bisect_right(ends, layer)] += page
    return max(held)


def _add_draft(merged: dict[Bucket, tuple[int, ...]], facts: ModelFacts, options: CacheOptions) -> None:
    """A draft model's layers keep all tokens, in pages like the model's own full attention, behind its last layer."""
    if not options.draft_layers:
        return
    last = facts.num_layers or 0
    for bucket, layers in merged.items():
        if bucket.kind in (LayerKind.FULL, LayerKind.MLA) and bucket.cap_tokens is None:
            merged[bucket] = (*layers, *range(last, last + options.draft_layers))
            return


def _pooled(merged: dict[Bucket, tuple[int, ...]], ends: list[int]) -> tuple[tuple[Bucket, ...], int]:
    """Split the layers into block tables; also the bytes of one block over all layers that share its number."""
    needs = {(bucket.cap_tokens, bucket.fixed_blocks, bucket.kind is LayerKind.STATE) for bucket in merged}
    same_tokens = len(needs) == 1
    if same_tokens:
        # One table for all: layers of different shapes lie beside each other in a block.
        first = next(iter(merged))
        table = replace(first, layers=sum(map(len, merged.values())))
        return (table,), _fullest(((layers, bucket.page_bytes) for bucket, layers in merged.items()), ends)
    page = max(bucket.page_bytes for bucket in merged)
    counts = [len(layers) for layers in merged.values()]
    least, most = min(counts), max(counts)
    # Nearly equal counts are padded up to the larger one (`_get_kv_cache_groups_uniform_page_size`).
    together = most if most < least * 1.5 else least
    buckets = tuple(
        replace(_at_page(bucket, page), layers=len(layers), groups=-(-len(layers) // together))
        for bucket, layers in merged.items()
    )
    if not ends:
        return buckets, together * page
    # Each table takes every so manieth layer, so that its layers are spread over the stages.
    tables = [
        sorted(layers)[i :: bucket.groups]
        for bucket, layers in zip(buckets, merged.values(), strict=True)
        for i in range(bucket.groups)
    ]
    return buckets, max(_fullest([(table, page)], ends) for table in tables)


def _at_page(bucket: Bucket, page: int) -> Bucket:
    """Give a layer the pool's page: more tokens to the block where they fit evenly, else padding."""
    if bucket.kind is LayerKind.STATE or bucket.page_bytes == page or page % bucket.page_bytes:
        return replace(bucket, page_bytes=page)
    return replace(bucket, page_bytes=page, block_size=bucket.block_size * (page // bucket.page_bytes))
