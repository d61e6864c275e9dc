from __future__ import annotations

import asyncio
import itertools
import json

import pytest

from gpu_tui.bench.events import Event, Progress, RequestDone
from gpu_tui.bench.plan import Candidate, MeasurePlan, Mode
from gpu_tui.bench.runner import Runner
from tests.bench.servers import (
    CHAT,
    SPEECH,
    Handler,
    Reply,
    Request,
    answering,
    models,
    paths,
    serving,
    streaming,
)

DESCRIBED = {"/v1/models": models("m")}
OOM = answering({"error": {"message": "CUDA out of memory"}}, 500)


def plan(llm: str | None = None, stt: str | None = None, **more: object) -> MeasurePlan:
    def named(url: str | None) -> tuple[Candidate, ...]:
        return (Candidate(url=url, origin="test", chosen=True),) if url else ()

    fields = {"requests": 6, "warmup": 1, "timeout_s": 5.0, **more}
    return MeasurePlan(llm_urls=named(llm), stt_urls=named(stt), **fields)  # type: ignore[arg-type]


class Events(list[Event]):
    def requests(self, kind: str) -> list[RequestDone]:
        return [event for event in self if isinstance(event, RequestDone) and event.kind == kind]

    def progress(self) -> list[Progress]:
        return [event for event in self if isinstance(event, Progress)]


async def test_a_whole_run_warm_ups_left_out() -> None:
    handlers = {**DESCRIBED, CHAT: streaming(ttft=0.02, chunks=4), SPEECH: answering({"text": "x"}, delay=0.01)}
    events = Events()
    async with serving(handlers) as server:
        summary = await Runner(plan(server.url, server.url, warmup=2, planned_utilization=0.4), events.append).run()
        order = [request.path for request in server.requests if request.path in (CHAT, SPEECH)]
        prompts = [json.loads(r.body)["messages"][0]["content"] for r in server.asked(CHAT)]
    assert order == [CHAT] * 8 + [SPEECH] * 8
    assert len(set(prompts)) == 8
    assert summary.llm is not None
    assert summary.stt is not None
    assert (summary.llm.n, summary.stt.n, summary.reason, summary.oom_events) == (6, 6, {}, 0)
    assert summary.llm.ttft_ms is not None
    assert summary.llm.ttft_ms.min >= 20
    assert summary.stt.latency_ms is not None
    assert summary.stt.latency_ms.min >= 10
    assert summary.stt.rtf is not None
    assert summary.stt.rtf.p50 == pytest.approx(summary.stt.latency_ms.p50 / 1000 / 5, rel=0.01)
    assert summary.gpu_memory_utilization.planned == 0.4
    assert summary.generator.cpu_s is not None
    assert summary.generator.share is not None
    assert 0 < summary.generator.share < 1.5
    assert [r.index for r in events.requests("llm")] == list(range(6))
    done = [p.done for p in events.progress()]
    assert done == sorted(done)
    assert (events.progress()[-1].done, events.progress()[-1].total, events.progress()[-1].left_s) == (12, 12, 0.0)


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_concurrency_is_what_was_asked_for(concurrency: int) -> None:
    open_now = most = 0

    async def counting(request: Request, reply: Reply) -> None:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        await streaming(ttft=0.03, chunks=2)(request, reply)
        open_now -= 1

    async with serving({**DESCRIBED, CHAT: counting}) as server:
        await Runner(plan(server.url, mode=Mode.LLM, concurrency=concurrency, warmup=0), lambda _e: None).run()
    assert most == concurrency


async def test_failures_are_counted_beside_what_went_well() -> None:
    number = itertools.count()
    replies: list[Handler] = [streaming(chunks=3), OOM, answering(b"x", 500)]

    async def mixed(request: Request, reply: Reply) -> None:
        await replies[next(number) % 3](request, reply)

    events = Events()
    async with serving({**DESCRIBED, CHAT: mixed}) as server:
        summary = await Runner(plan(server.url, mode=Mode.LLM, warmup=0), events.append).run()
    assert summary.llm is not None
    assert (summary.llm.n, summary.llm.errors, summary.oom_events) == (2, {"oom": 2, "http_500": 2}, 2)
    assert [r.error for r in events.requests("llm")] == [None, "oom", "http_500"] * 2
    assert summary.measured


async def test_when_no_warm_up_goes_well_no_load_is_sent() -> None:
    async with serving({**DESCRIBED, CHAT: OOM}) as server:
        summary = await Runner(plan(server.url, mode=Mode.LLM, warmup=2), lambda _e: None).run()
        assert len(server.asked(CHAT)) == 2
    assert summary.llm is not None
    assert (summary.llm.n, summary.llm.errors, summary.llm.ttft_ms) == (0, {"oom": 2}, None)
    assert summary.reason["llm"].startswith("unmeasured: every warm-up failed: oom 2")
    assert (summary.oom_events, summary.measured, summary.generator.cpu_s) == (2, False, None)


async def test_a_hopeless_run_stops_early() -> None:
    async with serving({**DESCRIBED, CHAT: answering(b"", 500)}) as server:
        await Runner(plan(server.url, mode=Mode.LLM, warmup=0, requests=500), lambda _e: None).run()
        assert len(server.asked(CHAT)) == 3


async def test_no_endpoint_is_no_error() -> None:
    events = Events()
    summary = await Runner(plan(), events.append).run()
    assert (summary.llm, summary.stt, summary.oom_events, summary.measured) == (None, None, None, False)
    assert summary.reason == {"llm": "unmeasured: no endpoint", "stt": "unmeasured: no endpoint"}
    assert events.progress()[-1].total == 0


async def test_the_servers_own_utilization_outranks_the_command_lines() -> None:
    async def metrics(_request: Request, reply: Reply) -> None:
        await reply.head(200, "text/plain")
        await reply.raw(b'vllm:cache_config_info{gpu_memory_utilization="0.9"} 1.0\n')

    async with serving({**DESCRIBED, CHAT: streaming(), "/metrics": metrics}) as server:
        said = await Runner(plan(server.url, actual_utilization=0.5, mode=Mode.LLM), lambda _e: None).run()
    async with serving({**DESCRIBED, CHAT: streaming()}) as server:
        silent = await Runner(plan(server.url, actual_utilization=0.5, mode=Mode.LLM), lambda _e: None).run()
    assert said.gpu_memory_utilization.actual == 0.9
    assert silent.gpu_memory_utilization.actual == 0.5


async def test_a_server_that_does_not_stream_is_counted_as_such() -> None:
    whole = {"choices": [{"message": {"content": "hi"}}]}
    async with serving({**DESCRIBED, CHAT: answering(whole)}) as server:
        summary = await Runner(plan(server.url, mode=Mode.LLM), lambda _e: None).run()
    assert summary.llm is not None
    assert (summary.llm.n, summary.llm.not_streamed) == (6, 6)
    assert (summary.llm.ttft_ms, summary.llm.itl_ms, summary.llm.output_tokens_per_s) == (None, None, None)
    assert summary.llm.e2e_ms is not None


async def test_a_preview_sends_no_load() -> None:
    handlers = {**DESCRIBED, CHAT: streaming(), "/openapi.json": paths(CHAT)}
    async with serving(handlers) as server:
        preview = await Runner(plan(server.url), lambda _e: None).preview()
        assert server.asked(CHAT) == []
    assert preview.llm is not None
    assert (preview.llm.url, preview.llm.model, preview.stt) == (server.url, "m", None)


async def test_cancelling_closes_every_socket() -> None:
    async with serving({**DESCRIBED, CHAT: streaming(itl=0.05, chunks=1000)}) as server:
        run = asyncio.create_task(Runner(plan(server.url, concurrency=4, timeout_s=60), lambda _e: None).run())
        for _ in range(1000):
            if any(len(reply.sent) > 2 for reply in server.replies):
                break
            await asyncio.sleep(0.01)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        for _ in range(200):
            if server.open_now == 0:
                break
            await asyncio.sleep(0.01)
        assert server.open_now == 0
