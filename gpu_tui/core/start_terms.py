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
from gpu_tui.core.start_setup import Setup
from gpu_tui.core.vllm_version import Accounting
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

SAMPLER_COPIES = 10.0
"""Float32 copies of the logits that the dummy sampler holds at its peak: 9.8 to 10.1 in logs of V0 and V1 with 256 and
1024 rows (sorted values, int64 indices, probabilities, their sum)."""

USUAL_ROWS = 0.85
"""Share of the default `max_num_seqs` that stands for starts which do not tell theirs: some operators set far less."""

LAYER_HIDDEN = 3.5
"""Copies of the hidden states alive at the peak of a layer: 3 to 4 in V0 logs that print the peak (Llama, Qwen2.5)."""

MOST_CAPTURED = 512
"""The largest batch that CUDA graphs are captured for by default. Large models on large cards take 4 to 9 GiB there."""

UNKNOWN_VOCAB = 152_000
UNKNOWN_LAYER_BYTES = 120_000
"""A token through a layer of a 7B model; for a model of which nothing but its weights is known."""


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
    terms = [weights, _activation(facts, options), _non_torch(options)]
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


def _activation(facts: ModelFacts | None, options: StartOptions) -> Term:
    given = _given(TermName.ACTIVATION, options)
    if given is not None:
        return given
    vocab = (facts.vocab_size if facts else None) or UNKNOWN_VOCAB
    tokens = options.cache.max_num_batched_tokens
    sampler = SAMPLER_COPIES * options.max_num_seqs * vocab * 4
    layers = tokens * _layer_bytes(facts, options.cache.tensor_parallel_size)
    if not options.rows_told:
        sampler *= USUAL_ROWS
    size = max(sampler, layers)
    below, above = (0.25 if options.rows_told else 0.8) * size, 0.3 * size + 0.25 * GIB
    if facts is None or facts.vocab_size is None:
        below, above = 0.8 * size, 0.6 * size + 0.3 * GIB
    if facts is not None and facts.multimodal and not options.rules.v0:
        # The encoder's worst-case picture: 0.9 and 1.0 GiB over the sampler in logs of Qwen2.5-VL.
        size, below, above = size + 0.8 * GIB, below + 0.8 * GIB, above + 2.5 * GIB
    source = f"estimated: {options.max_num_seqs} rows of {vocab} logits, {tokens} tokens of a batch"
    return _term(TermName.ACTIVATION, size, (below, above), Origin(kind=OriginKind.ASSUMED, source=source))


def _layer_bytes(facts: ModelFacts | None, ranks: int) -> float:
    """Peak bytes of one token in a layer: gate, up and their product, and the hidden states, 16 bits each."""
    if facts is None or facts.hidden_size is None:
        return UNKNOWN_LAYER_BYTES
    width = facts.intermediate_size or 4 * facts.hidden_size
    experts = facts.experts_per_token or 1
    hidden = LAYER_HIDDEN + (experts if experts > 1 else 0)
    return (3 * experts * width / ranks + hidden * facts.hidden_size) * 2


def _non_torch(options: StartOptions) -> Term:
    given = _given(TermName.NON_TORCH, options)
    if given is not None:
        return given
    ranks = options.cache.tensor_parallel_size * options.cache.pipeline_parallel_size
    if options.unified_memory:
        size, band, what = 0.5, (4.5, 3.5), "unified memory: the page cache and other processes come and go meanwhile"
    elif ranks > 1:
        size, band, what = 0.7, (0.5, 1.3), "NCCL's buffers and the CUDA context of one of several ranks"
    elif options.rules.graphs_inside:
        size, band, what = (
            0.3,
            (0.3, 0.6),
            "the CUDA context's growth, library workspaces and what loading leaves behind",
        )
    else:
        size, band, what = 0.1, (0.15, 0.35), "the CUDA context's growth and library workspaces"
    origin = Origin(kind=OriginKind.ASSUMED, source=f"estimated: {what}")
    return _term(TermName.NON_TORCH, size * GIB, (band[0] * GIB, band[1] * GIB), origin)


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
        return _term(TermName.CUDA_GRAPHS, size / 2, (size / 2, size / 2), origin)
    if given is not None:
        # What capturing took in the end and what was taken off for it before differ by this much.
        return _term(TermName.CUDA_GRAPHS, size, (0.2 * abs(size), 0.2 * abs(size)), given.origin)
    origin = Origin(kind=OriginKind.ASSUMED, source=f"estimated: vLLM's own estimate for up to {rows} sequences")
    return _term(TermName.CUDA_GRAPHS, size, (0.8 * size, above), origin)
