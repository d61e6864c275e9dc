"""What is to be measured, with what load: decided by the parent, carried out by the child.

Knows no HTTP client. The plan crosses to the child as JSON on its stdin; no secret is in it, only the name of the
environment variable that holds one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

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

_ENDPOINT_TAILS = ("/chat/completions", "/audio/transcriptions", "/models")


class Mode(StrEnum):
    """Which kinds of service are measured."""

    LLM = "llm"
    STT = "stt"
    BOTH = "both"
    """LLM, then STT; never together."""


def base_url(url: str) -> str:
    """The root of a service's OpenAI-compatible interface: ``localhost:8000/v1/`` → ``http://localhost:8000``.

    Raises:
        UsageError: this is not an http or https address.
    """
    text = url.strip()
    if "://" not in text:
        text = f"http://{text}"
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"The endpoint address is not a URL: {error}.", _URL_REMEDY) from None
    if parts.scheme not in ("http", "https") or not host or not text.isprintable() or " " in text:
        raise UsageError("The endpoint address is not an http or https URL.", _URL_REMEDY)
    path = parts.path.rstrip("/")
    for tail in _ENDPOINT_TAILS:
        path = path.removesuffix(tail)
    return f"{parts.scheme}://{parts.netloc}{path.removesuffix('/v1').rstrip('/')}"


_URL_REMEDY = "Write it like http://127.0.0.1:8000."


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A place where a service may answer."""

    url: str
    """Root of the service, without ``/v1``."""
    origin: str
    """Where it was found, in words: ``--llm``, ``[endpoints] llm``, ``port of judge (pid 4242)``."""
    chosen: bool = False
    """Named by the user: measured even where the server describes itself badly, and the API key is sent there.
    Other candidates must prove what they are, and never see the key."""

    def __post_init__(self) -> None:
        """Bring the address to its root.

        Raises:
            UsageError: it is not an address.
        """
        object.__setattr__(self, "url", base_url(self.url))


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurePlan:
    """One run. Equal plans mean equal load: prompts follow from `seed`."""

    llm_urls: tuple[Candidate, ...] = ()
    """Tried in order; the first that answers as an LLM server is measured."""
    llm_model: str | None = None
    stt_urls: tuple[Candidate, ...] = ()
    stt_model: str | None = None
    strict_llm_model: bool = False
    """`llm_model` was named on the command line: used to the letter, not replaced by what the server lists."""
    strict_stt_model: bool = False
    """Likewise `stt_model`."""
    mode: Mode = Mode.BOTH
    requests: int = DEFAULT_REQUESTS
    """Measured requests of each kind."""
    concurrency: int = DEFAULT_CONCURRENCY
    """Requests under way at once; each worker sends its next when its last has ended (closed loop)."""
    warmup: int = DEFAULT_WARMUP
    """Requests of each kind sent first and left out of every figure."""
    timeout_s: float = DEFAULT_TIMEOUT_S
    """Longest a single request may take, in seconds."""
    prompt_words: int = 64
    output_tokens: int = 32
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
        _within("output tokens", self.output_tokens, 1, 100_000)

    @property
    def wants_llm(self) -> bool:
        """Whether the LLM is to be measured."""
        return self.mode is not Mode.STT

    @property
    def wants_stt(self) -> bool:
        """Whether speech-to-text is to be measured."""
        return self.mode is not Mode.LLM


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise UsageError(f"{name} is {value:g}.", f"Give a number from {low:g} to {high:g}.")


def candidates(*urls: str | None, origin: str, chosen: bool = False) -> tuple[Candidate, ...]:
    """A candidate for each address that is there; the first of equal ones stays.

    Raises:
        UsageError: one is not an address.
    """
    return tuple(Candidate(url=url, origin=origin, chosen=chosen) for url in dict.fromkeys(filter(None, urls)))


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
    from gpu_tui.bench.runner import run_blocking

    return run_blocking(plan, emit)


def preview_plan(plan: MeasurePlan, emit: Callable[[Event], None]) -> Preview:
    """Find what `run_plan` would measure, by asking the candidates what they are; no load is sent.

    Raises:
        KeyboardInterrupt: as `run_plan`.
    """
    from gpu_tui.bench.runner import preview_blocking

    return preview_blocking(plan, emit)
