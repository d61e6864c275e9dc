"""The explorer under a driven clock: what tests, snapshots and screenshots all start from."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import msgspec

from gpu_tui import wiring
from gpu_tui.bench.events import Figure, Generator, LlmResult, RequestDone, SttResult, Summary, Utilization
from gpu_tui.bench.machine_series import MachineSeries, machine_series
from gpu_tui.bench.shapes import Interference, Ratio, Together, VoiceResult, VoiceTurn
from gpu_tui.clock import ManualClock
from gpu_tui.core.machine_series import MachineSample
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.core.summary import summarize
from gpu_tui.errors import SourceUnavailable
from gpu_tui.telemetry.poller import Reading
from gpu_tui.telemetry.recording.header import Header
from gpu_tui.telemetry.recording.writer import RecordingWriter
from gpu_tui.telemetry.scenario import load_scenario, snapshot_at
from gpu_tui.tui.app import GpuTuiApp
from gpu_tui.tui.planner import Models
from gpu_tui.tui.widgets.latency import RunView
from gpu_tui.wiring.replaying import open_replay

NO_DRIVER = SourceUnavailable(
    "No NVIDIA driver was found (NVML said: NVML Shared Library Not Found).",
    "Install the NVIDIA driver, or pass the GPU into this container, or look around with: gpu-tui --demo",
    kind="driver_missing",
)


class Told:
    """A source that says what it is told to."""

    def __init__(self, answer: Callable[[], Snapshot]) -> None:
        self.answer = answer
        self.reads = 0
        self.closed = False

    def read(self) -> Snapshot:
        self.reads += 1
        return self.answer()

    def close(self) -> None:
        self.closed = True


_loaded = cache(load_scenario)


def scenario_at(name: str, clock: ManualClock, t_s: float = 0.0) -> Snapshot:
    """A shipped machine at a second of its story, stamped by the clock."""
    seen = snapshot_at(_loaded(name), t_s, 0)
    source = "demo" if name == "kloros" else "scenario"
    return replace(seen, taken_at=clock.wall(), taken_monotonic=clock.monotonic(), source=source)


def make_app(
    answer: Callable[[], Snapshot] | None = None,
    *,
    scenario: str = "kloros",
    clock: ManualClock | None = None,
    options: wiring.Options | None = None,
    no_color: bool = False,
    models: Models | None = None,
) -> GpuTuiApp:
    """The app on a driven clock: one reading, then nothing moves until the clock does."""
    clock = clock or ManualClock()
    options = options or wiring.Options(scenario=scenario)
    told = Told(answer or (lambda: scenario_at(scenario, clock)))
    return GpuTuiApp(options, wiring.load_settings(options), source=told, models=models, clock=clock, no_color=no_color)


REPLAYED_FROM = 1_767_275_700.0
"""2026-01-01T13:55:00Z."""


def make_replay(folder: Path, when: str, *, minutes: int = 20) -> GpuTuiApp:
    """The app on a recording of the known machine, simulated as that is, which stands at a time; UTC must be local."""
    path = folder / "today.rec"
    writer = RecordingWriter(path, Header(version="test", interval_s=1.0, started_at=REPLAYED_FROM, host=None))
    known = load_scenario("kloros")
    for second in range(60 * minutes + 1):
        at, t_s = REPLAYED_FROM + second, float(second)
        writer.snapshot(replace(snapshot_at(known, t_s), taken_at=at, taken_monotonic=t_s, source="demo"))
    writer.close()
    clock = ManualClock(wall=REPLAYED_FROM + 86400)
    options = wiring.Options(replay=f"{path}@{when}")
    source = open_replay(f"{path}@{when}", clock)
    return GpuTuiApp(options, wiring.load_settings(options), source=source, clock=clock)


def no_driver() -> Snapshot:
    """A machine without a driver."""
    raise NO_DRIVER


def fill_history(app: GpuTuiApp, scenario: str, seconds: int, step: float = 2.0) -> None:
    """Let the app see the last while of a story, second by second, as if it had been open."""
    clock = app.clock
    assert isinstance(clock, ManualClock)
    at = 0.0
    while at <= seconds:
        app.see(scenario_at(scenario, clock, at))
        clock.advance(step)
        at += step
    app.telemetry.last_seen = clock.monotonic()
    app.see(scenario_at(scenario, clock, 0.0))
    app.show_machine()


def follow_story(app: GpuTuiApp, scenario: str, until_s: float, from_s: float = 0.0, step: float = 1.0) -> None:
    """Deliver a story from one second to another, as the telemetry thread does, which must have ended before."""
    clock = app.clock
    assert isinstance(clock, ManualClock)
    at = from_s
    while at <= until_s:
        snapshot = scenario_at(scenario, clock, at)
        now = clock.monotonic()
        app._deliver(Reading(seq=1, snapshot=snapshot, error=None, started=now, finished=now), app.telemetry.generation)
        clock.advance(step)
        at += step


def figure(samples: list[float]) -> Figure:
    """A summary's shape from samples."""
    made = summarize(samples)
    assert made is not None
    return Figure(p50=made.p50, p95=made.p95, p99=made.p99, min=made.min, max=made.max, mean=made.mean)


def finished_run(requests: int = 20, seed: int = 7) -> RunView:
    """A run as the demo's endpoints would end it; seeded, so that pictures of it do not change."""
    dice = random.Random(seed)
    llm = [
        RequestDone(
            kind="llm",
            index=i,
            started_s=0.6 * i,
            ttft_ms=round(dice.gauss(180, 22), 1),
            itl_ms=round(dice.gauss(14, 1.5), 1),
            e2e_ms=round(dice.gauss(620, 30), 1),
            output_tokens=32,
        )
        for i in range(requests)
    ]
    stt = [
        RequestDone(kind="stt", index=i, started_s=12 + 0.3 * i, latency_ms=round(dice.gauss(262, 25), 1), rtf=0.07)
        for i in range(requests)
    ]
    summary = Summary(
        started_at="2026-01-01T00:00:00Z",
        machine="kloros",
        simulated=True,
        gpu_memory_utilization=Utilization(actual=0.5, planned=0.5),
        llm=LlmResult(
            n=requests,
            errors={},
            ttft_ms=figure([r.ttft_ms or 0 for r in llm]),
            itl_ms=figure([r.itl_ms or 0 for r in llm]),
            e2e_ms=figure([r.e2e_ms or 0 for r in llm]),
            output_tokens_per_s=51.6,
            url="http://127.0.0.1:40001",
            model="SIMULATED",
        ),
        stt=SttResult(
            n=requests,
            errors={},
            latency_ms=figure([r.latency_ms or 0 for r in stt]),
            rtf=figure([r.rtf or 0 for r in stt]),
            url="http://127.0.0.1:40002",
            model="SIMULATED",
            audio_s=4.0,
        ),
        oom_events=0,
        generator=Generator(cpu_s=0.3, share=0.02, cpu_ms_per_request=7.5, request_share=0.017),
    )
    return RunView(state="done", requests=(*llm, *stt), summary=summary, planned=0.5, simulated=True, runs=(summary,))


def scaled(made: Figure | None, by: float) -> Figure | None:
    """The same figure of services that are slower by a factor."""
    if made is None:
        return None
    fields = {name: round(getattr(made, name) * by, 1) for name in ("p50", "p95", "p99", "min", "max", "mean")}
    return Figure(**fields, n=made.n)


def watched(windows: dict[str, tuple[float, float]], seed: int = 7) -> MachineSeries | None:
    """What the known machine might do meanwhile: busier under the LLM, busiest under both."""
    dice = random.Random(seed)
    busy = {"stt_alone": 28, "llm_alone": 62, "together": 88}
    samples = []
    for second in range(46):
        phase = next((name for name, (begin, end) in windows.items() if begin <= second <= end), None)
        kloros = 952 + (148 if phase in ("stt_alone", "together") else 0)
        held = {"kloros": kloros, "judge": 6134, "ollama": 1068, "other": 242}
        samples.append(
            MachineSample(
                at_s=float(second),
                used_bytes=sum(held.values()) << 20,
                utilization_pct=round(dice.gauss(busy.get(phase or "", 4), 3)),
                services={name: mib << 20 for name, mib in held.items()},
            )
        )
    return machine_series(
        samples,
        began=0.0,
        lasted_s=45.5,
        phases=windows,
        gpu="GPU-0",
        source="demo",
        simulated=True,
        interval_s=1.0,
        total_bytes=12288 << 20,
    )


def interference_run(seed: int = 7) -> RunView:
    """An interference run as the demo might end it, with services that slow each other down."""
    alone = finished_run(seed=seed)
    assert alone.summary is not None
    llm, stt = alone.summary.llm, alone.summary.stt
    assert llm is not None
    assert stt is not None

    beside = msgspec.structs.replace(
        llm, ttft_ms=scaled(llm.ttft_ms, 1.42), itl_ms=scaled(llm.itl_ms, 1.18), e2e_ms=scaled(llm.e2e_ms, 1.21)
    )
    together = Together(llm=beside, stt=msgspec.structs.replace(stt, latency_ms=scaled(stt.latency_ms, 1.63)))
    ratios = {"llm_ttft": 1.42, "llm_itl": 1.18, "llm_e2e": 1.21, "stt_latency": 1.63}
    slowdown: dict[str, Ratio | None] = {name: Ratio(p50=by, p95=by) for name, by in ratios.items()}
    windows = {"stt_alone": (1.0, 9.0), "llm_alone": (10.0, 23.0), "together": (24.0, 45.0)}
    found = Interference(stt_alone=stt, llm_alone=llm, together=together, slowdown=slowdown, windows=windows)
    summary = msgspec.structs.replace(alone.summary, interference=found, machine_series=watched(windows, seed))
    return replace(alone, summary=summary, mode="interference")


def voice_run(count: int = 10, seed: int = 7, budget_ms: float = 620.0) -> RunView:
    """Voice turns as the demo might end them, against a budget."""
    dice = random.Random(seed)
    turns = []
    for i in range(count):
        parts = [round(dice.gauss(middle, spread), 1) for middle, spread in ((255, 25), (180, 22), (140, 20))]
        turns.append(
            VoiceTurn(
                index=i,
                stt_ms=parts[0],
                first_token_ms=parts[1],
                first_sentence_ms=parts[2],
                total_ms=round(sum(parts), 1),
            )
        )

    def over(field: str) -> Figure:
        return figure([getattr(turn, field) for turn in turns])

    voice = VoiceResult(
        n=count,
        errors={},
        stt_ms=over("stt_ms"),
        first_token_ms=over("first_token_ms"),
        first_sentence_ms=over("first_sentence_ms"),
        total_ms=over("total_ms"),
        no_sentence=0,
        budget_ms=budget_ms,
        within_budget=sum((turn.total_ms or 0) <= budget_ms for turn in turns),
        turns=turns,
        llm_url="http://127.0.0.1:40001",
        llm_model="SIMULATED",
        stt_url="http://127.0.0.1:40002",
        stt_model="SIMULATED",
        clip="5s.wav",
        audio_s=5.0,
    )
    done = finished_run(seed=seed)
    assert done.summary is not None
    summary = msgspec.structs.replace(done.summary, llm=None, stt=None, voice=voice)
    return replace(done, requests=(), turns=tuple(turns), summary=summary, mode="voice")
