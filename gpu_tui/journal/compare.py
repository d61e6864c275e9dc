"""Two runs beside each other: what changed, what the figures did, and whether that is more than their scatter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gpu_tui.core.significance import ALPHA, MIN_SAMPLES, RankTest, Significance, holm, judge, rank_test
from gpu_tui.core.summary import summarize
from gpu_tui.errors import UsageError
from gpu_tui.journal.matching import Match, match_words, matches
from gpu_tui.journal.modes_text import bases
from gpu_tui.journal.records import Sample, StoredRun
from gpu_tui.view.text import clean

METHOD = (
    f"Mann-Whitney U on the single requests, two-sided; significant: p < {ALPHA:g} after Holm's correction for the "
    f"number of figures; fewer than {MIN_SAMPLES} requests on either side: too few to say. p95 and totals are not "
    "tested; ITL is each answer's median. Requests of one run share its conditions: repeat both runs before a change "
    "is believed."
)

MEMORY_MIB = 16.0
"""A service's memory that moved by less has not changed: allocators breathe by a few MiB."""

_METRICS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "llm": (
        ("ttft_ms", "LLM TTFT", "ms"),
        ("itl_ms", "LLM ITL", "ms"),
        ("e2e_ms", "LLM end to end", "ms"),
    ),
    "stt": (("latency_ms", "STT latency", "ms"), ("rtf", "STT RTF", "")),
    "voice": (
        ("latency_ms", "turn: transcript", "ms"),
        ("ttft_ms", "turn: first token", "ms"),
        ("sentence_ms", "turn: first sentence", "ms"),
        ("e2e_ms", "turn: total", "ms"),
    ),
}
_TOTALS = (
    ("llm_tokens_per_s", "LLM output tokens/s", ""),
    ("kv_cache_tokens", "KV cache tokens", ""),
    ("errors", "failed requests", ""),
    ("oom_events", "out of memory", ""),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that is not the same; None where it was not there, or not known."""

    what: str
    a: str | None
    b: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure of both runs."""

    name: str
    unit: str
    n_a: int | None
    """Samples behind it; None for a total."""
    n_b: int | None
    p50_a: float | None
    """The median; of a total, the total."""
    p50_b: float | None
    p95_a: float | None = None
    p95_b: float | None = None
    test: RankTest | None = None
    corrected_p: float | None = None
    significance: Significance | None = None
    """None for what is not tested."""

    @property
    def difference(self) -> float | None:
        """B − A of the medians."""
        return None if self.p50_a is None or self.p50_b is None else self.p50_b - self.p50_a

    @property
    def ratio(self) -> float | None:
        """B ÷ A of the medians."""
        return None if self.p50_a is None or self.p50_b is None or self.p50_a <= 0 else self.p50_b / self.p50_a


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """B against A."""

    a: StoredRun
    b: StoredRun
    changes: tuple[Change, ...]
    rows: tuple[Row, ...]
    cautions: tuple[str, ...]
    matched: tuple[str, ...] = ()
    """What of an interference run stands beside what of a plain one, or why it does not, a sentence each."""


def compare(a: StoredRun, b: StoredRun) -> Comparison:
    """Compare two runs.

    Raises:
        UsageError: one is simulated and the other is not: their figures have nothing to do with each other.
    """
    if a.run.simulated != b.run.simulated:
        invented = a.id if a.run.simulated else b.id
        raise UsageError(
            f"Run {invented} is simulated and the other is not: their figures are never put together.",
            "`gpu-tui history` marks the simulated ones.",
        )
    changes, found = tuple(_changes(a, b)), matches(a, b)
    alike = tuple(match for match in found if not match.differs)
    return Comparison(
        a=a,
        b=b,
        changes=changes,
        rows=(*_corrected(list(_rows(a, b, alike))), *_totals(a, b)),
        cautions=_cautions(a, b, changes, alike=bool(alike) and alike == found),
        matched=tuple(match_words(match, a.id, b.id) for match in found),
    )


def _rows(a: StoredRun, b: StoredRun, alike: tuple[Match, ...]) -> Iterator[Row]:
    for kind, part_a, part_b in _pairs(a, b, alike):
        part = "alone" if part_a != part_b else part_a.replace("_", " ")
        for field, name, unit in _METRICS.get(kind, ()):
            ours, theirs = _values(a.run.samples, kind, part_a, field), _values(b.run.samples, kind, part_b, field)
            if not ours and not theirs:
                continue
            summary_a, summary_b = summarize(ours), summarize(theirs)
            yield Row(
                name=f"{name}, {part}" if part else name,
                unit=unit,
                n_a=len(ours),
                n_b=len(theirs),
                p50_a=summary_a.p50 if summary_a else None,
                p50_b=summary_b.p50 if summary_b else None,
                p95_a=summary_a.p95 if summary_a else None,
                p95_b=summary_b.p95 if summary_b else None,
                test=rank_test(ours, theirs),
            )


def _pairs(a: StoredRun, b: StoredRun, alike: tuple[Match, ...]) -> list[tuple[str, str, str]]:
    """Kind, part of A, part of B: a part stands beside its like, else beside the part of the same name."""
    pairs = {(sample.kind, sample.part, sample.part) for stored in (a, b) for sample in stored.run.samples}
    for match in alike:
        pairs -= {(match.kind, part, part) for part in (match.part_a, match.part_b)}
        pairs.add((match.kind, match.part_a, match.part_b))
    kinds = list(_METRICS)
    return sorted(pairs, key=lambda key: (kinds.index(key[0]) if key[0] in kinds else 9, key[1:]))


def _values(samples: tuple[Sample, ...], kind: str, part: str, field: str) -> list[float]:
    mine = (getattr(s, field) for s in samples if (s.kind, s.part) == (kind, part) and s.error is None)
    return [value for value in mine if value is not None]


def _corrected(rows: list[Row]) -> Iterator[Row]:
    # A figure of which nothing may be said anyway must not make the others weaker.
    tested = [row for row in rows if row.test is not None and min(row.test.n_a, row.test.n_b) >= MIN_SAMPLES]
    corrected = dict(zip(map(id, tested), holm([row.test.p_value for row in tested if row.test]), strict=True))
    for row in rows:
        p = corrected.get(id(row))
        yield replace(row, corrected_p=p, significance=judge(row.test, p))


def _totals(a: StoredRun, b: StoredRun) -> Iterator[Row]:
    for field, name, unit in _TOTALS:
        one, other = a.figures.get(field), b.figures.get(field)
        if one is not None or other is not None:
            yield Row(name=name, unit=unit, n_a=None, n_b=None, p50_a=one, p50_b=other)


def _changes(a: StoredRun, b: StoredRun) -> Iterator[Change]:
    one, other = a.run, b.run
    told: list[tuple[str, Any, Any]] = [
        ("machine", one.machine, other.machine),
        ("GPU", _gpus(a), _gpus(b)),
        ("utilization, running", one.utilization_actual, other.utilization_actual),
        ("utilization, planned", one.utilization_planned, other.utilization_planned),
        ("verdict on the plan", one.status, other.status),
    ]
    told += [
        (f"service {name}", _held(one.services.get(name)), _held(other.services.get(name)))
        for name in dict.fromkeys([*one.services, *other.services])
        if _moved(one.services.get(name), other.services.get(name))
    ]
    told += _models(a, b)
    commands = [" ".join(each.server.get("cmdline") or ()) or None for each in (one, other)]
    told.append(("vLLM's command", commands[0], commands[1]))
    told += [
        (f"load, {key.replace('_', ' ')}", one.workload.get(key), other.workload.get(key))
        for key in dict.fromkeys([*one.workload, *other.workload])
    ]
    told.append(("gpu-tui", one.tool_version, other.tool_version))
    for what, before, after in told:
        if before != after:
            yield Change(what=what, a=_word(before), b=_word(after))


def _models(a: StoredRun, b: StoredRun) -> Iterator[tuple[str, Any, Any]]:
    for kind in ("llm", "stt"):
        results = [stored.run.summary.get(kind) or {} for stored in (a, b)]
        if all(isinstance(result, Mapping) for result in results):
            yield f"{kind.upper()} model", results[0].get("model"), results[1].get("model")
            yield f"{kind.upper()} model's size", size_of(results[0]), size_of(results[1])


def size_of(result: Mapping[str, Any]) -> str | None:
    """``tiny (assumed)``: which Whisper a result is of, and how sure that is; None where nobody said."""
    size = result.get("size")
    return f"{size.get('name')} ({size.get('origin')})" if isinstance(size, Mapping) else None


def _word(value: Any) -> str | None:
    return None if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _gpus(stored: StoredRun) -> str | None:
    gpus = [gpu for gpu in stored.run.gpus if gpu.get("judged")] or list(stored.run.gpus)
    return "; ".join(f"{gpu.get('uuid')} {gpu.get('total_mib')} MiB" for gpu in gpus) or None


def _held(service: Mapping[str, Any] | None) -> str | None:
    if service is None or service.get("running") is False:
        return None
    held = service.get("memory_mib")
    return f"{'unknown' if held is None else f'{held:.0f}'} MiB, {service.get('role')}"


def _moved(a: Mapping[str, Any] | None, b: Mapping[str, Any] | None) -> bool:
    if a is None or b is None or any(a.get(key) != b.get(key) for key in ("role", "running")):
        return True
    one, other = a.get("memory_mib"), b.get("memory_mib")
    return (one != other) if one is None or other is None else abs(one - other) >= MEMORY_MIB


_ITL = {
    "token_gaps": "gaps between tokens",
    "chunk_gaps": "gaps between chunks of untold size",
    "mean_per_token": "means per token",
}


def _of_itl(basis: set[str]) -> str:
    return " and ".join(_ITL.get(one, clean(one, 40)) for one in sorted(basis))


def _cautions(a: StoredRun, b: StoredRun, changes: tuple[Change, ...], *, alike: bool) -> tuple[str, ...]:
    """What to know before believing; `alike`: what stands side by side was given the same load, whatever else was."""
    changed = {change.what for change in changes}
    told = []
    if a.id == b.id:
        told.append("This is one and the same run.")
    unlike = ("LLM model", "STT model") if alike else ("load, ", "LLM model", "STT model")
    if any(what.startswith(unlike) for what in changed):
        told.append("The load or the model is not the same: the figures are not of like with like.")
    if "GPU" in changed or "machine" in changed:
        told.append("The machine is not the same.")
    kinds = [bases(stored.run.summary) for stored in (a, b)]
    if all(kinds) and kinds[0] != kinds[1]:
        told.append(f"ITL is not the same thing in both: {_of_itl(kinds[0])} in A, {_of_itl(kinds[1])} in B.")
    if "utilization, planned" in changed and "utilization, running" not in changed:
        told.append(
            "Only the planned utilization differs: both were measured on a server that ran at the same one, and a plan "
            "changes no latency."
        )
    return tuple(told)
