"""What a running vLLM tells of its KV cache on ``/metrics``: the labels of ``vllm:cache_config_info`` and live gauges.

The labels are CacheConfig's fields as text, and differ by version: kv_cache_size_tokens and kv_cache_max_concurrency
come with 0.26, the ``engine`` label with V1. The page is untrusted: what does not parse is unknown.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

_SAMPLE = re.compile(
    r"^vllm:(?P<name>cache_config_info|kv_cache_usage_perc|gpu_cache_usage_perc|cpu_cache_usage_perc|"
    r"num_requests_running|num_requests_waiting|num_requests_swapped|num_preemptions_total|engine_sleep_state)"
    r"(?:\{(?P<labels>[^\n]{0,65536})\})? (?P<value>[0-9.eE+-]{1,32})(?: \d{1,20})?\r?$",
    re.MULTILINE,
)
_LABEL = re.compile(r'([A-Za-z_]\w{0,80})="((?:[^"\\]|\\.){0,4096})"')
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_COUNTS = {
    "num_requests_running": "running",
    "num_requests_waiting": "waiting",
    "num_requests_swapped": "swapped",
    "num_preemptions_total": "preemptions",
}
_SHARES = {
    "kv_cache_usage_perc": "kv_usage",
    "gpu_cache_usage_perc": "kv_usage",
    "cpu_cache_usage_perc": "cpu_kv_usage",
}
"""0..1 in spite of the name; the first is the name from 0.9.2 on, the second until 0.11."""


class SleepState(StrEnum):
    """What sleep mode has put away (from 0.11)."""

    AWAKE = "awake"
    WEIGHTS_OFFLOADED = "weights_offloaded"
    """Level 1: weights are in host memory, the KV cache is gone."""
    DISCARDED = "discard_all"
    """Level 2: both are gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCache:
    """One engine's KV cache; None where the page does not say it, or says two things."""

    engine: str = ""
    """The ``engine`` label: its data-parallel rank; empty where there is none (V0)."""
    model: str | None = None
    block_size: int | None = None
    """Tokens a block. Of hybrid models the attention's may be `effective_attention_block_size`."""
    effective_attention_block_size: int | None = None
    num_gpu_blocks: int | None = None
    num_cpu_blocks: int | None = None
    num_gpu_blocks_override: int | None = None
    gpu_memory_utilization: float | None = None
    cache_dtype: str | None = None
    """``auto``, ``fp8`` …"""
    kv_cache_memory_bytes: int | None = None
    kv_cache_size_tokens: int | None = None
    kv_cache_max_concurrency: float | None = None
    enable_prefix_caching: bool | None = None
    sliding_window: int | None = None
    is_attention_free: bool | None = None
    mamba_block_size: int | None = None
    mamba_cache_dtype: str | None = None
    mamba_ssm_cache_dtype: str | None = None
    mamba_cache_mode: str | None = None
    mamba_page_size_padded: int | None = None
    kv_offloading_size: float | None = None
    """GiB of host memory."""
    cpu_offload_gb: float | None = None
    kv_usage: float | None = None
    """Share 0..1 of the blocks in use now."""
    cpu_kv_usage: float | None = None
    running: int | None = None
    waiting: int | None = None
    swapped: int | None = None
    preemptions: int | None = None
    """Since the server's start."""
    sleep: SleepState | None = None

    @property
    def configured(self) -> bool:
        """Whether the page held this engine's cache configuration."""
        return self.block_size is not None or self.gpu_memory_utilization is not None

    @property
    def block_tokens(self) -> int | None:
        """num_gpu_blocks × block_size: the capacity of a model whose layers all cache alike, and of no other."""
        if self.num_gpu_blocks is None or self.block_size is None:
            return None
        return self.num_gpu_blocks * self.block_size


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheInfo:
    """One page: an `EngineCache` for every engine, in the order of their labels."""

    engines: tuple[EngineCache, ...] = ()

    @property
    def smallest(self) -> EngineCache | None:
        """The configured engine with the fewest tokens: data-parallel engines have each their own pool."""
        told = [one for one in self.engines if one.configured]
        return min(told, key=_capacity, default=None)


def parse_cache_config(metrics_text: str) -> CacheInfo:
    """A reading of the page; without engines when it is not vLLM's."""
    found: dict[str, dict[str, Any]] = {}
    unclear: set[tuple[str, str]] = set()
    for match in _SAMPLE.finditer(metrics_text):
        labels = _labels(match["labels"] or "")
        engine = labels.get("engine", "")
        for name, value in _said(match["name"], match["value"], labels).items():
            told = found.setdefault(engine, {})
            if name in told and told[name] != value:
                unclear.add((engine, name))
            told[name] = value
    for engine, name in unclear:
        found[engine][name] = None
    return CacheInfo(engines=tuple(EngineCache(engine=name, **found[name]) for name in sorted(found, key=_order)))


def _said(name: str, text: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """Fields of `EngineCache` that one sample tells."""
    said: dict[str, Any] = {}
    if labels.get("model_name"):
        said["model"] = labels["model_name"]
    number = _number(text)
    if name == "cache_config_info":
        said.update({key: read(labels[key]) for key, read in _LABELS.items() if key in labels})
    elif name == "engine_sleep_state":
        state = labels.get("sleep_state")
        if number == 1 and state in list(SleepState):
            said["sleep"] = SleepState(state)
    elif name in _COUNTS:
        said[_COUNTS[name]] = None if number is None else round(number)
    else:
        said[_SHARES[name]] = number if number is not None and number <= 1 else None
    return said


def _labels(text: str) -> dict[str, str]:
    return {match[1]: _ESCAPED.sub(_unescaped, match[2]) for match in _LABEL.finditer(text)}


def _unescaped(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _count(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def _share(text: str) -> float | None:
    value = _number(text)
    return value if value is not None and 0 < value <= 1 else None


def _flag(text: str) -> bool | None:
    return {"True": True, "False": False, "true": True, "false": False}.get(text)


def _word(text: str) -> str | None:
    return text if text not in ("None", "") and text.isprintable() and len(text) <= 80 else None


def _capacity(one: EngineCache) -> float:
    tokens = one.kv_cache_size_tokens if one.kv_cache_size_tokens is not None else one.block_tokens
    return math.inf if tokens is None else tokens


def _order(engine: str) -> tuple[int, str]:
    return (_count(engine) or 0, engine)


_LABELS = {
    "block_size": _count,
    "effective_attention_block_size": _count,
    "num_gpu_blocks": _count,
    "num_cpu_blocks": _count,
    "num_gpu_blocks_override": _count,
    "gpu_memory_utilization": _share,
    "cache_dtype": _word,
    "kv_cache_memory_bytes": _count,
    "kv_cache_size_tokens": _count,
    "kv_cache_max_concurrency": _number,
    "enable_prefix_caching": _flag,
    "sliding_window": _count,
    "is_attention_free": _flag,
    "mamba_block_size": _count,
    "mamba_cache_dtype": _word,
    "mamba_ssm_cache_dtype": _word,
    "mamba_cache_mode": _word,
    "mamba_page_size_padded": _count,
    "kv_offloading_size": _number,
    "cpu_offload_gb": _number,
}
"""Fields of CacheConfig that are read, and as what. ``None`` as a word is unknown to all of them."""
