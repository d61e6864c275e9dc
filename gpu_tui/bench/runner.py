"""A whole run in this process: find the endpoints, warm up, send the load, sum up. LLM, then STT, never together."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

import aiohttp

from gpu_tui.bench.client import ProbeFailure, open_session
from gpu_tui.bench.discover import Discovery, Endpoint, Found
from gpu_tui.bench.events import Event, Generator, Kind, Preview, Progress, Summary, Utilization
from gpu_tui.bench.llm import LlmProbe
from gpu_tui.bench.load import Outcomes, closed_loop
from gpu_tui.bench.oom import LogWatch
from gpu_tui.bench.plan import MeasurePlan
from gpu_tui.bench.results import endpoint_shown, llm_done, llm_result, stt_done, stt_result
from gpu_tui.bench.stt import SttProbe
from gpu_tui.bench.untrusted import shown, shown_url
from gpu_tui.bench.workload import load_clip, prompt
from gpu_tui.clock import Clock, SystemClock
from gpu_tui.core.timings import LlmTimings, SttTimings

T = TypeVar("T")
Emit = Callable[[Event], None]
_STDIN = 0
_WARMUP_INDEX = 1_000_000_000
"""Warm-up prompts are numbered from here, so that no measured one has been seen by the server before."""


class Runner:
    """One run of a plan.

    Args:
        key: the API key; None without one.
        emit: sees every event but the summary, in order.
    """

    def __init__(self, plan: MeasurePlan, emit: Emit, *, key: str | None = None, clock: Clock | None = None) -> None:
        self._plan = plan
        self._emit = emit
        self._key = key
        self._clock = clock or SystemClock()
        self._began = self._clock.monotonic()
        self._total = plan.requests * (plan.wants_llm + plan.wants_stt)
        self._done = self._errors = 0
        self._cpu_s = self._wall_s = 0.0
        self._ooms, self._answered = 0, False
        self._reason: dict[str, str] = {}
        self._notes: list[str] = []

    async def run(self) -> Summary:
        """Measure. Cancelling it closes every socket and gives no summary."""
        plan = self._plan
        logs = LogWatch(plan.log_paths)
        started_at = datetime.fromtimestamp(self._clock.wall(), UTC).isoformat(timespec="seconds")
        async with open_session(plan.concurrency, self._clock) as session:
            llm, stt = await self._find(session)
            llm_outcomes = await self._llm(session, llm) if llm else None
            stt_outcomes = await self._stt(session, stt) if stt else None
        actual = llm.utilization if llm and llm.utilization is not None else plan.actual_utilization
        # One event may be told twice, in an answer and in the log: the larger count is what is sure.
        in_logs = logs.ooms()
        if in_logs:
            self._notes.append(f"The services' log tells of CUDA out of memory {in_logs} times during the run.")
        return Summary(
            started_at=started_at.replace("+00:00", "Z"),
            machine=plan.machine,
            simulated=plan.simulated or any(map(_labelled, (llm, stt))),
            gpu_memory_utilization=Utilization(actual=actual, planned=plan.planned_utilization),
            llm=llm_result(llm, llm_outcomes) if llm and llm_outcomes else None,
            stt=stt_result(stt, stt_outcomes, load_clip().audio_s) if stt and stt_outcomes else None,
            reason=self._reason,
            notes=self._notes,
            oom_events=max(self._ooms, in_logs) if self._answered or logs.paths else None,
            generator=self._generator(),
        )

    async def preview(self) -> Preview:
        """Find the endpoints and stop there."""
        plan = self._plan
        async with open_session(1, self._clock) as session:
            llm, stt = await self._find(session)
        actual = llm.utilization if llm and llm.utilization is not None else plan.actual_utilization
        return Preview(
            simulated=plan.simulated or any(map(_labelled, (llm, stt))),
            llm=endpoint_shown(llm),
            stt=endpoint_shown(stt),
            reason=self._reason,
            notes=self._notes,
            requests=plan.requests,
            concurrency=plan.concurrency,
            warmup=plan.warmup,
            timeout_s=plan.timeout_s,
            prompt_words=plan.prompt_words,
            output_tokens=plan.output_tokens,
            gpu_memory_utilization=Utilization(actual=actual, planned=plan.planned_utilization),
        )

    async def _find(self, session: aiohttp.ClientSession) -> tuple[Endpoint | None, Endpoint | None]:
        discovery = Discovery(session, self._plan, self._key)
        self._progress("resolve", None, message="Looking for endpoints")
        llm = self._found("llm", await discovery.llm()) if self._plan.wants_llm else None
        stt = self._found("stt", await discovery.stt()) if self._plan.wants_stt else None
        for kind, wanted in (("llm", self._plan.wants_llm), ("stt", self._plan.wants_stt)):
            if not wanted:
                self._reason[kind] = "unmeasured: not asked for"
        return llm, stt

    def _found(self, kind: Kind, found: Found) -> Endpoint | None:
        self._notes += found.notes
        if found.endpoint is None:
            self._reason[kind] = found.reason
            self._total -= self._plan.requests
            self._progress("resolve", kind, message=found.reason)
            return None
        model = shown(found.endpoint.model) if found.endpoint.model else "no model named"
        where = f"{shown_url(found.endpoint.url)} ({model}), from {found.endpoint.origin}"
        self._progress("resolve", kind, message=where)
        return found.endpoint

    async def _llm(self, session: aiohttp.ClientSession, endpoint: Endpoint) -> Outcomes[LlmTimings]:
        plan = self._plan
        probe = LlmProbe(
            session,
            self._clock,
            url=endpoint.url,
            model=endpoint.model,
            output_tokens=plan.output_tokens,
            timeout_s=plan.timeout_s,
            key=endpoint.key,
        )
        return await self._kind(
            "llm",
            lambda index: probe.ask(prompt(plan.seed, index, plan.prompt_words)),
            lambda index, outcome: self._emit(llm_done(index, outcome, self._began)),
        )

    async def _stt(self, session: aiohttp.ClientSession, endpoint: Endpoint) -> Outcomes[SttTimings]:
        probe = SttProbe(
            session,
            self._clock,
            url=endpoint.url,
            model=endpoint.model,
            clip=load_clip(),
            timeout_s=self._plan.timeout_s,
            key=endpoint.key,
        )
        return await self._kind(
            "stt",
            lambda _index: probe.transcribe(),
            lambda index, outcome: self._emit(stt_done(index, outcome, self._began)),
        )

    async def _kind(
        self,
        kind: Kind,
        ask: Callable[[int], Awaitable[T]],
        report: Callable[[int, T | ProbeFailure], None],
    ) -> Outcomes[T]:
        """Warm up, then load; when no warm-up goes well there is no load, and its failures are the result."""
        plan = self._plan
        if plan.warmup:
            self._progress("warmup", kind)
            warm = await closed_loop(
                plan.warmup, plan.concurrency, lambda index: ask(_WARMUP_INDEX + index), lambda _i, _o: None
            )
            self._count(warm)
            if not warm.good:
                self._total -= plan.requests
                self._reason[kind] = f"unmeasured: every warm-up failed: {warm.told()}"
                return warm
        began, before = self._clock.monotonic(), self._done

        def ended(index: int, outcome: T | ProbeFailure) -> None:
            self._done += 1
            self._errors += isinstance(outcome, ProbeFailure)
            report(index, outcome)
            pace = (self._clock.monotonic() - began) / (self._done - before)
            self._progress("load", kind, left_s=pace * (plan.requests - (self._done - before)))

        self._progress("load", kind)
        cpu = _cpu_s()
        outcomes = await closed_loop(plan.requests, plan.concurrency, ask, ended)
        self._cpu_s += _cpu_s() - cpu
        self._wall_s += self._clock.monotonic() - began
        self._count(outcomes)
        if not outcomes.good:
            self._reason[kind] = f"unmeasured: every request failed: {outcomes.told()}"
        return outcomes

    def _count(self, outcomes: Outcomes[T]) -> None:
        self._ooms += outcomes.errors["oom"]
        self._answered = self._answered or outcomes.answered

    def _generator(self) -> Generator:
        if self._wall_s <= 0:
            return Generator()
        return Generator(cpu_s=round(self._cpu_s, 4), share=round(self._cpu_s / self._wall_s, 4))

    def _progress(self, phase: str, kind: Kind | None, *, left_s: float | None = None, message: str = "") -> None:
        event = Progress(
            phase=phase,  # type: ignore[arg-type]
            kind=kind,
            done=self._done,
            total=self._total,
            errors=self._errors,
            elapsed_s=round(self._clock.monotonic() - self._began, 3),
            left_s=None if left_s is None else round(left_s, 3),
            message=message,
        )
        self._emit(event)


def _labelled(endpoint: Endpoint | None) -> bool:
    """A demo server says so in its model's name: its figures are invented, however its address was come by."""
    return endpoint is not None and endpoint.model is not None and endpoint.model.startswith("SIMULATED")


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def run_blocking(plan: MeasurePlan, emit: Emit) -> Summary:
    """Run the plan; see `gpu_tui.bench.plan.run_plan`."""

    async def measure(runner: Runner) -> Summary:
        return await runner.run()

    summary = _blocking(plan, emit, measure)
    emit(summary)
    return summary


def preview_blocking(plan: MeasurePlan, emit: Emit) -> Preview:
    """Find what the plan would measure; see `gpu_tui.bench.plan.preview_plan`."""

    async def look(runner: Runner) -> Preview:
        return await runner.preview()

    preview = _blocking(plan, emit, look)
    emit(preview)
    return preview


def _blocking(plan: MeasurePlan, emit: Emit, work: Callable[[Runner], Awaitable[T]]) -> T:
    key = os.environ.get(plan.api_key_env) if plan.api_key_env else None

    async def interruptible() -> T:
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        assert task is not None  # noqa: S101 - a coroutine run by asyncio.run is a task
        if threading.current_thread() is threading.main_thread():
            loop.add_signal_handler(signal.SIGTERM, task.cancel)
        if plan.tethered:
            loop.add_reader(_STDIN, _watch_tether, loop, task)
        return await work(Runner(plan, emit, key=key))

    try:
        return asyncio.run(interruptible())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def _watch_tether(loop: asyncio.AbstractEventLoop, task: asyncio.Task[T]) -> None:
    if not os.read(_STDIN, 4096):
        loop.remove_reader(_STDIN)
        task.cancel()
