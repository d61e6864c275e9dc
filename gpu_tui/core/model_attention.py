"""Heads, head sizes and caches of a model's attention layers, from its `config.json`.

Heads and head sizes are read as vLLM reads them (`transformers_utils/model_arch_config_convertor.py`, vLLM 0.32).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gpu_tui.core.config_reader import ConfigReader, at, whole
from gpu_tui.core.model_layers import Mixer, window

_NOT_LATENT = {"minicpm3"}
"""Configs with `kv_lora_rank` that vLLM serves with an ordinary cache of all heads."""
_FALCON = {"falcon", "RefinedWeb", "RefinedWebModel"}
_GEMMA4 = {"gemma4", "gemma4_text", "gemma4_unified_text", "diffusion_gemma_text"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Latent:
    """Multi-head latent attention: what is cached is `rank + rope_dim` elements a token."""

    rank: int
    rope_dim: int
    nope_dim: int
    v_dim: int
    q_rank: int | None
    indexer_heads: int | None = None
    indexer_dim: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """One layer's attention."""

    mixer: Mixer
    heads: int
    kv_heads: int
    head_dim: int
    head_dim_v: int | None = None
    window: int | None = None
    latent: Latent | None = None
    cached_whole: bool = False
    """Latent weights, but an ordinary cache of all heads (MiniCPM3)."""
    keeps_cache: bool = True
    """False where the layer reads another layer's cache."""


def num_heads(config: ConfigReader) -> int | None:
    """Query heads."""
    heads = config.integer(
        "num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads", most=1 << 20
    )
    return heads or max(config.integers("num_query_heads"), default=None)


def head_dim(config: ConfigReader, hidden: int | None, heads: int | None) -> int | None:
    """Elements of one head."""
    dim = config.integer("head_dim", "hidden_size_per_head", "attention_head_dim", "kv_channels", "v_head_dim_k")
    if dim is not None or hidden is None or heads is None:
        return dim
    return hidden // heads or None


def num_kv_heads(config: ConfigReader, heads: int) -> int:
    """Key and value heads, before tensor parallelism."""
    kind = config.text("model_type")
    if config.flag("multi_query") is True and not (kind in _FALCON and config.flag("new_decoder_architecture") is True):
        return 1
    inner = config.table("attn_config")
    inside = inner.integer("kv_n_heads", "num_kv_heads") if inner is not None else None
    names = ("n_head_kv", "num_kv_heads", "num_key_value_heads", "multi_query_group_num", "num_attention_groups")
    given = config.integer(*names, "n_kv_heads", "num_query_groups", "decoder_kv_heads")
    if config.flag("multi_query_attention") is False:
        given = None
    return inside or given or heads


def latent(config: ConfigReader) -> Latent | None:
    """The latent attention of DeepSeek V2 and those after it; None for ordinary attention."""
    rank, rope = config.integer("kv_lora_rank"), config.integer("qk_rope_head_dim")
    if rank is None or rope is None:
        return None
    nope = config.integer("qk_nope_head_dim") or 128
    index_dim = config.integer("index_head_dim") if config.integer("index_topk") is not None else None
    return Latent(
        rank=rank,
        rope_dim=rope,
        nope_dim=nope,
        v_dim=config.integer("v_head_dim") or nope,
        q_rank=config.integer("q_lora_rank"),
        indexer_heads=config.integer("index_n_heads") if index_dim is not None else None,
        indexer_dim=index_dim,
    )


def attentions(config: ConfigReader, mixers: tuple[Mixer, ...], hidden: int | None) -> list[Attention | None]:
    """Each layer's attention, None where it has none; empty where heads or their size are not told."""
    heads = num_heads(config)
    dim = head_dim(config, hidden, heads)
    mla = latent(config)
    if heads is None and dim is not None:
        # Enough for the cache; the weights then stay unknown.
        heads = config.integer("num_key_value_heads", "num_kv_heads")
    if heads is None or (dim is None and mla is None):
        return []
    base = Attention(
        mixer=Mixer.FULL,
        heads=heads,
        kv_heads=num_kv_heads(config, heads),
        head_dim=dim or 0,
        head_dim_v=_value_dim(config, dim),
        latent=mla,
    )
    if mla is not None and config.text("model_type") in _NOT_LATENT:
        # vLLM pads the values to the keys' size, and caches every head.
        base = replace(base, head_dim=mla.nope_dim + mla.rope_dim, kv_heads=heads, cached_whole=True)
    first_shared = len(mixers) - (config.integer("num_kv_shared_layers", least=0) or 0)
    layers: list[Attention | None] = []
    for i, mixer in enumerate(mixers):
        layer = None if mixer in {Mixer.STATE, Mixer.NONE} else _one(config, base, mixer, i)
        layers.append(replace(layer, keeps_cache=False) if layer is not None and i >= first_shared > 0 else layer)
    return layers


def _value_dim(config: ConfigReader, dim: int | None) -> int | None:
    value = config.integer("v_head_dim")
    return value if value is not None and value != dim and config.integer("kv_lora_rank") is None else None


def _one(config: ConfigReader, base: Attention, mixer: Mixer, index: int) -> Attention | None:
    layer = replace(base, mixer=Mixer.FULL if mixer is Mixer.BOTH else mixer)
    if mixer is Mixer.CHUNKED:
        layer = replace(layer, window=config.integer("attention_chunk_size"))
    elif mixer is Mixer.SLIDING:
        layer = _sliding(config, replace(layer, window=window(config)))
    elif config.text("model_type") in _GEMMA4:
        layer = _global(config, layer)
    return _per_layer(config, layer, index)


def _sliding(config: ConfigReader, layer: Attention) -> Attention:
    """Layers with a window may have heads of their own (MiMo-V2: `swa_…`, Step-3.5: `attention_other_setting`)."""
    other = config.table("attention_other_setting")
    if other is not None:
        heads = other.integer("num_attention_heads") or layer.heads
        layer = replace(layer, heads=heads, kv_heads=other.integer("num_attention_groups") or layer.kv_heads)
    return replace(
        layer,
        heads=config.integer("swa_num_attention_heads") or layer.heads,
        kv_heads=config.integer("swa_num_key_value_heads") or layer.kv_heads,
        head_dim=config.integer("swa_head_dim") or layer.head_dim,
        head_dim_v=config.integer("swa_v_head_dim") or layer.head_dim_v,
    )


def _global(config: ConfigReader, layer: Attention) -> Attention:
    """Gemma 4's global layers: `global_head_dim`, and heads of their own where keys serve as values."""
    kv_heads = config.integer("num_global_key_value_heads") if config.flag("attention_k_eq_v") is True else None
    return replace(layer, head_dim=config.integer("global_head_dim") or 512, kv_heads=kv_heads or layer.kv_heads)


def _per_layer(config: ConfigReader, layer: Attention, index: int) -> Attention | None:
    """Models whose layers differ: lists of heads (OpenELM, DeciLM) or of blocks (Nemotron-NAS)."""
    for name in ("num_key_value_heads_per_layer", "num_key_value_heads", "num_kv_heads"):
        if (own := at(config.integers(name), index)) is not None:
            layer = replace(layer, kv_heads=own or layer.kv_heads)
    if (queries := at(config.integers("num_query_heads"), index)) is not None:
        layer = replace(layer, heads=queries or layer.heads)
    blocks = config.items("block_configs")
    block = blocks[index] if index < len(blocks) else None
    attention = block.get("attention") if isinstance(block, Mapping) else None
    if not isinstance(attention, Mapping):
        return layer
    if attention.get("no_op") is True or attention.get("replace_with_linear") is True:
        return None
    group = whole(attention.get("n_heads_in_group"))
    own = whole(attention.get("num_key_value_heads"))
    return replace(layer, kv_heads=own or (max(1, layer.heads // group) if group is not None else layer.kv_heads))
