from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from gpu_tui.bench.client import ProbeFailure, open_session
from gpu_tui.bench.stt import SttProbe
from gpu_tui.bench.workload import load_clip, prompt
from gpu_tui.clock import SystemClock
from tests.bench.servers import SPEECH, Handler, answering, saying, serving


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session(1, SystemClock()) as session:
        yield session


def probe(session: aiohttp.ClientSession, url: str, timeout_s: float = 10) -> SttProbe:
    return SttProbe(session, SystemClock(), url=url, model="whisper-tiny", clip=load_clip(), timeout_s=timeout_s)


async def test_latency_and_real_time_factor(session: aiohttp.ClientSession) -> None:
    async with serving({SPEECH: answering({"text": "hello"}, delay=0.2)}) as server:
        timings = await probe(session, server.url).transcribe()
        request = server.requests[0]
    assert timings.latency_s is not None
    assert 0.2 <= timings.latency_s < 0.35
    assert timings.rtf == pytest.approx(timings.latency_s / load_clip().audio_s)
    assert request.headers["content-type"].startswith("multipart/form-data")
    assert load_clip().wav in request.body
    assert b"whisper-tiny" in request.body


@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        (answering({"detail": "bad audio"}, 500), "http_500"),
        (answering({"error": {"message": "CUDA failed with error out of memory"}}, 500), "oom"),
        (answering({"error": "busy"}), "server_error"),
        (answering({"words": []}), "bad_answer"),
        (answering(["text"]), "bad_answer"),
        (saying(b"hello", kind="text/plain"), "bad_json"),
        (saying(b'{"text": "\xe2\x82', kind="application/json"), "bad_json"),
        (saying(b"x" * 9_000_000, kind="application/json"), "too_large"),
    ],
)
async def test_every_misbehaviour_has_a_name(session: aiohttp.ClientSession, handler: Handler, kind: str) -> None:
    async with serving({SPEECH: handler}) as server:
        with pytest.raises(ProbeFailure) as caught:
            await probe(session, server.url).transcribe()
    assert caught.value.kind == kind


async def test_timeout(session: aiohttp.ClientSession) -> None:
    async with serving({SPEECH: answering({"text": ""}, delay=5)}) as server:
        with pytest.raises(ProbeFailure) as caught:
            await probe(session, server.url, timeout_s=0.2).transcribe()
    assert caught.value.kind == "timeout"


async def test_silence_is_a_transcript(session: aiohttp.ClientSession) -> None:
    async with serving({SPEECH: answering({"text": ""})}) as server:
        assert (await probe(session, server.url).transcribe()).latency_s is not None


def test_prompts_follow_from_the_seed_and_share_no_beginning() -> None:
    first = [prompt(1, index, 64) for index in range(200)]
    assert first == [prompt(1, index, 64) for index in range(200)]
    assert len({" ".join(text.split()[:8]) for text in first}) == 200
    assert prompt(2, 0, 64) != first[0]
    assert len(prompt(1, 0, 500).split()) > 500
