"""Timings → the events and results that say them: seconds become milliseconds here, and nowhere else."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

from gpu_tui.bench.client import ProbeFailure
from gpu_tui.bench.discover import Endpoint
from gpu_tui.bench.events import EndpointShown, Figure, LlmResult, RequestDone, SttResult
from gpu_tui.bench.load import Outcomes
from gpu_tui.bench.untrusted import shown, shown_url
from gpu_tui.core.summary import summarize
from gpu_tui.core.timings import LlmTimings, SttTimings, inter_token_latencies, output_tokens_per_s

_MS = 1000.0
_DECIMALS = 3
"""A microsecond: finer than any clock stamp of an event loop means."""


def endpoint_shown(endpoint: Endpoint | None) -> EndpointShown | None:
    """The endpoint as a person may see it."""
    if endpoint is None:
        return None
    return EndpointShown(
        url=shown_url(endpoint.url),
        origin=endpoint.origin,
        model=_model(endpoint),
        model_origin=endpoint.model_origin,
    )


def llm_done(index: int, outcome: LlmTimings | ProbeFailure, began: float) -> RequestDone:
    """The event of one answer; `began` is the run's own start."""
    if isinstance(outcome, ProbeFailure):
        return RequestDone(kind="llm", index=index, error=outcome.kind, message=str(outcome))
    started = outcome.started or began
    gaps, _ = inter_token_latencies([outcome])
    return RequestDone(
        kind="llm",
        index=index,
        started_s=round(started - began, 6),
        ttft_ms=_ms(outcome.ttft_s),
        itl_ms=_ms(statistics.median(gaps)) if gaps else None,
        e2e_ms=_ms(outcome.e2e_s),
        output_tokens=outcome.output_tokens,
        chunks_s=[round(chunk - started, 6) for chunk in outcome.chunks],
    )


def stt_done(index: int, outcome: SttTimings | ProbeFailure, began: float) -> RequestDone:
    """The event of one transcript; `began` is the run's own start."""
    if isinstance(outcome, ProbeFailure):
        return RequestDone(kind="stt", index=index, error=outcome.kind, message=str(outcome))
    return RequestDone(
        kind="stt",
        index=index,
        started_s=round((outcome.started or began) - began, 6),
        latency_ms=_ms(outcome.latency_s),
        rtf=None if outcome.rtf is None else round(outcome.rtf, 6),
    )


def llm_result(endpoint: Endpoint, outcomes: Outcomes[LlmTimings]) -> LlmResult:
    """What the LLM delivered; with nothing gone well, the failures and no figure."""
    good = outcomes.good
    gaps, basis = inter_token_latencies(good)
    rate = output_tokens_per_s(good)
    return LlmResult(
        n=len(good),
        errors=dict(outcomes.errors),
        ttft_ms=_figure((timings.ttft_s for timings in good), _MS),
        itl_ms=_figure(gaps, _MS),
        e2e_ms=_figure((timings.e2e_s for timings in good), _MS),
        output_tokens_per_s=None if rate is None else round(rate, _DECIMALS),
        url=shown_url(endpoint.url),
        model=_model(endpoint),
        itl_basis=basis,
        not_streamed=sum(not timings.streamed for timings in good),
    )


def stt_result(endpoint: Endpoint, outcomes: Outcomes[SttTimings], audio_s: float) -> SttResult:
    """What speech-to-text delivered; with nothing gone well, the failures and no figure."""
    good = outcomes.good
    return SttResult(
        n=len(good),
        errors=dict(outcomes.errors),
        latency_ms=_figure((timings.latency_s for timings in good), _MS),
        rtf=_figure((timings.rtf for timings in good), 1.0),
        url=shown_url(endpoint.url),
        model=_model(endpoint),
        audio_s=round(audio_s, _DECIMALS),
    )


def _model(endpoint: Endpoint) -> str | None:
    return None if endpoint.model is None else shown(endpoint.model)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * _MS, _DECIMALS)


def _figure(samples: Iterable[float | None], scale: float) -> Figure | None:
    summary = summarize(sample * scale for sample in samples if sample is not None)
    if summary is None:
        return None
    digits = _DECIMALS if scale == _MS else 6
    return Figure(
        p50=round(summary.p50, digits),
        p95=round(summary.p95, digits),
        p99=round(summary.p99, digits),
        min=round(summary.min, digits),
        max=round(summary.max, digits),
        mean=round(summary.mean, digits),
    )
