"""Modes of a run beside the plain one, and what a run does where others are at work."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path

import pytest

from gpu_tui.bench.events import Event, Progress, RequestDone, TurnDone
from gpu_tui.bench.plan import MeasurePlan, Mode
from gpu_tui.bench.runner import Runner
from gpu_tui.errors import UsageError
from tests.bench.servers import (
    CHAT,
    DONE,
    SPEECH,
    Handler,
    Reply,
    Request,
    answering,
    models,
    saying,
    serving,
    streaming,
    token,
    usage,
)
from tests.bench.test_runner import DESCRIBED, plan

SPOKEN = (token("Sure"), token("."), token(" The"), token(" rest", "stop"), usage(4) + DONE)


def metrics_of(*pages: str) -> Handler:
    """Each page once, the last one for ever."""
    turn = itertools.chain(pages, itertools.repeat(pages[-1]))

    async def handle(_request: Request, reply: Reply) -> None:
        await reply.head(200, "text/plain")
        await reply.raw(next(turn).encode())

    return handle


def page(running: int, queue_s: float = 0.0, count: int = 0) -> str:
    return (
        f"vllm:num_requests_running {running}.0\nvllm:request_queue_time_seconds_sum {queue_s}\n"
        f"vllm:request_queue_time_seconds_count {count}.0\n"
    )


async def done(what: MeasurePlan) -> tuple[object, list[Event]]:
    events: list[Event] = []
    return await Runner(what, events.append).run(), events


async def test_interference_is_measured_in_three_loads() -> None:
    busy = {"llm": 0, "stt": 0}
    overlaps: list[bool] = []

    async def chat(request: Request, reply: Reply) -> None:
        busy["llm"] += 1
        try:
            overlaps.append(busy["stt"] > 0)
            await streaming(ttft=0.09 if busy["stt"] else 0.03, chunks=3)(request, reply)
        finally:
            busy["llm"] -= 1

    async def speech(request: Request, reply: Reply) -> None:
        busy["stt"] += 1
        try:
            await answering({"text": "x"}, delay=0.02)(request, reply)
        finally:
            busy["stt"] -= 1

    async with serving({**DESCRIBED, CHAT: chat, SPEECH: speech}) as server:
        events: list[Event] = []
        what = plan(server.url, server.url, mode=Mode.INTERFERENCE, requests=5, warmup=1)
        summary = await Runner(what, events.append).run()
        prompts = [json.loads(request.body)["messages"][0]["content"] for request in server.asked(CHAT)]
    found = summary.interference
    assert found is not None
    assert found.together is not None
    assert found.together.llm is not None
    assert found.together.stt is not None
    assert found.llm_alone == summary.llm
    assert found.stt_alone == summary.stt
    assert not any(overlaps[:6])
    assert found.together.llm.n >= 5
    # The faster kind goes on beside the slower one, so that neither is measured alone in the end.
    assert found.together.stt.n > 5
    slower = found.slowdown["llm_ttft"]
    assert slower is not None
    assert slower.p50 is not None
    assert slower.p50 > 1.4
    assert summary.llm is not None
    assert summary.llm.ttft_ms is not None
    assert found.together.llm.ttft_ms is not None
    assert slower.p50 == pytest.approx(found.together.llm.ttft_ms.p50 / summary.llm.ttft_ms.p50, abs=0.001)
    windows = [found.windows[name] for name in ("stt_alone", "llm_alone", "together")]
    assert [end for pair in windows for end in pair] == sorted(end for pair in windows for end in pair)
    assert len(set(prompts)) == len(prompts)
    stages = [event.stage for event in events if isinstance(event, RequestDone)]
    assert stages[:10] == ["stt_alone"] * 5 + ["llm_alone"] * 5
    assert set(stages[10:]) == {"together"}
    last = [event for event in events if isinstance(event, Progress)][-1]
    assert (last.done, last.total) == (20, 20)


async def test_of_one_service_alone_there_is_no_slowdown() -> None:
    async with serving({**DESCRIBED, CHAT: streaming()}) as server:
        summary = await Runner(plan(server.url, mode=Mode.INTERFERENCE), lambda _e: None).run()
    assert summary.interference is not None
    assert (summary.interference.together, set(summary.interference.slowdown.values())) == (None, {None})
    assert summary.reason["together"] == "unmeasured: both services are needed"
    assert summary.measured


async def test_a_side_that_fails_together_ends_the_other() -> None:
    asked = itertools.count()

    async def breaking(request: Request, reply: Reply) -> None:
        works = next(asked) < 7  # a warm-up and the load alone
        until = 0 if works else len(server.asked(CHAT)) + 3
        while len(server.asked(CHAT)) < until:  # noqa: ASYNC110 - it fails slowly: the LLM answers meanwhile
            await asyncio.sleep(0.005)
        await (answering({"text": "x"}) if works else answering(b"", 500))(request, reply)

    handlers = {**DESCRIBED, CHAT: streaming(ttft=0.01), SPEECH: breaking}
    async with serving(handlers) as server, asyncio.timeout(20):
        summary = await Runner(plan(server.url, server.url, mode=Mode.INTERFERENCE), lambda _e: None).run()
    assert summary.interference is not None
    assert summary.interference.together is not None
    assert summary.interference.together.stt is not None
    assert summary.interference.together.stt.errors == {"http_500": 3}
    assert summary.interference.together.llm is not None
    assert summary.interference.together.llm.ttft_ms is not None
    # Beside a service that answers nothing the LLM is as good as alone: no factor of 1.00 may say otherwise.
    assert set(summary.interference.slowdown.values()) == {None}
    assert summary.reason["together"].startswith("unmeasured: the STT delivered nothing beside LLM: http_500 3")


async def test_a_side_that_fails_in_part_is_told_beside_the_factors() -> None:
    asked = itertools.count()

    async def halting(request: Request, reply: Reply) -> None:
        number = next(asked)
        works = number < 5 or number % 2 == 1  # a warm-up, the load alone, then every other one
        await (answering({"text": "x"}, delay=0.02) if works else answering(b"", 500))(request, reply)

    async with serving({**DESCRIBED, CHAT: streaming(ttft=0.05), SPEECH: halting}) as server:
        what = plan(server.url, server.url, mode=Mode.INTERFERENCE, requests=4, warmup=1)
        summary = await Runner(what, lambda _e: None).run()
    assert summary.interference is not None
    assert summary.interference.slowdown["llm_ttft"] is not None
    assert "together" not in summary.reason
    assert any("STT requests failed beside the LLM" in note for note in summary.notes)


async def test_gaps_and_means_make_no_slowdown() -> None:
    """Alone one token a chunk, together two: a p95 of gaps over a p95 of means would be no factor."""
    asked = itertools.count()

    async def chat(request: Request, reply: Reply) -> None:
        tokens = 4 if next(asked) < 4 else 8  # a warm-up and the load alone
        await streaming(ttft=0.02, itl=0.02, chunks=4, tokens=tokens)(request, reply)

    async with serving({**DESCRIBED, CHAT: chat, SPEECH: answering({"text": "x"}, delay=0.02)}) as server:
        what = plan(server.url, server.url, mode=Mode.INTERFERENCE, requests=3, warmup=1)
        summary = await Runner(what, lambda _e: None).run()
    assert summary.interference is not None
    slowdown = summary.interference.slowdown
    assert (slowdown["llm_itl"], slowdown["llm_tpot"] is None) == (None, False)


async def test_what_ends_after_the_other_side_ran_partly_alone_and_does_not_count() -> None:
    asked = itertools.count()

    async def speech(request: Request, reply: Reply) -> None:
        early = next(asked) < 5  # a warm-up, two alone, two together
        await answering({"text": "x"}, delay=0.0 if early else 0.6)(request, reply)

    async with serving({**DESCRIBED, CHAT: streaming(ttft=0.1), SPEECH: speech}) as server:
        what = plan(server.url, server.url, mode=Mode.INTERFERENCE, requests=2)
        events: list[Event] = []
        summary = await Runner(what, events.append).run()
        assert len(server.asked(SPEECH)) == 6
    assert summary.interference is not None
    assert summary.interference.together is not None
    assert summary.interference.together.stt is not None
    assert summary.interference.together.llm is not None
    assert (summary.interference.together.stt.n, summary.interference.together.llm.n) == (2, 2)
    # Single requests say of themselves whether they are in the figures: the journal compares runs by them.
    both = [one for one in events if isinstance(one, RequestDone) and one.stage == "together" and one.error is None]
    for kind, result in (("llm", summary.interference.together.llm), ("stt", summary.interference.together.stt)):
        assert sum(one.kind == kind and one.counts for one in both) == result.n
    assert [one.counts for one in both if one.kind == "stt"] == [True, True, False]


async def test_a_voice_turn_has_stages_that_add_up() -> None:
    asked: list[str] = []

    async def chat(request: Request, reply: Reply) -> None:
        asked.append(json.loads(request.body)["messages"][0]["content"])
        await reply.head()
        await asyncio.sleep(0.04)
        for part in SPOKEN:
            await reply.raw(part)
            await asyncio.sleep(0.02)

    async with serving({**DESCRIBED, CHAT: chat, SPEECH: answering({"text": "light on"}, delay=0.05)}) as server:
        events: list[Event] = []
        what = plan(server.url, server.url, mode=Mode.VOICE, requests=3, voice_budget_ms=60.0)
        summary = await Runner(what, events.append).run()
    voice = summary.voice
    assert voice is not None
    assert (voice.n, voice.errors, voice.no_sentence) == (3, {}, 0)
    turns = [event.turn for event in events if isinstance(event, TurnDone)]
    assert turns == voice.turns
    for turn in turns:
        assert turn.stt_ms is not None
        assert turn.first_token_ms is not None
        assert turn.first_sentence_ms is not None
        assert turn.stt_ms >= 50
        assert turn.first_token_ms >= 40
        assert turn.first_sentence_ms >= 40  # "Sure.", known to be over when " The" has come
        assert turn.total_ms == pytest.approx(turn.stt_ms + turn.first_token_ms + turn.first_sentence_ms, abs=0.01)
    assert (voice.budget_ms, voice.within_budget) == (60.0, 0)
    assert all("light on" in text for text in asked)
    assert len(set(asked)) == len(asked) == 4
    assert (summary.llm, summary.stt, summary.measured) == (None, None, True)


async def test_failed_turns_are_named_by_their_stage() -> None:
    asked = itertools.count()

    async def speech(request: Request, reply: Reply) -> None:
        good = next(asked) % 2 == 0
        await (answering({"text": ""}) if good else answering(b"", 500))(request, reply)

    chat = saying(token("no end"), token(" of it", "length"), usage(2) + DONE)
    async with serving({**DESCRIBED, CHAT: chat, SPEECH: speech}) as server:
        summary = await Runner(plan(server.url, server.url, mode=Mode.VOICE, warmup=0), lambda _e: None).run()
    async with serving({**DESCRIBED, CHAT: answering(b"", 429), SPEECH: answering({"text": ""})}) as server:
        refused = await Runner(plan(server.url, server.url, mode=Mode.VOICE, warmup=0), lambda _e: None).run()
    assert summary.voice is not None
    assert (summary.voice.n, summary.voice.errors) == (3, {"stt_http_500": 3})
    # Cut off before a sentence ended: a first token, and no total.
    assert (summary.voice.no_sentence, summary.voice.total_ms, summary.voice.within_budget) == (3, None, None)
    assert summary.voice.first_token_ms is not None
    assert refused.voice is not None
    assert (refused.voice.n, refused.voice.errors, refused.measured) == (0, {"llm_http_429": 3}, False)


async def test_a_voice_turn_needs_both() -> None:
    async with serving({**DESCRIBED, CHAT: streaming()}) as server:
        summary = await Runner(plan(server.url, mode=Mode.VOICE), lambda _e: None).run()
        assert server.asked(CHAT) == []
    assert (summary.voice, summary.measured) == (None, False)
    assert summary.reason["voice"] == "unmeasured: both services are needed"


async def test_live_traffic_is_told_and_refused() -> None:
    handlers = {**DESCRIBED, CHAT: streaming(), "/metrics": metrics_of(page(running=2))}
    async with serving(handlers) as server:
        preview = await Runner(plan(server.url, mode=Mode.LLM), lambda _e: None).preview()
        with pytest.raises(UsageError, match=r"answering 2 other requests.*--despite-traffic"):
            await Runner(plan(server.url, mode=Mode.LLM, refuse_traffic=True), lambda _e: None).run()
        assert server.asked(CHAT) == []
        summary = await Runner(plan(server.url, mode=Mode.LLM), lambda _e: None).run()
    assert preview.requests_running == 2
    assert any("answering 2 other requests" in note for note in preview.notes)
    assert summary.requests_running == 2
    assert any("answering 2 other requests" in note for note in summary.notes)


async def test_without_traffic_nothing_is_refused_and_an_unknown_one_is_unknown() -> None:
    for handlers, told in (({"/metrics": metrics_of(page(running=0))}, 0), ({}, None)):
        async with serving({**DESCRIBED, CHAT: streaming(), **handlers}) as server:
            summary = await Runner(plan(server.url, mode=Mode.LLM, refuse_traffic=True), lambda _e: None).run()
        assert (summary.requests_running, "answering" in str(summary.notes)) == (told, False)


async def test_queue_time_is_the_servers_own_over_the_load_alone() -> None:
    # Found, before the load, after it too early, after it.
    pages = (page(0, 9.0, 90), page(0, 10.0, 100), page(0, 10.1, 103), page(0, 10.3, 106))
    async with serving({**DESCRIBED, CHAT: streaming(), "/metrics": metrics_of(*pages)}) as server:
        summary = await Runner(plan(server.url, mode=Mode.LLM, warmup=0), lambda _e: None).run()
        fields = [json.loads(request.body) for request in server.asked(CHAT)]
    assert summary.llm is not None
    assert summary.llm.queue is not None
    assert (summary.llm.queue.mean_ms, summary.llm.queue.n, summary.llm.queue.origin) == (50.0, 6, "measured")
    assert all(sent["ignore_eos"] for sent in fields)


async def test_a_server_that_is_no_vllm_is_sent_no_field_of_its_own() -> None:
    async with serving({**DESCRIBED, CHAT: streaming()}) as server:
        summary = await Runner(plan(server.url, mode=Mode.LLM, warmup=0), lambda _e: None).run()
        assert not any(b"ignore_eos" in request.body for request in server.asked(CHAT))
    assert summary.llm is not None
    assert summary.llm.queue is None


async def test_a_users_prompts_and_clip_are_what_is_sent(tmp_path: Path) -> None:
    from tests.bench.test_workload import sound

    file = tmp_path / "mine.wav"
    file.write_bytes(sound())
    handlers = {"/v1/models": models("m"), CHAT: streaming(), SPEECH: answering({"text": ""})}
    async with serving(handlers) as server:
        what = plan(server.url, server.url, prompts=("one", "two"), wav=str(file), output_tokens=7)
        summary = await Runner(what, lambda _e: None).run()
        sent = [json.loads(request.body) for request in server.asked(CHAT)][1:]
        assert all(file.read_bytes() in request.body for request in server.asked(SPEECH))
    assert [fields["messages"][0]["content"] for fields in sent] == ["one", "two"] * 3
    assert {fields["max_tokens"] for fields in sent} == {7}
    assert summary.workload is not None
    assert (summary.workload.prompts, summary.workload.prompt_words, summary.workload.clip) == (
        "file",
        None,
        "mine.wav",
    )
    assert any("2 prompts for 6 requests" in note for note in summary.notes)
    assert summary.stt is not None
    assert summary.stt.audio_s == 0.5
    assert summary.stt.rtf is not None
    assert summary.stt.rtfx is not None
    assert summary.stt.rtf.min * summary.stt.rtfx.max == pytest.approx(1, rel=0.01)


async def test_a_rate_and_a_duration() -> None:
    async with serving({**DESCRIBED, CHAT: streaming(ttft=0.2)}) as server:
        what = plan(server.url, mode=Mode.LLM, rate=20.0, constant_rate=True, duration_s=0.5, warmup=1)
        events: list[Event] = []
        summary = await Runner(what, events.append).run()
        assert server.most_open > 2
    assert summary.llm is not None
    assert 6 <= summary.llm.n <= 11
    assert summary.arrival_lag_ms is not None
    assert summary.arrival_lag_ms.n == summary.llm.n
    assert summary.workload is not None
    assert (summary.workload.rate, summary.workload.requests, summary.workload.concurrency) == (20.0, None, None)
    progress = [event for event in events if isinstance(event, Progress)]
    assert all(event.done <= event.total for event in progress)
    assert progress[-1].done == progress[-1].total == summary.llm.n
