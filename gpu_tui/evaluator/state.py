"""The optimizer's picture of the machine (`gpu_state`), and the way back from it to the books.

Sizes are MiB as exact floats, so that a state judged later gives the verdict of the machine it was taken from.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from gpu_tui.core.books import Books, Service
from gpu_tui.core.checks import ModelNeed, evaluate
from gpu_tui.core.reasons import reason
from gpu_tui.core.services import OTHER, Role
from gpu_tui.core.snapshot import Gpu, Snapshot
from gpu_tui.units import bytes_to_mib, mib_to_bytes


def mb(size: int | None) -> float | None:
    """MiB of a size in bytes, exact; None stays None."""
    return None if size is None else bytes_to_mib(size)


def used_pct(used: float | None, total: float | None) -> float | None:
    """Percent of memory in use; None when either is unknown."""
    return None if used is None or not total else 100.0 * used / total


def production_services(books: Books) -> dict[str, dict[str, Any]] | None:
    """``{name: {running, memory_mb, pid}}``, and ``other`` with its count; None when processes are not listed."""
    if not books.listed:
        return None
    return {
        service.name: {"count": len(service.pids), "memory_mb": mb(service.used_bytes)}
        if service.name == OTHER
        else {"running": service.running, "memory_mb": mb(service.used_bytes), "pid": service.pid}
        for service in books.services
    }


def gpu_state(snapshot: Snapshot, gpu: Gpu, books: Books) -> dict[str, Any]:
    """The machine as the optimizer knows it."""
    owner = {pid: service.name for service in books.services for pid in service.pids}
    names = {pid: info.name for pid, info in snapshot.processes.items()}
    return {
        "total_mb": mb(gpu.total_bytes),
        "used_mb": mb(gpu.used_bytes),
        "free_mb": mb(gpu.free_bytes),
        "utilization_pct": used_pct(gpu.used_bytes, gpu.total_bytes),
        "processes": None
        if gpu.processes is None
        else [
            {"pid": p.pid, "name": names.get(p.pid), "service": owner.get(p.pid), "used_mb": mb(p.used_bytes)}
            for p in gpu.processes
        ],
        "production_services": production_services(books),
    }


UNREADABLE: dict[str, Any] = {
    "total_mb": None,
    "used_mb": None,
    "free_mb": None,
    "utilization_pct": None,
    "processes": None,
    "production_services": None,
}
"""The state of a machine that cannot be read."""


def books_of(state: Mapping[str, Any], restarting: Collection[str]) -> Books:
    """The books behind a state.

    Args:
        state: as `gpu_state` gives it; what is missing is unknown.
        restarting: names of the services that restart with the plan.
    """
    total, used, free = (_bytes(state.get(key)) for key in ("total_mb", "used_mb", "free_mb"))
    told = state.get("production_services")
    services = tuple(
        Service(
            name=name,
            role=Role.RESTARTS if name in restarting else Role.PERSISTENT,
            used_bytes=_bytes(one.get("memory_mb")),
        )
        for name, one in (told or {}).items()
    )
    reserved = None if total is None or used is None or free is None else total - used - free
    return Books(
        total_bytes=total,
        used_bytes=used,
        free_bytes=free,
        reserved_bytes=reserved,
        services=services,
        listed=told is not None,
    )


def _bytes(mib: float | None) -> int | None:
    return None if mib is None else mib_to_bytes(mib)


def validation(share: float, books: Books, need: ModelNeed) -> dict[str, Any]:
    """The verdict on one utilization, in the optimizer's names. `required_total_mb` is model + minimum KV cache."""
    report = evaluate(share, books, need)
    return {
        "valid": report.valid,
        "reason": reason(report),
        "estimated_vllm_mb": mb(report.allocation_bytes),
        "estimated_model_mb": mb(need.model_bytes),
        "estimated_kv_cache_mb": mb(report.kv_cache_bytes),
        "required_total_mb": mb(need.required_bytes),
        "persistent_services_mb": mb(books.persistent_bytes),
        "available_for_vllm_mb": mb(report.available_bytes),
    }
