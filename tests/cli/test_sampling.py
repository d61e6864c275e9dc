"""The sampler beside a headless run: what it tells, and that it never outlives the run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from gpu_tui.bench.demo import DemoAddresses, DemoServers
from gpu_tui.cli.sampler import Sampling, options_line, options_of_line
from gpu_tui.cli.sampling import Sampler
from gpu_tui.config import Settings
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.errors import SourceUnavailable
from gpu_tui.journal import Journal
from gpu_tui.telemetry.poller import Reading
from gpu_tui.wiring import Options
from tests.factories import KLOROS, gpu, snapshot
from tests.tui.harness import finished_run


@pytest.fixture(scope="module")
def demo() -> Iterator[DemoAddresses]:
    with DemoServers(ttft_ms=30, itl_ms=3, stt_ms=30) as servers:
        yield servers.start()


def reading(seen: Snapshot | None) -> Reading:
    error = None if seen is not None else SourceUnavailable("gone")
    return Reading(seq=1, snapshot=seen, error=error, started=4.0, finished=5.0)


def test_options_survive_the_way() -> None:
    options = Options(gpu="1", config=Path("/a b.toml"), restarts=8000, demo=True, overrides={"journal": ("--j", "x")})
    assert options_of_line(options_line(options)) == options
    assert options_of_line(options_line(Options())) == Options()


def test_a_reading_becomes_a_line_and_a_failed_one_an_instant() -> None:
    sampling = Sampling(Settings())
    assert json.loads(sampling.line(reading(None))) == {
        "at_s": 5.0,
        "used_bytes": None,
        "utilization_pct": None,
        "services": {},
    }
    told = json.loads(sampling.line(reading(KLOROS)))
    assert (told["gpu"], told["used_bytes"], told["simulated"]) == (KLOROS.gpus[0].key, KLOROS.gpus[0].used_bytes, True)
    assert told["services"]["judge"] == 6134 << 20
    two = snapshot([gpu({}, uuid="GPU-a"), gpu({}, index=1, uuid="GPU-b")])
    assert "gpu" not in json.loads(Sampling(Settings()).line(reading(two))), "which one is not known"
    assert json.loads(sampling.line(reading(two)))["used_bytes"] is None, "the one that was watched is gone"


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def test_it_ends_with_the_block_and_tells_nothing_of_another_time() -> None:
    before = children()
    with Sampler(Options(demo=True), 1.0) as sampler:
        assert children() - before
    assert children() == before
    summary = finished_run().summary
    assert summary is not None
    assert sampler.told(summary) is summary, "a summary that does not say when it was"


def measure(*words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "gpu_tui", "measure", "--demo", "--requests", "4", *words)


def test_a_headless_run_has_its_machine_in_summary_text_and_journal(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text("interval_s = 0.2\n[measure]\nwarmup = 0\n")
    words = ("--mode", "interference", "--config", str(config), "--journal", str(tmp_path / "j.db"))
    done = subprocess.run(measure("--jsonl", *words), capture_output=True, text=True, timeout=60, check=True)
    last = json.loads(done.stdout.splitlines()[-1])
    series: dict[str, Any] = last["machine_series"]
    assert (series["source"], series["simulated"], series["interval_s"]) == ("demo", True, 0.2)
    assert len(series["at_s"]) == len(series["used_mib"]) == len(series["services_mib"]["judge"]) >= 10
    assert 0 <= series["at_s"][0] <= series["at_s"][-1] <= last["lasted_s"]
    assert {p["name"]: [p["begin_s"], p["end_s"]] for p in series["phases"]} == last["interference"]["windows"]
    assert all(p["n"] >= 1 and p["used_mib_min"] > 8000 for p in series["phases"] if p["end_s"] - p["begin_s"] > 0.5)
    with Journal(tmp_path / "j.db") as journal:
        assert journal.get(1).run.summary["machine_series"] == series
    shown = (sys.executable, "-m", "gpu_tui", "history", "show", "1", "--journal", str(tmp_path / "j.db"))
    text = subprocess.run(shown, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "GPU memory and utilization over the run, every 0.2 s" in text


def test_without_a_machine_there_is_no_series_and_no_sampler(demo: DemoAddresses) -> None:
    words = (sys.executable, "-m", "gpu_tui", "measure", "--llm", demo.llm, "--requests", "2", "--json", "--no-journal")
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    if "driver" in done.stderr:  # a machine with one has a series
        assert json.loads(done.stdout)["machine_series"] is None


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_whatever_ends_the_run_ends_the_sampler(ending: signal.Signals) -> None:
    words = (sys.executable, "-m", "gpu_tui", "measure", "--demo", "--duration", "60", "--no-journal")
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    try:
        sampler = until(lambda: sampler_of(process.pid))
        assert sampler is not None
        time.sleep(0.5)
        os.kill(process.pid, ending)
        process.wait(10)
        assert until(lambda: not sampler.is_running() or sampler.status() == psutil.STATUS_ZOMBIE)
    finally:
        process.kill()
        process.wait()


def sampler_of(pid: int) -> psutil.Process | None:
    found = [one for one in psutil.Process(pid).children() if "gpu_tui.cli.sampler" in one.cmdline()]
    return found[0] if found else None


def until(answer: Any, timeout_s: float = 20.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := answer():
            return found
        time.sleep(0.05)
    return None
