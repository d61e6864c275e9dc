"""The JSON shapes of deployments and races in `gpu-tui watch --jsonl` (schema 1): one object a line.

MiB are numbers with one decimal, seconds numbers with three, instants ISO 8601 in UTC, unknown is null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gpu_tui.core.deployment import Deployment, DeployPhase
from gpu_tui.core.deployment_causes import cause
from gpu_tui.core.deployments import Change, ChangeKind
from gpu_tui.core.races import Race
from gpu_tui.units import wire_mib
from gpu_tui.view.deployment_words import change_words, race_words
from gpu_tui.view.text import clean
from gpu_tui.wire import SCHEMA
from gpu_tui.wire_events import MOST_WORDS, stamp

BEGAN = "deployment_began"
PHASE = "deployment_phase"
OUTCOME = "deployment_outcome"
"""Once it serves, has died, or it became known why it died; then `message` is the whole story."""
RACE_BEGAN, RACE_OVER = "race_began", "race_over"


def deployment_objects(
    change: Change,
    now_s: float,
    wall_s: float,
    indices: Mapping[str, int],
    *,
    off: str | None = None,
    others: Sequence[str] = (),
    races: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """What a reading changed of one start: that it began or went on, and its outcome where it now has one.

    Args:
        change: the start.
        now_s, wall_s: the reading, monotonic and since the epoch.
        indices: NVML's index by `Gpu.key`.
        off: what not to do while it starts.
        others: the other services on its GPUs.
        races: what was said of races so far.
    """
    one = change.deployment
    head = {"schema": SCHEMA, "type": "", "at": stamp(wall_s), "simulated": one.simulated}
    words = clean(change_words(change, others, now_s), MOST_WORDS)
    body = _deployment(one, now_s, wall_s, indices, off, races)
    kind = BEGAN if change.kind is ChangeKind.BEGAN else PHASE
    told = [] if change.kind is ChangeKind.EXPLAINED else [{**head, "type": kind, "message": words, **body}]
    if one.from_birth and one.outcome is not None and not (one.phase is DeployPhase.GONE and one.served):
        told.append({**head, "type": OUTCOME, "message": words, **body})
    return told


def _deployment(
    one: Deployment, now_s: float, wall_s: float, indices: Mapping[str, int], off: str | None, races: Sequence[str]
) -> dict[str, Any]:
    told = cause(one)
    gpus = [_gpu(key, indices) for key in one.gpus]
    return {
        "gpu": gpus[0] if len(gpus) == 1 else None,
        "gpus": gpus,
        "service": clean(one.name, 64),
        "pid": one.who.pid,
        "port": one.port,
        "model": None if one.model is None else clean(one.model, 200),
        "gpu_memory_utilization": one.utilization,
        "phase": one.phase.value,
        "since": stamp(wall_s - (now_s - one.span.start_s)),
        "evidence": one.span.evidence.value,
        "from_birth": one.from_birth,
        "phases": [_phase(span.phase.value, span.duration_s(now_s), span.evidence.value) for span in one.spans],
        "took_s": round(one.took_s(now_s), 3) if one.from_birth else None,
        "planned_mib": wire_mib(one.planned_bytes),
        "used_mib": wire_mib(one.used_bytes) if not one.ended else None,
        "peak_mib": wire_mib(one.peak_bytes),
        "outcome": one.outcome if one.from_birth else None,
        "failure": None if one.failure is None else clean(one.failure.text, MOST_WORDS),
        "cause": None if told is None else clean(told[0], MOST_WORDS),
        "remedy": None if told is None else clean(told[1], MOST_WORDS),
        "hands_off": None if off is None else clean(off, MOST_WORDS),
        "races": [clean(words, MOST_WORDS) for words in races],
    }


def race_object(
    race: Race, wall_s: float, indices: Mapping[str, int], *, over: bool, simulated: bool
) -> dict[str, Any]:
    """A race that begins, or is over; `service` is the start that it harms, `tenant` whoever moves."""
    words = f"No race any more: {clean(race.tenant, 64)} beside {clean(race.name, 64)}." if over else race_words(race)
    return {
        "schema": SCHEMA,
        "type": RACE_OVER if over else RACE_BEGAN,
        "at": stamp(wall_s),
        "simulated": simulated,
        "message": clean(words, MOST_WORDS),
        "gpu": _gpu(race.gpu, indices),
        "service": clean(race.name, 64),
        "pid": race.who.pid,
        "race": race.kind.value,
        "tenant": clean(race.tenant, 64),
        "moved_mib": wire_mib(race.moved_bytes),
        "advice": clean(race.advice, MOST_WORDS),
    }


def _gpu(key: str, indices: Mapping[str, int]) -> dict[str, Any]:
    return {"index": indices.get(key), "uuid": clean(key, 64)}


def _phase(phase: str, seconds: float, evidence: str) -> dict[str, Any]:
    return {"phase": phase, "seconds": round(seconds, 3), "evidence": evidence}
