"""What past starts teach: tables for which starts count, laws for the figures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gpu_tui.core.checks import ModelNeed
from gpu_tui.core.learned import Learned, PastStart, Seen, learn
from gpu_tui.core.model_facts import ModelFacts
from gpu_tui.core.origins import Origin, OriginKind
from gpu_tui.core.plan import Plan
from gpu_tui.core.start_inputs import StartInputs, start_options
from gpu_tui.core.start_setup import Setup
from gpu_tui.core.start_terms import Correction, Given, Term, TermName, terms_of
from gpu_tui.units import GIB, MIB
from tests.core.layouts import facts_of
from tests.factories import books_of, gpu, snapshot

W, A, N, G = TermName.WEIGHTS, TermName.ACTIVATION, TermName.NON_TORCH, TermName.CUDA_GRAPHS
CARD = ("NVIDIA L4", 24 * GIB)
SETUP = Setup(model="org/m", version="0.21.0", max_model_len=8192)
FACTS = ModelFacts(name="org/m", weights_bytes=15 * GIB, vocab_size=152_000, hidden_size=4096, max_model_len=8192)


def past(missed: float = 0.0, *, setup: Setup = SETUP, **fields: Any) -> PastStart:
    """A start on the L4 whose activation took `missed` GiB more than predicted."""
    told: dict[str, Any] = {
        "setup": setup,
        "gpu_name": CARD[0],
        "gpu_total_bytes": CARD[1],
        "predicted": {W: 15 * GIB, A: GIB, N: GIB // 4, G: GIB // 2},
        "measured": {W: 15 * GIB, A: GIB + round(missed * GIB), N: GIB // 4, G: GIB // 2},
        "requested_bytes": 20 * GIB,
        "kv_cache_bytes": 3 * GIB,
        "started": True,
    }
    return PastStart(**(told | fields))


def lesson(*starts: PastStart, planned: Setup = SETUP, card: tuple[str, int] = CARD) -> Learned:
    found = learn(starts, planned, *card)
    assert found is not None
    return found


def test_the_median_and_how_many() -> None:
    told = lesson(past(0.3), past(0.1), past(0.31))
    assert (told.model, told.starts) == ("org/m", 3)
    one = told.corrections[A]
    assert (one.size / GIB, one.starts) == (pytest.approx(0.3, abs=1e-6), 3)
    assert one.spread / GIB == pytest.approx(0.2, abs=1e-6)
    assert {name: told.corrections[name].size for name in (W, N, G)} == {W: 0, N: 0, G: 0}


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"model": "org/other"}, id="model"),
        pytest.param({"model": None}, id="no-model"),
        pytest.param({"quantization": "fp8"}, id="quantization"),
        pytest.param({"dtype": "float32"}, id="dtype"),
        pytest.param({"tensor_parallel_size": 2}, id="tensor-parallel"),
        pytest.param({"version": "0.8.5 (V0)"}, id="engine"),
    ],
)
def test_starts_of_something_else_teach_nothing(other: dict[str, Any]) -> None:
    planned = replace(SETUP, quantization="none", dtype="bfloat16")
    strange = past(setup=replace(planned, **other))
    assert learn([strange], planned, *CARD) is None
    assert lesson(strange, past(0.2, setup=planned), planned=planned).starts == 1


def test_nothing_is_learned_of_nothing() -> None:
    assert learn([], SETUP, *CARD) is None
    assert learn([past()], replace(SETUP, model=None), *CARD) is None
    assert learn([past(predicted={}, requested_bytes=None, started=False)], SETUP, *CARD) is None


def test_the_nearest_flags_count_for_each_term() -> None:
    few = replace(SETUP, max_num_seqs=16)
    starts = [past(0.1), past(0.5, setup=few), past(0.7, setup=few)]
    told = lesson(*starts, planned=few)
    assert (told.corrections[A].size / GIB, told.corrections[A].starts) == (pytest.approx(0.6), 2)
    assert told.corrections[W].starts == 3  # weights do not depend on it
    eager = replace(few, enforce_eager=True)
    assert lesson(*starts, planned=eager).corrections[A].starts == 2  # one flag off, the first two


def test_the_same_card_is_nearer_than_another() -> None:
    far = past(0.9, gpu_name="NVIDIA A10")
    assert lesson(past(0.1), far).corrections[A].size == round(0.1 * GIB)
    assert lesson(far).corrections[A].size == round(0.9 * GIB)


def test_activation_measured_with_non_torch_memory() -> None:
    both = past(measured={W: 15 * GIB, A: 2 * GIB}, inside=frozenset({N}))
    told = lesson(both)
    assert told.corrections[A].size == 2 * GIB - GIB - GIB // 4
    assert N not in told.corrections
    # One start that tells them apart is better than any number that do not.
    assert lesson(both, both, past(0.1)).corrections[A] == Correction(size=round(0.1 * GIB), spread=0, starts=1)


def test_what_the_model_took_and_the_least_cache() -> None:
    told = lesson(past(), past(kv_cache_bytes=2 * GIB), past(kv_cache_bytes=GIB, started=False))
    assert told.model_bytes is not None
    assert (told.model_bytes.size, told.model_bytes.starts) == (19 * GIB, 3)
    assert told.min_kv_cache_bytes is not None
    assert (told.min_kv_cache_bytes.size, told.min_kv_cache_bytes.starts) == (2 * GIB, 2)
    fixed = lesson(past(kv_cache_bytes=GIB, kv_cache_fixed=True))
    assert fixed.model_bytes is None
    assert fixed.min_kv_cache_bytes is not None


def test_a_cache_that_served_shorter_requests_proves_nothing() -> None:
    short = past(setup=replace(SETUP, max_model_len=1024), kv_cache_bytes=GIB)
    assert lesson(short).min_kv_cache_bytes is None
    long = past(setup=replace(SETUP, max_model_len=32768), kv_cache_bytes=2 * GIB)
    told = lesson(short, long).min_kv_cache_bytes
    assert told is not None
    assert told.size == 2 * GIB
    anyhow = lesson(short, long, planned=replace(SETUP, max_model_len=None)).min_kv_cache_bytes
    assert anyhow is not None
    assert anyhow.size == GIB


@given(st.integers(1, 10**7), st.integers(1, 10**6), st.integers(1, 2**18), st.integers(1, 2**24))
def test_one_request_s_share_is_enough_and_never_more_than_the_whole(
    blocks: int, tokens_per_block: int, length: int, block_bytes: int
) -> None:
    assume(blocks * tokens_per_block >= length)
    size = blocks * block_bytes
    ran = past(
        setup=replace(SETUP, max_model_len=length),
        kv_cache_bytes=size,
        kv_tokens=blocks * tokens_per_block,
        num_blocks=blocks,
    )
    enough = ran.enough_bytes
    assert enough is not None
    assert enough <= size
    needed = -(-length // tokens_per_block) * block_bytes  # as vLLM counts it: whole blocks
    assert needed <= enough <= needed + 3 * block_bytes


@pytest.mark.parametrize("fields", [{"kv_tokens": None}, {"kv_tokens": 0}, {"kv_tokens": 8191}])
def test_without_tokens_the_whole_cache_is_what_was_enough(fields: dict[str, Any]) -> None:
    assert past(**fields).enough_bytes == 3 * GIB
    assert past(started=False, kv_tokens=10**6).enough_bytes is None
    assert past(kv_tokens=10**6, setup=replace(SETUP, max_model_len=None)).enough_bytes == 3 * GIB


def test_hand_set_figures() -> None:
    need = lesson(past()).applied_to_need(ModelNeed())
    assert (need.model_bytes, need.min_kv_cache_bytes, need.on_cuda_total) == (17 * GIB, 3 * GIB, True)
    assert need.model_origin.kind is need.min_kv_cache_origin.kind is OriginKind.MEASURED
    assert need.model_origin.source == "learned from 1 start of org/m: the most it took"
    nothing = Learned(model="m", starts=0, corrections={})
    assert nothing.applied_to_need(ModelNeed()) == ModelNeed()


def terms(inputs: StartInputs) -> dict[TermName, Term]:
    return {term.name: term for term in terms_of(FACTS, start_options(inputs, *CARD), None) or ()}


PLAIN = StartInputs(facts=FACTS, version="0.21.0", max_model_len=8192)


def test_never_without_being_asked() -> None:
    assert terms(PLAIN) == terms(replace(PLAIN, learned={}))
    assert all("learned" not in term.origin.source for term in terms(PLAIN).values())


def test_an_estimate_is_corrected_and_a_measurement_is_not() -> None:
    measured = {A: Given(size=GIB, origin=Origin(kind=OriginKind.MEASURED, source="log"))}
    told = lesson(past(0.3), past(0.3)).applied_to(replace(PLAIN, given=measured))
    assert terms(told)[A].size == GIB
    told = lesson(past(0.3), past(0.3)).applied_to(PLAIN)
    one, plain = terms(told)[A], terms(PLAIN)[A]
    assert one.size == plain.size + round(0.3 * GIB)
    assert one.origin.kind is OriginKind.MEASURED
    assert one.origin.source.startswith("learned from 2 starts: +0.30 GiB on: estimated")
    eager = terms(replace(told, enforce_eager=True))
    assert eager[G].size == 0


def test_what_one_request_took_counts_where_the_layers_do_not_tell_it() -> None:
    told = lesson(past(kv_tokens=98_304), past())
    assert told.request_bytes == Seen(size=GIB // 4, starts=1)
    seen = snapshot(gpu(total=24 * 1024))
    plan = Plan(gpu_memory_utilization=0.9, gpu=seen.gpus[0], books=books_of(seen), base=ModelNeed(), inputs=PLAIN)
    guessed = plan.start()
    assert guessed is not None
    assert guessed.need.min_kv_cache_origin.kind is OriginKind.ASSUMED
    assert told.changing(guessed) is not None
    start = replace(plan, inputs=told.applied_to(PLAIN)).start()
    assert start is not None
    assert (start.need.min_kv_cache_bytes, start.min_kv_band[1]) == (GIB // 4, GIB // 4)
    assert start.need.min_kv_cache_origin.source == "learned from 1 start: what one request took"
    own = replace(plan, inputs=replace(PLAIN, min_kv_cache_bytes=GIB))
    for exact in (own, replace(plan, inputs=replace(PLAIN, facts=facts_of("llama-3.1-8b")))):
        before = exact.start()
        assert before is not None
        after = replace(exact, inputs=told.applied_to(exact.inputs)).start()
        assert after is not None
        assert after.need.min_kv_cache_bytes == before.need.min_kv_cache_bytes
        useful = told.changing(before)
        assert useful is None or useful.request_bytes is None


misses = st.lists(st.integers(-2 * GIB, 2 * GIB), min_size=1, max_size=12)


@given(misses, st.randoms(use_true_random=False))
def test_the_order_does_not_matter(told: list[int], drawn: Any) -> None:
    starts = [past(miss / GIB, kv_cache_bytes=GIB + abs(miss)) for miss in told]
    before = lesson(*starts)
    drawn.shuffle(starts)
    assert lesson(*starts) == before


@given(st.integers(1, 12))
def test_exact_predictions_correct_nothing(count: int) -> None:
    told = lesson(*[past()] * count)
    assert {one.size for one in told.corrections.values()} == {0}
    corrected, plain = terms(told.applied_to(PLAIN)), terms(PLAIN)
    for name, term in corrected.items():
        assert term.size == plain[name].size
        assert plain[name].low <= term.low <= term.size <= term.high <= plain[name].high


@given(misses, st.integers(0, 4 * GIB))
def test_the_band_holds_all_that_was_seen(told: list[int], side: int) -> None:
    one = lesson(*[past(miss / GIB) for miss in told]).corrections[A]
    seen = [past(miss / GIB).missed(A) for miss in told]
    assert all(miss is not None and abs(miss - one.size) <= one.band(side) for miss in seen)


@given(st.integers(-2 * GIB, 2 * GIB), st.integers(2, 30), st.integers(MIB, 4 * GIB))
def test_one_start_narrows_nothing_and_like_ones_narrow_more_and_more(miss: int, count: int, side: int) -> None:
    bands = [lesson(*[past(miss / GIB)] * n).corrections[A].band(side) for n in (1, count, count + 1)]
    assert bands[0] == side
    assert bands[0] > bands[1] >= bands[2]


@given(misses, st.integers(0, GIB))
def test_one_more_like_the_rest_never_widens(told: list[int], side: int) -> None:
    one = lesson(*[past(miss / GIB) for miss in told]).corrections[A]
    assume(len(told) % 2 == 1)  # the median is one of them, and stays
    again = lesson(*[past(miss / GIB) for miss in (*told, one.size)]).corrections[A]
    assert again.size == pytest.approx(one.size, abs=1)
    assert again.band(side) <= max(one.band(side), one.spread) + 1
