"""What the slider draws of a prediction, and the words for it. Laws against the judgement of every step."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gpu_tui.core.cache_info import CacheInfo
from gpu_tui.core.checks import ModelNeed
from gpu_tui.core.model_facts import LayerGroup, LayerKind, ModelFacts
from gpu_tui.core.origins import Origin, OriginKind
from gpu_tui.core.remedies import remedies
from gpu_tui.core.services import Classifier
from gpu_tui.core.start import Call, Outcome
from gpu_tui.core.start_inputs import StartInputs
from gpu_tui.core.start_terms import Given, TermName
from gpu_tui.core.vllm_errors import error_text
from gpu_tui.core.what_to_type import Flag, Recipe, RecipeKind, WhatToType
from gpu_tui.errors import UsageError
from gpu_tui.telemetry.scenario import load_scenario, snapshot_at
from gpu_tui.units import GIB, MIB
from gpu_tui.view.bands import STEPS
from gpu_tui.view.compare_start import compared_lines
from gpu_tui.view.explain_start import start_lines
from gpu_tui.view.explorer import Explorer
from gpu_tui.view.flags import flag_texts, parse_flags
from gpu_tui.view.spans import plain
from gpu_tui.view.track import CLOSE, INSIDE, OUTSIDE, THUMB, cell_of, legend, track
from gpu_tui.view.typed import lay_out
from gpu_tui.view.verdict import verdict_words
from tests.core.test_server_memory import ENGINE, SEEN, server_plan
from tests.factories import gpu, info, kloros, need, snapshot

PREDICT = snapshot_at(load_scenario("predict"), 0)
FILES = Origin(kind=OriginKind.DERIVED, source="headers")
LOG = Origin(kind=OriginKind.MEASURED, source="log file", age_s=12.0)
NON_TORCH, GRAPHS = TermName.NON_TORCH, TermName.CUDA_GRAPHS


def predicted(permille: int = 840) -> Explorer:
    made = Explorer(classifier=Classifier(), need=ModelNeed(), permille=permille)
    made.see(PREDICT)
    made.set_known(PREDICT.start)
    return made


def model(weights_gib: float, kv_heads: int) -> ModelFacts:
    group = LayerGroup(kind=LayerKind.FULL, layers=tuple(range(32)), kv_heads=kv_heads, head_dim=128)
    return ModelFacts(
        name="made",
        groups=(group,),
        num_layers=32,
        hidden_size=4096,
        vocab_size=128_256,
        max_model_len=131_072,
        dtype="bfloat16",
        weights_bytes=round(weights_gib * GIB),
        weights_origin=FILES,
    )


starts = st.builds(
    StartInputs,
    facts=st.builds(model, st.floats(0.5, 30), st.sampled_from([1, 8, 32])),
    version=st.sampled_from([None, "0.33.0", "0.19.1", "0.9.0", "0.8.5 (V0)"]),
    max_model_len=st.sampled_from([None, 512, 8192, 65_536]),
    enforce_eager=st.booleans(),
    kv_cache_memory_bytes=st.sampled_from([None, None, 2 * GIB]),
)


# A pinned cache that fits nowhere: the start gate's own doubt, where it is a few MiB short, is no way out.
@example(
    inputs=StartInputs(facts=model(4.0, 1), max_model_len=512, enforce_eager=False, kv_cache_memory_bytes=2 * GIB),
    total=6000,
    held=0.015625,
    split=False,
)
@settings(max_examples=30, deadline=None)
@given(starts, st.integers(6_000, 80_000), st.floats(0, 0.6), st.booleans())
def test_the_zones_are_what_every_step_is_judged(inputs: StartInputs, total: int, held: float, split: bool) -> None:
    seen = snapshot(gpu({1: total * held}, total=total, reserved=300 if split else None), [info(1)])
    made = Explorer(classifier=Classifier(), need=need())
    made.see(seen)
    made.set_known(inputs)
    zones = made.bands()
    assert zones is not None
    edges = [end for zone in (*zones.close, *([zones.starts] if zones.starts else [])) for end in zone]
    steps = {*range(1, STEPS + 1, 41), *edges, *(e - 1 for e in edges), *(e + 1 for e in edges)}
    for step in sorted(step for step in steps if 1 <= step <= STEPS):
        made.set_permille(step)
        one = made.judgement()
        assert one is not None
        call = one.prediction.call
        assert (call is Call.STARTS) == (zones.starts is not None and zones.starts[0] <= step <= zones.starts[1]), step
        assert (call is Call.TOO_CLOSE) == any(low <= step <= high for low, high in zones.close), step


def test_what_cannot_hold_one_request_at_any_end_of_the_band_will_not_start() -> None:
    calls = []
    for step in range(640, 713, 4):
        made = predicted(step)
        one = made.judgement()
        assert one is not None
        calls.append((one.prediction.call, one.prediction.certain))
    assert {call for call, _ in calls} == {Call.WILL_NOT_START}
    assert {certain for _, certain in calls} == {True, False}, "how it fails is open near the edge of the two failures"


@given(st.integers(1, STEPS), st.integers(30, 200))
def test_the_track_tells_the_zones_without_colour(step: int, cells: int) -> None:
    made = predicted(step)
    zones, feasible = made.bands(), made.feasible_permille()
    assert zones is not None
    assert zones.starts is not None
    drawn = plain(track(step, feasible, cells, zones))
    assert len(drawn) == cells
    assert drawn.count(THUMB) == 1
    close = {i for low, high in zones.close for i in range(cell_of(low, cells), cell_of(high, cells) + 1)}
    for i, sign in enumerate(drawn):
        if sign == CLOSE:
            assert i in close
        elif sign == OUTSIDE:
            assert i not in close
    if cells >= 100:
        assert CLOSE in drawn
        assert INSIDE in drawn
    said = plain(legend(zones, predicted=True))
    assert f"starts {zones.starts[0] / 1000:.3f}–{zones.starts[1] / 1000:.3f}" in said
    assert "▒ too close to call" in said


def test_the_label_never_hides_what_is_too_close() -> None:
    made = Explorer(classifier=Classifier(), need=need(model_origin=FILES))
    made.see(kloros())
    zones, feasible = made.bands(), made.feasible_permille()
    assert zones is not None
    assert feasible == (494, 815)
    assert zones.starts == (494, 767)
    for cells in range(60, 180):
        assert CLOSE in plain(track(400, feasible, cells, zones))
    assert "feasible 0.494–0.815" in plain(track(400, feasible, 105, zones))


def test_the_known_numbers_stay_those_of_the_contract() -> None:
    made = Explorer(classifier=Classifier(), need=need(model_origin=FILES), permille=400)
    made.see(kloros())
    one = made.judgement()
    assert one is not None
    assert round((one.report.deficit_bytes or 0) / MIB, 1) == 1154.8
    assert one.report.feasible is not None
    assert (one.report.feasible.min, one.report.feasible.max) == (0.494, 0.8159)
    assert one.prediction.outcome is Outcome.NO_CACHE_BLOCKS
    words = verdict_words(one, None, made.nearest_feasible())
    told = "VLLM allocation (4915MB) too small for model+cache (need 6070MB, deficit: 1155MB)"
    assert plain(words.headline) == f" ✗ INVALID  {told}"
    assert plain(words.short) == "   ✗ no_cache_blocks → f moves to 0.494"


def test_f_is_named_only_where_it_goes_to_what_is_advised() -> None:
    for step, named in ((400, True), (900, False)):
        made = Explorer(classifier=Classifier(), need=need(model_origin=FILES), permille=step)
        made.see(kloros())
        one, plan = made.judgement(), made.plan()
        assert one is not None
        assert plan is not None
        best = remedies(plan, one)[0]
        told = [plain(row) for row in verdict_words(one, None, made.nearest_feasible(), remedy=best).rows]
        assert any("f moves to" in row for row in told) is named
        assert any(best.sentence in row for row in told)


def test_nothing_is_predicted_from_the_built_in_figures() -> None:
    made = Explorer(classifier=Classifier(), need=ModelNeed(), permille=990)
    made.see(kloros())
    assert (made.predicts, made.bands()) == (False, None)
    one = made.judgement()
    words = verdict_words(one, None, made.nearest_feasible(), predicts=made.predicts)
    assert "will not start" not in plain(words.short)
    assert all("not_enough" not in plain(row) for row in words.rows)


@pytest.mark.parametrize(
    ("step", "badge", "row"),
    [
        (840, "✓ VALID, STARTS", "✓ starts: KV cache"),
        (760, "≈ VALID, TOO CLOSE TO CALL", "≈ too close to call: likely starts, KV cache"),
        (730, "≈ INVALID, TOO CLOSE TO CALL", "≈ too close to call: likely max_len_too_long"),
        (600, "✗ INVALID, WILL NOT START", "✗ no_cache_blocks: “No available memory"),
        (990, "✗ INVALID, WILL NOT START", "✗ not_enough_free: “"),
        (905, "≈ VALID, TOO CLOSE TO CALL", "≈ too close to call: "),
    ],
)
def test_the_call_stands_in_badge_and_row(step: int, badge: str, row: str) -> None:
    made = predicted(step)
    one, plan = made.judgement(), made.plan()
    assert one is not None
    assert plan is not None
    words = verdict_words(one, None, made.nearest_feasible(), error=error_text(one, plan.rules))
    assert plain(words.headline).startswith(f" {badge} ")
    assert row in plain(words.rows[0])


def test_f_goes_to_what_certainly_starts() -> None:
    made = predicted(730)
    zones = made.bands()
    assert zones is not None
    assert zones.starts is not None
    assert made.nearest_feasible() == zones.starts[0]
    made.set_permille(990)
    assert made.nearest_feasible() == zones.starts[1]


def test_every_term_is_explained_with_band_kind_and_source() -> None:
    made = predicted(760)
    one = made.judgement()
    assert one is not None
    assert one.start is not None
    told = "\n".join(plain(line) for line in start_lines(one, "words of vLLM", ()))
    for term in one.start.terms:
        assert f"− {term.name.replace('_', ' ')}" in told
        assert term.origin.source[:40] in told
    for words in ("words of vLLM", "requested", "KV cache left", "least KV cache", "tokens", "blocks", "of 16 tokens"):
        assert words in told
    for words in ("36 × full attention, 8 KV heads of 128", "largest max_model_len", "requests at once", "assumed:"):
        assert words in told
    assert "None" not in told


def test_measured_terms_stand_beside_what_would_have_been_predicted() -> None:
    given_terms = {
        TermName.WEIGHTS: Given(size=round(15.28 * GIB), origin=LOG),
        TermName.NON_TORCH: Given(size=9 * GIB, origin=LOG),
    }
    assert PREDICT.start is not None
    made = predicted(840)
    made.set_known(replace(PREDICT.start, given=given_terms))
    plan = made.plan()
    assert plan is not None
    read = Origin(kind=OriginKind.MEASURED, source="NVML", age_s=1.0)
    rows = [plain(line) for line in compared_lines(plan, None, None, read)]
    weights = next(row for row in rows if row.startswith("weights"))
    other = next(row for row in rows if row.startswith("non torch"))
    assert "✓ inside" in weights
    assert "✗ outside" in other
    assert sum("measured: log file, 12 s ago" in row for row in rows) == 2
    made.set_known(PREDICT.start)
    plan = made.plan()
    assert plan is not None
    assert compared_lines(plan, None, None, read) == []


def test_terms_measured_together_stand_against_what_is_predicted_of_them_together() -> None:
    within = {name: Given(size=0, origin=LOG, precision=0, part_of=TermName.ACTIVATION) for name in (NON_TORCH, GRAPHS)}
    seen = replace(SEEN, version="0.21.0")
    start = server_plan(replace(seen, given={}), 0.9).start()
    assert start is not None
    three = [start.term(name) for name in (TermName.ACTIVATION, NON_TORCH, GRAPHS)]
    size = sum(term.size for term in three if term is not None)
    given_terms = {TermName.ACTIVATION: Given(size=size, origin=LOG), **within}
    read = Origin(kind=OriginKind.MEASURED, source="NVML", age_s=1.0)
    told = [
        plain(line) for line in compared_lines(server_plan(replace(seen, given=given_terms), 0.9), None, None, read)
    ]
    assert told[1].startswith(f"activation              {size / MIB:>11.0f}  measured; predicted {size / MIB:.0f} (")
    assert told[1].endswith("✓ inside")
    assert [line.split() for line in told[3:5]] == [
        ["non", "torch", "measured", "within", "activation"],
        ["cuda", "graphs", "measured", "within", "activation"],
    ]


def test_what_the_servers_processes_hold_stands_beside_the_prediction_with_its_source() -> None:
    plan = server_plan(replace(SEEN, given={}), 0.9, used_mib=73_900)
    read = Origin(kind=OriginKind.MEASURED, source="NVML 550.54", age_s=1.2)
    lines = compared_lines(plan, None, CacheInfo(engines=(ENGINE,)), read)
    told = [plain(line) for line in lines]
    at = next(i for i, line in enumerate(told) if line.startswith("all but the KV cache"))
    assert "17432  measured; predicted " in told[at]
    assert told[at].endswith("✓ inside")
    assert told[at + 1].strip() == (
        "measured: NVML 550.54: its process holds 73900 − KV cache 56468 (28,234 blocks by its metrics), 1 s ago"
    )
    leaking = server_plan(replace(SEEN, given={}, max_num_seqs=16), 0.9, used_mib=80_000)
    assert any("✗ outside" in plain(line) for line in compared_lines(leaking, None, CacheInfo(engines=(ENGINE,)), read))


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("max_model_len", "8K", "max_model_len", 8192),
        ("max_model_len", "auto", "fit_max_model_len", True),
        ("kv_cache_dtype", "FP8", "kv_cache_dtype", "fp8"),
        ("max_num_seqs", "64", "max_num_seqs", 64),
        ("tensor_parallel_size", "2", "tensor_parallel_size", 2),
        ("version", "0.19.1", "version", "0.19.1"),
        ("enforce_eager", "yes", "enforce_eager", True),
        ("enforce_eager", "no", "enforce_eager", False),
    ],
)
def test_typed_flags(name: str, text: str, field: str, value: object) -> None:
    assert getattr(parse_flags({name: text}), field) == value
    assert parse_flags({}) == StartInputs()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("max_model_len", "long"),
        ("max_model_len", "0"),
        ("kv_cache_dtype", "fp3"),
        ("max_num_seqs", "-1"),
        ("tensor_parallel_size", "two"),
        ("version", "new"),
        ("enforce_eager", "maybe"),
    ],
)
def test_flags_that_mean_nothing_say_what_is_allowed(name: str, text: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_flags({name: text})
    assert text in str(raised.value)
    assert raised.value.remedy


def test_flags_survive_being_shown() -> None:
    typed = {"max_model_len": "4096", "kv_cache_dtype": "fp8", "max_num_seqs": "8", "tensor_parallel_size": "2"}
    typed |= {"version": "0.20.2", "enforce_eager": "no"}
    assert flag_texts(parse_flags(typed)) == typed
    assert flag_texts(parse_flags({"max_model_len": "auto"}))["max_model_len"] == "auto"


def test_each_block_to_type_has_a_key_and_stands_as_it_is() -> None:
    drop_in = "[Service]\nExecStart=\nExecStart=/opt/vllm serve m"
    recipe = Recipe(
        kind=RecipeKind.SYSTEMD, title="Drop-in", path="/etc/x.conf", text=drop_in, apply="a b", undo="rm /etc/x.conf"
    )
    what = WhatToType(
        flags=(Flag(name="--max-model-len", value="4096", now="8192"), Flag(name="--enforce-eager", value=None)),
        pinned=Flag(name="--kv-cache-memory-bytes", value="123", note="why"),
        recipes=(recipe,),
    )
    laid = lay_out(what, "starts", running=True)
    assert laid.blocks == {
        "y": "--max-model-len 4096 --enforce-eager",
        "1": "--kv-cache-memory-bytes 123",
        "2": drop_in,
        "3": "a b",
        "4": "rm /etc/x.conf",
    }
    told = "\n".join(plain(line) for line in laid.lines)
    assert drop_in in told
    assert "(now 8192)" in told
    empty = lay_out(WhatToType(flags=(), pinned=None, recipes=()), "starts", running=True)
    assert empty.blocks == {}
    assert any("has these flags already" in plain(line) for line in empty.lines)
