"""A model's facts from GGUF metadata, put into the words of `config.json`, so that both are read alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gpu_tui.core.config_reader import MOST, whole
from gpu_tui.core.model_config import facts_from_config
from gpu_tui.core.model_facts import ModelFacts

_KINDS = {
    "gpt-oss": "gpt_oss",
    "deepseek2": "deepseek_v2",
    "qwen2moe": "qwen2_moe",
    "qwen3moe": "qwen3_moe",
    "qwen3next": "qwen3_next",
    "qwen35": "qwen3_5_text",
    "qwen35moe": "qwen3_5_moe_text",
    "phi2": "phi",
    "command-r": "cohere",
    "glm4moe": "glm4_moe",
    "falcon-h1": "falcon_h1",
    "granitehybrid": "granitemoehybrid",
    "granitemoe": "granitemoe",
    "lfm2moe": "lfm2_moe",
    "gptneox": "gpt_neox",
    "gptj": "gptj",
    "starcoder": "gpt_bigcode",
    "mimo2": "mimo_v2",
    "minimax-m2": "minimax_m2",
}
"""ggml's names of architectures that `config.json` writes otherwise."""
_KEYS = {
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "expert_feed_forward_length": "moe_intermediate_size",
    "expert_shared_feed_forward_length": "shared_expert_intermediate_size",
    "expert_count": "num_experts",
    "expert_used_count": "num_experts_per_tok",
    "expert_shared_count": "n_shared_experts",
    "leading_dense_block_count": "first_k_dense_replace",
    "context_length": "max_position_embeddings",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.sliding_window": "sliding_window",
    "attention.chunk_size": "attention_chunk_size",
    "attention.q_lora_rank": "q_lora_rank",
    "attention.kv_lora_rank": "kv_lora_rank",
    "attention.shared_kv_layers": "num_kv_shared_layers",
    "attention.indexer.key_length": "index_head_dim",
    "attention.indexer.head_count": "index_n_heads",
    "attention.indexer.top_k": "index_topk",
    "full_attention_interval": "full_attention_interval",
    "nextn_predict_layers": "num_nextn_predict_layers",
    "vocab_size": "vocab_size",
    "shortconv.l_cache": "conv_L_cache",
}
_DELTA_NET = {"qwen3next", "qwen35", "qwen35moe"}


def facts_from_gguf(metadata: Mapping[str, object], *, name: str | None = None, tied: bool = False) -> ModelFacts:
    """Facts of a GGUF file; never raises. Its weights are an estimate for 16 bits; the tensors tell them exactly.

    Args:
        tied: the file has no output head of its own.
    """
    return facts_from_config(config_from_gguf(metadata, tied=tied), name=name)


def config_from_gguf(metadata: Mapping[str, object], *, tied: bool = False) -> dict[str, object]:
    """What a `config.json` would say of this model, as far as the metadata tells."""
    ggml = metadata.get("general.architecture")
    ggml = ggml if isinstance(ggml, str) else ""

    def of(key: str) -> object:
        return metadata.get(f"{ggml}.{key}")

    config: dict[str, object] = {
        "model_type": _KINDS.get(ggml, ggml),
        "architectures": [ggml],
        "torch_dtype": "float16",
    }
    config.update({ours: value for theirs, ours in _KEYS.items() if (value := of(theirs)) is not None})
    config.setdefault("vocab_size", metadata.get("tokenizer.ggml.tokens.length"))
    config["tie_word_embeddings"] = tied
    blocks = whole(of("block_count"), 1, MOST)
    drafts = whole(of("nextn_predict_layers"), 0, MOST) or 0
    config["num_hidden_layers"] = blocks - drafts if blocks is not None and blocks > drafts else blocks
    _put_heads(config, of("attention.key_length"), of("attention.value_length"))
    if config.get("kv_lora_rank") is not None:
        _put_latent(config, of)
    _put_state(config, of, ggml)
    return config


def _put_heads(config: dict[str, object], keys: object, values: object) -> None:
    if keys is not None and config.get("kv_lora_rank") is None:
        config["head_dim"] = keys
        if values != keys:
            config["v_head_dim"] = values
    listed = config.get("num_key_value_heads")
    if isinstance(listed, list) and listed and 0 in listed:
        # Layers without heads of keys are those with a state.
        config["layer_types"] = ["full_attention" if heads else "linear_attention" for heads in listed]
    heads = config.get("num_attention_heads")
    if isinstance(heads, list):
        config["num_attention_heads"] = max((h for h in heads if isinstance(h, int)), default=None)


def _put_latent(config: dict[str, object], of: Callable[[str], object]) -> None:
    rope = whole(of("rope.dimension_count"))
    per_head = whole(of("attention.key_length_mla")) or whole(of("attention.key_length"))
    config["qk_rope_head_dim"] = rope
    config["qk_nope_head_dim"] = (
        per_head - rope if per_head is not None and rope is not None and per_head > rope else None
    )
    config["v_head_dim"] = of("attention.value_length_mla") or of("attention.value_length")


def _put_state(config: dict[str, object], of: Callable[[str], object], ggml: str) -> None:
    """``ssm.…``: of a delta net the rank is the value heads, the groups are the key heads."""
    if of("ssm.state_size") is None:
        return
    kernel, inner, states = of("ssm.conv_kernel"), whole(of("ssm.inner_size")), of("ssm.state_size")
    rank, groups = whole(of("ssm.time_step_rank")), of("ssm.group_count")
    if ggml in _DELTA_NET:
        value = inner // rank if inner is not None and rank else states
        config |= {"linear_conv_kernel_dim": kernel, "linear_key_head_dim": states, "linear_value_head_dim": value}
        config |= {"linear_num_key_heads": groups, "linear_num_value_heads": rank}
    elif whole(groups):
        per_head = inner // rank if inner is not None and rank else None
        config |= {"mamba_num_heads": rank, "mamba_head_dim": per_head, "n_groups": groups}
        config |= {"ssm_state_size": states, "conv_kernel": kernel}
    else:
        config |= {"state_size": states, "conv_kernel": kernel, "time_step_rank": rank}
        if ggml == "mamba":
            config["intermediate_size"] = inner
