"""The feed-forward part of each layer: dense, experts, or none, from a model's `config.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from gpu_tui.core.config_reader import ConfigReader, at, whole

_TWO_MATRICES = {
    "gpt2",
    "gpt_bigcode",
    "gpt_neo",
    "gpt_neox",
    "gptj",
    "opt",
    "bloom",
    "mpt",
    "falcon",
    "RefinedWeb",
    "RefinedWebModel",
    "phi",
    "starcoder2",
    "nemotron",
    "nemotron_h",
    "nemotron_h_puzzle",
    "arcee",
    "whisper",
    "codegen",
    "persimmon",
    "jais2",
    "nanochat",
    "apertus",
    "bert",
    "roberta",
    "xlm-roberta",
}
"""Models without a gate: up and down only."""
_FOUR_TIMES = {
    "gpt2",
    "gpt_bigcode",
    "gptj",
    "gpt_neo",
    "codegen",
    "bloom",
    "mpt",
    "falcon",
    "RefinedWeb",
    "RefinedWebModel",
}
LONGCAT = {"longcat_flash", "longcat_flash_ngram"}
"""Each decoder layer has two attentions and two dense MLPs, counted as two layers, and experts beside them."""
_EXPERT_COUNTS = ("num_experts", "moe_num_experts", "n_routed_experts", "num_local_experts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mlp:
    """One layer's feed-forward weights in elements."""

    dense: int = 0
    experts: int = 0
    shared: int = 0
    router: int = 0
    rest: int = 0
    padded_experts: int = 0
    """Elements that vLLM's kernels add to fill up tiles (gpt-oss)."""


def num_experts(config: ConfigReader) -> int | None:
    """Routed experts of one layer; None for a dense model."""
    first = [at(config.integers(name), 0) for name in _EXPERT_COUNTS]
    found = config.integer(*_EXPERT_COUNTS, most=1 << 20) or next((n for n in first if n), None)
    ffn = config.table("ffn_config")
    if found is None and ffn is not None:
        found = ffn.integer("moe_num_experts", most=1 << 20)
    return found if found is not None and found > 1 else None


def intermediate_size(config: ConfigReader, hidden: int) -> int | None:
    """Width of the dense MLP."""
    size = config.integer("intermediate_size_mlp", "intermediate_size", "n_inner", "ffn_dim", "decoder_ffn_dim")
    size = size or config.integer("ffn_hidden_size", "block_ff_dim", "hidden_dim")
    size = size or max(config.integers("intermediate_size"), default=None)
    ffn = config.table("ffn_config")
    if size is None and ffn is not None:
        size = ffn.integer("ffn_hidden_size")
    if size is None and config.text("model_type") in _FOUR_TIMES:
        size = int((config.number("expansion_ratio") or 4) * hidden)
    if size is not None and config.flag("block_auto_adjust_ff_dim") is True:
        multiple = config.integer("block_multiple_of") or 256
        size = ceil(int((config.number("block_ffn_dim_multiplier") or 1) * (2 * size // 3)) / multiple) * multiple
    return size


def mlp(config: ConfigReader, hidden: int, index: int, count: int) -> Mlp:
    """The feed-forward part of layer `index` of `count`."""
    letters = config.text("hybrid_override_pattern")
    words = config.texts("layers_block_type")
    kind = letters[index] if letters is not None and index < len(letters) else None
    if kind is None and {"mlp", "moe"} & set(words):
        kind = {"mlp": "-", "moe": "E"}.get(words[index % len(words)], "M")
    if kind in {"M", "*"} or config.text("model_type") in {"mamba", "mamba2", "falcon_mamba"}:
        return Mlp()
    if (own := _own_block(config, hidden, index)) is not None:
        return own
    if config.text("model_type") in LONGCAT:
        return _longcat(config, hidden, index)
    experts = num_experts(config)
    routed = experts is not None and (kind == "E" or (kind is None and _is_routed(config, index, count)))
    if config.text("model_type") == "zamba2":
        return Mlp()
    if not routed or experts is None:
        return Mlp(dense=_dense(config, hidden, index))
    layer = _routed(config, hidden, experts, index)
    if config.flag("enable_moe_block") is True:
        return Mlp(dense=_dense(config, hidden, index), experts=layer.experts, router=layer.router + hidden + experts)
    return layer


def gates(config: ConfigReader) -> int:
    """Matrices of one MLP: 3 with a gate, 2 without."""
    return 2 if config.text("model_type") in _TWO_MATRICES or config.flag("is_gated_act") is False else 3


def _dense(config: ConfigReader, hidden: int, index: int) -> int:
    sizes = config.integers("intermediate_size")
    width = sizes[index] if index < len(sizes) else intermediate_size(config, hidden)
    if config.text("model_type") == "granitemoehybrid":
        width = config.integer("shared_intermediate_size") or width
    if config.text("model_type") == "qwen" and width is not None:
        width //= 2
    multipliers = config.items("ffn_multipliers")
    if index < len(multipliers) and isinstance(factor := multipliers[index], int | float) and 0 < factor < 1000:
        width = ceil(int(factor * hidden) / 256) * 256
    if config.flag("use_double_wide_mlp") is True and width is not None:
        count = config.integer("num_hidden_layers") or 0
        width *= 2 if index >= count - (config.integer("num_kv_shared_layers") or 0) > 0 else 1
    return gates(config) * hidden * (width or 0)


def _own_block(config: ConfigReader, hidden: int, index: int) -> Mlp | None:
    """Nemotron-NAS: every block's feed-forward part is listed."""
    blocks = config.items("block_configs")
    block = blocks[index] if index < len(blocks) else None
    ffn = block.get("ffn") if isinstance(block, Mapping) else None
    if not isinstance(ffn, Mapping):
        return None
    if ffn.get("no_op") is True:
        return Mlp()
    if ffn.get("replace_with_linear") is True:
        return Mlp(dense=hidden * hidden)
    width, factor = whole(ffn.get("intermediate_size")), ffn.get("ffn_mult")
    if width is None and isinstance(factor, int | float) and 0 < factor < 1000:
        width = ceil(int(2 * factor * hidden / 3) / 256) * 256
    return Mlp(dense=3 * hidden * (width or 0))


def _is_routed(config: ConfigReader, index: int, count: int) -> bool:
    types = config.texts("mlp_layer_types")
    if types:
        return types[index % len(types)] != "dense"
    if (listed := config.text("moe_layers_enum")) is not None:
        return str(index) in {part.strip() for part in listed.split(",")}
    if config.integers("moe_layers"):
        return index in config.integers("moe_layers")
    if index in config.integers("mlp_only_layers"):
        return False
    dense_first = config.integer("first_k_dense_replace", "num_dense_layers", "moe_layer_start_index", least=0) or 0
    last = config.integer("moe_layer_end_index", least=0)
    if index < dense_first or (last is not None and index > last):
        return False
    frequency = config.integers("moe_layer_freq")
    if frequency:
        return bool(at(frequency, index))
    if (period := config.integer("expert_layer_period")) is not None:
        return index % period == (config.integer("expert_layer_offset", least=0) or 0) % period
    step = config.integer("decoder_sparse_step", "interleave_moe_layer_step", "moe_layer_interval") or 1
    return (index + 1) % step == 0 and index % (config.integer("moe_layer_freq") or 1) == 0 and index < count


def experts_per_token(config: ConfigReader) -> int | None:
    """Routed experts that each token passes."""
    ffn = config.table("ffn_config")
    inside = ffn.integer("moe_top_k") if ffn is not None else None
    names = ("num_experts_per_tok", "num_experts_per_token", "top_k_experts", "moe_topk", "moe_top_k")
    return config.integer(*names, "experts_per_token", "moe_k") or inside


def mlp_width(config: ConfigReader, hidden: int, count: int) -> int | None:
    """Width of one dense MLP, or of one expert where every layer is one of experts."""
    plain = config.flag("enable_moe_block") is not True and config.text("model_type") not in LONGCAT
    if plain and num_experts(config) is not None and all(_is_routed(config, i, count) for i in range(count)):
        return _expert_width(config, hidden, 0) or None
    return intermediate_size(config, hidden)


def _expert_width(config: ConfigReader, hidden: int, index: int) -> int:
    listed = config.integers("moe_intermediate_size")
    width = config.integer("moe_intermediate_size", "expert_intermediate_size", "expert_ffn_hidden_size")
    ffn = config.table("ffn_config")
    width = width or at(listed, index) or at(listed, 0) or config.integer("intermediate_size", "n_inner")
    width = width or (ffn.integer("ffn_hidden_size") if ffn is not None else None) or intermediate_size(config, hidden)
    return width or 0


def _routed(config: ConfigReader, hidden: int, experts: int, index: int) -> Mlp:
    width = _expert_width(config, hidden, index)
    inner = config.integer("moe_latent_size") or hidden
    matrices = gates(config)
    shared = matrices * hidden * _shared_width(config, width, index)
    biased = config.text("model_type") == "gpt_oss"
    padded = _up(hidden, 256) * _up(width, 128) - hidden * width if biased else 0
    gate = hidden if config.integer("shared_expert_intermediate_size") is not None else 0
    return Mlp(
        experts=experts * matrices * inner * width,
        shared=shared + (0 if inner == hidden else 2 * hidden * inner),
        router=experts * hidden + gate,
        rest=experts * (2 * width + hidden) + experts if biased else 0,
        padded_experts=experts * matrices * padded,
    )


def _longcat(config: ConfigReader, hidden: int, index: int) -> Mlp:
    dense = _dense(config, hidden, index)
    experts, width = num_experts(config) or 0, config.integer("expert_ffn_hidden_size") or 0
    idle = config.integer("zero_expert_num", least=0) or 0
    if index % 2:
        return Mlp(dense=dense)
    return Mlp(dense=dense, experts=experts * 3 * hidden * width, router=(experts + idle) * hidden)


def _shared_width(config: ConfigReader, width: int, index: int) -> int:
    """Width of the experts every token passes."""
    given = config.integer(
        "shared_expert_intermediate_size",
        "moe_shared_expert_intermediate_size",
        "shared_intermediate_size",
        "share_expert_dim",
    )
    if given is not None:
        return given
    number = config.integer("n_shared_experts", "num_shared_experts", "moe_num_shared_experts", "num_shared_expert")
    number = number or at(config.integers("num_shared_expert"), index)
    if config.text("model_type") in {"llama4", "llama4_text"}:
        number = 1
    if config.flag("use_mixed_mlp_moe") is False:
        number = None
    return (number or 0) * width


def _up(size: int, multiple: int) -> int:
    return ceil(size / multiple) * multiple
