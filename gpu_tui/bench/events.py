"""What a run says while it goes on, and at its end: the lines of ``gpu-tui measure --jsonl``.

Times in ``_ms`` are milliseconds, in ``_s`` seconds. Unknown is null.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gpu_tui.bench.machine_series import MachineSeries as MachineSeries
from gpu_tui.bench.shapes import EndpointShown as EndpointShown
from gpu_tui.bench.shapes import Figure as Figure
from gpu_tui.bench.shapes import Generator as Generator
from gpu_tui.bench.shapes import Interference as Interference
from gpu_tui.bench.shapes import LlmResult as LlmResult
from gpu_tui.bench.shapes import LocalModel as LocalModel
from gpu_tui.bench.shapes import SttResult as SttResult
from gpu_tui.bench.shapes import Utilization as Utilization
from gpu_tui.bench.shapes import VoiceResult as VoiceResult
from gpu_tui.bench.shapes import VoiceTurn as VoiceTurn
from gpu_tui.bench.shapes import WhisperSize as WhisperSize
from gpu_tui.bench.shapes import Workload as Workload
from gpu_tui.errors import GpuTuiError

SCHEMA = 1
"""Version of the summary's shape; raised when a field changes its meaning or goes."""

Kind = Literal["llm", "stt", "voice"]
Stage = Literal["stt_alone", "llm_alone", "together"]
"""Of a run that measures interference."""
Phase = Literal["resolve", "warmup", "load"]


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="progress"):
    """How far the run is."""

    phase: Phase
    kind: Kind | None = None
    """What is being measured; null while endpoints are looked for."""
    done: int = 0
    """Measured requests ended so far, of all kinds; failed ones count as ended."""
    total: int = 0
    """Measured requests of the whole run; it may fall once an endpoint is found missing. In a run of a fixed duration
    an estimate from the pace so far."""
    errors: int = 0
    elapsed_s: float = 0.0
    left_s: float | None = None
    """Until the current kind's load has ended, from its pace so far; null until one request of it has ended."""
    message: str = ""
    """One sentence for people, such as which endpoint was found."""
    stage: Stage | None = None
    """Part of an interference run; null in every other."""


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
    tpot_ms: float | None = None
    stage: Stage | None = None
    """Part of an interference run; null in every other."""
    counts: bool = True
    """False for an answer that ended after the other load had: it ran partly alone, and is in no figure."""


class TurnDone(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="turn"):
    """One measured voice turn has ended."""

    turn: VoiceTurn


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
    workload: Workload | None = None
    arrival_lag_ms: Figure | None = None
    """At a fixed rate: how late the generator itself sent requests. null in a closed loop."""
    requests_running: int | None = None
    """Other requests the LLM server was answering when the run began; null when it does not tell."""
    interference: Interference | None = None
    """null in every other mode."""
    voice: VoiceResult | None = None
    """null in every other mode."""
    began_monotonic_s: float | None = None
    """Instant on this boot's monotonic clock from which `started_s`, `windows` and `machine_series` count."""
    lasted_s: float | None = None
    """From then until all loads had ended."""
    machine_series: MachineSeries | None = None
    """What the GPU held and did meanwhile; null when nobody watched, or it could not be read."""

    @property
    def measured(self) -> bool:
        """Whether there is any figure at all."""
        return any(result is not None and result.n for result in (self.llm, self.stt, self.voice))


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
    workload: Workload | None = None
    requests_running: int | None = None
    """Requests the LLM server is answering now: above 0 it has live traffic, and a run would disturb it. null when it
    does not tell."""


Event = Progress | RequestDone | TurnDone | Summary | Preview

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
