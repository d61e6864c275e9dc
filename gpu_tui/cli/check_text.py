"""What `gpu-tui check` tells people: the reason, the three checks, what vLLM would do, and what to change."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gpu_tui.cli import reading
from gpu_tui.cli.commands import services
from gpu_tui.core.checks import CheckName, CheckReport
from gpu_tui.core.origins import OriginKind
from gpu_tui.core.plan import Plan
from gpu_tui.core.planning import Judgement
from gpu_tui.core.reasons import reason
from gpu_tui.core.snapshot import Fault
from gpu_tui.core.start import Outcome, Prediction, StartModel
from gpu_tui.view.explain import age_words
from gpu_tui.view.text import clean

if TYPE_CHECKING:
    from gpu_tui.core.what_to_type_values import RunningServer, WhatToType

_NAMES = {
    CheckName.MODEL: "model and KV cache",
    CheckName.PERSISTENT: "persistent services",
    CheckName.TOTAL: "total memory",
}


def text(
    seen: reading.Look,
    plan: Plan,
    judged: Judgement,
    fault: Fault | None = None,
    server: Callable[[], RunningServer | None] = lambda: None,
) -> str:
    """The verdict for people; the reason stands on the first line, to the letter."""
    gpu = plan.gpu
    head = reading.headline(seen.snapshot, gpu)
    if fault is not None:
        return f"Unknown: {fault.message}\n\n{head}\n  {fault.remedy}"
    report = judged.report
    lines = [reason(report), "", head, *_checks(report)]
    if judged.start is not None:
        lines += ["", *_start(plan, judged, judged.start)]
    if judged.start is not None or report.valid is False:
        lines += _changes(plan, judged, server)
    lines += ["", "Services", *services.table(report.books)]
    for gap in gpu.faults:
        lines += ["", gap.message, gap.remedy]
    assumed = _assumed(report) if judged.start is None else []
    return "\n".join([*lines, "", "Assumed", *assumed] if assumed else lines)


def _checks(report: CheckReport) -> list[str]:
    mib = reading.mib
    lines = [
        f"gpu_memory_utilization {report.gpu_memory_utilization:g}: allocation {mib(report.allocation_bytes)} MiB"
        f" = model {mib(report.need.model_bytes)} + KV cache {mib(report.kv_cache_bytes)}",
        "",
    ]
    for check in report.checks:
        sign = {True: "✓", False: "✗", None: "?"}[check.passed]
        margin = check.margin_bytes
        word = "deficit" if margin is not None and margin < 0 else "margin "
        lines.append(
            f"  {sign} {_NAMES[check.name]:<20} need {mib(check.need_bytes):>7}  have {mib(check.have_bytes):>7}  "
            f"{word} {mib(None if margin is None else abs(margin)):>7} MiB"
        )
    feasible = report.feasible
    lines.append("")
    if feasible is not None:
        lines.append(f"Feasible: {feasible.min:.4f}–{feasible.max:.4f}")
    else:
        lines.append("Feasible: unknown" if report.valid is None else "Feasible: none")
    if report.tight:
        lines.append(
            f"Tight: only {mib(report.checks[2].margin_bytes)} MiB are left for the new engine's own CUDA context "
            "(0.2 to 0.6 GiB), which is not counted; set model.startup_overhead_mib to count it."
        )
    return lines


def _start(plan: Plan, judged: Judgement, start: StartModel) -> list[str]:
    """The call, vLLM's own words, the terms, and what is left for the cache."""
    from gpu_tui.core.vllm_errors import error_text

    prediction = judged.prediction
    model = clean(start.facts.name, 80) if start.facts is not None and start.facts.name else "the model"
    failed = prediction.outcome not in (None, Outcome.STARTED)
    outcome = f" ({prediction.outcome.value})" if prediction.outcome is not None and failed else ""
    lines = [f"Prediction: {prediction.call.value}{outcome}: {model}, {start.options.rules.label}"]
    told = error_text(judged, plan.rules)
    if told is not None:
        lines.append(f"  vLLM would say: {told}")
    lines += ["", f"  {'per GPU, MiB':<16} {'size':>7}  {'low':>7} – high"]
    for term in start.terms:
        low, high = reading.mib(term.low), reading.mib(term.high)
        age = age_words(term.origin)
        origin = f"{term.origin.kind.value}: {clean(term.origin.source, 200)}{', ' if age else ''}{age}"
        lines.append(f"  {term.name.replace('_', ' '):<16} {reading.mib(term.size):>7}  {low:>7} – {high:<7} {origin}")
    band = prediction.kv_cache_band
    if band is not None:
        low, high = map(reading.mib, band)
        lines.append(f"  {'KV cache':<16} {reading.mib(prediction.kv_cache_bytes):>7}  {low:>7} – {high}")
    least = start.need.min_kv_cache_origin
    words = f"{least.kind.value}: {clean(least.source, 200)}"
    lines.append(f"  {'least KV cache':<16} {reading.mib(start.need.min_kv_cache_bytes):>7}  {'':>17} {words}")
    lines += ["", f"  {_cache(prediction)}"]
    if start.facts is not None:
        lines += [f"  Assumed: {clean(words, 200)}" for words in start.facts.assumptions]
    return lines


def _cache(prediction: Prediction) -> str:
    """Tokens, blocks, concurrency and the longest request on one line."""
    if prediction.num_blocks is None:
        return "Tokens and blocks are unknown: the model's layers are not known."
    words = [f"blocks {prediction.num_blocks:,}"]
    if prediction.kv_tokens is not None:
        band = prediction.kv_tokens_band
        told = f" ({band[0]:,}–{band[1]:,})" if band is not None else ""
        words.insert(0, f"tokens {prediction.kv_tokens:,}{told}")
    if prediction.max_concurrency is not None:
        words.append(f"concurrency {prediction.max_concurrency:.2f}")
    if prediction.largest_max_model_len is not None:
        words.append(f"largest max_model_len {prediction.largest_max_model_len:,}")
    return " · ".join(words)


def _changes(plan: Plan, judged: Judgement, server: Callable[[], RunningServer | None]) -> list[str]:
    """The remedies, and what to type for this plan, or for the first remedy where this plan does not start."""
    if judged.prediction.outcome is None or not plan.of_known_model:
        return []
    # Imported at their first use: a check of figures set by hand that holds needs none of it.
    from gpu_tui.core.plan import starts
    from gpu_tui.core.remedies import remedies
    from gpu_tui.core.what_to_type import what_to_type

    found = remedies(plan, judged)
    lines = []
    if found:
        lines += ["", "Remedies, the cheapest first"]
        for i, one in enumerate(found, start=1):
            lines.append(f"  {i} {clean(one.sentence, 400)}")
            if one.flags:
                lines.append(f"      {one.flags}{'' if one.certain else '   (by the middle estimate)'}")
    if starts(judged):
        return [*lines, "", "What to type", *_typed(what_to_type(plan, judged, server()))]
    if not found:
        return ["", "Remedies: no flag, no tenant, and no two of them make it start here."]
    best = found[0].plan
    return [*lines, "", "What to type for remedy 1", *_typed(what_to_type(best, best.judge(), server()))]


def _typed(told: WhatToType) -> list[str]:
    lines = [f"  {told.flags_text or 'nothing: the running server has these flags'}"]
    if told.pinned is not None:
        lines.append(f"  or, without the profile run: {told.pinned.text}  ({told.pinned.note})")
    for recipe in told.recipes if told.flags else ():
        lines += ["", f"  {clean(recipe.title, 200)}{f': {clean(recipe.path, 400)}' if recipe.path else ''}"]
        lines += [f"    {line}" for line in recipe.text.splitlines()]
        lines += [f"    {label}: {words}" for label, words in (("then", recipe.apply), ("undo", recipe.undo)) if words]
        lines += [f"    {clean(note, 400)}" for note in recipe.notes]
    return lines


def _assumed(report: CheckReport) -> list[str]:
    need, mib = report.need, reading.mib
    told = [
        ("model", need.model_bytes, need.model_origin),
        ("minimum KV cache", need.min_kv_cache_bytes, need.min_kv_cache_origin),
        ("startup overhead", need.startup_overhead_bytes, need.startup_overhead_origin),
    ]
    return [
        f"  {name:<17} {mib(size):>7} MiB  {clean(origin.source, 200)}"
        for name, size, origin in told
        if origin.kind is OriginKind.ASSUMED
    ]
