"""Warm-ups and loads of a plan's kinds, alone and together; what came of them, with the cost of sending it."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import aiohttp

from gpu_tui.bench import vllm_metrics
from gpu_tui.bench.client import ProbeFailure, get
from gpu_tui.bench.discover import Endpoint
from gpu_tui.bench.events import Event, Kind
from gpu_tui.bench.llm import LlmProbe
from gpu_tui.bench.load import Outcomes, Pace, drive
from gpu_tui.bench.plan import MeasurePlan, Mode
from gpu_tui.bench.progress import Teller
from gpu_tui.bench.prompts import Prompts
from gpu_tui.bench.results import llm_done, stt_done
from gpu_tui.bench.stt import Listens, SttProbe
from gpu_tui.bench.vllm_metrics import VllmMetrics
from gpu_tui.bench.workload import Clip
from gpu_tui.clock import Clock
from gpu_tui.core.timings import LlmTimings, SttTimings, lasted_s

T = TypeVar("T")
WARMUP_INDEX = 1_000_000_000
"""Warm-up prompts are numbered from here, so that no measured one has been seen by the server before."""
TOGETHER_INDEX = 500_000_000
"""Likewise those of the second load of an interference run."""
_METRICS_TIMEOUT = aiohttp.ClientTimeout(total=5.0)
_SETTLE_S, _LOOK_S = 1.0, 0.1
"""vLLM counts a request a moment after its last byte: how long and how often its counters are asked again."""


@dataclass(slots=True, kw_only=True)
class Job(Generic[T]):
    """One kind of request to one endpoint.

    Args:
        report: makes the event of one outcome.
    """

    kind: Kind
    endpoint: Endpoint
    ask: Callable[[int], Awaitable[T]]
    warm: Callable[[int], Awaitable[T]]
    report: Callable[[int, T | ProbeFailure], Event]
    ended_at: Callable[[T], float | None]
    """When an answer had been read."""


@dataclass(slots=True, kw_only=True)
class Loaded(Generic[T]):
    """What came of one load."""

    outcomes: Outcomes[T]
    queue: tuple[float, int] | None = None
    """Mean seconds in the server's queue, and of how many requests; None where it does not tell."""
    window: tuple[float, float] | None = None
    """Begin and end, in seconds since the run began; None when no load was sent."""


@dataclass(slots=True)
class Cost:
    """What sending took."""

    cpu_s: float = 0.0
    wall_s: float = 0.0
    requests: int = 0
    answered_s: float = 0.0
    """How long those that went well took, added up."""


class Loader:
    """Sends the loads of one run, one after the other."""

    def __init__(self, plan: MeasurePlan, session: aiohttp.ClientSession, clock: Clock, teller: Teller) -> None:
        self._plan = plan
        self._session = session
        self.connector = session.connector
        """Keeps what it knows of the arrivals when the session is closed."""
        self._clock = clock
        self._teller = teller
        self.prompts = Prompts(plan)
        self.cost = Cost()
        self.late_s: list[float] = []
        self.local: Listens | None = None
        """The local model, once it is loaded; None where a server is measured."""
        self.seen: list[Outcomes[Any]] = []
        """Outcomes of every load and warm-up: a server that ran out of memory may have said so in any."""

    def llm_probe(self, endpoint: Endpoint) -> LlmProbe:
        """A probe of this endpoint with the plan's answer length."""
        plan = self._plan
        return LlmProbe(
            self._session,
            self._clock,
            url=endpoint.url,
            model=endpoint.model,
            output_tokens=plan.max_tokens,
            timeout_s=plan.timeout_s,
            key=endpoint.key,
            # A user's own prompts are answered as they would be in use.
            whole_length=endpoint.metrics.vllm and not plan.prompts and plan.mode is not Mode.VOICE,
        )

    def stt_probe(self, endpoint: Endpoint, clip: Clip) -> Listens:
        """A probe of this endpoint with this clip."""
        if endpoint.folder is not None and self.local is not None:
            return self.local
        return SttProbe(
            self._session,
            self._clock,
            url=endpoint.url,
            model=endpoint.model,
            clip=clip,
            timeout_s=self._plan.timeout_s,
            key=endpoint.key,
        )

    def llm(self, endpoint: Endpoint, first: int = 0) -> Job[LlmTimings]:
        """Chat completions, their prompts numbered from `first`."""
        probe, prompts, teller = self.llm_probe(endpoint), self.prompts, self._teller

        async def warm(index: int) -> LlmTimings:
            timings = await probe.ask(prompts.warmup(WARMUP_INDEX + index))
            prompts.learn(WARMUP_INDEX + index, timings.prompt_tokens)
            return timings

        return Job(
            kind="llm",
            endpoint=endpoint,
            ask=lambda index: probe.ask(prompts.measured(first + index)),
            warm=warm,
            report=lambda index, outcome: llm_done(index, outcome, teller.began, teller.stage),
            ended_at=lambda timings: timings.ended,
        )

    def stt(self, endpoint: Endpoint, clip: Clip) -> Job[SttTimings]:
        """Transcriptions of one clip."""
        probe, teller = self.stt_probe(endpoint, clip), self._teller
        return Job(
            kind="stt",
            endpoint=endpoint,
            ask=lambda _index: probe.transcribe(),
            warm=lambda _index: probe.transcribe(),
            report=lambda index, outcome: stt_done(index, outcome, teller.began, teller.stage),
            ended_at=lambda timings: timings.ended,
        )

    async def alone(self, job: Job[T]) -> tuple[Loaded[T], str]:
        """Warm up, then load; and why there is no figure, "" when there is one.

        When no warm-up goes well there is no load, and its failures are the result.
        """
        plan, teller = self._plan, self._teller
        if plan.warmups:
            teller.say("warmup", job.kind)
            pace = Pace(count=plan.warmups, concurrency=plan.concurrency)
            warm = await drive(pace, job.warm, lambda _i, _o: None, self._clock)
            self.see(warm)
            if not warm.good:
                teller.drop()
                return Loaded(outcomes=warm), f"unmeasured: every warm-up failed: {warm.told()}"

        def ended(index: int, outcome: T | ProbeFailure) -> None:
            teller.emit(job.report(index, outcome))
            teller.ended(job.kind, failed=isinstance(outcome, ProbeFailure))

        before = await self.metrics(job.endpoint)
        teller.begin(job.kind)
        began, cpu = self._clock.monotonic(), cpu_s()
        outcomes = await drive(self.pace(job.kind, self.past(began)), job.ask, ended, self._clock)
        teller.finish()
        self.charge(began, cpu, outcomes)
        window = (began - teller.began, teller.since_s())
        queue = await self.queued(job.endpoint, before, len(outcomes.good))
        why = "" if outcomes.good else f"unmeasured: every request failed: {outcomes.told()}"
        return Loaded(outcomes=outcomes, queue=queue, window=window), why

    def pace(self, kind: Kind, over: Callable[[], bool]) -> Pace:
        """The plan's pace; the load is over when its requests are sent, and when `over` says so."""
        plan = self._plan
        return Pace(
            count=plan.requests if plan.duration_s is None else None,
            # Also of a load that goes on beside another: more at once than alone would be no comparison.
            concurrency=plan.concurrency if plan.duration_s is not None else min(plan.concurrency, plan.requests),
            rate=plan.rate,
            arrivals=plan.arrivals,
            seed=f"{plan.seed}:{kind}",
            over=over,
        )

    def past(self, began: float) -> Callable[[], bool]:
        """Tells whether the plan's duration has passed since; never, without one."""
        duration = self._plan.duration_s
        return lambda: duration is not None and self._clock.monotonic() >= began + duration

    def see(self, outcomes: Outcomes[Any]) -> None:
        """Remember outcomes that are no figures."""
        self.seen.append(outcomes)

    def charge(self, began: float, cpu: float, *loads: Outcomes[Any]) -> None:
        """Remember outcomes of a load, or of loads side by side, and what sending them took."""
        self.cost.cpu_s += cpu_s() - cpu
        self.cost.wall_s += self._clock.monotonic() - began
        for outcomes in loads:
            self.cost.requests += outcomes.ended
            self.cost.answered_s += sum(lasted_s(answer) or 0.0 for answer in outcomes.good)
            self.late_s += outcomes.late_s
            self.seen.append(outcomes)

    async def metrics(self, endpoint: Endpoint) -> VllmMetrics:
        """The server's counters now; nothing where it is no vLLM."""
        if not endpoint.metrics.vllm:
            return VllmMetrics()
        try:
            page = await get(self._session, endpoint.url, "/metrics", endpoint.key, _METRICS_TIMEOUT)
        except ProbeFailure:
            return VllmMetrics()  # it was there before: unknown, and the figures of the load stand
        return vllm_metrics.parse(page)

    async def queued(self, endpoint: Endpoint, before: VllmMetrics, answered: int) -> tuple[float, int] | None:
        """Mean time in the server's queue since `before`; waits for the counters to take in what was answered."""
        give_up = self._clock.monotonic() + _SETTLE_S
        while before.queue_count is not None:
            now = await self.metrics(endpoint)
            if now.count_since(before) >= answered or self._clock.monotonic() >= give_up:
                return now.queued_since(before)
            await asyncio.sleep(_LOOK_S)
        return None


def cpu_s() -> float:
    """CPU seconds this process has taken."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
