"""``check`` with a model: the call, vLLM's words, terms, remedies, what to type; and the flags that name a model."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from gpu_tui.cli.main import main
from tests.cli.test_cases import CARD, FLAGS, TERMS


@pytest.fixture
def machine(tmp_path: Path) -> str:
    return _written(tmp_path, {"gpu": CARD, "model": TERMS | {"name": "Qwen/Qwen3-8B"}, "vllm": FLAGS})


def _written(tmp_path: Path, told: dict[str, Any]) -> str:
    file = tmp_path / "machine.json"
    file.write_text(json.dumps(told))
    return str(file)


def check(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["check", *words])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_start_is_told_with_its_terms_and_figures(capsys: pytest.CaptureFixture[str], machine: str) -> None:
    code, told, _ = check(capsys, "--scenario", machine)
    assert code == 0
    lines = told.splitlines()
    assert lines[0].startswith("Valid: 21731MB allocation fits model (17121MB) + KV cache (4610MB)")
    assert "Prediction: starts: Qwen/Qwen3-8B, vLLM 0.19.1" in lines
    assert re.search(r"  weights +15637 +15626 – 15647 +assumed: scenario", told)
    assert re.search(r"  KV cache +4610 +\d+ – \d+$", told, re.MULTILINE)
    assert re.search(r"  least KV cache +1152 +derived: one request of 8192 tokens", told)
    assert "tokens 32,768 (" in told
    assert "· blocks 2,048 · concurrency 4.00 · largest max_model_len 32,768" in told
    assert "vLLM would say" not in told
    assert "Remedies" not in told
    assert "What to type\n  --gpu-memory-utilization 0.9 --max-model-len 8192\n" in told
    assert "vllm serve Qwen/Qwen3-8B --gpu-memory-utilization 0.9 --max-model-len 8192" in told
    assert "or, without the profile run: --kv-cache-memory-bytes " in told
    assert [line for line in lines if line != line.rstrip()] == []


def test_a_failure_is_told_in_vllm_s_words_with_what_helps(capsys: pytest.CaptureFixture[str], machine: str) -> None:
    code, told, _ = check(capsys, "--scenario", machine, "--util", "0.75")
    assert code == 1
    assert told.startswith("VLLM allocation (18110MB) too small for model+cache (need 18273MB, deficit: 164MB)\n")
    assert "Prediction: will not start (max_len_too_long): Qwen/Qwen3-8B" in told
    assert "vLLM would say: To serve at least one request with the models's max seq len (8192), (1.12 GiB" in told
    assert re.search(
        r"  1 Raise gpu_memory_utilization from 0.75 to 0.7\d+: .*\n      --gpu-memory-utilization 0.7", told
    )
    assert re.search(r"  2 Lower max_model_len to \d,\d+: ", told)
    assert "What to type for remedy 1\n  --gpu-memory-utilization 0.7" in told


def test_no_way_out_is_told_too(capsys: pytest.CaptureFixture[str], machine: str, tmp_path: Path) -> None:
    small = _written(tmp_path, {"gpu": {"total_mib": 8192, "free_mib": 8000}, "model": TERMS, "vllm": FLAGS})
    code, told, _ = check(capsys, "--scenario", small)
    assert code == 1
    assert "Remedies: no flag, no tenant, and no two of them make it start here." in told


def test_a_tenant_that_is_in_the_way_is_named_and_made_visible(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    processes = [{"pid": 77, "name": "ollama", "cmdline": "ollama runner", "used_mib": 9000}]
    told = {"gpu": {"total_mib": 24146}, "model": TERMS, "vllm": FLAGS, "processes": processes}
    code, said, _ = check(capsys, "--scenario", _written(tmp_path, told))
    assert code == 1
    assert "not_enough_free" in said
    assert "vLLM would say: Free memory on device cuda:0 (14.79/23.58 GiB) on startup is less than desired" in said
    assert "Stop ollama (pid 77; 9000 MiB): 9000 MiB come free" in said


def test_hand_set_figures_keep_their_text(capsys: pytest.CaptureFixture[str]) -> None:
    _, told, _ = check(capsys, "--demo", "--util", "0.5")
    assert "Prediction" not in told
    assert "What to type" not in told
    assert "Assumed\n  model " in told
    _, told, _ = check(capsys, "--demo", "--util", "0.4")
    assert "Raise gpu_memory_utilization from 0.4 to 0.494: KV cache 370 MiB" in told
    # The running server's own command line, with the one flag changed and its undo.
    assert "--port 8001 --gpu-memory-utilization 0.494 --max-model-len 8192" in told
    assert "    undo: " in told


def test_a_length_stands_before_the_scenario_s(capsys: pytest.CaptureFixture[str], machine: str) -> None:
    _, told, _ = check(capsys, "--scenario", machine, "--max-model-len", "32k", "--json")
    assert json.loads(told)["min_kv_cache_mib"] == 2000 * 2.25
    _, told, _ = check(capsys, "--scenario", machine, "--max-model-len", "auto", "--json")
    assert json.loads(told)["outcome"] == "started"
    assert json.loads(told)["min_kv_cache_mib"] == 2.3


def test_a_version_changes_the_rules(capsys: pytest.CaptureFixture[str], machine: str) -> None:
    _, told, _ = check(capsys, "--scenario", machine, "--vllm-version", "0.28.0")
    assert "Qwen/Qwen3-8B, vLLM 0.28.0" in told
    assert re.search(r"  cuda graphs +\d+", told)


def test_a_whole_command_line_says_it_all(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    machine = _written(tmp_path, {"gpu": CARD, "model": TERMS})
    serve = "vllm serve --max-model-len 4096 --gpu-memory-utilization 0.8 --kv-cache-dtype fp8 --enforce-eager"
    code, told, _ = check(capsys, "--scenario", machine, "--serve", serve, "--json")
    got = json.loads(told)
    assert (code, got["gpu_memory_utilization"], got["outcome"]) == (0, 0.8, "started")
    assert got["origins"]["gpu_memory_utilization"]["source"] == "flag --serve"
    assert got["min_kv_cache_mib"] == pytest.approx((4096 // 16 + 1) * 1.125, abs=0.1)
    _, told, _ = check(capsys, "--scenario", machine, "--serve", serve, "--util", "0.9", "--json")
    assert json.loads(told)["gpu_memory_utilization"] == 0.9


def test_a_model_that_is_asked_about_stands_before_a_configured_figure(
    capsys: pytest.CaptureFixture[str], machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPU_TUI_MODEL_MODEL_MIB", "1000")
    _, told, _ = check(capsys, "--scenario", machine, "--max-model-len", "4096", "--json")
    assert json.loads(told)["model_mib"] == 17121.3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--util is missing."),
        (["--demo", "--util", "0.5", "--max-model-len", "4096"], "No model whose size is known is meant here"),
        (["--demo", "--max-model-len", "many"], "--max-model-len 'many' is no length."),
        (["--demo", "--max-model-len", "0"], "--max-model-len '0' is no length."),
        (["--demo", "--vllm-version", "new"], "--vllm-version 'new' is no version."),
        (["--demo", "--serve", "python train.py"], "--serve is no vLLM server."),
        (["--demo", "--serve", "vllm serve 'x"], "--serve cannot be split into words"),
        (["--demo", "--model-mib", "5", "--max-model-len", "4096"], "--model-mib sets the model's size by hand."),
        (["--scenario", "-", "--max-model-len", "4096"], "--scenario - reads each case's own model."),
    ],
)
def test_a_question_that_means_nothing(capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    code, out, err = check(capsys, *words)
    assert (code, out) == (2, "")
    assert said in err
    assert len(err.strip().splitlines()) <= 3


def test_a_model_in_a_folder_takes_nothing_of_the_scenario_s_own_model(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "qwen"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(TERMS["config"]))
    other = {"weights_mib": 1000, "activation_mib": 10, "min_kv_cache_mib": 370}
    flags = {"version": "0.19.1", "gpu_memory_utilization": 0.9, "max_model_len": 512, "kv_cache_dtype": "fp8"}
    machine = _written(tmp_path, {"gpu": CARD, "model": other, "vllm": flags})
    code, told, _ = check(capsys, "--scenario", machine, "--model", str(folder), "--json")
    got = json.loads(told)
    assert (code, got["outcome"]) == (1, "max_len_too_long")
    # 40,960 tokens, the model's own context, in 16 bits each.
    assert got["min_kv_cache_mib"] == 5760.0
    assert got["terms"][0]["mib"] > 15_000
    assert "models's" in got["error_text"]  # the scenario's release
    _, told, _ = check(capsys, "--scenario", machine, "--model", str(folder), "--min-kv-mib", "100", "--json")
    assert json.loads(told)["min_kv_cache_mib"] == 100.0


def test_a_model_that_is_not_here_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = check(capsys, "--demo", "--util", "0.5", "--model", "nobody/nothing")
    assert (code, out) == (3, "")
    assert "nobody/nothing" in err


def test_of_a_model_nobody_told_no_remedy_is_invented(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    machine = _written(tmp_path, {"gpu": {"total_mib": 24146, "free_mib": 12000}})
    _, told, _ = check(capsys, "--scenario", machine, "--util", "0.9")
    assert "Remedies" not in told
    assert "What to type" not in told
    _, told, _ = check(capsys, "--scenario", machine, "--util", "0.9", "--json")
    assert json.loads(told)["outcome"] == "not_enough_free"
    assert json.loads(told)["remedies"] is None
