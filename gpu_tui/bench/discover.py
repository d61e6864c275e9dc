"""Which of the candidate addresses is a server that can be measured, and what it serves: a few GETs, no load.

A candidate named by the user is taken at its word where it describes itself badly. One found among listening ports
must prove what it is, is asked nothing but its description, and never sees the API key.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from gpu_tui.bench import vllm_metrics
from gpu_tui.bench.client import ProbeFailure, get
from gpu_tui.bench.events import Kind
from gpu_tui.bench.plan import Candidate, MeasurePlan
from gpu_tui.bench.shapes import LocalModel, WhisperSize
from gpu_tui.bench.sizes import local_size, size_of
from gpu_tui.bench.untrusted import shown, shown_url
from gpu_tui.bench.vllm_metrics import VllmMetrics
from gpu_tui.bench.whisper_folder import installed, look
from gpu_tui.errors import EndpointError

TIMEOUT_S = 5.0
"""For one description; a server that needs longer for this is not up."""
MAX_MODEL_NAME = 512
NO_ENDPOINT = "unmeasured: no endpoint"
DEFAULT_STT_MODEL = "whisper-1"
"""What OpenAI calls its model; servers of a single model take any name, and some insist on one."""
_CHAT = "/v1/chat/completions"
_TRANSCRIBE = "/v1/audio/transcriptions"
_SPEECH = re.compile(r"(?i)whisper|voxtral|parakeet|canary|moonshine|speech|\bstt\b|\basr\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A server that answered, and what it was found to be."""

    url: str
    origin: str
    """Where the address was found, in words."""
    model: str | None
    """To be sent as it stands: as the server wrote it."""
    model_origin: str
    """Where the model's name was found, in words."""
    metrics: VllmMetrics = VllmMetrics()
    """What its ``/metrics`` said when it was found."""
    key: str | None = field(default=None, repr=False)
    size: WhisperSize | None = None
    """Of a Whisper; None where nobody says."""
    folder: str | None = None
    """Of a local model; None for a server. Its `url` is then a ``file:`` one, for people."""
    local: LocalModel | None = None
    """How it runs, once it is loaded."""

    @property
    def utilization(self) -> float | None:
        """gpu_memory_utilization as its ``/metrics`` says; None when it does not say."""
        return self.metrics.utilization


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The outcome for one kind: an endpoint, or why there is none."""

    endpoint: Endpoint | None = None
    reason: str = ""
    notes: tuple[str, ...] = ()


class Discovery:
    """Looks at the candidates of a plan.

    Args:
        key: the API key for endpoints named by the user; None without one.
    """

    def __init__(self, session: aiohttp.ClientSession, plan: MeasurePlan, key: str | None) -> None:
        self._session = session
        self._plan = plan
        self._key = key
        self._timeout = aiohttp.ClientTimeout(total=min(TIMEOUT_S, plan.timeout_s))

    async def llm(self) -> Found:
        """The first candidate that serves chat completions."""
        return await self._first("llm", self._plan.llm_urls)

    async def stt(self) -> Found:
        """The local model, if one is named; else the first candidate that transcribes."""
        return _local(self._plan) if self._plan.stt_local else await self._first("stt", self._plan.stt_urls)

    async def _first(self, kind: Kind, tried: tuple[Candidate, ...]) -> Found:
        failures: list[str] = []
        for candidate in tried:
            key = self._key if candidate.chosen else None
            try:
                served = await self._served(kind, candidate, key)
            except ProbeFailure as failure:
                # A port that turns out to be something else is no failure of what was asked for.
                if candidate.chosen or failure.kind in ("http_401", "http_403"):
                    failures.append(str(failure))
                continue
            if served is None:
                continue
            name, origin, notes = self._model(kind, served, candidate.url)
            metrics = await self.metrics(candidate.url, key) if kind == "llm" else VllmMetrics()
            listed = f"{shown_url(candidate.url)}/v1/models" if name in served else None
            size, more = size_of(self._plan, name, listed) if kind == "stt" else (None, ())
            endpoint = Endpoint(
                url=candidate.url,
                origin=candidate.origin,
                model=name,
                model_origin=origin,
                metrics=metrics,
                key=key,
                size=size,
            )
            return Found(endpoint=endpoint, notes=notes + more)
        return Found(reason=f"unmeasured: {failures[0]}" if failures else NO_ENDPOINT)

    async def _served(self, kind: Kind, candidate: Candidate, key: str | None) -> tuple[str, ...] | None:
        """The models of a candidate, () when it does not list them; None when it is no server of this kind.

        Raises:
            ProbeFailure: it cannot be reached, or refuses.
        """
        paths, models = await asyncio.gather(
            self._paths(candidate.url, key), self._models(candidate.url, key), return_exceptions=True
        )
        for outcome in (paths, models):
            if isinstance(outcome, BaseException) and not isinstance(outcome, ProbeFailure):
                raise outcome
        if isinstance(models, ProbeFailure) and not models.answered:
            raise models
        names = () if isinstance(models, BaseException) else models
        if candidate.chosen:
            return names
        if isinstance(models, ProbeFailure) and models.kind in ("http_401", "http_403"):
            raise models
        known = None if isinstance(paths, BaseException) else paths
        fits = _is_llm(known, names) if kind == "llm" else _is_stt(known, names)
        return names if fits else None

    def _model(self, kind: Kind, served: tuple[str, ...], url: str) -> tuple[str | None, str, tuple[str, ...]]:
        """The name to send, where it was found, and what the user should know about it."""
        plan, where = self._plan, shown_url(url)
        asked = plan.llm_model if kind == "llm" else plan.stt_model
        strict = plan.strict_llm_model if kind == "llm" else plan.strict_stt_model
        if asked is not None and (strict or not served or asked in served):
            missing = bool(served) and asked not in served
            notes = (f"{where} does not list the model {shown(asked)}.",) if missing else ()
            return asked, "named by the user", notes
        if not served:
            return (None, "unknown", ()) if kind == "llm" else (DEFAULT_STT_MODEL, "OpenAI's default name", ())
        name = _preferred(served, speech=kind == "stt")
        if asked is None:
            return name, f"{where}/v1/models", ()
        note = f"{where} serves {shown(name)}, not the configured {shown(asked)}: measured what it serves."
        return name, f"{where}/v1/models", (note,)

    async def _models(self, url: str, key: str | None) -> tuple[str, ...]:
        answer = await self._get_json(url, "/v1/models", key)
        rows = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(rows, list):
            raise ProbeFailure("bad_answer", f"{shown_url(url)}/v1/models is not a list of models.")
        names = (row.get("id") for row in rows if isinstance(row, dict))
        return tuple(name for name in names if isinstance(name, str) and 0 < len(name) <= MAX_MODEL_NAME)

    async def _paths(self, url: str, key: str | None) -> frozenset[str]:
        answer = await self._get_json(url, "/openapi.json", key)
        paths = answer.get("paths") if isinstance(answer, dict) else None
        if not isinstance(paths, dict):
            raise ProbeFailure("bad_answer", f"{shown_url(url)}/openapi.json describes no paths.")
        return frozenset(paths)

    async def metrics(self, url: str, key: str | None) -> VllmMetrics:
        """What the server's ``/metrics`` says now; nothing, where it has no such page."""
        try:
            return vllm_metrics.parse(await get(self._session, url, "/metrics", key, self._timeout))
        except ProbeFailure:
            return VllmMetrics()  # other servers have no such page: unknown, not wrong

    async def _get_json(self, base: str, path: str, key: str | None) -> Any:
        body = await get(self._session, base, path, key, self._timeout)
        try:
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ProbeFailure("bad_json", f"{shown_url(base + path)} is not JSON.") from None


def _local(plan: MeasurePlan) -> Found:
    """The local model as it lies there; it is not loaded yet."""
    path = Path(plan.stt_local or "")
    try:
        folder = look(path)
        installed()
    except EndpointError as error:
        return Found(reason=f"unmeasured: {error}")
    size, notes = local_size(plan, str(path), folder.size)
    endpoint = Endpoint(
        url=path.absolute().as_uri(),
        origin=plan.stt_local_origin,
        model=path.name,
        model_origin="the folder's name",
        size=size,
        folder=str(path),
    )
    return Found(endpoint=endpoint, notes=notes)


def _is_llm(paths: frozenset[str] | None, models: tuple[str, ...]) -> bool:
    if not models or (paths is not None and _CHAT not in paths):
        return False
    return not all(_SPEECH.search(name) for name in models)


def _is_stt(paths: frozenset[str] | None, models: tuple[str, ...]) -> bool:
    """vLLM describes every path it knows, whatever it serves: where chat is offered too, the model must bear it out."""
    if paths is not None and _TRANSCRIBE not in paths:
        return False
    if paths is not None and _CHAT not in paths:
        return True
    return any(_SPEECH.search(name) for name in models)


def _preferred(served: tuple[str, ...], *, speech: bool) -> str:
    fitting = [name for name in served if bool(_SPEECH.search(name)) is speech]
    return (fitting or served)[0]
