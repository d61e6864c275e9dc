"""Judges a candidate on the machine as it is now, measures the live services if it would hold, and scores it."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gpu_tui.clock import Clock
from gpu_tui.config import Settings
from gpu_tui.core import choice
from gpu_tui.core.books import Books, keep_books
from gpu_tui.core.checks import CheckReport, ModelNeed, evaluate
from gpu_tui.core.fitness import fitness, planned_memory_pct
from gpu_tui.core.reasons import reason
from gpu_tui.core.services import Classifier
from gpu_tui.core.snapshot import Gpu, Snapshot
from gpu_tui.errors import GpuTuiError, SourceUnavailable
from gpu_tui.evaluator import state
from gpu_tui.evaluator.capacity import by_free_memory, by_kv_cache
from gpu_tui.evaluator.result import UNMEASURED_MS, Candidate, Result, ResultStatus, parse_candidate
from gpu_tui.ports import Bench, BenchResult, TelemetrySource

OUT_OF_BOUNDS = "VLLM util out of bounds"

_SAME_UTILIZATION = 0.00005
"""Half of the step in which feasible ranges are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """One reading, settled on one GPU."""

    snapshot: Snapshot
    gpu: Gpu
    books: Books


class Evaluator:
    """Evaluates candidates one after another. Not for several threads at once."""

    def __init__(
        self,
        source: TelemetrySource,
        bench: Bench,
        settings: Settings,
        *,
        need_for: Callable[[Snapshot | None, Gpu | None, Books | None], ModelNeed],
        clock: Clock,
    ) -> None:
        """Nothing is read or measured yet.

        Args:
            source: the machine. Its `read` must come back in bounded time.
            bench: measures the live services.
            settings: bounds, weights and targets, service rules, the choice of GPU and instance.
            need_for: what the model takes, given the machine, the GPU and its books (None: they cannot be read).
            clock: for durations.
        """
        self._source = source
        self._bench = bench
        self._settings = settings
        self._need_for = need_for
        self._clock = clock
        self._rules = Classifier(settings.services)
        self._last: _Seen | None = None

    def evaluate(self, candidate: Mapping[str, Any]) -> Result:
        """Judge and, if it would hold, measure one candidate. A machine that cannot be read gives ``unmeasured``.

        Args:
            candidate: ``vllm_memory_util`` (a share 0..1) and, if wanted, ``whisper_model_size``.

        Raises:
            CandidateError: the candidate does not say what is to be evaluated.
            UsageError: it is open which GPU or which vLLM instance is meant.
        """
        asked = parse_candidate(candidate)
        started = self._clock.monotonic()
        result = self._evaluate(asked)
        return replace(result, test_duration_sec=max(0.0, self._clock.monotonic() - started))

    run_test = evaluate

    def compute_fitness(self, result: Mapping[str, Any]) -> float:
        """The fitness of a result, or of any mapping with its keys, with the planned memory of the machine as it is.

        0 for whatever did not pass, and for every utilization that cannot be one.
        """
        share = parse_candidate(result).vllm_memory_util
        passed = result.get("status", ResultStatus.PASS) == ResultStatus.PASS and result.get("validation_passed", True)
        if not passed or not 0 < share <= 1:
            return 0.0
        seen = self._look()
        if isinstance(seen, str):
            memory_pct = None
        else:
            memory_pct = planned_memory_pct(evaluate(share, seen.books, self._need(seen)))
        latencies = [_latency(result, kind) for kind in ("stt", "llm")]
        oom = bool(result.get("oom_events"))
        return self._score(latencies[0], latencies[1], result.get("concurrent_capacity"), oom, memory_pct)

    def get_production_services(self) -> dict[str, dict[str, Any]] | None:
        """Who runs now and what it holds; None when that cannot be read."""
        services: dict[str, dict[str, Any]] | None = self.get_gpu_state()["production_services"]
        return services

    def get_gpu_state(self) -> dict[str, Any]:
        """The machine now, in MiB and percent of memory; every value None when it cannot be read.

        Raises:
            UsageError: it is open which GPU or which vLLM instance is meant.
        """
        seen = self._look()
        return dict(state.UNREADABLE) if isinstance(seen, str) else state.gpu_state(seen.snapshot, seen.gpu, seen.books)

    def validate_vllm_allocation(self, u: float, gpu_state: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The three checks on one utilization.

        Args:
            u: gpu_memory_utilization. Outside (0, 1] nothing can be allocated: `valid` is False and the estimates None.
            gpu_state: from `get_gpu_state`; None reads the machine.

        Raises:
            CandidateError: u is not a finite number.
        """
        share = parse_candidate({"vllm_memory_util": u}).vllm_memory_util
        told = self.get_gpu_state() if gpu_state is None else gpu_state
        books = state.books_of(told, {rule.name for rule in self._settings.services if rule.restarts})
        need = self._need(self._last)
        if not 0 < share <= 1:
            judged = state.validation(1.0, books, need)
            return judged | {
                "valid": False,
                "reason": OUT_OF_BOUNDS,
                "estimated_vllm_mb": None,
                "estimated_kv_cache_mb": None,
            }
        return state.validation(share, books, need)

    def close(self) -> None:
        """Give back what the source holds."""
        self._source.close()

    def _look(self) -> _Seen | str:
        """The machine now, or a sentence that says why it cannot be read."""
        try:
            snapshot = self._source.read()
        except SourceUnavailable as error:
            return str(error)
        gpu, restarts = self._settings.gpu, self._settings.restarts
        gpus = choice.choose_gpus(snapshot, self._rules, None if gpu == choice.ALL else gpu, restarts)
        fault = choice.blocking_fault(gpus[0])
        if fault is not None:
            return f"{fault.message} {fault.remedy}".rstrip()
        books = keep_books(snapshot, gpus[0], self._rules, restarts)
        choice.require_chosen(snapshot, self._rules, (books,), restarts)
        self._last = _Seen(snapshot=snapshot, gpu=gpus[0], books=books)
        return self._last

    def _need(self, seen: _Seen | None) -> ModelNeed:
        return self._need_for(None, None, None) if seen is None else self._need_for(seen.snapshot, seen.gpu, seen.books)

    def _evaluate(self, asked: Candidate) -> Result:
        blank = Result(
            status=ResultStatus.INVALID,
            fitness=0.0,
            vllm_memory_util=asked.vllm_memory_util,
            whisper_model_size=asked.whisper_model_size,
            test_id=uuid.uuid4().hex,
            config_hash=asked.config_hash,
            validation_passed=False,
            validation_reason=OUT_OF_BOUNDS,
        )
        bounds = self._settings.evaluator
        if not bounds.min <= asked.vllm_memory_util <= bounds.max:
            return blank
        seen = self._look()
        if isinstance(seen, str):
            return replace(blank, status=ResultStatus.UNMEASURED, validation_reason=seen)
        report = evaluate(asked.vllm_memory_util, seen.books, self._need(seen))
        capacity = by_free_memory(report)
        judged = replace(
            blank,
            status=ResultStatus.INVALID_PRODUCTION if report.valid is False else ResultStatus.UNMEASURED,
            gpu_utilization=state.used_pct(seen.gpu.used_bytes, seen.gpu.total_bytes),
            concurrent_capacity=None if capacity is None else capacity.requests,
            concurrent_capacity_origin=None if capacity is None else capacity.origin,
            free_memory_mb=state.mb(seen.gpu.free_bytes),
            validation_passed=report.valid is True,
            validation_reason=reason(report),
            production_services=state.production_services(seen.books),
        )
        label = asked.whisper_model_size if asked.whisper_named else None
        return self._measure(judged, seen, report, label) if report.valid else judged

    def _measure(self, judged: Result, seen: _Seen, report: CheckReport, whisper_label: str | None) -> Result:
        try:
            got = self._bench.measure(seen.snapshot, seen.books, judged.vllm_memory_util, whisper_label)
        except GpuTuiError as error:
            return replace(judged, validation_reason=f"unmeasured: {error}")
        oom = bool(got.oom_events)
        nothing = got.stt_ms is None and got.llm_ms is None
        status = ResultStatus.FAIL if oom else ResultStatus.UNMEASURED if nothing else ResultStatus.PASS
        judged = _with_capacity(judged, got, simulated=seen.snapshot.simulated)
        score = 0.0
        if status is ResultStatus.PASS:
            capacity, memory_pct = judged.concurrent_capacity, planned_memory_pct(report)
            score = self._score(got.stt_ms, got.llm_ms, capacity, oom, memory_pct)
        return replace(
            judged,
            status=status,
            fitness=score,
            stt_latency_ms=UNMEASURED_MS if got.stt_ms is None else got.stt_ms,
            llm_latency_ms=UNMEASURED_MS if got.llm_ms is None else got.llm_ms,
            stt_measured=got.stt_ms is not None,
            llm_measured=got.llm_ms is not None,
            oom_events=got.oom_events,
            measured_at_utilization=got.measured_at_utilization,
            latency_is_proxy=not nothing and not _same(got, judged.vllm_memory_util),
            measured_whisper_size=None if got.stt_ms is None else got.whisper_size,
            failed_requests={kind: dict(counts) for kind, counts in got.failed.items()},
            validation_reason=f"unmeasured: {got.reason}" if status is ResultStatus.UNMEASURED else "",
        )

    def _score(
        self,
        stt_ms: float | None,
        llm_ms: float | None,
        capacity: float | None,
        oom: bool,
        memory_pct: float | None,
    ) -> float:
        return fitness(
            stt_ms=stt_ms,
            llm_ms=llm_ms,
            capacity=capacity,
            oom=oom,
            memory_pct=memory_pct,
            weights=self._settings.evaluator.weights,
            targets=self._settings.evaluator.targets,
        )


def _with_capacity(judged: Result, got: BenchResult, *, simulated: bool) -> Result:
    """The capacity by the live server's KV cache, where it tells enough; else what free memory says stands."""
    share = judged.vllm_memory_util
    capacity = by_kv_cache(got, proxy_for=None if _same(got, share) else share, simulated=simulated)
    if capacity is None:
        return judged
    return replace(judged, concurrent_capacity=capacity.requests, concurrent_capacity_origin=capacity.origin)


def _same(got: BenchResult, share: float) -> bool:
    at = got.measured_at_utilization
    return at is not None and math.isclose(at, share, rel_tol=0, abs_tol=_SAME_UTILIZATION)


def _latency(result: Mapping[str, Any], kind: str) -> float | None:
    """The latency of a result in ms; None when it says that it was not measured, or writes what stands for that."""
    told = result.get(f"{kind}_latency_ms")
    measured = result.get(f"{kind}_measured", told is not None and told != UNMEASURED_MS)
    return None if not measured or told is None else float(told)
