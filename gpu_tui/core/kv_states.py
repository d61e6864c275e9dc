"""The blocks that recurrent states take: how large one is, and how many a request holds.

Follows `MambaSpec` (`vllm/v1/kv_cache_interface.py`), `MambaModelConfig` (`vllm/model_executor/models/config.py`) and
`ModelConfig.is_prefix_caching_supported`, read in 0.18.1, 0.24 to 0.28 and 0.30 to 0.32.
"""

from __future__ import annotations

from gpu_tui.core.kv_options import CacheOptions, element_bits
from gpu_tui.core.model_facts import LayerKind, ModelFacts, StateShape
from gpu_tui.core.vllm_version import NEWEST, Accounting


def state_bytes(state: StateShape, facts: ModelFacts, options: CacheOptions) -> int:
    """Bytes of one layer's state on one rank."""
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


def state_blocks(state: StateShape, facts: ModelFacts, options: CacheOptions, rules: Accounting) -> int:
    """Blocks of state one request holds: with prefix caching the state before and the state now.

    Since 0.32 Mamba2 also keeps the state at a checkpoint of the prefill (#57329).
    """
    checkpoint = 1 if state.checkpoints and (rules.release or NEWEST) >= (0, 32, 0) else 0
    return (2 + checkpoint if _caches_prefixes(state, facts, options, rules) else 1) + options.speculative_tokens


def keeps_every_state(state: StateShape, facts: ModelFacts, options: CacheOptions, rules: Accounting) -> bool:
    """Whether a request keeps the state of every block (`mamba_cache_mode` ``all``).

    Up to 0.27 the mode of Mamba and Mamba2 with prefix caching; since 0.28 only the newest ones are kept.
    """
    known = state.chunk is not None and (0, 17, 0) <= (rules.release or NEWEST) < (0, 28, 0)
    return known and _caches_prefixes(state, facts, options, rules)


def _caches_prefixes(state: StateShape, facts: ModelFacts, options: CacheOptions, rules: Accounting) -> bool:
    """By default since 0.26, in models that also have attention.

    From 0.17 to 0.25 it is assumed of delta nets where nobody says: what is published of these releases turns it on.
    """
    if options.prefix_caching is not None:
        return options.prefix_caching
    release = rules.release or NEWEST
    attends = any(group.kind is not LayerKind.STATE for group in facts.groups)
    return attends and (release >= (0, 26, 0) or (release >= (0, 17, 0) and state.chunk is None))
