"""The sentences that tell a verdict. Their wording is a contract: scripts match them. "MB" is MiB, as in nvidia-smi."""

from __future__ import annotations

from collections.abc import Callable

from gpu_tui.core.checks import CheckName, CheckReport, Status
from gpu_tui.core.services import Role
from gpu_tui.units import format_mib


def reason(report: CheckReport) -> str:
    """One sentence: why it is valid, the first failing check, or what is unknown."""
    if report.status is Status.UNKNOWN:
        return _unknown(report)
    failing = report.first_failing
    if failing is None:
        return _valid(report)
    sentence = _too_small(report) if failing.name is CheckName.MODEL else _insufficient(report)
    short = report.free_at_least_bytes
    return sentence if short is None else f"{sentence}; no utilization fits: free at least {format_mib(short)}MB"


def _printer(*pairs: tuple[int, int]) -> Callable[[int | None], str]:
    """MiB without decimals, or with one where two compared figures differ but would print alike."""
    alike = any(a != b and format_mib(a) == format_mib(b) for a, b in pairs)
    decimals = 1 if alike else 0
    return lambda size: "unknown" if size is None else f"{format_mib(size, decimals)}MB"


def _too_small(report: CheckReport) -> str:
    asked, required = report.allocation_bytes or 0, report.need.required_bytes
    deficit = required - asked
    show = _printer((asked, required), (deficit, 0))
    return (
        f"VLLM allocation ({show(asked)}) too small for model+cache (need {show(required)}, deficit: {show(deficit)})"
    )


def _insufficient(report: CheckReport) -> str:
    # Check 2 is the reason only where check 1 passed; then allocation ≥ required, check 3 fails with it, and what must
    # be found beside the tenants is the whole allocation.
    need, have = report.checks[2].need_bytes or 0, report.checks[2].have_bytes or 0
    show = _printer((need, have))
    unattributed = report.books.unattributed_bytes
    extra = f", unattributed: {show(unattributed)}" if unattributed and show(unattributed) != show(0) else ""
    return (
        f"Insufficient GPU memory with persistent services: need {show(need)}, have {show(have)} "
        f"(persistent: {show(report.books.persistent_bytes)}{extra})"
    )


def _valid(report: CheckReport) -> str:
    show = _printer()
    return (
        f"Valid: {show(report.allocation_bytes)} allocation fits model ({show(report.need.model_bytes)}) + "
        f"KV cache ({show(report.kv_cache_bytes)}) with persistent services ({show(report.books.persistent_bytes)})"
    )


def _unknown(report: CheckReport) -> str:
    books = report.books
    if books.total_bytes is None or books.free_bytes is None:
        return "Unknown: the driver does not report this GPU's memory"
    if not books.listed:
        return "Unknown: the driver does not list the processes on this GPU, so what would come free is not known"
    hidden = [s.name for s in books.services if s.role is Role.RESTARTS and s.used_bytes is None]
    return (
        f"Unknown: the driver does not report the memory of {', '.join(hidden) or 'the restarting service'}, "
        "so what would come free is not known"
    )
