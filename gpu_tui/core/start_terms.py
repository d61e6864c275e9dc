"""What a start of vLLM takes besides the KV cache: given, measured or estimated, each with a band.

The constants are fitted to public start-up logs; `tests/benchmarks/bench_predict.py` prints how far the estimates are
off and how many truths lie in the bands. An estimate is `assumed`. It follows vLLM's own profile run, which feeds
`max_num_batched_tokens` tokens through the layers and `max_num_seqs` rows of logits through the sampler.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from gpu_tui.core.kv_options import CacheOptions
from gpu_tui.core.model_facts import ModelFacts
from gpu_tui.core.origins import Origin, OriginKind
from gpu_tui.core.start_activation import peak
from gpu_tui.core.start_outside import outside_torch
from gpu_tui.core.start_setup import Setup
from gpu_tui.core.vllm_version import Accounting, accounting_of
from gpu_tui.units import GIB, MIB, signed_gib


class TermName(StrEnum):
    """The terms, in the order in which they are told."""

    WEIGHTS = "weights"
    ACTIVATION = "activation"
    NON_TORCH = "non_torch"
    CUDA_GRAPHS = "cuda_graphs"
    OTHER_TENANTS = "other_tenants"


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One term on one GPU, in bytes: low ≤ size ≤ high is where nine of ten truths lie."""

    name: TermName
    size: int
    low: int
    high: int
    origin: Origin

    @property
    def exact(self) -> bool:
        """Given or measured: the band is only what the figure was rounded to."""
        return self.origin.kind is not OriginKind.ASSUMED or self.high - self.low <= 2 * GIVEN_PRECISION


GIVEN_PRECISION = round(0.01 * GIB)
"""A figure from a log is rounded to two decimals of a GiB, and so is the total it is compared with."""

MOST_CAPTURED = 512
"""The largest batch that CUDA graphs are captured for by default. Large models on large cards take 4 to 9 GiB there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A term that needs no estimate."""

    size: int
    origin: Origin
    precision: int = GIVEN_PRECISION
    under: Setup | None = None
    """How the start was set up that it was measured in; None: it holds whatever the flags (typed in by somebody)."""
    part_of: TermName | None = None
    """Measured together with that term, which holds the size of both: the two hold together or not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What past starts took beyond their prediction, to be added to an estimate. Bytes."""

    size: int
    """Median of measured − predicted."""
    spread: int
    """The largest distance of one of them from the median."""
    starts: int
    """How many starts it was learned from."""

    def band(self, side: int) -> int:
        """How far the corrected figure may be off on one side, where the estimate alone might be off by `side`.

        Of n like starts a further one lies within their range in (n − 1)/(n + 1) of all cases, whatever their
        distribution; for the rest the estimate's own band stands. One start alone narrows nothing.
        """
        return max(self.spread, ((self.starts - 1) * self.spread + 2 * side) // (self.starts + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOptions:
    """How vLLM is to be started, beside its utilization. None: not given, vLLM's default holds."""

    rules: Accounting
    cache: CacheOptions = CacheOptions()
    max_model_len: int | None = None
    fit_max_model_len: bool = False
    """`--max-model-len auto`: the longest that fits, so it never fails for its length."""
    enforce_eager: bool = False
    max_num_seqs: int = 256
    rows_told: bool = False
    """`max_num_seqs` was given; else it is vLLM's default, and operators often set less."""
    kv_cache_memory_bytes: int | None = None
    num_gpu_blocks_override: int | None = None
    given: Mapping[TermName, Given] = field(default_factory=dict)
    dropped: Mapping[TermName, str] = field(default_factory=dict)
    """Measured terms that do not hold for these flags, and why."""
    learned: Mapping[TermName, Correction] = field(default_factory=dict)
    """Corrections of estimates, where the user asked for them."""
    unified_memory: bool = False
    maybe_old: bool = False
    """No release is told, and nothing speaks against V0."""
    reported: bool = False
    """Somebody tells of it; its figures may be those of a log."""

    @property
    def ranks(self) -> int:
        """GPUs that share the weights."""
        return self.cache.tensor_parallel_size * self.cache.pipeline_parallel_size

    @property
    def any_release(self) -> bool:
        """Whether it may be any release of either engine."""
        return self.rules.release is None and not self.rules.v0

    @property
    def term_rules(self) -> Accounting:
        """The release by which terms are estimated."""
        return accounting_of("V0") if self.maybe_old else self.rules


def terms_of(facts: ModelFacts | None, options: StartOptions, other_bytes: int | None) -> tuple[Term, ...] | None:
    """All terms; None when nothing tells the weights.

    Args:
        facts: the model.
        options: how it is started.
        other_bytes: what other tenants hold when vLLM looks; only releases that count them need it.
    """
    weights = _weights(facts, options)
    if weights is None:
        return None
    terms = [weights, _activation(facts, options, weights), _non_torch(facts, options)]
    if _graphs_may_count(options):
        terms.append(_graphs(options))
    if options.rules.counts_others and other_bytes is not None:
        origin = Origin(kind=OriginKind.DERIVED, source="total − free: this release counts other tenants as its own")
        terms.append(_term(TermName.OTHER_TENANTS, other_bytes, (0, 0), origin))
    return tuple(_told(_corrected(term, options), options) for term in terms)


def _corrected(term: Term, options: StartOptions) -> Term:
    """The estimate with what was learned of it; what is given or measured stands as it is."""
    one = options.learned.get(term.name)
    fixed = term.name in options.given or (term.name is TermName.CUDA_GRAPHS and options.enforce_eager)
    if one is None or fixed:
        return term
    size = term.size + one.size
    starts = "1 start" if one.starts == 1 else f"{one.starts} starts"
    source = f"learned from {starts}: {signed_gib(one.size)} on: {term.origin.source}"
    return Term(
        name=term.name,
        size=size,
        low=size - one.band(term.size - term.low),
        high=size + one.band(term.high - term.size),
        origin=Origin(kind=OriginKind.MEASURED, source=source),
    )


def _told(term: Term, options: StartOptions) -> Term:
    """With the reason why a measurement was not used."""
    why = options.dropped.get(term.name)
    if why is None or (term.name is TermName.CUDA_GRAPHS and options.enforce_eager):
        return term
    return replace(term, origin=replace(term.origin, source=f"{term.origin.source}; {why}"))


def _given(name: TermName, options: StartOptions) -> Term | None:
    given = options.given.get(name)
    if given is None:
        return None
    low, high = given.size - given.precision, given.size + given.precision
    return Term(name=name, size=given.size, low=low, high=high, origin=given.origin)


def _term(name: TermName, size: float, band: tuple[float, float], origin: Origin) -> Term:
    below, above = band
    return Term(name=name, size=round(size), low=round(size - below), high=round(size + above), origin=origin)


def _weights(facts: ModelFacts | None, options: StartOptions) -> Term | None:
    given = _given(TermName.WEIGHTS, options)
    if given is not None or facts is None or facts.weights_bytes is None:
        return given
    ranks = options.cache.tensor_parallel_size * options.cache.pipeline_parallel_size
    whole = facts.unsharded_bytes or 0
    size = (facts.weights_bytes - whole) / ranks + whole
    low, high = facts.weights_band or (facts.weights_bytes, facts.weights_bytes)
    # Loaded weights exceed the file by rotary tables and padding: 0.2 % (Llama 8B) to 0.7 % (Qwen2.5-32B on two ranks).
    # Uneven stages and repacked quantized layers add to that.
    loaded = size * (1.002 if ranks == 1 else 1.006)
    spread = 0.01 if ranks == 1 else 0.03
    below = size - (low - whole) / ranks - whole + spread * size
    above = (high - whole) / ranks + whole - size + (spread + 0.01) * size
    kind = OriginKind.DERIVED if facts.weights_band is None else OriginKind.ASSUMED
    source = facts.weights_origin.source if facts.weights_origin else "the model's files"
    return _term(TermName.WEIGHTS, loaded, (below, above), Origin(kind=kind, source=source))


def _activation(facts: ModelFacts | None, options: StartOptions, weights: Term) -> Term:
    given = _given(TermName.ACTIVATION, options)
    if given is not None:
        return given
    found = peak(
        facts,
        options.term_rules,
        options.cache,
        options.max_num_seqs,
        rows_told=options.rows_told,
        weights_bytes=weights.size * options.ranks,
        any_release=options.any_release,
    )
    old = "; no release told, and nothing here is newer than V0: as V0 does it" if options.maybe_old else ""
    origin = Origin(kind=OriginKind.ASSUMED, source=found.source + old)
    return _term(TermName.ACTIVATION, found.size, (found.size - found.least, found.most - found.size), origin)


def _non_torch(facts: ModelFacts | None, options: StartOptions) -> Term:
    given = _given(TermName.NON_TORCH, options)
    if given is not None:
        return given
    size, below, above, what = outside_torch(
        facts,
        options.term_rules,
        options.ranks,
        unified_memory=options.unified_memory,
        any_release=options.any_release,
    )
    origin = Origin(kind=OriginKind.ASSUMED, source=f"estimated: {what}")
    return _term(TermName.NON_TORCH, size * GIB, (below * GIB, above * GIB), origin)


def _graphs_may_count(options: StartOptions) -> bool:
    """Whether this release takes CUDA graphs off the KV cache.

    Where the release is not told, a log that tells activation and non-torch memory but no graphs is from before they
    were counted.
    """
    if options.rules.release is not None or options.rules.v0:
        return options.rules.graphs_inside
    measured = options.given.keys() | options.dropped.keys()
    usage = {TermName.ACTIVATION, TermName.NON_TORCH} <= measured
    return not (usage and TermName.CUDA_GRAPHS not in measured)


def _whole_line(options: StartOptions) -> bool:
    """Whether all terms come from the usage line that 0.10 printed, which tells what capturing took on top."""
    return {TermName.ACTIVATION, TermName.NON_TORCH, TermName.CUDA_GRAPHS} <= options.given.keys()


def cuda_graphs(options: StartOptions) -> Term:
    """What capturing CUDA graphs takes, whether this release takes it off the KV cache or puts it on top."""
    return _graphs(options)


def _graphs(options: StartOptions) -> Term:
    """What this release takes off for CUDA graphs: nothing when they are off."""
    if options.enforce_eager:
        origin = Origin(kind=OriginKind.DERIVED, source="--enforce-eager: no CUDA graphs")
        return _term(TermName.CUDA_GRAPHS, 0, (0, 0), origin)
    given = _given(TermName.CUDA_GRAPHS, options)
    rows = min(options.max_num_seqs, MOST_CAPTURED)
    size = given.size if given is not None else 0.25 * GIB + rows * 2.5 * MIB
    above = 1.2 * size if rows < MOST_CAPTURED else 3 * size
    if options.rules.release is None:
        # Releases from 0.20 take them off, those before put them on top: half of it is the least wrong.
        origin = Origin(kind=OriginKind.ASSUMED, source="release not told: inside the budget since 0.20, on top before")
        counted = 0.0 if options.maybe_old or _whole_line(options) else size / 2
        return _term(TermName.CUDA_GRAPHS, counted, (counted, size - counted), origin)
    if given is not None:
        # What capturing took in the end is told; the estimate that was taken off before is larger more often than not.
        return _term(TermName.CUDA_GRAPHS, size, (0.2 * abs(size), 0.3 * abs(size) + 0.05 * GIB), given.origin)
    origin = Origin(kind=OriginKind.ASSUMED, source=f"estimated: vLLM's own estimate for up to {rows} sequences")
    return _term(TermName.CUDA_GRAPHS, size, (0.8 * size, above), origin)
