"""The JSON shapes, key by key."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_tui import wire
from gpu_tui.core.checks import evaluate
from gpu_tui.core.origins import Origin, OriginKind
from gpu_tui.core.snapshot import Fault, FaultKind, Snapshot
from gpu_tui.view.text import clean
from tests.factories import KLOROS, books_of, gpu, kloros, need, snapshot

ASKED = Origin(kind=OriginKind.ASSUMED, source="flag --util")
KEYS = [
    "schema",
    "source",
    "simulated",
    "gpu",
    "gpu_memory_utilization",
    "valid",
    "status",
    "reason",
    "allocation_mib",
    "model_mib",
    "min_kv_cache_mib",
    "kv_cache_mib",
    "required_mib",
    "persistent_mib",
    "unattributed_mib",
    "available_mib",
    "deficit_mib",
    "checks",
    "feasible",
    "services",
    "origins",
]
FIGURES = [
    "total_mib",
    "used_mib",
    "free_mib",
    "reserved_mib",
    "gpu_memory_utilization",
    "allocation_mib",
    "model_mib",
    "min_kv_cache_mib",
    "kv_cache_mib",
    "required_mib",
    "persistent_mib",
    "unattributed_mib",
    "available_mib",
    "deficit_mib",
]


def check(u: float, seen: Snapshot = KLOROS, age_s: float | None = 0.25, **fields: Any) -> dict[str, Any]:
    report = evaluate(u, books_of(seen), need())
    told = wire.check_object(report, seen, seen.gpus[0], utilization_origin=ASKED, age_s=age_s, **fields)
    # What a script reads is JSON: nothing in it that JSON cannot carry.
    read: dict[str, Any] = json.loads(json.dumps(told, allow_nan=False))
    assert list(read) == list(told)
    return read


def test_the_keys_of_check_in_their_order() -> None:
    told = check(0.40)
    assert list(told) == KEYS
    assert list(told["gpu"]) == ["index", "uuid", "name", "total_mib", "used_mib", "free_mib", "reserved_mib"]
    for one in told["checks"]:
        assert list(one) == ["name", "passed", "need_mib", "have_mib", "margin_mib", "margin_bytes"]
    for service in told["services"].values():
        assert list(service) == ["running", "memory_mib", "pids", "persistent"]
    for origin in told["origins"].values():
        assert list(origin) == ["kind", "source", "age_s"]


def test_the_known_numbers_at_040() -> None:
    told = check(0.40)
    assert (told["schema"], told["valid"], told["status"]) == (1, False, "invalid_production")
    assert told["reason"] == "VLLM allocation (4915MB) too small for model+cache (need 6070MB, deficit: 1155MB)"
    assert (told["allocation_mib"], told["kv_cache_mib"], told["deficit_mib"]) == (4915.2, -784.8, 1154.8)
    assert (told["required_mib"], told["persistent_mib"], told["available_mib"]) == (6070.0, 2262.0, 10026.0)
    assert [one["name"] for one in told["checks"]] == ["model_and_kv_cache", "persistent_services", "total_memory"]
    assert [one["passed"] for one in told["checks"]] == [False, True, True]
    assert told["checks"][0]["margin_bytes"] == 5153960756 - 6070 * 1024 * 1024
    assert told["feasible"] == {"min": 0.4940, "max": 0.8159}
    judge = {"running": True, "memory_mib": 6134.0, "pids": [2839331], "persistent": False}
    assert told["services"]["judge"] == judge
    assert list(told["services"]) == ["kloros", "judge", "ollama", "other"]


def test_the_known_numbers_at_050() -> None:
    told = check(0.50)
    assert (told["valid"], told["status"], told["deficit_mib"]) == (True, "valid", 0.0)
    assert (told["allocation_mib"], told["kv_cache_mib"]) == (6144.0, 444.0)


def test_a_service_that_is_not_running_holds_nothing() -> None:
    told = check(0.50, kloros(holds={2839331: 6134}))
    assert told["services"]["ollama"] == {"running": False, "memory_mib": 0.0, "pids": [], "persistent": True}


def test_every_figure_has_an_origin() -> None:
    origins = check(0.50, replace(KLOROS, simulated=False, source="nvml", source_detail="NVML 13.580"))["origins"]
    assert set(FIGURES) <= set(origins)
    assert origins["total_mib"] == {"kind": "measured", "source": "NVML 13.580: total", "age_s": 0.25}
    assert origins["model_mib"]["kind"] == "assumed"
    assert origins["gpu_memory_utilization"] == {"kind": "assumed", "source": "flag --util", "age_s": None}
    # A computed figure is as weak as its weakest input.
    assert origins["available_mib"]["kind"] == "measured"
    assert origins["allocation_mib"]["kind"] == "assumed"
    assert origins["kv_cache_mib"]["kind"] == "assumed"


def test_nothing_simulated_is_called_measured() -> None:
    told = check(0.50, replace(KLOROS, source_detail="kloros"))
    assert told["simulated"] is True
    assert {origin["kind"] for origin in told["origins"].values()} == {"assumed"}
    for figure in ("total_mib", "free_mib", "allocation_mib", "persistent_mib", "available_mib", "kv_cache_mib"):
        assert told["origins"][figure]["source"] == "scenario kloros (simulated)"


def test_unknown_is_null_and_never_zero() -> None:
    told = check(0.50, kloros(holds={1893: 242, 2387058: 1068, 2816503: 952, 2839331: None}, free=3892))
    assert (told["valid"], told["status"], told["feasible"], told["deficit_mib"]) == (None, "unknown", None, None)
    assert (told["available_mib"], told["unattributed_mib"]) == (None, None)
    assert told["services"]["judge"]["memory_mib"] is None
    assert told["origins"]["available_mib"] is None
    assert [one["passed"] for one in told["checks"]] == [True, None, None]
    assert told["checks"][1]["margin_bytes"] is None


def test_without_a_list_of_processes_nobody_is_said_not_to_run() -> None:
    told = check(0.50, snapshot(gpu(None, free=3892, processes=None)))
    assert told["services"]["judge"] == {"running": None, "memory_mib": None, "pids": [], "persistent": True}
    assert told["persistent_mib"] is None


def test_reserved_is_null_where_the_driver_does_not_split_it() -> None:
    told = check(0.50, kloros(reserved=None))
    assert told["gpu"]["reserved_mib"] is None
    assert told["origins"]["reserved_mib"] is None
    assert told["valid"] is True


def test_a_fault_takes_the_verdict_back() -> None:
    told = check(0.50, fault=Fault(kind=FaultKind.MIG, message="GPU 0 is partitioned."))
    assert (told["valid"], told["status"], told["feasible"]) == (None, "unknown", None)
    assert told["reason"] == "Unknown: GPU 0 is partitioned."
    assert {one["passed"] for one in told["checks"]} == {None}


@pytest.mark.parametrize(
    ("verdicts", "valid"),
    [([True, True], True), ([True, False, None], False), ([True, None], None), ([], None)],
)
def test_all_gpus_are_valid_only_if_each_is(verdicts: list[bool | None], valid: bool | None) -> None:
    told = wire.all_gpus_object([{"valid": one} for one in verdicts])
    assert list(told) == ["schema", "valid", "gpus"]
    assert told["valid"] is valid
    assert len(told["gpus"]) == len(verdicts)


def test_services() -> None:
    told = wire.services_object(KLOROS, [(KLOROS.gpus[0], books_of(KLOROS))], clean)
    assert list(told) == ["schema", "source", "simulated", "gpus"]
    (one,) = told["gpus"]
    assert list(one) == ["gpu", "services", "unattributed_mib", "processes", "unattributed", "evidence"]
    assert one["unattributed"] == ["Every byte in use is some process's."]
    assert one["evidence"] == {"used": ["scenario test (simulated)"], "missing": []}
    xorg, *_ = one["processes"]
    assert list(xorg)[:5] == ["pid", "service", "name", "used_mib", "mps"]
    assert {key: xorg[key] for key in ("pid", "service", "name", "used_mib")} == {
        "pid": 1893,
        "service": "other",
        "name": "Xorg",
        "used_mib": 242.0,
    }
    assert (xorg["unit"], xorg["ports"], xorg["parents"]) == (None, None, [1])
    assert [row["service"] for row in one["processes"]] == ["other", "ollama", "kloros", "judge"]


def test_a_process_s_name_is_made_fit_to_be_shown() -> None:
    named = {**KLOROS.processes, 1893: replace(KLOROS.processes[1893], name="\x1b[2J\udcff")}
    told = wire.services_object(replace(KLOROS, processes=named), [(KLOROS.gpus[0], books_of(KLOROS))], clean)
    assert told["gpus"][0]["processes"][0]["name"] == "␛[2J\\xff"


@given(st.integers(1, 10_000), st.integers(0, 300), st.integers(-200, 200))
def test_the_object_agrees_with_the_report(steps: int, reserved: int, unattributed: int) -> None:
    seen = kloros(reserved=reserved, unattributed=unattributed)
    report = evaluate(steps / 10_000, books_of(seen), need())
    told = check(steps / 10_000, seen)
    assert told["valid"] is report.valid
    assert told["unattributed_mib"] == unattributed
    assert (told["deficit_mib"] == 0) == (report.valid is True)
    assert [one["margin_bytes"] for one in told["checks"]] == [one.margin_bytes for one in report.checks]
