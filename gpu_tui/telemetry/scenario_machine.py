"""Expands a scenario file into the machine of its tick 0, and finds what in it contradicts itself."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from gpu_tui.core.cards import cuda_total
from gpu_tui.core.snapshot import Gpu, GpuProcess, ProcessInfo
from gpu_tui.core.start_inputs import StartInputs
from gpu_tui.errors import ConfigError
from gpu_tui.telemetry.scenario_file import GpuTable, ParentTable, ProcessTable, ScenarioFile
from gpu_tui.telemetry.scenario_start import start_inputs
from gpu_tui.units import MIB, mib_to_bytes

_LEVELS = ("utilization_pct", "temperature_c", "power_w")
_FIRST_PID = 1_000_001

ROUNDING = 0.005
"""Free memory above the total by less than this share of it was rounded, or read a moment later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A machine as its file describes it, checked and expanded; `gpus` and `processes` are its tick 0."""

    name: str
    file: ScenarioFile
    gpus: tuple[Gpu, ...]
    processes: dict[int, ProcessInfo]
    base_mib: dict[int, float | None]
    """What each process on a GPU holds at tick 0, for its story."""
    late: dict[int, dict[int, float]] = field(default_factory=dict)
    """Processes that come later: device -> pid -> second."""
    late_infos: dict[int, ProcessInfo] = field(default_factory=dict)
    """Who they are."""
    start: StartInputs | None = None
    """What it tells of the model and of how vLLM is started."""


def expand(file: ScenarioFile, name: str, *, label: str = "") -> Scenario:
    """Build tick 0 from a file's content. `label` names the file in errors; not given: `name`.

    Raises:
        ConfigError: it contradicts itself.
    """
    label = label or name
    if file.gpu is not None and file.gpus is not None:
        raise ConfigError(f"{label}: gpu, gpus: both given.", "Give one of them: gpu for one device, gpus for a list.")
    tables = [file.gpu or GpuTable()] if file.gpus is None else file.gpus
    table: dict[int, ProcessInfo] = {parent.pid: _info(parent, parent.pid) for parent in file.parents}
    held: list[dict[int, GpuProcess]] = [{} for _ in tables]
    base: dict[int, float | None] = {}
    late: dict[int, dict[int, float]] = {}
    infos: dict[int, ProcessInfo] = {}
    for key, process, pid, number, gpu in _each(file.processes, len(tables)):
        if not gpu < len(tables):
            raise ConfigError(f"{label}: {key}.gpu: there is no GPU {gpu}.", f"Allowed: 0 to {len(tables) - 1}.")
        if pid in held[gpu]:
            raise ConfigError(f"{label}: {key}.pid: {pid} is on GPU {gpu} twice.", "A pid appears once per GPU.")
        mib = None if process.used_mib is None else process.used_mib + number * process.step_mib
        if process.from_s is not None:
            late.setdefault(gpu, {})[pid] = process.from_s
            base[pid] = 0
            infos[pid] = _info(process, pid, number=number, gpu=gpu)
            continue
        held[gpu][pid] = GpuProcess(
            pid=pid,
            used_bytes=None if mib is None else mib_to_bytes(mib),
            compute=not process.graphics,
            graphics=process.graphics,
        )
        base[pid] = mib
        if pid not in table:
            table[pid] = _info(process, pid, number=number, gpu=gpu)
    _check_story(file, base, len(tables), label)
    gpus = tuple(_gpu(i, gpu, held[i], label, file.gpus is not None) for i, gpu in enumerate(tables))
    return Scenario(
        name=name,
        file=file,
        gpus=gpus,
        processes=table,
        base_mib=base,
        late=late,
        late_infos=infos,
        start=start_inputs(file, name),
    )


def _each(processes: Sequence[ProcessTable], gpus: int) -> Iterator[tuple[str, ProcessTable, int, int, int]]:
    """Every (key, table, pid, number, device) that the process tables stand for."""
    unnamed = _FIRST_PID
    for i, process in enumerate(processes):
        first = unnamed if process.pid is None else process.pid
        pids = 0
        for block in range(gpus if process.each_gpu else 1):
            on = [block] if process.each_gpu else [process.gpu] if isinstance(process.gpu, int) else process.gpu
            for number in range(process.count):
                for gpu in on:
                    yield f"processes[{i}]", process, first + pids, number, gpu
                pids += 1
        if process.pid is None:
            unnamed += pids


def _info(process: ProcessTable | ParentTable, pid: int, *, number: int = 0, gpu: int = 0) -> ProcessInfo:
    def filled(text: str) -> str:
        return text.replace("{i}", str(number)).replace("{gpu}", str(gpu))

    argv = _split(process.cmdline) if isinstance(process.cmdline, str) else process.cmdline
    problem = process.problem if isinstance(process, ProcessTable) else None
    if problem is None and argv is None:
        problem = "command line not given"
    return ProcessInfo(
        pid=pid,
        name=None if process.name is None else filled(process.name),
        cmdline=None if argv is None else tuple(filled(arg) for arg in argv),
        user=process.user,
        ppid=process.ppid,
        problem=problem,
    )


@functools.lru_cache(maxsize=256)
def _split(cmdline: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(cmdline))
    except ValueError:
        return tuple(cmdline.split())  # an unpaired quote is part of what was typed


def _check_story(file: ScenarioFile, base: dict[int, float | None], gpus: int, label: str) -> None:
    known = base.keys() | {parent.pid for parent in file.parents}
    for i, entry in enumerate(file.story.log):
        if entry.pid not in known:
            raise ConfigError(f"{label}: story.log[{i}].pid: there is no process {entry.pid}.", "Name one of parents.")
    moved = [(f"story.waves[{i}]", wave.pids) for i, wave in enumerate(file.story.waves)]
    moved += [(f"story.events[{i}]", event.pids) for i, event in enumerate(file.story.events)]
    for key, pids in moved:
        for pid in pids:
            if pid not in base:
                raise ConfigError(f"{label}: {key}.pids: no process {pid} is on a GPU.", "Name pids of processes.")
    devices = [(f"story.levels[{i}]", level.gpu) for i, level in enumerate(file.story.levels)]
    devices += [(f"story.events[{i}]", event.gpu) for i, event in enumerate(file.story.events)]
    for key, gpu in devices:
        if gpu is not None and gpu >= gpus:
            raise ConfigError(f"{label}: {key}.gpu: there is no GPU {gpu}.", f"Allowed: 0 to {gpus - 1}.")
    for i, table in enumerate(file.story.levels):
        if table.field not in _LEVELS:
            raise ConfigError(
                f"{label}: story.levels[{i}].field: found {table.field!r}.", f"Allowed: {', '.join(_LEVELS)}."
            )


def _gpu(index: int, table: GpuTable, held: dict[int, GpuProcess], label: str, several: bool) -> Gpu:
    key = f"gpus[{index}]" if several else "gpu"
    total = _bytes(table.total_mib if table.nvml_total_mib is None else table.nvml_total_mib)
    cuda: tuple[int | None, tuple[int, int] | None] = (_bytes(table.total_mib), None)
    if total is None or (table.total_mib is None and table.reserved_mib is None and table.name):
        cuda = _usual_total(table, total)
        total = cuda[0] if total is None else total
    reserved = _bytes(table.reserved_mib)
    if reserved is None and table.nvml_total_mib is not None and table.total_mib is not None:
        # What NVML counts and CUDA does not is what the driver reserved.
        reserved = mib_to_bytes(max(0.0, table.nvml_total_mib - table.total_mib))
    free = _bytes(table.free_mib)
    processes = tuple(held[pid] for pid in sorted(held))
    sizes = [process.used_bytes for process in processes if process.used_bytes is not None]
    if free is None and total is not None and len(sizes) == len(processes):
        free = total - (reserved or 0) - sum(sizes)
        if free < 0:
            raise ConfigError(
                f"{label}: {key}: reserved memory and processes exceed the total by {-free / MIB:g} MiB.",
                "If processes share memory, give free_mib.",
            )
    used = None if total is None or free is None else total - (reserved or 0) - free
    if used is not None and total is not None and -ROUNDING * total <= used < 0:
        used, free = 0, total - (reserved or 0)
    if used is not None and used < 0:
        raise ConfigError(
            f"{label}: {key}.free_mib: found {table.free_mib:g}, more than total less reserved.",
            f"Allowed: 0 to {(used + (free or 0)) / MIB:g}.",
        )
    return Gpu(
        index=index,
        uuid=table.uuid or f"GPU-00000000-0000-0000-0000-{index:012d}",
        name=table.name or "simulated GPU",
        total_bytes=total,
        used_bytes=used,
        free_bytes=free,
        reserved_bytes=reserved,
        cuda_total_bytes=cuda[0],
        cuda_total_band=cuda[1],
        free_at_start=table.free_mib is not None,
        utilization_pct=table.utilization_pct,
        temperature_c=table.temperature_c,
        power_w=table.power_w,
        power_limit_w=table.power_limit_w,
        mig_enabled=table.mig_enabled,
        processes=processes,
    )


def _usual_total(table: GpuTable, nvml: int | None) -> tuple[int | None, tuple[int, int] | None]:
    """CUDA's total as the card's name tells it, where the file does not: what, and its band."""
    told = cuda_total(table.name, nvml)
    return (None, None) if told is None else (told[1], (told[0], told[2]))


def _bytes(mib: float | None) -> int | None:
    return None if mib is None else mib_to_bytes(mib)
