"""A remedy, and what the levers that find one share. `gpu_tui.core.remedies` puts them together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from gpu_tui.core.plan import Plan, starts, starts_for_certain
from gpu_tui.core.planning import Judgement
from gpu_tui.core.start import Outcome, StartModel
from gpu_tui.units import format_mib


class RemedyKind(StrEnum):
    """What is changed, in the order of cost: a number nobody notices first, someone else's service last."""

    UTILIZATION = "gpu_memory_utilization"
    MAX_MODEL_LEN = "max_model_len"
    KV_CACHE_DTYPE = "kv_cache_dtype"
    ENFORCE_EAGER = "enforce_eager"
    MAX_NUM_SEQS = "max_num_seqs"
    MAX_NUM_BATCHED_TOKENS = "max_num_batched_tokens"
    KV_CACHE_MEMORY = "kv_cache_memory_bytes"
    STOP_TENANT = "stop_tenant"
    COMBINED = "combined"
    """Two of these; offered only where no single one is enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """One change that makes the plan start."""

    kind: RemedyKind
    sentence: str
    """What to do, with its number, and what it costs or gives. Names of services are others' text: clean them."""
    flags: str
    """What to type: ``--max-model-len 4096``; empty where no flag changes (a tenant is stopped)."""
    certain: bool
    """It starts over the whole band, not only by the middle estimate."""
    plan: Plan
    """The changed plan: what it was verified with."""
    stopped: tuple[str, ...] = ()
    """Services to stop, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A plan and what it comes to."""

    plan: Plan
    start: StartModel | None
    judgement: Judgement

    @property
    def outcome(self) -> Outcome | None:
        """How the start ends."""
        return self.judgement.prediction.outcome

    @property
    def starts(self) -> bool:
        """By the middle estimate."""
        return starts(self.judgement)

    @property
    def certain(self) -> bool:
        """Over the whole band."""
        return starts_for_certain(self.judgement)

    @property
    def gate_fails(self) -> bool:
        """Free memory is below the request, so that nothing which changes the cache alone helps."""
        return self.judgement.report.checks[2].passed is False

    @property
    def cache(self) -> str:
        """``KV cache 444 MiB, 12,345 tokens``."""
        prediction = self.judgement.prediction
        size = prediction.kv_cache_bytes
        words = "KV cache unknown" if size is None else f"KV cache {format_mib(size)} MiB"
        return words if prediction.kv_tokens is None else f"{words}, {prediction.kv_tokens:,} tokens"


def attempt(plan: Plan, start: StartModel | None = None) -> Tried:
    """Judge a changed plan. `start` saves summing it up again where only the utilization differs."""
    start = plan.start() if start is None else start
    return Tried(plan=plan, start=start, judgement=plan.judge(start))


def largest(low: int, high: int, passes: Callable[[int], bool], hint: int | None = None) -> int | None:
    """The largest number in low..high that passes a test which fails from some number on; None when none does."""
    if hint is not None and low <= hint <= high and passes(hint) and (hint == high or not passes(hint + 1)):
        return hint
    if high < low or not passes(low):
        return None
    while low < high:
        middle = (low + high + 1) // 2
        if passes(middle):
            low = middle
        else:
            high = middle - 1
    return low


def smallest(low: int, high: int, passes: Callable[[int], bool]) -> int | None:
    """The smallest number in low..high that passes a test which holds from some number on; None when none does."""
    if high < low or not passes(high):
        return None
    while low < high:
        middle = (low + high) // 2
        if passes(middle):
            high = middle
        else:
            low = middle + 1
    return low
