"""Out of memory is read from answers and logs, never guessed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from gpu_tui.bench.oom import PATTERN, LogWatch
from gpu_tui.bench.runner import Runner
from gpu_tui.telemetry.service_log import log_files
from gpu_tui.wiring import Evaluator, Options
from tests.bench.servers import CHAT, Handler, answering, models, serving, streaming
from tests.bench.test_runner import plan

OOM_ANSWER = answering({"error": {"message": "CUDA out of memory"}}, 500)
LINE = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB.\n"


@pytest.mark.parametrize(
    "text",
    [
        LINE,
        "RuntimeError: CUDA error: out of memory",
        "ggml: cudaMalloc failed: out of memory",
        "CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)",
    ],
)
def test_known_words(text: str) -> None:
    assert PATTERN.search(text)


@pytest.mark.parametrize("text", ["No available memory for the cache blocks.", "out of memory lane", "200 OK"])
def test_other_words(text: str) -> None:
    assert not PATTERN.search(text)


def test_only_what_a_log_grew_by_counts(tmp_path: Path) -> None:
    log = tmp_path / "vllm.log"
    log.write_text(LINE * 3)
    watch = LogWatch((str(log), str(tmp_path / "absent"), str(tmp_path)))
    assert watch.paths == [str(log)]
    assert watch.ooms() == 0
    with log.open("a") as out:
        out.write("fine\n" + LINE + "half\xff a character\n" + LINE)
    assert watch.ooms() == 2
    log.unlink()
    log.write_text(LINE)
    assert watch.ooms() == 1, "a new file under the old name is read from its beginning"
    log.unlink()
    assert watch.ooms() == 0


async def test_a_run_counts_what_the_service_logged(tmp_path: Path) -> None:
    log = tmp_path / "vllm.log"
    log.write_text(LINE)

    class Writing(list):  # type: ignore[type-arg]
        def append(self, event: object) -> None:
            super().append(event)
            if type(event).__name__ == "RequestDone" and not any(type(e).__name__ == "RequestDone" for e in self[:-1]):
                with log.open("a") as out:
                    out.write(LINE)

    async with serving({"/v1/models": models("m"), CHAT: streaming(ttft=0.01, chunks=2)}) as server:
        summary = await Runner(plan(server.url, log_paths=(str(log),)), Writing().append).run()
    assert summary.oom_events == 1
    assert "1 times" in " ".join(summary.notes)


async def test_answer_and_log_are_not_added_up(tmp_path: Path) -> None:
    log = tmp_path / "vllm.log"
    log.write_text("")
    failing = answering({"error": {"message": "CUDA out of memory"}}, 500)
    async with serving({"/v1/models": models("m"), CHAT: failing}) as server:
        summary = await Runner(plan(server.url, warmup=0, requests=2, log_paths=(str(log),)), lambda _e: None).run()
    assert summary.oom_events == 2


def test_a_services_log_is_found_by_its_descriptors(tmp_path: Path) -> None:
    log = tmp_path / "out.log"
    with log.open("w") as out:
        argv = [sys.executable, "-c", "import time; time.sleep(60)"]
        process = subprocess.Popen(argv, stdout=out, stderr=subprocess.PIPE)
    try:
        assert log_files([process.pid, 2**22 + 7]) == (str(log),)
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()
    assert log_files([process.pid]) == ()


@pytest.mark.parametrize("handler", [OOM_ANSWER, streaming(chunks=3)])
async def test_the_evaluator_fails_a_candidate_whose_server_ran_out_of_memory(handler: Handler) -> None:
    async with serving({"/v1/models": models("m"), CHAT: handler}) as server:
        flags = {"endpoints.llm": ("--llm", server.url), "journal": ("--no-journal", "off")}
        flags |= {"measure.requests": ("--requests", 2)}  # type: ignore[dict-item]
        one = Evaluator(Options(scenario="kloros", overrides=flags))
        result = await asyncio.to_thread(one.evaluate, {"vllm_memory_util": 0.5})
    failed = handler is OOM_ANSWER
    assert result.status == ("fail" if failed else "pass")
    assert result.oom_events == (2 if failed else 0)
    assert (result.fitness > 0) is not failed
    assert result.concurrent_capacity_origin is not None
    assert result.concurrent_capacity_origin["kind"] == "assumed", "a server without vLLM's metrics"
