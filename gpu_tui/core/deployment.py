"""A vLLM server on its way from one start to the next: its phases with their times, and how it ended. Frozen values.

Seconds are monotonic unless a name says `wall`; sizes are bytes. Nothing is told that no evidence shows: what is not
known is None, and a phase that left no trace is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from gpu_tui.core.start_values import Phase, StartFailure, StartLog


class DeployPhase(StrEnum):
    """How far a server is, in the order in which they come."""

    STOPPED = "stopped"
    """The server before it is gone, and it is not there yet."""
    RUNNING = "running"
    """It was there when watching began, and nothing tells how far it is."""
    STARTING = "starting"
    LOADING = "loading"
    PROFILING = "profiling"
    """Compiling, and the profile run that sizes the KV cache."""
    CAPTURING = "capturing"
    """The KV cache is allocated; graphs are captured, kernels warmed up."""
    SERVING = "serving"
    FAILED = "failed"
    """It ended, or will, and its log says why."""
    GONE = "gone"
    """It ended, and nothing says why."""


ORDER: tuple[DeployPhase, ...] = tuple(DeployPhase)
LAST = (DeployPhase.FAILED, DeployPhase.GONE)
"""A server does not come back from these; the next start is another deployment."""


def rank(phase: DeployPhase) -> int:
    """Place in `ORDER`; FAILED and GONE share one, since a log read later may tell why a server is gone."""
    return ORDER.index(DeployPhase.FAILED if phase is DeployPhase.GONE else phase)


OF_LOG: Mapping[Phase, DeployPhase] = {
    Phase.STARTING: DeployPhase.STARTING,
    Phase.LOADING: DeployPhase.LOADING,
    Phase.COMPILING: DeployPhase.PROFILING,
    Phase.PROFILING: DeployPhase.PROFILING,
    Phase.CAPTURING: DeployPhase.CAPTURING,
    Phase.INITIALIZED: DeployPhase.CAPTURING,
    Phase.SERVING: DeployPhase.SERVING,
}
"""What each phase of a log is here."""


class Evidence(StrEnum):
    """What a phase rests on."""

    PROCESS = "process"
    MEMORY = "memory"
    LOG = "log"
    HEALTH = "/health"
    METRICS = "/metrics"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One phase of one start."""

    phase: DeployPhase
    start_s: float
    end_s: float | None = None
    """None: it goes on."""
    evidence: Evidence
    words: str = ""
    """What was seen, for people; may hold a log's own words."""

    def duration_s(self, now_s: float) -> float:
        """How long it took, or has taken so far."""
        return max(0.0, (now_s if self.end_s is None else self.end_s) - self.start_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Which process: a pid comes again, a pid with its start does not."""

    pid: int
    started_at: float | None = None
    """Seconds since the epoch; None where it is not told."""

    def same(self, other: Identity) -> bool:
        """Whether both are one process. The kernel's boot time moves when the clock is set, so a minute is let pass."""
        if self.pid != other.pid:
            return False
        if self.started_at is None or other.started_at is None:
            return True
        return abs(self.started_at - other.started_at) < SAME_START_S


SAME_START_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One server at one instant, by all that was looked at. None: not looked at, or not to be read."""

    at_s: float
    wall_s: float
    alive: bool
    used_bytes: int | None = None
    health: bool | None = None
    metrics: bool | None = None
    log: StartLog | None = None
    log_times: Mapping[Phase, float] = field(default_factory=dict)
    """Seconds since the epoch of the log's phases, where its stamps can be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One start of one server."""

    slot: str
    """Tells the service across restarts: ``judge:8001``."""
    name: str
    """How it is called: ``judge``, ``vllm:8002``."""
    who: Identity
    pids: tuple[int, ...] = ()
    gpus: tuple[str, ...] = ()
    """Keys of the GPUs it holds memory of."""
    port: int | None = None
    model: str | None = None
    utilization: float | None = None
    planned_bytes: int | None = None
    """gpu_memory_utilization × total over its GPUs; None where either is not told."""
    spans: tuple[Span, ...]
    """Without a gap, in order; the last one goes on."""
    from_birth: bool
    """It began while watching; else what was before is not known."""
    used_bytes: int | None = None
    first_bytes: int | None = None
    peak_bytes: int | None = None
    slope_bytes_s: float | None = None
    """Of its memory over the last `SLOPE_S` seconds."""
    recent: tuple[tuple[float, int], ...] = ()
    failure: StartFailure | None = None
    failing_since_s: float | None = None
    log: StartLog | None = None
    looked_s: float = 0.0
    simulated: bool = False

    @property
    def span(self) -> Span:
        """The phase that goes on."""
        return self.spans[-1]

    @property
    def phase(self) -> DeployPhase:
        """How far it is."""
        return self.span.phase

    @property
    def served(self) -> bool:
        """Whether it was seen to serve."""
        return any(span.phase is DeployPhase.SERVING for span in self.spans)

    @property
    def ended(self) -> bool:
        """Whether its process is gone, or its failure is told for good."""
        return self.phase in LAST

    @property
    def in_motion(self) -> bool:
        """Whether it is between its start and serving: worth a look at its log and port."""
        return not (self.served or self.ended or self.phase is DeployPhase.RUNNING)

    @property
    def outcome(self) -> str | None:
        """``started``, a `FailureKind`, ``ended`` (gone before it served, nobody says why); None while it is open."""
        if self.served:
            return "started"
        if self.failure is not None and self.ended:
            return self.failure.kind.value
        return "ended" if self.ended and self.from_birth else None

    @property
    def begun_s(self) -> float:
        """When the process began, as far as known; the stop before it does not count."""
        return next(
            (span.start_s for span in self.spans if span.phase is not DeployPhase.STOPPED), self.spans[-1].start_s
        )

    def took_s(self, now_s: float) -> float:
        """From the process's start to serving or the end, or so far."""
        done = (*LAST, DeployPhase.SERVING)
        end = next((span.start_s for span in self.spans if span.phase in done), now_s)
        return max(0.0, end - self.begun_s)

    def durations_s(self, now_s: float) -> dict[DeployPhase, float]:
        """Seconds of every phase; they sum to the time from the first span's start to now."""
        return {span.phase: span.duration_s(now_s) for span in self.spans}

    def into(self, phase: DeployPhase, at_s: float, evidence: Evidence, words: str = "") -> Deployment:
        """The same, gone on to a later phase at this time: never before the phase it leaves began."""
        at_s = max(at_s, self.span.start_s)
        closed = replace(self.span, end_s=at_s)
        opened = Span(phase=phase, start_s=at_s, evidence=evidence, words=words)
        return replace(self, spans=(*self.spans[:-1], closed, opened))
