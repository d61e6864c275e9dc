"""Two changes at once, for a plan that no single one makes start."""

from __future__ import annotations

from gpu_tui.core.checks import allocation_total
from gpu_tui.core.plan import Plan
from gpu_tui.core.remedies_flags import enforce_eager, fp8_cache, max_model_len, max_num_seqs
from gpu_tui.core.remedies_tenants import first_set, words
from gpu_tui.core.remedies_utilization import utilization
from gpu_tui.core.remedies_values import Remedy, RemedyKind, Tried, attempt, largest
from gpu_tui.core.start import CONTEXT_BYTES
from gpu_tui.core.steps import STEPS, allocation

MOST_PAIRS = 3


def pairs(tried: Tried) -> tuple[Remedy, ...]:
    """At most `MOST_PAIRS`, the cheapest first."""
    found: list[Remedy] = []
    for first in _firsts(tried):
        for lever in (max_model_len, fp8_cache, enforce_eager, max_num_seqs):
            second = lever(first)
            if second is not None and all(second.plan != other.plan for other in found):
                found.append(_joined(_change(tried.plan, first.plan), second))
        if found:
            break
    stopped, result = first_set(tried, lambda one: one.judgement.report.feasible is not None)
    moved = utilization(result) if result is not None else None
    if moved is not None:
        names = tuple(service.name for service in stopped)
        found = [*found[: MOST_PAIRS - 1], _joined((words(stopped), ""), moved, names)]
    return tuple(found[:MOST_PAIRS])


def _firsts(tried: Tried) -> list[Tried]:
    """Plans with one change that is not enough: the most utilization the others leave room for, then cheaper cache."""
    tops = [top for spare in (CONTEXT_BYTES, 0) if (top := _top(tried, spare)) is not None]
    changed: list[Tried] = [attempt(tried.plan.at(top), tried.start) for top in tops]
    if not tried.gate_fails and tried.start is not None:
        changed += [
            attempt(tried.plan.with_flags(**flags)) for flags in ({"kv_cache_dtype": "fp8"}, {"enforce_eager": True})
        ]
    return changed


def _top(tried: Tried, spare: int) -> float | None:
    """The largest utilization that passes the start gate with so much to spare; None when it is the plan's own."""
    need, books = tried.judgement.report.need, tried.plan.books
    total, available = allocation_total(books, need), books.available_bytes
    if total is None or available is None:
        return None
    room = available - spare

    def passes(step: int) -> bool:
        return need.claim_bytes(allocation(total, step / STEPS)) <= room

    step = largest(1, STEPS, passes)
    return None if step is None or step / STEPS == tried.plan.gpu_memory_utilization else step / STEPS


def _change(before: Plan, after: Plan) -> tuple[str, str]:
    """What the first change is, in words and as a flag."""
    if after.gpu_memory_utilization != before.gpu_memory_utilization:
        u = after.gpu_memory_utilization
        verb = "Raise" if u > before.gpu_memory_utilization else "Lower"
        return f"{verb} gpu_memory_utilization to {u:g}, all the others leave", f"--gpu-memory-utilization {u:g}"
    if (
        after.inputs is not None
        and before.inputs is not None
        and after.inputs.enforce_eager
        and not before.inputs.enforce_eager
    ):
        return "Do without CUDA graphs", "--enforce-eager"
    return "Keep the KV cache in fp8", "--kv-cache-dtype fp8"


def _joined(first: tuple[str, str], second: Remedy, stopped: tuple[str, ...] = ()) -> Remedy:
    told, flag = first
    return Remedy(
        kind=RemedyKind.COMBINED,
        sentence=f"{told}, and: {second.sentence}",
        flags=f"{flag} {second.flags}".strip(),
        certain=second.certain,
        plan=second.plan,
        stopped=stopped,
    )
