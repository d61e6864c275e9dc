"""What is to be measured, with what load: decided by the parent, carried out by the child.

Knows no HTTP client. The plan crosses to the child as JSON on its stdin; no secret is in it, only the name of the
environment variable that holds one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from gpu_tui.bench.addresses import Candidate as Candidate
from gpu_tui.bench.addresses import base_url as base_url
from gpu_tui.bench.addresses import candidates as candidates
from gpu_tui.errors import UsageError

if TYPE_CHECKING:
    from gpu_tui.bench.events import Event, Preview, Summary

MAX_REQUESTS = 100_000
MAX_CONCURRENCY = 1024
MAX_WARMUP = 10_000
MAX_TIMEOUT_S = 3600.0
DEFAULT_REQUESTS = 20
DEFAULT_CONCURRENCY = 1
DEFAULT_WARMUP = 2
DEFAULT_TIMEOUT_S = 60.0
DEFAULT_OUTPUT_TOKENS = 32
CLIPS = ("short", "5s", "15s")
"""The shipped clips: a short command of 1 s, a sentence of 5 s, a paragraph of 15 s."""
DEFAULT_CLIP = "5s"
DEVICES = ("auto", "cpu", "cuda")
"""Where a local model may run; ``auto``: on a GPU if CTranslate2 finds one."""
MAX_TOKENS = 100_000
MAX_RATE = 1000.0
MAX_DURATION_S = 86_400.0
VOICE_OUTPUT_TOKENS = 128
"""Of a voice turn whose length nobody has set: room for a sentence to end."""


class Mode(StrEnum):
    """Which kinds of service are measured."""

    LLM = "llm"
    STT = "stt"
    BOTH = "both"
    """LLM, then STT; never together."""
    INTERFERENCE = "interference"
    """STT alone, LLM alone, then both together."""
    VOICE = "voice"
    """Whole turns: end of speech, transcript, first token, first sentence."""


class Arrivals(StrEnum):
    """When requests start."""

    CLOSED = "closed"
    """Each of `concurrency` workers sends its next request when its last has ended."""
    POISSON = "poisson"
    """At a fixed mean rate, with random gaps: as callers come who do not know of each other. Evenly spaced ones would
    never queue behind each other, and flatter a server that real callers make wait."""
    CONSTANT = "constant"
    """At a fixed rate, evenly spaced: for comparing two servers with the least noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurePlan:
    """One run. Equal plans mean equal load: the words of prompts follow from `seed`; their order is the run's own."""

    llm_urls: tuple[Candidate, ...] = ()
    """Tried in order; the first that answers as an LLM server is measured."""
    llm_model: str | None = None
    stt_urls: tuple[Candidate, ...] = ()
    stt_model: str | None = None
    strict_llm_model: bool = False
    """`llm_model` was named on the command line: used to the letter, not replaced by what the server lists."""
    strict_stt_model: bool = False
    """Likewise `stt_model`."""
    stt_local: str | None = None
    """Folder of a Whisper model for CTranslate2: measured with faster-whisper in a process of its own, instead of
    `stt_urls`."""
    stt_local_origin: str = "--stt-local"
    """Where the folder is named, in words."""
    stt_device: str = "auto"
    """Of the local model; one of `DEVICES`."""
    stt_gpu: str | None = None
    """UUID of the GPU that the local model may see; None: whichever CUDA calls its first."""
    stt_size: str | None = None
    """Label: the size of Whisper, where neither server nor model tell."""
    stt_size_origin: str = "--stt-size"
    """Where the label is from, in words."""
    mode: Mode = Mode.BOTH
    requests: int = DEFAULT_REQUESTS
    """Measured requests of each kind; means nothing where `duration_s` is set."""
    duration_s: float | None = None
    """Send for so many seconds, per kind; what is under way then is waited for and counts. None: `requests` of them."""
    concurrency: int = DEFAULT_CONCURRENCY
    """Requests under way at once, in a closed loop."""
    rate: float | None = None
    """Requests a second, however long answers take (open loop); None: a closed loop."""
    constant_rate: bool = False
    """With `rate`: evenly spaced instead of `Arrivals.POISSON`."""
    warmup: int = DEFAULT_WARMUP
    """Requests of each kind sent first and left out of every figure; see `warmups`."""
    timeout_s: float = DEFAULT_TIMEOUT_S
    """Longest a single request may take, in seconds."""
    prompt_words: int = 64
    prompt_tokens: int | None = None
    """Length of synthetic prompts in the server's own tokens, found out during the warm-up; None: `prompt_words`."""
    prompts: tuple[str, ...] = ()
    """A user's own, in turn, instead of synthetic ones."""
    output_tokens: int | None = None
    """Most tokens of an answer; None: `DEFAULT_OUTPUT_TOKENS`, or `VOICE_OUTPUT_TOKENS` in a voice turn."""
    clip: str = DEFAULT_CLIP
    """The shipped clip that is transcribed."""
    wav: str | None = None
    """Path of a user's own WAV instead of `clip`."""
    voice_budget_ms: float | None = None
    """Longest a voice turn may take until its first sentence, in ms; None: nobody has set one."""
    refuse_traffic: bool = False
    """Send nothing where the LLM server is answering others (vLLM's ``/metrics`` tells)."""
    seed: int = 1
    api_key_env: str | None = None
    """Name of the environment variable with the API key; the key itself is read in the child alone."""
    planned_utilization: float | None = None
    """Where the slider stands: for the record, it changes nothing."""
    actual_utilization: float | None = None
    """What the running server's command line says; the server's own ``/metrics`` outranks it."""
    log_paths: tuple[str, ...] = ()
    """Logs of the services, watched during the run for words of running out of GPU memory."""
    machine: str = ""
    """GPU or host, for the record."""
    simulated: bool = False
    """The endpoints are the demo's."""
    tethered: bool = False
    """Set for a child: when its stdin closes its parent has gone, and the run ends."""

    def __post_init__(self) -> None:
        """Hold the numbers to their bounds.

        Raises:
            UsageError: one is outside, with the bounds.
        """
        _within("--requests", self.requests, 1, MAX_REQUESTS)
        _within("--concurrency", self.concurrency, 1, MAX_CONCURRENCY)
        _within("--warmup", self.warmup, 0, MAX_WARMUP)
        _within("--timeout", self.timeout_s, 0.001, MAX_TIMEOUT_S)
        _within("prompt words", self.prompt_words, 1, 100_000)
        for flag, value, low, high in (
            ("--prompt-tokens", self.prompt_tokens, 1, MAX_TOKENS),
            ("--output-tokens", self.output_tokens, 1, MAX_TOKENS),
            ("--rate", self.rate, 0.001, MAX_RATE),
            ("--duration", self.duration_s, 0.1, MAX_DURATION_S),
            ("voice_budget_ms", self.voice_budget_ms, 1, 1e7),
        ):
            if value is not None:
                _within(flag, value, low, high)
        for flag, text, known in (("--clip", self.clip, CLIPS), ("--stt-device", self.stt_device, DEVICES)):
            if text not in known:
                raise UsageError(f"{flag} is {text!r}.", f"Give one of {', '.join(known)}.")

    @property
    def wants_llm(self) -> bool:
        """Whether the LLM is to be measured."""
        return self.mode is not Mode.STT

    @property
    def wants_stt(self) -> bool:
        """Whether speech-to-text is to be measured."""
        return self.mode is not Mode.LLM

    @property
    def together(self) -> bool:
        """Whether a run of one kind alone would be no answer: both services are needed."""
        return self.mode in (Mode.INTERFERENCE, Mode.VOICE)

    @property
    def warmups(self) -> int:
        """Warm-up requests that are sent: at least one for each connection, unless none was asked for."""
        least = 2 if self.prompt_tokens else 1  # two lengths tell words and template apart
        return max(self.warmup, self.concurrency, least) if self.warmup else 0

    @property
    def arrivals(self) -> Arrivals:
        """When requests start."""
        if self.rate is None:
            return Arrivals.CLOSED
        return Arrivals.CONSTANT if self.constant_rate else Arrivals.POISSON

    @property
    def max_tokens(self) -> int:
        """Most tokens of an answer."""
        usual = VOICE_OUTPUT_TOKENS if self.mode is Mode.VOICE else DEFAULT_OUTPUT_TOKENS
        return usual if self.output_tokens is None else self.output_tokens


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise UsageError(f"{name} is {value:g}.", f"Give a number from {low:g} to {high:g}.")


def dump_plan(plan: MeasurePlan) -> bytes:
    """The plan as one line of JSON."""
    import msgspec  # here and below: 20 ms that a command which measures nothing need not spend

    return msgspec.json.encode(plan)


def load_plan(data: bytes) -> MeasurePlan:
    """The plan from `dump_plan`'s line.

    Raises:
        UsageError: it is not a plan, or asks for something out of bounds.
    """
    import msgspec

    try:
        return msgspec.json.decode(data, type=MeasurePlan)
    except msgspec.DecodeError as error:
        raise UsageError(f"The measurement plan cannot be read: {error}.", _PLAN_REMEDY) from None


_PLAN_REMEDY = "Let gpu-tui write it; --plan is not meant for people."


def run_plan(plan: MeasurePlan, emit: Callable[[Event], None]) -> Summary:
    """Carry the plan out in this process and return its summary; `emit` sees every event, the summary last.

    Raises:
        KeyboardInterrupt: interrupted, by SIGINT, by SIGTERM, or because the parent of a tethered child has gone;
            every socket is closed by then, and no summary has been emitted.
    """
    # Here, because the TUI imports this module and must never load the HTTP client.
    from gpu_tui.bench.process import run_blocking

    return run_blocking(plan, emit)


def preview_plan(plan: MeasurePlan, emit: Callable[[Event], None]) -> Preview:
    """Find what `run_plan` would measure, by asking the candidates what they are; no load is sent.

    Raises:
        KeyboardInterrupt: as `run_plan`.
    """
    from gpu_tui.bench.process import preview_blocking

    return preview_blocking(plan, emit)
