"""The flags of vLLM's that decide the layout of a KV cache, and how wide its elements are."""

from __future__ import annotations

from dataclasses import dataclass

from gpu_tui.core.model_facts import ModelFacts

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
