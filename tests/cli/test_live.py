"""The commands on a machine: the real NVML binding over the stand-in driver, with real processes behind its pids."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.bench.whispers import environment, folder
from tests.standin import DRIVER_NOT_LOADED, GPU_IS_LOST, HANG, Device, Process, Sleepers, StandIn, State, known_machine


def run(standin: StandIn, *words: str, driver: bool = True, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gpu_tui", *words]
    env = standin.env(driver=driver) | more
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def as_json(standin: StandIn, *words: str) -> tuple[int, Any]:
    done = run(standin, *words, "--json")
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def test_the_known_machine(standin: StandIn, sleepers: Sleepers) -> None:
    pids = known_machine(standin, sleepers)
    code, told = as_json(standin, "check", "--util", "0.40")
    assert (code, told["valid"], told["source"], told["simulated"]) == (1, False, "nvml", False)
    assert told["reason"] == "VLLM allocation (4915MB) too small for model+cache (need 6070MB, deficit: 1155MB)"
    assert told["services"]["judge"] == {
        "running": True,
        "memory_mib": 6134.0,
        "pids": [pids["judge"]],
        "persistent": False,
    }
    assert told["origins"]["total_mib"]["kind"] == "measured"
    assert told["origins"]["total_mib"]["source"].startswith("NVML ")
    assert 0 <= told["origins"]["total_mib"]["age_s"] < 8
    code, told = as_json(standin, "check", "--util", "0.50")
    assert (code, told["valid"], told["kv_cache_mib"], told["deficit_mib"]) == (0, True, 444.0, 0.0)
    code, told = as_json(standin, "services")
    rows = {row["pid"]: row for row in told["gpus"][0]["processes"]}
    assert code == 0
    assert {name: rows[pids[name]]["service"] for name in ("kloros", "judge", "ollama", "other")} == {
        name: name for name in ("kloros", "judge", "ollama", "other")
    }


def test_the_text_is_quiet_about_simulation(standin: StandIn, sleepers: Sleepers) -> None:
    known_machine(standin, sleepers)
    done = run(standin, "check", "--util", "0.5")
    assert (done.returncode, done.stderr) == (0, "")
    assert "SIMULATED" not in done.stdout


def test_evaluate(standin: StandIn, sleepers: Sleepers) -> None:
    known_machine(standin, sleepers)
    done = run(standin, "evaluate", '{"vllm_memory_util": 0.40}')
    assert (done.returncode, json.loads(done.stdout)["status"]) == (0, "invalid_production")


@pytest.mark.parametrize(
    "fault",
    [
        State(init_error=DRIVER_NOT_LOADED),
        State(devices=[]),
        State(devices=[Device(error=GPU_IS_LOST)]),
        State(devices=[Device(mig=True)]),
    ],
    ids=["driver not loaded", "no gpu", "gpu lost", "mig"],
)
def test_a_machine_that_cannot_be_judged_is_3_with_a_sentence(standin: StandIn, fault: State) -> None:
    standin.write(fault)
    done = run(standin, "check", "--util", "0.5", "--json")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("gpu-tui: ")
    assert "Traceback" not in done.stderr


def test_no_driver_at_all(standin: StandIn) -> None:
    for words in (["check", "--util", "0.5"], ["services"], ["doctor"], ["evaluate", '{"vllm_memory_util": 0.5}']):
        done = run(standin, *words, driver=False)
        assert done.returncode == 3
        assert "NVML" in done.stderr + done.stdout
        assert "Traceback" not in done.stderr


def test_memory_of_the_restarting_service_that_is_not_told(standin: StandIn, sleepers: Sleepers) -> None:
    vllm = sleepers.vllm()
    standin.write(State(devices=[Device(used_mib=6134, processes=[Process(vllm.engine, None)])]))
    code, told = as_json(standin, "check", "--util", "0.5")
    assert (code, told["valid"], told["available_mib"], told["services"]["judge"]["memory_mib"]) == (
        3,
        None,
        None,
        None,
    )


def test_of_two_gpus_the_one_with_the_server_is_meant(standin: StandIn, sleepers: Sleepers) -> None:
    vllm = sleepers.vllm()
    standin.write(State(devices=[Device(), Device(processes=[Process(vllm.engine, 6134)])]))
    code, told = as_json(standin, "check", "--util", "0.5")
    assert (code, told["gpu"]["index"]) == (0, 1)
    standin.write(State(devices=[Device(), Device()]))
    done = run(standin, "check", "--util", "0.5")
    assert done.returncode == 2
    assert "Choose one with --gpu N or --gpu UUID: 0 (NVIDIA GeForce RTX 3060" in done.stderr


def test_services_say_why_a_gpu_of_several_is_not_read(standin: StandIn, sleepers: Sleepers) -> None:
    vllm = sleepers.vllm()
    healthy = Device(processes=[Process(vllm.engine, 6134)])
    standin.write(State(devices=[healthy, Device(error=GPU_IS_LOST), Device(mig=True)]))
    done = run(standin, "services")
    assert done.returncode == 3
    first, lost, mig = done.stdout.split("\n\n")[:3]
    assert "6134 MiB" in first
    assert "GPU 1 was lost (NVML said: GPU is lost)" in lost
    assert "MIG" in mig
    assert "not running" not in lost + mig, "of what cannot be judged nothing is claimed"
    done = run(standin, "services", "--json")
    assert (done.returncode, json.loads(done.stdout)["gpus"][1]["gpu"]["uuid"]) == (3, None)
    assert "GPU 1 was lost" in done.stderr
    assert "MIG" in done.stderr


def test_a_driver_that_hangs_is_3_within_ten_seconds(standin: StandIn) -> None:
    standin.write(State(calls={"nvmlInit*": HANG}))
    started = time.monotonic()
    done = run(standin, "check", "--util", "0.5")
    assert done.returncode == 3
    assert "has not answered for 8 s" in done.stderr
    assert time.monotonic() - started < 10.0 + 5.0, "5 s are this machine's own stalls"


def test_doctor(standin: StandIn, sleepers: Sleepers) -> None:
    known_machine(standin, sleepers)
    code, told = as_json(standin, "doctor")
    found = {one["name"]: one for one in told["checks"]}
    assert code == 0
    assert found["driver"]["level"] == "ok"
    assert "driver 580.65.06" in found["driver"]["message"]
    assert "known for 4 of 4 processes" in found["GPU 0"]["message"]
    assert found["LLM endpoint"]["level"] == "warn"


def test_doctor_looks_at_a_local_whisper_and_loads_nothing(
    standin: StandIn, sleepers: Sleepers, tmp_path: Path
) -> None:
    known_machine(standin, sleepers)
    model = folder(tmp_path / "mine")

    def told(path: Path) -> str:
        named = {"GPU_TUI_ENDPOINTS_STT_LOCAL": str(path), **environment(load="exit:loaded")}
        done = run(standin, "doctor", **named)
        assert "STT endpoint" not in done.stdout
        return " ".join(done.stdout.split())

    where = "from GPU_TUI_ENDPOINTS_STT_LOCAL: endpoints.stt_local"
    assert f"✓ STT local model {model} (whisper tiny.en) {where}" in told(model)
    assert f"! STT local model {tmp_path} is no Whisper model for CTranslate2: it has no model.bin." in told(tmp_path)
