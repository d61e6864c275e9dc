"""``gpu-tui measure --stt-local`` and ``evaluate`` with a local model, as users meet them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.bench.test_child import gone
from tests.bench.whispers import folder, whole_environment

OOM = "raise:CUDA failed with error out of memory"


def command(*words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "gpu_tui", *words)


def measured(model: Path, *words: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    asked = command("measure", "--demo", "--stt-local", str(model), "--requests", "3", "--no-journal", *words)
    return subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False, env=env)


def result(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert "Traceback" not in done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_local_model_is_measured_in_a_process_of_its_own(tmp_path: Path) -> None:
    model, pid_file = folder(tmp_path / "mine"), tmp_path / "pid"
    env = whole_environment(delay_s=0.05, load_s=0.3, pid_file=str(pid_file))
    with subprocess.Popen(
        command("measure", "--demo", "--stt-local", str(model), "--mode", "stt", "--requests", "3", "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env | {"GPU_TUI_JOURNAL": "off"},
    ) as run:
        out, _ = run.communicate(timeout=60)
    assert run.returncode == 0
    stt = json.loads(out)["stt"]
    assert (stt["n"], stt["model"], stt["url"]) == (3, "mine", model.as_uri())
    assert 50 <= stt["latency_ms"]["p50"] < 300, "loading is not in it"
    assert stt["size"] == {"name": "tiny.en", "origin": "derived", "source": "the shape of model.bin"}
    assert stt["local"]["load_s"] >= 0.3
    assert (stt["local"]["device"], stt["local"]["workers"]) == ("cpu", 1)
    loader = int(pid_file.read_text())
    assert loader != run.pid, "the measuring process itself never loads the library"
    assert gone(loader)


def test_for_people_it_says_what_ran_where(tmp_path: Path) -> None:
    model = folder(tmp_path / "mine")
    done = measured(model, "--mode", "stt", "--stt-device", "cpu", "--stt-size", "small", env=whole_environment())
    for words in (
        "whisper tiny.en (derived: the shape of model.bin)",
        "in a process of its own on cpu fake8, one at a time; loaded in 0.0 s, which counts in no figure",
        "note: STT is whisper tiny.en (the shape of model.bin), not small (--stt-size).",
        "RTFx",
    ):
        assert words in done.stdout
    preview = measured(model, "--dry-run", env=whole_environment(load="exit:loaded in a dry run")).stdout
    assert "from --stt-local" in preview
    assert "whisper tiny.en (derived" in preview
    assert "on a GPU it takes memory beside the services" in preview


def test_a_voice_turn_and_interference_take_a_local_model_too(tmp_path: Path) -> None:
    model = folder(tmp_path / "mine")
    voice = result(measured(model, "--mode", "voice", "--json", env=whole_environment(delay_s=0.05)))["voice"]
    assert (voice["n"], voice["stt_url"]) == (3, model.as_uri())
    assert voice["stt_ms"]["p50"] >= 50
    beside = result(measured(model, "--mode", "interference", "--json", env=whole_environment()))["interference"]
    assert beside["together"]["stt"]["n"] >= 3
    assert beside["stt_alone"]["local"]["workers"] == 1


@pytest.mark.parametrize(
    ("does", "words"),
    [
        ({"load": "raise:Unsupported model binary version"}, "could not be loaded: RuntimeError: Unsupported model"),
        (
            {"then": "raise:broken"},
            "every warm-up failed: server_error 2 (The local Whisper failed: Runtime",
        ),
    ],
)
def test_what_cannot_be_measured_is_named_and_exits_3(tmp_path: Path, does: dict[str, str], words: str) -> None:
    done = measured(folder(tmp_path / "mine"), "--mode", "stt", "--json", env=whole_environment(**does))
    assert done.returncode == 3
    found = result(done)
    assert found["reason"]["stt"].startswith("unmeasured: ")
    assert words in found["reason"]["stt"]


def test_the_llm_is_measured_where_the_local_model_cannot_be(tmp_path: Path) -> None:
    done = measured(tmp_path / "absent", "--json", env=whole_environment())
    found = result(done)
    assert (done.returncode, found["llm"]["n"], found["stt"]) == (0, 3, None)
    assert found["reason"]["stt"].startswith(f"unmeasured: {tmp_path}/absent does not exist. Name the folder")


@pytest.mark.parametrize(("does", "seen"), [({"load": OOM}, 1), ({"then": OOM}, 2)])
def test_running_out_of_memory_in_the_local_model_is_an_oom_event(
    tmp_path: Path, does: dict[str, str], seen: int
) -> None:
    found = result(measured(folder(tmp_path / "mine"), "--mode", "stt", "--json", env=whole_environment(**does)))
    assert found["oom_events"] == seen
    assert "Free GPU memory" in found["reason"]["stt"]


@pytest.mark.parametrize(("does", "status"), [({"then": OOM}, "fail"), ({"load": OOM}, "fail"), ({}, "pass")])
def test_the_evaluator_fails_a_candidate_whose_local_model_ran_out_of_memory(
    tmp_path: Path, does: dict[str, str], status: str
) -> None:
    code = (
        "import json, sys; from gpu_tui import Evaluator; from gpu_tui.wiring import Options;"
        "flags = {'endpoints.stt_local': ('--stt-local', sys.argv[1]), 'measure.requests': ('--requests', 2),"
        " 'journal': ('--no-journal', 'off')};"
        "one = Evaluator(Options(scenario='kloros', overrides=flags));"
        "print(json.dumps(dict(one.evaluate({'vllm_memory_util': 0.5, 'whisper_model_size': 'base'}))))"
    )
    model = folder(tmp_path / "mine")
    done = subprocess.run(
        (sys.executable, "-c", code, str(model)),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=whole_environment(**does),
    )
    found = json.loads(done.stdout)
    assert found["status"] == status
    assert (found["oom_events"] > 0, found["fitness"] > 0) == (status == "fail", status == "pass")
    # The demo's LLM tells of its KV cache: 8112 tokens, by prompts of 64 words and answers of 32 tokens.
    origin = found["concurrent_capacity_origin"]
    assert origin["kind"] == "assumed", "what the demo's server tells is invented"
    assert origin["source"].startswith("8112 KV-cache tokens (vllm:cache_config_info kv_cache_size_tokens) ÷ 122 ")
    assert origin["source"].endswith("; simulated")
    assert found["concurrent_capacity"] == 66
    if status == "pass":
        assert (found["whisper_model_size"], found["measured_whisper_size"]) == ("base", "tiny.en")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_the_run_ends_the_model_s_process_ends_too(tmp_path: Path, number: signal.Signals) -> None:
    model, pid_file = folder(tmp_path / "mine"), tmp_path / "pid"
    asked = command("measure", "--demo", "--stt-local", str(model), "--mode", "stt", "--jsonl", "--no-journal")
    env = whole_environment(delay_s=30, pid_file=str(pid_file))
    with subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env) as run:
        assert run.stdout is not None
        try:
            for line in run.stdout:
                if json.loads(line).get("phase") == "warmup":
                    break
            run.send_signal(number)
            run.wait(10)
        finally:
            run.kill()
    loader = int(pid_file.read_text())
    try:
        psutil.Process(loader).wait(5)
    except psutil.NoSuchProcess:
        pass
    except psutil.TimeoutExpired:
        os.kill(loader, signal.SIGKILL)
        pytest.fail("it goes on without its parent")


def test_a_server_and_a_local_model_cannot_both_be_meant(tmp_path: Path) -> None:
    model = folder(tmp_path / "mine")
    done = measured(model, "--stt", "http://127.0.0.1:1", env=whole_environment())
    assert done.returncode == 2
    assert "not allowed with argument" in done.stderr
