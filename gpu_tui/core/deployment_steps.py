"""Follows a server through its phases: one look after another, pure.

A phase only ever gives way to a later one. The log tells most; without one, memory that grows shows loading and
`/health` shows serving; without a port as well, memory alone shows that it loads and that its cache is allocated.
"""

from __future__ import annotations

from dataclasses import replace

from gpu_tui.core.deployment import LAST, OF_LOG, Deployment, DeployPhase, Evidence, Look, Span, rank
from gpu_tui.core.start import CONTEXT_BYTES
from gpu_tui.core.start_values import Phase, StartLog
from gpu_tui.units import MIB, format_mib

SLOPE_S = 6.0
"""The slope is that of the last so many seconds: longer than the pauses between two shards of weights on a slow disk,
short enough to see that loading has ended."""
SLOPE_SAMPLES = 32
GROWN_BYTES = 256 * MIB
"""Memory of a server that was there already must grow so far to count as loading: above its allocator's own steps."""
ALLOCATED = 0.9
"""Share of the planned memory from which the KV cache must be allocated: weights and activation alone that large would
leave no room for it. The rest are graphs and what torch does not book."""
DYING_S = 20.0
"""A server whose log tells a failure ends within seconds; one that does not hangs, and has failed all the same."""


def born(base: Deployment, look: Look, stopped: Span | None = None) -> Deployment:
    """A server's first look.

    Args:
        base: who it is; its spans are replaced.
        look: the first look at it.
        stopped: the end of the server before it in the same place, where one was seen.
    """
    if not base.from_birth:
        span = Span(
            phase=DeployPhase.RUNNING,
            start_s=look.at_s,
            evidence=Evidence.PROCESS,
            words="there when watching began",
        )
        return step(replace(base, spans=(span,), first_bytes=look.used_bytes, looked_s=look.at_s), look)
    begun = _begun(base, look)
    if stopped is not None:
        begun = max(begun, stopped.start_s)
    words = f"process {base.who.pid}"
    starting = Span(phase=DeployPhase.STARTING, start_s=begun, evidence=Evidence.PROCESS, words=words)
    before = () if stopped is None else (replace(stopped, end_s=begun),)
    return step(replace(base, spans=(*before, starting), first_bytes=0, looked_s=begun), look)


_OLDEST_S = 900.0
"""A server without memory of a GPU was never seen to import Python and read its configuration for longer."""


def _begun(base: Deployment, look: Look) -> float:
    """When its process began: by the kernel, unless a clock that was set makes that nonsense."""
    if base.who.started_at is None:
        return look.at_s
    age = look.wall_s - base.who.started_at
    return look.at_s - age if 0 <= age <= _OLDEST_S else look.at_s


def step(one: Deployment, look: Look) -> Deployment:
    """What one more look shows. A look from before the last is taken for one at the same time."""
    at_s = max(look.at_s, one.looked_s)
    one = replace(one, looked_s=at_s, log=look.log or one.log)
    if one.phase in LAST:
        return _explained(one, look)
    # The log first: it dates a phase better than the memory that shows it.
    one = _logged(one, look, at_s)
    one = _measured(one, look, at_s) if look.alive else one
    answers = "/health" if look.health else "/metrics" if look.metrics else None
    if answers is not None:
        one = replace(one, failure=None, failing_since_s=None)
        if one.phase is not DeployPhase.SERVING:
            one = one.into(DeployPhase.SERVING, at_s, Evidence(answers), f"{answers} answers")
    if not look.alive:
        return _ended(one, at_s)
    if one.failing_since_s is not None and at_s - one.failing_since_s >= DYING_S:
        return one.into(DeployPhase.FAILED, one.failing_since_s, Evidence.LOG, "its log tells the cause")
    return one


def _measured(one: Deployment, look: Look, at_s: float) -> Deployment:
    used = look.used_bytes
    if used is None:
        return replace(one, used_bytes=None, slope_bytes_s=None, recent=())
    kept = tuple(sample for sample in one.recent if at_s - sample[0] <= SLOPE_S and sample[0] < at_s)
    recent = (*kept[-(SLOPE_SAMPLES - 1) :], (at_s, used))
    one = replace(
        one,
        used_bytes=used,
        first_bytes=used if one.first_bytes is None else one.first_bytes,
        peak_bytes=max(used, one.peak_bytes or 0),
        recent=recent,
        slope_bytes_s=_slope(recent),
    )
    if one.phase is DeployPhase.SERVING:
        return one
    loads = used > CONTEXT_BYTES * max(1, len(one.gpus)) if one.from_birth else _grown(one, used)
    if loads and rank(one.phase) < rank(DeployPhase.LOADING):
        words = f"holds {format_mib(used)} MiB{' and grows' if (one.slope_bytes_s or 0) > 0 else ''}"
        return one.into(DeployPhase.LOADING, at_s, Evidence.MEMORY, words)
    full = one.planned_bytes is not None and used >= ALLOCATED * one.planned_bytes
    watched = one.phase is DeployPhase.LOADING and one.span.evidence is Evidence.MEMORY
    # Where the log tells of phases, it tells of this one too, and better.
    if full and watched and (one.log is None or one.log.phase is None):
        words = f"holds {format_mib(used)} of {format_mib(one.planned_bytes or 0)} MiB planned: its KV cache is there"
        return one.into(DeployPhase.CAPTURING, at_s, Evidence.MEMORY, words)
    return one


def _grown(one: Deployment, used: int) -> bool:
    return one.first_bytes is not None and used - one.first_bytes >= GROWN_BYTES


def _slope(recent: tuple[tuple[float, int], ...]) -> float | None:
    (first_s, first), (last_s, last) = recent[0], recent[-1]
    return None if last_s - first_s < 0.5 else (last - first) / (last_s - first_s)


def _logged(one: Deployment, look: Look, at_s: float) -> Deployment:
    log = look.log
    if log is None:
        return one
    if log.requested is not None:
        one = replace(one, planned_bytes=_requested(log, one))
    for found in log.phases:
        phase = OF_LOG[found.phase]
        if rank(phase) <= rank(one.phase):
            continue
        if one.phase is DeployPhase.RUNNING and phase is not DeployPhase.SERVING and _serves(log):
            continue
        when = min(at_s, _at(found.phase, look, at_s))
        one = one.into(phase, when, Evidence.LOG, f"log line {found.line_no}")
    if log.failure is not None and not _serves(log) and not one.served:
        since = at_s if one.failing_since_s is None else one.failing_since_s
        one = replace(one, failure=log.failure, failing_since_s=since)
    return one


def _serves(log: StartLog) -> bool:
    return any(found.phase is Phase.SERVING for found in log.phases)


def _requested(log: StartLog, one: Deployment) -> int | None:
    size = log.requested
    return one.planned_bytes if size is None else size.size_bytes * max(1, len(one.gpus))


def _at(phase: Phase, look: Look, at_s: float) -> float:
    """When a line was written, on the clock of the looks; the look's own time where its stamp does not tell."""
    wall = look.log_times.get(phase)
    return at_s if wall is None else at_s - max(0.0, look.wall_s - wall)


def _ended(one: Deployment, at_s: float) -> Deployment:
    if one.failure is not None and not one.served:
        return one.into(DeployPhase.FAILED, at_s, Evidence.LOG, "its log tells the cause")
    return one.into(DeployPhase.GONE, at_s, Evidence.PROCESS, "its process is gone")


def _explained(one: Deployment, look: Look) -> Deployment:
    """A log read after the end may tell why; it changes no time."""
    if one.phase is not DeployPhase.GONE or one.served or look.log is None:
        return one
    if _serves(look.log) or look.log.failure is None:
        return one
    last = replace(one.span, phase=DeployPhase.FAILED, evidence=Evidence.LOG, words="its log tells the cause")
    return replace(one, spans=(*one.spans[:-1], last), failure=look.log.failure)
