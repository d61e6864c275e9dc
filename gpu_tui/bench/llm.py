"""One streamed chat completion, stamped at the socket. A failure is raised with its name, never timed."""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import replace
from typing import Any

import aiohttp
import msgspec

from gpu_tui.bench.client import (
    CLIENT_ERRORS,
    ProbeFailure,
    Sent,
    authorization,
    failure_of,
    read_bounded,
    refused,
    told,
)
from gpu_tui.bench.sse import DONE, SseDecoder, SseError
from gpu_tui.clock import Clock
from gpu_tui.core.timings import LlmTimings

PATH = "/v1/chat/completions"
MAX_STREAM_BYTES = 64 * 1024 * 1024
DRAIN_S = 0.25
"""How long after ``[DONE]`` the end of the body is waited for, so that the connection can be kept."""

_TAIL = 16
"""Characters kept of what came before a chunk: a full stop and its closing quotes."""
_SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]]*\s|[。！？]|\n")


class _Text(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None

    @property
    def any(self) -> bool:
        return bool(self.content or self.reasoning_content or self.reasoning)


class _Choice(msgspec.Struct):
    delta: _Text | None = None
    message: _Text | None = None
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Answer(msgspec.Struct):
    """A whole answer or one chunk of it, as far as it matters here."""

    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None
    object: Any = None


_decoder = msgspec.json.Decoder(_Answer)


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
        self._session = session
        self._now = clock.monotonic
        self._base = url
        self._url = f"{url}{PATH}"
        self._model = model
        self._output_tokens = output_tokens
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._key = key
        self._whole_length = whole_length
        self._headers = {"Content-Type": "application/json", "Accept": "text/event-stream", **authorization(key)}

    async def ask(self, prompt: str) -> LlmTimings:
        """The stamps of one answer.

        Raises:
            ProbeFailure: there was no whole answer; `kind` says why.
        """
        body = self._body(prompt)
        queued, sent = self._now(), Sent()
        try:
            async with self._session.post(
                self._url,
                data=body,
                headers=self._headers,
                timeout=self._timeout,
                allow_redirects=False,
                trace_request_ctx=sent,
            ) as response:
                begun = LlmTimings(queued=queued, started=sent.at, headers=self._now())
                if response.status != 200:
                    raise await refused(response, self._key)
                if response.content_type == "text/event-stream":
                    return await self._streamed(response, begun)
                return await self._whole(response, begun)
        except CLIENT_ERRORS as error:
            raise failure_of(error, self._base) from None

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

    async def _streamed(self, response: aiohttp.ClientResponse, begun: LlmTimings) -> LlmTimings:
        reading = _Reading(self._key)
        decoder = SseDecoder()
        size, ended = 0, begun.headers or 0.0
        try:
            async for data in response.content.iter_any():
                ended = self._now()  # before anything is parsed: the stamp is the arrival's
                size += len(data)
                if size > MAX_STREAM_BYTES:
                    raise ProbeFailure("too_large", f"The stream is larger than {MAX_STREAM_BYTES} bytes.")
                for event in decoder.feed(data):
                    reading.take(event, ended)
                if reading.done:
                    break
            else:
                reading.take_rest(decoder, ended)
        except SseError as error:
            raise ProbeFailure(error.kind, f"The stream cannot be read: {error}.") from None
        reading.check()
        await _drain(response)
        return replace(
            begun,
            chunks=tuple(reading.chunks),
            ended=ended,
            sentence=reading.sentence,
            prompt_tokens=_count(reading.usage.prompt_tokens),
            output_tokens=_count(reading.usage.completion_tokens),
        )

    async def _whole(self, response: aiohttp.ClientResponse, begun: LlmTimings) -> LlmTimings:
        """An answer of a server that does not stream: it has an end, and no first token."""
        body = await read_bounded(response)
        ended = self._now()
        answer = _decode(body, self._key)
        if not any(choice.message and choice.message.any for choice in answer.choices or ()):
            raise ProbeFailure("empty_answer", "The server answered without any text.")
        usage = answer.usage or _Usage()
        return replace(
            begun,
            ended=ended,
            sentence=ended,  # all of it is there at once
            prompt_tokens=_count(usage.prompt_tokens),
            output_tokens=_count(usage.completion_tokens),
        )


class _Reading:
    """What has come of one stream."""

    def __init__(self, key: str | None) -> None:
        self._key = key
        self._finished = self._stopped = False
        self._said = ""
        self.done = False
        self.sentence: float | None = None
        self.chunks: list[float] = []
        self.usage = _Usage()

    def take(self, data: str, arrived: float) -> None:
        if data == DONE:
            self.done = True
            return
        chunk = _decode(data.encode(), self._key)
        for choice in chunk.choices or ():
            self._finished = self._finished or choice.finish_reason is not None
            self._stopped = self._stopped or choice.finish_reason == "stop"
            if self.sentence is None and choice.delta is not None and choice.delta.content:
                self._listen(choice.delta.content, arrived)
        if any(choice.delta and choice.delta.any for choice in chunk.choices or ()):
            self.chunks.append(arrived)
        if chunk.usage is not None:
            self.usage = chunk.usage

    def _listen(self, content: str, arrived: float) -> None:
        # The end of a sentence is sure when something follows it: in "3." and "14" there is none.
        self._said = (self._said + content).lstrip()[-_TAIL - len(content) :]
        if _SENTENCE_END.search(self._said):
            self.sentence = arrived

    def take_rest(self, decoder: SseDecoder, arrived: float) -> None:
        """What the stream broke off in: unless it is a whole event after all, the server closed early."""
        try:
            for event in decoder.finish():
                self.take(event, arrived)
        except SseError:
            return  # half a character; `check` says that the answer has no end
        except ProbeFailure as failure:
            if failure.kind != "bad_json":
                raise

    def check(self) -> None:
        """A stream that ended is an answer only if it says so, by [DONE] or a finish reason, and had text."""
        if not (self.done or self._finished):
            raise ProbeFailure("closed_early", "The server closed the stream before the end of its answer.")
        if not self.chunks:
            raise ProbeFailure("empty_answer", "The server answered without any text.")
        if self.sentence is None and self._stopped and self._said:
            self.sentence = self.chunks[-1]  # the model has said all it wanted to


def _decode(body: bytes, key: str | None) -> _Answer:
    try:
        answer = _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise ProbeFailure("bad_answer", f"The answer is not a chat completion: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ProbeFailure("bad_json", "The answer is not JSON.") from None
    if answer.error is not None or answer.object == "error":
        raise told(body, "server_error", key)
    return answer


def _count(tokens: int | None) -> int | None:
    """A count of tokens that can be true: an answer with text has at least one."""
    return tokens if tokens is not None and tokens > 0 else None


async def _drain(response: aiohttp.ClientResponse) -> None:
    # A server that keeps the body open after [DONE] only costs its connection.
    with contextlib.suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(DRAIN_S):
            while await response.content.readany():
                pass
