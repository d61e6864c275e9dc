"""What servers say beside the plain case: the right figures, or a failure with a name."""

from __future__ import annotations

import aiohttp
import pytest

from tests.bench.asking import OOM, asked, delta, failed
from tests.bench.servers import DONE, Handler, Reply, Request, answering, event, saying, token, usage

CALL = {"index": 0, "function": {"name": "light", "arguments": "{}"}}
COUNTS = {"prompt_tokens": 7, "completion_tokens": 2}


@pytest.mark.parametrize(
    "stream",
    [
        (token() + token() + usage(2) + DONE).replace(b"\n", b"\r\n"),
        (token() + token() + usage(2) + DONE).replace(b"\n", b"\r"),
        (token() + token() + usage(2) + DONE).replace(b"data: ", b"data:"),
        b"\xef\xbb\xbf" + token() + token() + usage(2) + DONE,
        b": ping\n\n" + token() + b":\n\n" + token() + b"\n\n" + usage(2) + b": bye\n" + DONE,
        b"".join(b"event: chunk\nid: 1\nretry: 9\n" + part for part in (token(), token(), usage(2), DONE)),
        delta(content=None, reasoning_content="hm") + delta(content="x") + usage(2) + DONE,
        delta(content=None, reasoning="hm") + delta(content="x", reasoning=None) + usage(2) + DONE,
        delta(content=None, tool_calls=[CALL]) + delta(tool_calls=[CALL]) + usage(2) + DONE,
        delta(content=None, refusal="no") + delta(refusal=" way") + usage(2) + DONE,
        delta(role="assistant", content="") + token() + delta() + delta(content=None) + token() + usage(2) + DONE,
        token() + event({"choices": [{"delta": {"content": "x"}}], "usage": COUNTS}) + DONE,
        token() + token("x", "stop") + event({"usage": COUNTS}) + DONE,
        token() + token("x", "stop") + event({"choices": None, "usage": COUNTS}),
        usage(1) + token() + token() + usage(2) + DONE,
        token() + token() + usage(2) + DONE + token() + usage(9),
        token() + token() + usage(2) + DONE.rstrip(),
    ],
)
async def test_odd_streams_of_two_tokens(session: aiohttp.ClientSession, stream: bytes) -> None:
    """In one packet, and cut anywhere."""
    for parts in ((stream,), [stream[at : at + 61] for at in range(0, len(stream), 61)]):
        timings = await asked(session, saying(*parts))
        assert (len(timings.chunks), timings.output_tokens) == (2, 2)


async def test_a_count_of_tokens_that_cannot_be_is_none(session: aiohttp.ClientSession) -> None:
    for count in (0, -3):
        assert (await asked(session, saying(token(), usage(count) + DONE))).output_tokens is None


def chunked(body: bytes) -> Handler:
    async def handle(_request: Request, reply: Reply) -> None:
        await reply.raw(b"HTTP/1.1 200 X\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        await reply.raw(b"%x\r\n%b\r\n" % (len(token()), token()) + body)

    return handle


@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        (saying(token(), token()), "closed_early"),
        (saying(token(), token()[:20]), "closed_early"),
        (saying(token(), b"data: \xe2\x82"), "closed_early"),
        (saying(token(), event(b'{"choices":[{"delta":{"content":"\xe2\x82"}}]}')), "bad_encoding"),
        (saying(token(), event(b"{nonsense"), DONE), "bad_json"),
        (saying(token(), event({"choices": "many"}), DONE), "bad_answer"),
        (saying(b"<html>hello</html>", kind="text/html"), "bad_json"),
        (saying(token(), DONE, kind="text/plain"), "bad_json"),
        (saying(b'{"choices": [{"message": {"content": "x"}}]}'), "closed_early"),
        (saying(DONE), "empty_answer"),
        (saying(b"data: " + b"x" * 600_000), "line_too_long"),
        (saying(token(), event({"error": {"message": "engine died"}})), "server_error"),
        (saying(token(), event({"error": {"message": OOM}})), "oom"),
        (saying(token(), event({"error": "engine died", "choices": None}), DONE), "server_error"),
        (saying(token(), event({"object": "error", "message": OOM}), DONE), "oom"),
        (saying(delta(content=""), delta(), usage(4) + DONE), "empty_answer"),
        (saying(delta(content=None, tool_calls=[]) + DONE), "empty_answer"),
        (saying(delta(content=["x"]) + DONE), "bad_answer"),
        (saying(event(b"[]") + DONE), "bad_answer"),
        (saying(token(), event({"usage": {"completion_tokens": "two"}}), DONE), "bad_answer"),
        (saying(b"hello\n\nworld\n\n"), "closed_early"),
        (saying(b""), "closed_early"),
        (saying(b"", kind="application/json"), "bad_json"),
        (saying(b'{"choices": [{"mess', kind="application/json"), "bad_json"),
        (answering({"choices": [{"message": {"content": None}}]}), "empty_answer"),
        (answering({"choices": []}), "empty_answer"),
        (answering({"error": {"message": "slow down"}}, 429), "http_429"),
        (answering({"error": {"message": "engine died"}}, 500), "http_500"),
        (answering({"object": "error", "message": OOM}, 500), "oom"),
        (answering({"detail": [{"msg": "field required"}]}, 422), "http_422"),
        (answering(b"", 503), "http_503"),
        (answering({"choices": [{"message": {"content": "x"}}]}, 202), "http_202"),
        (chunked(b"nonsense\r\n"), "bad_http"),
        (chunked(b"5\r\ndata:way too long\r\n"), "bad_http"),
        (chunked(b"0\r\n\r\n"), "closed_early"),
    ],
)
async def test_every_misbehaviour_has_a_name(session: aiohttp.ClientSession, handler: Handler, kind: str) -> None:
    failure = await failed(session, handler)
    assert failure.kind == kind
    assert failure.answered
