"""One streamed chat completion, stamped at the socket. A failure is raised with its name, never timed."""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import replace
from typing import Any

import aiohttp
import msgspec

from gpu_tui.bench.client import Caller, Exchange, ProbeFailure, told
from gpu_tui.bench.sse import DONE, SseDecoder, SseError
from gpu_tui.clock import Clock
from gpu_tui.core.timings import LlmTimings

PATH = "/v1/chat/completions"
MAX_STREAM_BYTES = 64 * 1024 * 1024
DRAIN_S = 0.25
"""How long after ``[DONE]`` the end of the body is waited for, so that the connection can be kept."""

_HEADERS = {"Content-Type": "application/json", "Accept": "text/event-stream"}
_TAIL = 16
"""Characters kept of what came before a chunk: a full stop and its closing quotes."""
_GIVEN_UP = frozenset({"abort", "error", "cancelled"})
"""Reasons of finishing by which vLLM, SGLang and others say that the answer is not whole."""
_SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]]*\s|[。！？]|\n")


class _Text(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[Any] | None = None

    @property
    def any(self) -> bool:
        """Whether it carries tokens of any sort."""
        return bool(self.content or self.reasoning_content or self.reasoning or self.refusal or self.tool_calls)

    @property
    def size(self) -> int:
        """Bytes of it all."""
        texts = (self.content, self.reasoning_content, self.reasoning, self.refusal)
        calls = len(msgspec.json.encode(self.tool_calls)) if self.tool_calls else 0
        return sum(len(text.encode()) for text in texts if text) + calls


class _Choice(msgspec.Struct):
    delta: _Text | None = None
    message: _Text | None = None
    finish_reason: str | None = None


class _Details(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    completion_tokens_details: _Details | None = None
    reasoning_tokens: int | None = None

    @property
    def thought(self) -> int:
        """Tokens of the completion in which the model thought, as OpenAI and as SGLang tell it; 0 where nobody does."""
        details = self.completion_tokens_details
        told = details.reasoning_tokens if details is not None else self.reasoning_tokens
        return min(max(0, told or 0), max(0, self.completion_tokens or 0))


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
        reading = _Reading(self._caller.key, exchange.head)
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
        return replace(
            begun,
            chunks=tuple(reading.chunks),
            ended=reading.ended,
            sentence=reading.sentence,
            prompt_tokens=_count(reading.usage.prompt_tokens),
            output_tokens=reading.tokens(self._output_tokens),
            hidden_tokens=reading.hidden,
        )

    async def _whole(self, exchange: Exchange, begun: LlmTimings) -> LlmTimings:
        """An answer of a server that does not stream: it has an end, and no first token."""
        body, ended = await exchange.whole()
        answer = _decode(body, self._caller.key)
        if not any(choice.message and choice.message.any for choice in answer.choices or ()):
            raise ProbeFailure("empty_answer", "The server answered without any text.")
        for choice in answer.choices or ():
            _whole_answer(choice)
        usage = answer.usage or _Usage()
        return replace(
            begun,
            ended=ended,
            sentence=ended,  # all of it is there at once
            prompt_tokens=_count(usage.prompt_tokens),
            output_tokens=_count(usage.completion_tokens),
        )


class _Reading:
    """What has come of one stream; nothing before `since`."""

    def __init__(self, key: str | None, since: float) -> None:
        self._key = key
        self._decoder = SseDecoder()
        self._finished = self._stopped = False
        self._said = ""
        self._last = since
        self._size = 0
        self._thinks_aloud = False
        self.done = False
        self.ended = since
        self.sentence: float | None = None
        self.chunks: list[float] = []
        self.usage = _Usage()

    def feed(self, data: bytes, arrived: float) -> None:
        """An event came when the bytes did that completed it; what follows the last one belongs to no answer."""
        self._last = arrived
        for event in self._decoder.feed(data):
            if not self.done:
                self.take(event, arrived)

    def take(self, data: str, arrived: float) -> None:
        self.ended = arrived  # not of a comment: a server may keep the connection alive for long behind its answer
        if data == DONE:
            self.done = True
            return
        chunk = _decode(data.encode(), self._key)
        for choice in chunk.choices or ():
            _whole_answer(choice)
            self._weigh(choice.delta)
            self._finished = self._finished or choice.finish_reason is not None
            self._stopped = self._stopped or choice.finish_reason == "stop"
            if self.sentence is None and choice.delta is not None and choice.delta.content:
                self._listen(choice.delta.content, arrived)
        if any(choice.delta and choice.delta.any for choice in chunk.choices or ()):
            self.chunks.append(arrived)
        if chunk.usage is not None:
            self.usage = chunk.usage

    def _weigh(self, text: _Text | None) -> None:
        if text is not None:
            self._size += text.size
            self._thinks_aloud = self._thinks_aloud or bool(text.reasoning_content or text.reasoning)

    @property
    def hidden(self) -> int:
        """Tokens that were counted and never sent: the thoughts of a model whose server keeps them to itself."""
        return 0 if self._thinks_aloud else self.usage.thought

    def tokens(self, asked: int) -> int | None:
        """The server's count, where it can be true: more tokens than were allowed, and than there are bytes, cannot."""
        told = _count(self.usage.completion_tokens)
        return told if told is not None and told - self.hidden <= max(asked, self._size) else None

    def _listen(self, content: str, arrived: float) -> None:
        # The end of a sentence is sure when something follows it: in "3." and "14" there is none.
        self._said = (self._said + content).lstrip()[-_TAIL - len(content) :]
        if _SENTENCE_END.search(self._said):
            self.sentence = arrived

    def end(self) -> None:
        """What the stream broke off in: unless it is a whole event after all, the server closed early."""
        try:
            for event in self._decoder.finish():
                self.take(event, self._last)
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


def _whole_answer(choice: _Choice) -> None:
    """Refuse an answer that its server has given up: its times would be those of a part."""
    if choice.finish_reason in _GIVEN_UP:
        raise ProbeFailure("server_error", f"The server gave the answer up: {choice.finish_reason}.", "See its log.")


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


async def _drain(content: aiohttp.StreamReader) -> None:
    # A server that keeps the body open after [DONE] only costs its connection.
    with contextlib.suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(DRAIN_S):
            while await content.readany():
                pass
