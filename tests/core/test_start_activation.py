"""The profile run's peak: which sampler a release runs, what pictures and V0's recurrent states add."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.core.kv_options import CacheOptions
from gpu_tui.core.model_config import facts_from_config
from gpu_tui.core.model_facts import ModelFacts
from gpu_tui.core.model_families import since_v1
from gpu_tui.core.start_activation import DRAWN_COPIES, MASKED_COPIES, SORTED_COPIES, Peak, peak, sampler_copies
from gpu_tui.core.start_inputs import V0_PICTURE_TOKENS, StartInputs, start_options
from gpu_tui.core.start_outside import AUTOTUNED, outside_torch
from gpu_tui.core.vllm_version import accounting_of
from gpu_tui.units import GIB

CONFIGS = Path(__file__).parent / "data" / "configs"
NAMES = sorted(path.stem for path in CONFIGS.glob("*.json"))
VERSIONS = ("V0", "0.6.4", "0.8.5", "0.10.2", "0.17.1", "0.22.1", "0.24.0", "0.26.0", "0.33.0", None)


def facts_of(name: str) -> ModelFacts:
    return facts_from_config(json.loads((CONFIGS / f"{name}.json").read_text()))


def peak_of(
    name: str | None,
    version: str | None,
    *,
    rows: int = 256,
    rows_told: bool = True,
    tokens: int = 2048,
    ranks: int = 1,
) -> Peak:
    return peak(
        None if name is None else facts_of(name),
        accounting_of(version),
        CacheOptions(tensor_parallel_size=ranks, max_num_batched_tokens=tokens),
        rows,
        rows_told=rows_told,
        weights_bytes=15 * GIB,
        any_release=version is None,
    )


@pytest.mark.parametrize(
    ("name", "version", "copies"),
    [
        ("llama-3.1-8b", "V0", SORTED_COPIES),
        ("llama-3.1-8b", "0.16.0", SORTED_COPIES),
        ("llama-3.1-8b", "0.17.1", MASKED_COPIES),
        ("llama-3.1-8b", "0.22.1", MASKED_COPIES),
        ("qwen3-8b", "0.22.1", DRAWN_COPIES),
        ("qwen3-8b-awq", "0.22.1", MASKED_COPIES),
        ("qwen3-8b-awq", "0.24.0", DRAWN_COPIES),
        ("qwen3-30b-a3b", "0.28.0", MASKED_COPIES),
        ("qwen3-30b-a3b", "0.30.0", DRAWN_COPIES),
        ("qwen3.5-9b", "0.26.0", MASKED_COPIES),
        ("gemma-3-4b", "0.26.0", DRAWN_COPIES),
        ("gemma-3-4b", None, DRAWN_COPIES),
    ],
)
def test_the_sampler_of_a_release(name: str, version: str | None, copies: float) -> None:
    assert sampler_copies(facts_of(name), accounting_of(version)) == copies


@pytest.mark.parametrize(
    ("name", "version", "rows", "tokens", "printed_gib"),
    [
        ("llama-3.2-3b", "V0", 256, 10_000, 1.22),
        ("qwen2.5-7b", "0.7.3", 256, 4200, 1.42),
        ("gemma-3-4b", "0.10.0", 1024, 8192, 9.96),
        ("qwen2.5-1.5b", "V0", 256, 32_768, 2.02),
        ("qwen2.5-7b", "V0", 16, 8192, 1.09),
    ],
)
def test_the_peak_is_what_a_log_printed(name: str, version: str, rows: int, tokens: int, printed_gib: float) -> None:
    # The largest runs nearly alone in all of these: the sampler in three, a layer of the whole batch in two.
    assert peak_of(name, version, rows=rows, tokens=tokens).size / GIB == pytest.approx(printed_gib, rel=0.05)


@pytest.mark.parametrize(("name", "gib"), [("qwen2.5-vl-7b", 1.92), ("qwen3.5-35b-a3b", 1.6)])
def test_a_picture_of_any_size_is_the_peak_where_the_sampler_is_small(name: str, gib: float) -> None:
    found = peak_of(name, "0.17.1")
    assert found.size / GIB == pytest.approx(gib, rel=0.02)
    assert "65536 patches of pictures" in found.source
    text = replace(facts_of(name), multimodal=False)
    alone = peak(
        text,
        accounting_of("0.17.1"),
        CacheOptions(),
        256,
        rows_told=True,
        weights_bytes=15 * GIB,
        any_release=False,
    )
    assert found.least == alone.least, "pictures may be turned off"
    assert found.size > alone.size


def test_v0_keeps_the_states_of_all_rows_beside_the_cache() -> None:
    # 29 layers of 1 Mi elements and a convolution, 16 bits each: 58 MiB a sequence.
    few, many = (peak_of("bamba-9b", "V0", rows=rows).size for rows in (64, 128))
    assert 64 * 58 < (many - few) / 2**20 < 64 * 58 * 2.2


@given(
    st.sampled_from([*NAMES, None]),
    st.sampled_from(VERSIONS),
    st.integers(1, 1024),
    st.booleans(),
    st.sampled_from([512, 2048, 8192, 16_384]),
    st.sampled_from([1, 2, 8]),
)
def test_the_band_holds_the_estimate(
    name: str | None, version: str | None, rows: int, rows_told: bool, tokens: int, ranks: int
) -> None:
    found = peak_of(name, version, rows=rows, rows_told=rows_told, tokens=tokens, ranks=ranks)
    assert 0 <= found.least <= found.size <= found.most


@given(st.sampled_from(NAMES), st.sampled_from(VERSIONS), st.integers(1, 1023))
def test_more_rows_never_take_less(name: str, version: str | None, rows: int) -> None:
    assert peak_of(name, version, rows=rows).size <= peak_of(name, version, rows=rows + 1).size


def test_outside_torch() -> None:
    def size(name: str | None, version: str, ranks: int = 1, *, any_release: bool = False) -> tuple[float, float]:
        facts = None if name is None else facts_of(name)
        rules = accounting_of(version)
        told = outside_torch(facts, rules, ranks, unified_memory=False, any_release=any_release)
        return told[0], told[2]

    assert size("qwen3-8b", "0.6.6") < size("qwen3-8b", "0.6.4"), "0.6.4 counts the whole context"
    assert size("qwen3-8b", "0.10.2")[0] < size("qwen3-8b", "0.28.0")[0] < size("qwen3-8b-awq", "0.28.0")[0]
    assert size("qwen3-8b", "0.10.2")[0] < size("qwen3-8b", "0.10.2", 2)[0]
    assert size("qwen3.5-9b", "0.17.1")[1] >= AUTOTUNED > size("qwen3.5-9b", "0.18.1")[1]
    assert size(None, "V0", any_release=True)[1] > size(None, "V0")[1]


def test_what_only_v1_serves() -> None:
    assert since_v1("Qwen3MoeForCausalLM")
    assert since_v1("GptOssForCausalLM")
    assert not since_v1("Qwen2ForCausalLM")
    assert not since_v1("LlamaForCausalLM")
    assert not since_v1(None)


def test_v0_gives_pictures_a_batch_of_their_size() -> None:
    def tokens(name: str, version: str, **told: int) -> int:
        inputs = StartInputs(facts=facts_of(name), version=version, max_model_len=4096, **told)
        return start_options(inputs, "NVIDIA L4", 22 * GIB).cache.max_num_batched_tokens

    assert tokens("qwen2.5-vl-7b", "0.6.6") == V0_PICTURE_TOKENS
    assert tokens("qwen2.5-vl-7b", "0.6.6", max_num_batched_tokens=4096) == 4096
    assert tokens("qwen2.5-7b", "0.6.6") == 4096
    assert tokens("qwen2.5-vl-7b", "0.9.2") == 2048
