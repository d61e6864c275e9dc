"""From what a running server tells to a page of the journal, and back to what it teaches."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gpu_tui.clock import ManualClock
from gpu_tui.config import Settings
from gpu_tui.core.cache_info import CacheInfo, parse_cache_config
from gpu_tui.core.model_config import facts_from_config
from gpu_tui.core.model_facts import ModelFacts
from gpu_tui.core.origins import Origin, OriginKind
from gpu_tui.core.snapshot import Gpu, Snapshot
from gpu_tui.core.start_evidence import inputs_of_log
from gpu_tui.core.start_inputs import StartInputs, merged
from gpu_tui.core.start_log import parse_start_log
from gpu_tui.core.start_setup import Setup
from gpu_tui.core.start_terms import Correction, Given, TermName
from gpu_tui.core.start_values import StartLog
from gpu_tui.journal.deployments import Deployment, StoredDeployment
from gpu_tui.journal.deployments_text import detailed
from gpu_tui.units import GIB
from gpu_tui.wiring.deployments import deployment_of, open_deployments, remember
from gpu_tui.wiring.evidence import Evidence
from gpu_tui.wiring.learning import PastStarts, learned_for
from tests.factories import books_of, gpu, info, snapshot

LOGS = Path(__file__).parent / "core" / "data" / "start_logs"
PAGE = (LOGS.parent / "metrics" / "v1_0.32.txt").read_text(encoding="utf-8")
PINNED = parse_cache_config(PAGE)
"""As a CPU build tells it: its cache has a fixed size."""
METRICS = parse_cache_config(PAGE.replace('kv_cache_memory_bytes="1073741824"', 'kv_cache_memory_bytes="None"'))
FACTS = ModelFacts(name="m", weights_bytes=14 * GIB, vocab_size=32_000, hidden_size=4096, max_model_len=32768)
W, A = TermName.WEIGHTS, TermName.ACTIVATION


def machine(*, started_at: float | None = 1_767_000_000.0, **fields: Any) -> Snapshot:
    people = [
        info(1, "systemd", "/sbin/init", ppid=0),
        info(77, "vllm", "vllm serve org/m --port 8001", ppid=1, started_at=started_at),
        info(78, "VLLM::EngineCor", ["VLLM::EngineCore"], ppid=77),
    ]
    device = gpu({78: 70000}, total=81559, name="NVIDIA H100 80GB HBM3")
    return snapshot(device, people, **({"simulated": False, "source": "nvml"} | fields))


def log_of(name: str) -> StartLog:
    return parse_start_log((LOGS / f"{name}.txt").read_text(encoding="utf-8").splitlines())


def evidence(name: str | None = "v1_0.10.2", cache: CacheInfo | None = None, **fields: Any) -> Evidence:
    log = log_of(name) if name is not None else None
    told = inputs_of_log(log, "log", None) if log is not None else StartInputs()
    flags = fields.pop("flags", StartInputs())
    inputs = merged(replace(flags, facts=fields.pop("facts", FACTS), model="org/m"), told).measured_here()
    return Evidence(inputs=inputs, model="org/m", log=log, cache=cache, sources=("the log",), **fields)


def settings(tmp_path: Path, journal: str = "j.db") -> Settings:
    return Settings(journal=journal if journal == "off" else str(tmp_path / journal))


def page(found: Evidence, seen: Snapshot | None = None) -> Deployment | None:
    seen = seen or machine()
    return deployment_of(found, seen, books_of(seen), Settings(), seen.gpus[0], clock=ManualClock())


def card(seen: Snapshot) -> Gpu:
    return seen.gpus[0]


def test_the_page_of_a_start() -> None:
    # This log's last line is the engine's; /metrics answers, so the server is up.
    told = page(evidence(cache=METRICS))
    assert told is not None
    assert (told.started_at, told.recorded_at) == ("2025-12-29T09:20:00Z", "2026-01-01T00:00:00Z")
    assert (told.server_pid, told.gpu_uuid, told.gpu_name) == (77, "GPU-0", "NVIDIA H100 80GB HBM3")
    assert (told.model, told.vllm_version, told.outcome, told.source) == ("org/m", "0.10.2", "started", "the log")
    assert told.cuda_total_bytes == round(79.19 * GIB)
    assert told.utilization == 0.9  # the release's default
    assert told.flags == {
        "max_model_len": 4096,
        "tensor_parallel_size": 1,
        "enforce_eager": False,
        "dtype": "float16",
    }
    assert told.measured["kv_cache_bytes"] == round(55.15 * GIB)
    assert told.measured["kv_tokens"] == 451_744
    assert told.measured["requested_bytes"] == round(71.27 * GIB)
    assert set(told.measured["terms"]) == {"weights", "activation", "non_torch"}
    assert told.predicted is not None
    assert told.predicted["terms"]["weights"]["size_bytes"] == round(14 * GIB * 1.002)
    assert told.predicted["terms"]["activation"]["origin"] == "assumed"
    assert told.predicted["outcome"] == "started"
    # The prediction knows nothing of the log: CUDA's total is the machine's, less than a log would tell.
    assert told.predicted["requested_bytes"] != told.measured["requested_bytes"]


def test_a_failed_start_is_kept_with_its_cause() -> None:
    told = page(evidence("failed_0.32_too_long", cache=None))
    assert told is not None
    assert told.outcome == "max_len_too_long"
    assert "larger than the available KV cache memory" in told.measured["failure"]
    up = page(evidence("failed_0.32_too_long", cache=METRICS))
    assert up is not None
    assert (up.outcome, up.measured["failure"]) == ("started", None)


@pytest.mark.parametrize(
    ("found", "seen"),
    [
        pytest.param(evidence(cache=None), machine(), id="under-way"),
        pytest.param(evidence(cache=METRICS), machine(started_at=None), id="start-time-unknown"),
        pytest.param(evidence(cache=METRICS), snapshot(gpu(), simulated=False), id="nothing-runs"),
        pytest.param(Evidence(cache=METRICS), machine(), id="no-model"),
        pytest.param(
            Evidence(inputs=StartInputs(facts=FACTS), model="m", log=log_of("journald_restarts")),
            machine(started_at=None),
            id="no-time",
        ),
    ],
)
def test_what_is_not_kept(found: Evidence, seen: Snapshot) -> None:
    assert page(found, seen) is None


def test_without_files_nothing_is_predicted() -> None:
    told = page(evidence(cache=METRICS, facts=None))
    assert told is not None
    assert told.predicted is None
    assert told.past_start().predicted == {}


def test_metrics_alone_are_kept_with_what_they_tell() -> None:
    told = page(evidence(None, cache=METRICS))
    assert told is not None
    engine = METRICS.smallest
    assert engine is not None
    assert told.measured["kv_tokens"] == engine.kv_cache_size_tokens
    assert (told.measured["terms"], told.measured["num_blocks"]) == ({}, engine.num_gpu_blocks)
    # Nobody tells the release, so nobody knows its default; the terms are predicted, the KV cache is not.
    assert told.utilization is None
    assert set(told.predicted or {}) == {"terms"}


def test_what_its_processes_held_is_kept_of_a_server_that_serves() -> None:
    told = page(evidence(cache=METRICS))
    assert told is not None
    assert told.measured["held_bytes"] == 70_000 << 20
    failed = page(evidence("failed_0.32_too_long", cache=None))
    assert failed is not None
    assert "held_bytes" not in failed.measured
    assert told.told == replace(told, measured={**told.measured, "held_bytes": None}).told
    shown = "\n".join(detailed(StoredDeployment(id=1, deployment=told)))
    assert "processes        68.36            GiB  all that they held while it served, by NVML" in shown


def test_a_start_without_a_log_teaches_what_the_model_took() -> None:
    facts = facts_from_config(json.loads((LOGS.parent / "configs" / "llama-3.1-8b.json").read_text()), name="org/m")
    measured = Given(size=GIB, origin=Origin(kind=OriginKind.MEASURED, source="metrics of port 8001"))
    flags = StartInputs(version="0.33.0", gpu_memory_utilization=0.9, max_model_len=4096, given={A: measured})
    told = page(evidence(None, cache=METRICS, facts=replace(facts, weights_bytes=14 * GIB), flags=flags))
    assert told is not None
    assert told.measured["requested_bytes"] == -(-round(81559 * 1024 * 1024 * 0.9 * 100) // 100)
    assert told.past_start().model_bytes == told.measured["requested_bytes"] - told.measured["kv_cache_bytes"]


def test_blocks_tell_the_cache_where_no_log_does() -> None:
    facts = facts_from_config(json.loads((LOGS.parent / "configs" / "qwen3-8b.json").read_text()), name="org/m")
    engine = METRICS.smallest
    assert engine is not None
    assert engine.num_gpu_blocks is not None
    told = page(evidence(None, cache=METRICS, facts=facts))
    assert told is not None
    # 2 × 36 layers × 8 heads × 128 elements of 2 bytes a token, 16 tokens a block.
    assert told.measured["kv_cache_bytes"] == engine.num_gpu_blocks * 16 * 2 * 36 * 8 * 128 * 2
    assert told.past_start().started
    pinned = page(evidence(None, cache=METRICS, facts=facts, flags=StartInputs(num_gpu_blocks_override=99)))
    assert pinned is not None
    assert pinned.measured["kv_cache_bytes"] is None


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(evidence(cache=METRICS, flags=StartInputs(kv_cache_memory_bytes=GIB)), id="by-a-flag"),
        pytest.param(evidence(cache=PINNED), id="by-its-metrics"),
        pytest.param(evidence("v1_kv_fixed", cache=METRICS), id="by-its-log"),
    ],
)
def test_a_fixed_cache_is_marked(found: Evidence) -> None:
    told = page(found)
    assert told is not None
    assert told.measured["kv_cache_fixed"] is True
    assert told.past_start().model_bytes is None
    plain = page(evidence(cache=METRICS))
    assert plain is not None
    assert plain.past_start().model_bytes is not None


def test_it_is_remembered_once_and_teaches(tmp_path: Path) -> None:
    seen, where = machine(), settings(tmp_path)
    first = remember(evidence(cache=METRICS), seen, books_of(seen), where, clock=ManualClock())
    assert first is not None
    assert (first.kept, "history --deployments show 1" in first.message) == (1, True)
    assert remember(evidence(cache=METRICS), seen, books_of(seen), where) is None
    with open_deployments(where) as journal:
        (kept,) = journal.starts()
    past = kept.deployment.past_start()
    learned = learned_for(where, past.setup, card(seen))
    assert learned is not None
    assert learned.corrections[A] == Correction(size=past.missed(A) or 0, spread=0, starts=1)
    assert learned.model_bytes is not None
    assert learned.model_bytes.size == round(71.27 * GIB) - round(55.15 * GIB)
    assert learned_for(where, replace(past.setup, model="other"), card(seen)) is None
    unnamed = learned_for(where, Setup(), card(seen))
    assert unnamed is not None
    assert (unnamed.model, unnamed.model_bytes) == ("org/m", learned.model_bytes)
    assert learned_for(where, Setup(), replace(card(seen), uuid="another")) is None


def test_a_journal_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    seen, where = machine(), settings(tmp_path)
    past = PastStarts(where, ManualClock())
    planned = Setup(model="org/m")
    assert past.learned(planned, card(seen)) is None
    notice = past.remember(evidence(cache=METRICS), seen, books_of(seen), card(seen))
    assert notice is not None
    assert notice.kept == 1
    first = past.learned(planned, card(seen))
    assert first is not None
    assert first.starts == 1
    again = machine(started_at=1_767_009_000.0)
    PastStarts(where).remember(evidence(cache=METRICS), again, books_of(again), card(again))
    second = past.learned(planned, card(seen))
    assert second is not None
    assert second.starts == 2
    assert past.kept
    assert not PastStarts(settings(tmp_path, "off")).kept


def test_nothing_is_remembered_of_simulated_machines_or_without_a_journal(tmp_path: Path) -> None:
    seen = machine()
    assert remember(evidence(cache=METRICS), machine(simulated=True), books_of(seen), settings(tmp_path)) is None
    assert remember(evidence(cache=METRICS), seen, books_of(seen), settings(tmp_path, "off")) is None
    assert list(tmp_path.iterdir()) == []
    assert learned_for(settings(tmp_path, "off"), evidence().inputs.setup, card(seen)) is None  # type: ignore[union-attr]


def test_a_journal_that_fails_is_told_and_raises_nothing(tmp_path: Path) -> None:
    (tmp_path / "j.db").write_bytes(b"something else")
    seen = machine()
    notice = remember(evidence(cache=METRICS), seen, books_of(seen), settings(tmp_path))
    assert notice is not None
    assert notice.kept is None
    assert "was not kept" in notice.message
    assert notice.remedy
    assert (tmp_path / "j.db").read_bytes() == b"something else"


def test_of_equal_cards_none_is_guessed(tmp_path: Path) -> None:
    seen = machine()
    twins = replace(seen, gpus=(replace(card(seen), uuid="a"), replace(card(seen), uuid="b", index=1)))
    assert remember(evidence(cache=METRICS), twins, books_of(seen), settings(tmp_path)) is None
    assert remember(evidence(cache=METRICS), twins, books_of(seen), settings(tmp_path), gpu=twins.gpus[1]) is not None


def test_a_prediction_that_was_kept_is_the_files_alone() -> None:
    with_log, without = page(evidence(cache=METRICS)), page(evidence(None, cache=METRICS, flags=_same_flags()))
    assert with_log is not None
    assert without is not None
    assert with_log.predicted is not None
    assert without.predicted is not None
    assert with_log.predicted["terms"] == without.predicted["terms"]


def _same_flags() -> StartInputs:
    told = inputs_of_log(log_of("v1_0.10.2"), "log", None)
    return replace(told, given={}, cuda_total_bytes=None)
