from __future__ import annotations

import asyncio

import aiohttp
import pytest

from gpu_tui.bench.client import ProbeFailure, Sent
from gpu_tui.core.timings import ItlBasis, inter_token_latencies
from tests.bench.asking import OOM, asked, failed, probe
from tests.bench.servers import (
    CHAT,
    DONE,
    Reply,
    Request,
    answering,
    event,
    saying,
    serving,
    streaming,
    token,
    usage,
)

STALL_S = 0.15
"""What a busy two-core machine may add to one stamp. Nothing may ever be taken away."""


async def test_known_delays_are_measured(session: aiohttp.ClientSession) -> None:
    async with serving({CHAT: streaming(ttft=0.2, itl=0.05, chunks=8)}) as server:
        timings = await probe(session, server.url).ask("hello")
        request, sent = server.requests[0], server.replies[0].sent
    assert timings.ttft_s is not None
    assert timings.e2e_s is not None
    assert 0.2 <= timings.ttft_s < 0.2 + STALL_S
    assert 0.2 + 7 * 0.05 <= timings.e2e_s < 0.55 + STALL_S
    gaps, basis = inter_token_latencies([timings])
    assert (len(gaps), basis) == (7, ItlBasis.TOKEN_GAPS)
    assert sum(gaps) == pytest.approx(0.35, abs=STALL_S)
    # Against the server's own stamps on the same clock: a chunk cannot be seen before it was sent.
    assert timings.started is not None
    assert timings.started <= request.arrived
    for seen, was_sent in zip(timings.chunks, sent, strict=False):
        assert 0 <= seen - was_sent < STALL_S
    assert (timings.prompt_tokens, timings.output_tokens) == (7, 8)


async def test_a_request_starts_when_its_bytes_go_out(session: aiohttp.ClientSession) -> None:
    """aiohttp tells that the head is sent before it is: with many requests at once that is milliseconds too early."""
    sent = Sent()
    async with serving({CHAT: answering({"x": 1})}) as server:
        async with session.post(f"{server.url}{CHAT}", data=b"x" * 200_000, trace_request_ctx=sent) as response:
            await response.read()
        arrived = server.requests[0].arrived
    assert sent.body
    assert sent.at is not None
    assert arrived - STALL_S < sent.at <= arrived


async def test_what_is_sent(session: aiohttp.ClientSession) -> None:
    async with serving({CHAT: streaming()}) as server:
        await probe(session, server.url, key="k-123456").ask("hello")
        request = server.requests[0]
    assert b'"stream":true' in request.body
    assert b'"include_usage":true' in request.body
    assert b'"max_tokens":9' in request.body
    assert request.headers["authorization"] == "Bearer k-123456"


async def test_a_server_that_does_not_stream_has_an_end_and_no_first_token(session: aiohttp.ClientSession) -> None:
    whole = {"choices": [{"message": {"content": "hi"}}], "usage": {"completion_tokens": 3}}
    timings = await asked(session, answering(whole, delay=0.05))
    assert timings.ttft_s is None
    assert timings.e2e_s is not None
    assert 0.05 <= timings.e2e_s < 0.05 + STALL_S
    assert timings.output_tokens == 3


async def test_several_tokens_a_chunk(session: aiohttp.ClientSession) -> None:
    timings = await asked(session, streaming(itl=0.06, chunks=6, tokens=18))
    (itl,), basis = inter_token_latencies([timings])
    assert basis is ItlBasis.MEAN_PER_TOKEN
    assert itl == pytest.approx(0.02, abs=STALL_S / 15)


async def test_several_events_in_one_packet_are_several_chunks(session: aiohttp.ClientSession) -> None:
    timings = await asked(session, saying(token() * 3 + usage(3) + DONE))
    assert len(timings.chunks) == 3


async def test_no_usage_chunk(session: aiohttp.ClientSession) -> None:
    timings = await asked(session, saying(token(), token(), DONE))
    assert timings.output_tokens is None
    assert inter_token_latencies([timings])[1] is ItlBasis.CHUNK_GAPS


async def test_the_first_chunk_without_text_is_not_the_first_token(session: aiohttp.ClientSession) -> None:
    role = event({"choices": [{"delta": {"role": "assistant", "content": ""}}]})
    timings = await asked(session, saying(role, token(), token(), DONE))
    assert len(timings.chunks) == 2


async def test_reasoning_is_text_too(session: aiohttp.ClientSession) -> None:
    thought = event({"choices": [{"delta": {"reasoning_content": "hm"}}]})
    assert len((await asked(session, saying(thought, token(), DONE))).chunks) == 2


async def test_a_character_cut_in_two_is_one_character(session: aiohttp.ClientSession) -> None:
    raw = event('{"choices":[{"delta":{"content":"€"}}]}'.encode())
    cut = raw.index(b"\xe2") + 1
    timings = await asked(session, saying(raw[:cut], raw[cut:], DONE))
    assert len(timings.chunks) == 1


async def test_a_stream_that_ends_without_done_but_says_it_has_finished(session: aiohttp.ClientSession) -> None:
    assert len((await asked(session, saying(token(), token("x", "stop")))).chunks) == 2


async def test_a_connection_cut_inside_a_chunk(session: aiohttp.ClientSession) -> None:
    async def cut(_request: Request, reply: Reply) -> None:
        await reply.raw(b"HTTP/1.1 200 X\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        await reply.raw(b"%x\r\n" % len(token()) + token() + b"\r\nff\r\ndata:")

    assert (await failed(session, cut)).kind == "closed_early"


async def test_an_endless_stream_of_small_lines_ends_with_the_timeout(session: aiohttp.ClientSession) -> None:
    async def endless(_request: Request, reply: Reply) -> None:
        await reply.head()
        while True:
            await reply.raw(b": still here\n")
            await asyncio.sleep(0.01)

    failure = await failed(session, endless, timeout_s=0.3)
    assert (failure.kind, failure.answered) == ("timeout", False)


async def test_an_endless_error_body_is_not_read_to_its_end(session: aiohttp.ClientSession) -> None:
    async def endless(_request: Request, reply: Reply) -> None:
        await reply.head(500, "text/plain")
        while True:
            await reply.raw(b"CUDA trouble " * 1000)

    failure = await failed(session, endless)
    assert failure.kind == "http_500"
    assert len(str(failure)) < 400


async def test_nobody_listens(session: aiohttp.ClientSession) -> None:
    with pytest.raises(ProbeFailure) as caught:
        await probe(session, "http://127.0.0.1:1").ask("hello")
    assert (caught.value.kind, caught.value.answered) == ("connect_refused", False)


async def test_not_http(session: aiohttp.ClientSession) -> None:
    async def other(_request: Request, reply: Reply) -> None:
        await reply.raw(b"SSH-2.0-OpenSSH_9.2\r\n")

    assert (await failed(session, other)).kind == "bad_http"


async def test_a_redirect_is_not_followed(session: aiohttp.ClientSession) -> None:
    async with serving({}) as other:

        async def elsewhere(_request: Request, reply: Reply) -> None:
            await reply.head(307, "text/plain", Location=f"{other.url}/steal")

        assert (await failed(session, elsewhere, key="sesame-sesame")).kind == "http_307"
        assert other.requests == []


async def test_what_a_model_writes_is_no_oom(session: aiohttp.ClientSession) -> None:
    assert (await asked(session, saying(token(OOM), DONE))).streamed


async def test_error_text_is_made_safe(session: aiohttp.ClientSession) -> None:
    nasty = "\x1b]0;owned\x07 \u202etxet key sesame-sesame\n" + "long " * 500
    failure = await failed(session, answering({"error": {"message": nasty}}, 400), key="sesame-sesame")
    text = str(failure)
    assert "sesame" not in text
    assert text.isprintable()
    assert len(text) < 400


@pytest.mark.parametrize(
    ("words", "chunk"),
    [
        (("It is 3.", "14 or so.", " Yes"), 2),
        (('He said "no."', " And"), 1),
        (("\n\n", "One\n", "Two"), 1),
        (("好的。", "再见"), 0),
        (("No end", " at all"), None),
        (("Mr", ".", "X"), None),
    ],
)
async def test_the_first_sentence_is_over_when_something_follows_it(
    session: aiohttp.ClientSession, words: tuple[str, ...], chunk: int | None
) -> None:
    timings = await asked(session, saying(*map(token, words), token("", "length"), DONE))
    assert timings.sentence == (None if chunk is None else timings.chunks[chunk])


async def test_a_model_that_stops_has_said_its_sentence(session: aiohttp.ClientSession) -> None:
    timings = await asked(session, saying(token("Yes"), token(" sir"), token("", "stop"), DONE))
    assert timings.sentence == timings.chunks[-1]


async def test_chunks_finer_than_tokens_are_no_tokens(session: aiohttp.ClientSession) -> None:
    timings = await asked(session, streaming(itl=0.02, chunks=12, tokens=4))
    (itl,), basis = inter_token_latencies([timings])
    assert basis is ItlBasis.MEAN_PER_TOKEN
    assert itl == pytest.approx(0.06, abs=0.04)
    assert timings.tpot_s == itl
