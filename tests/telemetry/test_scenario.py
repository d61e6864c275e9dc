"""Scenarios: known at tick 0, pure, balanced at every instant, deterministic, fast."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.clock import ManualClock
from gpu_tui.core.checks import ModelNeed, Status, feasible_range
from gpu_tui.core.snapshot import FaultKind, Gpu, Snapshot
from gpu_tui.errors import SourceUnavailable
from gpu_tui.telemetry.scenario import SCENARIOS, load_scenario, open_scenario, snapshot_at
from gpu_tui.telemetry.story import noise
from gpu_tui.units import MIB, mib_to_bytes
from tests.factories import books_of, judged, need

LOADED = {name: load_scenario(name) for name in SCENARIOS}
seconds = st.floats(0, 4000, allow_subnormal=False)


def _at(name: str, t_s: float, seed: int = 0) -> Snapshot | None:
    try:
        return snapshot_at(LOADED[name], t_s, seed)
    except SourceUnavailable:
        return None


def _sums(gpu: Gpu) -> int:
    assert gpu.used_bytes is not None
    assert gpu.free_bytes is not None
    return gpu.used_bytes + gpu.free_bytes + (gpu.reserved_bytes or 0)


def test_the_demo_begins_with_the_known_numbers() -> None:
    seen = open_scenario("kloros", ManualClock()).read()
    books = books_of(seen)
    assert {s.name: (s.used_bytes or 0) // MIB for s in books.services} == {
        "kloros": 952,
        "judge": 6134,
        "ollama": 1068,
        "other": 242,
    }
    assert [s.pid for s in books.services[:3]] == [2816503, 2839331, 2387058]
    assert books.persistent_bytes == 2262 * MIB
    assert books.available_bytes == 10026 * MIB
    assert books.unattributed_bytes == 0
    assert (seen.model_mib, seen.min_kv_cache_mib, seen.gpu_memory_utilization) == (5700, 370, 0.5)
    at_40 = judged(0.40, seen)
    assert at_40.status is Status.INVALID
    assert at_40.deficit_bytes == pytest.approx(1154.8 * MIB, abs=1)
    at_50 = judged(0.50, seen)
    assert at_50.status is Status.VALID
    assert at_50.kv_cache_bytes == 444 * MIB
    assert at_50.feasible is not None
    assert (at_50.feasible.min, at_50.feasible.max) == (0.4940, 0.8159)


def test_the_demo_reads_its_judge_from_the_server() -> None:
    chosen = books_of(open_scenario("kloros", ManualClock()).read()).chosen
    assert chosen is not None
    assert chosen.args is not None
    assert (chosen.port, chosen.args.gpu_memory_utilization) == (8001, 0.5)
    assert chosen.args.model == "Qwen/Qwen2.5-7B-Instruct-AWQ"


@pytest.mark.parametrize("name", SCENARIOS)
@given(t_s=seconds, seed=st.integers(0, 5))
def test_the_books_balance_at_every_instant(name: str, t_s: float, seed: int) -> None:
    seen = _at(name, t_s, seed)
    for gpu, before in zip(seen.gpus if seen else (), LOADED[name].gpus, strict=False):
        if gpu.faults:
            assert gpu.processes is None
            continue
        assert _sums(gpu) == gpu.total_bytes
        assert gpu.free_bytes is not None
        assert gpu.free_bytes >= 0
        holds = sum(process.used_bytes or 0 for process in gpu.processes or ())
        held = sum(process.used_bytes or 0 for process in before.processes or ())
        assert (gpu.used_bytes or 0) - holds == (before.used_bytes or 0) - held
        assert all((process.used_bytes or 0) >= 0 for process in gpu.processes or ())


@pytest.mark.parametrize("name", SCENARIOS)
@given(t_s=seconds, seed=st.integers(0, 5))
def test_a_snapshot_depends_on_file_seed_and_second_alone(name: str, t_s: float, seed: int) -> None:
    first = _at(name, t_s, seed)
    _at(name, t_s + 17, seed + 1)
    assert _at(name, t_s, seed) == first


@pytest.mark.parametrize("name", SCENARIOS)
@given(seed=st.integers())
def test_at_second_0_nothing_has_moved(name: str, seed: int) -> None:
    seen = snapshot_at(LOADED[name], 0, seed)
    assert seen.gpus == LOADED[name].gpus
    assert seen.processes == LOADED[name].processes
    assert seen.caption == ""


@pytest.mark.parametrize("name", SCENARIOS)
@given(t_s=seconds)
def test_every_pid_on_a_gpu_is_in_the_process_table(name: str, t_s: float) -> None:
    seen = _at(name, t_s)
    for gpu in seen.gpus if seen else ():
        assert {process.pid for process in gpu.processes or ()} <= (seen.processes if seen else {}).keys()


def test_time_moves_it_and_the_seed_changes_its_noise_only() -> None:
    kloros = LOADED["kloros"]
    seen = {t: snapshot_at(kloros, t) for t in (0, 10, 20, 30)}
    assert len({books_of(s).services[0].used_bytes for s in seen.values()}) > 1
    assert len({s.gpus[0].utilization_pct for s in seen.values()}) > 1
    assert snapshot_at(kloros, 70, 1) != snapshot_at(kloros, 70, 2)
    assert snapshot_at(kloros, 70, 1).caption == snapshot_at(kloros, 70, 2).caption


@given(st.integers(), st.integers(0, 2**31), st.integers(1, 10**6))
def test_noise_is_bounded_begins_at_0_and_differs_by_second(seed: int, key: int, second: int) -> None:
    assert noise(seed, key, 0) == 0
    assert -1 <= noise(seed, key, second) <= 1
    assert noise(seed, key, second) != noise(seed, key, second + 1)


def test_ollama_unloads_and_loads_again_and_the_caption_says_so() -> None:
    def ollama(t_s: float) -> tuple[int | None, str]:
        seen = snapshot_at(LOADED["kloros"], t_s)
        row = books_of(seen).service("ollama")
        assert row is not None
        return (row.used_bytes or 0) // MIB if row.running else None, seen.caption

    held, said = ollama(70)
    assert held is None
    assert "unloaded" in said
    growing = [ollama(t)[0] for t in (95, 96, 97, 98, 99, 100)]
    assert growing == sorted(growing, key=lambda mib: mib or 0)
    assert growing[0] == 180
    assert ollama(101)[0] == 1068
    assert ollama(50) == (1068, "")
    assert ollama(370) == ollama(70)  # the story begins again


def test_a_source_counts_from_its_first_read_and_stamps_with_the_clock() -> None:
    clock = ManualClock(monotonic=5e6, wall=2e9)
    source = open_scenario("kloros", clock, seed=3)
    clock.advance(100)
    first = source.read()
    clock.advance(25)
    later = source.read()
    assert first.gpus == LOADED["kloros"].gpus
    assert (first.taken_at, first.taken_monotonic) == (2e9 + 100, 5e6 + 100)
    assert later.gpus == snapshot_at(LOADED["kloros"], 25, 3).gpus
    assert (later.taken_at, later.taken_monotonic) == (2e9 + 125, 5e6 + 125)
    source.close()
    source.close()


def test_a_snapshot_says_that_it_is_simulated_and_by_what(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text("{}")
    demo = open_scenario("kloros", ManualClock(), demo=True).read()
    named = open_scenario("kloros", ManualClock()).read()
    own = open_scenario(str(file), ManualClock()).read()
    assert [(s.simulated, s.source, s.source_detail) for s in (demo, named, own)] == [
        (True, "demo", "kloros"),
        (True, "scenario", "kloros"),
        (True, "scenario", "mine.json"),
    ]


@given(t_s=seconds)
def test_in_oom_no_utilization_fits_at_any_time(t_s: float) -> None:
    seen = snapshot_at(LOADED["oom"], t_s)
    books = books_of(seen)
    assert feasible_range(books, need()) is None
    assert judged(0.5, seen).status is Status.INVALID


def test_oom_begins_with_the_sentence_of_the_design() -> None:
    books = books_of(snapshot_at(LOADED["oom"], 0))
    assert books.persistent_bytes == 6488 * MIB
    assert books.available_bytes == 5800 * MIB


def test_h100x8_is_eight_gpus_of_200_processes_with_one_instance_on_all() -> None:
    seen = snapshot_at(LOADED["h100x8"], 0)
    assert len(seen.gpus) == 8
    assert len({gpu.uuid for gpu in seen.gpus}) == 8
    needs = ModelNeed(model_bytes=mib_to_bytes(20400), min_kv_cache_bytes=mib_to_bytes(1280))
    for gpu in seen.gpus:
        assert gpu.total_bytes == 81559 * MIB
        assert len(gpu.processes or ()) == 200
        books = books_of(seen, index=gpu.index)
        assert not books.ambiguous
        assert books.chosen is not None
        assert books.chosen.owner_pid == 408700
        assert books.chosen.args is not None
        assert books.chosen.args.tensor_parallel_size == 8
        assert judged(0.70, seen, needs).valid
    assert len({process.pid for gpu in seen.gpus for process in gpu.processes or ()}) == 1600


def test_what_has_not_moved_is_the_same_object() -> None:
    first, second = snapshot_at(LOADED["h100x8"], 3), snapshot_at(LOADED["h100x8"], 4)
    assert first.processes is second.processes
    for before, after in zip(first.gpus, second.gpus, strict=True):
        same = [a is b for a, b in zip(before.processes or (), after.processes or (), strict=True)]
        assert same.count(False) <= 4


def test_a_tick_of_1600_processes_costs_less_than_10_ms_of_cpu() -> None:
    best = float("inf")
    for t in range(1, 20):
        started = time.process_time()
        snapshot_at(LOADED["h100x8"], t)
        best = min(best, time.process_time() - started)
    assert best < 0.010


def test_lost_loses_its_gpu_and_gets_it_back() -> None:
    seen = snapshot_at(LOADED["lost"], 30)
    (gpu,) = seen.gpus
    assert gpu.faults[0].kind is FaultKind.GPU_LOST
    assert gpu.faults[0].message
    assert gpu.faults[0].remedy
    assert (gpu.total_bytes, gpu.used_bytes, gpu.free_bytes, gpu.reserved_bytes) == (None, None, None, None)
    assert (gpu.utilization_pct, gpu.temperature_c, gpu.power_w, gpu.processes) == (None, None, None, None)
    assert gpu.uuid == LOADED["lost"].gpus[0].uuid
    assert 2839331 not in seen.processes
    assert judged(0.5, seen).status is Status.UNKNOWN
    back = snapshot_at(LOADED["lost"], 50)
    assert not back.gpus[0].faults
    assert books_of(back).chosen is None
    assert judged(0.5, snapshot_at(LOADED["lost"], 75)).status is Status.VALID


def test_lost_also_loses_its_driver() -> None:
    clock = ManualClock()
    source = open_scenario("lost", clock)
    source.read()
    clock.advance(85)
    with pytest.raises(SourceUnavailable) as raised:
        source.read()
    assert raised.value.kind == "driver_not_loaded"
    assert raised.value.remedy
    clock.advance(15)
    assert source.read().gpus[0].total_bytes == 12288 * MIB


def test_a_tenant_never_takes_more_than_is_free(tmp_path: Path) -> None:
    story = {"events": [{"at_s": 5, "pids": [7, 8], "used_mib": 900}]}
    file = tmp_path / "tight.json"
    file.write_text(
        json.dumps(
            {
                "gpu": {"total_mib": 1000},
                "processes": [{"pid": 7, "used_mib": 100}, {"pid": 8, "used_mib": 500}],
                "story": story,
            }
        )
    )
    (gpu,) = snapshot_at(load_scenario(str(file)), 6).gpus
    assert [(p.used_bytes or 0) // MIB for p in gpu.processes or ()] == [500, 500]
    assert gpu.free_bytes == 0
    assert _sums(gpu) == gpu.total_bytes
