"""What the journal keeps of a run, and how it comes back. Times in ``_ms`` are milliseconds, in ``_s`` seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gpu_tui.view.text import clean, mask_cmdline

KINDS = ("measure", "evaluate", "tui")
"""Who ran it: the command, the optimizer, the explorer."""

_PATHS: dict[str, tuple[str, ...]] = {
    "llm_n": ("llm", "n"),
    "llm_ttft_p50_ms": ("llm", "ttft_ms", "p50"),
    "llm_ttft_p95_ms": ("llm", "ttft_ms", "p95"),
    "llm_itl_p50_ms": ("llm", "itl_ms", "p50"),
    "llm_itl_p95_ms": ("llm", "itl_ms", "p95"),
    "llm_e2e_p50_ms": ("llm", "e2e_ms", "p50"),
    "llm_e2e_p95_ms": ("llm", "e2e_ms", "p95"),
    "llm_tokens_per_s": ("llm", "output_tokens_per_s"),
    "stt_n": ("stt", "n"),
    "stt_p50_ms": ("stt", "latency_ms", "p50"),
    "stt_p95_ms": ("stt", "latency_ms", "p95"),
    "stt_rtf_p50": ("stt", "rtf", "p50"),
    "voice_total_p50_ms": ("voice", "total_ms", "p50"),
    "voice_total_p95_ms": ("voice", "total_ms", "p95"),
    "oom_events": ("oom_events",),
    "kv_cache_tokens": ("llm", "kv_cache_tokens"),
}
FIGURES = (*_PATHS, "errors")
"""Names of the figures that are columns of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One request of a run, as it was measured. What it has not is None."""

    kind: str
    """``llm``, ``stt``, or ``voice`` for a whole turn."""
    part: str = ""
    """Which part of the run, where it has several; samples of different parts are never put together."""
    number: int
    """0-based, by start, within kind and part."""
    started_s: float | None = None
    """Since the run began."""
    ttft_ms: float | None = None
    """Until the first token; of a turn, counted from the transcript."""
    itl_ms: float | None = None
    """Median over this answer."""
    tpot_ms: float | None = None
    sentence_ms: float | None = None
    """Of a turn: from the first token to the first whole sentence."""
    e2e_ms: float | None = None
    """Until the answer had ended; of a turn, until its first whole sentence."""
    latency_ms: float | None = None
    """Speech-to-text: until the transcript was read."""
    rtf: float | None = None
    output_tokens: int | None = None
    error: str | None = None
    """Kind of failure; None when it went well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything the journal keeps of one run. The mappings hold plain JSON values."""

    started_at: str
    """UTC, ISO 8601, ending in Z."""
    kind: str
    """One of `KINDS`."""
    simulated: bool
    tool_version: str
    machine: str
    """For people: the GPU's name."""
    summary: Mapping[str, Any]
    """What ``gpu-tui measure --json`` printed."""
    utilization_actual: float | None = None
    """gpu_memory_utilization of the server that was measured."""
    utilization_planned: float | None = None
    status: str | None = None
    """Verdict on the plan: ``valid``, ``invalid_production``, ``unknown``; None when there was no plan to judge."""
    reason: str | None = None
    gpus: Sequence[Mapping[str, Any]] = ()
    """index, uuid, name, total_mib, used_mib, free_mib, reserved_mib; and ``judged``, whether the run is about it."""
    services: Mapping[str, Any] = field(default_factory=dict)
    """name -> role, memory_mib, running, pids."""
    server: Mapping[str, Any] = field(default_factory=dict)
    """The vLLM that was measured: pid, port, cmdline."""
    workload: Mapping[str, Any] = field(default_factory=dict)
    """The load as it was planned: requests, concurrency, lengths, seed."""
    verdict: Mapping[str, Any] = field(default_factory=dict)
    """Figures of the verdict, in MiB, and its checks."""
    evaluation: Mapping[str, Any] | None = None
    """The optimizer's result, where it was the optimizer that ran it."""
    note: str = ""
    samples: tuple[Sample, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A run as a list shows it."""

    id: int
    started_at: str
    kind: str
    simulated: bool
    tool_version: str
    machine: str
    utilization_actual: float | None
    utilization_planned: float | None
    status: str | None
    reason: str | None
    note: str
    figures: Mapping[str, float | None]
    """By the names in `FIGURES`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """A run as it was recorded."""

    id: int
    run: Run
    figures: Mapping[str, float | None]


def figures_of(summary: Mapping[str, Any]) -> dict[str, float | None]:
    """The figures of a summary, by the names in `FIGURES`; what it does not tell is None.

    Of a run that measured interference it is what each kind delivered alone: that is what other runs deliver too; and
    the failures of all its loads.
    """
    parts, beside = summary.get("interference"), None
    if isinstance(parts, Mapping):
        alone = {"llm": parts.get("llm_alone"), "stt": parts.get("stt_alone")}
        summary = {**summary, **{kind: result for kind, result in alone.items() if result is not None}}
        beside = parts.get("together")
    told: dict[str, float | None] = {name: _at(summary, path) for name, path in _PATHS.items()}
    kinds = [summary.get(kind) for kind in ("llm", "stt", "voice")]
    kinds += [beside.get(kind) for kind in ("llm", "stt")] if isinstance(beside, Mapping) else []
    counts = [kind.get("errors") for kind in kinds if isinstance(kind, Mapping)]
    known = [sum(count.values()) for count in counts if isinstance(count, Mapping)]
    told["errors"] = sum(known) if known else None
    if told["kv_cache_tokens"] is None:  # a run of voice turns tells nothing of the LLM alone
        told["kv_cache_tokens"] = _at(summary, ("voice", "kv_cache_tokens"))
    return told


def _at(value: Any, path: Sequence[str]) -> float | None:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def safe(value: Any) -> Any:
    """The same JSON value, fit to be kept for years: secrets masked, nothing a terminal would obey, no NaN.

    Whoever builds a record masks what it knows to be secret; this is the net below.
    """
    if isinstance(value, str):
        return mask_cmdline([clean(value)])[0]
    if isinstance(value, Mapping):
        return {clean(str(key)): safe(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [safe(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
