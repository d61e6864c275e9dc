"""A term measured in one start is no measurement of a start that is set up otherwise, and the estimate says so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.core.kv_options import CacheOptions
from gpu_tui.core.model_facts import ModelFacts
from gpu_tui.core.origins import Origin, OriginKind
from gpu_tui.core.start_inputs import StartInputs, merged, start_options, still_holding
from gpu_tui.core.start_setup import MATTERS, Setup, differences
from gpu_tui.core.start_terms import Given, StartOptions, TermName, terms_of
from gpu_tui.units import GIB

W, A, N, G = TermName.WEIGHTS, TermName.ACTIVATION, TermName.NON_TORCH, TermName.CUDA_GRAPHS
ALL = {W, A, N, G}
LOG = Origin(kind=OriginKind.MEASURED, source="log")
FACTS = ModelFacts(weights_bytes=15 * GIB, vocab_size=152_000, hidden_size=4096, max_model_len=32768)
AWQ = replace(FACTS, quantization="awq")
CARD = ("NVIDIA L4", 24 * GIB)


def measured(**flags: Any) -> StartInputs:
    """A start whose four terms were measured."""
    sizes = {W: 15.0, A: 1.5, N: 0.1, G: 0.7}
    given = {name: Given(size=round(size * GIB), origin=LOG) for name, size in sizes.items()}
    told: dict[str, Any] = {"facts": FACTS, "model": "org/Model-7B", "version": "0.21.0", "given": given} | flags
    return StartInputs(**told).measured_here()


def holding(inputs: StartInputs) -> set[TermName]:
    return set(still_holding(inputs, *CARD)[0])


@pytest.mark.parametrize(
    ("was", "change", "left"),
    [
        pytest.param({}, {}, ALL, id="the-same"),
        pytest.param({}, {"gpu_memory_utilization": 0.3}, ALL, id="utilization"),
        pytest.param({}, {"kv_cache_dtype": "fp8"}, ALL, id="kv-cache-dtype"),
        pytest.param({}, {"max_model_len": 1024}, ALL, id="max-model-len-of-v1"),
        pytest.param({}, {"max_num_seqs": 256}, ALL, id="the-default-said-aloud"),
        pytest.param({"max_num_seqs": 256}, {"max_num_seqs": None}, ALL, id="the-default-left-out"),
        pytest.param({}, {"max_num_seqs": 16}, {W, N}, id="max-num-seqs"),
        pytest.param({}, {"max_num_batched_tokens": 8192}, {W, N, G}, id="batched-tokens"),
        pytest.param({}, {"enforce_eager": True}, {W, N}, id="eager"),
        pytest.param({"enforce_eager": True}, {"enforce_eager": None}, {W, N}, id="eager-no-more"),
        pytest.param({}, {"tensor_parallel_size": 2}, set(), id="tensor-parallel"),
        pytest.param({}, {"tensor_parallel_size": 1}, ALL, id="one-rank-said-aloud"),
        pytest.param({}, {"pipeline_parallel_size": 2}, set(), id="pipeline-parallel"),
        pytest.param({}, {"quantization": "fp8"}, set(), id="quantization"),
        pytest.param({"quantization": "awq_marlin"}, {"quantization": "awq"}, ALL, id="marlin-is-awq"),
        pytest.param({"facts": None, "quantization": "awq_marlin"}, {"quantization": None}, ALL, id="nobody-asks"),
        pytest.param({"facts": AWQ, "quantization": "moe_wna16"}, {"quantization": None}, ALL, id="as-the-files-say"),
        pytest.param({"quantization": "fp8"}, {"quantization": None}, set(), id="no-longer-quantized"),
        pytest.param({"quantization": None}, {"facts": AWQ}, set(), id="other-files"),
        pytest.param({"dtype": "bfloat16"}, {"dtype": "half"}, set(), id="dtype"),
        pytest.param({"dtype": "float16"}, {"dtype": "half"}, ALL, id="half-is-float16"),
        pytest.param({"dtype": "float16"}, {"dtype": "auto"}, ALL, id="auto-as-it-was"),
        pytest.param({}, {"model": "org/Other-7B"}, set(), id="another-model"),
        pytest.param({}, {"model": "/models/model-7b/"}, ALL, id="the-model-s-folder"),
        pytest.param({}, {"model": None}, ALL, id="model-not-told"),
        pytest.param({}, {"version": "0.21.1"}, ALL, id="patch-release"),
        pytest.param({}, {"version": "0.24.0"}, {W, A, N}, id="release"),
        pytest.param({}, {"version": "0.8.5 (V0)"}, {W}, id="engine"),
        pytest.param({}, {"speculative_tokens": 3}, {N}, id="speculative"),
        pytest.param({"version": "0.6.3"}, {"max_model_len": 4096}, {W, N, G}, id="max-model-len-of-v0"),
    ],
)
def test_what_still_holds(was: dict[str, Any], change: dict[str, Any], left: set[TermName]) -> None:
    assert holding(replace(measured(**was), **change)) == left


def test_the_estimate_says_why_it_is_one() -> None:
    inputs = replace(measured(), max_num_seqs=16)
    terms = terms_of(FACTS, start_options(inputs, *CARD), None)
    assert terms is not None
    told = {term.name: term for term in terms}
    assert told[W].origin.kind is OriginKind.MEASURED
    assert told[A].origin.kind is OriginKind.ASSUMED
    assert "not the 1.50 GiB measured, where max_num_seqs 256, planned 16" in told[A].origin.source
    assert "not the 0.70 GiB measured" in told[G].origin.source
    assert "not the" not in told[N].origin.source


def test_what_was_measured_together_holds_together() -> None:
    inputs = measured()
    both = dict(inputs.given)
    both[N] = replace(both[N], size=0, part_of=A)
    inputs = replace(inputs, given=both)
    assert holding(inputs) == ALL
    assert holding(replace(inputs, max_num_seqs=16)) == {W}
    dropped = still_holding(replace(inputs, max_num_seqs=16), *CARD)[1]
    assert "1.50 GiB" in dropped[N]


def test_what_somebody_typed_holds_always() -> None:
    typed = Given(size=GIB, origin=Origin(kind=OriginKind.ASSUMED, source="scenario"))
    inputs = StartInputs(given={A: typed}).measured_here()
    assert inputs.given[A].under is None
    assert holding(replace(inputs, max_num_seqs=1, enforce_eager=True, tensor_parallel_size=8)) == {A}


def test_flags_laid_over_a_measured_start_are_the_plan_s() -> None:
    assert holding(merged(StartInputs(max_num_seqs=16), measured())) == {W, N}
    assert holding(merged(StartInputs(max_model_len=16), measured())) == ALL


def test_without_graphs_nothing_needs_a_reason() -> None:
    options = start_options(replace(measured(), enforce_eager=True), *CARD)
    terms = {term.name: term for term in terms_of(FACTS, options, None) or ()}
    assert terms[G].size == 0
    assert terms[G].origin.source == "--enforce-eager: no CUDA graphs"


def test_a_dropped_term_is_still_known_to_have_been_told() -> None:
    # A log without a release that tells usage but no graphs is from before they were counted, whatever is planned.
    options = StartOptions(
        rules=StartInputs().rules,
        cache=CacheOptions(),
        given={W: Given(size=GIB, origin=LOG)},
        dropped={A: "x", N: "x"},
    )
    assert G not in {term.name for term in terms_of(FACTS, options, None) or ()}


setups = st.builds(
    Setup,
    model=st.sampled_from([None, "a/m", "b/n"]),
    quantization=st.sampled_from([None, "awq", "awq_marlin", "fp8"]),
    dtype=st.sampled_from([None, "auto", "half", "bfloat16"]),
    version=st.sampled_from([None, "0.6.3", "0.11.0", "0.24.1"]),
    tensor_parallel_size=st.sampled_from([None, 1, 2]),
    max_model_len=st.sampled_from([None, 2048, 65536]),
    max_num_seqs=st.sampled_from([None, 16, 256]),
    max_num_batched_tokens=st.sampled_from([None, 2048, 8192]),
    enforce_eager=st.sampled_from([None, False, True]),
    speculative_tokens=st.sampled_from([None, 2]),
)


@given(setups, st.sampled_from(sorted(MATTERS)))
def test_a_start_holds_for_itself(setup: Setup, term: str) -> None:
    whole = setup.resolved(*CARD)
    assert differences(term, whole, whole) == ()
    assert whole.resolved(*CARD) == whole


@given(setups, setups, st.sampled_from(sorted(MATTERS)))
def test_only_what_matters_is_told(one: Setup, other: Setup, term: str) -> None:
    told = differences(term, one.resolved(*CARD), other.resolved(*CARD))
    assert {words.split(" ")[0] for words in told} <= set(MATTERS[term])
