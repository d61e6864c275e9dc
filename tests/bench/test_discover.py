from __future__ import annotations

import pytest

from gpu_tui.bench.client import open_session
from gpu_tui.bench.discover import NO_ENDPOINT, Discovery, Found
from gpu_tui.bench.plan import MeasurePlan, candidates
from gpu_tui.bench.shapes import WhisperSize
from gpu_tui.clock import SystemClock
from tests.bench.servers import CHAT, SPEECH, Handler, answering, models, paths, saying, serving

KEY = "sesame-sesame"
VLLM = {"/v1/models": models("Qwen/Qwen2.5-7B"), "/openapi.json": paths(CHAT, SPEECH, "/v1/models")}


async def looked(kind: str, *urls: str, chosen: bool = False, **plan: object) -> Found:
    found = candidates(*urls, origin="a port", chosen=chosen)
    made = MeasurePlan(llm_urls=found, stt_urls=found, timeout_s=2, **plan)  # type: ignore[arg-type]
    async with open_session(1, SystemClock()) as session:
        discovery = Discovery(session, made, KEY)
        return await (discovery.llm() if kind == "llm" else discovery.stt())


def metrics(*labels: str) -> Handler:
    lines = "".join(f"vllm:cache_config_info{{{label}}} 1.0\n" for label in labels)
    return saying(f"# TYPE vllm:cache_config_info gauge\n{lines}".encode(), kind="text/plain")


async def test_the_model_is_what_the_server_lists() -> None:
    async with serving(VLLM) as server:
        found = await looked("llm", server.url)
    assert found.endpoint is not None
    assert (found.endpoint.model, found.endpoint.model_origin) == ("Qwen/Qwen2.5-7B", f"{server.url}/v1/models")
    assert (found.endpoint.origin, found.endpoint.key, found.endpoint.utilization) == ("a port", None, None)


async def test_a_configured_model_that_is_not_served_gives_way_and_is_told() -> None:
    async with serving(VLLM) as server:
        found = await looked("llm", server.url, llm_model="other")
    assert found.endpoint is not None
    assert found.endpoint.model == "Qwen/Qwen2.5-7B"
    assert "not the configured other" in found.notes[0]


async def test_a_model_named_on_the_command_line_is_sent_to_the_letter() -> None:
    async with serving(VLLM) as server:
        found = await looked("llm", server.url, llm_model="other", strict_llm_model=True)
    assert found.endpoint is not None
    assert found.endpoint.model == "other"
    assert "does not list" in found.notes[0]


async def test_the_real_utilization_comes_from_the_metrics() -> None:
    label = 'block_size="16",gpu_memory_utilization="0.87",num_gpu_blocks="364"'
    async with serving({**VLLM, "/metrics": metrics(label)}) as server:
        found = await looked("llm", server.url)
    assert found.endpoint is not None
    assert found.endpoint.utilization == 0.87


@pytest.mark.parametrize(
    "labels",
    [
        (),
        ('engine="0"',),
        ('gpu_memory_utilization="None"',),
        ('gpu_memory_utilization="7.5"',),
        ('gpu_memory_utilization="nan"',),
        ('engine="0",gpu_memory_utilization="0.5"', 'engine="1",gpu_memory_utilization="0.6"'),
        ('x="y",xgpu_memory_utilization="0.5"',),
    ],
)
async def test_a_utilization_that_is_not_said_is_unknown(labels: tuple[str, ...]) -> None:
    async with serving({**VLLM, "/metrics": metrics(*labels)}) as server:
        found = await looked("llm", server.url)
    assert found.endpoint is not None
    assert found.endpoint.utilization is None


async def test_vllm_with_a_language_model_is_no_transcriber_though_it_lists_the_path() -> None:
    async with serving(VLLM) as server:
        assert await looked("stt", server.url) == Found(reason=NO_ENDPOINT)


@pytest.mark.parametrize(
    "handlers",
    [
        {"/openapi.json": paths(SPEECH)},
        {"/v1/models": models("openai/whisper-large-v3"), "/openapi.json": paths(CHAT, SPEECH)},
        {"/v1/models": models("Systran/faster-whisper-tiny")},
    ],
)
async def test_transcribers_are_known_by_their_description(handlers: dict[str, Handler]) -> None:
    async with serving(handlers) as server:
        found = await looked("stt", "http://127.0.0.1:1", server.url)
        assert found.endpoint is not None
        assert found.endpoint.url == server.url
        assert found.endpoint.model
        assert (await looked("llm", server.url)).endpoint is None


async def test_a_port_that_is_something_else_is_no_error() -> None:
    async with serving({"/v1/models": saying(b"<html>", kind="text/html")}) as server:
        assert await looked("llm", "http://127.0.0.1:1", server.url) == Found(reason=NO_ENDPOINT)
    assert await looked("llm") == Found(reason=NO_ENDPOINT)


async def test_a_named_server_that_is_down_is_told() -> None:
    found = await looked("llm", "http://127.0.0.1:1", chosen=True)
    assert found.endpoint is None
    assert found.reason.startswith("unmeasured: Nothing listens at http://127.0.0.1:1.")


async def test_a_named_server_is_taken_at_its_word() -> None:
    async with serving({}) as server:
        llm = await looked("llm", server.url, chosen=True, llm_model="m")
        stt = await looked("stt", server.url, chosen=True)
    assert llm.endpoint is not None
    assert (llm.endpoint.model, llm.endpoint.model_origin) == ("m", "named by the user")
    assert stt.endpoint is not None
    assert stt.endpoint.model == "whisper-1"


async def test_the_key_goes_to_named_servers_alone() -> None:
    async with serving(VLLM) as server:
        await looked("llm", server.url)
        assert all("authorization" not in request.headers for request in server.requests)
        found = await looked("llm", server.url, chosen=True)
        assert server.requests[-1].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in repr(found)


async def test_a_server_that_wants_a_key_says_so() -> None:
    async with serving({"/v1/models": answering({"error": "Unauthorized"}, 401)}) as server:
        found = await looked("llm", server.url)
    assert found.endpoint is None
    assert "api_key_env" in found.reason


async def test_whose_word_the_size_of_whisper_is() -> None:
    described = {"/v1/models": models("Systran/faster-whisper-base"), "/openapi.json": paths(SPEECH)}
    async with serving(described) as server:
        listed = await looked("stt", server.url, stt_size="tiny", stt_size_origin="the candidate")
        named = await looked("stt", server.url, chosen=True, stt_model="whisper-small", strict_stt_model=True)
        llm = await looked("llm", server.url, chosen=True)
    assert listed.endpoint is not None
    assert listed.endpoint.size == WhisperSize(name="base", origin="measured", source=f"{server.url}/v1/models")
    assert listed.notes == (f"STT is whisper base ({server.url}/v1/models), not tiny (the candidate).",)
    assert named.endpoint is not None
    assert named.endpoint.size == WhisperSize(name="small", origin="assumed", source="the model's name")
    assert llm.endpoint is not None
    assert llm.endpoint.size is None
