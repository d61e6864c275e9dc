"""The utilization that makes a plan start: for certain where one does, else by the middle estimate."""

from __future__ import annotations

from gpu_tui.core.checks import Feasible, evaluate
from gpu_tui.core.planning import total_band
from gpu_tui.core.remedies_values import Remedy, RemedyKind, Tried, attempt, largest, smallest
from gpu_tui.core.start import predict
from gpu_tui.core.steps import STEPS

_MILLE = 10
"""Steps of the slider, in multiples of 1/STEPS."""


def utilization(tried: Tried) -> Remedy | None:
    """The nearest utilization that is enough; None when no other is."""
    feasible = tried.judgement.report.feasible
    if feasible is None:
        return None
    sure = certain_range(tried, feasible)
    u = tried.plan.gpu_memory_utilization
    chosen = _nearest(u, sure or feasible)
    if chosen is None:
        return None
    result = attempt(tried.plan.at(chosen), tried.start)
    if not result.starts:
        return None
    return Remedy(
        kind=RemedyKind.UTILIZATION,
        sentence=_sentence(u, chosen, feasible, result),
        flags=f"--gpu-memory-utilization {chosen:g}",
        certain=result.certain,
        plan=result.plan,
    )


def certain_range(tried: Tried, feasible: Feasible) -> Feasible | None:
    """Of the feasible range, what starts over the whole band; None when nothing does."""
    plan, start = tried.plan, tried.start
    low: int | None = feasible.min_steps
    if start is not None:
        band = (0, 0) if start.need.cuda_total_bytes is not None else total_band(plan.gpu, plan.books)

        def cache_is_sure(step: int) -> bool:
            return predict(evaluate(step / STEPS, plan.books, start.need), start, total_band=band).certain

        low = smallest(feasible.min_steps, feasible.max_steps, cache_is_sure)
    if low is None:
        return None
    # From there on only the gate can make it uncertain, and it does from some utilization on.
    high = largest(low, feasible.max_steps, lambda step: attempt(plan.at(step / STEPS), start).certain)
    return None if high is None else Feasible(min_steps=low, max_steps=high)


def _nearest(u: float, wanted: Feasible) -> float | None:
    """The end of the range that is nearer, on a step of the slider where one is inside; None inside the range."""
    if u < wanted.min:
        step = -(-wanted.min_steps // _MILLE) * _MILLE
        return (step if step <= wanted.max_steps else wanted.min_steps) / STEPS
    if u > wanted.max:
        step = wanted.max_steps // _MILLE * _MILLE
        return (step if step >= wanted.min_steps else wanted.max_steps) / STEPS
    return None


def _sentence(u: float, chosen: float, feasible: Feasible, result: Tried) -> str:
    verb = "Raise" if chosen > u else "Lower"
    words = f"{verb} gpu_memory_utilization from {u:g} to {chosen:g}: {result.cache}"
    if result.start is None:
        return f"{words}; the feasible range is {feasible.min:.4f} to {feasible.max:.4f}."
    if not result.certain:
        return f"{words}; by the middle estimate it starts, no utilization is certain."
    end = feasible.min if chosen > u else feasible.max
    if feasible.min <= u <= feasible.max or abs(end - chosen) < _MILLE / STEPS:
        return f"{words}; there it starts for certain."
    return f"{words}; there it starts for certain, by the middle estimate {end:.4f} is enough."
