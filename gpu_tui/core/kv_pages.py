"""From a model's layers and vLLM's flags to the layout of its KV cache on one GPU.

Follows `vllm/v1/kv_cache_interface.py` (page sizes, `max_memory_usage_bytes`), `vllm/v1/core/kv_cache_utils.py`
(groups) and `vllm/platforms/interface.py` (blocks grown for recurrent states), read in 0.8 to 0.33; V0's `CacheEngine`.
`tests/real/test_layouts.py` compares it with what vLLM 0.32 itself computes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from gpu_tui.core.kv_layout import Bucket, KvLayout
from gpu_tui.core.model_facts import LayerGroup, LayerKind, ModelFacts, StateShape
from gpu_tui.core.vllm_version import NEWEST, Accounting

BLOCK_SIZE = 16
"""Tokens of a block (`CacheConfig.DEFAULT_BLOCK_SIZE`)."""

KERNEL_BLOCK = 16
"""Smallest block that the attention kernels of a GPU take (FlashAttention, FlashInfer, Triton); 32 on a CPU."""

SPARSE_MLA_BLOCK_SIZE = 64
"""Tokens of a block where an indexer selects tokens (FlashMLA's and DeepGEMM's page)."""

ELEMENT_BITS = {
    "float32": 32,
    "float16": 16,
    "half": 16,
    "bfloat16": 16,
    "fp8": 8,
    "fp8_e4m3": 8,
    "fp8_e5m2": 8,
    "fp8_inc": 8,
    "nvfp4": 4.5,
}
"""Bits a cached element takes; nvfp4: 4 and one 8-bit scale for 16 elements."""

FP8_SPARSE_MLA_BYTES = 656
"""``fp8_ds_mla``: 512 fp8 + 4 float32 scales + 64 bfloat16, a token and layer."""

NVFP4_SPARSE_MLA_BYTES = 352
"""``nvfp4_ds_mla``, a token and layer."""

_DTYPE_IGNORED = {"FalconForCausalLM", "RWForCausalLM"}
"""Models whose layers are built without a cache configuration (`models/falcon.py`): `--kv-cache-dtype` does nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheOptions:
    """What of vLLM's flags decides the layout. None: not given."""

    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    decode_context_parallel_size: int = 1
    block_size: int | None = None
    kv_cache_dtype: str | None = None
    dtype: str | None = None
    max_num_batched_tokens: int = 2048
    speculative_tokens: int = 0
    draft_layers: int = 0
    """Layers of a draft model that keep a cache beside the model's own."""
    prefix_caching: bool | None = None
    hybrid_manager: bool = True
    """False: `--disable-hybrid-kv-cache-manager`, every attention layer keeps all tokens."""
    state_dtype: str | None = None
    """`--mamba-cache-dtype`, of recurrent states."""
    ssm_state_dtype: str | None = None
    """`--mamba-ssm-cache-dtype`, of their larger part."""
    kernel_block: int = KERNEL_BLOCK
    batches_in_flight: int | None = None
    """Batches scheduled at once; None: as vLLM does on a GPU, with asynchronous scheduling."""


def element_bits(dtype: str) -> float | None:
    """Bits of one cached element; None for a packing that is not known here (``turboquant_…``)."""
    return ELEMENT_BITS.get(dtype)


def effective_dtype(facts: ModelFacts, options: CacheOptions) -> str | None:
    """The cache's dtype: the flag, else what the checkpoint asks for, else the model's own."""
    asked = options.kv_cache_dtype
    if asked not in (None, "auto") and facts.architecture not in _DTYPE_IGNORED:
        return asked
    given = options.dtype if options.dtype not in (None, "auto") else None
    return facts.kv_cache_dtype or given or facts.dtype


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
    size = _block_size(kept, pages, facts, options)
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
    kept: Sequence[LayerGroup], pages: Sequence[int | None], facts: ModelFacts, options: CacheOptions
) -> int:
    """Tokens of a block; grown where a recurrent state must fit into it (`_align_hybrid_block_size`)."""
    sparse = any(group.indexer_dim is not None for group in kept)
    size = options.block_size or (SPARSE_MLA_BLOCK_SIZE if sparse else BLOCK_SIZE)
    states = [_state_bytes(group.state, facts, options) for group in kept if group.state is not None]
    tokens = [
        page for group, page in zip(kept, pages, strict=True) if page and group.kind in (LayerKind.FULL, LayerKind.MLA)
    ]
    if not states or not tokens:
        return size
    step = max(size, options.kernel_block, 128 if any(group.kind is LayerKind.MLA for group in kept) else 0)
    grown = step * -(-max(states) // (step * tokens[0]))
    return max(size, -(-grown // options.kernel_block) * options.kernel_block)


def _state_bytes(state: StateShape, facts: ModelFacts, options: CacheOptions) -> int:
    served = options.dtype if options.dtype not in (None, "auto") else facts.dtype
    model_bytes = _width(options.state_dtype) or _width(served) or 2
    ranks = options.tensor_parallel_size
    columns = state.conv_kernel - 1 + options.speculative_tokens
    channels = state.conv_channels
    if state.conv_groups % ranks:
        channels += (ranks - state.conv_groups) * state.group_channels
    conv = channels // ranks * columns * (_width(options.state_dtype) or state.conv_bytes or model_bytes)
    return conv + state.ssm_elements // ranks * (_width(options.ssm_state_dtype) or state.ssm_bytes or model_bytes)


def _width(dtype: str | None) -> int | None:
    bits = element_bits(dtype or "auto")
    return None if bits is None else int(bits // 8)


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
        return Bucket(
            kind=LayerKind.STATE,
            layers=0,
            page_bytes=_state_bytes(group.state, facts, options),
            block_size=size,
            fixed_blocks=_state_blocks(group.state, facts, options, rules),
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


def _state_blocks(state: StateShape, facts: ModelFacts, options: CacheOptions, rules: Accounting) -> int:
    """Blocks of state one request holds: with prefix caching the state before and the state now.

    Since 0.32 Mamba2 also keeps the state at a checkpoint of the prefill (#57329). Prefixes are cached by default
    since 0.26, in models that also have attention (`ModelConfig.is_prefix_caching_supported`); from 0.17 to 0.25 it is
    assumed where nobody says, for what is published for these releases turns it on.
    """
    release = rules.release or NEWEST
    caching = options.prefix_caching
    if caching is None:
        caching = release >= (0, 17, 0) and any(group.kind is not LayerKind.STATE for group in facts.groups)
    checkpoint = 1 if state.checkpoints and release >= (0, 32, 0) else 0
    return (2 + checkpoint if caching else 1) + options.speculative_tokens


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
        if bucket.cap_tokens is None and not bucket.fixed_blocks:
            merged[bucket] = (*layers, *range(last, last + options.draft_layers))
            return


def _pooled(merged: dict[Bucket, tuple[int, ...]], ends: list[int]) -> tuple[tuple[Bucket, ...], int]:
    """Split the layers into block tables; also the bytes of one block over all layers that share its number."""
    same_tokens = len({(bucket.cap_tokens, bucket.fixed_blocks) for bucket in merged}) == 1
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
