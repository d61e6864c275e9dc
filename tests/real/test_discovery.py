"""gpu-tui finds real vLLM and real Whisper by itself, from nothing but the pids that NVML names."""

from __future__ import annotations

import pytest

from gpu_tui.core.books import keep_books
from gpu_tui.core.services import Classifier
from tests.real.conftest import JUDGE_MIB, UTILIZATION, WHISPER_MIB, Machine

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]


def test_the_worker_is_the_judge_and_whisper_stays(machine: Machine) -> None:
    gpu = machine.ask("services")["gpus"][0]
    held = {row["pid"]: (row["service"], row["name"], row["used_mib"]) for row in gpu["processes"]}
    assert held[machine.vllm.worker] == ("judge", "VLLM::Worker", JUDGE_MIB)
    assert held[machine.whisper.pid][0] == "other"
    assert held[machine.whisper.pid][2] == WHISPER_MIB
    assert (gpu["services"]["judge"]["persistent"], gpu["services"]["other"]["persistent"]) == (False, True)


def test_the_server_is_found_two_parents_up_with_its_options(machine: Machine) -> None:
    worker, server = machine.vllm.worker, machine.vllm.pid
    assert worker not in (server, *(child.pid for child in machine.vllm.family[:1])), "else there is nothing to climb"
    with machine.standin.live() as source:
        seen = source.read()
    chosen = keep_books(seen, seen.gpus[0], Classifier()).chosen
    assert chosen is not None
    assert (chosen.owner_pid, chosen.pids, chosen.port, chosen.orphan) == (server, (worker,), machine.vllm.port, False)
    assert chosen.args is not None
    assert chosen.args.gpu_memory_utilization == UTILIZATION


def test_check_takes_it_by_its_port(machine: Machine) -> None:
    told = machine.ask("check", "--util", "0.5", "--restarts", str(machine.vllm.port))
    assert (told["valid"], told["available_mib"]) == (True, 12288 - WHISPER_MIB)


def test_doctor_finds_both_ports(machine: Machine) -> None:
    found = {one["name"]: one for one in machine.ask("doctor")["checks"]}
    assert found["LLM endpoint"]["level"] == found["STT endpoint"]["level"] == "ok"
    assert f"{machine.vllm.url} from port of judge (pid {machine.vllm.pid})" in found["LLM endpoint"]["message"]
    assert f"{machine.whisper.url} from port of other (pid {machine.whisper.pid})" in found["STT endpoint"]["message"]


def test_what_would_be_measured(machine: Machine) -> None:
    preview = machine.ask("measure", "--dry-run")
    assert (preview["llm"]["url"], preview["llm"]["model"]) == (machine.vllm.url, machine.vllm.model)
    assert preview["stt"]["url"] == machine.whisper.url
    assert preview["requests_running"] == 0


def test_a_server_that_listens_and_is_neither_is_not_taken(machine: Machine) -> None:
    """Whisper's port is tried as what it is only: asked as an LLM it must prove itself, and cannot."""
    standin = machine.standin
    standin.state.devices[0].processes = [
        row for row in standin.state.devices[0].processes if row.pid != machine.vllm.worker
    ]
    standin.write()
    preview = machine.ask("measure", "--dry-run")
    assert preview["llm"] is None
    assert preview["stt"]["url"] == machine.whisper.url
