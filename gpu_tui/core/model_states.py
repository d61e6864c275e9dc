"""The state that Mamba, gated delta net, linear attention and short convolutions keep, and what their layers weigh.

Shapes and dtypes as `MambaStateShapeCalculator` and `MambaStateDtypeCalculator` of vLLM 0.32 give them
(`model_executor/layers/mamba/mamba_utils.py`, and each model's `get_mamba_state_shape_from_config`).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from gpu_tui.core.config_reader import ConfigReader
from gpu_tui.core.model_facts import StateShape

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_CHUNK, _CHUNK_MAMBA2 = 2048, 256
"""Tokens of a chunk: where a model has none (`ModelConfig.get_mamba_chunk_size`), and Mamba2's where it is not told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateLayer:
    """One layer's state, and its weights as (projections, the rest) in elements."""

    shape: StateShape
    projections: int
    rest: int


def state_layer(config: ConfigReader, hidden: int, heads: int | None) -> StateLayer | None:
    """The state layers' shape; None where the config does not tell it."""
    kind = config.text("model_type") or ""
    if config.integer("linear_num_value_heads") is not None:
        return _delta_net(config, hidden)
    linear = config.table("linear_attn_config")
    if linear is not None and linear.integer("num_heads") is not None:
        return _kimi_delta(linear, hidden)
    if config.integer("conv_L_cache") is not None:
        return _short_conv(config, hidden)
    if kind in {"minimax", "minimax_text_01", "bailing_moe_linear"} or config.items("attn_type_list"):
        return _linear(config, hidden, heads)
    return _mamba2(config, hidden) or _mamba1(config, hidden)


def _delta_net(config: ConfigReader, hidden: int) -> StateLayer | None:
    """Gated delta net of Qwen3-Next and Qwen3.5."""
    v_heads = config.integer("linear_num_value_heads") or 0
    k_heads = config.integer("linear_num_key_heads") or v_heads
    k_dim, v_dim = config.integer("linear_key_head_dim") or 128, config.integer("linear_value_head_dim") or 128
    kernel = config.integer("linear_conv_kernel_dim") or 4
    channels = 2 * k_heads * k_dim + v_heads * v_dim
    shape = StateShape(
        conv_channels=channels,
        conv_kernel=kernel,
        ssm_elements=v_heads * v_dim * k_dim,
        ssm_bytes=_BYTES.get(config.text("mamba_ssm_dtype") or ""),
    )
    projections = hidden * (channels + v_heads * v_dim) + v_heads * v_dim * hidden
    return StateLayer(
        shape=shape, projections=projections, rest=channels * kernel + 2 * v_heads * hidden + 2 * v_heads + v_dim
    )


def _kimi_delta(linear: ConfigReader, hidden: int) -> StateLayer:
    heads, dim = linear.integer("num_heads") or 0, linear.integer("head_dim") or 128
    kernel, width = linear.integer("short_conv_kernel_size") or 4, heads * dim
    shape = StateShape(conv_channels=3 * width, conv_kernel=kernel, ssm_elements=heads * dim * dim, ssm_bytes=4)
    low_rank = 2 * (hidden * dim + dim * width)
    return StateLayer(
        shape=shape, projections=4 * hidden * width + low_rank, rest=3 * width * kernel + hidden * heads + width
    )


def _short_conv(config: ConfigReader, hidden: int) -> StateLayer:
    width, kernel = config.integer("conv_dim") or hidden, config.integer("conv_L_cache") or 3
    shape = StateShape(conv_channels=width, conv_kernel=kernel, ssm_elements=0)
    return StateLayer(shape=shape, projections=hidden * 3 * width + width * hidden, rest=width * kernel)


def _linear(config: ConfigReader, hidden: int, heads: int | None) -> StateLayer | None:
    if heads is None:
        return None
    dim = config.integer("head_dim") or hidden // heads
    width = heads * dim
    shape = StateShape(conv_channels=0, conv_kernel=1, ssm_elements=width * dim)
    return StateLayer(shape=shape, projections=5 * hidden * width, rest=width)


def _mamba2(config: ConfigReader, hidden: int) -> StateLayer | None:
    kind = config.text("model_type") or ""
    heads = config.integer("mamba_num_heads", "mamba_n_heads", "n_mamba_heads")
    dim = config.integer("mamba_head_dim", "mamba_d_head", "mamba_headdim")
    if kind == "mamba2" or (heads is None and config.integer("n_groups") is not None):
        heads, dim = config.integer("num_heads"), config.integer("head_dim")
    if kind == "plamo2":
        dim = config.integer("hidden_size_per_head")
    states = config.integer("ssm_state_size", "mamba_d_state", "state_size")
    if heads is None or dim is None or states is None:
        return None
    groups = 0 if kind == "plamo2" else config.integer("mamba_n_groups", "mamba_ngroups", "n_groups") or 1
    kernel = config.integer("conv_kernel", "mamba_d_conv") or 4
    width = config.integer("mamba_d_ssm") or heads * dim
    channels = width + 2 * groups * states
    default = "float32" if kind.startswith("nemotron_h") or "NemotronH" in str(config.items("architectures")) else ""
    shape = StateShape(
        conv_channels=channels,
        conv_kernel=kernel,
        ssm_elements=heads * dim * states,
        ssm_bytes=_BYTES.get(config.text("mamba_ssm_cache_dtype") or default),
        conv_groups=groups,
        group_channels=2 * states,
        # PLaMo 2 has a mixer of its own.
        chunk=None
        if kind == "plamo2"
        else config.integer("mamba_chunk_size", "chunk_size") or (128 if default else _CHUNK_MAMBA2),
        checkpoints=kind != "plamo2",
    )
    projections = hidden * (width + channels + heads) + width * hidden
    return StateLayer(shape=shape, projections=projections, rest=channels * (kernel + 1) + 3 * heads + width)


def _mamba1(config: ConfigReader, hidden: int) -> StateLayer | None:
    states = config.integer("state_size", "mamba_d_state")
    if states is None:
        return None
    expand = config.number("mamba_expand", "expand") or 2
    pure = config.text("model_type") in {"mamba", "falcon_mamba"}
    width = (config.integer("intermediate_size", "d_inner") if pure else None) or int(expand * hidden)
    kernel = config.integer("conv_kernel", "mamba_d_conv", "d_conv") or 4
    rank = config.integer("time_step_rank", "mamba_dt_rank") or ceil(hidden / 16)
    shape = StateShape(conv_channels=width, conv_kernel=kernel, ssm_elements=width * states, chunk=_CHUNK)
    projections = hidden * 2 * width + width * hidden + width * (rank + 2 * states) + rank * width
    return StateLayer(shape=shape, projections=projections, rest=width * (kernel + 1 + states + 2))
