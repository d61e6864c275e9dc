"""What a serving vLLM tells of its memory without its log: the blocks of its metrics, and what its processes hold.

vLLM cuts all that it has left into blocks: requested = weights + activation + non-torch (+ graphs) + KV cache, to less
than a block. So where the log is gone, its blocks still measure what it took beside them. What NVML counts for its
processes (CUDA context, weights, graphs, cache, and of the activations what the allocator keeps) is no such sum: it
is held against the prediction, and refuses blocks that would not fit into it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from gpu_tui.core.books import Books
from gpu_tui.core.cache_info import CacheInfo, EngineCache, SleepState
from gpu_tui.core.checks import ModelNeed, allocation_total
from gpu_tui.core.kv_layout import KvLayout
from gpu_tui.core.origins import Origin, OriginKind
from gpu_tui.core.planning import DRIVER_ROUNDING
from gpu_tui.core.start import CONTEXT_BYTES, StartModel
from gpu_tui.core.start_inputs import StartInputs
from gpu_tui.core.start_terms import Given, TermName, cuda_graphs
from gpu_tui.core.start_values import StartLog

_TOKENS_OFF = 0.002
"""Tokens are told as a whole number of requests' or blocks'; a layout that is further off is another's."""
_WEIGHTS_STAY = 0.9
"""Of the weights at least so much is in GPU memory, where none are offloaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldCache:
    """The KV cache that a server holds on one GPU."""

    size: int
    """Bytes."""
    precision: int
    told: str
    """How it is known: ``4,018 blocks by its metrics``."""


def serving_engine(cache: CacheInfo | None) -> EngineCache | None:
    """The engine whose figures count; None where none answers, one sleeps, or several differ in size.

    Engines of data parallelism each hold a cache of their own, and nothing tells which of them is on which GPU.
    """
    engines = [one for one in cache.engines if one.configured] if cache is not None else []
    if not engines or any(one.sleep not in (None, SleepState.AWAKE) for one in engines):
        return None
    return engines[0] if len({one.num_gpu_blocks for one in engines}) == 1 else None


def held_cache(
    engine: EngineCache, layout: KvLayout | None, length: int | None, log: StartLog | None = None
) -> HeldCache | None:
    """The KV cache of a serving engine, in bytes on one GPU; None where nothing tells it.

    Args:
        engine: what its metrics tell.
        layout: of the model it serves.
        length: its max_model_len.
        log: its start-up log.
    """
    blocks = engine.num_gpu_blocks
    if blocks is not None and layout is not None and layout_fits(engine, layout, length):
        size = blocks * layout.bytes_per_block
        return HeldCache(size=size, precision=0, told=f"{blocks:,} blocks by its metrics")
    left = log.available_kv if log is not None else None
    if left is None or engine.num_gpu_blocks_override is not None:
        return None
    return HeldCache(size=left.size_bytes, precision=left.precision_bytes, told="by its log")


def layout_fits(engine: EngineCache, layout: KvLayout, length: int | None) -> bool:
    """Whether the metrics bear the predicted layout out: by the tokens it comes to, else by the size of a block."""
    tokens = layout.tokens(engine.num_gpu_blocks or 0, length)
    if engine.kv_cache_size_tokens is not None:
        return tokens is not None and abs(tokens - engine.kv_cache_size_tokens) <= 1 + _TOKENS_OFF * tokens
    # Of several kinds of layers the size of a block proves nothing.
    return len(layout.buckets) == 1 and engine.block_size == layout.block_size


def rest_by_blocks(
    engine: EngineCache,
    start: StartModel,
    inputs: StartInputs,
    books: Books,
    source: str,
) -> dict[TermName, Given]:
    """Activation and all that is not torch's as one figure: requested − weights − blocks; empty where it is not sound.

    Args:
        engine: what its metrics tell.
        start: what its files predict of this very server.
        inputs: the flags it has.
        books: its GPU; `books.chosen` is the server.
        source: where the metrics were read, in words.
    """
    rules, layout, weights = start.options.rules, start.layout, start.term(TermName.WEIGHTS)
    share, cache = inputs.gpu_memory_utilization, start.options.cache
    total = allocation_total(books, ModelNeed(on_cuda_total=True, cuda_total_bytes=inputs.cuda_total_bytes))
    unclear = rules.release is None or rules.counts_others or cache.pipeline_parallel_size > 1
    if unclear or _pinned(inputs, engine) or cache.speculative_tokens > 0:
        return {}
    if layout is None or weights is None or share is None or total is None or not engine.num_gpu_blocks:
        return {}
    if not layout_fits(engine, layout, start.max_model_len):
        return {}
    held = engine.num_gpu_blocks * layout.bytes_per_block
    rest = math.ceil(total * share) - weights.size - held
    if rest < 0 or not _room(engine, books, held, weights.size):
        return {}
    rounding = 0 if inputs.cuda_total_bytes is not None else round(DRIVER_ROUNDING * share)
    told = f"{source}: requested − weights − {engine.num_gpu_blocks:,} blocks of {layout.bytes_per_block:,} bytes"
    origin = Origin(kind=OriginKind.MEASURED, source=told, age_s=0.0)
    inside = Origin(kind=OriginKind.MEASURED, source=f"{source}: inside the activation figure", age_s=0.0)
    terms = {
        TermName.ACTIVATION: Given(size=rest, origin=origin, precision=layout.bytes_per_block + rounding),
        TermName.NON_TORCH: Given(size=0, origin=inside, precision=0, part_of=TermName.ACTIVATION),
    }
    if rules.graphs_inside and not start.options.enforce_eager:
        terms[TermName.CUDA_GRAPHS] = Given(size=0, origin=inside, precision=0, part_of=TermName.ACTIVATION)
    return terms


def _pinned(inputs: StartInputs, engine: EngineCache) -> bool:
    """Whether somebody set the size of the cache: then it is not what was left."""
    told = (inputs.kv_cache_memory_bytes, engine.kv_cache_memory_bytes)
    return any(one is not None for one in (*told, inputs.num_gpu_blocks_override, engine.num_gpu_blocks_override))


def _room(engine: EngineCache, books: Books, cache: int, weights: int) -> bool:
    """Whether cache and weights fit into what the server's processes hold, where the driver tells that."""
    used = books.chosen.used_bytes if books.chosen is not None else None
    if used is None or engine.sleep not in (None, SleepState.AWAKE):
        return True
    stays = 0 if engine.cpu_offload_gb else round(_WEIGHTS_STAY * weights)
    return cache + stays <= used


@dataclass(frozen=True, slots=True, kw_only=True)
class BesideCache:
    """What a serving vLLM's processes hold on one GPU beside the KV cache, and what would have been predicted."""

    used: int
    """All that its processes hold, as NVML counts it."""
    cache: HeldCache
    low: int
    middle: int
    high: int

    @property
    def size(self) -> int:
        """All but the KV cache."""
        return self.used - self.cache.size


def beside_cache(
    cache: CacheInfo | None, log: StartLog | None, books: Books, predicted: StartModel | None
) -> BesideCache | None:
    """Hold what the processes take against the prediction; None where one of the figures is not known.

    At the least the activations of the profile run are given back, and there is no context; at the most all of them
    are kept beside the largest CUDA context that was seen, and CUDA graphs, inside the budget or on top of it.

    Args:
        cache: the server's metrics: that they answer tells that it serves.
        log: its start-up log.
        books: its GPU; `books.chosen` is the server.
        predicted: this very start, from the model's files alone.
    """
    used = books.chosen.used_bytes if books.chosen is not None else None
    engine = serving_engine(cache)
    if engine is None or predicted is None or used is None:
        return None
    held = held_cache(engine, predicted.layout, predicted.max_model_len, log)
    if held is None or held.size > used:
        return None
    known = (TermName.WEIGHTS, TermName.ACTIVATION, TermName.NON_TORCH)
    terms = [term for name in known if (term := predicted.term(name)) is not None]
    terms.append(cuda_graphs(predicted.options))
    stays = [term for term in terms if term.name is not TermName.ACTIVATION]
    below = math.isqrt(sum((term.size - term.low) ** 2 for term in stays))
    above = math.isqrt(sum((term.high - term.size) ** 2 for term in terms))
    middle = sum(term.size for term in terms)
    return BesideCache(
        used=used,
        cache=held,
        low=sum(term.size for term in stays) - below - held.precision,
        middle=middle,
        high=middle + above + CONTEXT_BYTES + held.precision,
    )
