"""One utilization judged with all that is known: the three checks, and what vLLM would do.

The slider, `gpu-tui check` and the evaluator all call `judge`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gpu_tui.core.books import Books
from gpu_tui.core.checks import CheckReport, ModelNeed, allocation_total, evaluate
from gpu_tui.core.snapshot import Gpu
from gpu_tui.core.start import CONTEXT_BYTES, Outcome, Prediction, StartModel, predict, start_model
from gpu_tui.core.start_inputs import StartInputs, start_options
from gpu_tui.core.vllm_version import accounting_of

DRIVER_ROUNDING = 64 * 1024 * 1024
"""How far NVML's total − reserved was seen from CUDA's total."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What one utilization comes to."""

    report: CheckReport
    prediction: Prediction
    start: StartModel | None
    """None: the model is hand-set, or not known; the prediction rests on the three checks alone."""


def start_for(inputs: StartInputs | None, gpu: Gpu, books: Books, base: ModelNeed) -> StartModel | None:
    """What a start takes on this GPU; None when the inputs do not tell the weights.

    Args:
        inputs: the model and its flags.
        gpu: whose name tells vLLM's default batch.
        books: its memory; what neither is free nor comes free is other tenants'.
        base: the hand-set need, for its startup overhead and headroom.
    """
    if inputs is None or not inputs.knows_weights:
        return None
    total = allocation_total(books, ModelNeed(on_cuda_total=True, cuda_total_bytes=inputs.cuda_total_bytes))
    options = start_options(inputs, gpu.name, total)
    available = books.available_bytes
    start = start_model(
        inputs.facts,
        options,
        other_bytes=None if total is None or available is None else max(0, total - available),
        min_kv_cache_bytes=inputs.min_kv_cache_bytes,
        cuda_total_bytes=inputs.cuda_total_bytes,
        startup_overhead=(base.startup_overhead_bytes, base.startup_overhead_origin),
    )
    start = _with_learned_floor(start, inputs)
    base = base.on(books.total_bytes)
    if start is None or not base.headroom_bytes:
        return start
    need = replace(start.need, headroom_bytes=base.headroom_bytes, headroom_origin=base.headroom_origin)
    return replace(start, need=need)


def _with_learned_floor(start: StartModel | None, inputs: StartInputs) -> StartModel | None:
    """With what one request was seen to take, where it would only be guessed by the model's weight."""
    seen = inputs.learned_floor
    if start is None or seen is None or start.layout is not None or start.min_kv_band[0] == start.min_kv_band[1]:
        return start
    need = replace(start.need, min_kv_cache_bytes=seen.size, min_kv_cache_origin=seen.origin)
    # It took no more than that, and whole blocks round it up by little.
    return replace(start, need=need, min_kv_band=(min(start.min_kv_band[0], seen.size), seen.size))


def judge(
    gpu_memory_utilization: float,
    gpu: Gpu,
    books: Books,
    base: ModelNeed,
    start: StartModel | None,
    *,
    version: str | None = None,
    told: bool = True,
) -> Judgement:
    """Judge one utilization.

    Args:
        gpu_memory_utilization: 0 < u ≤ 1.
        gpu: the device.
        books: its memory.
        base: the hand-set need, judged where `start` is None.
        start: what `start_for` gave.
        version: vLLM's, for a hand-set need.
        told: somebody set the hand-set need; False: it is the built-in default, which predicts nothing of any model.

    Raises:
        ValueError: u is not in (0, 1].
    """
    report = evaluate(gpu_memory_utilization, books, base if start is None else start.need)
    if start is None:
        return Judgement(report=report, prediction=_by_checks(report, version, told=told), start=None)
    counted = start.need.startup_overhead_bytes > 0 or gpu.free_at_start
    early = start.options.rules.start_gate and start.options.rules.context_before_snapshot
    prediction = predict(
        report,
        start,
        gate_band=CONTEXT_BYTES if early and not counted else 0,
        total_band=_budget_band(gpu_memory_utilization, start, gpu, books),
    )
    return Judgement(report=report, prediction=prediction, start=start)


def _budget_band(u: float, start: StartModel, gpu: Gpu, books: Books) -> tuple[int, int]:
    """By how much the total may be off, and with it a share of it that was copied from a log of V0.

    V0 prints its utilization with two decimals: 0.78 for 0.776. Round shares are as people type them.
    """
    less, more = (0, 0) if start.need.cuda_total_bytes is not None else total_band(gpu, books)
    copied = start.options.reported and start.options.term_rules.v0
    total = allocation_total(books, start.need)
    if not copied or total is None or abs(u * 100 - round(u * 100)) > 1e-9 or round(u * 100) % 5 == 0:
        return less, more
    rounding = round(0.005 * total / u)
    return less + rounding, more + rounding


def total_band(gpu: Gpu, books: Books) -> tuple[int, int]:
    """By how much CUDA's total may be (less, more) than the books take it for."""
    if gpu.cuda_total_band is not None and gpu.cuda_total_bytes is not None:
        low, high = gpu.cuda_total_band
        return gpu.cuda_total_bytes - low, high - gpu.cuda_total_bytes
    if gpu.cuda_total_bytes is not None:
        return 0, 0
    if books.reserved_bytes is None:
        return round((books.total_bytes or 0) * 0.04), 0
    return DRIVER_ROUNDING, DRIVER_ROUNDING


def _by_checks(report: CheckReport, version: str | None, *, told: bool) -> Prediction:
    """The three checks in vLLM's words, for figures set by hand: they have no band, and tell no tokens."""
    return Prediction(
        outcome=_checks_outcome(report, version, told=told),
        certain=told and report.valid is not None and not report.tight,
        requested_bytes=report.allocation_bytes,
        kv_cache_bytes=report.kv_cache_bytes,
        kv_cache_band=None,
    )


def _checks_outcome(report: CheckReport, version: str | None, *, told: bool) -> Outcome | None:
    margin = report.checks[2].margin_bytes
    gate = None if margin is None else margin + report.need.headroom_bytes >= 0  # vLLM keeps no headroom
    if gate is False and accounting_of(version).start_gate:
        return Outcome.NOT_ENOUGH_FREE
    kv_cache = report.kv_cache_bytes
    if not told or kv_cache is None or (gate is None and report.checks[0].passed):
        return None
    if kv_cache <= 0:
        return Outcome.NO_CACHE_BLOCKS
    return Outcome.STARTED if report.checks[0].passed else Outcome.MAX_LEN_TOO_LONG
