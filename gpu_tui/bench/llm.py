"""One streamed chat completion, stamped at the socket. A failure is raised with its name, never timed."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import Any

import aiohttp
import msgspec

from gpu_tui.bench.client import Caller, Exchange, ProbeFailure
from gpu_tui.bench.completion import Reading, Usage, count, decode, refuse_a_part
from gpu_tui.bench.sse import SseError
from gpu_tui.clock import Clock
from gpu_tui.core.timings import LlmTimings

PATH = "/v1/chat/completions"
MAX_STREAM_BYTES = 64 * 1024 * 1024
DRAIN_S = 0.25
"""How long after ``[DONE]`` the end of the body is waited for, so that the connection can be kept."""

_HEADERS = {"Content-Type": "application/json", "Accept": "text/event-stream"}


class LlmProbe:
    """Sends one prompt at a time to one model; use several tasks for load.

    Args:
        url: root of the service.
        timeout_s: longest a request may take, from start to end.
        whole_length: ask vLLM to write on to `output_tokens`, so that equal requests cost equally much; other servers
            may refuse a field they do not know.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        clock: Clock,
        *,
        url: str,
        model: str | None,
        output_tokens: int,
        timeout_s: float,
        key: str | None = None,
        whole_length: bool = False,
    ) -> None:
        self._caller = Caller(session, clock, base=url, path=PATH, timeout_s=timeout_s, key=key)
        self._model = model
        self._output_tokens = output_tokens
        self._whole_length = whole_length

    async def ask(self, prompt: str) -> LlmTimings:
        """The stamps of one answer.

        Raises:
            ProbeFailure: there was no whole answer; `kind` says why.
        """
        async with self._caller.post(self._body(prompt), _HEADERS) as exchange:
            begun = LlmTimings(queued=exchange.queued, started=exchange.started, headers=exchange.head)
            if exchange.response.content_type == "text/event-stream":
                return await self._streamed(exchange, begun)
            return await self._whole(exchange, begun)

    def _body(self, prompt: str) -> bytes:
        fields: dict[str, Any] = {
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": self._output_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self._model is not None:
            fields["model"] = self._model
        if self._whole_length:
            fields["ignore_eos"] = True
        return msgspec.json.encode(fields)

    async def _streamed(self, exchange: Exchange, begun: LlmTimings) -> LlmTimings:
        reading = Reading(self._caller.key, exchange.head)
        content, size = exchange.response.content, 0
        try:
            async for data in content.iter_any():
                size += len(data)
                if size > MAX_STREAM_BYTES:
                    raise ProbeFailure("too_large", f"The stream is larger than {MAX_STREAM_BYTES} bytes.")
                for arrived, piece in exchange.pieces(data):
                    reading.feed(piece, arrived)
                if reading.done:
                    break
            else:
                reading.end()
        except SseError as error:
            raise ProbeFailure(error.kind, f"The stream cannot be read: {error}.") from None
        reading.check()
        await _drain(content)
        tokens, hidden = reading.tokens(self._output_tokens), reading.hidden
        return replace(
            begun,
            chunks=reading.beats(None if tokens is None else tokens - hidden),
            ended=reading.ended,
            sentence=reading.sentence,
            prompt_tokens=count(reading.usage.prompt_tokens),
            output_tokens=tokens,
            hidden_tokens=hidden,
        )

    async def _whole(self, exchange: Exchange, begun: LlmTimings) -> LlmTimings:
        """An answer of a server that does not stream: it has an end, and no first token."""
        body, ended = await exchange.whole()
        answer = decode(body, self._caller.key)
        if not any(choice.message and choice.message.any for choice in answer.choices or ()):
            raise ProbeFailure("empty_answer", "The server answered without any text.")
        for choice in answer.choices or ():
            refuse_a_part(choice)
        usage = answer.usage or Usage()
        return replace(
            begun,
            ended=ended,
            sentence=ended,  # all of it is there at once
            prompt_tokens=count(usage.prompt_tokens),
            output_tokens=count(usage.completion_tokens),
        )


async def _drain(content: aiohttp.StreamReader) -> None:
    # A server that keeps the body open after [DONE] only costs its connection.
    with contextlib.suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(DRAIN_S):
            while await content.readany():
                pass
