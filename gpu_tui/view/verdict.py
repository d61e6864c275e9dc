"""The verdict in words: the headline, and the lines that tell whom it concerns and what to do."""

from __future__ import annotations

from dataclasses import dataclass, field

from gpu_tui.core.checks import CheckReport, Status
from gpu_tui.core.planning import Judgement
from gpu_tui.core.reasons import reason
from gpu_tui.core.remedies import Remedy, RemedyKind
from gpu_tui.core.services import Role
from gpu_tui.core.snapshot import Fault
from gpu_tui.core.start import Call
from gpu_tui.view.prediction import SIGNS, outcome_line, short_outcome
from gpu_tui.view.rows import mib
from gpu_tui.view.spans import Line
from gpu_tui.view.text import clean
from gpu_tui.view.utilization import PERMILLE

WORDS = {
    Status.VALID: ("✓ VALID", "ok"),
    Status.INVALID: ("✗ INVALID", "bad"),
    Status.UNKNOWN: ("? UNKNOWN", "warn"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A verdict in words. Whoever shows it gives each of `rows` one row, or `short` the only one there is."""

    headline: Line
    rows: tuple[Line, ...] = ()
    """How the start ends, then the best way out."""
    short: Line = field(default_factory=list)
    """Both in one."""
    notes: tuple[Line, ...] = ()
    """What else is to be known, most important first."""


def verdict_words(
    judgement: Judgement | None,
    problem: Fault | None,
    nearest: int | None,
    *,
    error: str | None = None,
    remedy: Remedy | None = None,
    predicts: bool = True,
) -> Words:
    """Put a judgement into words.

    Args:
        judgement: None before the first reading.
        problem: what keeps the machine from being read.
        nearest: the nearest step that passes, in per mille; None when none does.
        error: what vLLM itself would print.
        remedy: the best way out, where it was looked for.
        predicts: False: nothing is known of the model, and only the three checks are told.
    """
    report = judgement.report if judgement is not None else None
    head = headline(report, problem, judgement if predicts else None)
    if problem is not None or report is None or judgement is None:
        remedies: list[Line] = [[(f"   → {problem.remedy}", "dim")]] if problem and problem.remedy else []
        return Words(headline=head, notes=tuple(remedies))
    told = judgement if predicts and (judgement.start is not None or report.valid is False) else None
    rows = [outcome_line(told, error) if told is not None else []]
    way, brief = _way_out(report, nearest, remedy)
    rows = [row for row in (*rows, way) if row]
    short = short_outcome(told) if told is not None else []
    if brief:
        short = [*short, (f" → {brief}", "")] if short else [(f"   → {brief}", "")]
    return Words(headline=head, rows=tuple(rows), short=short, notes=tuple(_notes(report, told)))


def headline(report: CheckReport | None, problem: Fault | None, judgement: Judgement | None = None) -> Line:
    """Sign, word and reason: the contract's sentence, or what keeps the machine from being read.

    Args:
        report: the three checks.
        problem: what keeps the machine from being read.
        judgement: of the same utilization, where a model was predicted: its call stands beside the checks' word.
    """
    if report is None and problem is None:
        return [(" … ", "warn"), ("reading the machine", "")]
    if report is None or problem is not None:
        word, tone = WORDS[Status.UNKNOWN]
        return [(f" {word} ", f"badge-{tone}"), (f" {problem.message if problem else ''}", "")]
    word, tone = WORDS[report.status]
    if judgement is not None and judgement.start is not None:
        sign, tone = SIGNS[judgement.prediction.call]
        word = f"{sign}{word[1:]}"
        if judgement.prediction.call is not Call.UNKNOWN:
            word += f", {judgement.prediction.call.upper()}"
    elif report.tight:
        word, tone = "! VALID, TIGHT", "warn"
    sentence = reason(report).removeprefix("Valid: ").removeprefix("Unknown: ")
    return [(f" {word} ", f"badge-{tone}"), (f" {sentence}", "")]


def sentence(report: CheckReport, problem: Fault | None) -> str:
    """The reason in one line; what keeps the machine from being read comes before what follows from it."""
    return reason(report) if problem is None else f"Unknown: {problem.message}"


def _notes(report: CheckReport, predicted: Judgement | None) -> list[Line]:
    lines: list[Line] = []
    if report.tight and predicted is None:
        margin = mib(report.checks[2].margin_bytes)
        lines.append([(f"   ! tight: {margin} MiB left for the new engine's own CUDA context (0.2–0.6 GiB)", "warn")])
    chosen = report.books.chosen
    if report.books.ambiguous and chosen is not None:
        which = f"port {chosen.port}" if chosen.port is not None else f"pid {chosen.owner_pid}"
        count = len(report.books.instances)
        lines.append([(f"   ! {count} vLLM instances: the largest ({which}) is taken to restart; v chooses", "warn")])
    lines.append(tenants(report))
    return lines


def _way_out(report: CheckReport, nearest: int | None, remedy: Remedy | None) -> tuple[Line, str]:
    """What to do, as a line and in a few words; empty where nothing need be done."""
    if remedy is not None:
        sign = "→" if remedy.certain else "≈"
        brief = clean(remedy.flags, 120) or f"stop {clean(', '.join(remedy.stopped), 80)}"
        told = clean(remedy.sentence, 400)
        by_f = nearest is not None and nearest == round(remedy.plan.gpu_memory_utilization * PERMILLE)
        if remedy.kind is RemedyKind.UTILIZATION and nearest is not None and by_f:
            told = f"f moves to {nearest / PERMILLE:.3f}. {told}"
        return [(f"   {sign} {told}", "")], brief
    if report.status is not Status.INVALID:
        return [], ""
    if nearest is not None:
        return [(f"   → f moves to {nearest / PERMILLE:.3f}, the nearest utilization that fits", "")], (
            f"f moves to {nearest / PERMILLE:.3f}"
        )
    if report.feasible is not None:
        span = f"{report.feasible.min:.4f}–{report.feasible.max:.4f}"
        return [(f"   → only {span} fits: narrower than one step of 0.001", "")], f"only {span} fits"
    told = f"stop a tenant, or take a smaller model: {_largest_tenant(report)}"
    return [(f"   → {told}", "")], told


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
