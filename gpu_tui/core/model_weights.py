"""How many weights a model has, part by part, from the shapes its `config.json` implies.

Biases of single projections are left out: they are below a thousandth of any model.
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum

from gpu_tui.core.config_reader import ConfigReader
from gpu_tui.core.model_attention import Attention
from gpu_tui.core.model_layers import Mixer
from gpu_tui.core.model_mlp import gates, intermediate_size, mlp
from gpu_tui.core.model_states import StateLayer


class Part(StrEnum):
    """Weights that a quantization treats alike."""

    EMBEDDING = "embedding"
    HEAD = "lm_head"
    ATTENTION = "attention"
    STATE = "state"
    DENSE = "mlp"
    EXPERTS = "experts"
    PADDING = "padding"
    """What kernels add to experts to fill up tiles; no parameters."""
    SHARED = "shared experts"
    ROUTER = "router"
    LATENT = "latent"
    """MLA's down-projections: every tensor-parallel rank holds them whole."""
    COPY = "dequantized copies"
    """16-bit copies of MLA's up-projections that vLLM makes of quantized ones (`MLAAttention`); no parameters."""
    REST = "norms and the rest"
    ROTARY = "rotary tables"
    """Computed, not loaded (`model_rotary.py`); no parameters."""
    VISION = "encoder"


Tally = Counter[Part]
"""Elements of each part."""
EXTRAS = frozenset({Part.PADDING, Part.COPY, Part.ROTARY})
"""What is in memory once the model is loaded, but in no file."""
WHOLE = frozenset({Part.REST, Part.ROUTER, Part.LATENT, Part.ROTARY})
"""What tensor parallelism does not divide."""

_TIED = {
    "gpt2",
    "gpt_bigcode",
    "bloom",
    "opt",
    "mpt",
    "falcon",
    "RefinedWeb",
    "RefinedWebModel",
    "cohere",
    "cohere2",
    "starcoder2",
    "whisper",
    "mamba",
    "falcon_mamba",
    "lfm2",
    "lfm2_moe",
    "zamba2",
    "plamo2",
    "smollm3",
    "bert",
    "roberta",
    "xlm-roberta",
}
"""Models whose embedding is the output head too, where the config does not say (defaults of Transformers)."""


def tied(config: ConfigReader) -> bool:
    """Whether embedding and output head are one matrix."""
    given = config.flag("tie_word_embeddings", "tie_embedding", "share_input_output_layers")
    kind = config.text("model_type") or ""
    return given if given is not None else kind in _TIED or kind.startswith("gemma")


def tally(
    config: ConfigReader,
    hidden: int,
    attentions: list[Attention | None],
    mixers: tuple[Mixer, ...],
    state: StateLayer | None,
) -> Tally:
    """Elements of the language model's weights."""
    parts: Tally = Counter()
    vocabulary = config.integer("vocab_size", "padded_vocab_size") or 0
    parts[Part.EMBEDDING] += vocabulary * hidden
    parts[Part.HEAD] += 0 if tied(config) else vocabulary * hidden
    parts[Part.REST] += hidden
    for i, (attention, mixer) in enumerate(zip(attentions, mixers, strict=True)):
        layer = mlp(config, hidden, i, len(mixers))
        parts[Part.DENSE] += layer.dense
        parts[Part.EXPERTS] += layer.experts
        parts[Part.PADDING] += layer.padded_experts
        parts[Part.SHARED] += layer.shared
        parts[Part.ROUTER] += layer.router
        parts[Part.REST] += layer.rest + 2 * hidden
        if attention is not None and config.text("model_type") != "zamba2":
            _count_attention(config, parts, attention, hidden)
        if mixer in {Mixer.STATE, Mixer.BOTH} and state is not None:
            parts[Part.STATE] += state.projections
            parts[Part.REST] += state.rest
    _count_extras(config, parts, hidden, len(mixers))
    return parts


def draft_tally(config: ConfigReader, hidden: int, attentions: list[Attention | None], count: int) -> Tally:
    """Elements of the layers for multi-token prediction: each one attention, one MLP and a joint of two inputs."""
    parts: Tally = Counter()
    attention = next((layer for layer in reversed(attentions) if layer is not None), None)
    if attention is not None:
        layer = mlp(config, hidden, len(attentions) - 1, len(attentions))
        parts.update({Part.DENSE: layer.dense, Part.EXPERTS: layer.experts, Part.SHARED: layer.shared})
        parts.update({Part.ROUTER: layer.router, Part.REST: 2 * hidden * hidden})
        _count_attention(config, parts, attention, hidden)
    return Counter({part: count * elements for part, elements in parts.items() if part is not Part.COPY})


def _count_attention(config: ConfigReader, parts: Tally, attention: Attention, hidden: int) -> None:
    heads, dim, mla = attention.heads, attention.head_dim, attention.latent
    if (out_rank := config.integer("o_lora_rank")) is not None:
        _count_grouped_output(config, parts, attention, hidden, out_rank)
        return
    if mla is None:
        dim_v = attention.head_dim_v or dim
        queries = heads * dim * (2 if _gated(config) else 1)
        keys = attention.kv_heads * (dim + dim_v) if attention.keeps_cache else 0
        parts[Part.ATTENTION] += hidden * (queries + keys) + heads * dim_v * hidden
        return
    width = mla.nope_dim + mla.rope_dim
    if mla.q_rank is None:
        parts[Part.ATTENTION] += hidden * heads * width
    else:
        parts[Part.LATENT] += hidden * mla.q_rank
        parts[Part.ATTENTION] += mla.q_rank * heads * width
    parts[Part.LATENT] += hidden * (mla.rank + mla.rope_dim)
    parts[Part.ATTENTION] += mla.rank * heads * (mla.nope_dim + mla.v_dim) + heads * mla.v_dim * hidden
    parts[Part.COPY] += 0 if attention.cached_whole else mla.rank * heads * (mla.nope_dim + mla.v_dim)
    if mla.indexer_dim is not None:
        index_heads = mla.indexer_heads or 1
        parts[Part.LATENT] += (mla.q_rank or hidden) * index_heads * mla.indexer_dim
        parts[Part.LATENT] += hidden * (mla.indexer_dim + index_heads)


def _count_grouped_output(config: ConfigReader, parts: Tally, attention: Attention, hidden: int, rank: int) -> None:
    """DeepSeek V4: one head of keys that are the values too, and an output projection of low rank in groups."""
    width, query_rank = attention.heads * attention.head_dim, config.integer("q_lora_rank") or hidden
    parts[Part.LATENT] += hidden * (query_rank + attention.head_dim)
    parts[Part.ATTENTION] += query_rank * width + width * rank + (config.integer("o_groups") or 1) * rank * hidden


def _gated(config: ConfigReader) -> bool:
    """Qwen3-Next and after: the query projection carries a gate of the same width."""
    given = config.flag("attn_output_gate", "use_attention_gate")
    return (
        given
        if given is not None
        else (config.text("model_type") or "").startswith(("qwen3_next", "qwen3_5", "qwen4_exp"))
    )


def _count_extras(config: ConfigReader, parts: Tally, hidden: int, count: int) -> None:
    """What single families have beside their layers."""
    kind = config.text("model_type") or ""
    if kind in {"gpt2", "gpt_bigcode", "opt", "whisper"}:
        positions = config.integer("max_position_embeddings", "n_positions", "max_target_positions") or 0
        parts[Part.REST] += positions * hidden
    if (inner := config.integer("hidden_size_per_layer_input")) is not None:
        vocabulary = config.integer("vocab_size_per_layer_input") or 0
        parts[Part.EMBEDDING] += vocabulary * count * inner
        parts[Part.REST] += hidden * count * inner * 3
    if kind.startswith("gemma3n"):
        inputs, rank = config.integer("altup_num_inputs") or 4, config.integer("laurel_rank") or 64
        parts[Part.REST] += 2 * (inputs - 1) * hidden * hidden + count * 2 * hidden * rank
    if kind == "zamba2":
        _count_shared_blocks(config, parts, hidden, count)
    if kind == "whisper":
        _count_cross_attention(config, parts, hidden, count)


def _count_shared_blocks(config: ConfigReader, parts: Tally, hidden: int, count: int) -> None:
    """Zamba2: few transformer blocks over twice the width, used again and again with adapters of each place."""
    blocks, wide = config.integer("num_mem_blocks") or 1, 2 * hidden
    width, rank = intermediate_size(config, hidden) or 4 * hidden, config.integer("adapter_rank") or 128
    places = len(config.integers("hybrid_layer_ids")) or sum(t == "hybrid" for t in config.texts("layers_block_type"))
    parts[Part.ATTENTION] += blocks * (3 * wide * wide + wide * hidden)
    parts[Part.DENSE] += blocks * 3 * hidden * width + places * hidden * hidden
    adapters = places if config.flag("use_shared_attention_adapter", "use_shared_mlp_adapter") is not False else 0
    parts[Part.REST] += adapters * rank * (hidden + 2 * width) * blocks


def _count_cross_attention(config: ConfigReader, parts: Tally, hidden: int, count: int) -> None:
    """Whisper: each decoder layer attends to the encoder too; the encoder itself."""
    parts[Part.ATTENTION] += count * 4 * hidden * hidden
    layers = config.integer("encoder_layers") or 0
    width = config.integer("encoder_ffn_dim") or 4 * hidden
    positions = config.integer("max_source_positions") or 0
    mel = config.integer("num_mel_bins") or 80
    parts[Part.VISION] += layers * (4 * hidden * hidden + gates(config) * hidden * width)
    parts[Part.VISION] += positions * hidden + 3 * hidden * (mel + hidden)
