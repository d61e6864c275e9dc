"""What results are made of: figures, one kind's result, the load, the modes' own objects.

Times in ``_ms`` are milliseconds, in ``_s`` seconds. Unknown is null.
"""

from __future__ import annotations

import msgspec


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A summary of samples; linearly interpolated percentiles."""

    p50: float
    p95: float
    p99: float
    min: float
    max: float
    mean: float
    n: int | None = None
    """Samples behind it: a p95 of fewer than 20, or a p99 of fewer than 100, is little more than the largest."""


class QueueTime(msgspec.Struct, frozen=True, kw_only=True):
    """How long requests waited in the server, as vLLM's ``/metrics`` tells: sum and count over the run, no more."""

    mean_ms: float
    n: int
    """Requests behind it; more than were sent here means that others are in it."""
    origin: str = "measured"
    source: str = "vllm:request_queue_time_seconds"


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
    tpot_ms: Figure | None = None
    """Time per output token after the first, one sample an answer; null without usage."""
    queue: QueueTime | None = None
    """null where the server does not tell."""
    prompt_tokens_mean: float | None = None
    """As the server counted; null unless every answer says it."""
    output_tokens_mean: float | None = None
    """Likewise."""
    kv_cache_tokens: int | None = None
    """What the server's KV cache holds, over all its engines; null where it does not tell."""
    kv_cache_tokens_origin: str | None = None
    """``measured``: vLLM's own figure; ``derived``: blocks × block size, which holds where layers are of one kind."""
    kv_cache_tokens_source: str | None = None
    """The metric and its labels."""


class WhisperSize(msgspec.Struct, frozen=True, kw_only=True):
    """Which Whisper it was."""

    name: str
    """``tiny``, ``large-v3`` and the like, or a label of the user's."""
    origin: str
    """``measured``: the server lists it; ``derived``: from the weights' shape; ``assumed``: a label or a name."""
    source: str
    """Who says so, in words."""


class LocalModel(msgspec.Struct, frozen=True, kw_only=True):
    """How a local model ran, where no server was measured."""

    load_s: float
    """Importing the library and loading the model, in seconds: left out of every other figure."""
    device: str | None
    """``cpu`` or ``cuda``; null when the library does not say."""
    compute_type: str | None
    """Such as ``int8_float32``."""
    version: str | None
    """Of faster-whisper."""
    workers: int
    """Transcriptions that could run at once; others waited, and their wait counts."""


class SttResult(msgspec.Struct, frozen=True, kw_only=True):
    """What speech-to-text delivered."""

    n: int
    errors: dict[str, int]
    latency_ms: Figure | None
    rtf: Figure | None
    url: str
    model: str | None
    audio_s: float
    rtfx: Figure | None = None
    """Audio seconds ÷ processing seconds of each transcription; above 1 is faster than speech."""
    clip: str | None = None
    """Name of what was transcribed."""
    size: WhisperSize | None = None
    """null where nobody says."""
    local: LocalModel | None = None
    """null where a server was measured."""


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
    cpu_ms_per_request: float | None = None
    """`cpu_s` ÷ measured requests, in ms."""
    request_share: float | None = None
    """`cpu_s` ÷ the time that its requests took, added up: what part of one request is the client's; null when none
    went well."""


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """The load, as it was sent: equal ones may be compared."""

    mode: str
    requests: int | None
    """Of each kind; null where `duration_s` rules."""
    duration_s: float | None
    concurrency: int | None
    """Requests under way at once; null where they come at a fixed rate."""
    arrivals: str
    """``closed``, ``poisson`` or ``constant``."""
    rate: float | None
    """Requests a second that were to be sent; null in a closed loop."""
    warmup: int
    timeout_s: float
    prompts: str
    """``synthetic``, ``file``, or ``transcript`` in a voice turn."""
    prompt_words: int | None
    """Of synthetic prompts; null where `prompt_tokens` rules, or they are a user's own."""
    prompt_tokens: int | None
    """Asked for; what it came to is `LlmResult.prompt_tokens_mean`."""
    output_tokens: int
    """Most of an answer."""
    clip: str | None
    """Shipped clip's or file's name; null when nothing is transcribed."""
    seed: int


class Together(msgspec.Struct, frozen=True, kw_only=True):
    """Both kinds under load at once; only requests that began and ended while both were."""

    llm: LlmResult | None
    stt: SttResult | None


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """Together ÷ alone; above 1 is slower together. null when either is unmeasured."""

    p50: float | None
    p95: float | None


class Interference(msgspec.Struct, frozen=True, kw_only=True):
    """What the services do to each other."""

    stt_alone: SttResult | None
    llm_alone: LlmResult | None
    together: Together | None
    slowdown: dict[str, Ratio | None]
    """Of ``stt_latency``, ``llm_ttft``, ``llm_itl``, ``llm_tpot``, ``llm_e2e``; null when unmeasured, when the other
    side delivered nothing meanwhile, and of ITL where the two are not of one basis."""
    windows: dict[str, tuple[float, float]]
    """Begin and end of ``stt_alone``, ``llm_alone`` and ``together`` in seconds since the run began."""


class VoiceTurn(msgspec.Struct, frozen=True, kw_only=True):
    """One turn, its stages one after the other; they add up to `total_ms`."""

    index: int
    started_s: float | None = None
    """End of speech, since the run began; null for a failed turn that has no stamp."""
    stt_ms: float | None = None
    """End of speech until the transcript: the clip is sent whole, when its speech has ended."""
    first_token_ms: float | None = None
    """Transcript until the first token."""
    first_sentence_ms: float | None = None
    """First token until the first whole sentence; null where none ended within the answer."""
    total_ms: float | None = None
    """End of speech until the first whole sentence."""
    error: str | None = None
    """Stage and kind of failure, such as ``stt_timeout``, ``llm_http_500``."""
    message: str = ""


class VoiceResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a voice assistant would deliver on these services."""

    n: int
    """Turns that went well."""
    errors: dict[str, int]
    stt_ms: Figure | None
    first_token_ms: Figure | None
    first_sentence_ms: Figure | None
    total_ms: Figure | None
    no_sentence: int
    """Of `n`, answers in which no sentence ended: they have no total."""
    budget_ms: float | None
    """As configured; null when nobody has set one."""
    within_budget: int | None
    """Of `n`, turns with a total at most `budget_ms`; null without a budget."""
    turns: list[VoiceTurn]
    """At most `MAX_TURNS_KEPT`, the first ones; every one is a line of ``--jsonl``."""
    llm_url: str
    llm_model: str | None
    stt_url: str
    stt_model: str | None
    clip: str
    audio_s: float
    stt_size: WhisperSize | None = None
    """As `SttResult.size`."""
    stt_local: LocalModel | None = None
    """As `SttResult.local`."""
    kv_cache_tokens: int | None = None
    """As `LlmResult.kv_cache_tokens`; so are the next two."""
    kv_cache_tokens_origin: str | None = None
    kv_cache_tokens_source: str | None = None


MAX_TURNS_KEPT = 1000


class EndpointShown(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint as a person may see it: no credentials, no control characters."""

    url: str
    origin: str
    model: str | None
    model_origin: str
    size: WhisperSize | None = None
    """Of a Whisper; null where nobody says."""
    local: bool = False
    """A model folder that is loaded for the run, and no server."""
