"""Timings → the events and results that say them: seconds become milliseconds here, and nowhere else."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from gpu_tui.bench.client import ProbeFailure
from gpu_tui.bench.discover import Endpoint
from gpu_tui.bench.events import EndpointShown, Figure, LlmResult, RequestDone, Stage, SttResult, Workload
from gpu_tui.bench.load import Outcomes
from gpu_tui.bench.plan import MeasurePlan, Mode
from gpu_tui.bench.shapes import QueueTime
from gpu_tui.bench.untrusted import shown, shown_url
from gpu_tui.bench.workload import Clip
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
        model=model_of(endpoint),
        model_origin=endpoint.model_origin,
        size=endpoint.size,
        local=endpoint.folder is not None,
    )


def llm_done(index: int, outcome: LlmTimings | ProbeFailure, began: float, stage: Stage | None = None) -> RequestDone:
    """The event of one answer; `began` is the run's own start."""
    if isinstance(outcome, ProbeFailure):
        return RequestDone(kind="llm", index=index, error=outcome.kind, message=str(outcome), stage=stage)
    started = outcome.started or began
    gaps, _ = inter_token_latencies([outcome])
    return RequestDone(
        kind="llm",
        index=index,
        started_s=round(started - began, 6),
        ttft_ms=ms(outcome.ttft_s),
        itl_ms=ms(statistics.median(gaps)) if gaps else None,
        e2e_ms=ms(outcome.e2e_s),
        output_tokens=outcome.output_tokens,
        chunks_s=[round(chunk - started, 6) for chunk in outcome.chunks],
        tpot_ms=ms(outcome.tpot_s),
        stage=stage,
    )


def stt_done(index: int, outcome: SttTimings | ProbeFailure, began: float, stage: Stage | None = None) -> RequestDone:
    """The event of one transcript; `began` is the run's own start."""
    if isinstance(outcome, ProbeFailure):
        return RequestDone(kind="stt", index=index, error=outcome.kind, message=str(outcome), stage=stage)
    return RequestDone(
        kind="stt",
        index=index,
        started_s=round((outcome.started or began) - began, 6),
        latency_ms=ms(outcome.latency_s),
        rtf=None if outcome.rtf is None else round(outcome.rtf, 6),
        stage=stage,
    )


def llm_result(endpoint: Endpoint, outcomes: Outcomes[LlmTimings], queue: tuple[float, int] | None = None) -> LlmResult:
    """What the LLM delivered; with nothing gone well, the failures and no figure.

    Args:
        queue: mean seconds in the server's queue, and of how many requests.
    """
    good = outcomes.good
    gaps, basis = inter_token_latencies(good)
    rate = output_tokens_per_s(good)
    return LlmResult(
        n=len(good),
        errors=dict(outcomes.errors),
        ttft_ms=figure(timings.ttft_s for timings in good),
        itl_ms=figure(gaps),
        e2e_ms=figure(timings.e2e_s for timings in good),
        output_tokens_per_s=None if rate is None else round(rate, _DECIMALS),
        url=shown_url(endpoint.url),
        model=model_of(endpoint),
        itl_basis=basis,
        not_streamed=sum(not timings.streamed for timings in good),
        tpot_ms=figure(timings.tpot_s for timings in good),
        queue=None if queue is None else QueueTime(mean_ms=round(queue[0] * _MS, _DECIMALS), n=queue[1]),
        prompt_tokens_mean=_mean([timings.prompt_tokens for timings in good]),
        output_tokens_mean=_mean([timings.output_tokens for timings in good]),
        **cache_fields(endpoint),
    )


def cache_fields(endpoint: Endpoint) -> dict[str, Any]:
    """The fields of a result about the server's KV cache."""
    cache = endpoint.metrics.kv_cache
    if cache is None:
        return {}
    return {
        "kv_cache_tokens": cache.tokens,
        "kv_cache_tokens_origin": cache.origin,
        "kv_cache_tokens_source": cache.source,
    }


def stt_result(endpoint: Endpoint, outcomes: Outcomes[SttTimings], clip: Clip) -> SttResult:
    """What speech-to-text delivered; with nothing gone well, the failures and no figure."""
    good = outcomes.good
    return SttResult(
        n=len(good),
        errors=dict(outcomes.errors),
        latency_ms=figure(timings.latency_s for timings in good),
        rtf=figure((timings.rtf for timings in good), 1.0),
        url=shown_url(endpoint.url),
        model=model_of(endpoint),
        audio_s=round(clip.audio_s, _DECIMALS),
        rtfx=figure((timings.rtfx for timings in good), 1.0),
        clip=shown(clip.name),
        size=endpoint.size,
        local=endpoint.local,
    )


def workload_of(plan: MeasurePlan, clip: Clip | None) -> Workload:
    """The load of a plan, for the record."""
    voice, own = plan.mode is Mode.VOICE, bool(plan.prompts)
    return Workload(
        mode=plan.mode,
        requests=None if plan.duration_s is not None else plan.requests,
        duration_s=plan.duration_s,
        concurrency=plan.concurrency if plan.rate is None else None,
        arrivals=plan.arrivals,
        rate=plan.rate,
        warmup=plan.warmups,
        timeout_s=plan.timeout_s,
        prompts="transcript" if voice else "file" if own else "synthetic",
        prompt_words=None if voice or own or plan.prompt_tokens is not None else plan.prompt_words,
        prompt_tokens=None if voice or own else plan.prompt_tokens,
        output_tokens=plan.max_tokens,
        clip=shown(clip.name) if clip is not None else None,
        seed=plan.seed,
    )


def _mean(counts: Sequence[int | None]) -> float | None:
    """Of all of them; None when any is unknown, or there are none."""
    known = [count for count in counts if count is not None]
    return round(statistics.fmean(known), 1) if known and len(known) == len(counts) else None


def model_of(endpoint: Endpoint) -> str | None:
    """Its model, safe to show."""
    return None if endpoint.model is None else shown(endpoint.model)


def ms(seconds: float | None) -> float | None:
    """Seconds in milliseconds, rounded to a microsecond."""
    return None if seconds is None else round(seconds * _MS, _DECIMALS)


def figure(samples: Iterable[float | None], scale: float = _MS) -> Figure | None:
    """Samples in seconds (or, with scale 1, of no unit) summed up in ms; None among them are left out."""
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
        n=summary.n,
    )
