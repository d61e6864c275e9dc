"""The verdict in words: the headline, and the lines that tell whom it concerns and what to do."""

from __future__ import annotations

from gpu_tui.core.checks import CheckReport, Status
from gpu_tui.core.reasons import reason
from gpu_tui.core.services import Role
from gpu_tui.core.snapshot import Fault
from gpu_tui.view.explorer import PERMILLE
from gpu_tui.view.rows import mib
from gpu_tui.view.spans import Line

WORDS = {
    Status.VALID: ("✓ VALID", "ok"),
    Status.INVALID: ("✗ INVALID", "bad"),
    Status.UNKNOWN: ("? UNKNOWN", "warn"),
}


def headline(report: CheckReport | None, problem: Fault | None) -> Line:
    """Sign, word and reason: the contract's sentence, or what keeps the machine from being read."""
    if report is None and problem is None:
        return [(" … ", "warn"), ("reading the machine", "")]
    if report is None or problem is not None:
        word, tone = WORDS[Status.UNKNOWN]
        return [(f" {word} ", f"badge-{tone}"), (f" {problem.message if problem else ''}", "")]
    word, tone = WORDS[report.status]
    if report.tight:
        word, tone = "! VALID, TIGHT", "warn"
    sentence = reason(report).removeprefix("Valid: ").removeprefix("Unknown: ")
    return [(f" {word} ", f"badge-{tone}"), (f" {sentence}", "")]


def sentence(report: CheckReport, problem: Fault | None) -> str:
    """The reason in one line; what keeps the machine from being read comes before what follows from it."""
    return reason(report) if problem is None else f"Unknown: {problem.message}"


def notes(report: CheckReport | None, problem: Fault | None, steps: tuple[int, int] | None) -> list[Line]:
    """What to do and whom it concerns; each a line of its own, most important first."""
    if problem is not None:
        return [[(f"   → {problem.remedy}", "dim")]] if problem.remedy else []
    if report is None:
        return []
    lines: list[Line] = []
    if report.status is Status.INVALID:
        lines.append(_way_out(report, steps))
    if report.tight:
        margin = mib(report.checks[2].margin_bytes)
        lines.append([(f"   ! tight: {margin} MiB left for the new engine's own CUDA context (0.2–0.6 GiB)", "warn")])
    chosen = report.books.chosen
    if report.books.ambiguous and chosen is not None:
        which = f"port {chosen.port}" if chosen.port is not None else f"pid {chosen.owner_pid}"
        count = len(report.books.instances)
        lines.append([(f"   ! {count} vLLM instances: the largest ({which}) is taken to restart; v chooses", "warn")])
    lines.append(tenants(report))
    return lines


def _way_out(report: CheckReport, steps: tuple[int, int] | None) -> Line:
    if steps is not None:
        step = min(max(round(report.gpu_memory_utilization * PERMILLE), steps[0]), steps[1])
        return [(f"   → f moves to {step / PERMILLE:.3f}, the nearest utilization that fits", "")]
    if report.feasible is not None:
        span = f"{report.feasible.min:.4f}–{report.feasible.max:.4f}"
        return [(f"   → only {span} fits: narrower than one step of 0.001", "")]
    return [(f"   → stop a tenant, or take a smaller model: {_largest_tenant(report)}", "")]


def _largest_tenant(report: CheckReport) -> str:
    stays = [s for s in report.books.services if s.role is not Role.RESTARTS and s.used_bytes]
    if not stays:
        return "the model is larger than this GPU"
    largest = max(stays, key=lambda s: s.used_bytes or 0)
    return f"{largest.name} holds {mib(largest.used_bytes)} MiB"


def tenants(report: CheckReport) -> Line:
    """Who stays, and what comes free."""
    stays = [s for s in report.books.services if s.role is not Role.RESTARTS and s.running]
    told = ", ".join(f"{s.name} {mib(s.used_bytes)}" for s in stays)
    told = f"{told} MiB" if told else "none"
    goes = report.books.chosen
    freed = "nothing restarts"
    if goes is not None:
        size = "an unknown size comes" if goes.used_bytes is None else f"{mib(goes.used_bytes)} MiB come"
        freed = f"{size} free when {goes.rule.name} restarts"
    return [(f"   tenants that stay: {told}; {freed}", "dim")]
