"""Weights estimated from `config.json`, against counted parameters and what vLLM logged when it loaded them."""

from __future__ import annotations

import json

import pytest

from gpu_tui.core.model_config import extra_bytes, facts_from_config
from gpu_tui.core.origins import OriginKind
from tests.core.model_configs import CONFIGS, DATA, facts

GIB = 1 << 30
PARAMETERS = json.loads((DATA / "parameters.json").read_text())
"""Elements of the weights of Transformers 5.19's own model classes, built from these configs on the meta device."""
ROUGHLY = {
    "bert-base": 0.011,
    "gemma-4-31b": 0.004,
    "gemma-4-e2b": 0.006,
    "mistral-small-4-119b": 0.005,
    "qwen3.5-0.8b": 0.003,
    "zamba2-1.2b": 0.016,
}
"""How far off the estimate is where it is not within a thousandth: encoders and adapters are only roughly counted."""


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_parameters_agree_with_the_model_built_from_the_config(name: str) -> None:
    counted, estimated = PARAMETERS[name], facts(name).parameters
    assert estimated is not None
    assert abs(estimated / counted - 1) <= ROUGHLY.get(name, 0.001)


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("kimi-k2", 1026),
        ("minimax-text-01", 456),
        ("longcat-flash", 560),
        ("chatglm3-6b", 6.24),
        ("exaone-4-32b", 32.0),
        ("deepseek-v4-flash", 284),
        ("openelm-270m", 0.272),
        ("plamo-2-8b", 9.1),
    ],
)
def test_parameters_agree_with_what_the_makers_publish(name: str, billions: float) -> None:
    assert facts(name).parameters == pytest.approx(billions * 1e9, rel=0.013)


LOADED = [
    ("llama-3.1-8b", 1, 14.9888),
    ("llama-3.2-3b", 1, 6.04),
    ("qwen2.5-1.5b", 1, 2.8884),
    ("qwen2.5-7b", 1, 14.25),
    ("qwen2.5-32b", 2, 30.7098),
    ("qwen3-8b", 1, 15.2683),
    ("qwen3-30b-a3b", 1, 56.88),
    ("qwen3-30b-a3b", 2, 28.4767),
    ("mistral-nemo-12b", 1, 22.8447),
    ("gemma-3-4b", 1, 8.58),
    ("gemma-4-26b-a4b", 1, 48.5),
    ("qwen2.5-vl-7b", 1, 15.6271),
    ("qwen2.5-vl-7b", 1, 15.67),
    ("qwen3.5-9b", 1, 17.66),
    ("bamba-9b", 1, 18.4902),
    ("gpt-oss-20b", 1, 13.72),
    ("gpt-oss-120b", 1, 65.9651),
    ("qwen2.5-7b-awq", 1, 5.29),
    ("qwen3-8b-awq", 1, 5.71),
    ("qwen2.5-vl-7b-awq", 1, 6.5935),
    ("qwen3.5-35b-a3b-gptq-int4", 1, 21.05),
    ("deepseek-r1-distill-qwen-1.5b-w8a8", 1, 2.13),
    ("deepseek-r1", 8, 79.739),
]
"""GiB a GPU that vLLM logged as "Model loading took" in public reports, and the tensor parallelism."""


@pytest.mark.parametrize(("name", "ranks", "gib"), LOADED)
def test_the_band_holds_what_vllm_loaded(name: str, ranks: int, gib: float) -> None:
    found = facts(name)
    whole = found.unsharded_bytes
    assert found.weights_bytes is not None
    assert found.weights_band is not None
    assert whole is not None
    least, middle, most = (
        ((size - whole) / ranks + whole) / GIB
        for size in (found.weights_band[0], found.weights_bytes, found.weights_band[1])
    )
    assert least <= gib <= most
    assert gib / middle == pytest.approx(1, abs=0.02 if found.quantization or name == "bamba-9b" else 0.007)
    assert (most - least) / middle < (0.21 if found.quantization else 0.09)


def test_padded_experts_are_loaded_but_are_no_parameters() -> None:
    plain = facts_from_config({**CONFIGS["gpt-oss-20b"], "quantization_config": None})
    padded = facts("gpt-oss-20b")
    assert plain.parameters == padded.parameters
    rotary = 2 * 64 * 4096 * 32
    assert plain.weights_bytes == 2 * (plain.parameters or 0) + rotary
    assert padded.weights_bytes == pytest.approx(13.76e9 + 0.0904 * 10.15e9, rel=0.003)


@pytest.mark.parametrize(
    ("name", "method", "kv", "gb"),
    [
        ("qwen3-8b-fp8", "fp8", None, 9.45),
        ("qwen3-235b-a22b-fp8", "fp8", None, 236.4),
        ("qwen3-30b-a3b-gptq-int4", "gptq", None, 16.8),
        ("qwen2.5-0.5b-bnb-4bit", "bitsandbytes", None, 0.474),
        ("qwen3.5-122b-a10b-nvfp4", "modelopt_fp4", "fp8", 71.9),
        ("deepseek-r1-distill-qwen-1.5b-w8a8", "compressed-tensors", None, 2.277),
        ("deepseek-v4-flash", "fp8", None, 155),
    ],
)
def test_quantizations(name: str, method: str, kv: str | None, gb: float) -> None:
    found = facts(name)
    assert (found.quantization, found.kv_cache_dtype) == (method, kv)
    assert found.weights_bytes == pytest.approx(gb * 1e9, rel=0.01)
    assert found.weights_origin is not None
    assert found.weights_origin.kind is OriginKind.DERIVED


def test_a_quantization_nobody_knows_leaves_the_weights_unknown() -> None:
    found = facts_from_config({**CONFIGS["qwen3-8b"], "quantization_config": {"quant_method": "secret"}})
    assert found.weights_bytes is None
    assert found.weights_band is not None
    assert found.parameters is not None
    assert "secret weights is not known" in " ".join(found.assumptions)


def test_modules_the_config_excludes_keep_their_dtype() -> None:
    base = {
        "quant_method": "compressed-tensors",
        "config_groups": {"group_0": {"weights": {"num_bits": 4, "group_size": 16}}},
    }
    sizes = [
        facts_from_config({**CONFIGS["qwen3-30b-a3b"], "quantization_config": {**base, "ignore": ignore}}).weights_bytes
        for ignore in (
            ["lm_head"],
            ["lm_head", *(f"model.layers.{i}.self_attn.q_proj" for i in range(48))],
            ["lm_head", "re:.*self_attn.*"],
            ["lm_head", "re:.*self_attn.*", "re:.*mlp.experts.*"],
        )
    ]
    assert all(size is not None for size in sizes)
    assert sizes == sorted(sizes, key=lambda size: size or 0)
    assert len(set(sizes)) == len(sizes)
    assert sizes[-1] == facts("qwen3-30b-a3b").weights_bytes


def test_quantized_while_loading() -> None:
    found = facts_from_config(CONFIGS["qwen2.5-7b"], quantization_arg="bitsandbytes")
    assert found.quantization == "bitsandbytes"
    assert found.weights_bytes == pytest.approx(5.43 * GIB, rel=0.01)
    # A checkpoint's own quantization stands, whatever the option says.
    assert facts_from_config(CONFIGS["qwen3-8b-awq"], quantization_arg="awq_marlin").quantization == "awq"


@pytest.mark.parametrize(
    ("name", "mib"),
    [
        ("llama-3.1-8b", 32),
        ("gemma-3-4b", 576),
        ("qwen3.5-9b", 128),
        ("gpt-oss-20b", 16),
        ("deepseek-v2-lite", 20),
        ("gpt2", 0),
        ("nemotron-h-8b", 0),
        ("mamba-2.8b", 0),
    ],
)
def test_rotary_tables_are_in_memory_but_in_no_file(name: str, mib: int) -> None:
    config = {**CONFIGS[name], "quantization_config": None}
    assert extra_bytes(config) == mib << 20
    found = facts_from_config(config)
    assert found.weights_bytes == 2 * (found.parameters or 0) + (mib << 20)


def test_a_family_nobody_counted_says_so_and_has_a_wide_band() -> None:
    known, unknown = CONFIGS["llama-3.1-8b"], {**CONFIGS["llama-3.1-8b"], "model_type": "hopeful"}
    found = facts_from_config(unknown)
    assert any("family hopeful" in note for note in found.assumptions)
    assert found.weights_bytes == facts_from_config(known).weights_bytes
    assert found.weights_bytes is not None
    assert found.weights_band is not None
    assert found.weights_band[0] < 0.9 * found.weights_bytes < 1.3 * found.weights_bytes < found.weights_band[1]
    assert [group.count for group in found.groups] == [32]
