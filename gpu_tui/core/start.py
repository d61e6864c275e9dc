"""Whether vLLM would start, as vLLM itself decides it: the start gate, the cache that is left, the longest request.

`start_model` sums up what does not depend on the utilization; `predict` judges one utilization on top of the three
checks, with a band: nine of ten real starts should lie inside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

from gpu_tui.core.checks import CheckReport, ModelNeed
from gpu_tui.core.kv_layout import KvLayout
from gpu_tui.core.kv_pages import kv_layout
from gpu_tui.core.model_facts import ModelFacts
from gpu_tui.core.origins import Origin, OriginKind, weakest
from gpu_tui.core.start_terms import GIVEN_PRECISION, StartOptions, Term, TermName, terms_of
from gpu_tui.core.vllm_version import TokenRule
from gpu_tui.units import GIB, MIB

CONTEXT_BYTES = 600 * MIB
"""The most a new engine's own CUDA context was seen to take before vLLM looks at free memory."""

TYPICAL_TOKEN_SHARE = (1.2e-6, 8e-6, 3e-5)
"""Cache bytes of a token as a share of the weights' bytes: least, usual (Llama 3.1 8B), most (Llama 2 7B). Used only
where a model's weights are known and its layers are not."""


class Outcome(StrEnum):
    """How a start ends."""

    STARTED = "started"
    NOT_ENOUGH_FREE = "not_enough_free"
    """Free memory is below the request; nothing is loaded."""
    NO_CACHE_BLOCKS = "no_cache_blocks"
    """Nothing is left for the KV cache."""
    MAX_LEN_TOO_LONG = "max_len_too_long"
    """What is left cannot hold one request of max_model_len."""


class Call(StrEnum):
    """The verdict in words, with its certainty."""

    STARTS = "starts"
    WILL_NOT_START = "will not start"
    TOO_CLOSE = "too close to call"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartModel:
    """One model with one set of flags on one GPU: all that a move of the slider leaves as it is. Sizes in bytes."""

    facts: ModelFacts | None
    options: StartOptions
    terms: tuple[Term, ...]
    layout: KvLayout | None
    max_model_len: int | None
    need: ModelNeed
    """The same as the three checks see it."""
    min_kv_band: tuple[int, int]
    below: int
    """How much less than their sum the terms may take; errors of independent terms add as squares."""
    above: int
    """How much more."""

    def term(self, name: TermName) -> Term | None:
        """The term of this name."""
        return next((term for term in self.terms if term.name is name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What would happen at one utilization. None: cannot be told."""

    outcome: Outcome | None
    certain: bool
    """The whole band ends the same way."""
    requested_bytes: int | None
    kv_cache_bytes: int | None
    kv_cache_band: tuple[int, int] | None
    kv_tokens: int | None = None
    """As vLLM would log it (``GPU KV cache size``)."""
    kv_tokens_band: tuple[int, int] | None = None
    num_blocks: int | None = None
    max_concurrency: float | None = None
    largest_max_model_len: int | None = None
    fails_anyway: bool = False
    """No end of the band holds one request: only how it fails may be open."""

    @property
    def call(self) -> Call:
        """The verdict."""
        if self.outcome is None:
            return Call.UNKNOWN
        if not self.certain and not self.fails_anyway:
            return Call.TOO_CLOSE
        return Call.STARTS if self.outcome is Outcome.STARTED else Call.WILL_NOT_START


def start_model(
    facts: ModelFacts | None,
    options: StartOptions,
    *,
    other_bytes: int | None = None,
    min_kv_cache_bytes: int | None = None,
    cuda_total_bytes: int | None = None,
    startup_overhead: tuple[int, Origin] | None = None,
) -> StartModel | None:
    """Sum up a start; None when nothing tells the weights.

    Args:
        facts: the model.
        options: how it is started.
        other_bytes: what other tenants hold when vLLM looks; releases up to 0.9.0 count it.
        min_kv_cache_bytes: the user's own floor in place of one request of max_model_len.
        cuda_total_bytes: CUDA's total where vLLM's log told it.
        startup_overhead: what is taken before vLLM looks at free memory.
    """
    terms = terms_of(facts, options, other_bytes)
    if terms is None:
        return None
    layout = kv_layout(facts, options.cache, options.rules) if facts is not None else None
    length = options.max_model_len or (facts.max_model_len if facts is not None else None)
    floor, band, floor_origin = _floor(options, terms, layout, length, min_kv_cache_bytes)
    size = sum(term.size for term in terms)
    others = next((term.size for term in terms if term.name is TermName.OTHER_TENANTS), 0)
    overhead, overhead_origin = startup_overhead or (0, Origin(kind=OriginKind.ASSUMED, source="not counted"))
    source = " + ".join(term.name.replace("_", " ") for term in terms if term.size)
    need = ModelNeed(
        model_bytes=size,
        min_kv_cache_bytes=floor,
        startup_overhead_bytes=overhead,
        on_cuda_total=True,
        cuda_total_bytes=cuda_total_bytes,
        fixed_kv_cache_bytes=options.kv_cache_memory_bytes,
        counted_others_bytes=others,
        model_origin=weakest(*(term.origin for term in terms), source=source),
        min_kv_cache_origin=floor_origin,
        startup_overhead_origin=overhead_origin,
    )
    return StartModel(
        facts=facts,
        options=options,
        terms=terms,
        layout=layout,
        max_model_len=length,
        need=need,
        min_kv_band=band,
        below=math.isqrt(sum((term.size - term.low) ** 2 for term in terms)),
        above=math.isqrt(sum((term.high - term.size) ** 2 for term in terms)),
    )


def _floor(
    options: StartOptions,
    terms: tuple[Term, ...],
    layout: KvLayout | None,
    length: int | None,
    given: int | None,
) -> tuple[int, tuple[int, int], Origin]:
    """The least KV cache vLLM starts with, its band, and where that comes from."""
    spare = layout.bytes_per_block if layout is not None and options.rules.reserves_null_block else 0
    if given is not None:
        return given, (given, given), Origin(kind=OriginKind.ASSUMED, source="the user's floor")
    tokens = 1 if options.fit_max_model_len else length
    if layout is not None and tokens is not None:
        need = layout.need_bytes(tokens) + spare
        return need, (need, need), Origin(kind=OriginKind.DERIVED, source=f"one request of {tokens} tokens")
    if layout is not None or tokens is None:
        return spare + 1, (spare + 1, spare + 1), Origin(kind=OriginKind.ASSUMED, source="any cache at all")
    weights = terms[0].size
    low, usual, high = (round(share * weights * tokens) for share in TYPICAL_TOKEN_SHARE)
    source = f"one request of {tokens} tokens, as models of this weight usually need"
    return usual, (low, high), Origin(kind=OriginKind.ASSUMED, source=source)


def predict(
    report: CheckReport, start: StartModel, *, gate_band: int = 0, total_band: tuple[int, int] = (0, 0)
) -> Prediction:
    """Judge what the three checks judged, as vLLM does, with the band.

    Args:
        report: the checks of `start.need` at one utilization.
        start: the model and its flags.
        gate_band: bytes by which free memory may be less when vLLM looks than it is now: its own CUDA context.
        total_band: bytes by which CUDA's total may be (less, more) than the books say.
    """
    kv_cache = report.kv_cache_bytes
    requested = report.allocation_bytes
    if kv_cache is None:
        return Prediction(
            outcome=None, certain=False, requested_bytes=requested, kv_cache_bytes=None, kv_cache_band=None
        )
    if start.options.kv_cache_memory_bytes is not None:
        low = high = kv_cache
    else:
        u = report.gpu_memory_utilization
        low = kv_cache - math.isqrt(start.above**2 + round(total_band[0] * u) ** 2)
        high = kv_cache + math.isqrt(start.below**2 + round(total_band[1] * u) ** 2)
    outcome, certain = _outcome(report, start, (low, kv_cache, high), gate_band)
    fails = outcome is not None and _by_cache(high, start.min_kv_band[0], _spare(start)) is not Outcome.STARTED
    return _figures(start, outcome, certain, fails, requested, (low, kv_cache, high))


def _outcome(
    report: CheckReport, start: StartModel, kv: tuple[int, int, int], gate_band: int
) -> tuple[Outcome | None, bool]:
    low, middle, high = kv
    margin, room = report.checks[2].margin_bytes, None
    if start.need.fixed_kv_cache_bytes is not None and report.checks[1].margin_bytes is not None:
        room = report.checks[1].margin_bytes + report.need.headroom_bytes
    if margin is not None:
        margin += report.need.headroom_bytes  # vLLM keeps none
        if margin < 0:
            return Outcome.NOT_ENOUGH_FREE, margin < -10 * MIB or (room is not None and room < -start.below)
    least, most = start.min_kv_band
    floor = start.need.min_kv_cache_bytes
    spare = _spare(start)
    outcome = _by_cache(middle, floor, spare)
    same = _by_cache(low, most, spare) == outcome == _by_cache(high, least, spare)
    if margin is None:
        # Whatever is free, a cache that cannot hold one request keeps vLLM from starting.
        return (None, False) if outcome is Outcome.STARTED else (outcome, same)
    if room is None or outcome is not Outcome.STARTED:
        return outcome, same and margin >= gate_band
    # vLLM takes a pinned cache's word for it: what does not fit beside the others ends out of memory.
    if room < 0:
        return Outcome.NOT_ENOUGH_FREE, room < -start.below
    return outcome, same and margin >= gate_band and room >= start.above


def _spare(start: StartModel) -> int:
    return start.layout.bytes_per_block if start.layout and start.options.rules.reserves_null_block else 0


def _by_cache(kv_cache: int, floor: int, spare: int) -> Outcome:
    if kv_cache - spare <= 0:
        return Outcome.NO_CACHE_BLOCKS
    return Outcome.MAX_LEN_TOO_LONG if kv_cache < floor else Outcome.STARTED


def _figures(
    start: StartModel,
    outcome: Outcome | None,
    certain: bool,
    fails: bool,
    requested: int | None,
    kv: tuple[int, int, int],
) -> Prediction:
    low, middle, high = kv
    layout, length = start.layout, start.max_model_len
    blocks = tokens = concurrency = largest = None
    tokens_band = None
    if layout is not None:
        override = start.options.num_gpu_blocks_override
        # A pinned size that somebody tells of may be a log's, of two decimals.
        off = GIVEN_PRECISION // 2 if start.options.reported and start.options.kv_cache_memory_bytes is not None else 0
        blocks, least, most = (override or layout.num_blocks(size) for size in (middle, low - off, high + off))
        tokens = layout.tokens(blocks, length)
        tokens_band = _token_band(layout, start.options, (least, most), length)
        concurrency = None if length is None else layout.concurrency(blocks, length)
        spare = 1 if start.options.rules.reserves_null_block else 0
        limit = start.facts.max_model_len if start.facts is not None else None
        largest = layout.largest_request(blocks - spare, limit)
    return Prediction(
        outcome=outcome,
        certain=certain,
        requested_bytes=requested,
        kv_cache_bytes=middle,
        kv_cache_band=(low, high),
        kv_tokens=tokens,
        kv_tokens_band=tokens_band,
        num_blocks=blocks,
        max_concurrency=concurrency,
        largest_max_model_len=largest,
        fails_anyway=fails,
    )


def _token_band(
    layout: KvLayout, options: StartOptions, blocks: tuple[int, int], length: int | None
) -> tuple[int, int] | None:
    """Tokens at both ends of the band, over the ways of keeping states and of counting tables that may be meant."""
    layouts = [layout]
    if options.cache.prefix_caching is None:
        layouts += [layout.with_state_blocks(count + options.cache.speculative_tokens) for count in (1, 2)]
    if options.any_release and layout.num_groups > 1:
        layouts.append(replace(layout, token_rule=TokenRule.PER_GROUP))
    told = [one.tokens(count, length) for one in layouts for count in blocks]
    known = [tokens for tokens in told if tokens is not None]
    return (min(known), max(known)) if len(known) == len(told) else None


def gib(size: int) -> str:
    """A size as vLLM's log prints it: GiB with two decimals."""
    return f"{size / GIB:.2f}"
