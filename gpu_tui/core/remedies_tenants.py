"""Other tenants of the GPU whose memory would make a plan start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations

from gpu_tui.core.books import Service
from gpu_tui.core.remedies_values import Remedy, RemedyKind, Tried, attempt
from gpu_tui.core.services import OTHER, Role
from gpu_tui.units import format_mib

MOST_TENANTS = 8
"""Of more, the smallest are left alone: each set of them is tried."""


def stop_tenants(tried: Tried) -> Remedy | None:
    """The fewest services, of those the ones that are missed least, of those the smallest."""
    stopped, result = first_set(tried, lambda result: result.starts)
    if result is None:
        return None
    return Remedy(
        kind=RemedyKind.STOP_TENANT,
        sentence=f"{words(stopped)}; then {result.cache}.",
        flags="",
        certain=result.certain,
        plan=result.plan,
        stopped=tuple(service.name for service in stopped),
    )


def words(stopped: tuple[Service, ...]) -> str:
    """``Stop ollama (1068 MiB): 1068 MiB come free``."""
    told = [_named(service) for service in stopped]
    size = format_mib(sum(service.used_bytes or 0 for service in stopped))
    return f"Stop {' and '.join(told)}: {size} MiB come free"


def first_set(tried: Tried, enough: Callable[[Tried], bool]) -> tuple[tuple[Service, ...], Tried | None]:
    """The cheapest set of tenants without which the plan is good enough; one that is certain among equals in number."""
    found: tuple[tuple[Service, ...], Tried] | None = None
    for stopped in _sets(tried):
        if found is not None and len(stopped) > len(found[0]):
            break
        result = attempt(tried.plan.without(stopped))
        if enough(result) and (found is None or (result.certain and not found[1].certain)):
            found = stopped, result
            if result.certain:
                break
    return found or ((), None)


def _sets(tried: Tried) -> Iterator[tuple[Service, ...]]:
    tenants = sorted(tried.plan.tenants, key=lambda service: -(service.used_bytes or 0))[:MOST_TENANTS]
    for number in range(1, len(tenants) + 1):
        yield from sorted(combinations(tenants, number), key=_cost)


def _cost(stopped: tuple[Service, ...]) -> tuple[int, int]:
    return max(map(_class, stopped)), sum(service.used_bytes or 0 for service in stopped)


def _class(service: Service) -> int:
    """An orphan serves nobody; another vLLM can be restarted smaller; what no rule names is not known."""
    if service.role is Role.ORPHAN:
        return 0
    if service.instance_pid is not None:
        return 1
    return 3 if service.name == OTHER else 2


def _named(service: Service) -> str:
    size = format_mib(service.used_bytes or 0)
    pids = ", ".join(map(str, service.pids[:3])) + (", …" if len(service.pids) > 3 else "")
    return f"{service.name} (pid {pids}; {size} MiB)"
