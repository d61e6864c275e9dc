"""Facts from `config.json`: layers with a cache, context and dtype, over the public configs of many families."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_tui.core.model_config import facts_from_config
from gpu_tui.core.model_facts import LayerGroup, LayerKind, ModelFacts
from tests.core.model_configs import CONFIGS, facts


def shape(group: LayerGroup) -> str:
    words = [f"{group.count} {group.kind.name.lower()}"]
    if group.kv_heads is not None and group.latent_dim is None:
        words.append(f"{group.kv_heads}x{group.head_dim}" + (f"/{group.head_dim_v}" if group.head_dim_v else ""))
    for mark, value in (("w", group.window), ("latent", group.latent_dim), ("index", group.indexer_dim)):
        words += [f"{mark}{value}"] if value is not None else []
    if group.state is not None:
        state = group.state
        words.append(f"conv{state.conv_channels}x{state.conv_kernel} ssm{state.ssm_elements}b{state.ssm_bytes or ''}")
    return " ".join(words)


SHAPES = {
    "llama-3.1-8b": "32 full 8x128",
    "llama-2-7b": "32 full 32x128",
    "gpt2": "12 full 12x64",
    "bloom-560m": "24 full 16x64",
    "mpt-7b": "32 full 32x128",
    "falcon-7b": "32 full 1x64",
    "falcon-40b": "60 full 8x64",
    "starcoder": "40 full 1x128",
    "chatglm3-6b": "28 full 2x128",
    "dbrx": "40 full 8x128",
    "phi-2": "32 full 32x80",
    "qwen2.5-7b": "28 full 4x128",
    "qwen2.5-vl-7b": "28 full 4x128",
    "qwen3-vl-8b": "36 full 8x128",
    "mistral-nemo-12b": "40 full 8x128",
    "mistral-7b-v0.1": "32 sliding 8x128 w4096",
    "phi-3-mini-4k": "32 sliding 32x96 w2047",
    "gemma-2-9b": "21 sliding 8x256 w4096, 21 full 8x256",
    "gemma-3-4b": "29 sliding 4x256 w1024, 5 full 4x256",
    "gemma-3-27b": "52 sliding 16x128 w1024, 10 full 16x128",
    "gemma-3n-e2b": "16 sliding 2x256 w512, 4 full 2x256",
    "gemma-4-e2b": "12 sliding 1x256 w512, 3 full 1x512",
    "gemma-4-26b-a4b": "25 sliding 8x256 w1024, 5 full 2x512",
    "gemma-4-31b": "50 sliding 16x256 w1024, 10 full 4x512",
    "gpt-oss-20b": "12 sliding 8x64 w128, 12 full 8x64",
    "llama-4-scout": "36 chunked 8x128 w8192, 12 full 8x128",
    "cohere2-command-r7b": "24 sliding 8x128 w4096, 8 full 8x128",
    "exaone-4-32b": "48 sliding 8x128 w4096, 16 full 8x128",
    "olmo-3-7b": "24 sliding 32x128 w4096, 8 full 32x128",
    "mimo-v2-flash": "9 full 4x192/128, 39 sliding 8x192/128 w128",
    "nemotron-nas-toy": "3 full 8x128, 1 full 4x128",
    "openelm-270m": "6 full 3x64, 6 full 4x64, 4 full 5x64",
    "deepseek-r1": "61 mla latent576",
    "deepseek-v2-lite": "27 mla latent576",
    "deepseek-v3.2": "61 mla latent576 index128",
    "glm-5": "78 mla latent576 index128",
    "glm-4.7-flash": "47 mla latent576",
    "mistral-small-4-119b": "36 mla latent320",
    "longcat-flash": "56 mla latent576",
    "minicpm3-4b": "62 full 40x96",
    "qwen3-next-80b-a3b": "36 state conv8192x4 ssm524288b, 12 full 2x256",
    "qwen3.5-0.8b": "18 state conv6144x4 ssm262144b4, 6 full 2x256",
    "qwen3.5-27b": "48 state conv10240x4 ssm786432b4, 16 full 4x256",
    "qwen3.5-122b-a10b": "36 state conv12288x4 ssm1048576b4, 12 full 2x256",
    "nemotron-h-8b": "24 state conv10240x4 ssm1048576b4, 4 full 8x128",
    "nemotron-3-nano-30b-a3b": "23 state conv6144x4 ssm524288b4, 6 full 2x128",
    "bamba-9b": "29 state conv8448x4 ssm1048576b, 3 full 8x128",
    "granite-4.0-h-small": "36 state conv8448x4 ssm1048576b, 4 full 8x128",
    "jamba-v0.1": "28 state conv8192x4 ssm131072b, 4 full 8x128",
    "zamba2-1.2b": "38 state conv4224x4 ssm262144b, 6 full 32x128",
    "falcon-h1-7b": "44 state conv3584x4 ssm786432b, 44 full 2x128",
    "mamba-2.8b": "64 state conv5120x4 ssm81920b",
    "codestral-mamba-7b": "64 state conv10240x4 ssm1048576b",
    "falcon-mamba-7b": "64 state conv8192x4 ssm131072b",
    "lfm2-1.2b": "10 state conv2048x3 ssm0b, 6 full 8x64",
    "kimi-linear-48b-a3b": "20 state conv12288x4 ssm524288b4, 7 mla latent576",
    "minimax-text-01": "70 state conv0x1 ssm1048576b, 10 full 8x128",
    "minimax-m2": "62 full 8x128",
    "plamo-2-8b": "16 state conv8192x4 ssm524288b, 16 full 4x128",
    "whisper-large-v3": "32 full 20x64",
    "deepseek-v4-flash": "",
}


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_the_layers_with_a_cache(name: str) -> None:
    assert ", ".join(shape(group) for group in facts(name).groups) == SHAPES[name]


def test_layers_are_numbered_where_they_stand() -> None:
    groups = facts("qwen3.5-0.8b").groups
    assert groups[1].layers == (3, 7, 11, 15, 19, 23)
    assert facts("gpt-oss-20b").groups[0].layers == tuple(range(0, 24, 2))
    assert facts("nemotron-h-8b").groups[1].layers == (7, 18, 29, 40)
    assert facts("jamba-v0.1").groups[1].layers == (4, 12, 20, 28)


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("llama-3.1-8b", 131072),
        ("qwen2.5-7b", 32768),
        ("qwen2.5-7b-yarn", 32768),
        ("gemma-3-4b", 131072),
        ("deepseek-r1", 163840),
        ("gpt2", 1024),
        ("mpt-7b", 2048),
        ("bloom-560m", 2048),
        ("chatglm3-6b", 8192),
        ("kimi-linear-48b-a3b", 1048576),
        ("whisper-large-v3", 448),
        ("falcon-7b", 2048),
    ],
)
def test_the_longest_context(name: str, tokens: int) -> None:
    assert facts(name).max_model_len == tokens


def test_rotary_factors_stretch_the_context_where_vllm_applies_them() -> None:
    base = {**CONFIGS["llama-2-7b"], "max_position_embeddings": 4096}

    def length(kind: str, **more: object) -> int | None:
        scaling = {"rope_type": kind, "factor": 4.0, **more}
        return facts_from_config({**base, "rope_scaling": scaling}).max_model_len

    assert length("linear") == length("dynamic") == 16384
    assert length("llama3") == length("yarn", original_max_position_embeddings=4096) == 4096
    longrope = {**base, "rope_scaling": {"type": "longrope"}, "original_max_position_embeddings": 1024}
    assert facts_from_config(longrope).max_model_len == 1024


@pytest.mark.parametrize(
    ("given_dtype", "served", "noted"),
    [
        ("bfloat16", "bfloat16", False),
        ("torch.float16", "float16", False),
        ("float32", "bfloat16", True),
        (None, "bfloat16", True),
    ],
)
def test_the_dtype_served(given_dtype: str | None, served: str, noted: bool) -> None:
    found = facts_from_config({**CONFIGS["llama-2-7b"], "torch_dtype": given_dtype})
    assert found.dtype == served
    assert bool(found.assumptions) is noted


def test_what_else_the_config_tells() -> None:
    r1 = facts("deepseek-r1")
    assert (r1.num_experts, r1.draft_layers, r1.num_layers, r1.architecture) == (256, 1, 61, "DeepseekV3ForCausalLM")
    assert r1.draft_bytes == pytest.approx(11.6e9, rel=0.03)
    assert [
        (facts(name).intermediate_size, facts(name).experts_per_token) for name in ("deepseek-r1", "qwen3-30b-a3b")
    ] == [
        (18432, 8),
        (768, 8),
    ]
    assert facts("qwen3.5-9b").encoder_bytes == pytest.approx(0.91e9, rel=0.02)
    assert (facts("qwen3.5-9b").multimodal, facts("qwen3-8b").multimodal) == (True, False)
    assert facts("qwen3-8b").draft_bytes is None
    assert "cross-attention" in " ".join(facts("whisper-large-v3").assumptions)
    assert "not modelled" in " ".join(facts("deepseek-v4-flash").assumptions)


def test_windows_that_are_switched_off() -> None:
    assert [group.kind for group in facts("qwen2.5-7b").groups] == [LayerKind.FULL]
    on = {**CONFIGS["qwen2.5-7b"], "use_sliding_window": True, "max_window_layers": 20}
    assert [(group.kind, group.count) for group in facts_from_config(on).groups] == [
        (LayerKind.FULL, 20),
        (LayerKind.SLIDING, 8),
    ]
    assert facts_from_config({**CONFIGS["mistral-7b-v0.1"], "sliding_window": None}).groups[0].kind is LayerKind.FULL


def test_an_empty_config_tells_nothing() -> None:
    found = facts_from_config({})
    assert (found.groups, found.num_layers, found.parameters, found.weights_bytes) == ((), None, None, None)
    assert any("KV cache is unknown" in note for note in found.assumptions)


SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
KEYS = sorted({key for config in CONFIGS.values() for key in config} | {"text_config", "thinker_config"})


def check(found: ModelFacts) -> None:
    numbers = [number for group in found.groups for number in group.layers]
    assert all(group.layers == tuple(sorted(set(group.layers))) for group in found.groups)
    assert not numbers or (found.num_layers is not None and max(numbers) < found.num_layers)
    assert all(size is None or size >= 0 for size in (found.parameters, found.weights_bytes, found.unsharded_bytes))
    if found.weights_bytes is not None and found.weights_band is not None:
        assert found.weights_band[0] <= found.weights_bytes <= found.weights_band[1]


@given(st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=10), JSON, max_size=12))
def test_no_config_is_too_odd(config: dict[str, object]) -> None:
    check(facts_from_config(config))


@given(st.sampled_from(sorted(CONFIGS)), st.dictionaries(st.sampled_from(KEYS), JSON, max_size=4), st.booleans())
def test_a_real_config_with_odd_values(name: str, changes: dict[str, object], nested: bool) -> None:
    config = dict(CONFIGS[name])
    inner = config.get("text_config")
    if nested and isinstance(inner, dict):
        config["text_config"] = {**inner, **changes}
    else:
        config.update(changes)
    check(facts_from_config(config))


def test_an_extract_of_a_config_tells_the_cache_and_invents_no_weights() -> None:
    extract = {"num_hidden_layers": 36, "num_key_value_heads": 8, "head_dim": 128, "hidden_size": 4096, "vocab_size": 9}
    facts = facts_from_config(extract)
    assert [(g.kind, g.count, g.kv_heads, g.head_dim) for g in facts.groups] == [(LayerKind.FULL, 36, 8, 128)]
    assert facts.weights_bytes is None
    assert facts.max_model_len is None
    with_heads = facts_from_config({**extract, "num_attention_heads": 32})
    assert with_heads.weights_bytes is None
    whole = facts_from_config({**extract, "num_attention_heads": 32, "intermediate_size": 12288, "model_type": "qwen3"})
    assert whole.weights_bytes is not None
    assert whole.max_model_len == 2048
