"""Scenario files: every field optional, every mistake told with file, key, what was found and what is allowed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gpu_tui.clock import ManualClock
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.errors import ConfigError
from gpu_tui.telemetry.scenario import load_scenario, open_scenario, snapshot_at
from gpu_tui.units import MIB
from tests.factories import books_of, judged


def _open(folder: Path, content: object, name: str = "case.json") -> Snapshot:
    file = folder / name
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return open_scenario(str(file), ManualClock()).read()


def test_an_empty_file_is_a_machine_of_which_nothing_is_known(tmp_path: Path) -> None:
    for name in ("a.json", "b.toml"):
        seen = _open(tmp_path, "{}" if name.endswith("json") else "", name)
        (gpu,) = seen.gpus
        assert (gpu.total_bytes, gpu.free_bytes, gpu.used_bytes, gpu.reserved_bytes) == (None, None, None, None)
        assert (seen.model_mib, seen.min_kv_cache_mib, seen.gpu_memory_utilization) == (None, None, None)
        assert judged(0.5, seen).valid is None


def test_free_follows_from_total_reserved_and_processes(tmp_path: Path) -> None:
    processes = [{"pid": 5, "name": "ollama", "used_mib": 1000.5}]
    (gpu,) = _open(tmp_path, {"gpu": {"total_mib": 8000, "reserved_mib": 100}, "processes": processes}).gpus
    assert gpu.free_bytes == round(6899.5 * MIB)
    assert gpu.used_bytes == round(1000.5 * MIB)


def test_free_given_leaves_the_rest_unattributed(tmp_path: Path) -> None:
    case = {
        "gpu": {"nvml_total_mib": 12288, "reserved_mib": 236, "free_mib": 3639},
        "processes": [
            {"pid": 1, "name": "python", "cmdline": "python -m kloros_voice", "used_mib": 952},
            {"pid": 2, "name": "VLLM::EngineCore", "cmdline": ["VLLM::EngineCore"], "used_mib": 6134},
            {"pid": 3, "name": "ollama", "used_mib": 1068},
            {"pid": 4, "name": "Xorg", "used_mib": 242},
        ],
    }
    books = books_of(_open(tmp_path, case))
    assert books.unattributed_bytes == 17 * MIB
    assert books.available_bytes == 9773 * MIB


def test_free_is_unknown_where_a_process_is(tmp_path: Path) -> None:
    (gpu,) = _open(tmp_path, {"gpu": {"total_mib": 8000}, "processes": [{"name": "x"}]}).gpus
    assert (gpu.free_bytes, gpu.used_bytes) == (None, None)
    assert (gpu.processes or ())[0].used_bytes is None


def test_shared_memory_is_an_overlap_when_free_is_given(tmp_path: Path) -> None:
    case = {
        "gpu": {"total_mib": 1000, "free_mib": 500},
        "processes": [{"pid": 1, "used_mib": 400}, {"pid": 2, "used_mib": 400}],
    }
    assert books_of(_open(tmp_path, case)).unattributed_bytes == -300 * MIB


def test_what_nvml_counts_and_cuda_does_not_is_reserved(tmp_path: Path) -> None:
    (gpu,) = _open(tmp_path, {"gpu": {"nvml_total_mib": 24564, "total_mib": 24200}}).gpus
    assert (gpu.total_bytes, gpu.reserved_bytes) == (24564 * MIB, 364 * MIB)
    assert gpu.free_bytes == 24200 * MIB


def test_processes_go_to_their_devices(tmp_path: Path) -> None:
    case = {
        "gpus": [{"total_mib": 1000, "name": "A", "uuid": "GPU-a"}, {"total_mib": 2000, "free_mib": 10}],
        "processes": [
            {"pid": 10, "used_mib": 5, "gpu": [0, 1]},
            {"pid": 20, "used_mib": 5, "gpu": 1},
            {"count": 2, "each_gpu": True, "used_mib": 1, "step_mib": 2, "name": "w{i}", "cmdline": "run {gpu}.{i}"},
            {"used_mib": 1, "cmdline": "it's one", "problem": "half read"},
        ],
    }
    seen = _open(tmp_path, case)
    held = [{p.pid: (p.used_bytes or 0) // MIB for p in gpu.processes or ()} for gpu in seen.gpus]
    assert held == [
        {10: 5, 1000001: 1, 1000002: 3, 1000005: 1},
        {10: 5, 20: 5, 1000003: 1, 1000004: 3},
    ]
    assert [seen.processes[pid].name for pid in (1000001, 1000004)] == ["w0", "w1"]
    assert seen.processes[1000004].cmdline == ("run", "1.1")
    assert seen.processes[10].problem == "command line not given"
    assert (seen.processes[1000005].cmdline, seen.processes[1000005].problem) == (("it's", "one"), "half read")
    assert seen.gpus[0].uuid == "GPU-a"
    assert seen.gpu(1) is seen.gpus[1]


def test_parents_are_known_but_hold_nothing(tmp_path: Path) -> None:
    case = {
        "gpu": {"total_mib": 9000},
        "processes": [{"pid": 11, "name": "VLLM::EngineCore", "used_mib": 4000, "ppid": 9}],
        "parents": [{"pid": 9, "name": "vllm", "cmdline": "vllm serve m --port 9000", "ppid": 1}],
    }
    books = books_of(_open(tmp_path, case))
    assert books.chosen is not None
    assert books.chosen.port == 9000


def test_the_tables_that_later_predictions_read_are_accepted(tmp_path: Path) -> None:
    model = {
        "config": {"hidden_size": 1},
        "path": "m",
        "weights_mib": 1,
        "activation_mib": 2,
        "non_torch_mib": 3,
        "cuda_graph_mib": 4,
    }
    vllm = {
        "version": "0.11.0",
        "gpu_memory_utilization": 0.9,
        "max_model_len": 4096,
        "tensor_parallel_size": 1,
        "pipeline_parallel_size": 1,
        "kv_cache_dtype": "fp8",
        "dtype": "auto",
        "block_size": 16,
        "enforce_eager": True,
        "max_num_seqs": 256,
        "max_num_batched_tokens": 2048,
        "kv_cache_memory_bytes": 10,
    }
    seen = _open(tmp_path, {"id": 7, "model": model, "vllm": vllm, "gpu": None})
    assert seen.gpu_memory_utilization == 0.9


MISTAKES: list[tuple[Any, str]] = [
    ({"gpus": [{"totl_mib": 1}]}, "gpus[0].totl_mib: unknown key. Allowed there: name, uuid, total_mib"),
    ({"gpuz": {}}, "gpuz: unknown key. Allowed there: id, driver_version, gpu, gpus"),
    ({"model": {"mib": 1}}, "model.mib: unknown key. Allowed there: name, model_mib"),
    ({"vllm": {"port": 1}}, "vllm.port: unknown key. Allowed there: version, gpu_memory_utilization"),
    ({"gpu": {"total_mib": "12 GiB"}}, "gpu.total_mib: expected `float | null`, got `str`, found '12 GiB'"),
    ({"gpu": {"total_mib": -1}}, "gpu.total_mib: expected `float` >= 0.0, found -1"),
    ({"gpu": {"total_mib": True}}, "gpu.total_mib: expected `float | null`, got `bool`, found True"),
    ({"vllm": {"gpu_memory_utilization": 1.5}}, "vllm.gpu_memory_utilization: expected `float` <= 1.0, found 1.5"),
    ({"processes": [{"pid": 0}]}, "processes[0].pid: expected `int` >= 1, found 0"),
    ({"processes": {"pid": 4}}, "processes: expected `array`, got `object`"),
    ({"processes": [{"pid": 4}, {"pid": 4}]}, "processes[1].pid: 4 is on GPU 0 twice"),
    ({"processes": [{"pid": 4, "gpu": 1}]}, "processes[0].gpu: there is no GPU 1. Allowed: 0 to 0."),
    ({"gpu": {}, "gpus": []}, "gpu, gpus: both given"),
    (
        {"gpu": {"total_mib": 10, "free_mib": 11}},
        "gpu.free_mib: found 11, more than total less reserved. Allowed: 0 to",
    ),
    ({"gpu": {"total_mib": 10}, "processes": [{"used_mib": 12.5}]}, "exceed the total by 2.5 MiB. If processes share"),
    ({"story": {"events": [{"at_s": 1, "fault": "gone"}]}}, "Allowed: driver_missing, driver_not_loaded"),
    ({"story": {"events": [{"at_s": 0}]}}, "story.events[0].at_s: expected `float` > 0.0, found 0"),
    ({"story": {"events": [{}]}}, "missing required field `at_s`"),
    ({"story": {"events": [{"at_s": 1, "pids": [3]}]}}, "story.events[0].pids: no process 3 is on a GPU"),
    ({"story": {"events": [{"at_s": 1, "gpu": 2}]}}, "story.events[0].gpu: there is no GPU 2"),
    ({"story": {"waves": [{"pids": [3]}]}}, "story.waves[0].pids: no process 3"),
    ({"story": {"levels": [{"field": "fan"}]}}, "story.levels[0].field: found 'fan'. Allowed: utilization_pct"),
    ("[]", "the file: expected `object`, got `array`"),
    ('{"gpu": ', "not JSON: "),
    ("[" * 100_000, "not JSON: "),
]


@pytest.mark.parametrize(("content", "said"), MISTAKES)
def test_a_mistake_names_file_key_found_and_allowed(tmp_path: Path, content: Any, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        _open(tmp_path, content)
    assert str(raised.value).startswith(f"{tmp_path / 'case.json'}: ")
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"gpu = ", "not TOML: "),
        (b"id = '\xff'", "not TOML: "),
        (b"[gpu]\ntotal_mib = nan", "gpu.total_mib: expected `float` >= 0.0, found nan"),
        (b"[gpu]\ntotal_mib = inf", "gpu.total_mib: expected `float` <= 1000000000.0, found inf"),
    ],
)
def test_a_mistake_in_toml_is_told_too(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "case.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        load_scenario(str(file))
    assert str(raised.value).startswith(f"{file}: ")
    assert said in str(raised.value)


def test_an_unknown_name_lists_the_names() -> None:
    with pytest.raises(ConfigError) as raised:
        load_scenario("klorox")
    assert "'klorox'" in str(raised.value)
    assert "kloros, oom, h100x8, lost, predict" in str(raised.value)


@pytest.mark.parametrize("name", ["nowhere/machine.toml", "machine.json", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_scenario(name)


def test_an_event_that_never_ends_and_a_process_of_unknown_memory(tmp_path: Path) -> None:
    file = tmp_path / "case.toml"
    file.write_text(
        """
        gpu = {total_mib = 1000, free_mib = 700}
        processes = [{pid = 3, name = "a"}, {pid = 4, used_mib = 100, name = "b"}]
        [[story.waves]]
        pids = [3, 4]
        swing_mib = 500
        period_s = 8
        [[story.events]]
        at_s = 10
        pids = [3]
        gone = true
        [[story.events]]
        at_s = 20
        pids = [3]
        used_mib = 50
        """
    )
    scenario = load_scenario(str(file))
    (before,) = snapshot_at(scenario, 6).gpus
    assert {p.pid: p.used_bytes for p in before.processes or ()} == {3: None, 4: 0}
    for t in (12, 1e6):
        (after,) = snapshot_at(scenario, t).gpus
        assert [p.pid for p in after.processes or ()] == [4]
        assert 3 not in snapshot_at(scenario, t).processes
