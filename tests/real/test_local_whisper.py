"""faster-whisper itself with Whisper tiny.en, measured without a server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.real.conftest import Machine
from tests.real.installing import Installed

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]


def measured(installed: Installed, *words: str) -> dict[str, Any]:
    """The library lies in the server's environment; the extra would put it beside gpu-tui."""
    model = installed.whisper_model
    site = next(folder for folder in model.parents if folder.name == "site-packages")
    command = (sys.executable, "-m", "gpu_tui", "measure", "--stt-local", str(model), "--mode", "stt", "--json")
    env = os.environ | {"PYTHONPATH": str(site), "GPU_TUI_JOURNAL": "off"}
    done = subprocess.run((*command, *words), env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_real_library_is_measured_in_a_process_of_its_own(installed: Installed) -> None:
    found = measured(installed, "--clip", "short", "--requests", "3", "--stt-device", "cpu")
    stt = found["stt"]
    assert (stt["n"], stt["errors"], found["oom_events"]) == (3, {}, 0)
    assert stt["size"] == {"name": "tiny.en", "origin": "derived", "source": "the shape of model.bin"}
    assert (stt["local"]["device"], stt["local"]["workers"]) == ("cpu", 1)
    assert stt["local"]["load_s"] > 0
    assert stt["local"]["version"]
    latency, rtf = stt["latency_ms"], stt["rtf"]
    assert 0 < latency["min"] <= latency["p50"] <= latency["max"] < 120_000
    assert rtf["p50"] == pytest.approx(latency["p50"] / 1000 / stt["audio_s"], rel=1e-3)
    assert stt["rtfx"]["p50"] == pytest.approx(1 / rtf["p50"], rel=1e-3)
    assert found["generator"]["cpu_s"] < 1, "the model's work is not the generator's"


def test_a_transcript_of_it_is_a_voice_turn_s(machine: Machine, installed: Installed) -> None:
    """The LLM is asked what the real library heard."""
    site = next(folder for folder in installed.whisper_model.parents if folder.name == "site-packages")
    told = machine.ask(
        "measure",
        "--mode",
        "voice",
        "--requests",
        "2",
        "--clip",
        "short",
        "--stt-local",
        str(installed.whisper_model),
        PYTHONPATH=str(site),
    )
    voice = told["voice"]
    assert (voice["n"], voice["errors"], voice["llm_url"]) == (2, {}, machine.vllm.url)
    assert voice["stt_size"]["name"] == "tiny.en"
    assert voice["stt_ms"]["min"] > 0
    assert (voice["kv_cache_tokens"], voice["kv_cache_tokens_origin"]) == (machine.vllm.kv_cache_tokens, "measured")


def test_the_capacity_follows_from_the_real_cache(machine: Machine, installed: Installed) -> None:
    site = next(folder for folder in installed.whisper_model.parents if folder.name == "site-packages")
    env = {
        "GPU_TUI_ENDPOINTS_STT_LOCAL": str(installed.whisper_model),
        "GPU_TUI_MEASURE_REQUESTS": "2",
        "PYTHONPATH": str(site),
    }
    done = machine.run("evaluate", '{"vllm_memory_util": 0.50}', **env)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["status"], found["measured_whisper_size"], found["oom_events"]) == ("pass", "tiny.en", 0)
    origin, tokens = found["concurrent_capacity_origin"], machine.vllm.kv_cache_tokens
    assert (origin["kind"], origin["source"].partition(" ")[0]) == ("measured", str(tokens))
    each = float(origin["source"].partition("÷ ")[2].split()[0])
    assert each > 32, "a prompt of 64 words and an answer of 32 tokens"
    assert found["concurrent_capacity"] == int(tokens / each)
