"""The JSON shapes that scripts read: names, order and units are a contract (schema 1).

MiB are numbers with one decimal, bytes integers, unknown is null. Plain dicts: the standard library writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gpu_tui.core.books import Books, Service
from gpu_tui.core.checks import Check, CheckReport, Status
from gpu_tui.core.family import family_ports, parents
from gpu_tui.core.origins import Origin, OriginKind, weakest
from gpu_tui.core.proofs import Proofs, proofs, unattributed
from gpu_tui.core.reasons import reason
from gpu_tui.core.services import Role
from gpu_tui.core.snapshot import Fault, Gpu, ProcessInfo, Snapshot
from gpu_tui.units import wire_mib

SCHEMA = 1
"""Raised when a field changes its meaning or goes; a new field does not raise it."""


def gpu_object(gpu: Gpu) -> dict[str, Any]:
    """``gpu``: which device, and its memory; ``mig`` for an instance of MIG, whose index is its device's."""
    told: dict[str, Any] = {
        "index": gpu.index,
        "uuid": gpu.uuid or None,
        "name": gpu.name,
        "total_mib": wire_mib(gpu.total_bytes),
        "used_mib": wire_mib(gpu.used_bytes),
        "free_mib": wire_mib(gpu.free_bytes),
        "reserved_mib": wire_mib(gpu.reserved_bytes),
    }
    if gpu.mig is not None:
        told["mig"] = {
            "instance": gpu.mig.number,
            "parent_uuid": gpu.mig.parent_uuid,
            "gpu_instance_id": gpu.mig.gpu_instance,
            "compute_instance_id": gpu.mig.compute_instance,
        }
    return told


def service_object(service: Service, *, listed: bool = True) -> dict[str, Any]:
    """One service. One that is not running holds 0; while processes are not listed, whether it runs is null."""
    return {
        "running": service.running if listed else None,
        "memory_mib": wire_mib(service.used_bytes) if listed else None,
        "pids": list(service.pids),
        "persistent": service.role is not Role.RESTARTS,
    }


def check_object(
    report: CheckReport,
    snapshot: Snapshot,
    gpu: Gpu,
    *,
    utilization_origin: Origin,
    age_s: float | None = None,
    fault: Fault | None = None,
) -> dict[str, Any]:
    """``gpu-tui check --json``.

    Args:
        report: the verdict.
        snapshot: the reading it rests on.
        gpu: the device it is about.
        utilization_origin: where the planned value comes from.
        age_s: seconds since the reading.
        fault: why this GPU cannot be judged whatever its figures say (MIG); the verdict is then unknown.
    """
    feasible = report.feasible
    judged = fault is None
    return {
        "schema": SCHEMA,
        "source": snapshot.source,
        "simulated": snapshot.simulated,
        "gpu": gpu_object(gpu),
        "gpu_memory_utilization": report.gpu_memory_utilization,
        "valid": report.valid if judged else None,
        "status": (report.status if judged else Status.UNKNOWN).value,
        "reason": reason(report) if fault is None else f"Unknown: {fault.message}",
        **_figures(report),
        "deficit_mib": wire_mib(report.deficit_bytes) if judged else None,
        "checks": [_check(check, judged=judged) for check in report.checks],
        "feasible": None if feasible is None or not judged else {"min": feasible.min, "max": feasible.max},
        "services": {s.name: service_object(s, listed=report.books.listed) for s in report.books.services},
        "origins": {
            name: None if origin is None else origin_object(origin)
            for name, origin in figure_origins(report, snapshot, utilization_origin, age_s).items()
        },
    }


def _check(check: Check, *, judged: bool) -> dict[str, Any]:
    return {
        "name": check.name.value,
        "passed": check.passed if judged else None,
        "need_mib": wire_mib(check.need_bytes),
        "have_mib": wire_mib(check.have_bytes),
        "margin_mib": wire_mib(check.margin_bytes),
        "margin_bytes": check.margin_bytes,
    }


def _figures(report: CheckReport) -> dict[str, float | None]:
    books, need = report.books, report.need
    sizes = {
        "allocation_mib": report.allocation_bytes,
        "model_mib": need.model_bytes,
        "min_kv_cache_mib": need.min_kv_cache_bytes,
        "kv_cache_mib": report.kv_cache_bytes,
        "required_mib": need.required_bytes,
        "persistent_mib": books.persistent_bytes,
        "unattributed_mib": books.unattributed_bytes,
        "available_mib": report.available_bytes,
    }
    return {name: wire_mib(size) for name, size in sizes.items()}


def origin_object(origin: Origin) -> dict[str, Any]:
    """``{kind, source, age_s}``; the age in seconds, null for what does not age."""
    age_s = None if origin.age_s is None else round(origin.age_s, 3)
    return {"kind": origin.kind.value, "source": origin.source, "age_s": age_s}


def reading_origin(snapshot: Snapshot, age_s: float | None, what: str = "") -> Origin:
    """Origin of what a source read; simulated figures are nobody's measurement."""
    if snapshot.simulated:
        source = f"scenario {snapshot.source_detail} (simulated)"
        return Origin(kind=OriginKind.ASSUMED, source=source, age_s=age_s)
    source = snapshot.source_detail or snapshot.source
    return Origin(kind=OriginKind.MEASURED, source=f"{source}: {what}" if what else source, age_s=age_s)


def figure_origins(
    report: CheckReport, snapshot: Snapshot, utilization_origin: Origin, age_s: float | None
) -> dict[str, Origin | None]:
    """Where every figure of `check_object` comes from, by its name; None where the figure itself is unknown."""
    books, need = report.books, report.need

    def computed(formula: str, *inputs: Origin) -> Origin:
        return weakest(*inputs, source=read.source if snapshot.simulated else formula)

    read = reading_origin(snapshot, age_s)
    allocated = computed("ceil(total × u)", read, utilization_origin)
    required = weakest(need.model_origin, need.min_kv_cache_origin, source="model + minimum KV cache")
    available = computed("free + restarting", read)
    verdict = computed("the three checks", allocated, required, available, need.startup_overhead_origin)
    told: list[tuple[str, object, Origin]] = [
        ("total_mib", books.total_bytes, reading_origin(snapshot, age_s, "total")),
        ("used_mib", books.used_bytes, reading_origin(snapshot, age_s, "used")),
        ("free_mib", books.free_bytes, reading_origin(snapshot, age_s, "free")),
        ("reserved_mib", books.reserved_bytes, reading_origin(snapshot, age_s, "reserved")),
        ("gpu_memory_utilization", report.gpu_memory_utilization, utilization_origin),
        ("allocation_mib", report.allocation_bytes, allocated),
        ("model_mib", need.model_bytes, need.model_origin),
        ("min_kv_cache_mib", need.min_kv_cache_bytes, need.min_kv_cache_origin),
        ("kv_cache_mib", report.kv_cache_bytes, computed("allocation − model", allocated, need.model_origin)),
        ("required_mib", need.required_bytes, required),
        ("persistent_mib", books.persistent_bytes, computed("sum of the services that stay", read)),
        ("unattributed_mib", books.unattributed_bytes, computed("used − sum of processes", read)),
        ("available_mib", report.available_bytes, available),
        ("deficit_mib", report.deficit_bytes, verdict),
        ("checks", report.valid, verdict),
        ("feasible", report.feasible, verdict),
        ("services", books.processes_bytes, reading_origin(snapshot, age_s, "processes")),
    ]
    return {name: None if value is None else origin for name, value, origin in told}


def all_gpus_object(objects: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """``gpu-tui check --gpu all --json``: invalid if any is, else unknown if any is."""
    verdicts = [one["valid"] for one in objects]
    valid = False if False in verdicts else None if None in verdicts or not verdicts else True
    return {"schema": SCHEMA, "valid": valid, "gpus": list(objects)}


def _evidence(found: Proofs, clean: Callable[[str], str]) -> dict[str, list[str]]:
    return {"used": [clean(words) for words in found.used], "missing": [clean(words) for words in found.missing]}


def services_object(
    snapshot: Snapshot,
    machine: Sequence[tuple[Gpu, Books]],
    clean: Callable[[str], str],
    clean_words: Callable[[str], str] | None = None,
) -> dict[str, Any]:
    """``gpu-tui services --json``.

    Args:
        snapshot: the reading.
        machine: the GPUs asked about, with their books.
        clean: makes a process's name fit to be shown.
        clean_words: the same of a sentence; not given: `clean`.
    """
    clean_words = clean_words or clean
    return {
        "schema": SCHEMA,
        "source": snapshot.source,
        "simulated": snapshot.simulated,
        "gpus": [
            {
                "gpu": gpu_object(gpu),
                "services": {s.name: service_object(s, listed=books.listed) for s in books.services},
                "unattributed_mib": wire_mib(books.unattributed_bytes),
                "processes": _processes(snapshot, gpu, books, clean),
                "unattributed": [clean_words(words) for words in unattributed(books, gpu, snapshot)],
                "evidence": _evidence(proofs(snapshot, gpu), clean_words),
            }
            for gpu, books in machine
        ],
    }


def _place(pid: int, snapshot: Snapshot, clean: Callable[[str], str]) -> dict[str, Any]:
    """Where a process lives; null where it is not known."""
    info = snapshot.processes.get(pid) or ProcessInfo(pid=pid, name=None, cmdline=None)
    words = ("user", "unit", "container_name", "runtime", "image", "pod", "namespace")
    told: dict[str, Any] = {name: None if (text := getattr(info, name)) is None else clean(text) for name in words}
    ports = family_ports(pid, snapshot.processes)
    return told | {
        "unit_uid": info.unit_uid,
        "container": info.container,
        "inner_pid": info.inner_pid,
        "ports": None if ports is None else list(ports),
        "parents": [one.pid for one in parents(pid, snapshot.processes)],
    }


def _processes(snapshot: Snapshot, gpu: Gpu, books: Books, clean: Callable[[str], str]) -> list[dict[str, Any]]:
    owner = {pid: service.name for service in books.services for pid in service.pids}
    rows: list[dict[str, Any]] = []
    for process in gpu.processes or ():
        info = snapshot.processes.get(process.pid)
        name = None if info is None or info.name is None else clean(info.name)
        rows.append(
            {
                "pid": process.pid,
                "service": owner.get(process.pid),
                "name": name,
                "used_mib": wire_mib(process.used_bytes),
                "mps": process.mps,
                **_place(process.pid, snapshot, clean),
            }
        )
    return rows
