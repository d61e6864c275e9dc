"""A whole run: find the endpoints, warm up, send the loads of the plan's mode, sum up."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from gpu_tui.bench.client import ProbeFailure, open_session
from gpu_tui.bench.discover import Discovery, Endpoint, Found
from gpu_tui.bench.events import (
    Interference,
    Kind,
    LlmResult,
    Preview,
    SttResult,
    Summary,
    TurnDone,
    Utilization,
    VoiceResult,
    VoiceTurn,
)
from gpu_tui.bench.load import MAX_UNDER_WAY, Outcomes
from gpu_tui.bench.loader import TOGETHER_INDEX, WARMUP_INDEX, Job, Loader
from gpu_tui.bench.notes import busy, generator_of, labelled_simulated, told_after
from gpu_tui.bench.oom import LogWatch
from gpu_tui.bench.plan import MeasurePlan, Mode
from gpu_tui.bench.progress import Emit, Teller, parts_of
from gpu_tui.bench.results import endpoint_shown, figure, llm_result, stt_result, workload_of
from gpu_tui.bench.together import SideBySide, interference, told_of
from gpu_tui.bench.untrusted import shown, shown_url
from gpu_tui.bench.voice import VoiceProbe, turn_done, voice_result
from gpu_tui.bench.whisper_local import LocalWhisper
from gpu_tui.bench.workload import load_clip, load_wav
from gpu_tui.clock import Clock, SystemClock
from gpu_tui.core.timings import SttTimings, TurnTimings
from gpu_tui.errors import UsageError

NOT_ASKED = "unmeasured: not asked for"
BOTH_NEEDED = "unmeasured: both services are needed"
PART_OF_VOICE = "unmeasured: only as a part of the voice turn"


@dataclass(slots=True)
class _Figures:
    """What the loads of a run came to."""

    llm: LlmResult | None = None
    stt: SttResult | None = None
    interference: Interference | None = None
    voice: VoiceResult | None = None
    windows: dict[str, tuple[float, float]] = field(default_factory=dict)


class Runner:
    """One run of a plan.

    Args:
        key: the API key; None without one.
        emit: sees every event but the summary, in order.

    Raises:
        UsageError: the plan names a WAV that is none.
    """

    def __init__(self, plan: MeasurePlan, emit: Emit, *, key: str | None = None, clock: Clock | None = None) -> None:
        self._plan = plan
        self._key = key
        self._clock = clock or SystemClock()
        self._teller = Teller(plan, emit, self._clock)
        self._clip = load_wav(Path(plan.wav)) if plan.wav is not None else load_clip(plan.clip)
        self._reason: dict[str, str] = {}
        self._notes: list[str] = []
        self._figures = _Figures()

    async def run(self) -> Summary:
        """Measure. Cancelling it closes every socket and gives no summary.

        Raises:
            UsageError: the server is answering others, and the plan refuses to disturb it.
        """
        plan = self._plan
        logs = LogWatch(plan.log_paths)
        started_at = datetime.fromtimestamp(self._clock.wall(), UTC).isoformat(timespec="seconds")
        async with open_session(plan.concurrency if plan.rate is None else MAX_UNDER_WAY, self._clock) as session:
            llm, stt = await self._find(session)
            if plan.refuse_traffic and llm and llm.metrics.running:
                raise UsageError(busy(llm), "Wait, or add --despite-traffic to measure beside it.")
            loader = Loader(plan, session, self._clock, self._teller)
            if stt is None or stt.folder is None:
                await self._load(loader, llm, stt)
            else:
                async with LocalWhisper(plan, stt.folder, self._clip, self._clock) as whisper:
                    await self._load(loader, llm, await self._loaded(whisper, loader, stt))
            lasted_s = self._teller.since_s()
        ooms, answered = self._ooms(loader), any(outcomes.answered for outcomes in loader.seen)
        in_logs = logs.ooms()
        if in_logs:
            self._notes.append(f"The services' log tells of CUDA out of memory {in_logs} times during the run.")
        self._notes += told_after(plan, loader, self._figures.llm)
        return Summary(
            started_at=started_at.replace("+00:00", "Z"),
            machine=plan.machine,
            simulated=self._simulated(llm, stt),
            gpu_memory_utilization=self._utilization(llm),
            llm=self._figures.llm,
            stt=self._figures.stt,
            reason=self._reason,
            notes=self._notes,
            # One event may be told twice, in an answer and in the log: the larger count is what is sure.
            oom_events=max(ooms, in_logs) if answered or logs.paths else None,
            generator=generator_of(loader),
            workload=workload_of(plan, self._clip if plan.wants_stt else None),
            arrival_lag_ms=figure(loader.late_s),
            requests_running=llm.metrics.running if llm else None,
            interference=self._figures.interference,
            voice=self._figures.voice,
            began_monotonic_s=self._teller.began,
            lasted_s=round(lasted_s, 3),
        )

    async def preview(self) -> Preview:
        """Find the endpoints and stop there."""
        plan = self._plan
        async with open_session(1, self._clock) as session:
            llm, stt = await self._find(session)
        return Preview(
            simulated=self._simulated(llm, stt),
            llm=endpoint_shown(llm),
            stt=endpoint_shown(stt),
            reason=self._reason,
            notes=self._notes,
            requests=plan.requests,
            concurrency=plan.concurrency,
            warmup=plan.warmups,
            timeout_s=plan.timeout_s,
            prompt_words=plan.prompt_words,
            output_tokens=plan.max_tokens,
            gpu_memory_utilization=self._utilization(llm),
            workload=workload_of(plan, self._clip if plan.wants_stt else None),
            requests_running=llm.metrics.running if llm else None,
        )

    def _simulated(self, *endpoints: Endpoint | None) -> bool:
        return self._plan.simulated or any(map(labelled_simulated, endpoints))

    def _utilization(self, llm: Endpoint | None) -> Utilization:
        said = llm.utilization if llm else None
        plan = self._plan
        actual = said if said is not None else plan.actual_utilization
        return Utilization(actual=actual, planned=plan.planned_utilization)

    async def _find(self, session: aiohttp.ClientSession) -> tuple[Endpoint | None, Endpoint | None]:
        plan = self._plan
        discovery = Discovery(session, plan, self._key)
        self._teller.say("resolve", None, message="Looking for endpoints")
        llm = self._found("llm", await discovery.llm()) if plan.wants_llm else None
        stt = self._found("stt", await discovery.stt()) if plan.wants_stt else None
        for kind, wanted in (("llm", plan.wants_llm), ("stt", plan.wants_stt)):
            if not wanted:
                self._reason[kind] = NOT_ASKED
        if plan.warmups > plan.warmup:
            self._notes.append(f"Warm-ups raised from {plan.warmup} to {plan.warmups}: at least one a connection.")
        if llm and llm.metrics.running:
            self._notes.append(busy(llm))
        return llm, stt

    def _found(self, kind: Kind, found: Found) -> Endpoint | None:
        self._notes += found.notes
        if found.endpoint is None:
            self._reason[kind] = found.reason
            self._teller.drop(parts_of(self._plan))
            self._teller.say("resolve", kind, message=found.reason)
            return None
        model = shown(found.endpoint.model) if found.endpoint.model else "no model named"
        size = f", whisper {found.endpoint.size.name}" if found.endpoint.size else ""
        where = f"{shown_url(found.endpoint.url)} ({model}{size}), from {found.endpoint.origin}"
        self._teller.say("resolve", kind, message=where)
        return found.endpoint

    async def _loaded(self, whisper: LocalWhisper, loader: Loader, stt: Endpoint) -> Endpoint | None:
        """The local model, loaded; None when it cannot be."""
        self._teller.say("resolve", "stt", message=f"Loading {shown(stt.folder or '')}")
        try:
            local = await whisper.load()
        except ProbeFailure as failure:
            if failure.kind == "oom":  # of memory that loading ran out of, too
                outcomes: Outcomes[SttTimings] = Outcomes()
                outcomes.add(failure)
                loader.see(outcomes)
            return self._found("stt", Found(reason=f"unmeasured: {failure}"))
        loader.local = whisper
        return replace(stt, local=local)

    async def _load(self, loader: Loader, llm: Endpoint | None, stt: Endpoint | None) -> None:
        if self._plan.mode is Mode.VOICE:
            await self._voice(loader, llm, stt)
        elif self._plan.mode is Mode.INTERFERENCE:
            await self._interference(loader, llm, stt)
        else:
            self._figures.llm = await self._alone_llm(loader, llm)
            self._figures.stt = await self._alone_stt(loader, stt)

    async def _alone_llm(self, loader: Loader, endpoint: Endpoint | None) -> LlmResult | None:
        if endpoint is None:
            return None
        loaded, why = await loader.alone(loader.llm(endpoint))
        self._note("llm", why, "llm_alone", loaded.window)
        return llm_result(endpoint, loaded.outcomes, loaded.queue)

    async def _alone_stt(self, loader: Loader, endpoint: Endpoint | None) -> SttResult | None:
        if endpoint is None:
            return None
        loaded, why = await loader.alone(loader.stt(endpoint, self._clip))
        self._note("stt", why, "stt_alone", loaded.window)
        return stt_result(endpoint, loaded.outcomes, self._clip)

    def _note(self, kind: Kind, why: str, stage: str, window: tuple[float, float] | None) -> None:
        if why:
            self._reason[kind] = why
        if window is not None:
            self._figures.windows[stage] = window

    async def _interference(self, loader: Loader, llm: Endpoint | None, stt: Endpoint | None) -> None:
        teller, got = self._teller, self._figures
        teller.stage = "stt_alone"
        got.stt = await self._alone_stt(loader, stt)
        teller.stage = "llm_alone"
        got.llm = await self._alone_llm(loader, llm)
        beside: tuple[LlmResult | None, SttResult | None] = (None, None)
        if llm and stt and got.llm and got.stt and got.llm.n and got.stt.n:
            teller.stage = "together"
            side_by_side = SideBySide(self._plan, loader, teller, self._clock)
            one, other = await side_by_side.run(loader.llm(llm, TOGETHER_INDEX), loader.stt(stt, self._clip))
            beside = (llm_result(llm, one.outcomes, one.queue), stt_result(stt, other.outcomes, self._clip))
            got.windows["together"] = one.window or (0.0, 0.0)
            why, notes = told_of(one.outcomes, other.outcomes)
            self._notes += notes
            if why:
                self._reason["together"] = why
        else:
            self._reason["together"] = BOTH_NEEDED
            teller.no_more()
        got.interference = interference((got.llm, beside[0]), (got.stt, beside[1]), got.windows)

    async def _voice(self, loader: Loader, llm: Endpoint | None, stt: Endpoint | None) -> None:
        if llm is None or stt is None:
            self._reason["voice"] = BOTH_NEEDED
            self._teller.no_more()
            return
        turns: list[VoiceTurn] = []
        probe = VoiceProbe(loader.stt_probe(stt, self._clip), loader.llm_probe(llm), loader.prompts)

        def report(index: int, outcome: TurnTimings | ProbeFailure) -> TurnDone:
            turns.append(turn_done(index, outcome, self._teller.began))
            return TurnDone(turn=turns[-1])

        job = Job(
            kind="voice",
            endpoint=llm,
            ask=probe.turn,
            warm=lambda index: probe.turn(WARMUP_INDEX + index),
            report=report,
            ended_at=lambda turn: turn.llm.ended,
        )
        loaded, why = await loader.alone(job)
        self._reason |= {"llm": PART_OF_VOICE, "stt": PART_OF_VOICE} | ({"voice": why} if why else {})
        budget = self._plan.voice_budget_ms
        self._figures.voice = voice_result(stt, llm, self._clip, loaded.outcomes, turns, budget)

    def _ooms(self, loader: Loader) -> int:
        return sum(outcomes.errors["oom"] for outcomes in loader.seen)
