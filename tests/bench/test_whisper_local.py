"""A local model, with a stand-in for faster-whisper in the child; real time, real processes."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shlex
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import psutil
import pytest

from gpu_tui.bench.client import ProbeFailure
from gpu_tui.bench.plan import MeasurePlan
from gpu_tui.bench.whisper_local import LocalWhisper
from gpu_tui.bench.workload import load_clip
from gpu_tui.clock import SystemClock
from tests.bench.test_child import gone, until
from tests.bench.whispers import environment

OOM = "CUDA failed with error out of memory"
Opened = Callable[..., AbstractAsyncContextManager[LocalWhisper]]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    """A local model whose library does as told; not loaded yet."""

    @asynccontextmanager
    async def open_it(*, plan: MeasurePlan | None = None, **does: Any) -> AsyncIterator[LocalWhisper]:
        for name, value in environment(**does).items():
            monkeypatch.setenv(name, value)
        async with LocalWhisper(plan or MeasurePlan(), "/a/folder", load_clip(), SystemClock()) as whisper:
            yield whisper

    return open_it


def children() -> list[int]:
    return [child.pid for child in psutil.Process().children() if "whisper_worker" in " ".join(child.cmdline())]


async def test_loading_is_told_apart_and_counts_in_no_latency(opened: Opened) -> None:
    async with opened(load_s=0.6, delay_s=0.15) as whisper:
        local = await whisper.load()
        timings, text = await whisper.hear()
        again = await whisper.transcribe()
    assert local.load_s >= 0.6
    assert (local.device, local.compute_type, local.version, local.workers) == ("cpu", "fake8", "0.fake", 1)
    assert text == " Turn on light 1."
    for one in (timings, again):
        assert one.latency_s is not None
        assert 0.15 <= one.latency_s < 0.5
    assert timings.rtf == pytest.approx((timings.latency_s or 0) / load_clip().audio_s)
    assert timings.rtfx == pytest.approx(1 / (timings.rtf or 0))


async def test_what_waits_its_turn_waits_in_its_latency(opened: Opened) -> None:
    for concurrency, slowest in ((1, 0.6), (2, 0.3)):
        async with opened(plan=MeasurePlan(concurrency=concurrency), delay_s=0.3) as whisper:
            assert (await whisper.load()).workers == concurrency
            both = await asyncio.gather(whisper.transcribe(), whisper.transcribe())
        latencies = sorted(one.latency_s or 0 for one in both)
        assert 0.3 <= latencies[0] < 0.5
        assert slowest <= latencies[1] < slowest + 0.2


async def failure(asked: Any) -> ProbeFailure:
    with pytest.raises(ProbeFailure) as caught:
        await asked
    return caught.value


@pytest.mark.parametrize(
    ("does", "kind", "words"),
    [
        ("raise:Unable to open file 'model.bin'", "server_error", "could not be loaded: RuntimeError: Unable to open"),
        (f"raise:{OOM}", "oom", "out of memory"),
        (
            "exit:Could not load library libcudnn_ops.so",
            "closed_early",
            "Could not load library libcudnn_ops.so.",
        ),
        (f"exit:terminate called after {OOM}", "oom", "exit code 3"),
    ],
)
async def test_a_model_that_cannot_be_loaded(opened: Opened, does: str, kind: str, words: str) -> None:
    async with opened(load=does) as whisper:
        told = await failure(whisper.load())
    assert told.kind == kind
    assert words in told.message
    assert told.remedy
    assert "Traceback" not in str(told)


@pytest.mark.parametrize(
    ("does", "kind"),
    [(f"raise:{OOM}", "oom"), ("raise:broken", "server_error"), ("exit:", "closed_early"), (f"exit:{OOM}", "oom")],
)
async def test_a_transcription_that_fails_has_a_name(opened: Opened, does: str, kind: str) -> None:
    async with opened(then=does) as whisper:
        await whisper.load()
        assert (await failure(whisper.hear())).kind == kind
        assert (await failure(asyncio.wait_for(whisper.hear(), 5))).kind == kind, "and so has every other"


async def test_without_the_extra_it_says_what_to_install() -> None:
    if importlib.util.find_spec("faster_whisper") is not None:
        pytest.skip("faster-whisper is installed here")
    async with LocalWhisper(MeasurePlan(), "/a/folder", load_clip(), SystemClock()) as whisper:
        told = await failure(whisper.load())
    assert told.kind == "not_installed"
    assert f"pip --python {shlex.quote(sys.executable)} install faster-whisper" in told.remedy


async def test_an_answer_that_comes_too_late_is_not_the_next_one_s(opened: Opened) -> None:
    async with opened(plan=MeasurePlan(timeout_s=0.4), first_s=0.8, delay_s=0.05) as whisper:
        await whisper.load()
        assert (await failure(whisper.hear())).kind == "timeout"
        await asyncio.sleep(0.6)
        _, text = await whisper.hear()
    assert text == " Turn on light 2."


async def test_leaving_the_block_ends_the_process_at_once(opened: Opened) -> None:
    async with opened(delay_s=60) as whisper:
        await whisper.load()
        hearing = asyncio.create_task(whisper.hear())
        await asyncio.sleep(0.1)
        (pid,) = children()
        began = SystemClock().monotonic()
    assert SystemClock().monotonic() - began < 2
    assert gone(pid)
    assert (await failure(hearing)).kind == "closed_early"


async def test_cancelling_while_it_loads_ends_the_process(opened: Opened) -> None:
    async def load() -> None:
        async with opened(load_s=60) as whisper:
            await whisper.load()

    task = asyncio.create_task(load())
    await until(children)
    (pid,) = children()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gone(pid)


async def test_it_sees_the_gpu_that_is_measured_on(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    for given, wanted in ((None, "GPU-1"), ("3", "3")):
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if given is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
        async with opened(plan=MeasurePlan(stt_gpu="GPU-1")) as whisper:
            await whisper.load()
            (pid,) = children()
            assert psutil.Process(pid).environ()["CUDA_VISIBLE_DEVICES"] == wanted


async def test_an_interruption_of_the_terminal_is_the_parent_s_to_act_upon(opened: Opened) -> None:
    async with opened() as whisper:
        await whisper.load()
        (pid,) = children()
        os.kill(pid, signal.SIGINT)
        await asyncio.sleep(0.2)
        assert (await whisper.transcribe()).latency_s is not None
