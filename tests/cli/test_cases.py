"""``check --scenario -``: cases as JSON lines, each answered in its place."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpu_tui.cli import cases
from gpu_tui.config import Settings

CONFIGS = Path(__file__).parents[1] / "core" / "data" / "configs"
QWEN = json.loads((CONFIGS / "qwen3-8b.json").read_text())
CARD = {"name": "NVIDIA GeForce RTX 4090", "total_mib": 24146, "free_mib": 23600}
FLAGS = {"version": "0.19.1", "gpu_memory_utilization": 0.9, "max_model_len": 8192}
TERMS = {"config": QWEN, "weights_mib": 15636.5, "activation_mib": 1433.6, "non_torch_mib": 51.2}

KEYS = {
    "id",
    "outcome",
    "outcome_certain",
    "call",
    "error_text",
    "requested_mib",
    "kv_cache_mib",
    "kv_cache_band_mib",
    "kv_tokens",
    "kv_tokens_band",
    "num_blocks",
    "max_concurrency",
    "largest_max_model_len",
    "terms",
    "remedies",
    "valid",
    "reason",
    "checks",
    "feasible",
}


def answered(
    capsys: pytest.CaptureFixture[str], told: Iterable[Any], util: float | None = None
) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and one answer a line; what is no string is written as JSON."""
    lines = [(line if isinstance(line, str) else json.dumps(line)).encode() + b"\n" for line in told]
    code = cases.answer(iter(lines), Settings(), util)
    out, err = capsys.readouterr()
    assert err == ""
    return code, [json.loads(line) for line in out.splitlines()]


def case(name: str = "a", **changes: Any) -> dict[str, Any]:
    return {"id": name, "gpu": CARD, "model": TERMS, "vllm": FLAGS} | changes


def test_answers_stand_in_the_order_of_the_cases_with_their_ids(capsys: pytest.CaptureFixture[str]) -> None:
    utils = [0.9, 0.3, 0.75, 0.99]
    told = [case(f"c{i}", vllm=FLAGS | {"gpu_memory_utilization": u}) for i, u in enumerate(utils)]
    code, got = answered(capsys, [*told, case("7") | {"id": 7}])
    assert code == 0
    assert [one["id"] for one in got] == ["c0", "c1", "c2", "c3", 7]
    assert [one["gpu_memory_utilization"] for one in got] == [*utils, 0.9]
    assert [one["outcome"] for one in got[:4]] == ["started", "no_cache_blocks", "max_len_too_long", "not_enough_free"]
    assert all(one.keys() >= KEYS for one in got)


def test_a_case_with_all_its_terms(capsys: pytest.CaptureFixture[str]) -> None:
    _, (told,) = answered(capsys, [case()])
    assert told["requested_mib"] == 21731.4
    assert told["kv_cache_mib"] == 4610.1
    # 4610.1 MiB in blocks of 16 tokens, 2.25 MiB each.
    assert (told["num_blocks"], told["kv_tokens"], told["largest_max_model_len"]) == (2048, 32_768, 32_768)
    assert told["max_concurrency"] == 4.0
    assert {term["name"]: term["mib"] for term in told["terms"]} == {
        "weights": 15636.5,
        "activation": 1433.6,
        "non_torch": 51.2,
    }
    assert (told["call"], told["outcome_certain"], told["error_text"], told["remedies"]) == ("starts", True, None, [])
    assert told["kv_cache_band_mib"]["low"] <= told["kv_cache_mib"] <= told["kv_cache_band_mib"]["high"]


def test_a_start_that_fails_says_so_in_vllm_s_words_and_what_helps(capsys: pytest.CaptureFixture[str]) -> None:
    _, (told,) = answered(capsys, [case(vllm=FLAGS | {"max_model_len": 40_960})])
    assert (told["outcome"], told["call"]) == ("max_len_too_long", "will not start")
    assert told["error_text"].startswith("To serve at least one request with the models's max seq len (40960), (5.62 ")
    kinds = [remedy["kind"] for remedy in told["remedies"]]
    assert kinds == ["gpu_memory_utilization", "max_model_len", "kv_cache_dtype", "kv_cache_memory_bytes"]
    by_length = told["remedies"][1]
    assert by_length.keys() == {"kind", "sentence", "flags", "certain"}
    _, (again,) = answered(
        capsys, [case(vllm=FLAGS | {"max_model_len": int(by_length["flags"].removeprefix("--max-model-len "))})]
    )
    assert again["outcome"] == "started"


def test_a_bad_line_is_answered_and_the_rest_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    bad = ["{", "[1]", '{"id": "x", "gpu": {"total_mib": "many"}}', '{"id": 5, "nonsense": 1}', "null", "[" * 100_000]
    code, got = answered(capsys, [case("first"), *bad, case("last")])
    assert code == 2
    assert len(got) == len(bad) + 2
    assert (got[0]["id"], got[-1]["id"]) == ("first", "last")
    for number, one in enumerate(got[1:-1], start=2):
        assert one.keys() == {"error", "id"}
        assert one["error"]["line"] == number
        assert f"line {number}" in one["error"]["message"]
    assert [one["id"] for one in got[1:-1]] == [None, None, "x", 5, None, None]


def test_blank_lines_are_no_cases_but_count_as_lines(capsys: pytest.CaptureFixture[str]) -> None:
    code, got = answered(capsys, ["", case("a"), "   ", "{"])
    assert code == 2
    assert [one["id"] for one in got] == ["a", None]
    assert got[1]["error"]["line"] == 4


def test_no_case_at_all_is_no_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert answered(capsys, []) == (0, [])


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"gpu": {}},
        {"gpu": CARD},
        {"gpu": CARD, "model": {"weights_mib": 5000}},
        {"gpu": CARD, "model": {"config": QWEN}},
        {"model": TERMS, "vllm": FLAGS},
        {"gpu": {"total_mib": 24146}, "model": TERMS},
        {"gpu": CARD, "model": {"config": {}}, "vllm": {"version": "0.19.1"}},
    ],
)
def test_what_is_missing_is_null_and_never_an_error(capsys: pytest.CaptureFixture[str], told: dict[str, Any]) -> None:
    code, (got,) = answered(capsys, [told])
    assert code == 0
    assert got.keys() >= KEYS
    assert got["id"] is None
    weights = told.get("model", {})
    if not weights or weights == {"config": {}}:
        assert got["terms"] is None
        assert got["kv_tokens"] is None
    if got["outcome"] is None:
        assert got["error_text"] is got["remedies"] is None
        assert got["call"] == "unknown"
    if "config" not in weights:
        assert got["num_blocks"] is got["largest_max_model_len"] is got["max_concurrency"] is None


def test_nulls_are_what_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    full = {
        "id": "a",
        "gpu": CARD | {"reserved_mib": None, "nvml_total_mib": None},
        "model": TERMS | {"path": None, "cuda_graph_mib": None},
        "vllm": FLAGS
        | dict.fromkeys(
            ("tensor_parallel_size", "kv_cache_dtype", "dtype", "block_size", "enforce_eager", "kv_cache_memory_bytes")
        ),
    }
    assert answered(capsys, [full]) == answered(capsys, [case()])


def test_the_flag_overrides_every_case_s_own_utilization(capsys: pytest.CaptureFixture[str]) -> None:
    own = [case("a"), case("b", vllm={"max_model_len": 8192})]
    _, got = answered(capsys, own, util=0.3)
    assert [one["gpu_memory_utilization"] for one in got] == [0.3, 0.3]
    assert {one["outcome"] for one in got} == {"no_cache_blocks"}
    _, got = answered(capsys, own)
    # Its release's own default: none is told, so the newest's.
    assert [one["gpu_memory_utilization"] for one in got] == [0.9, 0.92]


def test_a_pinned_cache_is_what_it_says_and_utilization_decides_the_gate(capsys: pytest.CaptureFixture[str]) -> None:
    size = 2 * 1024**3
    told = [case(vllm=FLAGS | {"kv_cache_memory_bytes": size, "gpu_memory_utilization": u}) for u in (0.1, 0.9, 0.99)]
    _, got = answered(capsys, told)
    assert [one["kv_cache_mib"] for one in got] == [2048.0] * 3
    assert [one["outcome"] for one in got] == ["started", "started", "not_enough_free"]
    assert {one["num_blocks"] for one in got} == {size // (16 * 147_456)}
    assert [one["valid"] for one in got] == [True, True, False]
    _, (short,) = answered(capsys, [case(vllm=FLAGS | {"kv_cache_memory_bytes": 1024**3})])
    assert short["outcome"] == "max_len_too_long"
    _, (too_much,) = answered(capsys, [case(vllm=FLAGS | {"kv_cache_memory_bytes": 10 * 1024**3})])
    assert (too_much["outcome"], too_much["valid"]) == ("not_enough_free", False)


def test_names_of_others_are_made_visible(capsys: pytest.CaptureFixture[str]) -> None:
    code, (got,) = answered(capsys, ['{"gpu": {"total_mib": "\\u001b[2J"}}'])
    assert code == 2
    assert "\x1b" not in got["error"]["message"]


def test_whole_numbers_may_be_written_as_floats(capsys: pytest.CaptureFixture[str]) -> None:
    whole = case(vllm=FLAGS | {"tensor_parallel_size": 2, "kv_cache_memory_bytes": 5 << 30})
    floats = case(
        vllm=FLAGS | {"tensor_parallel_size": 2.0, "max_model_len": 8192.0, "kv_cache_memory_bytes": 5.0 * 2**30}
    )
    code, (one, other) = answered(capsys, [whole, floats])
    assert code == 0
    same = KEYS - {"terms", "checks"}
    assert {key: one[key] for key in same} == {key: other[key] for key in same}
    code, (rounded,) = answered(capsys, [case(vllm=FLAGS | {"kv_cache_memory_bytes": 4.85 * 2**30})])
    assert code == 0
    assert rounded["kv_cache_mib"] == pytest.approx(4.85 * 1024, abs=0.1)
    code, (bad,) = answered(capsys, [case(vllm=FLAGS | {"max_num_seqs": 16.5})])
    assert code == 2
    assert "max_num_seqs" in bad["error"]["message"]


@pytest.mark.parametrize(
    ("config", "changes", "utilization"),
    [
        ("llama-3.1-8b", {}, 0.9),
        ("qwen3-8b", {}, 0.92),
        ("llama-3.1-8b", {"version": "0.33.0"}, 0.92),
        ("llama-3.1-8b", {"kv_cache_memory_bytes": 1 << 30}, 0.92),
        ("llama-3.1-8b", {"gpu_memory_utilization": 0.8}, 0.8),
    ],
)
def test_a_report_without_a_release_is_judged_as_what_could_serve_its_model(
    capsys: pytest.CaptureFixture[str], config: str, changes: dict[str, Any], utilization: float
) -> None:
    model = {"config": json.loads((CONFIGS / f"{config}.json").read_text())}
    gpu = {"total_mib": 24146}
    _, (reported, looked_at) = answered(
        capsys,
        [
            {"gpu": gpu, "model": model, "vllm": changes},
            {"gpu": gpu | {"free_mib": 24_000}, "model": model, "vllm": changes},
        ],
    )
    assert reported["gpu_memory_utilization"] == utilization
    assert looked_at["gpu_memory_utilization"] == max(
        utilization, 0.92 if "gpu_memory_utilization" not in changes else 0
    )


def told(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any of these fields, any of them null."""
    return st.fixed_dictionaries({}, optional={name: st.one_of(st.none(), values) for name, values in fields.items()})


GPUS = told(
    name=st.sampled_from(["RTX 4090", "4x H100", "GB10", "RTX 3090 (WSL2)", "6 GB GPU", "", "x"]),
    total_mib=st.sampled_from([24146, 81152.5, 1e9]),
    free_mib=st.sampled_from([0, 10_000.5, 24_000]),
)
MODELS = told(
    config=st.sampled_from([path.stem for path in sorted(CONFIGS.glob("*.json"))]),
    weights_mib=st.sampled_from([0, 15_348.53, 1e7]),
    activation_mib=st.sampled_from([0, 1200, -5]),
    non_torch_mib=st.sampled_from([0, 300, -522]),
    cuda_graph_mib=st.sampled_from([0, 300, -170]),
)
VLLMS = told(
    version=st.sampled_from(["0.6.4", "0.8.5 (V0)", "V1", "main 2025-07-24", "0.19.1", "nightly", "99.1", ""]),
    gpu_memory_utilization=st.sampled_from([0.9, 0.92, 0.78, 1, 0.01]),
    max_model_len=st.sampled_from([1, 8192, 262_144, 10**9, "auto", "8k", -1]),
    tensor_parallel_size=st.sampled_from([1, 2, 3, 8]),
    pipeline_parallel_size=st.sampled_from([1, 2, 5]),
    kv_cache_dtype=st.sampled_from(["auto", "fp8", "nvfp4", "turboquant_4", ""]),
    dtype=st.sampled_from(["auto", "float16", "float32", "x"]),
    block_size=st.sampled_from([1, 16, 256]),
    enforce_eager=st.booleans(),
    max_num_seqs=st.sampled_from([1, 256, 10**6]),
    max_num_batched_tokens=st.sampled_from([1, 2048, 10**6]),
    kv_cache_memory_bytes=st.sampled_from([0, 1, 2**30, 10**12]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.lists(told(gpu=GPUS, model=MODELS, vllm=VLLMS), min_size=1, max_size=6))
def test_any_case_is_answered_whole_and_in_its_place(
    capsys: pytest.CaptureFixture[str], drawn: list[dict[str, Any]]
) -> None:
    lines = []
    for number, one in enumerate(drawn):
        name = (one.get("model") or {}).get("config")
        config = {"config": json.loads((CONFIGS / f"{name}.json").read_text())} if name else {}
        lines.append({**one, "id": number, "model": {**(one.get("model") or {}), **config}})
    code, found = answered(capsys, lines)
    assert [one["id"] for one in found] == list(range(len(lines)))
    assert code == (2 if any("error" in one for one in found) else 0)
    for one in found:
        if "error" in one:
            assert "free_mib" in one["error"]["message"], "more free than there is: nothing else is a mistake here"
            continue
        assert one.keys() >= KEYS
        band, tokens = one["kv_cache_band_mib"], one["kv_tokens_band"]
        assert band is None or band["low"] <= one["kv_cache_mib"] <= band["high"]
        assert tokens is None or one["kv_tokens"] is None or tokens["low"] <= one["kv_tokens"] <= tokens["high"]


def test_an_endless_line_is_one_bad_case() -> None:
    """More than 4 MiB on a line: answered once, and the next line is the next case."""
    huge = b'{"id": "big", "gpu": {"name": "' + b"x" * (9 * 1024 * 1024) + b'"}}\n'
    ran = subprocess.run(
        [sys.executable, "-m", "gpu_tui", "check", "--scenario", "-"],
        input=huge + json.dumps(case("after")).encode(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    first, second = map(json.loads, ran.stdout.splitlines())
    assert ran.returncode == 2
    assert "longer than 4 MiB" in first["error"]["message"]
    assert (first["id"], second["id"], second["outcome"]) == (None, "after", "started")
    assert b"SIMULATED" in ran.stderr
    assert b"Traceback" not in ran.stderr
