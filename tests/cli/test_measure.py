"""``gpu-tui measure`` as a user and as a parent process meet it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

from gpu_tui.bench.demo import DemoAddresses, DemoServers

COMMAND = (sys.executable, "-m", "gpu_tui", "measure")
FIGURE = {"p50", "p95", "p99", "min", "max", "mean"}


@pytest.fixture(scope="module")
def demo() -> Iterator[DemoAddresses]:
    with DemoServers(ttft_ms=20, itl_ms=2, stt_ms=20) as servers:
        yield servers.start()


def measured(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    command = (*COMMAND, "--requests", "3", *arguments)
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **more)


@contextmanager
def under_load(demo: DemoAddresses) -> Iterator[subprocess.Popen[str]]:
    """A run far longer than a test; it ends with the block at the latest, also when the test fails."""
    command = (*COMMAND, "--llm", demo.llm, "--jsonl", "--requests", "100000", "--concurrency", "4")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        try:
            yield run
        finally:
            run.kill()


def test_json_is_one_object_of_the_shape_promised(demo: DemoAddresses) -> None:
    done = measured("--llm", demo.llm, "--stt", demo.stt, "--json")
    assert done.returncode == 0
    result = json.loads(done.stdout)
    assert set(result) >= {"schema", "started_at", "machine", "gpu_memory_utilization", "llm", "stt", "generator"}
    assert set(result["gpu_memory_utilization"]) == {"actual", "planned"}
    assert set(result["generator"]) == {"cpu_s", "share", "cpu_ms_per_request", "request_share"}
    took_s = sum(result[kind][figure]["mean"] * 3 / 1000 for kind, figure in (("llm", "e2e_ms"), ("stt", "latency_ms")))
    assert result["generator"]["request_share"] == pytest.approx(result["generator"]["cpu_s"] / took_s, rel=0.01)
    llm, stt = result["llm"], result["stt"]
    assert set(llm) >= {"n", "errors", "ttft_ms", "itl_ms", "e2e_ms", "output_tokens_per_s"}
    assert set(stt) >= {"n", "errors", "latency_ms", "rtf"}
    for figure in (llm["ttft_ms"], llm["itl_ms"], llm["e2e_ms"], stt["latency_ms"], stt["rtf"]):
        assert set(figure) == FIGURE | {"n"}
    assert (llm["n"], llm["errors"], stt["n"], stt["errors"]) == (3, {}, 3, {})
    assert result["gpu_memory_utilization"]["actual"] == 0.5
    assert result["simulated"] is True


def test_the_last_line_of_jsonl_is_the_object_of_json(demo: DemoAddresses) -> None:
    done = measured("--llm", demo.llm, "--mode", "llm", "--jsonl")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["type"] for line in lines].count("request") == 3
    assert {line["type"] for line in lines} == {"progress", "request", "summary"}
    summary = lines[-1]
    assert summary.pop("type") == "summary"
    other = json.loads(measured("--llm", demo.llm, "--mode", "llm", "--json").stdout)
    assert set(summary) == set(other)
    assert set(summary["llm"]) == set(other["llm"])
    assert (summary["stt"], summary["reason"]) == (None, {"stt": "unmeasured: not asked for"})


def test_for_people_a_table(demo: DemoAddresses) -> None:
    done = measured("--llm", demo.llm)
    assert done.returncode == 0
    for word in ("SIMULATED", "TTFT", "ITL", "p95", "n=3", "STT  unmeasured: no endpoint", "running 0.5"):
        assert word in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_a_dry_run_names_endpoint_model_and_load(demo: DemoAddresses) -> None:
    done = measured("--llm", demo.llm, "--dry-run")
    assert done.returncode == 0
    for word in (demo.llm, "from --llm", "SIMULATED-Qwen", "3 requests", "Nothing was measured"):
        assert word in done.stdout
    preview = json.loads(measured("--llm", demo.llm, "--dry-run", "--json").stdout)
    assert preview["llm"]["url"] == demo.llm
    assert preview["stt"] is None


def test_when_nothing_could_be_measured_every_failure_is_named() -> None:
    done = measured("--llm", "http://127.0.0.1:1", "--json")
    assert done.returncode == 3
    result = json.loads(done.stdout)
    assert (result["llm"], result["stt"], result["oom_events"]) == (None, None, None)
    assert result["reason"]["llm"].startswith("unmeasured: Nothing listens at http://127.0.0.1:1.")
    assert result["reason"]["stt"] == "unmeasured: no endpoint"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--requests", "0"),
        ("--requests", "x"),
        ("--llm", "ftp://x"),
        ("--mode", "all"),
        ("--json", "--jsonl"),
        ("--duration", "5"),  # beside --requests
        ("--arrivals", "poisson", "--demo"),
        ("--rate", "nan", "--demo"),
        ("--rate", "5", "--concurrency", "2", "--demo"),
        ("--prompts", "/nonexistent", "--demo"),
        ("--wav", "/dev/zero", "--demo"),
        ("--clip", "5s", "--wav", "x.wav"),
        ("--output-tokens", "0", "--demo"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    done = measured(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_a_plan_that_is_none() -> None:
    done = measured("--plan", "-", "--jsonl", input="{}x\n")
    assert (done.returncode, done.stdout) == (2, "")
    assert "plan cannot be read" in done.stderr


def test_the_demo_measures_itself_and_leaves_nothing() -> None:
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    done = measured("--demo", "--mode", "stt", "--json")
    assert done.returncode == 0
    result = json.loads(done.stdout)
    assert (result["simulated"], result["machine"]) == (True, "NVIDIA GeForce RTX 3060")
    assert {process.pid for process in psutil.Process().children(recursive=True)} <= before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(demo: DemoAddresses, number: signal.Signals) -> None:
    with under_load(demo) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        while '"request"' not in run.stdout.readline():
            pass
        run.send_signal(number)
        out, err = run.communicate(timeout=20)
    assert run.returncode == 130
    assert '"summary"' not in out
    assert "Traceback" not in err


def test_when_nobody_reads_the_load_ends(demo: DemoAddresses) -> None:
    command = (*COMMAND, "--llm", demo.llm, "--jsonl", "--requests", "10000")
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.readline()
        run.stdout.close()
        run.wait(timeout=20)
        err = run.stderr.read()
    assert run.returncode == 141
    assert "Traceback" not in err
    assert time.monotonic() - began < 15


def test_the_key_is_never_shown(demo: DemoAddresses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "sesame-sesame")
    monkeypatch.setenv("GPU_TUI_ENDPOINTS_API_KEY_ENV", "SOME_KEY")
    done = measured("--llm", demo.llm, "--jsonl", env=dict(os.environ))
    assert done.returncode == 0
    assert "sesame" not in done.stdout + done.stderr


def test_interference_for_people_and_for_programs(demo: DemoAddresses) -> None:
    both = ("--llm", demo.llm, "--stt", demo.stt, "--mode", "interference")
    shown = measured(*both).stdout
    for word in ("STT alone", "LLM alone", "STT beside the LLM", "LLM beside STT", "together ÷ alone", "× ", "few"):
        assert word in shown
    assert max(map(len, shown.splitlines())) <= 100
    result = json.loads(measured(*both, "--json").stdout)
    found = result["interference"]
    assert set(found) == {"stt_alone", "llm_alone", "together", "slowdown", "windows"}
    assert set(found["slowdown"]["llm_ttft"]) == {"p50", "p95"}
    assert (found["llm_alone"], found["stt_alone"]) == (result["llm"], result["stt"])


def test_a_voice_turn_for_people_and_for_programs(demo: DemoAddresses) -> None:
    both = ("--llm", demo.llm, "--stt", demo.stt, "--mode", "voice", "--output-tokens", "24")
    shown = measured(*both, env={**os.environ, "GPU_TUI_MEASURE_VOICE_BUDGET_MS": "5000"}).stdout
    for word in (
        "Voice turn",
        "transcript",
        "first sentence",
        "whole turn",
        "3 of 3 turns within the budget of 5000 ms",
    ):
        assert word in shown
    lines = [json.loads(line) for line in measured(*both, "--jsonl").stdout.splitlines()]
    turns = [line["turn"] for line in lines if line["type"] == "turn"]
    assert turns == lines[-1]["voice"]["turns"]
    assert len(turns) == 3
    assert (lines[-1]["voice"]["budget_ms"], lines[-1]["voice"]["within_budget"]) == (None, None)
    assert "budget" not in measured(*both).stdout


def test_live_traffic_needs_a_word(demo: DemoAddresses) -> None:
    with under_load(demo) as run:
        assert run.stdout is not None
        while '"request"' not in run.stdout.readline():
            pass
        # Read on, or the load stands still as soon as the pipe is full.
        threading.Thread(target=run.stdout.read, daemon=True).start()
        refused = measured("--llm", demo.llm, "--mode", "llm")
        shown = json.loads(measured("--llm", demo.llm, "--mode", "llm", "--dry-run", "--json").stdout)
        anyway = measured("--llm", demo.llm, "--mode", "llm", "--despite-traffic", "--json")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--despite-traffic" in refused.stderr
    assert 1 <= shown["requests_running"] <= 4
    assert anyway.returncode == 0
    assert 1 <= json.loads(anyway.stdout)["requests_running"] <= 4


def test_prompt_lengths_are_kept_in_the_servers_own_tokens(demo: DemoAddresses) -> None:
    more = ("--prompt-tokens", "300", "--output-tokens", "5", "--rate", "50", "--json")
    llm = json.loads(measured("--llm", demo.llm, "--mode", "llm", *more).stdout)["llm"]
    assert llm["prompt_tokens_mean"] == pytest.approx(300, abs=3)
    assert llm["output_tokens_mean"] == 5
