"""vLLM started otherwise: any configuration, dummy weights, any flags; and what it says of its own cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real.installing import Installed
from tests.real.services import Vllm, dummy_model, start_vllm

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

GIB = 1024**3
BF16 = 2
TINY_QWEN2 = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "vocab_size": 49152,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}


def tokens_of(cache_bytes: int, layers: int, kv_heads: int, head_dim: int, block: int) -> int:
    """What the cache holds: keys and values of every layer, in whole blocks."""
    return cache_bytes // (2 * layers * kv_heads * head_dim * BF16 * block) * block


def test_the_cache_of_real_weights_is_what_arithmetic_says(vllm: Vllm) -> None:
    assert vllm.kv_cache_tokens == tokens_of(GIB, 30, 3, 64, vllm.block_size) == vllm.blocks * vllm.block_size


def test_another_model_without_weights(installed: Installed, tmp_path: Path) -> None:
    model = dummy_model(tmp_path / "model", TINY_QWEN2, tokenizer_of=installed.smollm2)
    flags = ("--load-format", "dummy", "--block-size", "32", "--max-model-len", "1024")
    with start_vllm(installed, model, *flags, folder=tmp_path, utilization=0.3) as server:
        assert server.block_size == 32
        assert server.kv_cache_tokens == tokens_of(GIB, 4, 2, 64, 32) == server.blocks * 32
        assert float(server.cache_config()["gpu_memory_utilization"]) == 0.3
        assert server.metric("vllm:num_requests_running") == 0
