"""Figures of real servers: counts are right, times can be true, the server's own counters agree."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.real.conftest import UTILIZATION, Machine
from tests.real.services import Server, Vllm

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

CLIPS = Path(__file__).parents[2] / "gpu_tui" / "bench" / "data"


def finished(vllm: Vllm) -> int:
    return round(vllm.metric("vllm:request_success_total"))


def ordered(figure: dict[str, float], least: float = 0.001) -> None:
    assert least <= figure["min"] <= figure["p50"] <= figure["p95"] <= figure["p99"] <= figure["max"]


def test_both_with_figures_that_can_be_true(machine: Machine) -> None:
    requests, tokens, warmup = 6, 24, 2
    counted = ("vllm:generation_tokens_total", "vllm:prompt_tokens_total")
    before = [finished(machine.vllm), *map(machine.vllm.metric, counted)]
    began = time.monotonic()
    result = machine.ask(
        "measure", "--requests", str(requests), "--warmup", str(warmup), "--output-tokens", str(tokens)
    )
    took_ms = (time.monotonic() - began) * 1000
    after = [finished(machine.vllm), *map(machine.vllm.metric, counted)]
    sent, generated, prompted = (b - a for a, b in zip(before, after, strict=True))
    llm, stt = result["llm"], result["stt"]

    assert (llm["n"], llm["errors"], stt["n"], stt["errors"]) == (requests, {}, requests, {})
    assert (llm["url"], stt["url"]) == (machine.vllm.url, machine.whisper.url)
    assert sent == requests + warmup, "by the server's own count"
    assert llm["output_tokens_mean"] == tokens, "vLLM was asked to write on, and says that it did"
    assert generated == sent * tokens, "by the server's own count too"
    assert llm["prompt_tokens_mean"] == pytest.approx(prompted / sent, rel=0.1)

    for figure in ("ttft_ms", "itl_ms", "e2e_ms", "tpot_ms"):
        # Two tokens may come in one piece: then there is no time between them.
        ordered(llm[figure], least=0.0 if figure == "itl_ms" else 0.001)
        assert llm[figure]["max"] < took_ms
    assert llm["ttft_ms"]["n"] == llm["e2e_ms"]["n"] == requests
    # One gap between each two tokens; vLLM puts two into one piece now and then, when the machine is busy.
    gaps = requests * (tokens - 1)
    least = {"token_gaps": 0.9 * gaps, "mean_per_token": requests}[llm["itl_basis"]]
    assert least <= llm["itl_ms"]["n"] <= gaps
    assert llm["e2e_ms"]["min"] >= llm["ttft_ms"]["min"]
    # A mean is linear: what a request takes is its first token and the time of all the others.
    assert llm["e2e_ms"]["mean"] == pytest.approx(
        llm["ttft_ms"]["mean"] + (tokens - 1) * llm["tpot_ms"]["mean"], rel=0.05
    )
    assert llm["e2e_ms"]["mean"] * requests < took_ms
    assert llm["output_tokens_per_s"] == pytest.approx(1000 * tokens / llm["e2e_ms"]["mean"], rel=0.25)

    ordered(stt["latency_ms"])
    assert stt["rtf"]["p50"] == pytest.approx(stt["latency_ms"]["p50"] / 1000 / stt["audio_s"], rel=0.01)
    assert stt["audio_s"] == pytest.approx(5, abs=0.1)


def test_utilization_and_queue_are_vllms_own(machine: Machine) -> None:
    result = machine.ask("measure", "--mode", "llm", "--requests", "3", "--warmup", "1", "--output-tokens", "8")
    assert result["gpu_memory_utilization"]["actual"] == UTILIZATION
    queue = result["llm"]["queue"]
    assert queue["n"] == 3
    assert 0 <= queue["mean_ms"] <= result["llm"]["ttft_ms"]["max"]
    assert (result["stt"], result["simulated"]) == (None, False)


@pytest.mark.parametrize("tokens", [1, 7, 40])
def test_answers_are_as_long_as_asked_for(machine: Machine, tokens: int) -> None:
    words = ("--mode", "llm", "--requests", "2", "--warmup", "1", "--output-tokens", str(tokens))
    llm = machine.ask("measure", *words)["llm"]
    assert (llm["n"], llm["output_tokens_mean"]) == (2, tokens)


def test_prompts_are_as_long_as_asked_for_in_the_models_tokens(machine: Machine) -> None:
    words = ("--mode", "llm", "--requests", "4", "--prompt-tokens", "300", "--output-tokens", "2")
    llm = machine.ask("measure", *words)["llm"]
    # Words are one or two tokens each; 64 words, the default, would be 121.
    assert llm["prompt_tokens_mean"] == pytest.approx(300, rel=0.05)


def test_no_prompt_is_answered_from_the_prefix_cache_in_a_second_run_neither(machine: Machine) -> None:
    asked, hit = "vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total"
    before = machine.vllm.metric(asked), machine.vllm.metric(hit)
    words = ("--mode", "llm", "--requests", "3", "--prompt-tokens", "400", "--output-tokens", "2")
    for _ in range(2):
        assert machine.ask("measure", *words)["llm"]["n"] == 3
    assert machine.vllm.metric(asked) - before[0] > 2 * 3 * 350, "the cache is on, and counts tokens"
    assert machine.vllm.metric(hit) == before[1]


def test_as_many_requests_are_under_way_as_asked_for(machine: Machine) -> None:
    words = ("--mode", "llm", "--requests", "8", "--concurrency", "4", "--output-tokens", "24", "--json")
    seen: set[float] = set()
    with subprocess.Popen(machine.command("measure", *words), env=machine.env, stdout=subprocess.PIPE) as run:
        try:
            while run.poll() is None:
                seen.add(machine.vllm.metric("vllm:num_requests_running"))
                time.sleep(0.02)
            assert run.stdout is not None
            llm = json.loads(run.stdout.read())["llm"]
        finally:
            run.kill()
    assert (llm["n"], llm["errors"]) == (8, {})
    assert max(seen) == 4


def test_whisper_hears_what_was_said(whisper: Server) -> None:
    for clip, word in (("short", "light"), ("5s", "kitchen"), ("15s", "umbrella")):
        assert word in transcript(whisper, CLIPS / f"{clip}.wav").lower()


def transcript(whisper: Server, wav: Path) -> str:
    boundary = "a-boundary"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{wav.name}"\r\n\r\n'.encode()
    model = f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--{boundary}--\r\n'
    asked = urllib.request.Request(
        f"{whisper.url}/v1/audio/transcriptions",
        data=head + wav.read_bytes() + model.encode(),
        headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
    )
    with urllib.request.urlopen(asked, timeout=60) as answer:
        text: str = json.load(answer)["text"]
    return text


def test_interference(machine: Machine) -> None:
    words = ("--mode", "interference", "--requests", "4", "--warmup", "1", "--output-tokens", "16")
    result = machine.ask("measure", *words)
    found = result["interference"]
    assert (found["llm_alone"]["n"], found["stt_alone"]["n"]) == (4, 4)
    together = found["together"]
    assert together["llm"]["n"] >= 1
    assert together["stt"]["n"] >= 1
    for kind, alone, beside in (
        ("stt_latency", found["stt_alone"]["latency_ms"], together["stt"]["latency_ms"]),
        ("llm_e2e", found["llm_alone"]["e2e_ms"], together["llm"]["e2e_ms"]),
    ):
        ordered(alone)
        ordered(beside)
        assert found["slowdown"][kind]["p50"] == pytest.approx(beside["p50"] / alone["p50"], rel=0.01)
    windows = [found["windows"][name] for name in ("stt_alone", "llm_alone", "together")]
    assert all(begin < end for begin, end in windows)
    assert windows[0][1] <= windows[1][0]
    assert windows[1][1] <= windows[2][0], "alone means alone"


def test_voice_turns(machine: Machine) -> None:
    words = ("--mode", "voice", "--requests", "2", "--warmup", "1", "--output-tokens", "48")
    voice = machine.ask("measure", *words, GPU_TUI_MEASURE_VOICE_BUDGET_MS="60000")["voice"]
    assert (voice["n"], voice["errors"], len(voice["turns"])) == (2, {}, 2)
    for turn in voice["turns"]:
        assert turn["stt_ms"] > 0
        assert turn["first_token_ms"] > 0
        if turn["total_ms"] is not None:
            stages = turn["stt_ms"] + turn["first_token_ms"] + turn["first_sentence_ms"]
            assert turn["total_ms"] == pytest.approx(stages, abs=0.01)
    assert voice["within_budget"] == 2 - voice["no_sentence"]
    ordered(voice["stt_ms"])


@contextmanager
def somebody_asks(vllm: Vllm) -> Iterator[None]:
    """A long answer to somebody else, cut off when the block ends."""
    fields: dict[str, Any] = {"model": vllm.model, "messages": [{"role": "user", "content": "Tell me a long story."}]}
    fields |= {"max_tokens": 1900, "stream": True, "ignore_eos": True}
    headers = {"Content-Type": "application/json"}
    body = json.dumps(fields).encode()
    asked = urllib.request.Request(f"{vllm.url}/v1/chat/completions", data=body, headers=headers)
    stop = threading.Event()
    with urllib.request.urlopen(asked, timeout=60) as answer:

        def read() -> None:
            while not stop.is_set() and answer.readline():
                pass

        reader = threading.Thread(target=read)
        reader.start()
        try:
            until(lambda: vllm.metric("vllm:num_requests_running") == 1)
            yield
        finally:
            stop.set()
            reader.join()
    until(lambda: vllm.metric("vllm:num_requests_running") == 0)


def until(holds: Any, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "it has not come true"
        time.sleep(0.1)


def test_somebody_elses_traffic_needs_a_word(machine: Machine) -> None:
    words = ("measure", "--mode", "llm", "--requests", "1", "--warmup", "0", "--output-tokens", "2")
    with somebody_asks(machine.vllm):
        refused = machine.run(*words, "--json")
        shown = machine.ask(*words, "--dry-run")
        anyway = machine.ask(*words, "--despite-traffic")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--despite-traffic" in refused.stderr
    assert shown["requests_running"] == 1
    assert (anyway["llm"]["n"], anyway["requests_running"]) == (1, 1)
    assert machine.run(*words, "--json").returncode == 0, "afterwards nobody is in the way"


def test_interrupted_it_leaves_nothing_behind(machine: Machine) -> None:
    words = ("measure", "--mode", "llm", "--requests", "200", "--concurrency", "3", "--output-tokens", "200", "--jsonl")
    mine = psutil.Process()
    before = set(mine.children(recursive=True))
    run = subprocess.Popen(
        machine.command(*words), env=machine.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        until(lambda: machine.vllm.metric("vllm:num_requests_running") == 3, 60)
        # pytest's own question for the metrics is over by now; every connection left is the run's.
        during = machine.vllm.connections()
        started = set(mine.children(recursive=True)) - before
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=20)
    finally:
        run.kill()
        run.wait()
    assert run.returncode == 130
    assert '"summary"' not in out
    assert "Traceback" not in err
    assert len(during) >= 3
    until(lambda: machine.vllm.connections() == [])
    until(lambda: machine.vllm.metric("vllm:num_requests_running") == 0)
    _, alive = psutil.wait_procs([one for one in started if one.pid != run.pid], timeout=5)
    assert alive == []
    assert set(mine.children(recursive=True)) <= before
