"""What a watched start is called, and what is told of it once: words for rows, toasts and lines of `gpu-tui watch`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gpu_tui.core.deployment import Deployment, DeployPhase, Evidence
from gpu_tui.core.deployment_causes import cause
from gpu_tui.core.deployments import Change, ChangeKind
from gpu_tui.core.races import Race, exposed, hands_off
from gpu_tui.units import format_mib
from gpu_tui.view.text import clean

NAMES = {
    DeployPhase.STOPPED: "stopped",
    DeployPhase.RUNNING: "running",
    DeployPhase.STARTING: "process",
    DeployPhase.LOADING: "loading",
    DeployPhase.PROFILING: "profiling",
    DeployPhase.CAPTURING: "capturing graphs",
    DeployPhase.SERVING: "serving",
    DeployPhase.FAILED: "died",
    DeployPhase.GONE: "gone",
}
"""Each phase as it stands on the timeline."""

_DOES = {
    DeployPhase.STARTING: "has a process and holds no weights yet",
    DeployPhase.LOADING: "loads its weights",
    DeployPhase.PROFILING: "compiles and profiles its memory",
    DeployPhase.CAPTURING: "has its KV cache and captures graphs",
}


UNTOLD = "load or profile"
"""What memory alone tells: without a log the one cannot be told from the other."""


def name_of(phase: DeployPhase, one: Deployment) -> str:
    """A phase's name; a server that is gone before it ever served has died."""
    if phase is DeployPhase.LOADING and one.log is None:
        spans = [span for span in one.spans if span.phase is DeployPhase.LOADING]
        if any(span.evidence is Evidence.MEMORY for span in spans):
            return UNTOLD
    if phase is DeployPhase.GONE and one.from_birth and not one.served:
        return NAMES[DeployPhase.FAILED]
    return NAMES[phase]


def duration(seconds: float) -> str:
    """``6 s``, ``1 min 14 s``, ``2 h 05 min``: as exact as readings a second apart."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s" if whole or seconds == 0 else "<1 s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def mib(size: int | None) -> str:
    """``6134 MiB``; ``unknown`` for None."""
    return "unknown" if size is None else f"{format_mib(size)} MiB"


def against_plan(size: int | None, planned: int | None) -> str:
    """``224 MiB under the plan``; empty where either is not known."""
    if size is None or planned is None:
        return ""
    over = size - planned
    return f"{mib(abs(over))} {'over' if over > 0 else 'under'} the plan" if over else "as planned"


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """One thing worth telling."""

    title: str
    words: str
    severity: str = "information"
    """``information``, ``warning`` or ``error``, as toasts have it."""


def change_words(change: Change, others: Sequence[str], now_s: float) -> str:
    """What a reading changed, a sentence or two.

    Args:
        change: the deployment that went on.
        others: the other services on its GPUs.
        now_s: the reading's instant.
    """
    one = change.deployment
    name, phase = clean(one.name, 40), one.phase
    if change.kind is ChangeKind.EXPLAINED or phase is DeployPhase.FAILED:
        return _died(one, now_s)
    if change.kind is ChangeKind.BEGAN:
        off = hands_off(one, [clean(other, 40) for other in others])
        port = "" if one.port is None else f", port {one.port}"
        began = f"{name} starts (pid {one.who.pid}{port})."
        return began if off is None else f"{began} {clean(off, 300)}"
    if phase is DeployPhase.SERVING:
        if not one.from_birth:
            return f"{name} serves."
        held = ", ".join(filter(None, (mib(one.used_bytes), against_plan(one.used_bytes, one.planned_bytes))))
        return f"{name} serves after {duration(one.took_s(now_s))}: it holds {held}."
    if phase is DeployPhase.GONE:
        return _gone(one, now_s)
    does = "loads or profiles" if name_of(phase, one) == UNTOLD else _DOES.get(phase, NAMES[phase])
    return f"{name} {does} ({clean(one.span.words, 60)})."


def _died(one: Deployment, now_s: float) -> str:
    told = cause(one)
    kind = "" if one.failure is None else f" ({one.failure.kind.value})"
    words = f"{clean(one.name, 40)} died after {duration(one.took_s(now_s))}{kind}."
    return words if told is None else f"{words} {' '.join(told)}"


def _gone(one: Deployment, now_s: float) -> str:
    if one.from_birth and not one.served:
        return _died(one, now_s)
    name = clean(one.name, 40)
    served = next((span for span in one.spans if span.phase is DeployPhase.SERVING), None)
    if served is None or not one.from_birth:
        return f"{name} is gone; it held {mib(one.used_bytes)}."
    return f"{name} is gone after it served for {duration(served.duration_s(now_s))}; it held {mib(one.used_bytes)}."


def change_news(change: Change, others: Sequence[str], now_s: float) -> News | None:
    """The change as a toast, short enough for a small terminal; None where it is not worth one."""
    one = change.deployment
    name, took = clean(one.name, 40), duration(one.took_s(now_s))
    if change.kind is ChangeKind.EXPLAINED or name_of(one.phase, one) == NAMES[DeployPhase.FAILED]:
        told = cause(one)
        words = f"{clean(told[0], 200)} D tells what to do." if told is not None else "D shows it."
        return News(title=f"✗ {name} died after {took}", words=words, severity="error")
    if change.kind is ChangeKind.BEGAN:
        if not exposed(one):
            return News(title=f"{name} starts", words="D shows it.")
        off = ", ".join(clean(other, 40) for other in others) or "this GPU"
        return News(title=f"{name} starts", words=f"Hands off {off} while it loads. D shows it.", severity="warning")
    if one.phase is DeployPhase.SERVING and one.from_birth:
        held = ", ".join(filter(None, (mib(one.used_bytes), against_plan(one.used_bytes, one.planned_bytes))))
        return News(title=f"✓ {name} serves after {took}", words=f"It holds {held}.")
    if one.phase is DeployPhase.GONE:
        return News(title=f"{name} is gone", words=f"It held {mib(one.used_bytes)}.", severity="warning")
    return None


def race_words(race: Race) -> str:
    """What runs against what, and what (not) to do."""
    return clean(f"{race.words} {race.advice}", 400)


def race_news(race: Race) -> News:
    """A race as a toast."""
    return News(title="! Race for the GPU's memory", words=f"{clean(race.advice, 200)} D tells why.", severity="error")
