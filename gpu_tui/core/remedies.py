"""What makes a plan start: each remedy with the number that does it, ranked by what it costs, the cheapest first.

Every remedy was tried: the plan with that change was judged by the same functions, and what did not start is not
offered. Raising tensor parallelism is left out: it needs other GPUs.
"""

from __future__ import annotations

from gpu_tui.core.plan import Plan, starts, starts_for_certain
from gpu_tui.core.planning import Judgement
from gpu_tui.core.remedies_flags import FLAG_LEVERS
from gpu_tui.core.remedies_pairs import pairs
from gpu_tui.core.remedies_tenants import stop_tenants
from gpu_tui.core.remedies_utilization import utilization
from gpu_tui.core.remedies_values import Remedy as Remedy
from gpu_tui.core.remedies_values import RemedyKind as RemedyKind
from gpu_tui.core.remedies_values import Tried

_ORDER = list(RemedyKind)


def remedies(plan: Plan, judgement: Judgement | None = None) -> tuple[Remedy, ...]:
    """All that makes this plan start; () where it starts for certain already, or nothing can be told.

    Nothing can be told of a GPU whose memory is not known, nor of a model that nobody named. Where it starts but is too
    close to call, only what makes it certain is offered. One remedy of each kind; pairs only where no single one works.
    Costs 1 to 20 ms: not for every move of a slider.

    Args:
        plan: what is planned.
        judgement: what `plan.judge()` gave, to save doing that again.
    """
    if not plan.of_known_model:
        return ()
    start = plan.start()
    tried = Tried(plan=plan, start=start, judgement=judgement or plan.judge(start))
    report = tried.judgement.report
    if starts_for_certain(tried.judgement) or report.available_bytes is None or report.allocation_bytes is None:
        return ()
    found = [lever(tried) for lever in (utilization, *FLAG_LEVERS, stop_tenants)]
    singles = [remedy for remedy in found if remedy is not None]
    if starts(tried.judgement):
        singles = [remedy for remedy in singles if remedy.certain]
    elif not singles:
        return pairs(tried)
    return tuple(sorted(singles, key=lambda remedy: _ORDER.index(remedy.kind)))
