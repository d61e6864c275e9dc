"""What a run says while it goes on, and at its end: the lines of ``gpu-tui measure --jsonl``.

Times in ``_ms`` are milliseconds, in ``_s`` seconds. Unknown is null.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gpu_tui.errors import GpuTuiError

SCHEMA = 1
"""Version of the summary's shape; raised when a field changes its meaning or goes."""

Kind = Literal["llm", "stt"]
Phase = Literal["resolve", "warmup", "load"]


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="progress"):
    """How far the run is."""

    phase: Phase
    kind: Kind | None = None
    """What is being measured; null while endpoints are looked for."""
    done: int = 0
    """Measured requests ended so far, of all kinds; failed ones count as ended."""
    total: int = 0
    """Measured requests of the whole run; it may fall once an endpoint is found missing."""
    errors: int = 0
    elapsed_s: float = 0.0
    left_s: float | None = None
    """Until the current kind's load has ended, from its pace so far; null until one request of it has ended."""
    message: str = ""
    """One sentence for people, such as which endpoint was found."""


class RequestDone(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="request"):
    """One measured request has ended. Warm-ups are not reported."""

    kind: Kind
    index: int
    """0-based, by start, within its kind."""
    started_s: float | None = None
    """Since the run began; null for a failed one, whose times mean nothing."""
    ttft_ms: float | None = None
    itl_ms: float | None = None
    """Median over this answer alone; the summary's percentiles are over all samples of the run."""
    e2e_ms: float | None = None
    output_tokens: int | None = None
    latency_ms: float | None = None
    """Speech-to-text only: until the whole transcript was read."""
    rtf: float | None = None
    chunks_s: list[float] = []
    """Raw stamps: arrival of each chunk with text, since `started_s`."""
    error: str | None = None
    """Kind of failure, such as ``timeout``, ``http_500``, ``oom``; null when it went well."""
    message: str = ""
    """The failure in a sentence, made safe to show."""


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A summary of samples; linearly interpolated percentiles."""

    p50: float
    p95: float
    p99: float
    min: float
    max: float
    mean: float


class LlmResult(msgspec.Struct, frozen=True, kw_only=True):
    """What the LLM delivered."""

    n: int
    """Requests that went well; ``n + Σ errors`` were sent."""
    errors: dict[str, int]
    ttft_ms: Figure | None
    itl_ms: Figure | None
    e2e_ms: Figure | None
    output_tokens_per_s: float | None
    url: str
    model: str | None
    itl_basis: str | None = None
    """``token_gaps``, ``chunk_gaps`` or ``mean_per_token``; see `gpu_tui.core.timings.ItlBasis`."""
    not_streamed: int = 0
    """Of `n`, answers that came whole: they have an end-to-end time and no first token."""


class SttResult(msgspec.Struct, frozen=True, kw_only=True):
    """What speech-to-text delivered."""

    n: int
    errors: dict[str, int]
    latency_ms: Figure | None
    rtf: Figure | None
    url: str
    model: str | None
    audio_s: float


class Utilization(msgspec.Struct, frozen=True, kw_only=True):
    """gpu_memory_utilization: the running server's, and the slider's."""

    actual: float | None = None
    planned: float | None = None


class Generator(msgspec.Struct, frozen=True, kw_only=True):
    """What measuring itself cost."""

    cpu_s: float | None = None
    """CPU seconds of the measuring process during the load; null when no load was sent."""
    share: float | None = None
    """`cpu_s` ÷ wall time of the load; 1 is one core, and then the figures are the generator's, not the server's."""


class Summary(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="summary"):
    """The result of a run."""

    schema: int = SCHEMA
    started_at: str
    """UTC, ISO 8601."""
    machine: str
    simulated: bool = False
    gpu_memory_utilization: Utilization
    llm: LlmResult | None
    stt: SttResult | None
    reason: dict[str, str] = {}
    """Why a kind is null or has n = 0, by kind: ``unmeasured: no endpoint``."""
    notes: list[str] = []
    """Things to know when reading the figures."""
    oom_events: int | None = None
    """Times that answers, or the services' logs where they are readable, told of CUDA out of memory; null when neither
    could be asked."""
    generator: Generator

    @property
    def measured(self) -> bool:
        """Whether there is any figure at all."""
        return bool((self.llm and self.llm.n) or (self.stt and self.stt.n))


class EndpointShown(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint as a person may see it: no credentials, no control characters."""

    url: str
    origin: str
    model: str | None
    model_origin: str


class Preview(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="preview"):
    """What would be measured: the answer of ``--dry-run``. Nothing has been."""

    schema: int = SCHEMA
    simulated: bool = False
    llm: EndpointShown | None
    stt: EndpointShown | None
    reason: dict[str, str] = {}
    notes: list[str] = []
    requests: int
    concurrency: int
    warmup: int
    timeout_s: float
    prompt_words: int
    output_tokens: int
    gpu_memory_utilization: Utilization


Event = Progress | RequestDone | Summary | Preview

_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


class UnreadableEvent(GpuTuiError):
    """A line is not one of the events above."""


def encode_event(event: Event) -> bytes:
    """One line of JSON, without its newline."""
    return msgspec.json.encode(event)


def encode_result(result: Summary | Preview) -> bytes:
    """The same object without its ``type``: what ``--json`` prints."""
    fields = msgspec.to_builtins(result)
    del fields["type"]
    return msgspec.json.encode(fields)


def decode_event(line: bytes) -> Event:
    """An event from its line.

    Raises:
        UnreadableEvent: it is not one.
    """
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadableEvent(f"A line of the measurement cannot be read: {error}.") from None
