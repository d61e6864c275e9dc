from __future__ import annotations

import asyncio
import io
import json
import urllib.request
from collections.abc import Iterator

import pytest

from gpu_tui.bench.client import open_session
from gpu_tui.bench.demo import DemoAddresses, DemoServers
from gpu_tui.bench.plan import MeasurePlan, candidates
from gpu_tui.bench.runner import Runner
from gpu_tui.clock import SystemClock
from tests.bench.servers import CHAT, SPEECH


@pytest.fixture(scope="module")
def demo() -> Iterator[DemoAddresses]:
    with DemoServers(utilization=0.5, ttft_ms=60, itl_ms=10, stt_ms=80) as servers:
        yield servers.start()


def got(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as response:
        return response.read().decode()


def test_both_services_are_on_loopback_ports_of_their_own(demo: DemoAddresses) -> None:
    assert demo.simulated
    assert demo.llm != demo.stt
    for url in (demo.llm, demo.stt):
        assert url.startswith("http://127.0.0.1:")


async def test_every_answer_is_labelled(demo: DemoAddresses) -> None:
    pages = [f"{demo.llm}/v1/models", f"{demo.llm}/metrics", f"{demo.llm}/openapi.json", f"{demo.stt}/v1/models"]
    for page in pages:
        assert "SIMULATED" in await asyncio.to_thread(got, page)
    async with open_session(1, SystemClock()) as session:
        async with session.post(f"{demo.llm}{CHAT}", data=json.dumps({"max_tokens": 3})) as response:
            text = (await response.read()).decode()
        assert "SIMULATED answer" in text
        assert text.count("SIMULATED-") == 5
        async with session.post(f"{demo.stt}{SPEECH}", data={"file": io.BytesIO(b"x")}) as response:
            assert "SIMULATED" in (await response.read()).decode()
        async with session.post(f"{demo.llm}{CHAT}", data=b"{") as response:
            assert response.status == 400
            assert "SIMULATED" in (await response.read()).decode()


async def test_the_same_code_measures_it(demo: DemoAddresses) -> None:
    every = candidates(demo.stt, demo.llm, origin="the demo")
    plan = MeasurePlan(llm_urls=every, stt_urls=every[::-1], requests=6, warmup=1, simulated=True)
    summary = await Runner(plan, lambda _event: None).run()
    assert summary.simulated
    assert summary.gpu_memory_utilization.actual == 0.5
    assert summary.llm is not None
    assert summary.stt is not None
    assert (summary.llm.url, summary.stt.url) == (demo.llm, demo.stt)
    assert summary.llm.model is not None
    assert summary.llm.model.startswith("SIMULATED")
    assert summary.llm.ttft_ms is not None
    assert summary.llm.itl_ms is not None
    assert summary.stt.latency_ms is not None
    assert 40 < summary.llm.ttft_ms.p50 < 160
    assert 7 < summary.llm.itl_ms.p50 < 40
    assert 50 < summary.stt.latency_ms.p50 < 180
    assert summary.llm.itl_basis == "token_gaps"
    # (12288 × 0.5 − 5700) MiB in blocks of 16 tokens of 56 KiB
    assert (summary.llm.kv_cache_tokens, summary.llm.kv_cache_tokens_origin) == (8112, "measured")


async def test_a_demo_found_without_being_told_is_simulated_all_the_same(demo: DemoAddresses) -> None:
    plan = MeasurePlan(llm_urls=candidates(demo.llm, origin="a port"), requests=1, warmup=0)
    assert (await Runner(plan, lambda _event: None).run()).simulated
