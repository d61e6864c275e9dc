"""Laws of a predicted start: what the three checks say and what vLLM would do never contradict each other."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gpu_tui.core.checks import ModelNeed, evaluate
from gpu_tui.core.origins import Origin, OriginKind
from gpu_tui.core.plan import Plan
from gpu_tui.core.start import Call, Outcome
from gpu_tui.core.start_inputs import StartInputs, merged, start_options
from gpu_tui.core.start_terms import Given, TermName
from gpu_tui.core.steps import STEPS
from gpu_tui.core.vllm_version import accounting_of
from gpu_tui.units import GIB, MIB
from tests.core.layouts import facts_of
from tests.core.plans import exact, exact_inputs, inputs, plans
from tests.factories import books_of, gpu, machines, sizes, snapshot

CACHE_FAILS = (Outcome.NO_CACHE_BLOCKS, Outcome.MAX_LEN_TOO_LONG)


@given(plans(exact_inputs()))
def test_with_exact_terms_valid_and_started_are_the_same(plan: Plan) -> None:
    judged = plan.judge()
    assert judged.report.valid is (judged.prediction.outcome is Outcome.STARTED)


@given(plans(inputs()))
def test_the_band_holds_the_middle_and_the_cache_what_it_says(plan: Plan) -> None:
    prediction = plan.judge().prediction
    assert prediction.kv_cache_band is not None
    assert prediction.kv_cache_bytes is not None
    low, high = prediction.kv_cache_band
    assert low <= prediction.kv_cache_bytes <= high
    if prediction.kv_tokens_band is not None and prediction.kv_tokens is not None:
        assert prediction.kv_tokens_band[0] <= prediction.kv_tokens <= prediction.kv_tokens_band[1]
    start = plan.start()
    assert start is not None
    if start.layout is not None:
        assert prediction.num_blocks == start.layout.num_blocks(prediction.kv_cache_bytes)


@given(plans(inputs()))
def test_every_term_lies_in_its_band(plan: Plan) -> None:
    start = plan.start()
    assert start is not None
    assert all(term.low <= term.size <= term.high for term in start.terms)
    assert start.need.model_bytes == sum(term.size for term in start.terms)


@given(plans(inputs()), st.integers(1, 1000), st.integers(1, 1000))
def test_more_utilization_only_ever_fails_at_the_gate(plan: Plan, one: int, other: int) -> None:
    low, high = (plan.at(k / 1000).judge().prediction.outcome for k in sorted((one, other)))
    if high in CACHE_FAILS:
        assert low in CACHE_FAILS
        assert not (high is Outcome.NO_CACHE_BLOCKS and low is Outcome.MAX_LEN_TOO_LONG)
    if low is Outcome.NOT_ENOUGH_FREE:
        assert high is Outcome.NOT_ENOUGH_FREE


@given(plans(inputs()))
def test_a_certain_call_holds_at_both_ends_of_the_band(plan: Plan) -> None:
    judged = plan.judge()
    prediction, start = judged.prediction, judged.start
    assert start is not None
    assert prediction.kv_cache_band is not None
    if not prediction.certain or prediction.outcome is Outcome.NOT_ENOUGH_FREE:
        return
    for size in prediction.kv_cache_band:
        fits = size >= start.need.min_kv_cache_bytes
        if start.min_kv_band[0] == start.min_kv_band[1]:
            assert fits is (prediction.outcome is Outcome.STARTED)


@given(plans(inputs()), st.integers(1, 4000))
def test_a_growing_tenant_never_makes_it_start(plan: Plan, more: int) -> None:
    before = plan.judge()
    free = plan.books.free_bytes
    assert free is not None
    assume(free >= more * MIB)
    books = replace(plan.books, free_bytes=free - more * MIB, used_bytes=(plan.books.used_bytes or 0) + more * MIB)
    after = replace(plan, books=books).judge()
    if before.prediction.outcome is not Outcome.STARTED:
        assert after.prediction.outcome is not Outcome.STARTED
    assert before.prediction.kv_cache_bytes is not None
    assert after.prediction.kv_cache_bytes is not None
    assert after.prediction.kv_cache_bytes <= before.prediction.kv_cache_bytes


@given(plans(inputs()))
def test_unknown_free_memory_never_starts_anything(plan: Plan) -> None:
    unknown = replace(plan, books=replace(plan.books, free_bytes=None)).judge()
    assert unknown.prediction.outcome in (None, *CACHE_FAILS)
    assert unknown.prediction.kv_cache_bytes is not None


wide_needs = st.builds(
    ModelNeed,
    model_bytes=sizes,
    min_kv_cache_bytes=sizes,
    startup_overhead_bytes=st.one_of(st.just(0), st.integers(0, 2000 * MIB)),
    on_cuda_total=st.booleans(),
    fixed_kv_cache_bytes=st.one_of(st.none(), sizes),
    counted_others_bytes=st.one_of(st.just(0), sizes),
).map(lambda need: replace(need, counted_others_bytes=min(need.counted_others_bytes, need.model_bytes)))


@given(machines(unknowns=False), wide_needs, st.data())
def test_the_range_and_the_checks_agree_with_a_pinned_cache_and_counted_tenants(
    seen: object, need: ModelNeed, data: st.DataObject
) -> None:
    books = books_of(seen)  # type: ignore[arg-type]
    feasible = evaluate(0.5, books, need).feasible
    near = [] if feasible is None else [feasible.min_steps, feasible.max_steps]
    edges = st.sampled_from([k + d for k in near or [STEPS // 2] for d in (-1, 0, 1)])
    k = data.draw(st.one_of(st.integers(1, STEPS), edges.filter(lambda k: 1 <= k <= STEPS)))
    inside = feasible is not None and feasible.min_steps <= k <= feasible.max_steps
    assert evaluate(k / STEPS, books, need).valid is inside


def pinned(kv_gib: float, free_gib: float, u: float = 0.3, length: int = 4096) -> Plan:
    """Weights 5 GiB, activation 1, on 24 GiB, with a pinned cache."""
    device = gpu(total=24 * 1024, free=free_gib * 1024, cuda_total_bytes=24 * GIB)
    told = StartInputs(
        version="0.19.1",
        given={TermName.WEIGHTS: exact(5), TermName.ACTIVATION: exact(1), TermName.NON_TORCH: exact(0)},
        max_model_len=length,
        kv_cache_memory_bytes=round(kv_gib * GIB),
    )
    return Plan(gpu_memory_utilization=u, gpu=device, books=books_of(snapshot(device)), base=ModelNeed(), inputs=told)


def test_a_pinned_cache_is_what_it_says_whatever_the_utilization() -> None:
    for u in (0.1, 0.3, 0.9):
        assert pinned(8, 24, u).judge().prediction.kv_cache_bytes == 8 * GIB


def test_the_utilization_of_a_pinned_cache_still_decides_the_gate() -> None:
    assert pinned(8, 16, 0.6).judge().prediction.outcome is Outcome.STARTED
    assert pinned(8, 16, 0.7).judge().prediction.outcome is Outcome.NOT_ENOUGH_FREE


def test_a_pinned_cache_that_does_not_fit_beside_the_others_does_not_start() -> None:
    """vLLM takes its word and runs out of memory: 6 + 8 GiB into 12."""
    judged = pinned(8, 12).judge()
    assert judged.prediction.outcome is Outcome.NOT_ENOUGH_FREE
    assert judged.prediction.call is Call.WILL_NOT_START
    assert judged.report.valid is False
    assert pinned(8, 14.7).judge().prediction.call is Call.STARTS
    # Less than a new context's 600 MiB are left.
    assert pinned(8, 14.0, u=0.58).judge().prediction.call is Call.TOO_CLOSE


def test_the_first_to_tell_it_is_believed() -> None:
    origin = Origin(kind=OriginKind.MEASURED, source="test")
    one = StartInputs(max_model_len=10, given={TermName.WEIGHTS: Given(size=1, origin=origin)})
    other = StartInputs(
        max_model_len=20,
        block_size=32,
        given={TermName.WEIGHTS: Given(size=2, origin=origin), TermName.ACTIVATION: Given(size=3, origin=origin)},
    )
    both = merged(one, other)
    assert (both.max_model_len, both.block_size) == (10, 32)
    assert {name: given.size for name, given in both.given.items()} == {TermName.WEIGHTS: 1, TermName.ACTIVATION: 3}
    assert merged(StartInputs(enforce_eager=False), StartInputs(enforce_eager=True)).enforce_eager is False


@given(inputs())
@settings(max_examples=50)
def test_merging_with_itself_or_nothing_changes_nothing(told: StartInputs) -> None:
    assert merged(told, told) == merged(told, StartInputs()) == merged(StartInputs(), told) == told


def test_vllm_s_defaults_fill_what_nobody_tells() -> None:
    options = start_options(StartInputs(version="0.19.1"), "NVIDIA H100 80GB HBM3", 79 * GIB)
    assert (options.cache.max_num_batched_tokens, options.max_num_seqs) == (8192, 1024)
    assert options.rules == accounting_of("0.19.1")
    told = start_options(StartInputs(max_num_seqs=64, max_num_batched_tokens=512), "NVIDIA L4", 22 * GIB)
    assert (told.cache.max_num_batched_tokens, told.max_num_seqs) == (512, 64)
    # No more sequences than tokens of a batch.
    assert start_options(StartInputs(max_num_batched_tokens=32), "NVIDIA L4", 22 * GIB).max_num_seqs == 32


@pytest.mark.parametrize(("version", "counts"), [("0.8.5", True), ("0.9.2", False), ("0.6.6", False), ("0.6.4", True)])
def test_releases_that_count_the_others_as_their_own(version: str, counts: bool) -> None:
    plan = pinned(8, 16)
    assert plan.inputs is not None
    told = replace(plan, inputs=replace(plan.inputs, version=version, kv_cache_memory_bytes=None))
    start = told.start()
    assert start is not None
    others = start.term(TermName.OTHER_TENANTS)
    assert (others is not None and others.size == 8 * GIB) is counts


def test_one_request_is_enough_to_the_byte() -> None:
    plan = qwen_with_cache(8192 * 147_456)
    assert plan.judge().prediction.outcome is Outcome.STARTED
    assert plan.judge().report.valid is True
    short = qwen_with_cache(8192 * 147_456 - 1)
    assert short.judge().prediction.outcome is Outcome.MAX_LEN_TOO_LONG
    assert qwen_with_cache(0).judge().prediction.outcome is Outcome.NO_CACHE_BLOCKS
    # Since 0.30 one block is taken off first.
    assert qwen_with_cache(8192 * 147_456, "0.30.0").judge().prediction.outcome is Outcome.MAX_LEN_TOO_LONG
    assert qwen_with_cache((8192 + 16) * 147_456, "0.30.0").judge().prediction.outcome is Outcome.STARTED
    assert qwen_with_cache(16 * 147_456, "0.30.0").judge().prediction.outcome is Outcome.NO_CACHE_BLOCKS


def qwen_with_cache(size: int, version: str = "0.19.1") -> Plan:
    """Weights such that half of 24 GiB leave exactly so much for the cache."""
    device = gpu(total=24 * 1024, free=24 * 1024, cuda_total_bytes=24 * GIB)
    origin = Origin(kind=OriginKind.MEASURED, source="test")
    terms = {TermName.ACTIVATION: exact(1), TermName.NON_TORCH: exact(0)}
    terms[TermName.WEIGHTS] = Given(size=11 * GIB - size, origin=origin, precision=0)
    told = StartInputs(facts=facts_of("qwen3-8b"), version=version, given=terms, max_model_len=8192, enforce_eager=True)
    return Plan(gpu_memory_utilization=0.5, gpu=device, books=books_of(snapshot(device)), base=ModelNeed(), inputs=told)


def test_the_gate_is_one_byte_wide() -> None:
    plan = qwen_with_cache(8192 * 147_456)
    assert replace(plan, books=replace(plan.books, free_bytes=12 * GIB)).judge().prediction.outcome is Outcome.STARTED
    short = replace(plan, books=replace(plan.books, free_bytes=12 * GIB - 1)).judge()
    assert short.prediction.outcome is Outcome.NOT_ENOUGH_FREE
    assert short.prediction.call is Call.TOO_CLOSE


def test_a_pinned_cache_is_certain_only_where_the_most_that_the_terms_may_take_fits() -> None:
    def told(free: int) -> Plan:
        plan = pinned(8, 24)
        assert plan.inputs is not None
        terms: dict[TermName, Given] = dict(plan.inputs.given)
        del terms[TermName.ACTIVATION]
        books = replace(plan.books, free_bytes=free)
        return replace(plan, books=books, inputs=replace(plan.inputs, given=terms))

    start = told(24 * GIB).start()
    assert start is not None
    assert start.above > 0
    enough = start.need.model_bytes + 8 * GIB
    assert told(enough + start.above).judge().prediction.call is Call.STARTS
    assert told(enough + start.above - 1).judge().prediction.call is Call.TOO_CLOSE
    assert told(enough - start.below).judge().prediction.call is Call.TOO_CLOSE
    assert told(enough - start.below - 1).judge().prediction.call is Call.WILL_NOT_START


@given(plans(inputs()))
def test_what_will_not_start_does_not_start_with_the_most_cache_either(plan: Plan) -> None:
    judged = plan.judge()
    start, band = judged.start, judged.prediction.kv_cache_band
    assert start is not None
    assert band is not None
    if judged.prediction.call is Call.WILL_NOT_START and judged.prediction.outcome in CACHE_FAILS:
        assert band[1] < start.need.min_kv_cache_bytes or start.min_kv_band[0] < start.min_kv_band[1]
    if judged.prediction.call is Call.TOO_CLOSE and judged.prediction.outcome in CACHE_FAILS:
        assert band[1] >= start.min_kv_band[0]
