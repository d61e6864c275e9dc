"""Raw stamps of one request, and the figures derived from them. A figure whose stamp is missing is None.

Stamps are seconds on one monotonic clock; only their differences mean anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

TOKENS_PER_CHUNK_TOLERANCE = 1.1
"""Up to here the chunks of a stream count as single tokens: now and then a token carries no text of its own
(half a character, a special token), and then usage names a few more tokens than there were chunks."""


def _span(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else end - start


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmTimings:
    """One chat completion as seen at the client's socket."""

    started: float | None
    """The request is written to the socket: setting up a connection, and the client's own queue, come before."""
    queued: float | None = None
    """The request was handed to the client; until `started` it waited for a connection."""
    headers: float | None = None
    """The status line and headers have arrived."""
    chunks: tuple[float, ...] = ()
    """Arrival of every chunk that carried text, in order, and of those without it where they too stand for a token;
    () when the answer was not streamed."""
    ended: float | None = None
    """The end of the answer has arrived."""
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    """As the server's usage says; None when it says nothing."""
    hidden_tokens: int = 0
    """Of them, those that no chunk carried: a server may count a model's thoughts and keep them to itself."""
    sentence: float | None = None
    """The first whole sentence has arrived; None when none ended within the answer."""

    @property
    def streamed(self) -> bool:
        """Whether text came in chunks at all."""
        return bool(self.chunks)

    @property
    def chunk_tokens(self) -> int | None:
        """Tokens that the chunks carried; None when the server does not say."""
        return None if self.output_tokens is None else self.output_tokens - self.hidden_tokens

    @property
    def ttft_s(self) -> float | None:
        """Time to first token: from the start to the first chunk with text. None without a stream."""
        return _span(self.started, self.chunks[0]) if self.chunks else None

    @property
    def e2e_s(self) -> float | None:
        """From the start to the end of the answer."""
        return _span(self.started, self.ended)

    @property
    def chunk_gaps_s(self) -> tuple[float, ...]:
        """Time between each chunk and the one before it; one fewer than there are chunks."""
        return tuple(later - earlier for earlier, later in pairwise(self.chunks))

    @property
    def mean_itl_s(self) -> float | None:
        """Mean time per token after the first chunk, where chunks carry several tokens.

        ``(last chunk − first chunk) ÷ (tokens − tokens per chunk)``: the tokens of the first chunk took no time
        between chunks. Exact when every chunk carries equally many. None with fewer than two chunks or no usage.
        """
        tokens = self.chunk_tokens
        if len(self.chunks) < 2 or not tokens:
            return None
        tokens_after_first = tokens * (1 - 1 / len(self.chunks))
        return (self.chunks[-1] - self.chunks[0]) / tokens_after_first

    @property
    def tpot_s(self) -> float | None:
        """Time per output token after the first: ``(end − first chunk) ÷ (tokens − 1)``, as vLLM's benchmark has it.

        None with fewer than two chunks, where no time between tokens can be seen, or fewer than two tokens. Where
        chunks carry several tokens, or parts of one, it is `mean_itl_s`: the first chunk's others took no time.
        """
        tokens = self.chunk_tokens
        if len(self.chunks) < 2 or self.ended is None or tokens is None or tokens < 2:
            return None
        if not one_a_chunk(tokens, len(self.chunks), 1):
            return self.mean_itl_s
        return (self.ended - self.chunks[0]) / (tokens - 1)


def one_a_chunk(tokens: int, chunks: int, streams: int) -> bool:
    """Whether usage bears it out that chunks are single tokens; one end-of-text token a stream may bring no chunk."""
    few = tokens - streams <= TOKENS_PER_CHUNK_TOLERANCE * chunks
    return few and chunks <= TOKENS_PER_CHUNK_TOLERANCE * tokens


class ItlBasis(StrEnum):
    """What the samples of inter-token latency are."""

    TOKEN_GAPS = "token_gaps"  # noqa: S105 - no password
    """Gaps between chunks of one token each: usage bears it out."""
    CHUNK_GAPS = "chunk_gaps"
    """Gaps between chunks of a server that does not say how many tokens they carried."""
    MEAN_PER_TOKEN = "mean_per_token"  # noqa: S105 - no password
    """One mean per request: chunks carried several tokens or parts of one, so single gaps cannot be seen."""


def inter_token_latencies(requests: Sequence[LlmTimings]) -> tuple[tuple[float, ...], ItlBasis | None]:
    """All inter-token latencies of these requests in seconds, and what they are; ((), None) when there are none.

    A chunk of four tokens every 40 ms is an ITL of 10 ms, not 40: usage decides for the run as a whole, so that
    gaps and means are never mixed.
    """
    streams = [timings for timings in requests if len(timings.chunks) > 1]
    if not streams:
        return (), None
    gaps = tuple(gap for timings in streams for gap in timings.chunk_gaps_s)
    counts = [timings.chunk_tokens for timings in streams if timings.chunk_tokens is not None]
    if len(counts) < len(streams):
        return gaps, ItlBasis.CHUNK_GAPS
    chunks = sum(len(timings.chunks) for timings in streams)
    if one_a_chunk(sum(counts), chunks, len(streams)):
        return gaps, ItlBasis.TOKEN_GAPS
    means = (timings.mean_itl_s for timings in streams)
    return tuple(mean for mean in means if mean is not None), ItlBasis.MEAN_PER_TOKEN


def output_tokens_per_s(requests: Iterable[LlmTimings]) -> float | None:
    """Tokens all requests brought, ÷ the time from the first start to the last end.

    None when any request lacks its usage or a stamp, or when no time has passed: a partial sum would be a wrong
    number.
    """
    tokens, first, last = 0, None, None
    for timings in requests:
        if timings.output_tokens is None or timings.started is None or timings.ended is None:
            return None
        tokens += timings.output_tokens
        first = timings.started if first is None else min(first, timings.started)
        last = timings.ended if last is None else max(last, timings.ended)
    if first is None or last is None or last <= first:
        return None
    return tokens / (last - first)


@dataclass(frozen=True, slots=True, kw_only=True)
class SttTimings:
    """One transcription as seen at the client's socket."""

    started: float | None
    """The request's head is written to the socket; sending the clip is part of the latency."""
    queued: float | None = None
    """The request was handed to the client; until `started` it waited for a connection."""
    ended: float | None = None
    """The whole transcript has arrived."""
    audio_s: float | None = None
    """Length of the clip in seconds."""

    @property
    def latency_s(self) -> float | None:
        """From the start to the transcript."""
        return _span(self.started, self.ended)

    @property
    def rtf(self) -> float | None:
        """Real-time factor: processing ÷ audio seconds; below 1 is faster than speech."""
        latency = self.latency_s
        if latency is None or not self.audio_s:
            return None
        return latency / self.audio_s

    @property
    def rtfx(self) -> float | None:
        """Its inverse: audio ÷ processing seconds; above 1 is faster than speech."""
        rtf = self.rtf
        return 1 / rtf if rtf else None


def lasted_s(timings: LlmTimings | SttTimings | TurnTimings) -> float | None:
    """From the first byte that was sent to the end of the last answer, whatever was asked; None without both stamps."""
    if isinstance(timings, TurnTimings):
        return _span(timings.stt.started, timings.llm.ended)
    return _span(timings.started, timings.ended)


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnTimings:
    """One voice turn. Its stages follow each other without a gap, and add up to `total_s`."""

    stt: SttTimings
    llm: LlmTimings

    @property
    def stt_s(self) -> float | None:
        """End of speech, which is when the clip is sent, until the transcript has arrived."""
        return self.stt.latency_s

    @property
    def first_token_s(self) -> float | None:
        """Transcript until the first token; None when the answer was not streamed."""
        return _span(self.stt.ended, self.llm.chunks[0]) if self.llm.chunks else None

    @property
    def first_sentence_s(self) -> float | None:
        """First token until the first whole sentence. None when there was none, or no stream to see it in."""
        return _span(self.llm.chunks[0], self.llm.sentence) if self.llm.chunks else None

    @property
    def total_s(self) -> float | None:
        """End of speech until the first whole sentence can be spoken."""
        return _span(self.stt.started, self.llm.sentence)
