"""What a chat completion says, whole or in chunks: its text, its end, its count of tokens, and when each came."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from gpu_tui.bench.client import ProbeFailure, told
from gpu_tui.bench.sse import DONE, SseDecoder, SseError
from gpu_tui.core.timings import TOKENS_PER_CHUNK_TOLERANCE, one_a_chunk

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


class Choice(msgspec.Struct):
    """One answer, or a piece of it."""

    delta: _Text | None = None
    message: _Text | None = None
    finish_reason: str | None = None


class _Details(msgspec.Struct):
    reasoning_tokens: int | None = None


class Usage(msgspec.Struct):
    """The server's counts; None where it says nothing."""

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


class Answer(msgspec.Struct):
    """A whole answer or one chunk of it, as far as it matters here."""

    choices: list[Choice] | None = None
    usage: Usage | None = None
    error: Any = None
    object: Any = None


_decoder = msgspec.json.Decoder(Answer)


class Reading:
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
        self._since_first: list[float] = []
        self.usage = Usage()

    def feed(self, data: bytes, arrived: float) -> None:
        """An event came when the bytes did that completed it; what follows the last one belongs to no answer."""
        self._last = arrived
        for event in self._decoder.feed(data):
            if not self.done:
                self.take(event, arrived)

    def take(self, data: str, arrived: float) -> None:
        """One event.

        Raises:
            ProbeFailure: it is none of an answer, or says that there will be no whole one.
        """
        self.ended = arrived  # not of a comment: a server may keep the connection alive for long behind its answer
        if data == DONE:
            self.done = True
            return
        chunk = decode(data.encode(), self._key)
        for choice in chunk.choices or ():
            refuse_a_part(choice)
            self._weigh(choice.delta)
            self._finished = self._finished or choice.finish_reason is not None
            self._stopped = self._stopped or choice.finish_reason == "stop"
            if self.sentence is None and choice.delta is not None and choice.delta.content:
                self._listen(choice.delta.content, arrived)
        if any(choice.delta and choice.delta.any for choice in chunk.choices or ()):
            self.chunks.append(arrived)
            self._since_first.append(arrived)
        elif self.chunks and any(choice.delta for choice in chunk.choices or ()):
            self._since_first.append(arrived)
        if chunk.usage is not None:
            self.usage = chunk.usage

    def _weigh(self, text: _Text | None) -> None:
        if text is not None:
            self._size += text.size
            self._thinks_aloud = self._thinks_aloud or bool(text.reasoning_content or text.reasoning)

    @property
    def hidden(self) -> int:
        """Tokens that were counted and never sent: the thoughts of a model whose server keeps them to itself.

        A server may also count thoughts that it sends as plain text: then the chunks bear out the whole count, or would
        be more than the tokens that are left.
        """
        told, chunks = self.usage.completion_tokens or 0, len(self.chunks)
        left = told - self.usage.thought
        if self._thinks_aloud or one_a_chunk(told, chunks, 1) or chunks > TOKENS_PER_CHUNK_TOLERANCE * left:
            return 0
        return self.usage.thought

    def tokens(self, asked: int) -> int | None:
        """The server's count, where it can be true: more tokens than were allowed, and than there are bytes, cannot."""
        told = count(self.usage.completion_tokens)
        return told if told is not None and told - self.hidden <= max(asked, self._size) else None

    def beats(self, tokens: int | None) -> tuple[float, ...]:
        """Arrivals of the chunks with text; or of all chunks since the first, where only so `tokens` comes out.

        vLLM sends a chunk without text for a token that it does not show, such as the end of a text which it was asked
        to write on behind: left out, 32 tokens would seem to have come in the time of the five with text.
        """
        every = self._since_first
        if tokens is None or one_a_chunk(tokens, len(self.chunks), 1):
            return tuple(self.chunks)
        # One more than tokens: many servers say the reason of finishing in a chunk of its own.
        theirs = len(every) <= tokens + 1 and one_a_chunk(tokens, len(every[:tokens]), 1)
        return tuple(every[:tokens] if theirs else self.chunks)

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


def refuse_a_part(choice: Choice) -> None:
    """Refuse an answer that its server has given up: its times would be those of a part."""
    if choice.finish_reason in _GIVEN_UP:
        raise ProbeFailure("server_error", f"The server gave the answer up: {choice.finish_reason}.", "See its log.")


def decode(body: bytes, key: str | None) -> Answer:
    """What a server said.

    Raises:
        ProbeFailure: it is no chat completion, or an error.
    """
    try:
        answer = _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise ProbeFailure("bad_answer", f"The answer is not a chat completion: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ProbeFailure("bad_json", "The answer is not JSON.") from None
    if answer.error is not None or answer.object == "error":
        raise told(body, "server_error", key)
    return answer


def count(tokens: int | None) -> int | None:
    """A count of tokens that can be true: an answer with text has at least one."""
    return tokens if tokens is not None and tokens > 0 else None
