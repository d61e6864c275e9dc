"""What happened at a mark, in words: by the rules of whoever looks, not of whoever recorded."""

from __future__ import annotations

from collections.abc import Iterator

from gpu_tui.core.books import Books, Service, keep_books
from gpu_tui.core.services import Classifier
from gpu_tui.core.snapshot import Gpu, Snapshot
from gpu_tui.telemetry.recording.codec import Observation
from gpu_tui.telemetry.recording.marks import MEMORY_BYTES, RAMP_S, Kind
from gpu_tui.telemetry.recording.reader import Mark, Recording
from gpu_tui.units import format_mib
from gpu_tui.view.text import clean


def words(recording: Recording, mark: Mark, rules: Classifier) -> str:
    """A mark as a person says it: ``judge came (6134 MiB, --gpu-memory-utilization 0.5)``."""
    one = recording[mark.number]
    before = recording[max(0, mark.number - 1)]
    told = [*_time(before, one, mark.kinds), *_faults(before, one)]
    if before.snapshot is not None and one.snapshot is not None:
        told += _services(before.snapshot, one.snapshot, rules)
    if Kind.MEMORY in mark.kinds and one.snapshot is not None:
        early, late = recording[recording.at_axis(one.t - RAMP_S)], recording[recording.at_axis(one.t + RAMP_S)]
        told += _moves(early.snapshot, late.snapshot or one.snapshot, rules)
        if not told:  # it came a moment ago
            told += _moves(before.snapshot, late.snapshot or one.snapshot, rules)
    return "; ".join(dict.fromkeys(told)) or "memory or processes changed"


def _time(before: Observation, one: Observation, kinds: Kind) -> Iterator[str]:
    if Kind.GAP in kinds:
        yield f"nothing was recorded for {one.t - before.t:.0f} s before"
    if Kind.CLOCK in kinds:
        yield "the clock was set, or the machine slept"


def _faults(before: Observation, one: Observation) -> Iterator[str]:
    was, now = before.error, one.error
    if now is not None and (was is None or was.kind != now.kind):
        yield clean(now.message, 120)
    elif was is not None and now is None:
        yield "the machine can be read again"
    for gpu in one.snapshot.gpus if one.snapshot is not None and before.snapshot is not None else ():
        old = before.snapshot.gpu(gpu.key) if before.snapshot is not None else None
        known = {fault.kind for fault in old.faults} if old is not None else set()
        for fault in gpu.faults:
            if fault.kind not in known:
                yield clean(fault.message, 120)
        if known - {fault.kind for fault in gpu.faults}:
            yield f"GPU {gpu.label} is well again"


def _services(before: Snapshot, after: Snapshot, rules: Classifier) -> Iterator[str]:
    for gpu, was, now in _books(before, after, rules):
        there = {service.name: service for service in was.services}
        for service in now.services:
            old = there.get(service.name)
            if service.running and (old is None or not old.running):
                yield f"{clean(service.name, 40)} came{_on(gpu, after)} ({_told(service, now)})"
            elif old is not None and old.running and not service.running:
                yield f"{clean(service.name, 40)} went{_on(gpu, after)} ({_mib(old.used_bytes)} came free)"
            elif old is not None and set(old.pids) != set(service.pids):
                yield f"{clean(service.name, 40)}: {_pids(old, service)}{_on(gpu, after)}"
        names = {service.name for service in now.services}
        for name, old in there.items():
            if name not in names and old.running:
                yield f"{clean(name, 40)} went{_on(gpu, after)}"


def _told(service: Service, books: Books) -> str:
    size = _mib(service.used_bytes)
    instance = next((each for each in books.instances if each.owner_pid == service.instance_pid), None)
    share = instance.args.gpu_memory_utilization if instance is not None and instance.args is not None else None
    return size if share is None else f"{size}, --gpu-memory-utilization {share:g}"


def _pids(old: Service, new: Service) -> str:
    came, went = sorted(set(new.pids) - set(old.pids)), sorted(set(old.pids) - set(new.pids))
    parts = [f"pid {came[0]} came" if len(came) == 1 else f"{len(came)} processes came"] if came else []
    parts += [f"pid {went[0]} went" if len(went) == 1 else f"{len(went)} processes went"] if went else []
    return ", ".join(parts)


def _moves(before: Snapshot | None, after: Snapshot, rules: Classifier) -> Iterator[str]:
    for gpu, was, now in _books(before, after, rules) if before is not None else ():
        there = {service.name: service.used_bytes for service in was.services if service.running}
        for service in now.services:
            old, new = there.get(service.name), service.used_bytes
            if service.running and old is not None and new is not None and abs(new - old) >= MEMORY_BYTES:
                yield f"{clean(service.name, 40)} {format_mib(old)} → {format_mib(new)} MiB{_on(gpu, after)}"


def _books(before: Snapshot, after: Snapshot, rules: Classifier) -> Iterator[tuple[Gpu, Books, Books]]:
    for gpu in after.gpus:
        old = before.gpu(gpu.key)
        if old is not None and old is not gpu:
            yield gpu, keep_books(before, old, rules), keep_books(after, gpu, rules)


def _on(gpu: Gpu, snapshot: Snapshot) -> str:
    return f" on GPU {gpu.label}" if len(snapshot.gpus) > 1 else ""


def _mib(size: int | None) -> str:
    return "memory unknown" if size is None else f"{format_mib(size)} MiB"
