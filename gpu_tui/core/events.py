"""What happened between one observation and the next: pure values, folded over a stream of observations.

`gpu-tui watch` prints them, a recording is searched for them. What cannot be seen is no event: a service of a GPU that
cannot be read is neither gone nor back, and is compared with what was last seen of it once the GPU can be read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from gpu_tui.core.checks import Status
from gpu_tui.core.observation import GpuSeen, Identity, Observation, ServiceSeen
from gpu_tui.core.services import OTHER
from gpu_tui.core.snapshot import Fault, FaultKind
from gpu_tui.units import MIB, format_mib

GROWTH_BYTES = 256 * MIB
"""A service that holds so much more, or less, than when it was last told is news. Ours to choose: above the allocator's
steps (2 MiB) and a CUDA context's growth, below the smallest model seen."""
MOST_SERVICES = 1024
"""Services remembered of one GPU; those gone longest are forgotten first."""


class EventKind(StrEnum):
    """What happened."""

    APPEARED = "service_appeared"
    GONE = "service_gone"
    RESTARTED = "service_restarted"
    """None of the processes it had are left, and others run in their place."""
    GREW = "memory_grew"
    SHRANK = "memory_shrank"
    VERDICT = "verdict_changed"
    FAULT = "fault"
    FAULT_OVER = "fault_over"
    ALERT_RAISED = "alert_raised"
    ALERT_CLEARED = "alert_cleared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened."""

    kind: EventKind
    at_s: float
    """Monotonic seconds of the observation that showed it."""
    wall_s: float
    """Seconds since the epoch."""
    words: str
    """For people: one sentence, which may hold what others wrote."""
    gpu: str | None = None
    """`Gpu.key`; None: the whole machine."""
    gpu_index: int | None = None
    service: str | None = None
    before_bytes: int | None = None
    after_bytes: int | None = None
    status: Status | None = None
    """VERDICT: as it is now."""
    fault: FaultKind | None = None
    alert: str | None = None
    """The rule's name."""
    simulated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Last:
    """What was last told of a service."""

    who: Identity
    told_bytes: int | None
    """What it held when its memory was last told; None while that is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _GpuLast:
    services: Mapping[str, _Last] | None = None
    """None before the first look at them."""
    status: Status | None = None
    faults: Mapping[FaultKind, Fault] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All that the next observation is compared with; the start of a stream is `Seen()`."""

    gpus: Mapping[str, _GpuLast] = field(default_factory=dict)
    fault: Fault | None = None


def step(seen: Seen, now: Observation, growth_bytes: int = GROWTH_BYTES) -> tuple[Seen, tuple[Event, ...]]:
    """What `now` shows beyond `seen`. The first look at anything is no event.

    Args:
        seen: what the observations before came to.
        now: the next one.
        growth_bytes: how much more or less a service must hold to be told.
    """
    events: list[Event] = []
    if now.fault is not None:
        if seen.fault is None or seen.fault.kind is not now.fault.kind:
            events.append(_event(now, EventKind.FAULT, _words(now.fault), fault=now.fault.kind))
        return replace(seen, fault=now.fault), tuple(events)
    if seen.fault is not None:
        events.append(_event(now, EventKind.FAULT_OVER, "The machine is read again.", fault=seen.fault.kind))
    gpus = dict(seen.gpus)
    for gpu in now.gpus:
        before = gpus.get(gpu.key)
        gpus[gpu.key], found = _gpu_step(before, gpu, now, growth_bytes)
        events += found
    return Seen(gpus=gpus), tuple(events)


def events_of(observations: Iterable[Observation], growth_bytes: int = GROWTH_BYTES) -> Iterator[Event]:
    """The events of a whole stream, in its order."""
    seen = Seen()
    for now in observations:
        seen, events = step(seen, now, growth_bytes)
        yield from events


def _gpu_step(
    before: _GpuLast | None, gpu: GpuSeen, now: Observation, growth_bytes: int
) -> tuple[_GpuLast, list[Event]]:
    last = before or _GpuLast(status=gpu.status, faults={})
    events = _fault_events(last, gpu, now)
    services = last.services
    if gpu.services is not None:
        services, found = _services_step(services, gpu, now, growth_bytes)
        events += found
    if gpu.status is not last.status and gpu.status is not None:
        was = "not judged" if last.status is None else last.status.value
        words = f"The plan is {gpu.status.value} (was {was}): {gpu.reason}"
        events.append(_event(now, EventKind.VERDICT, words, gpu, status=gpu.status))
    status = gpu.status if gpu.status is not None else last.status
    return _GpuLast(services=services, status=status, faults={fault.kind: fault for fault in gpu.faults}), events


def _fault_events(last: _GpuLast, gpu: GpuSeen, now: Observation) -> list[Event]:
    kinds = {fault.kind: fault for fault in gpu.faults}
    begun = [
        _event(now, EventKind.FAULT, _words(fault), gpu, fault=kind)
        for kind, fault in kinds.items()
        if kind not in last.faults
    ]
    over = [
        _event(
            now, EventKind.FAULT_OVER, f"GPU {gpu.index}: no longer {kind.value.replace('_', ' ')}.", gpu, fault=kind
        )
        for kind in last.faults
        if kind not in kinds
    ]
    return over + begun


def _services_step(
    before: Mapping[str, _Last] | None, gpu: GpuSeen, now: Observation, growth_bytes: int
) -> tuple[Mapping[str, _Last], list[Event]]:
    events: list[Event] = []
    kept: dict[str, _Last] = dict(before or {})
    there = {service.name: service for service in gpu.services or ()}
    known = _everybody(kept.values())
    present = _everybody(there.values())
    for name in (*there, *(name for name in kept if name not in there)):
        service = there.get(name)
        last = kept.pop(name, None)
        who = service.who if service is not None else frozenset()
        was = last.who if last is not None else frozenset()
        # Another vLLM was chosen to restart, or a rule matches otherwise: the same processes under other names.
        moved = bool((who - was) & known or (was - who) & present)
        if before is not None and not moved:
            events += _service_events(name, last, service, gpu, now, growth_bytes)
        told = _told(None if moved else last, service, growth_bytes)
        if who or service is not None:
            kept[name] = _Last(who=who, told_bytes=told)
    while len(kept) > MOST_SERVICES:
        del kept[next(iter(kept))]
    return kept, events


def _everybody(services: Iterable[_Last | ServiceSeen]) -> Identity:
    return frozenset(one for service in services for one in service.who)


def _service_events(
    name: str, last: _Last | None, service: ServiceSeen | None, gpu: GpuSeen, now: Observation, growth_bytes: int
) -> list[Event]:
    """What became of one service. `other` is a crowd: it grows and shrinks, but nobody in it appears or is gone."""
    was = last.who if last is not None else frozenset()
    who = service.who if service is not None else frozenset()
    before = last.told_bytes if last is not None else None
    after = service.used_bytes if service is not None else 0
    more = {"service": name, "before_bytes": before, "after_bytes": after}
    if name != OTHER:
        if who and not was:
            return [_event(now, EventKind.APPEARED, f"{name} has appeared, holding {_mib(after)}.", gpu, **more)]
        if was and not who:
            return [_event(now, EventKind.GONE, f"{name} is gone; it held {_mib(before)}.", gpu, **more)]
        if was and not was & who:
            return [_event(now, EventKind.RESTARTED, f"{name} was restarted and holds {_mib(after)}.", gpu, **more)]
    if before is None or after is None or abs(after - before) < growth_bytes:
        return []
    grew = after > before
    kind, verb = (EventKind.GREW, "grew") if grew else (EventKind.SHRANK, "shrank")
    words = f"{name} {verb} by {_mib(abs(after - before))}, from {_mib(before)} to {_mib(after)}."
    return [_event(now, kind, words, gpu, **more)]


def _told(last: _Last | None, service: ServiceSeen | None, growth_bytes: int) -> int | None:
    """What the next size is compared with: it moves only when something was told, so that slow growth is seen too."""
    after = service.used_bytes if service is not None else 0
    if last is None or last.told_bytes is None or after is None:
        return after if after is not None or last is None else last.told_bytes
    who = service.who if service is not None else frozenset()
    new_life = service is not None and service.name != OTHER and not (last.who & who)
    return after if new_life or abs(after - last.told_bytes) >= growth_bytes else last.told_bytes


def _event(now: Observation, kind: EventKind, words: str, gpu: GpuSeen | None = None, **more: object) -> Event:
    return Event(
        kind=kind,
        at_s=now.at_s,
        wall_s=now.wall_s,
        words=words,
        gpu=None if gpu is None else gpu.key,
        gpu_index=None if gpu is None else gpu.index,
        simulated=now.simulated,
        **more,  # type: ignore[arg-type]
    )


def _words(fault: Fault) -> str:
    return f"{fault.message} {fault.remedy}".rstrip()


def _mib(size: int | None) -> str:
    return "an unknown amount" if size is None else f"{format_mib(size)} MiB"
