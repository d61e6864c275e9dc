"""What servers say beside the plain case: the right figures, or a failure with a name."""

from __future__ import annotations

import contextlib
import socket
import threading

import aiohttp
import pytest

from gpu_tui.core.timings import ItlBasis, inter_token_latencies
from tests.bench.asking import OOM, asked, delta, failed, probe
from tests.bench.servers import CHAT, DONE, Handler, Reply, Request, answering, event, saying, serving, token, usage

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


async def test_more_tokens_than_were_allowed_and_than_there_are_bytes_are_none(session: aiohttp.ClientSession) -> None:
    """Else a thousand million tokens would make an inter-token latency of nothing."""
    for count, told in ((9, 9), (10, None), (1_000_000_000, None)):  # nine were asked for, and " x x" has four bytes
        timings = await asked(session, saying(token(), token(), usage(count) + DONE))
        assert timings.output_tokens == told
    twelve = token("twelve bytes")
    assert (await asked(session, saying(twelve, usage(12) + DONE))).output_tokens == 12


@pytest.mark.parametrize(
    ("said", "hidden"),
    [
        ({"completion_tokens": 102, "completion_tokens_details": {"reasoning_tokens": 100}}, 100),
        ({"completion_tokens": 102, "reasoning_tokens": 100}, 100),
        ({"completion_tokens": 2, "completion_tokens_details": None}, 0),
        ({"completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": -5}}, 0),
    ],
)
async def test_thoughts_that_are_counted_and_not_sent_take_no_part_in_the_gaps(
    session: aiohttp.ClientSession, said: dict[str, object], hidden: int
) -> None:
    timings = await asked(session, saying(token(), token(), event({"usage": said}), DONE))
    assert (timings.output_tokens, timings.hidden_tokens) == (2 + hidden, hidden)
    assert inter_token_latencies([timings]) == (timings.chunk_gaps_s, ItlBasis.TOKEN_GAPS)


async def test_tokens_without_text_are_tokens_where_the_count_bears_it_out(session: aiohttp.ClientSession) -> None:
    """vLLM, asked to write on behind the end of its text, sends a chunk with nothing in it for each end of text."""
    silent, end = delta(content=""), event({"choices": [{"delta": {"content": ""}, "finish_reason": "length"}]})
    timings = await asked(
        session, saying(delta(role="assistant", content=""), token(), token(), *[silent] * 6, end, usage(9) + DONE)
    )
    assert (len(timings.chunks), timings.output_tokens) == (9, 9)
    assert inter_token_latencies([timings])[1] == ItlBasis.TOKEN_GAPS
    # Where the count is that of the chunks with text, the others are none; and where it is neither's, nobody knows.
    for told in (2, 5):
        timings = await asked(session, saying(token(), token(), *[silent] * 6, end, usage(told) + DONE))
        assert len(timings.chunks) == 2


async def test_thoughts_that_are_sent_are_tokens_like_others(session: aiohttp.ClientSession) -> None:
    thought = delta(reasoning_content="hm")
    said = event({"usage": {"completion_tokens": 3, "completion_tokens_details": {"reasoning_tokens": 2}}})
    timings = await asked(session, saying(thought, thought, token(), said, DONE))
    assert (timings.output_tokens, timings.hidden_tokens, len(timings.chunks)) == (3, 0, 3)


@pytest.mark.parametrize(("text", "tokens"), [(" x", 20), (" x x x x", 80)])
async def test_thoughts_that_are_sent_as_plain_text_are_not_hidden(
    session: aiohttp.ClientSession, text: str, tokens: int
) -> None:
    """Counted as thoughts, and sent all the same: a token a chunk, or four."""
    said = {"completion_tokens": tokens, "completion_tokens_details": {"reasoning_tokens": tokens - 8}}
    timings = await asked(session, saying(token(text) * 20, event({"usage": said}), DONE))
    assert (timings.output_tokens, timings.hidden_tokens, len(timings.chunks)) == (tokens, 0, 20)


async def test_what_keeps_a_connection_alive_behind_the_answer_is_no_part_of_it(session: aiohttp.ClientSession) -> None:
    """A server that never says [DONE], and pings until it closes."""
    pinging = saying(token(), token("x", "stop"), usage(2), *[b": ping\n\n"] * 20)
    async with serving({CHAT: pinging}) as server:
        timings = await probe(session, server.url).ask("hello")
        last_ping = server.replies[0].sent[-1]
    assert timings.ended is not None
    assert timings.ended < last_ping


class Closing(threading.Thread):
    """Answers each connection once, as if it would be kept, and closes it."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.closed = threading.Semaphore(0)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def run(self) -> None:
        body = token() + token() + usage(2) + DONE
        head = f"HTTP/1.1 200 X\r\nContent-Type: text/event-stream\r\nContent-Length: {len(body)}\r\n\r\n"
        with contextlib.suppress(OSError):  # the listener was closed: the test is over
            while True:
                connection, _ = self.listener.accept()
                with connection:
                    connection.settimeout(10)
                    asked = b""
                    while b'"stream":true' not in asked:
                        asked += connection.recv(65536)
                    connection.sendall(head.encode() + body)
                self.closed.release()


async def test_a_connection_that_was_closed_behind_its_answer_is_not_used_again(session: aiohttp.ClientSession) -> None:
    server = Closing()
    server.start()
    try:
        for _ in range(3):
            assert (await probe(session, server.url).ask("hello")).output_tokens == 2
            # On this thread, so that the loop learns nothing of it meanwhile.
            assert server.closed.acquire(timeout=10)
    finally:
        server.listener.close()


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
        (saying(token(), token("", "abort"), usage(1) + DONE), "server_error"),
        (saying(token(), token("", "error") + DONE), "server_error"),
        (answering({"choices": [{"message": {"content": "x"}, "finish_reason": "abort"}]}), "server_error"),
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
