"""The three checks: would vLLM start with this `gpu_memory_utilization` beside these tenants, and if not, why not.

One pure function, `evaluate`, is what the slider, `gpu-tui check` and the evaluator all call.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

from gpu_tui.core.books import Books
from gpu_tui.core.origins import Origin, OriginKind
from gpu_tui.core.steps import STEPS, allocation, first_holding
from gpu_tui.units import MIB, mib_to_bytes

TIGHT_BYTES = 600 * MIB
"""A new engine's CUDA context takes 0.2-0.6 GiB before vLLM looks at free memory; a smaller margin may not hold."""

DEFAULT_MODEL_BYTES = mib_to_bytes(5700)
"""Qwen2.5-7B-AWQ with activations, as seen on a 12288 MiB card at 0.50. Assumed for anything else."""

DEFAULT_MIN_KV_CACHE_BYTES = mib_to_bytes(370)
"""The smallest KV cache that deployment was seen to run with."""


class Status(StrEnum):
    """The verdict, in the optimizer's words."""

    VALID = "valid"
    INVALID = "invalid_production"
    UNKNOWN = "unknown"


class CheckName(StrEnum):
    """The checks in the order in which they are told."""

    MODEL = "model_and_kv_cache"
    PERSISTENT = "persistent_services"
    TOTAL = "total_memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelNeed:
    """What the model takes, per GPU."""

    model_bytes: int = DEFAULT_MODEL_BYTES
    """Weights, activations and all else that is not KV cache."""
    min_kv_cache_bytes: int = DEFAULT_MIN_KV_CACHE_BYTES
    startup_overhead_bytes: int = 0
    """The new engine's own CUDA context, taken before vLLM looks at free memory."""
    headroom_bytes: int = 0
    """Kept free of everything, against fragmentation and other tenants' jitter. vLLM knows nothing of it."""
    headroom_share: float = 0.0
    """The same as a share 0..1 of NVML's total; the larger of the two counts. `on` resolves it."""
    on_cuda_total: bool = False
    """False: hand-set figures, allocation is taken of NVML's total. True: derived or measured ones, of CUDA's."""
    cuda_total_bytes: int | None = None
    """CUDA's total where vLLM's own log told it; it stands before what the books say."""
    fixed_kv_cache_bytes: int | None = None
    """`--kv-cache-memory-bytes`: the KV cache is this, and utilization only decides the start gate."""
    counted_others_bytes: int = 0
    """Part of `model_bytes` that is other tenants' memory, which releases up to 0.9.0 take off their own budget."""
    model_origin: Origin = Origin(kind=OriginKind.ASSUMED, source="default: Qwen2.5-7B-AWQ on a 12288 MiB card")
    min_kv_cache_origin: Origin = Origin(kind=OriginKind.ASSUMED, source="default: Qwen2.5-7B-AWQ on a 12288 MiB card")
    startup_overhead_origin: Origin = Origin(kind=OriginKind.ASSUMED, source="default: not counted")
    headroom_origin: Origin = Origin(kind=OriginKind.ASSUMED, source="default: none kept")

    @property
    def required_bytes(self) -> int:
        """The least that vLLM must be given: model + minimum KV cache."""
        return self.model_bytes + self.min_kv_cache_bytes

    @property
    def room_bytes(self) -> int:
        """What it needs of memory that nobody holds: `required_bytes`, or model + the fixed KV cache; + headroom."""
        kv_cache = self.min_kv_cache_bytes if self.fixed_kv_cache_bytes is None else self.fixed_kv_cache_bytes
        return self.model_bytes - self.counted_others_bytes + kv_cache + self.headroom_bytes

    def on(self, total_bytes: int | None) -> ModelNeed:
        """The same need with its headroom in bytes."""
        if not self.headroom_share or total_bytes is None:
            return self
        kept = max(self.headroom_bytes, math.ceil(total_bytes * self.headroom_share))
        return replace(self, headroom_bytes=kept, headroom_share=0.0)

    def budget_bytes(self, allocation_bytes: int) -> int:
        """What model and KV cache may take together: the allocation, or model + the fixed KV cache."""
        if self.fixed_kv_cache_bytes is None:
            return allocation_bytes
        return self.model_bytes + self.fixed_kv_cache_bytes

    def claim_bytes(self, allocation_bytes: int) -> int:
        """What the start gate asks for: the allocation, what is taken before vLLM looks, and what is kept free."""
        return allocation_bytes + self.startup_overhead_bytes + self.headroom_bytes - self.counted_others_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check: passes when have ≥ need."""

    name: CheckName
    need_bytes: int | None
    have_bytes: int | None

    @property
    def margin_bytes(self) -> int | None:
        """have − need; negative is a deficit; None when either is unknown."""
        if self.need_bytes is None or self.have_bytes is None:
            return None
        return self.have_bytes - self.need_bytes

    @property
    def passed(self) -> bool | None:
        """None when it cannot be told."""
        return None if self.margin_bytes is None else self.margin_bytes >= 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Feasible:
    """The smallest and largest multiple of 0.0001 that pass all three checks; every multiple between passes too."""

    min_steps: int
    max_steps: int

    @property
    def min(self) -> float:
        """Lower end, as vLLM takes it."""
        return self.min_steps / STEPS

    @property
    def max(self) -> float:
        """Upper end, as vLLM takes it."""
        return self.max_steps / STEPS


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """The answer for one utilization. Sizes in bytes."""

    gpu_memory_utilization: float
    books: Books
    need: ModelNeed
    allocation_bytes: int | None
    checks: tuple[Check, Check, Check]
    feasible: Feasible | None
    """None when no multiple of 0.0001 passes, or when that is unknown (see `status`)."""

    @property
    def kv_cache_bytes(self) -> int | None:
        """allocation − model, or the fixed size; negative when the model alone does not fit."""
        if self.allocation_bytes is None:
            return self.need.fixed_kv_cache_bytes
        return self.need.budget_bytes(self.allocation_bytes) - self.need.model_bytes

    @property
    def available_bytes(self) -> int | None:
        """What a new vLLM could take: free + what comes free."""
        return self.books.available_bytes

    @property
    def valid(self) -> bool | None:
        """All three pass; None when memory that decides it is unknown."""
        if any(check.passed is None for check in self.checks):
            return None
        return all(check.passed for check in self.checks)

    @property
    def status(self) -> Status:
        """`valid` as a word."""
        if self.valid is None:
            return Status.UNKNOWN
        return Status.VALID if self.valid else Status.INVALID

    @property
    def first_failing(self) -> Check | None:
        """The check whose sentence is the reason."""
        return next((check for check in self.checks if check.passed is False), None)

    @property
    def deficit_bytes(self) -> int | None:
        """The larger of checks 1 and 3's deficits; 0 when valid; None when unknown."""
        if self.valid is None:
            return None
        margins = [check.margin_bytes or 0 for check in (self.checks[0], self.checks[2])]
        return max(0, *(-margin for margin in margins))

    @property
    def tight(self) -> bool:
        """Valid, but the new engine's own CUDA context, which nobody counted, may not fit."""
        margin = self.checks[2].margin_bytes
        uncounted = self.need.startup_overhead_bytes == 0
        return self.valid is True and uncounted and margin is not None and margin < TIGHT_BYTES

    @property
    def free_at_least_bytes(self) -> int | None:
        """How much must be freed before any utilization fits; None when one does, or when that is unknown.

        Freeing it is enough, unless the model is larger than the GPU: then it is what is short, and nothing is enough.
        """
        if self.valid is not False or self.feasible is not None or self.available_bytes is None:
            return None
        need = self.need
        total = allocation_total(self.books, need) or 0
        steps = 1 if need.fixed_kv_cache_bytes is not None else first_holding(total, need.required_bytes)
        if steps > STEPS:
            return need.claim_bytes(need.required_bytes) - self.available_bytes
        # What the first multiple that holds the model asks for, up to total / STEPS more than the model needs.
        return max(need.claim_bytes(allocation(total, steps / STEPS)), need.room_bytes) - self.available_bytes


def allocation_total(books: Books, need: ModelNeed) -> int | None:
    """The total of which utilization is a share: NVML's, or CUDA's for derived or measured terms.

    CUDA's is what was measured or told of it, else total − reserved.
    """
    if not need.on_cuda_total:
        return books.total_bytes
    if need.cuda_total_bytes is not None and books.total_bytes is not None:
        return need.cuda_total_bytes
    if books.cuda_total_bytes is not None or books.total_bytes is None:
        return books.cuda_total_bytes
    return books.total_bytes - (books.reserved_bytes or 0)


def evaluate(gpu_memory_utilization: float, books: Books, need: ModelNeed) -> CheckReport:
    """Judge one utilization.

    Args:
        gpu_memory_utilization: 0 < u ≤ 1.
        books: the GPU's memory now.
        need: what the model takes.

    Raises:
        ValueError: u is not in (0, 1].
    """
    if not 0 < gpu_memory_utilization <= 1:
        raise ValueError(f"gpu_memory_utilization must be above 0 and at most 1, not {gpu_memory_utilization}")
    need = need.on(books.total_bytes)
    total = allocation_total(books, need)
    asked = None if total is None else allocation(total, gpu_memory_utilization)
    available = books.available_bytes
    checks = (
        Check(
            name=CheckName.MODEL,
            need_bytes=need.required_bytes,
            have_bytes=None if asked is None else need.budget_bytes(asked),
        ),
        Check(name=CheckName.PERSISTENT, need_bytes=need.room_bytes, have_bytes=available),
        Check(
            name=CheckName.TOTAL,
            need_bytes=None if asked is None else need.claim_bytes(asked),
            have_bytes=available,
        ),
    )
    return CheckReport(
        gpu_memory_utilization=gpu_memory_utilization,
        books=books,
        need=need,
        allocation_bytes=asked,
        checks=checks,
        feasible=_feasible(total, available, need),
    )


def feasible_range(books: Books, need: ModelNeed) -> Feasible | None:
    """All multiples of 0.0001 that pass; None when none does or memory is unknown.

    Allocation never falls as u rises, and each end is found by the very arithmetic that `evaluate` uses: range and
    checks cannot disagree.
    """
    need = need.on(books.total_bytes)
    return _feasible(allocation_total(books, need), books.available_bytes, need)


def _feasible(total: int | None, available: int | None, need: ModelNeed) -> Feasible | None:
    if total is None or available is None or available < need.room_bytes:
        return None
    if need.fixed_kv_cache_bytes is None:
        low = first_holding(total, need.required_bytes)
    else:
        low = 1 if need.fixed_kv_cache_bytes >= need.min_kv_cache_bytes else STEPS + 1
    high = first_holding(total, available - need.claim_bytes(0) + 1) - 1
    return Feasible(min_steps=low, max_steps=high) if low <= high else None
