"""What vLLM's ``/metrics`` says of itself: its utilization, who it is working for, how long requests queued.

The page is untrusted: what does not parse as a plain number is unknown. Several engines of one server are summed.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_CACHE_CONFIG = re.compile(rb"^vllm:cache_config_info\{([^\n]*)\} 1(?:\.0)?\r?$", re.MULTILINE)
_LABEL = re.compile(rb'(\w{1,64})="([^"\\\n]{0,64})"')
"""Labels with an escape in them are none of those read here."""
_UTILIZATION = b"gpu_memory_utilization"
_SAMPLE = re.compile(
    rb"^vllm:(num_requests_running|request_queue_time_seconds_sum|request_queue_time_seconds_count)"
    rb"(?:\{[^\n]*\})? ([0-9.eE+-]{1,32})(?: \d+)?\r?$",
    re.MULTILINE,
)


TOLD = "vllm:cache_config_info kv_cache_size_tokens"
"""vLLM 0.26 and newer: its own figure, requests of the longest length that fit × that length. Of models that mix kinds
of layers it depends on ``--max-model-len``."""
BLOCKS = "vllm:cache_config_info num_gpu_blocks × block_size"
"""Before that: true where all layers of the model are of one kind, too large where several kinds share the blocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KvCache:
    """How many tokens the KV caches of a server's engines hold together."""

    tokens: int
    source: str
    """`TOLD` or `BLOCKS`; of several engines the weaker one."""

    @property
    def origin(self) -> str:
        """``measured`` where vLLM tells it, ``derived`` where it is a product that holds for most models."""
        return "measured" if self.source == TOLD else "derived"


@dataclass(frozen=True, slots=True, kw_only=True)
class VllmMetrics:
    """One reading; None where the page does not say it."""

    utilization: float | None = None
    """gpu_memory_utilization; None also when engines differ."""
    running: int | None = None
    """Requests being answered now."""
    kv_cache: KvCache | None = None
    """None also when one of several engines does not tell."""
    queue_sum_s: float | None = None
    """Seconds that all requests since the server's start have waited in its queue."""
    queue_count: int | None = None
    """How many those are."""

    @property
    def vllm(self) -> bool:
        """Whether this is vLLM's page at all."""
        return self.running is not None

    def queued_since(self, before: VllmMetrics) -> tuple[float, int] | None:
        """Mean seconds in the queue and number of requests since; None when none ended or the server was restarted."""
        if None in (self.queue_sum_s, self.queue_count, before.queue_sum_s, before.queue_count):
            return None
        seconds, count = (self.queue_sum_s or 0) - (before.queue_sum_s or 0), self.count_since(before)
        # Counters go back to 0 at a restart: a difference across one means nothing.
        return (seconds / count, count) if count > 0 and seconds >= 0 else None

    def count_since(self, before: VllmMetrics) -> int:
        """Requests that left the queue since, as far as is told."""
        return (self.queue_count or 0) - (before.queue_count or 0)


def parse(page: bytes) -> VllmMetrics:
    """A reading of the page; of any other page everything is None."""
    engines = [dict(_LABEL.findall(labels)) for labels in _CACHE_CONFIG.findall(page)]
    shares = {_share(engine[_UTILIZATION]) for engine in engines if _UTILIZATION in engine}
    sums: dict[bytes, float | None] = {}
    for name, text in _SAMPLE.findall(page):
        value, so_far = _number(text), sums.get(name, 0.0)
        # One engine that cannot be read makes the sum unknown, not smaller.
        sums[name] = None if value is None or so_far is None else so_far + value
    running = sums.get(b"num_requests_running")
    count = sums.get(b"request_queue_time_seconds_count")
    return VllmMetrics(
        utilization=shares.pop() if len(shares) == 1 else None,
        running=None if running is None else round(running),
        kv_cache=_together([_kv_cache(engine) for engine in engines]),
        queue_sum_s=sums.get(b"request_queue_time_seconds_sum"),
        queue_count=None if count is None else round(count),
    )


def _number(text: bytes) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _share(text: bytes) -> float | None:
    value = _number(text)
    return value if value is not None and 0 < value <= 1 else None


def _kv_cache(engine: dict[bytes, bytes]) -> KvCache | None:
    """One engine's; what vLLM does not know it writes as ``None``."""
    told = _count(engine.get(b"kv_cache_size_tokens"))
    if told is not None:
        return KvCache(tokens=told, source=TOLD)
    blocks, size = _count(engine.get(b"num_gpu_blocks")), _count(engine.get(b"block_size"))
    # A state-space layer shares the blocks with attention: their product is then no number of tokens.
    if blocks is None or size is None or _count(engine.get(b"mamba_block_size")) is not None:
        return None
    return KvCache(tokens=blocks * size, source=BLOCKS)


def _together(engines: list[KvCache | None]) -> KvCache | None:
    known = [engine for engine in engines if engine is not None]
    if not known or len(known) < len(engines):
        return None
    source = TOLD if all(engine.source == TOLD for engine in known) else BLOCKS
    return KvCache(tokens=sum(engine.tokens for engine in known), source=source)


def _count(text: bytes | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(rb"[1-9][0-9]{0,14}", text) else None
