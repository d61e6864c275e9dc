"""What past starts teach of a prediction: how far each term was off, what the model took, the least KV cache seen.

Pure. It is offered, and changes a prediction only where the user asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TYPE_CHECKING

from gpu_tui.core.checks import ModelNeed
from gpu_tui.core.origins import Origin, OriginKind
from gpu_tui.core.start_inputs import StartInputs
from gpu_tui.core.start_setup import Setup, differences
from gpu_tui.core.start_terms import Correction, Given, TermName

if TYPE_CHECKING:
    from gpu_tui.core.start import StartModel

TERMS = (TermName.WEIGHTS, TermName.ACTIVATION, TermName.NON_TORCH, TermName.CUDA_GRAPHS)
"""What can be learned; other tenants' memory is no property of a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastStart:
    """One start as it was predicted and as it went. Sizes in bytes; None and absent: not known."""

    setup: Setup
    gpu_name: str = ""
    gpu_total_bytes: int | None = None
    predicted: Mapping[TermName, int] = field(default_factory=dict)
    """From the model's files alone."""
    measured: Mapping[TermName, int] = field(default_factory=dict)
    inside: frozenset[TermName] = frozenset()
    """Terms that the measured activation holds as well, because the log tells them together."""
    requested_bytes: int | None = None
    kv_cache_bytes: int | None = None
    kv_cache_fixed: bool = False
    """`--kv-cache-memory-bytes`: what was requested does not tell what the model took."""
    kv_tokens: int | None = None
    """As its release logs it."""
    num_blocks: int | None = None
    started: bool = False

    @property
    def model_bytes(self) -> int | None:
        """All that was not KV cache: requested − KV cache."""
        if self.kv_cache_fixed or self.requested_bytes is None or self.kv_cache_bytes is None:
            return None
        return self.requested_bytes - self.kv_cache_bytes

    @property
    def enough_bytes(self) -> int | None:
        """A KV cache that holds one request of its max_model_len: its share of this start's cache, else all of that."""
        share = self.request_bytes
        return share if share is not None else self.kv_cache_bytes if self.started else None

    @property
    def request_bytes(self) -> int | None:
        """What one request of its max_model_len takes; None where the start told no tokens.

        Whatever a release counts as tokens, so many of one request fit into the cache, and more of several kinds of
        layers: the share is never too small. Blocks round it up, and one is kept back since 0.30.
        """
        size, tokens, length = self.kv_cache_bytes, self.kv_tokens, self.setup.max_model_len
        if size is None or not self.started or not tokens or length is None or length > tokens:
            return None
        blocks = 2 * size // self.num_blocks if self.num_blocks else 0
        return min(size, -(-size * length // tokens) + blocks)

    def missed(self, term: TermName) -> int | None:
        """Measured − predicted; None where either is not known, or the term is part of another's figure."""
        parts = {term} | (self.inside if term is TermName.ACTIVATION else frozenset())
        if term in self.inside or term not in self.measured or not parts <= self.predicted.keys():
            return None
        return self.measured[term] - sum(self.predicted[part] for part in parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One extreme of what past starts showed."""

    size: int
    starts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What is offered for one planned start."""

    model: str
    starts: int
    """Past starts of this model and set-up that taught anything."""
    corrections: Mapping[TermName, Correction]
    model_bytes: Seen | None = None
    """The most the model took beside its KV cache, in the starts whose flags are nearest."""
    min_kv_cache_bytes: Seen | None = None
    """The smallest KV cache that was seen to hold one request of this max_model_len, or of a longer one."""
    request_bytes: Seen | None = None
    """The same where the starts told their tokens: what one request takes, and hardly more."""

    def changing(self, start: StartModel | None) -> Learned | None:
        """What of it changes a plan: what is measured needs no correction. None: nothing.

        Args:
            start: the plan's; None: it is judged by hand-set figures.
        """
        if start is None:
            return self if self.model_bytes is not None or self.min_kv_cache_bytes is not None else None
        options = start.options
        off = {TermName.CUDA_GRAPHS} if options.enforce_eager else set()
        estimated = {term.name for term in start.terms} - options.given.keys() - off
        left = {name: one for name, one in self.corrections.items() if name in estimated}
        guessed = start.layout is None and start.min_kv_band[0] < start.min_kv_band[1]
        request = self.request_bytes if guessed else None
        return replace(self, corrections=left, request_bytes=request) if left or request is not None else None

    def applied_to(self, inputs: StartInputs | None) -> StartInputs | None:
        """A prediction's inputs, with the corrections of its estimates.

        What one request takes counts only where the model's layers are not known: else it is exact.
        """
        if inputs is None:
            return None
        floor = None
        if self.request_bytes is not None:
            told = f"learned from {starts_words(self.request_bytes.starts)}: what one request took"
            floor = Given(size=self.request_bytes.size, origin=Origin(kind=OriginKind.MEASURED, source=told))
        return replace(inputs, learned=self.corrections, learned_floor=floor)

    def applied_to_need(self, base: ModelNeed) -> ModelNeed:
        """A hand-set need, with the figures that were seen; they were measured on CUDA's total."""
        need = base
        if self.model_bytes is not None:
            told = f"learned from {starts_words(self.model_bytes.starts)} of {self.model}: the most it took"
            origin = Origin(kind=OriginKind.MEASURED, source=told)
            need = replace(need, model_bytes=self.model_bytes.size, model_origin=origin, on_cuda_total=True)
        if self.min_kv_cache_bytes is not None:
            told = f"learned from {starts_words(self.min_kv_cache_bytes.starts)}: a KV cache that holds one request"
            origin = Origin(kind=OriginKind.MEASURED, source=told)
            need = replace(need, min_kv_cache_bytes=self.min_kv_cache_bytes.size, min_kv_cache_origin=origin)
        return need


def starts_words(count: int) -> str:
    """``1 start``, ``3 starts``."""
    return "1 start" if count == 1 else f"{count} starts"


def learn(past: Iterable[PastStart], planned: Setup, gpu_name: str, gpu_total_bytes: int | None) -> Learned | None:
    """What the starts of the same model teach; None: nothing.

    Only starts with the planned model, quantization, dtype, engine and parallel sizes count, and of those, for each
    figure, the ones whose other flags (and card) are nearest. Their order does not matter.

    Args:
        past: any starts.
        planned: the model must be named in it.
        gpu_name, gpu_total_bytes: the planned card; its total is the one that vLLM's defaults follow.
    """
    if planned.model is None:
        return None
    whole = planned.resolved(gpu_name, gpu_total_bytes)
    resolved = [(one, one.setup.resolved(one.gpu_name, one.gpu_total_bytes)) for one in past]
    alike = [(one, setup) for one, setup in resolved if setup.model is not None and _same_model(setup, whole)]

    def far(term: str) -> Callable[[tuple[PastStart, Setup]], int]:
        return lambda pair: len(differences(term, pair[1], whole)) + (pair[0].gpu_name != gpu_name)

    corrections, taught = {}, set()
    for term in TERMS:
        known = [pair for pair in alike if pair[0].missed(term) is not None]
        if term is TermName.ACTIVATION:
            # Where some tell activation alone, those that tell it together with other terms are no help.
            known = _nearest(known, lambda pair: len(pair[0].inside))
        near = _nearest(known, far(term.value))
        taught |= {id(pair[0]) for pair in near}
        if near:
            corrections[term] = _correction([pair[0].missed(term) or 0 for pair in near])
    took = _nearest([pair for pair in alike if pair[0].model_bytes is not None], far(TermName.ACTIVATION.value))
    ran = [pair for pair in alike if pair[0].enough_bytes is not None and _as_long(*pair, whole)]
    taught |= {id(pair[0]) for pair in (*took, *ran)}
    if not taught:
        return None
    return Learned(
        model=planned.model,
        starts=len(taught),
        corrections=corrections,
        model_bytes=_seen(max, [pair[0].model_bytes for pair in took]),
        min_kv_cache_bytes=_seen(min, [pair[0].enough_bytes for pair in ran]),
        request_bytes=_seen(min, [pair[0].request_bytes for pair in ran]),
    )


def _same_model(past: Setup, planned: Setup) -> bool:
    return past.engine == planned.engine and not differences(TermName.WEIGHTS.value, past, planned)


def _as_long(_: PastStart, past: Setup, planned: Setup) -> bool:
    """Whether that start served requests at least as long: a cache that was enough for shorter ones proves nothing."""
    if planned.max_model_len is None:
        return True
    return past.max_model_len is not None and past.max_model_len >= planned.max_model_len


def _nearest(
    pairs: Sequence[tuple[PastStart, Setup]], far: Callable[[tuple[PastStart, Setup]], int]
) -> list[tuple[PastStart, Setup]]:
    least = min(map(far, pairs), default=0)
    return [pair for pair in pairs if far(pair) == least]


def _correction(missed: Sequence[int]) -> Correction:
    middle = round(median(missed))
    return Correction(size=middle, spread=max(abs(one - middle) for one in missed), starts=len(missed))


def _seen(extreme: Callable[[Iterable[int]], int], sizes: Sequence[int | None]) -> Seen | None:
    known = [size for size in sizes if size is not None]
    return Seen(size=extreme(known), starts=len(known)) if known else None
