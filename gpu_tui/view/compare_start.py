"""Predicted against measured: what the running server told of its start, and what would have been predicted of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from gpu_tui.core.cache_info import CacheInfo, EngineCache
from gpu_tui.core.origins import Origin, OriginKind
from gpu_tui.core.plan import Plan
from gpu_tui.core.server_memory import BesideCache, beside_cache
from gpu_tui.core.start_evidence import requested
from gpu_tui.core.start_terms import Term
from gpu_tui.core.start_values import StartLog
from gpu_tui.view.explain_start import source_line
from gpu_tui.view.prediction import band, count
from gpu_tui.view.rows import mib
from gpu_tui.view.spans import Line


def compared_lines(plan: Plan, log: StartLog | None, cache: CacheInfo | None, read: Origin) -> list[Line]:
    """Each figure that was told or measured, beside its prediction from the model's files alone.

    Args:
        plan: the running server's own start, on its GPU as it is; its inputs hold what is measured.
        log: the running server's start-up log.
        cache: what its metrics tell.
        read: where and when the GPU's memory was read.
    """
    inputs = plan.inputs
    if inputs is None or not (inputs.given or log or cache):
        return []
    blind = replace(plan, inputs=replace(inputs, given={}, learned=None, learned_floor=None))
    start = blind.start()
    lines: list[Line] = []
    for name, given in inputs.given.items():
        if given.part_of is not None:
            inside = given.part_of.value.replace("_", " ")
            lines.append([(f"{name.replace('_', ' '):<24}", "strong"), (f"{'':>11}  measured within {inside}", "dim")])
            continue
        told = "measured" if given.origin.kind is OriginKind.MEASURED else "told"
        parts = [name, *(part for part, one in inputs.given.items() if one.part_of is name)]
        predicted = _together([term for part in parts if start is not None and (term := start.term(part)) is not None])
        lines += [_row(name.replace("_", " "), told, mib(given.size), given.size, predicted), source_line(given.origin)]
    lines += _tokens(blind, log, cache.smallest if cache is not None else None)
    lines += _beside(beside_cache(cache, log, plan.books, start), plan, read)
    return [[("Predicted against measured, MiB", "strong")], *lines, []] if lines else []


def _together(terms: Sequence[Term]) -> tuple[int, int, int] | None:
    """Their sum with its band; the errors of independent terms add as squares. None: nothing is predicted."""
    if not terms:
        return None
    size = sum(term.size for term in terms)
    below, above = ((term.size - term.low for term in terms), (term.high - term.size for term in terms))
    return size, size - math.isqrt(sum(one**2 for one in below)), size + math.isqrt(sum(one**2 for one in above))


def _row(
    name: str, told: str, shown: str, value: int, predicted: tuple[int, int, int] | None, *, tokens: bool = False
) -> Line:
    line: Line = [(f"{name:<24}", "strong"), (f"{shown:>11}", ""), (f"  {told}; predicted ", "dim")]
    if predicted is None:
        return [*line, ("unknown", "dim")]
    size, low, high = predicted
    words = f"{count(size)} ({count(low)}…{count(high)})" if tokens else f"{mib(size)} ({band(low, high)})"
    inside = low <= value <= high
    return [*line, (words, ""), ("  ✓ inside" if inside else "  ✗ outside", "ok" if inside else "warn")]


def _tokens(blind: Plan, log: StartLog | None, cache: EngineCache | None) -> list[Line]:
    """KV cache and tokens at the utilization that the running server was started with."""
    share = _share(log, cache)
    one = blind.at(share).judge() if share is not None and blind.start() is not None else None
    prediction = one.prediction if one is not None else None
    lines: list[Line] = []
    if log is not None and log.available_kv is not None:
        size = log.available_kv.size_bytes
        left = prediction.kv_cache_band if prediction is not None else None
        middle = prediction.kv_cache_bytes if prediction is not None else None
        lines.append(
            _row("KV cache", "measured", mib(size), size, None if not left or middle is None else (middle, *left))
        )
    tokens = log.kv_tokens.value if log is not None and log.kv_tokens is not None else None
    tokens = tokens if tokens is not None or cache is None else cache.kv_cache_size_tokens
    if tokens is not None:
        spread = prediction.kv_tokens_band if prediction is not None else None
        middle = prediction.kv_tokens if prediction is not None else None
        predicted = None if spread is None or middle is None else (middle, *spread)
        lines.append(_row("KV cache tokens", "measured", count(tokens), tokens, predicted, tokens=True))
    return lines


def _beside(found: BesideCache | None, plan: Plan, read: Origin) -> list[Line]:
    """What its processes hold beside the KV cache."""
    if found is None or plan.books.chosen is None:
        return []
    many = len(plan.books.chosen.pids)
    processes = "its process holds" if many == 1 else f"its {many} processes hold"
    source = f"{read.source}: {processes} {mib(found.used)} − KV cache {mib(found.cache.size)} ({found.cache.told})"
    line = _row("all but the KV cache", "measured", mib(found.size), found.size, (found.middle, found.low, found.high))
    return [line, source_line(replace(read, source=source))]


def _share(log: StartLog | None, cache: EngineCache | None) -> float | None:
    if cache is not None and cache.gpu_memory_utilization is not None:
        return cache.gpu_memory_utilization
    if log is None:
        return None
    if log.utilization is not None:
        return log.utilization.value
    asked = requested(log)
    return None if asked is None or log.total is None else asked / log.total.size_bytes
