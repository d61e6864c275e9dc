"""Every figure of the verdict: its formula, where its inputs come from and how old they are."""

from __future__ import annotations

from dataclasses import dataclass

from gpu_tui.core.checks import CheckReport
from gpu_tui.core.origins import Origin, OriginKind, weakest
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.view.rows import mib


@dataclass(frozen=True, slots=True)
class Explained:
    """One figure."""

    name: str
    value: str
    formula: str
    origin: Origin


def reading_origin(snapshot: Snapshot, age_s: float | None) -> Origin:
    """Origin of what a source read. Simulated figures are nobody's measurement."""
    if snapshot.simulated:
        return Origin(kind=OriginKind.ASSUMED, source=f"scenario {snapshot.source_detail} (simulated)", age_s=age_s)
    return Origin(kind=OriginKind.MEASURED, source=snapshot.source_detail or snapshot.source, age_s=age_s)


def age_words(origin: Origin) -> str:
    """How old a figure is, as people say it."""
    if origin.age_s is None:
        return ""
    if origin.age_s < 1:
        return "just now"
    for unit, seconds in (("d", 86400), ("h", 3600), ("min", 60)):
        if origin.age_s >= 2 * seconds:
            return f"{origin.age_s / seconds:.0f} {unit} ago"
    return f"{origin.age_s:.0f} s ago"


def explain(
    report: CheckReport, snapshot: Snapshot, age_s: float | None, utilization_origin: Origin
) -> list[Explained]:
    """All figures, inputs first.

    Args:
        report: the verdict.
        snapshot: the reading it rests on.
        age_s: seconds since that reading.
        utilization_origin: where the planned value comes from.
    """
    books, need = report.books, report.need
    read = reading_origin(snapshot, age_s)
    unsplit = "inside used" if books.reserved_bytes is None else mib(books.reserved_bytes)
    allocated = weakest(read, utilization_origin, source="computed")
    modelled = weakest(need.model_origin, need.min_kv_cache_origin, source="computed")
    both = weakest(allocated, modelled, source="computed")
    kv_cache = weakest(allocated, need.model_origin, source="computed")
    summed = weakest(read, source="computed")
    return [
        Explained("gpu_memory_utilization", f"{report.gpu_memory_utilization:.3f}", "the slider", utilization_origin),
        Explained("total", mib(books.total_bytes), "NVML memory info: total", read),
        Explained("used", mib(books.used_bytes), "NVML memory info: used", read),
        Explained("free", mib(books.free_bytes), "NVML memory info: free", read),
        Explained("reserved", unsplit, "NVML memory info v2: reserved", read),
        Explained("model", mib(need.model_bytes), "weights, activations, all but KV cache", need.model_origin),
        Explained("minimum KV cache", mib(need.min_kv_cache_bytes), "the least to run with", need.min_kv_cache_origin),
        Explained(
            "startup overhead", mib(need.startup_overhead_bytes), "new CUDA context", need.startup_overhead_origin
        ),
        Explained("headroom", mib(need.headroom_bytes), "kept free of everything", need.headroom_origin),
        Explained("allocation", mib(report.allocation_bytes), "ceil(total × u)", allocated),
        Explained("required", mib(need.required_bytes), "model + minimum KV cache", modelled),
        Explained("KV cache", mib(report.kv_cache_bytes), "allocation − model", kv_cache),
        Explained("persistent", mib(books.persistent_bytes), "Σ services that stay", summed),
        Explained("restarting", mib(books.restarting_bytes), "Σ processes of the instance that restarts", summed),
        Explained("unattributed", mib(books.unattributed_bytes), "used − Σ processes", summed),
        Explained("available", mib(books.available_bytes), "free + restarting", summed),
        Explained("deficit", mib(report.deficit_bytes), "larger of checks 1 and 3's", both),
    ]
