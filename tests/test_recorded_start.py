"""What the running vLLM tells of its start goes into a recording, and a replay judges by it alone."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from gpu_tui.cli.main import main
from gpu_tui.clock import ManualClock, SystemClock
from gpu_tui.config import Settings
from gpu_tui.core.books import Books
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.core.start_inputs import StartInputs
from gpu_tui.telemetry.scenario import load_scenario, snapshot_at
from gpu_tui.wiring.evidence import Evidence, Seeker
from gpu_tui.wiring.prober import Prober
from gpu_tui.wiring.recorded_start import Observed
from gpu_tui.wiring.replaying import open_replay
from tests.factories import books_of, info, kloros, kloros_infos, snapshot, table
from tests.telemetry.recordings import BEGUN, record

PREDICT = snapshot_at(load_scenario("predict"), 0)


class Machine:
    """A live machine that stands still."""

    def __init__(self, seen: Snapshot) -> None:
        self.seen = replace(seen, source="nvml", simulated=False, start=None)
        self.closed = False

    def read(self) -> Snapshot:
        return self.seen

    def close(self) -> None:
        self.closed = True


def observed(seen: Snapshot, settings: Settings | None = None) -> tuple[Observed, list[Books]]:
    asked: list[Books] = []

    def seek(_: Snapshot, books: Books) -> Evidence:
        asked.append(books)
        return Evidence(inputs=PREDICT.start)

    clock = SystemClock()
    return Observed(Machine(seen), settings or Settings(), clock, prober=Prober(clock, seek=seek)), asked


def started(source: Observed) -> StartInputs | None:
    for _ in range(200):
        if (start := source.read().start) is not None:
            return start
        time.sleep(0.01)
    return None


def test_what_is_known_of_the_running_server_is_in_the_snapshot() -> None:
    source, asked = observed(kloros())
    assert started(source) == PREDICT.start
    assert len(asked) == 1
    source.close()


def test_of_several_servers_nothing_is_asked_until_one_is_chosen() -> None:
    infos = [
        *kloros_infos(),
        info(50, "vllm", "vllm serve other --port 9000", ppid=1),
        info(51, "VLLM::EngineCor", ["VLLM::EngineCore"], ppid=50),
    ]
    gpu = kloros(holds={2839331: 6134, 51: 3000}).gpus[0]
    seen = snapshot(gpu, infos)
    source, asked = observed(seen)
    assert [source.read().start for _ in range(3)] == [None] * 3
    time.sleep(0.05)
    assert asked == []
    source.close()
    source, asked = observed(seen, replace(Settings(), restarts=9000))
    assert started(source) == PREDICT.start
    assert asked[0].chosen is not None
    assert asked[0].chosen.port == 9000
    source.close()


def test_a_replay_predicts_by_what_was_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = replace(PREDICT, source="nvml", simulated=False, gpu_memory_utilization=None, model_mib=None, start=None)
    told = [replace(bare, taken_at=BEGUN + s, start=PREDICT.start if s > 4 else None) for s in range(10)]
    path = record(tmp_path / "a.rec", told)
    outcomes = {}
    for when in ("start", "end"):
        assert main(["check", "--util", "0.9", "--json", "--replay", f"{path}@{when}"]) in (0, 1)
        outcomes[when] = json.loads(capsys.readouterr().out)
    simulated = main(["check", "--util", "0.9", "--json", "--scenario", "predict"])
    wanted = json.loads(capsys.readouterr().out)
    assert simulated in (0, 1)
    assert outcomes["end"]["model_mib"] == wanted["model_mib"]
    assert outcomes["start"]["model_mib"] == 5700
    assert outcomes["end"]["valid"] == wanted["valid"]


def test_a_seeker_looks_at_nothing_here_for_a_recording(tmp_path: Path) -> None:
    def never(*_: object) -> None:
        raise AssertionError("this machine was looked at")

    seen = replace(kloros(), source="nvml", simulated=False)
    source = open_replay(
        str(record(tmp_path / "a.rec", [replace(seen, processes=table(*kloros_infos()))])), ManualClock()
    )
    past = source.read()
    seeker = Seeker(ManualClock(), find_facts=never, find_log=never, get=never)  # type: ignore[arg-type]
    found = seeker.running(past, books_of(past))
    assert found.inputs is None
    assert "Nothing was recorded" in found.missing[0]
    source.close()
