"""The optimizer's contract over real services."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.real.conftest import Machine

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]


def evaluated(machine: Machine, *shares: float, **settings: str) -> list[Any]:
    """A result for each utilization."""
    candidates = [{"vllm_memory_util": u, "whisper_model_size": "tiny"} for u in shares]
    done = subprocess.run(
        machine.command("evaluate", "-"),
        input="\n".join(map(json.dumps, candidates)),
        env=machine.env | {"GPU_TUI_MEASURE_REQUESTS": "3", "GPU_TUI_MEASURE_WARMUP": "1"} | settings,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_candidate_is_measured_where_the_server_runs(machine: Machine) -> None:
    here, elsewhere, too_small = evaluated(machine, 0.50, 0.60, 0.40, GPU_TUI_MODEL_MODEL_MIB="5700")
    for result, proxy in ((here, False), (elsewhere, True)):
        assert (result["status"], result["latency_is_proxy"], result["measured_at_utilization"]) == ("pass", proxy, 0.5)
        assert result["stt_measured"] is result["llm_measured"] is True
        assert 0 < result["stt_latency_ms"] != 999.0
        assert 0 < result["llm_latency_ms"] != 999.0
        assert result["fitness"] > 0
        assert result["production_services"]["judge"]["pid"] == machine.vllm.worker
    assert (too_small["status"], too_small["llm_measured"], too_small["fitness"]) == ("invalid_production", False, 0)


def test_what_is_small_for_a_size_set_by_hand_holds_the_model_that_runs(machine: Machine) -> None:
    (result,) = evaluated(machine, 0.40)
    assert (result["status"], result["validation_passed"], result["latency_is_proxy"]) == ("pass", True, True)
