"""``check`` with a model on a machine: the real NVML binding over the stand-in driver, a server of real processes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.standin import Device, Process, Sleepers, StandIn, State

CONFIG = Path(__file__).parents[1] / "core" / "data" / "configs" / "qwen3-0.6b.json"


def model(tmp_path: Path) -> str:
    folder = tmp_path / "qwen3-0.6b"
    folder.mkdir()
    shutil.copy(CONFIG, folder / "config.json")
    return str(folder)


def check(standin: StandIn, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gpu_tui", "check", *words]
    return subprocess.run(command, env=standin.env(), capture_output=True, text=True, timeout=60, check=False)


def as_json(standin: StandIn, *words: str) -> tuple[int, Any]:
    done = check(standin, *words, "--json")
    return done.returncode, json.loads(done.stdout)


def serve(standin: StandIn, sleepers: Sleepers, name: str, *flags: str) -> int:
    """A server of this model whose engine holds 6 GiB; 59999 is a port where nobody listens."""
    running = sleepers.vllm(name, 59999, 0.5, 1, *flags)
    standin.write(State(devices=[Device(processes=[Process(running.engine, 6144)])]))
    return running.server


def test_flags_alone_are_about_the_model_that_runs(standin: StandIn, sleepers: Sleepers, tmp_path: Path) -> None:
    serve(standin, sleepers, model(tmp_path), "--kv-cache-dtype", "fp8")
    code, told = as_json(standin, "--util", "0.5", "--max-model-len", "4096", "--vllm-version", "0.19.1")
    assert (code, told["outcome"], told["source"]) == (0, "started", "nvml")
    # 28 layers × 8 heads × 128 × 2, a byte each.
    assert told["min_kv_cache_mib"] == 4096 * 57_344 / 2**20
    assert told["kv_tokens"] % 16 == 0
    assert {term["name"] for term in told["terms"]} == {"weights", "activation", "non_torch"}


def test_what_to_type_is_the_running_command_with_the_changed_flags(
    standin: StandIn, sleepers: Sleepers, tmp_path: Path
) -> None:
    name = model(tmp_path)
    serve(standin, sleepers, name, "--api-key", "sk-Geheim-12345")
    done = check(standin, "--util", "0.6", "--max-model-len", "4096")
    assert done.returncode == 0
    assert "What to type\n  --gpu-memory-utilization 0.6 --max-model-len 4096\n" in done.stdout
    assert f"serve {name} " in done.stdout
    assert '--api-key "${VLLM_API_KEY:?}"' in done.stdout
    assert "Geheim" not in done.stdout + done.stderr
    assert "***" not in done.stdout


def test_a_named_model_is_not_the_one_that_runs(standin: StandIn, sleepers: Sleepers, tmp_path: Path) -> None:
    serve(standin, sleepers, "Qwen/Qwen2.5-7B-Instruct-AWQ", "--kv-cache-dtype", "fp8")
    code, told = as_json(standin, "--util", "0.5", "--model", model(tmp_path), "--max-model-len", "4096")
    assert (code, told["outcome"]) == (0, "started")
    assert told["min_kv_cache_mib"] > 4096 * 114_688 / 2**20 - 1
    said = check(standin, "--util", "0.5", "--model", str(tmp_path / "qwen3-0.6b"), "--max-model-len", "4096").stdout
    assert f"vllm serve {tmp_path}/qwen3-0.6b --gpu-memory-utilization 0.5 --max-model-len 4096" in said
    assert "Qwen2.5" not in said


def test_where_nothing_is_known_of_the_running_model_it_is_asked_for(standin: StandIn, sleepers: Sleepers) -> None:
    serve(standin, sleepers, "nobody/knows-this")
    done = check(standin, "--util", "0.5", "--max-model-len", "4096")
    assert (done.returncode, done.stdout) == (2, "")
    assert "nobody/knows-this" in done.stderr
    assert "--model NAME" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_gpu_is_judged_with_the_named_model(standin: StandIn, tmp_path: Path) -> None:
    standin.write(State(devices=[Device(), Device(total_mib=2048)]))
    code, told = as_json(
        standin, "--util", "0.5", "--model", model(tmp_path), "--max-model-len", "4096", "--gpu", "all"
    )
    assert code == 1
    assert [one["outcome"] for one in told["gpus"]] == ["started", "no_cache_blocks"]


def test_a_plain_check_of_a_machine_without_a_journal_loads_nothing_of_one(
    standin: StandIn, sleepers: Sleepers, tmp_path: Path
) -> None:
    serve(standin, sleepers, model(tmp_path))
    command = [sys.executable, "-X", "importtime", "-m", "gpu_tui", "check", "--util", "0.5", "--json"]
    done = subprocess.run(command, env=standin.env(), capture_output=True, text=True, timeout=60, check=False)
    assert json.loads(done.stdout)["learned"] is None
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "gpu_tui.cli.learning" in loaded
    assert not {"sqlite3", "gpu_tui.journal", "gpu_tui.wiring.learning"} & loaded


def test_who_names_no_model_means_the_one_that_runs(standin: StandIn, sleepers: Sleepers, tmp_path: Path) -> None:
    """The three checks and the optimizer's take the same model; a size set by hand stands before it."""
    serve(standin, sleepers, model(tmp_path), "--max-model-len", "4096")
    _, asked = as_json(standin, "--util", "0.4", "--max-model-len", "4096")
    done = check(standin, "--util", "0.4", "--json")
    plain = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert plain["outcome"] == "started"
    assert plain["origins"]["model_mib"]["source"] != "default"
    for key in ("model_mib", "min_kv_cache_mib", "kv_cache_mib", "feasible", "reason"):
        assert plain[key] == asked[key], key
    assert as_json(standin, "--util", "0.4", "--model-mib", "5700")[1]["model_mib"] == 5700
    script = "import gpu_tui, json; print(json.dumps(gpu_tui.Evaluator().validate_vllm_allocation(0.4)))"
    command = [sys.executable, "-c", script]
    told = json.loads(subprocess.run(command, env=standin.env(), capture_output=True, timeout=60, check=True).stdout)
    assert (round(told["estimated_model_mb"], 1), told["reason"]) == (plain["model_mib"], plain["reason"])
