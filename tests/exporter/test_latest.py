"""What the exporter tells, from readings on a driven clock, through prometheus-client's own parser and promtool."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.core import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from gpu_tui import wiring
from gpu_tui.clock import ManualClock
from gpu_tui.core.books import Service
from gpu_tui.core.services import Classifier, Role
from gpu_tui.core.snapshot import FaultKind, MigInstance, Snapshot
from gpu_tui.errors import SourceUnavailable
from gpu_tui.exporter.latest import Latest
from gpu_tui.exporter.server import Collector
from gpu_tui.telemetry.poller import Reading
from gpu_tui.telemetry.scenario import load_scenario, snapshot_at
from gpu_tui.units import MIB
from gpu_tui.wire_metrics import HELP, Family, service_labels
from gpu_tui.wiring.assessing import Assessor
from tests.factories import KLOROS, gpu, info, kloros, machines, snapshot

Told = dict[tuple[str, frozenset[tuple[str, str]]], float]


def reading(seen: Snapshot | None, error: SourceUnavailable | None = None) -> Reading:
    return Reading(seq=1, snapshot=seen, error=error, started=0.0, finished=0.0)


def latest(clock: ManualClock | None = None, stalled_s: float = 0.0, **options: object) -> Latest:
    settings = wiring.load_settings(wiring.Options(**options))  # type: ignore[arg-type]
    assessor = Assessor(settings, Classifier())
    return Latest(assessor.assess, clock or ManualClock(), lambda: stalled_s, 1.0)


def text(families: list[Family]) -> str:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(lambda: families))
    return generate_latest(registry).decode()


def parsed(families: list[Family]) -> Told:
    told: Told = {}
    for family in text_string_to_metric_families(text(families)):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in told, "Prometheus refuses a scrape that tells a series twice"
            told[key] = sample.value
    return told


def value(told: Told, name: str, **labels: str) -> float | None:
    found = [v for (n, held), v in told.items() if n == name and labels.items() <= dict(held).items()]
    assert len(found) <= 1, found
    return found[0] if found else None


def seen(machine: Snapshot, **options: object) -> Told:
    one = latest(**options)
    one.take(reading(machine))
    return parsed(one.families())


def test_the_known_machine() -> None:
    told = seen(KLOROS)
    assert value(told, "gpu_tui_service_memory_bytes", service="judge", gpu="0", uuid="GPU-0") == 6134 * MIB
    assert value(told, "gpu_tui_gpu_memory_unattributed_bytes") == 0
    assert value(told, "gpu_tui_plan_valid") == value(told, "gpu_tui_plan_known") == value(told, "gpu_tui_up") == 1
    assert value(told, "gpu_tui_plan_feasible_min_ratio") == 0.494
    assert value(told, "gpu_tui_plan_feasible_max_ratio") == 0.8159
    assert value(told, "gpu_tui_plan_check_margin_bytes", check="model_and_kv_cache") == 74 * MIB
    assert value(told, "gpu_tui_service_restarts", service="judge") == 1
    assert value(told, "gpu_tui_plan_utilization_ratio") == 0.5
    assert all(dict(labels).get("simulated", "true") == "true" for _, labels in told)


def test_a_simulated_machine_says_so_on_every_series_about_it_and_a_real_one_on_none() -> None:
    for simulated in (True, False):
        told = seen(replace(KLOROS, simulated=simulated))
        about = [dict(labels) for name, labels in told if "_gpu_" in name or "_plan_" in name or "_service_" in name]
        assert len(about) > 30
        assert all(("simulated" in labels) is simulated for labels in about)


def test_what_is_unknown_has_no_sample() -> None:
    told = seen(kloros(holds={1893: 242, 2839331: None}, free=3000))
    assert value(told, "gpu_tui_plan_known") == 0
    assert value(told, "gpu_tui_plan_valid") is None
    assert value(told, "gpu_tui_plan_outcome", outcome="unknown") == 1
    assert value(told, "gpu_tui_service_memory_bytes", service="judge") is None
    assert value(told, "gpu_tui_service_memory_known", service="judge") == 0
    assert value(told, "gpu_tui_gpu_memory_unattributed_bytes") is None


def test_several_instances_and_none_chosen_is_unknown_and_a_choice_settles_it() -> None:
    serve = "vllm serve m --gpu-memory-utilization 0.4 --port {}"
    infos = [info(10, "vllm", serve.format(8001)), info(20, "vllm", serve.format(8002))]
    two = snapshot(gpu({10: 3000, 20: 4000}), infos)
    told = seen(two)
    assert value(told, "gpu_tui_plan_known") == 0
    assert value(told, "gpu_tui_plan_status", status="unknown") == 1
    assert value(seen(two, restarts=8001), "gpu_tui_plan_known") == 1


def test_of_several_gpus_the_plan_is_about_those_that_hold_the_server() -> None:
    serve = "vllm serve m --gpu-memory-utilization 0.4 --port 8001"
    gpus = (gpu({}), gpu({10: 3000}, index=1, uuid="GPU-1"))
    told = seen(snapshot(gpus, [info(10, "vllm", serve)]))
    assert value(told, "gpu_tui_plan_known", gpu="1") == 1
    assert value(told, "gpu_tui_plan_known", gpu="0") is None
    assert value(told, "gpu_tui_gpu_memory_free_bytes", gpu="0") == 12288 * MIB
    idle = seen(snapshot((gpu({}), gpu({}, index=1, uuid="GPU-1"))))
    assert [value(idle, "gpu_tui_plan_known", gpu=n) for n in "01"] == [0, 0]
    assert value(seen(snapshot(gpus), gpu="1"), "gpu_tui_gpu_up", gpu="0") is None


def test_instances_of_mig_are_told_by_the_name_that_chooses_them() -> None:
    parts = [
        replace(gpu({7 + each: 100}, uuid=f"MIG-{each}"), mig=MigInstance(number=each, parent_uuid="GPU-a"))
        for each in range(2)
    ]
    told = seen(snapshot(parts, [info(7, "a"), info(8, "b")], simulated=False))
    assert value(told, "gpu_tui_gpu_memory_used_bytes", gpu="0:1", uuid="MIG-1") is not None
    assert value(told, "gpu_tui_gpu_memory_used_bytes", gpu="0:0") is not None


def test_a_model_that_is_known_tells_tokens_with_their_band() -> None:
    told = seen(snapshot_at(load_scenario("predict"), 0))
    low, middle, high = (value(told, f"gpu_tui_plan_kv_cache_{end}tokens") for end in ("low_", "", "high_"))
    assert low is not None
    assert middle is not None
    assert high is not None
    assert 0 <= low <= middle <= high
    outcomes = [v for (name, _), v in told.items() if name == "gpu_tui_plan_outcome"]
    assert sorted(outcomes) == [0, 0, 0, 0, 1]


def test_old_figures_are_not_served() -> None:
    clock = ManualClock()
    one = latest(clock)
    assert value(parsed(one.families()), "gpu_tui_up") == 0
    one.take(reading(KLOROS))
    clock.advance(7)
    assert value(parsed(one.families()), "gpu_tui_reading_age_seconds") == 7
    one.take(reading(None, SourceUnavailable("gone", kind=FaultKind.DRIVER_NOT_LOADED.value)))
    told = parsed(one.families())
    assert value(told, "gpu_tui_up") == 0
    assert value(told, "gpu_tui_reading_errors_total", kind="driver_not_loaded") == 1
    assert not [name for name, _ in told if "memory" in name or "plan" in name]
    one.take(reading(KLOROS))
    assert value(parsed(one.families()), "gpu_tui_up") == 1


def test_a_driver_that_hangs_is_down() -> None:
    one = latest(stalled_s=3.0)
    one.take(reading(KLOROS))
    told = parsed(one.families())
    assert value(told, "gpu_tui_up") == 0
    assert not [name for name, _ in told if "memory" in name]


def test_a_gpu_that_is_not_there_is_told_as_such() -> None:
    one = latest(gpu="7")
    one.take(reading(KLOROS))
    assert value(parsed(one.families()), "gpu_tui_reading_errors_total", kind="choice") == 1
    assert "There is no GPU '7' here." in one.state.trouble


def test_peaks_where_they_are_kept() -> None:
    one = Latest(
        Assessor(wiring.load_settings(wiring.Options()), Classifier()).assess,
        ManualClock(),
        lambda: 0.0,
        1.0,
        peaks=lambda: {("GPU-0", "ollama"): 9000 * MIB},
    )
    one.take(reading(KLOROS))
    assert value(parsed(one.families()), "gpu_tui_service_memory_peak_bytes", service="ollama") == 9000 * MIB


@given(machine=machines())
def test_any_machine_can_be_told_and_its_books_balance(machine: Snapshot) -> None:
    told = seen(machine)
    assert all(math.isfinite(v) for v in told.values())
    held = [v for (name, _), v in told.items() if name == "gpu_tui_service_memory_bytes"]
    rest = value(told, "gpu_tui_gpu_memory_unattributed_bytes")
    reserved = value(told, "gpu_tui_gpu_memory_reserved_bytes") or 0
    free, total = (value(told, f"gpu_tui_gpu_memory_{name}_bytes") for name in ("free", "total"))
    if rest is not None and free is not None:
        assert sum(held) + rest + reserved + free == total
    known = value(told, "gpu_tui_plan_known")
    assert (value(told, "gpu_tui_plan_valid") is not None) == (known == 1)


@given(
    names=st.lists(st.text(max_size=80) | st.sampled_from(["judge#4711", "judge#9", "judge#1", "x" * 90]), max_size=9)
)
@example(names=["x" * 90, "x" * 91])
@example(names=["judge#1", "judge#4711"])
def test_labels_are_unlike_printable_and_free_of_pids(names: list[str]) -> None:
    services = [
        Service(name=name, role=Role.PERSISTENT, used_bytes=1, pids=(n + 1,), instance_pid=n + 1)
        for n, name in enumerate(dict.fromkeys(names))
    ]
    labels = [label for label, _ in service_labels(services)]
    assert len(set(labels)) == len(labels) == len(services)
    assert all(label.isprintable() and len(label) <= 70 for label in labels)
    assert not any("4711" in label for label in labels)


def test_labels_survive_what_processes_call_themselves() -> None:
    hostile = gpu({1: 100}, name='a"b\\c\n# TYPE evil counter\x1b[31m\udcff')
    told = seen(snapshot(hostile))
    name = next(dict(labels)["name"] for n, labels in told if n == "gpu_tui_gpu_up")
    assert name == 'a"b\\c␊# TYPE evil counter␛[31m\\xff'


def test_names_follow_the_conventions() -> None:
    for name, words in HELP.items():
        assert re.fullmatch(r"gpu_tui(_[a-z]+)+", name)
        assert words.endswith(".")
        if "memory" in name or "kv_cache" in name:
            assert name.endswith(("_bytes", "_known", "_tokens"))


def test_the_openmetrics_form_is_well_formed() -> None:
    one = latest()
    one.take(reading(KLOROS))
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(one.families))
    assert {family.name for family in parse_openmetrics(openmetrics(registry).decode())} >= {"gpu_tui_up"}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: Debian's package prometheus")
@pytest.mark.parametrize("scenario", ["kloros", "oom", "h100x8", "predict"])
def test_promtool_has_nothing_to_say(scenario: str) -> None:
    one = latest()
    one.take(reading(snapshot_at(load_scenario(scenario), 0)))
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=text(one.families()),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
