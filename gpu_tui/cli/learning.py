"""``gpu-tui check --learned``: what past starts of the planned model teach, offered or applied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gpu_tui import wiring
from gpu_tui.cli import output
from gpu_tui.config import Settings
from gpu_tui.core.plan import Plan
from gpu_tui.core.start_setup import Setup
from gpu_tui.errors import GpuTuiError
from gpu_tui.units import wire_mib
from gpu_tui.view.text import clean

if TYPE_CHECKING:
    from gpu_tui.core.learned import Learned, Seen
    from gpu_tui.core.what_to_type_values import RunningServer

Running = Callable[[], "RunningServer | None"]

FLAG = "--learned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What was learned for one plan."""

    learned: Learned
    predicted: bool
    """The plan is predicted term by term; False: by hand-set figures."""
    applied: bool


def lesson(plan: Plan, settings: Settings, running: Running, *, apply: bool) -> tuple[Plan, Lesson | None]:
    """The plan, corrected where the user asks for it, and what was learned.

    A journal that cannot be read costs no verdict, unless its lesson is what was asked for.

    Args:
        plan: what is judged.
        settings: which journal, and the configured model's name.
        running: tells the server that restarts, for a plan that names no model.
        apply: the user's word for it.

    Raises:
        JournalRefused, JournalError: with `apply`, the journal cannot be read.
    """
    path = wiring.journal_path(settings)
    kept = path is not None and wiring.journal_there(path)
    if not kept and not apply:
        return plan, None  # as on most machines: `check` then loads nothing for it
    planned = _planned(plan, settings, running)
    found = _found(settings, planned, plan, apply=apply) if kept else None
    start = plan.start() if found is not None else None
    useful = found.changing(start) if found is not None else None
    if useful is None:
        if apply:
            output.note(_nothing(found, planned))
        return plan, None
    if apply:
        plan = _applied(plan, useful, predicted=start is not None)
    return plan, Lesson(learned=useful, predicted=start is not None, applied=apply)


def _nothing(found: Learned | None, planned: Setup) -> str:
    if found is not None and found.model_bytes is not None:
        return "Every term of this plan that past starts tell of is measured: there is nothing to correct."
    what = f"of {clean(planned.model, 120)}" if planned.model is not None else "on this GPU"
    return f"Nothing is learned {what} yet: gpu-tui history --deployments lists what is known."


def _planned(plan: Plan, settings: Settings, running: Running) -> Setup:
    setup = plan.inputs.setup if plan.inputs is not None else Setup()
    if setup.model is not None:
        return setup
    if settings.model.name is not None:
        return replace(setup, model=settings.model.name)
    server = running()
    if server is None:
        return setup
    from gpu_tui.core.serve_options import options_of
    from gpu_tui.core.start_evidence import inputs_of_options

    return inputs_of_options(options_of(server.argv)).setup


def _found(settings: Settings, planned: Setup, plan: Plan, *, apply: bool) -> Learned | None:
    from gpu_tui.wiring.learning import learned_for

    try:
        return learned_for(settings, planned, plan.gpu)
    except GpuTuiError as error:
        if apply:
            raise
        output.note(f"Nothing could be learned from past starts. {error}")
        return None


def _applied(plan: Plan, learned: Learned, *, predicted: bool) -> Plan:
    if predicted and plan.inputs is not None:
        return replace(plan, inputs=learned.applied_to(plan.inputs))
    return replace(plan, base=learned.applied_to_need(plan.base), told=True)


def words(one: Lesson) -> str:
    """One line for people."""
    from gpu_tui.view.learned import learned_words

    return learned_words(one.learned, predicted=one.predicted, applied=one.applied, how=f"apply with {FLAG}")


def learned_object(one: Lesson | None) -> dict[str, Any] | None:
    """The key ``learned`` of `check --json`; null: nothing is learned."""
    if one is None:
        return None
    learned = one.learned
    return {
        "model": learned.model,
        "n": learned.starts,
        "applied": one.applied,
        "terms": [
            {"name": name.value, "mib": wire_mib(each.size), "spread_mib": wire_mib(each.spread), "n": each.starts}
            for name, each in learned.corrections.items()
        ],
        "model_mib": _seen(learned.model_bytes),
        "min_kv_cache_mib": _seen(learned.min_kv_cache_bytes),
    }


def _seen(one: Seen | None) -> dict[str, Any] | None:
    return None if one is None else {"mib": wire_mib(one.size), "n": one.starts}
