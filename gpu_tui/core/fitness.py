"""The optimizer's fitness of a measured candidate: five weighted terms, each clamped to 0..1."""

from __future__ import annotations

from dataclasses import dataclass

from gpu_tui.core.checks import CheckReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """How much each term counts. The defaults add to 1."""

    stt: float = 0.25
    llm: float = 0.25
    capacity: float = 0.20
    no_oom: float = 0.20
    memory: float = 0.10


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """Where each term reaches 0 (latencies, the distance of memory) or 1 (capacity)."""

    stt_ms: float = 500.0
    llm_ms: float = 1000.0
    capacity: float = 20.0
    memory_pct: float = 70.0
    memory_span_pct: float = 50.0


DEFAULT_WEIGHTS = Weights()
DEFAULT_TARGETS = Targets()


def _clamp(x: float) -> float:
    return min(1.0, max(0.0, x))


def planned_memory_pct(report: CheckReport) -> float | None:
    """(persistent + reserved + unattributed + allocation) / total, in percent; None when a part is unknown."""
    books = report.books
    total, asked = books.total_bytes, report.allocation_bytes
    if not total or asked is None or books.persistent_bytes is None or books.unattributed_bytes is None:
        return None
    stays = books.persistent_bytes + books.unattributed_bytes + (books.reserved_bytes or 0)
    return 100.0 * (stays + asked) / total


def fitness(
    *,
    stt_ms: float | None,
    llm_ms: float | None,
    capacity: float | None,
    oom: bool,
    memory_pct: float | None,
    weights: Weights = DEFAULT_WEIGHTS,
    targets: Targets = DEFAULT_TARGETS,
) -> float:
    """Score of a candidate that was measured. Whatever is unknown (None) earns nothing.

    Args:
        stt_ms: STT latency; None when not measured.
        llm_ms: LLM latency; None when not measured.
        capacity: concurrent requests the machine holds.
        oom: whether an OOM was seen; then the whole fitness is 0.
        memory_pct: planned memory in percent of total, see `planned_memory_pct`.
        weights: of the five terms.
        targets: of the terms.
    """
    if oom:
        return 0.0
    terms = (
        (weights.stt, None if stt_ms is None else 1 - stt_ms / targets.stt_ms),
        (weights.llm, None if llm_ms is None else 1 - llm_ms / targets.llm_ms),
        (weights.capacity, None if capacity is None else capacity / targets.capacity),
        (weights.no_oom, 1.0),
        (
            weights.memory,
            None if memory_pct is None else 1 - abs(memory_pct - targets.memory_pct) / targets.memory_span_pct,
        ),
    )
    return sum(weight * _clamp(term) for weight, term in terms if term is not None)
