"""All servers of a machine, followed from one reading to the next: who began, how far each is, who ended. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from gpu_tui.core.books import Books, Instance
from gpu_tui.core.deployment import Deployment, DeployPhase, Evidence, Identity, Look, Span
from gpu_tui.core.deployment_steps import born, step
from gpu_tui.core.snapshot import Gpu, Snapshot
from gpu_tui.core.start_values import Phase, StartLog
from gpu_tui.core.steps import allocation

MOST_PAST = 50
"""Ended deployments that are kept for the screen; the journal keeps all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A vLLM server that holds memory now, over all its GPUs."""

    slot: str
    name: str
    who: Identity
    pids: tuple[int, ...]
    gpus: tuple[str, ...]
    port: int | None = None
    model: str | None = None
    utilization: float | None = None
    planned_bytes: int | None = None
    used_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a server's log and port told when they were last asked; None: not asked, or not to be had."""

    health: bool | None = None
    metrics: bool | None = None
    log: StartLog | None = None
    log_times: Mapping[Phase, float] = field(default_factory=dict)


class ChangeKind(StrEnum):
    """What a reading changed."""

    BEGAN = "began"
    PHASE = "phase"
    EXPLAINED = "explained"
    """Why it ended has become known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One deployment that went on."""

    kind: ChangeKind
    deployment: Deployment


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """All that is followed; `Watched()` before the first reading."""

    now: tuple[Deployment, ...] = ()
    """Of the servers that are there, oldest first."""
    past: tuple[Deployment, ...] = ()
    """Of those that ended, the latest last; at most `MOST_PAST`."""
    begun: bool = False
    """A reading was taken in: whoever is new from now on was seen to begin."""

    def newest_first(self) -> list[Deployment]:
        """All, the latest start first.

        A process's own start is told by the tick, so one that was there before may seem to have begun after one that
        was seen to begin.
        """
        return sorted((*self.past, *self.now), key=lambda one: (one.from_birth, one.begun_s), reverse=True)

    def find(self, who: Identity) -> Deployment | None:
        """The deployment of this process."""
        return next((one for one in reversed((*self.past, *self.now)) if one.who.same(who)), None)


def servers_of(snapshot: Snapshot, books: Sequence[tuple[Gpu, Books]]) -> tuple[Server, ...]:
    """The servers that hold memory of these GPUs, each once."""
    found: dict[int, list[tuple[Gpu, Books, Instance]]] = {}
    for gpu, book in books:
        for instance in book.instances:
            found.setdefault(instance.owner_pid, []).append((gpu, book, instance))
    return tuple(_server(snapshot, owner, parts) for owner, parts in found.items())


def _server(snapshot: Snapshot, owner: int, parts: list[tuple[Gpu, Books, Instance]]) -> Server:
    _, book, first = parts[0]
    args, info = first.args, snapshot.processes.get(owner)
    share = args.gpu_memory_utilization if args is not None else None
    totals = [_cuda_total(gpu) for gpu, _, _ in parts]
    planned = None
    if share is not None and None not in totals:
        planned = sum(allocation(total, share) for total in totals if total is not None)
    sizes = [instance.used_bytes for _, _, instance in parts]
    row = next((service.name for service in book.services if service.instance_pid == owner), first.label)
    return Server(
        slot=f"{first.rule.name}:{args.port}" if args is not None else f"{first.rule.name}#{owner}",
        name=row,
        who=Identity(pid=owner, started_at=info.started_at if info is not None else None),
        pids=tuple(dict.fromkeys(pid for _, _, instance in parts for pid in instance.pids)),
        gpus=tuple(gpu.key for gpu, _, _ in parts),
        port=args.port if args is not None else None,
        model=args.model if args is not None else None,
        utilization=share,
        planned_bytes=planned,
        used_bytes=None if None in sizes else sum(size for size in sizes if size is not None),
    )


def _cuda_total(gpu: Gpu) -> int | None:
    """The total that vLLM takes its share of, bytes: CUDA's, else NVML's − reserved."""
    if gpu.cuda_total_bytes is not None or gpu.total_bytes is None:
        return gpu.cuda_total_bytes
    return gpu.total_bytes - (gpu.reserved_bytes or 0)


def follow(
    watched: Watched,
    servers: Iterable[Server],
    told: Mapping[Identity, Told],
    *,
    at_s: float,
    wall_s: float,
    blind: frozenset[str] = frozenset(),
    simulated: bool = False,
) -> tuple[Watched, tuple[Change, ...]]:
    """One reading.

    Args:
        watched: what the readings before came to.
        servers: those that hold memory now.
        told: what was asked of logs and ports since; for servers that have ended too.
        at_s, wall_s: when it was taken: monotonic, and since the epoch.
        blind: GPUs whose processes could not be read: nobody on them is taken to have ended.
        simulated: of a simulated machine.
    """
    changes: list[Change] = []
    there = list(servers)
    now: list[Deployment] = []
    ended: list[Deployment] = []
    for one in watched.now:
        server = next((each for each in there if each.who.same(one.who)), None)
        if server is None and blind.intersection(one.gpus):
            now.append(one)
            continue
        if server is not None:
            there.remove(server)
        look = _look(server, told.get(one.who), at_s, wall_s)
        gone_on = step(one if server is None else _kept(one, server), look)
        changes += _changes(one, gone_on)
        (ended if server is None else now).append(gone_on)
    past = tuple(_late(one, told, changes, at_s, wall_s) for one in watched.past)
    past = (*past, *ended)[-MOST_PAST:]
    for server in there:
        base = _base(server, past, from_birth=watched.begun, simulated=simulated)
        before = _before(past, server, at_s) if watched.begun else None
        begun = born(base, _look(server, told.get(server.who), at_s, wall_s), before)
        now.append(begun)
        if begun.from_birth:
            changes.append(Change(kind=ChangeKind.BEGAN, deployment=begun))
    return Watched(now=tuple(now), past=past, begun=True), tuple(changes)


def _look(server: Server | None, told: Told | None, at_s: float, wall_s: float) -> Look:
    told = told or Told()
    return Look(
        at_s=at_s,
        wall_s=wall_s,
        alive=server is not None,
        used_bytes=server.used_bytes if server is not None else None,
        # Whoever is gone does not answer, whatever the last answer was.
        health=told.health if server is not None else None,
        metrics=told.metrics if server is not None else None,
        log=told.log,
        log_times=told.log_times,
    )


def _kept(one: Deployment, server: Server) -> Deployment:
    """What may still come to be known: more workers, more GPUs, and with them more planned memory."""
    from_log = one.log is not None and one.log.requested is not None
    planned = one.planned_bytes if from_log else server.planned_bytes
    pids = tuple(dict.fromkeys((*one.pids, *server.pids)))
    return replace(one, pids=pids, gpus=server.gpus, planned_bytes=planned)


def _changes(before: Deployment, after: Deployment) -> list[Change]:
    if after.phase is before.phase:
        return []
    kind = ChangeKind.EXPLAINED if before.phase is DeployPhase.GONE else ChangeKind.PHASE
    return [Change(kind=kind, deployment=after)]


def _late(
    one: Deployment, told: Mapping[Identity, Told], changes: list[Change], at_s: float, wall_s: float
) -> Deployment:
    """An ended one whose log was read once more."""
    if one.phase is not DeployPhase.GONE or one.who not in told:
        return one
    after = step(one, _look(None, told[one.who], at_s, wall_s))
    changes += _changes(one, after)
    return after


def _base(server: Server, past: Sequence[Deployment], *, from_birth: bool, simulated: bool) -> Deployment:
    # A restart keeps the name of the server before it, though the books call whoever restarts by another.
    name = next((one.name for one in reversed(past) if one.slot == server.slot), server.name)
    return Deployment(
        slot=server.slot,
        name=name,
        who=server.who,
        pids=server.pids,
        gpus=server.gpus,
        port=server.port,
        model=server.model,
        utilization=server.utilization,
        planned_bytes=server.planned_bytes,
        spans=(),
        from_birth=from_birth,
        simulated=simulated,
    )


def _before(past: Sequence[Deployment], server: Server, at_s: float) -> Span | None:
    """Since when the place it takes was empty; None where nobody was seen to leave it."""
    last = next((one for one in reversed(past) if one.slot == server.slot), None)
    if last is None:
        return None
    since = min(last.span.start_s, at_s)
    words = f"process {last.who.pid} is gone"
    return Span(phase=DeployPhase.STOPPED, start_s=since, evidence=Evidence.PROCESS, words=words)
