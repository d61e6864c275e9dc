"""A finished run's page: machine, services, verdict, figures, samples; and who writes one."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gpu_tui import wiring
from gpu_tui.bench.events import Figure, Generator, LlmResult, RequestDone, Summary, Utilization
from gpu_tui.config import Settings
from gpu_tui.core.snapshot import MigInstance
from gpu_tui.errors import UsageError
from gpu_tui.journal import JournalError, JournalRefused, StoredRun
from gpu_tui.wiring import Options
from tests.factories import KLOROS, books_of, gpu, info, judged, snapshot

LIVE = replace(KLOROS, simulated=False, source="nvml", source_detail="NVML 13")
FIGURE = Figure(p50=40, p95=50, p99=60, min=30, max=70, mean=41)
REQUESTS = [
    RequestDone(kind="llm", index=1, error="timeout"),
    RequestDone(kind="stt", index=0, started_s=1.0, latency_ms=200, rtf=0.1),
    RequestDone(kind="llm", index=0, started_s=0.0, ttft_ms=40, itl_ms=4, e2e_ms=200, output_tokens=32),
    RequestDone(kind="llm", index=2, started_s=0.5, ttft_ms=4, counts=False),  # in no figure, so in no comparison
]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(journal=str(tmp_path / "j.db"))


def finished(**fields: Any) -> Summary:
    llm = LlmResult(
        n=1,
        errors={"timeout": 1},
        ttft_ms=FIGURE,
        itl_ms=None,
        e2e_ms=FIGURE,
        output_tokens_per_s=80,
        url="u",
        model="m",
    )
    told: dict[str, Any] = {
        "started_at": "2026-11-23T10:00:00Z",
        "machine": "NVIDIA GeForce RTX 3060",
        "gpu_memory_utilization": Utilization(actual=0.5, planned=0.4),
        "llm": llm,
        "stt": None,
        "generator": Generator(),
    }
    return Summary(**(told | fields))


def only(settings: Settings) -> StoredRun:
    with wiring.open_journal(settings) as journal:
        (entry,) = journal.entries()
        return journal.get(entry.id)


def test_a_page_tells_the_machine_the_services_the_verdict_and_the_figures(settings: Settings) -> None:
    number = wiring.record_run(
        settings, Options(), LIVE, books_of(LIVE), judged(0.4, LIVE), finished(), requests=REQUESTS
    )
    stored = only(settings)
    run = stored.run
    assert (stored.id, run.kind, run.simulated) == (number, "tui", False)
    assert run.gpus == [
        {
            "index": 0,
            "uuid": "GPU-0",
            "name": "NVIDIA GeForce RTX 3060",
            "total_mib": 12288.0,
            "used_mib": 8396.0,
            "free_mib": 3892.0,
            "reserved_mib": 0.0,
            "judged": True,
        }
    ]
    assert run.services["judge"] == {
        "running": True,
        "memory_mib": 6134.0,
        "pids": [2839331],
        "persistent": False,
        "role": "restarts",
    }
    assert (run.server["port"], run.server["cmdline"][:3]) == (
        8001,
        ["/opt/vllm/bin/python", "/opt/vllm/bin/vllm", "serve"],
    )
    assert (run.status, run.verdict["deficit_mib"]) == ("invalid_production", 1154.8)
    assert run.reason is not None
    assert run.reason.startswith("VLLM allocation (4915MB) too small")
    assert (run.utilization_actual, run.utilization_planned) == (0.5, 0.4)
    assert (stored.figures["llm_ttft_p50_ms"], stored.figures["errors"], stored.figures["stt_p50_ms"]) == (40, 1, None)
    assert run.summary["llm"]["ttft_ms"]["p95"] == 50
    assert [(s.kind, s.number, s.ttft_ms, s.latency_ms, s.error) for s in run.samples] == [
        ("llm", 0, 40, None, None),
        ("llm", 1, None, None, "timeout"),
        ("stt", 0, None, 200, None),
    ]


def test_without_a_verdict_it_is_made_at_the_planned_else_the_running_utilization(settings: Settings) -> None:
    wiring.record_run(settings, Options(), LIVE, books_of(LIVE), None, finished())
    assert only(settings).run.status == "invalid_production"
    running = finished(gpu_memory_utilization=Utilization(actual=0.5))
    other = replace(settings, journal=f"{settings.journal}2")
    wiring.record_run(other, Options(), LIVE, books_of(LIVE), None, running)
    assert only(other).run.status == "valid"


def test_a_machine_that_could_not_be_read_is_unknown(settings: Settings) -> None:
    wiring.record_run(settings, Options(), None, None, None, finished(gpu_memory_utilization=Utilization()))
    run = only(settings).run
    assert (run.status, run.reason, run.gpus, run.services, run.verdict) == (None, None, [], {}, {})


@pytest.mark.parametrize(
    ("options", "seen", "summary"),
    [
        (Options(demo=True), None, finished()),
        (Options(), KLOROS, finished()),
        (Options(), None, finished(simulated=True)),
    ],
)
def test_whatever_is_simulated_says_so(settings: Settings, options: Options, seen: Any, summary: Summary) -> None:
    wiring.record_run(settings, options, seen, None, None, summary)
    assert only(settings).run.simulated


def test_a_key_on_the_server_s_command_line_is_not_kept(settings: Settings) -> None:
    serve = "vllm serve m --port 8001 --api-key sesame-sesame"
    seen = snapshot(gpu({7: 100}), [info(7, "vllm", serve)], simulated=False)
    wiring.record_run(settings, Options(), seen, books_of(seen), None, finished())
    assert only(settings).run.server["cmdline"] == ["vllm", "serve", "m", "--port", "8001", "--api-key", "***"]
    assert b"sesame" not in Path(settings.journal or "").read_bytes()


def test_which_of_several_gpus_it_is_about(settings: Settings) -> None:
    two = snapshot(
        [gpu({}, uuid="GPU-a"), gpu({}, index=1, uuid="GPU-b"), gpu({}, index=2, total=8000)], simulated=False
    )

    def judged_ones(number: int, **fields: Any) -> list[bool]:
        own = replace(settings, journal=f"{settings.journal}{number}", gpu=fields.pop("chosen", None))
        wiring.record_run(own, Options(), two, books_of(two, index=fields.pop("index")), None, finished(), **fields)
        return [one["judged"] for one in only(own).run.gpus]

    assert judged_ones(1, index=2) == [False, False, True]
    assert judged_ones(2, index=1) == [False, False, False]
    assert judged_ones(3, index=1, chosen="1") == [False, True, False]
    assert judged_ones(4, index=1, gpu=two.gpus[0]) == [True, False, False]


def test_instances_of_mig_share_an_index_and_are_told_apart(settings: Settings) -> None:
    parts = [
        replace(gpu({}, uuid=f"MIG-{each}"), mig=MigInstance(number=each, parent_uuid="GPU-a")) for each in range(2)
    ]
    seen = snapshot(parts, simulated=False)
    wiring.record_run(settings, Options(), seen, books_of(seen), None, finished(), gpu=parts[1])
    assert [(one["index"], one["judged"]) for one in only(settings).run.gpus] == [(0, False), (0, True)]


def test_the_turns_of_a_voice_run_become_samples(settings: Settings) -> None:
    from gpu_tui.wiring.recording import _turns

    turn = {"index": 0, "started_s": 1.0, "stt_ms": 200.0, "first_token_ms": 40.0, "first_sentence_ms": 90.0}
    (sample,) = _turns({"voice": {"turns": [turn | {"total_ms": 330.0}]}})
    assert (sample.kind, sample.latency_ms, sample.ttft_ms, sample.sentence_ms, sample.e2e_ms) == (
        "voice",
        200.0,
        40.0,
        90.0,
        330.0,
    )
    assert list(_turns({"voice": None})) == []


def test_switched_off_nothing_is_written_or_read(tmp_path: Path) -> None:
    off = Settings(journal="off")
    assert wiring.record_run(off, Options(), None, None, None, finished()) is None
    with pytest.raises(UsageError, match="switched off"):
        wiring.open_journal(off)
    assert list(tmp_path.iterdir()) == []


def test_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/x")
    assert wiring.journal_path(Settings(journal="~/j.db")) == Path("/home/x/j.db")
    assert wiring.journal_path(Settings()) == Path(os.environ["XDG_DATA_HOME"]) / "gpu-tui" / "journal.db"
    monkeypatch.setenv("GPU_TUI_JOURNAL", "off")
    assert wiring.journal_path(wiring.load_settings(Options())) is None
    with wiring.open_journal(Settings()) as journal:
        assert journal.entries() == []
    with pytest.raises(JournalError, match="There is no journal"):
        wiring.open_journal(Settings(journal=str(tmp_path / "nope.db")))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPU_TUI_MEASURE_REQUESTS", "2")
    monkeypatch.setenv("GPU_TUI_MEASURE_WARMUP", "0")


def test_what_the_evaluator_measures_is_kept_with_its_result(quick: None) -> None:
    evaluator = wiring.Evaluator(Options(demo=True))
    evaluator.evaluate({"vllm_memory_util": 0.40})
    evaluator.evaluate({"vllm_memory_util": 0.90})
    with wiring.open_journal(Settings()) as journal:
        assert journal.entries() == []
    result = evaluator.run_test({"vllm_memory_util": 0.50})
    assert result.status == "pass"
    run = only(Settings()).run
    assert (run.kind, run.simulated, run.status, run.utilization_planned) == ("evaluate", True, "valid", 0.5)
    assert run.evaluation is not None
    assert (run.evaluation["status"], run.evaluation["fitness"]) == ("pass", result.fitness)
    assert {(s.kind, s.number) for s in run.samples} == {(k, n) for k in ("llm", "stt") for n in (0, 1)}


def test_a_journal_that_fails_costs_the_evaluator_nothing(
    quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "j.db").write_text("not a database at all")
    monkeypatch.setenv("GPU_TUI_JOURNAL", str(tmp_path / "j.db"))
    with pytest.warns(RuntimeWarning, match="is no journal"):
        assert wiring.Evaluator(Options(demo=True)).evaluate({"vllm_memory_util": 0.50}).status == "pass"
    told: list[Exception] = []
    evaluator = wiring.Evaluator(Options(demo=True), on_journal_error=told.append)
    assert evaluator.evaluate({"vllm_memory_util": 0.50}).status == "pass"
    assert [type(error) for error in told] == [JournalRefused]
