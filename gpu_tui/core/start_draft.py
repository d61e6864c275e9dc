"""One start while its lines are read: figures are put in as they come, and made a `StartLog` at the end."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from decimal import Decimal
from typing import Any, TypeVar

from gpu_tui.core.log_text import number, printable
from gpu_tui.core.start_values import (
    EXCERPT,
    FailureKind,
    MemoryTerms,
    Phase,
    RankTerms,
    Said,
    Size,
    StartFailure,
    StartLog,
    StartPhase,
    UsageSummary,
    Wording,
)
from gpu_tui.units import GIB

Figure = Size | Said[Any]
Process = tuple[str, int | None]
T = TypeVar("T", Size, Said[int], Said[float])

_UNITS = {"bytes": 1, "KiB": 1024, "MiB": 1024**2, "GiB": GIB, "TiB": 1024**4}
_TERMS = tuple(one.name for one in fields(MemoryTerms))
_LARGEST = {
    "weights",
    "checkpoint",
    "consumed",
    "non_torch",
    "activation",
    "torch_peak",
    "initial_usage",
    "cuda_graph",
    "cuda_graph_estimate",
    "concurrency_len",
}
"""Terms of which the largest counts when the process with the smallest KV cache did not print its own."""
_SIZED_BY_ALL = ("kv_tokens", "gpu_blocks", "max_concurrency")
"""An engine of 0.8 and 0.9 prints these once for every worker; the smallest is the pool."""
_SUMMARY_ONLY = ("kv_fit", "kv_full", "kv_in_use")
_LAST = ("load_s", "profile_s", "compile_s", "capture_s", "init_s", "sleep_freed", "sleep_in_use", "fitted_max_len")


def excerpt(text: str, start: int, most: int = EXCERPT) -> str:
    """The words from `start` on, fit to be shown."""
    return printable(text[start : start + most]).strip()


def figures(match: re.Match[str], line_no: int, rank: str) -> dict[str, Figure]:
    """What a match of a rule says, by field name. A figure that is no number is left out."""
    said = excerpt(match.string, match.start())
    found: dict[str, Figure] = {}
    for group, text in match.groupdict().items():
        name, _, kind = group.partition("__")
        if not kind or text is None:
            continue
        if kind == "s":
            found[name] = Said(value=printable(text).strip(), line_no=line_no, excerpt=said, rank=rank)
        elif (value := number(text)) is not None:
            if kind in "if":
                plain = int(value) if kind == "i" else float(value)
                found[name] = Said(value=plain, line_no=line_no, excerpt=said, rank=rank)
            else:
                unit = {"g": GIB, "b": 1}.get(kind) or _UNITS[match["unit"]]
                size, half = _bytes(value, unit, at_least=2 if kind == "g" else 0)
                found[name] = Size(size_bytes=size, precision_bytes=half, line_no=line_no, excerpt=said, rank=rank)
    return found


def _bytes(value: Decimal, unit: int, at_least: int) -> tuple[int, int]:
    """Size and half of its last digit. vLLM rounds to two decimals and drops trailing zeros, hence `at_least`."""
    if unit == 1:
        return int(value), 0
    exponent = value.as_tuple().exponent
    decimals = max(-exponent if isinstance(exponent, int) else 0, at_least)
    return round(value * unit), -(-unit // (2 * 10**decimals))


def _agree(one: Size, other: Size) -> bool:
    return abs(one.size_bytes - other.size_bytes) <= one.precision_bytes + other.precision_bytes


class Draft:
    """A start being read. It is `begun` by what only an engine prints, not by a version line alone."""

    def __init__(self, line_no: int) -> None:
        self.line_from = line_no
        self.line_to = line_no
        self.begun = False
        self.incomplete = False
        self.heads: set[tuple[str, str]] = set()
        """Which first lines were read, and the label of the process they are from."""
        self.whole: dict[str, Any] = {}
        self.frame: FailureKind | None = None
        """What the last traceback was in, if it ran out of memory."""
        self._failures: list[StartFailure] = []
        self._raised: str | None = None
        self._ranks: dict[Process, dict[str, Any]] = {}
        self._phases: dict[Phase, StartPhase] = {}

    @property
    def says_anything(self) -> bool:
        """Whether a line of a start was read."""
        return bool(self.whole or self._failures or self._ranks or self._phases)

    def phase(self, phase: Phase, line_no: int, stamp: str | None) -> None:
        """Note the first line of a phase."""
        self._phases.setdefault(phase, StartPhase(phase=phase, line_no=line_no, timestamp=stamp))
        self.begun = self.begun or phase is not Phase.STARTING

    def has(self, phase: Phase) -> bool:
        """Whether the phase was seen."""
        return phase in self._phases

    def known(self, term: str) -> bool:
        """Whether any process printed the term."""
        return any(term in one for one in self._ranks.values())

    def put(self, found: Mapping[str, Figure], process: Process, *, loading: bool = False) -> None:
        """Take figures of one line. `loading` marks the line of a load, of which the largest counts (draft models)."""
        terms = self._ranks.setdefault(process, {}) if any(name in _TERMS for name in found) else {}
        for name, value in found.items():
            if name in _SUMMARY_ONLY:
                continue
            target = terms if name in _TERMS else self.whole
            old = target.get(name)
            if isinstance(old, Size) and isinstance(value, Size):
                if _agree(old, value):
                    value = min(old, value, key=lambda size: size.precision_bytes)
                elif loading:
                    value = max(old, value, key=lambda size: size.size_bytes)
            elif old is not None and target is self.whole and name not in _LAST:
                continue
            elif isinstance(old, Said) and isinstance(value, Said) and name in _SIZED_BY_ALL:
                value = min(old, value, key=_amount)
            target[name] = value
        if "activation" in found:
            terms["activation_holds_graphs"] = False

    def put_if_unknown(self, found: Mapping[str, Figure], process: Process) -> None:
        """Take terms that an error names and no line before it did."""
        self.put({name: value for name, value in found.items() if name in _TERMS and not self.known(name)}, process)

    def summary(self, found: Mapping[str, Figure], process: Process) -> None:
        """Keep the usage summary as one."""
        wording = Wording.CONSUMED if "consumed" in found else Wording.WEIGHTS if "weights" in found else None
        used = {one.name for one in fields(UsageSummary)} - {"wording", "utilization"}
        given: dict[str, Any] = {name: value for name, value in found.items() if name in used}
        share = found["utilization"]
        terms = self._ranks.setdefault(process, {})
        if "activation" in found:
            terms["activation_holds_graphs"] = wording is Wording.CONSUMED
        terms["summary"] = UsageSummary(
            wording=wording, utilization=share.value if isinstance(share, Said) else 0.0, **given
        )

    def raised(self, text: str) -> None:
        """An exception without a rule: it explains a failure without a cause. The engine tells that one first."""
        if self.has(Phase.SERVING):
            return
        unexplained = [one for one in self._failures if one.kind is FailureKind.OTHER]
        if not unexplained:
            self._raised = text
        elif self._raised is None:
            self._raised = text
            self._failures = [replace(one, text=text) if one in unexplained else one for one in self._failures]

    def fail(self, failure: StartFailure) -> None:
        """Take a failure unless another process has told of it already."""
        self.begun = True
        if failure.kind is FailureKind.OTHER:
            if self._failures:
                return
            if "failed to start" in failure.text:
                self._raised = None
            failure = replace(failure, text=self._raised or failure.text)
        if not any(one.kind is failure.kind and one.text == failure.text for one in self._failures):
            self._failures.append(failure)

    def done(self) -> StartLog:
        """What was read."""
        ranks = tuple(RankTerms(rank=label, pid=pid, **terms) for (label, pid), terms in self._ranks.items() if terms)
        whole = dict(self.whole)
        known = [one for one in self._failures if one.kind is not FailureKind.OTHER]
        terms = _governing(ranks)
        fixed = whole.get("kv_cache_memory")
        if fixed is not None and terms["available_kv"] is None:
            terms["available_kv"] = fixed
        return StartLog(
            line_from=self.line_from,
            line_to=self.line_to,
            incomplete=self.incomplete,
            phases=tuple(self._phases.values()),
            failures=tuple(known or self._failures),
            ranks=ranks,
            **terms,
            **whole,
        )


def _governing(ranks: Iterable[RankTerms]) -> dict[str, Any]:
    """The whole start's terms: see `StartLog`."""
    sizing = [one for one in ranks if one.available_kv is not None]
    first = min(sizing, key=lambda one: _amount(one.available_kv), default=None)
    terms: dict[str, Any] = {}
    for name in _TERMS:
        own = None if first is None else getattr(first, name)
        printed = [(value, one) for one in ranks if (value := getattr(one, name)) is not None]
        if own is not None or not printed:
            terms[name] = own
        elif name in ("summary", "activation_holds_graphs"):
            terms[name] = printed[0][0]
        else:
            best = max if name in _LARGEST else min
            terms[name] = best((value for value, _ in printed), key=_amount)
    return terms


def _amount(value: Figure | None) -> float:
    if value is None:
        return 0.0
    return float(value.size_bytes if isinstance(value, Size) else value.value)
