"""Which parts of two runs were given the same load: the alone parts of an interference run are plain loads.

The LLM's plain load stands beside ``llm_alone``, STT's beside ``stt_alone``, and only where the load of that kind is
the same: what was asked, how long, how many at once. How often it was asked, and what was measured before, may differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gpu_tui.journal.records import StoredRun

SAME: dict[str, tuple[str, ...]] = {
    "llm": ("concurrency", "arrivals", "rate", "prompts", "prompt_words", "prompt_tokens", "output_tokens", "seed"),
    "stt": ("concurrency", "arrivals", "rate", "clip"),
}
"""Of a load, what must be the same for its kind's figures to be of like with like."""

PLAIN = ""
"""The part of a run that has only one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A part of run A beside a part of run B."""

    kind: str
    part_a: str
    part_b: str
    differs: tuple[str, ...] = ()
    """What of the load is not the same, or not known of both; then the parts are not compared."""


def matches(a: StoredRun, b: StoredRun) -> tuple[Match, ...]:
    """Per kind, the plain load of one run and the alone part of the other, where there are such; also unlike ones."""
    found = []
    for kind in SAME:
        alone = f"{kind}_alone"
        mine, theirs = _parts(a, kind), _parts(b, kind)
        if alone in mine and PLAIN in theirs and PLAIN not in mine:
            found.append(Match(kind=kind, part_a=alone, part_b=PLAIN, differs=_differs(a, b, kind)))
        elif PLAIN in mine and alone in theirs and PLAIN not in theirs:
            found.append(Match(kind=kind, part_a=PLAIN, part_b=alone, differs=_differs(a, b, kind)))
    return tuple(found)


def _parts(stored: StoredRun, kind: str) -> set[str]:
    return {sample.part for sample in stored.run.samples if sample.kind == kind}


def _differs(a: StoredRun, b: StoredRun, kind: str) -> tuple[str, ...]:
    loads: list[Mapping[str, Any]] = [a.run.workload, b.run.workload]
    if not all("mode" in load for load in loads):
        return ("the load, unknown of one,",)  # of an older journal: nothing says that they were alike
    return tuple(key.replace("_", " ") for key in SAME[kind] if loads[0].get(key) != loads[1].get(key))


def match_words(match: Match, a: int, b: int) -> str:
    """A sentence: what was matched with what, or why not.

    Args:
        match: the pair.
        a, b: numbers of the runs.
    """
    kind = match.kind.upper()
    alone, plain = (a, b) if match.part_b == PLAIN else (b, a)
    if match.differs:
        verb = "differs" if len(match.differs) == 1 else "differ"
        why = f"{', '.join(match.differs)} {verb}"
        return f"{kind} alone of run {alone} is not set beside {kind} of run {plain}: {why}."
    return f"{kind} alone of run {alone} stands beside {kind} of run {plain}: the same load."
