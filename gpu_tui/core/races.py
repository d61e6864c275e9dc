"""Races for a GPU's memory while a vLLM starts: said while they happen, with what (not) to do. Pure.

Between the moment vLLM looks at free memory and the end of its profile run it takes every change of free memory for
its own doing: `vllm/utils/mem_utils.py` memory_profiling, `vllm/v1/worker/gpu_worker.py` determine_available_memory.
A tenant that grows is charged to the new engine one to one (vLLM issue 55827: two started at once, 3.21 GiB less); one
that frees makes its KV cache too large, or ends the start with "Error in memory profiling".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import pairwise

from gpu_tui.core.books import Service
from gpu_tui.core.deployment import Deployment, DeployPhase, Evidence, Identity
from gpu_tui.core.services import OTHER
from gpu_tui.core.start import CONTEXT_BYTES
from gpu_tui.core.vllm_version import accounting_of
from gpu_tui.units import MIB, format_mib

MOVED_BYTES = 64 * MIB
"""A tenant that moves by more is told: above what an idle service's allocator and a desktop move by themselves, below
what a KV cache of a small model needs for one request."""

_WINDOW = (DeployPhase.STARTING, DeployPhase.LOADING, DeployPhase.PROFILING)
"""vLLM has looked at free memory, or is about to, and has not sized its cache."""


class RaceKind(StrEnum):
    """What runs against what."""

    TWO_ENGINES = "two_engines"
    TENANT_GREW = "tenant_grew"
    TENANT_FREED = "tenant_freed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """One race on one GPU."""

    kind: RaceKind
    gpu: str
    name: str
    """The engine that is harmed."""
    who: Identity
    tenant: str
    """The service that moves; for two engines the one that began later."""
    moved_bytes: int | None = None
    """Since the engine's window began; signed."""
    words: str
    """What happens, a sentence; names may hold what others wrote."""
    advice: str
    """What (not) to do, a sentence."""

    @property
    def key(self) -> tuple[str, str, int, str]:
        """Tells a race that goes on from a new one."""
        return (self.kind.value, self.gpu, self.who.pid, self.tenant)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What the tenants held when an engine's window began on one GPU."""

    who: Identity
    gpu: str
    held: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenants:
    """Who holds a GPU now."""

    gpu: str
    services: tuple[Service, ...] = field(default_factory=tuple)


def tenants_of(gpu: str, services: Sequence[Service], deployments: Sequence[Deployment]) -> Tenants:
    """The services of a GPU, those that are followed by the name of their deployment.

    The books call whoever is the largest by the rule's name, so that a server's name there may change while it runs.
    """
    names = {pid: one.name for one in deployments for pid in one.pids}
    named = (next((names[pid] for pid in service.pids if pid in names), service.name) for service in services)
    return Tenants(gpu=gpu, services=tuple(replace(one, name=name) for one, name in zip(services, named, strict=True)))


def exposed(one: Deployment) -> bool:
    """Whether memory that others move now would be booked to this start, or may be."""
    return one.phase in _WINDOW and one.in_motion


def races(
    windows: Sequence[Window], deployments: Sequence[Deployment], gpus: Sequence[Tenants]
) -> tuple[tuple[Window, ...], tuple[Race, ...]]:
    """The races that go on now, and what the next reading is compared with.

    Args:
        windows: what this returned at the reading before.
        deployments: the servers that are there, oldest first.
        gpus: who holds which GPU; a GPU that cannot be read is left out, and keeps its windows.
    """
    open_ones = [one for one in deployments if exposed(one)]
    seen = {each.gpu for each in gpus}
    kept = [each for each in windows if each.gpu not in seen and any(one.who.same(each.who) for one in open_ones)]
    found: list[Race] = []
    for each in gpus:
        engines = [one for one in open_ones if each.gpu in one.gpus]
        found += _two_engines(engines, each.gpu)
        held, moving = _held(each), _moving(each, open_ones)
        for one in engines:
            window = _window(windows, one, each.gpu) or Window(who=one.who, gpu=each.gpu, held=held)
            kept.append(window)
            found += _moved(one, window, held, moving)
    return tuple(kept), tuple(found)


def others(one: Deployment, gpus: Sequence[Tenants]) -> tuple[str, ...]:
    """The other services that hold memory of this one's GPUs, by name; the crowd of unknown ones is not named."""
    found = [
        service.name
        for each in gpus
        if each.gpu in one.gpus
        for service in each.services
        if service.running and service.name != OTHER and not set(one.pids).intersection(service.pids)
    ]
    return tuple(dict.fromkeys(found))


def hands_off(one: Deployment, tenants: Sequence[str]) -> str | None:
    """What not to do while this one starts, before anybody does it; None once its cache is sized.

    Args:
        one: the deployment.
        tenants: the other services on its GPUs.
    """
    if not exposed(one):
        return None
    names = _listed(tenants, "or")
    what = f"Do not start, stop or restart {names} now" if names else "Start nothing else on this GPU now"
    return f"{what}: {one.name} {_doing(one)}, and memory that moves meanwhile is booked to it."


def _doing(one: Deployment) -> str:
    if one.phase is DeployPhase.PROFILING:
        return "profiles its memory"
    if one.phase is DeployPhase.LOADING and one.span.evidence is Evidence.MEMORY and one.log is None:
        return "loads or profiles (without its log it cannot be told which)"
    return "is loading its weights" if one.phase is DeployPhase.LOADING else "is about to look at free memory"


def _window(windows: Sequence[Window], one: Deployment, gpu: str) -> Window | None:
    return next((each for each in windows if each.gpu == gpu and each.who.same(one.who)), None)


def _held(each: Tenants) -> dict[str, int]:
    """What every service holds by name."""
    return {service.name: service.used_bytes for service in each.services if service.used_bytes is not None}


def _moving(each: Tenants, open_ones: Sequence[Deployment]) -> set[str]:
    """Names of the engines that are starting: none of them is a tenant, two of them are the other race."""
    pids = {pid for one in open_ones for pid in one.pids}
    return {service.name for service in each.services if pids.intersection(service.pids)}


def _two_engines(engines: Sequence[Deployment], gpu: str) -> list[Race]:
    holding = [one for one in engines if (one.used_bytes or 0) > 0 or one.used_bytes is None]
    found = []
    for first, second in pairwise(holding):
        found.append(
            Race(
                kind=RaceKind.TWO_ENGINES,
                gpu=gpu,
                name=first.name,
                who=first.who,
                tenant=second.name if second.name != first.name else f"{second.name} (pid {second.who.pid})",
                words=f"{first.name} and {second.name} (pid {second.who.pid}) load at once: "
                f"{_charge(first)}, and the free memory each looked at is the same.",
                advice=f"Stop {second.name} (pid {second.who.pid}) and start it when {first.name} serves.",
            )
        )
    return found


def _moved(one: Deployment, window: Window, held: Mapping[str, int], moving: set[str]) -> list[Race]:
    found = []
    for name in dict.fromkeys((*window.held, *held)):
        if name in moving:
            continue
        moved = held.get(name, 0) - window.held.get(name, 0)
        if abs(moved) <= MOVED_BYTES:
            continue
        grew = moved > 0
        found.append(
            Race(
                kind=RaceKind.TENANT_GREW if grew else RaceKind.TENANT_FREED,
                gpu=window.gpu,
                name=one.name,
                who=one.who,
                tenant=name,
                moved_bytes=moved,
                words=_grew(one, name, moved) if grew else _freed(one, name, -moved),
                advice=f"Do not restart {name} now; wait until {one.name} serves."
                + ("" if grew else f" If {one.name} fails, start it again: nothing is wrong with its settings."),
            )
        )
    return found


def _charge(one: Deployment) -> str:
    rules = accounting_of(one.log.version.value if one.log is not None and one.log.version is not None else None)
    if rules.counts_others:
        return f"{rules.label} takes all memory of others off its KV cache"
    return "what the one takes is charged to the other's KV cache one to one"


def _grew(one: Deployment, name: str, moved: int) -> str:
    return (
        f"{name} grew by {format_mib(moved)} MiB while {one.name} {_doing(one)}: its KV cache will be "
        f"{format_mib(moved)} MiB smaller."
    )


def _freed(one: Deployment, name: str, freed: int) -> str:
    taken = one.used_bytes
    words = f"{name} freed {format_mib(freed)} MiB while {one.name} {_doing(one)}: "
    if taken is not None and freed > max(taken, CONTEXT_BYTES):
        return words + 'it can end with "Error in memory profiling", for more is free now than when it looked.'
    return (
        words + f"its KV cache comes out up to {format_mib(freed)} MiB too large, or it ends with "
        '"Error in memory profiling".'
    )


def _listed(names: Sequence[str], word: str) -> str:
    names = list(dict.fromkeys(names))
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {word} {names[-1]}"
