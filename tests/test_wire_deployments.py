"""Deployments and races as `gpu-tui watch --jsonl` tells them: stable keys, plain JSON, one outcome for each start."""

from __future__ import annotations

import json
from typing import Any

from gpu_tui import wiring
from gpu_tui.clock import ManualClock
from gpu_tui.telemetry.scenario import load_scenario, snapshot_at
from gpu_tui.wiring.deploying import DeploymentWatch
from gpu_tui.wiring.telling import news_objects

DEPLOYMENT = (
    "schema type at simulated message gpu gpus service pid port model gpu_memory_utilization phase since evidence "
    "from_birth phases took_s planned_mib used_mib peak_mib outcome failure cause remedy hands_off races"
)
RACE = "schema type at simulated message gpu service pid race tenant moved_mib advice"


def lines(name: str, seconds: int) -> list[dict[str, Any]]:
    scenario = load_scenario(name)
    watch = DeploymentWatch(wiring.load_settings(wiring.Options(scenario=name)), ManualClock())
    told = []
    for second in range(seconds):
        snapshot = snapshot_at(scenario, float(second))
        told += news_objects(watch.see(snapshot), watch.shown, snapshot)
    return [json.loads(json.dumps(one, allow_nan=False)) for one in told]


def test_keys_are_stable_and_it_is_plain_json() -> None:
    told = [*lines("deploy", 239), *lines("race", 179)]
    assert {one["type"] for one in told} == {
        "deployment_began",
        "deployment_phase",
        "deployment_outcome",
        "race_began",
        "race_over",
    }
    for one in told:
        assert " ".join(one) == (RACE if one["type"].startswith("race") else DEPLOYMENT)
        assert one["simulated"] is True
        assert one["schema"] == 1


def test_the_story_of_a_start() -> None:
    told = [one for one in lines("deploy", 120) if one["pid"] == 6204]
    assert [(one["type"].removeprefix("deployment_"), one["phase"]) for one in told] == [
        ("began", "starting"),
        ("phase", "loading"),
        ("phase", "profiling"),
        ("phase", "capturing"),
        ("phase", "serving"),
        ("outcome", "serving"),
        ("phase", "gone"),
    ]
    outcome = told[5]
    assert outcome["outcome"] == "started"
    assert [(one["phase"], one["seconds"]) for one in outcome["phases"]][:4] == [
        ("stopped", 6.0),
        ("starting", 6.0),
        ("loading", 28.0),
        ("profiling", 28.0),
    ]
    assert (outcome["took_s"], outcome["planned_mib"], outcome["peak_mib"]) == (74.0, 20270.9, 20410.0)
    assert told[0]["hands_off"].startswith("Do not start, stop or restart kloros or ollama now")
    assert told[3]["hands_off"] is None
    assert (told[0]["gpu"]["index"], told[0]["port"], told[0]["service"]) == (0, 8001, "judge")


def test_a_death_has_vllms_words_and_ours() -> None:
    (died,) = [
        one for one in lines("deploy", 170) if one["outcome"] == "max_len_too_long" and one["type"][11:] == "outcome"
    ]
    assert died["failure"].startswith("To serve at least one request")
    assert "5.63 GiB, 2.94 GiB were left" in died["cause"]
    assert died["remedy"].startswith("Give it --max-model-len 21392")
    assert died["used_mib"] is None


def test_races_begin_and_end_and_stand_with_the_start_they_harmed() -> None:
    told = lines("race", 60)
    assert [(one["type"], one["race"], one["tenant"]) for one in told if "race" in one] == [
        ("race_began", "two_engines", "vllm:8002"),
        ("race_over", "two_engines", "vllm:8002"),
        ("race_began", "tenant_freed", "judge"),
    ]
    died = next(one for one in told if one["type"] == "deployment_outcome")
    assert (died["outcome"], len(died["races"])) == ("no_cache_blocks", 1)


def test_one_that_was_there_before_has_no_outcome() -> None:
    told = [one for one in lines("deploy", 15) if one["pid"] == 5102]
    assert [(one["type"], one["phase"]) for one in told] == [
        ("deployment_phase", "serving"),
        ("deployment_phase", "gone"),
    ]
    assert [(one["outcome"], one["took_s"]) for one in told] == [(None, None)] * 2
