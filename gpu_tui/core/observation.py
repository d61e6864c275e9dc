"""One reading as events and alerts see it: names, sizes and verdicts, without the plan and its arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from gpu_tui.core.assessment import Assessed, Assessment
from gpu_tui.core.books import Books, Service
from gpu_tui.core.checks import Status
from gpu_tui.core.services import Role
from gpu_tui.core.snapshot import Fault, Gpu, Snapshot

Identity = frozenset[tuple[int, float | None]]
"""Pids with the instants they were started at: a pid alone may come again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSeen:
    """One service on one GPU."""

    name: str
    role: Role
    used_bytes: int | None
    """0 when it is not running; None: unknown."""
    who: Identity = frozenset()

    @property
    def running(self) -> bool:
        """Whether it holds this GPU at all."""
        return bool(self.who)


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSeen:
    """One GPU."""

    key: str
    """`Gpu.key`."""
    index: int
    name: str
    total_bytes: int | None = None
    used_bytes: int | None = None
    temperature_c: int | None = None
    services: tuple[ServiceSeen, ...] | None = None
    """None: nobody's share can be told now, nor who runs."""
    faults: tuple[Fault, ...] = ()
    status: Status | None = None
    """The verdict on the configured plan; None: it is not about this GPU."""
    reason: str = ""
    utilization: float | None = None
    """The planned gpu_memory_utilization."""
    kv_usage: float | None = None
    """Share 0..1 of the live server's KV cache in use."""

    def service(self, name: str) -> ServiceSeen | None:
        """The service of this name."""
        return next((one for one in self.services or () if one.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """The machine at one instant. Either `gpus` or `fault` tells how it is."""

    at_s: float
    """Monotonic seconds: durations are counted on it."""
    wall_s: float
    """Seconds since the epoch, for people."""
    gpus: tuple[GpuSeen, ...] = ()
    fault: Fault | None = None
    """Why the machine could not be read at all; None when it was."""
    simulated: bool = False
    latency_ms: dict[str, float] = field(default_factory=dict)
    """p95 of the last run by figure: ``stt``, ``llm``, ``llm_ttft``; without those that nobody measured."""


def observe(seen: Assessed, kv_usage: dict[str, float] | None = None) -> Observation:
    """A reading with its verdicts.

    Args:
        seen: what is known of every GPU.
        kv_usage: share 0..1 of the KV cache in use, by `Gpu.key`.
    """
    shares = kv_usage or {}
    return Observation(
        at_s=seen.snapshot.taken_monotonic,
        wall_s=seen.snapshot.taken_at,
        simulated=seen.snapshot.simulated,
        gpus=tuple(
            replace(
                gpu_seen(seen.snapshot, one.gpu, one.books, blocked=one.fault),
                status=one.status,
                reason=one.reason,
                utilization=_utilization(one),
                kv_usage=shares.get(one.gpu.key),
            )
            for one in seen.gpus
        ),
    )


def gpu_seen(snapshot: Snapshot, gpu: Gpu, books: Books, *, blocked: Fault | None = None) -> GpuSeen:
    """One GPU without a verdict.

    Args:
        snapshot: whose process table tells since when the pids run.
        gpu: the device.
        books: its memory.
        blocked: what keeps it from being told whatever its figures say.
    """
    told = books.listed and blocked is None
    faults = gpu.faults if blocked is None or blocked in gpu.faults else (*gpu.faults, blocked)
    return GpuSeen(
        key=gpu.key,
        index=gpu.index,
        name=gpu.name,
        total_bytes=gpu.total_bytes,
        used_bytes=gpu.used_bytes,
        temperature_c=gpu.temperature_c,
        services=tuple(_service(snapshot, service) for service in books.services) if told else None,
        faults=faults,
    )


def _service(snapshot: Snapshot, service: Service) -> ServiceSeen:
    infos = ((pid, snapshot.processes.get(pid)) for pid in service.pids)
    return ServiceSeen(
        name=service.name,
        role=service.role,
        used_bytes=service.used_bytes,
        who=frozenset((pid, None if info is None else info.started_at) for pid, info in infos),
    )


def _utilization(one: Assessment) -> float | None:
    return None if one.judgement is None else one.judgement.report.gpu_memory_utilization
