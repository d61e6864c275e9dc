"""On what the list of services rests, and what is missing; what is known of memory that no process explains."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from gpu_tui.core.books import Books
from gpu_tui.core.snapshot import Gpu, ProcessInfo, Snapshot
from gpu_tui.units import format_mib

MPS_SERVER = "nvidia-cuda-mps"
"""Beginning of the server's kernel name, ``nvidia-cuda-mps-server`` cut to 15 characters."""
FIND_OUT = (
    "To find out more: sudo fuser -v /dev/nvidia* names every process that has the device open; "
    "nvidia-smi -q -d MEMORY,PIDS shows the driver's own list."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proofs:
    """Sentences for people."""

    used: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def proofs(snapshot: Snapshot, gpu: Gpu) -> Proofs:
    """What tells who is on this GPU, and what could not be read."""
    if snapshot.simulated:
        return Proofs(used=(f"scenario {snapshot.source_detail} (simulated)",))
    used: list[str] = []
    missing: list[str] = []
    infos = [snapshot.processes.get(row.pid) for row in gpu.processes or ()]
    _driver(snapshot, gpu, used, missing)
    _processes(infos, used, missing)
    living = [info for info in infos if info is not None and info.problem is None]
    _homes(living, used, missing)
    return Proofs(used=(*used, *snapshot.evidence), missing=(*missing, *snapshot.missing))


def _driver(snapshot: Snapshot, gpu: Gpu, used: list[str], missing: list[str]) -> None:
    if gpu.processes is None:
        missing.append("The driver does not list this GPU's processes.")
        return
    kinds = (
        f"{count} {words}"
        for words, count in (
            ("compute", sum(row.compute and not row.mps for row in gpu.processes)),
            ("graphics", sum(row.graphics for row in gpu.processes)),
            ("through MPS", sum(row.mps for row in gpu.processes)),
        )
        if count
    )
    told = ", ".join(kinds)
    used.append(f"{snapshot.source_detail}: {len(gpu.processes)} processes{f' ({told})' if told else ''}")
    hidden = sum(row.used_bytes is None for row in gpu.processes)
    if hidden:
        missing.append(f"The driver does not tell the memory of {hidden} of them.")


def _processes(infos: list[ProcessInfo | None], used: list[str], missing: list[str]) -> None:
    read = sum(info is not None and info.problem is None for info in infos)
    if infos:
        used.append(f"/proc: names and command lines of {read} of {len(infos)}")
    problems = Counter(info.problem or "" if info is not None else "not found" for info in infos)
    missing += [f"{count} could not be read: {problem}." for problem, count in sorted(problems.items()) if problem]


def _homes(living: list[ProcessInfo], used: list[str], missing: list[str]) -> None:
    units = sum(info.unit is not None for info in living)
    contained = [info for info in living if info.container is not None]
    if living:
        used.append(f"control groups: {units} in systemd units, {len(contained)} in containers")
    named = sum(info.container_name is not None for info in contained)
    if named < len(contained):
        missing.append(f"{len(contained) - named} of {len(contained)} containers could not be named.")
    deaf = sum(info.ports is None for info in living)
    if deaf < len(living):
        used.append(f"listening ports of {len(living) - deaf} of {len(living)}")
    if deaf:
        missing.append(f"Ports of {deaf} of {len(living)} may not be read: they are other users'.")


def unattributed(books: Books, gpu: Gpu, snapshot: Snapshot) -> tuple[str, ...]:
    """What is known of the memory in use that no process explains, a sentence each; the last says how to learn more."""
    size = books.unattributed_bytes
    told: list[str] = []
    if size is None:
        if books.used_bytes is None:
            return ("It is unknown: the driver does not report this GPU's used memory.",)
        told.append(
            "It is unknown: the driver does not tell the memory of every process."
            if books.listed
            else f"All {format_mib(books.used_bytes)} MiB in use may be anybody's: no process is listed."
        )
    elif size == 0:
        return ("Every byte in use is some process's.",)
    elif size < 0:
        told.append(
            "The processes' figures add up to more than is in use: what they share (CUDA IPC, MPS) is counted "
            "with each of them."
        )
    if books.reserved_bytes is None and books.used_bytes is not None:
        told.append("The driver's own reserve is in it: this driver does not tell it apart (R510 and newer do).")
    told += _suspects(gpu, snapshot)
    return (*told, FIND_OUT) if not snapshot.simulated else tuple(told)


def _suspects(gpu: Gpu, snapshot: Snapshot) -> list[str]:
    rows = gpu.processes or ()
    told: list[str] = []
    if gpu.display_active:
        told.append("A screen is driven by this GPU: its frame buffers belong to no process.")
    clients = sum(row.mps for row in rows)
    names = [info.name or "" for row in rows if (info := snapshot.processes.get(row.pid)) is not None]
    if clients:
        server = any(name.startswith(MPS_SERVER) for name in names)
        where = "stands at the MPS server, which is listed" if server else "may be in it: the MPS server is not listed"
        told.append(f"{clients} processes compute through MPS; the context that they share {where}.")
    strangers = sum((info := snapshot.processes.get(row.pid)) is None or info.problem is not None for row in rows)
    if strangers:
        told.append(f"{strangers} of the listed processes could not be read; their memory is counted as theirs.")
    if gpu.mig is not None and gpu.mig.gpu_instance is not None:
        beside = [
            each.label
            for each in snapshot.gpus
            if each.mig is not None
            and each.key != gpu.key
            and (each.mig.parent_uuid, each.mig.gpu_instance) == (gpu.mig.parent_uuid, gpu.mig.gpu_instance)
        ]
        if beside:
            told.append(f"Compute instances {', '.join(beside)} share this memory; what they hold is in it.")
    return told + [words for words in snapshot.missing if "namespace" in words or "WSL" in words]
