"""Flags of vLLM, other than the utilization, that make a plan start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpu_tui.core.kv_options import effective_dtype, element_bits
from gpu_tui.core.remedies_values import Remedy, RemedyKind, Tried, attempt, largest
from gpu_tui.core.start import StartModel
from gpu_tui.core.start_terms import TermName
from gpu_tui.units import format_mib

LEAST_LENGTH = 256
"""A shorter max_model_len starts vLLM, and serves nobody."""

PINNED_SINCE = (0, 10, 2)
"""`--kv-cache-memory-bytes` was first seen in this release."""

_HALF = 0.5
"""The number that is certain is what to type unless it is less than this share of the middle estimate's."""


def max_model_len(tried: Tried) -> Remedy | None:
    """The longest request that fits."""
    start = tried.start
    if start is None or start.max_model_len is None or start.options.fit_max_model_len:
        return None
    low = min(LEAST_LENGTH, start.max_model_len)
    hints = _lengths(tried, start)
    return _number(tried, RemedyKind.MAX_MODEL_LEN, low, start.max_model_len - 1, hints)


def _lengths(tried: Tried, start: StartModel) -> tuple[int | None, int | None]:
    """The longest request by the middle estimate and by the least cache, where the layout tells them."""
    prediction, layout = tried.judgement.prediction, start.layout
    if layout is None or prediction.kv_cache_band is None:
        return None, None
    spare = 1 if start.options.rules.reserves_null_block else 0
    least = layout.num_blocks(prediction.kv_cache_band[0])
    return prediction.largest_max_model_len, layout.largest_request(least - spare)


def max_num_seqs(tried: Tried) -> Remedy | None:
    """The most sequences at once with which sampler and graphs leave enough."""
    if tried.start is None:
        return None
    return _number(tried, RemedyKind.MAX_NUM_SEQS, 1, tried.start.options.max_num_seqs - 1)


def max_num_batched_tokens(tried: Tried) -> Remedy | None:
    """The largest batch of the profile run that leaves enough."""
    start = tried.start
    # V0 and starts without chunked prefill refuse a batch smaller than max_model_len.
    if start is None or start.options.rules.v0:
        return None
    # A batch holds every sequence, and a hybrid model's block (`vllm/config/vllm.py`).
    low = max(start.options.max_num_seqs, start.layout.block_size if start.layout is not None else 16)
    return _number(tried, RemedyKind.MAX_NUM_BATCHED_TOKENS, low, start.options.cache.max_num_batched_tokens - 1)


def _number(
    tried: Tried, kind: RemedyKind, low: int, high: int, hints: tuple[int | None, int | None] = (None, None)
) -> Remedy | None:
    """The largest value of one flag that starts; a lower one that is certain instead, unless it is far lower."""
    if tried.gate_fails:
        return None
    results: dict[int, Tried] = {}

    def result(value: int) -> Tried:
        if value not in results:
            results[value] = attempt(tried.plan.with_flags(**{kind.value: value}))
        return results[value]

    middle = largest(low, high, lambda value: result(value).starts, hints[0])
    if middle is None:
        return None
    sure = largest(low, middle, lambda value: result(value).certain, hints[1])
    value = sure if sure is not None and sure >= middle * _HALF else middle
    flag = f"--{kind.value.replace('_', '-')} {value}"
    words = f"Lower {kind.value} to {value:,}: {result(value).cache}"
    if sure is None:
        words += "; by the middle estimate it starts, no lower value is certain."
    elif sure == middle:
        words += "; that is the largest that fits, for certain."
    elif value == sure:
        words += f"; for certain, by the middle estimate up to {middle:,}."
    else:
        words += f"; by the middle estimate it starts, for certain only with {sure:,}."
    certain = result(value).certain
    return Remedy(kind=kind, sentence=words, flags=flag, certain=certain, plan=result(value).plan)


def fp8_cache(tried: Tried) -> Remedy | None:
    """Half the bytes a cached token, where the cache has 16-bit elements now."""
    start = tried.start
    if start is None or start.facts is None or tried.gate_fails:
        return None
    now = effective_dtype(start.facts, start.options.cache)
    if now is None or (element_bits(now) or 0) <= element_bits_of_fp8():
        return None
    before = tried.judgement.prediction.kv_tokens
    words = "" if before is None else f" instead of {before:,}"
    return _switch(
        tried,
        RemedyKind.KV_CACHE_DTYPE,
        {"kv_cache_dtype": "fp8"},
        "--kv-cache-dtype fp8",
        lambda result: f"Keep the KV cache in fp8: {result.cache}{words}; answers may differ slightly.",
    )


def element_bits_of_fp8() -> float:
    """Bits of one fp8 element."""
    return element_bits("fp8") or 8


def enforce_eager(tried: Tried) -> Remedy | None:
    """No CUDA graphs, in releases that take them off the KV cache."""
    graphs = tried.start.term(TermName.CUDA_GRAPHS) if tried.start is not None else None
    if graphs is None or graphs.size <= 0 or tried.gate_fails:
        return None
    size = format_mib(graphs.size)
    return _switch(
        tried,
        RemedyKind.ENFORCE_EAGER,
        {"enforce_eager": True},
        "--enforce-eager",
        lambda result: f"Do without CUDA graphs: {size} MiB more cache, {result.cache}; each token takes longer.",
    )


def kv_cache_memory(tried: Tried) -> Remedy | None:
    """Pin the KV cache to one request of max_model_len, beyond what the utilization leaves."""
    start = tried.start
    if start is None or tried.gate_fails or start.options.kv_cache_memory_bytes is not None:
        return None
    rules = start.options.rules
    if rules.v0 or (rules.release is not None and rules.release < PINNED_SINCE):
        return None
    size = start.min_kv_band[1]
    if start.layout is not None:
        size = -(-size // start.layout.bytes_per_block) * start.layout.bytes_per_block
    return _switch(
        tried,
        RemedyKind.KV_CACHE_MEMORY,
        {"kv_cache_memory_bytes": size},
        f"--kv-cache-memory-bytes {size}",
        lambda result: (
            f"Pin the KV cache to {format_mib(size)} MiB, one request of max_model_len: vLLM then holds more than its "
            f"utilization says, and nothing checks that it fits."
        ),
    )


def _switch(
    tried: Tried, kind: RemedyKind, flags: dict[str, Any], text: str, words: Callable[[Tried], str]
) -> Remedy | None:
    result = attempt(tried.plan.with_flags(**flags))
    if not result.starts:
        return None
    return Remedy(kind=kind, sentence=words(result), flags=text, certain=result.certain, plan=result.plan)


FLAG_LEVERS = (max_model_len, fp8_cache, enforce_eager, max_num_seqs, max_num_batched_tokens, kv_cache_memory)
"""In the order of cost."""
