"""Remedies: every one that is offered makes the plan start, and its number is the right one."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_tui.core.checks import ModelNeed
from gpu_tui.core.plan import Plan, starts, starts_for_certain
from gpu_tui.core.remedies import Remedy, RemedyKind, remedies
from gpu_tui.core.remedies_values import largest, smallest
from gpu_tui.core.serve_options import AUTO, options_of
from gpu_tui.core.snapshot import ProcessInfo
from gpu_tui.core.start import Outcome
from gpu_tui.core.start_inputs import StartInputs
from gpu_tui.core.start_terms import TermName
from gpu_tui.core.steps import STEPS
from gpu_tui.units import MIB
from tests.core.layouts import facts_of
from tests.core.plans import exact, plans
from tests.factories import books_of, gpu, kloros, snapshot


def applied(plan: Plan, remedy: Remedy) -> Plan:
    """The plan with what a person does: types the flags, stops the services named."""
    options = options_of(["vllm", "serve", *shlex.split(remedy.flags)])
    told: dict[str, Any] = {
        "max_model_len": options.max_model_len,
        "kv_cache_dtype": options.kv_cache_dtype,
        "enforce_eager": options.enforce_eager,
        "max_num_seqs": options.max_num_seqs,
        "max_num_batched_tokens": options.max_num_batched_tokens,
        "kv_cache_memory_bytes": options.kv_cache_memory_bytes,
    }
    assert options.max_model_len != AUTO
    changed = plan.with_flags(**{name: value for name, value in told.items() if value is not None})
    if options.gpu_memory_utilization is not None:
        changed = changed.at(options.gpu_memory_utilization)
    gone = [service for service in plan.tenants if service.name in remedy.stopped]
    assert len(gone) == len(remedy.stopped)
    return changed.without(gone)


@given(plans())
@settings(max_examples=150)
def test_every_remedy_makes_it_start(plan: Plan) -> None:
    before = plan.judge()
    found = remedies(plan, before)
    assert found == remedies(plan)
    for remedy in found:
        after = applied(plan, remedy).judge()
        assert starts(after), remedy.sentence
        assert starts_for_certain(after) is remedy.certain, remedy.sentence
        assert after.report.valid is not False
        assert after.prediction.outcome is Outcome.STARTED
        assert remedy.sentence.endswith(".")
        assert bool(remedy.flags) or remedy.stopped
    kinds = [remedy.kind for remedy in found]
    if RemedyKind.COMBINED in kinds:
        assert set(kinds) == {RemedyKind.COMBINED}
    else:
        assert len(kinds) == len(set(kinds))
        assert kinds == sorted(kinds, key=list(RemedyKind).index)
    if starts_for_certain(before):
        assert found == ()
    elif starts(before):
        assert all(remedy.certain for remedy in found)


@given(plans())
@settings(max_examples=60)
def test_a_length_or_a_number_could_not_be_larger(plan: Plan) -> None:
    for remedy in remedies(plan):
        if remedy.kind in (RemedyKind.MAX_MODEL_LEN, RemedyKind.MAX_NUM_SEQS, RemedyKind.MAX_NUM_BATCHED_TOKENS):
            value = int(remedy.flags.split()[1])
            now = plan.start()
            assert now is not None
            more = plan.with_flags(**{remedy.kind.value: value + 1}).judge()
            good = starts_for_certain(more) if remedy.certain else starts(more)
            ceiling = {
                RemedyKind.MAX_MODEL_LEN: now.max_model_len,
                RemedyKind.MAX_NUM_SEQS: now.options.max_num_seqs,
                RemedyKind.MAX_NUM_BATCHED_TOKENS: now.options.cache.max_num_batched_tokens,
            }[remedy.kind]
            assert not good or value + 1 == ceiling, remedy.sentence


@given(plans())
@settings(max_examples=60)
def test_the_utilization_is_the_nearest_slider_step(plan: Plan) -> None:
    for remedy in remedies(plan):
        if remedy.kind is not RemedyKind.UTILIZATION:
            continue
        chosen = remedy.plan.gpu_memory_utilization
        u = plan.gpu_memory_utilization
        nearer = chosen - 10 / STEPS if chosen > u else chosen + 10 / STEPS
        if round(chosen * STEPS) % 10 or not 0 < nearer <= 1 or (nearer - u) * (chosen - u) <= 0:
            continue
        between = plan.at(round(nearer * STEPS) / STEPS).judge()
        good = starts_for_certain(between) if remedy.certain else starts(between)
        assert not good


def qwen(u: float, total: float = 24576, free: float | None = None, **flags: Any) -> Plan:
    """Qwen3-8B with exact terms (16.72 GiB in all) on a 24 GiB card."""
    device = gpu(total=total, free=total if free is None else free, cuda_total_bytes=round(total * MIB))
    terms = {
        TermName.WEIGHTS: exact(15.27),
        TermName.ACTIVATION: exact(1.4),
        TermName.NON_TORCH: exact(0.05),
    }
    told = StartInputs(facts=facts_of("qwen3-8b"), version="0.19.1", given=terms, max_model_len=8192)
    return Plan(
        gpu_memory_utilization=u,
        gpu=device,
        books=books_of(snapshot(device)),
        base=ModelNeed(),
        inputs=replace(told, **flags),
    )


def only(plan: Plan, kind: RemedyKind) -> Remedy:
    return next(remedy for remedy in remedies(plan) if remedy.kind is kind)


def test_the_utilization_that_is_enough() -> None:
    # 16.72 GiB of terms and 1.125 of one request: 17.845 of 24 GiB is 0.7436.
    remedy = only(qwen(0.6), RemedyKind.UTILIZATION)
    assert (remedy.flags, remedy.certain) == ("--gpu-memory-utilization 0.744", True)
    assert remedy.sentence.startswith("Raise gpu_memory_utilization from 0.6 to 0.744: KV cache ")


def test_the_utilization_the_others_leave_room_for() -> None:
    # 20 GiB are free; a new engine's context takes up to 600 MiB of it before vLLM looks: 19.41 of 24 GiB.
    remedy = only(qwen(0.9, free=20 * 1024), RemedyKind.UTILIZATION)
    assert (remedy.flags, remedy.certain) == ("--gpu-memory-utilization 0.808", True)
    assert "by the middle estimate 0.8333 is enough" in remedy.sentence


def test_the_longest_length_and_the_cache_in_fp8() -> None:
    plan = qwen(0.9, max_model_len=40_960)
    assert plan.judge().prediction.outcome is Outcome.MAX_LEN_TOO_LONG
    assert only(plan, RemedyKind.MAX_MODEL_LEN).flags == "--max-model-len 35520"
    fp8 = only(plan, RemedyKind.KV_CACHE_DTYPE)
    assert fp8.flags == "--kv-cache-dtype fp8"
    assert "71,056 tokens instead of 35,520" in fp8.sentence
    assert [remedy.kind for remedy in remedies(plan)][:3] == [
        RemedyKind.UTILIZATION,
        RemedyKind.MAX_MODEL_LEN,
        RemedyKind.KV_CACHE_DTYPE,
    ]


def test_eager_only_where_graphs_are_taken_off_the_cache() -> None:
    kinds = {
        version: {remedy.kind for remedy in remedies(qwen(0.765, version=version, given=_with_graphs(1.0)))}
        for version in ("0.19.1", "0.20.2")
    }
    assert RemedyKind.ENFORCE_EAGER in kinds["0.20.2"]
    assert RemedyKind.ENFORCE_EAGER not in kinds["0.19.1"]


def test_the_number_that_is_certain_is_typed_unless_it_is_far_lower() -> None:
    inputs = qwen(0.5).inputs
    assert inputs is not None
    terms = {name: size for name, size in inputs.given.items() if name is not TermName.ACTIVATION}
    roomy, tight = (qwen(u, given=terms, max_model_len=40_960) for u in (0.86, 0.685))
    near = only(roomy, RemedyKind.MAX_MODEL_LEN)
    assert near.certain
    assert "; for certain, by the middle estimate up to " in near.sentence
    far = only(tight, RemedyKind.MAX_MODEL_LEN)
    assert not far.certain
    assert "; by the middle estimate it starts, for certain only with " in far.sentence
    assert int(far.flags.split()[1]) == tight.judge().prediction.largest_max_model_len


def _with_graphs(gib: float) -> dict[TermName, Any]:
    inputs = qwen(0.5).inputs
    assert inputs is not None
    return {**inputs.given, TermName.CUDA_GRAPHS: exact(gib)}


def test_fewer_sequences_and_smaller_batches_where_the_activation_is_estimated() -> None:
    inputs = qwen(0.5).inputs
    assert inputs is not None
    terms = {name: size for name, size in inputs.given.items() if name is not TermName.ACTIVATION}
    plan = qwen(0.73, given=terms, max_num_seqs=400, max_num_batched_tokens=1024)
    seqs = only(plan, RemedyKind.MAX_NUM_SEQS)
    value = int(seqs.flags.removeprefix("--max-num-seqs "))
    assert 200 < value < 400
    more = plan.with_flags(max_num_seqs=value + 1).judge()
    assert not (starts_for_certain(more) if seqs.certain else starts(more))
    # The given activation was measured with the flags as they are: nothing tells what fewer sequences would take.
    given = qwen(0.73, max_num_seqs=1024, max_num_batched_tokens=1024)
    assert RemedyKind.MAX_NUM_SEQS not in {remedy.kind for remedy in remedies(given)}


def test_a_pinned_cache_of_one_request() -> None:
    pinned = only(qwen(0.72), RemedyKind.KV_CACHE_MEMORY)
    assert pinned.flags == f"--kv-cache-memory-bytes {8192 * 147_456}"
    assert RemedyKind.KV_CACHE_MEMORY not in {remedy.kind for remedy in remedies(qwen(0.72, version="0.9.2"))}


def test_the_smallest_tenant_that_is_enough_by_name_and_size() -> None:
    seen = kloros()
    plan = Plan(gpu_memory_utilization=0.88, gpu=seen.gpus[0], books=books_of(seen), base=ModelNeed())
    remedy = only(plan, RemedyKind.STOP_TENANT)
    # 788 MiB are short: kloros holds 952, ollama 1068.
    assert remedy.stopped == ("kloros",)
    assert "kloros (pid 2816503; 952 MiB)" in remedy.sentence
    assert remedy.flags == ""


def test_several_tenants_where_one_is_not_enough() -> None:
    seen = kloros()
    plan = Plan(gpu_memory_utilization=0.95, gpu=seen.gpus[0], books=books_of(seen), base=ModelNeed())
    assert set(only(plan, RemedyKind.STOP_TENANT).stopped) == {"kloros", "ollama"}


def _crowded(orphan: float, second: float, whisper: float) -> Plan:
    infos = [
        ProcessInfo(pid=1, name="systemd", cmdline=("systemd",), ppid=0),
        ProcessInfo(pid=10, name="VLLM::EngineCor", cmdline=("VLLM::EngineCore",), ppid=1),
        ProcessInfo(pid=20, name="vllm", cmdline=("vllm", "serve", "a", "--port", "8001"), ppid=1),
        ProcessInfo(pid=30, name="vllm", cmdline=("vllm", "serve", "b", "--port", "8002"), ppid=1),
        ProcessInfo(pid=40, name="python", cmdline=("python", "-m", "kloros_voice"), ppid=1),
        ProcessInfo(pid=50, name="blender", cmdline=("blender",), ppid=1),
    ]
    device = gpu({10: orphan, 20: second, 30: 100, 40: whisper, 50: 500})
    books = books_of(snapshot(device, infos), restarts=8002)
    need = ModelNeed(model_bytes=2000 * MIB, min_kv_cache_bytes=100 * MIB)
    available = (books.available_bytes or 0) / (12288 * MIB)
    return Plan(gpu_memory_utilization=round(available + 0.03, 3), gpu=device, books=books, base=need)


def test_an_orphan_goes_before_another_vllm_and_that_before_a_service() -> None:
    assert only(_crowded(900, 800, 700), RemedyKind.STOP_TENANT).stopped == ("orphan",)
    assert only(_crowded(100, 800, 700), RemedyKind.STOP_TENANT).stopped == ("vllm:8001",)
    assert only(_crowded(100, 100, 700), RemedyKind.STOP_TENANT).stopped == ("kloros",)
    # What no rule names goes last.
    assert only(_crowded(100, 100, 100), RemedyKind.STOP_TENANT).stopped == ("other",)


def test_two_changes_where_no_single_one_works() -> None:
    plan = qwen(0.6, free=20 * 1024, max_model_len=40_960)
    found = remedies(plan)
    assert {remedy.kind for remedy in found} == {RemedyKind.COMBINED}
    assert found[0].flags.startswith("--gpu-memory-utilization 0.8")
    assert "--max-model-len " in found[0].flags
    assert 1 <= len(found) <= 3


def test_a_model_larger_than_the_card_has_no_remedy() -> None:
    assert remedies(qwen(0.9, total=12288)) == ()


def test_nothing_is_offered_for_a_model_that_nobody_told() -> None:
    """The built-in default stands for no model: a number that made it start would be invented."""
    seen = kloros()
    plan = Plan(gpu_memory_utilization=0.9, gpu=seen.gpus[0], books=books_of(seen), base=ModelNeed(), told=False)
    assert plan.judge().prediction.outcome is Outcome.NOT_ENOUGH_FREE
    assert remedies(plan) == ()
    assert remedies(replace(plan, told=True)) != ()


def test_nothing_is_offered_where_memory_is_unknown() -> None:
    plan = qwen(0.9)
    assert remedies(replace(plan, books=replace(plan.books, free_bytes=None))) == ()


def test_too_close_to_call_offers_only_what_makes_it_certain() -> None:
    inputs = qwen(0.5).inputs
    assert inputs is not None
    wide = {name: size for name, size in inputs.given.items() if name is not TermName.ACTIVATION}
    plan = next(
        case
        for case in (qwen(k / 1000, given=wide) for k in range(700, 900))
        if starts(case.judge()) and not starts_for_certain(case.judge())
    )
    found = remedies(plan)
    assert found
    assert all(remedy.certain for remedy in found)
    assert found[0].kind is RemedyKind.UTILIZATION
    assert found[0].sentence.endswith("; there it starts for certain.")


@pytest.mark.parametrize("limit", [0, 1, 7, 10])
def test_searching_a_threshold(limit: int) -> None:
    calls: list[int] = []

    def below(value: int) -> bool:
        calls.append(value)
        return value <= limit

    assert largest(1, 10, below) == (limit or None)
    assert smallest(1, 10, lambda value: value > limit) == (limit + 1 if limit < 10 else None)
    assert largest(5, 4, below) is smallest(5, 4, below) is None
    calls.clear()
    if limit:
        assert largest(1, 10, below, hint=limit) == limit
        assert len(calls) <= 2


@given(st.integers(-5, 20), st.integers(-5, 20))
def test_a_hint_never_changes_the_answer(limit: int, hint: int) -> None:
    assert largest(0, 10, lambda value: value <= limit, hint) == largest(0, 10, lambda value: value <= limit)
