"""What a quantized checkpoint's weights take, from the `quantization_config` of its `config.json`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gpu_tui.core.config_reader import ConfigReader
from gpu_tui.core.model_weights import Part, Tally

_QUANTIZED = frozenset({Part.ATTENTION, Part.STATE, Part.DENSE, Part.EXPERTS, Part.SHARED, Part.LATENT, Part.PADDING})
"""Linear layers; embedding, output head, router, norms and encoders keep their dtype unless the config says else."""
_EXPERTS_ONLY = frozenset({Part.EXPERTS, Part.PADDING})
_ATTENTIONS = (Part.ATTENTION, Part.LATENT)
_DRAFT = re.compile(r"(^|[.*])mtp|nextn")
_SUBMODULES: tuple[tuple[re.Pattern[str], tuple[Part, ...], float], ...] = (
    (re.compile(r"lm_head"), (Part.HEAD,), 1.0),
    (re.compile(r"embed_tokens|embedding"), (Part.EMBEDDING,), 1.0),
    (re.compile(r"vis(ion|ual)|multi_modal|audio|patch_embed|projector|merger"), (Part.VISION,), 1.0),
    (_DRAFT, (), 0.0),
    (re.compile(r"router|(mlp|moe|ffn)\.gate($|\.|\*)|shared_expert_gate|norm|conv1d|act_fn|rotary"), (), 0.0),
    (re.compile(r"shared_experts?"), (Part.SHARED,), 1.0),
    (re.compile(r"experts"), (Part.EXPERTS,), 1.0),
    (re.compile(r"(linear_attn|mamba|mixer|conv).*(in_proj_(a|b|ba)|dt_proj|x_proj|A_log)"), (), 0.0),
    (re.compile(r"(linear_attn|mamba|mixer).*(in_proj|qkvz?)"), (Part.STATE,), 0.6),
    (re.compile(r"(linear_attn|mamba|mixer).*out_proj"), (Part.STATE,), 0.3),
    (re.compile(r"linear_attn|mamba|conv"), (Part.STATE,), 1.0),
    (re.compile(r"(attn|attention).*\.(q_proj|o_proj|qkv_proj|q_b_proj)"), (Part.ATTENTION,), 0.4),
    (re.compile(r"(attn|attention).*\.(k_proj|v_proj|kv_b_proj)"), (Part.ATTENTION,), 0.1),
    (re.compile(r"(attn|attention).*\.(q_a_proj|kv_a_proj|wk|weights_proj|wq_b|fused_qkv_a)"), (Part.LATENT,), 0.5),
    (re.compile(r"self_attn|attention"), _ATTENTIONS, 1.0),
    (re.compile(r"attn"), (*_ATTENTIONS, Part.STATE), 1.0),
    (re.compile(r"(gate|up|down)_proj|fc[12]|w[123]$"), (Part.DENSE,), 0.34),
    (re.compile(r"mlp|ffn|feed_forward"), (Part.DENSE,), 1.0),
)
"""Names of modules in a list of exceptions, the part they are of, and what share of it. The first match counts."""
MOST_NAMES = 40_000
"""Of a list of modules; one that names every expert of every layer is long."""
_LAYER = re.compile(r"\.(\d{1,4})(\.|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """How a checkpoint is quantized."""

    method: str
    element_bytes: float | None
    """Bytes of one quantized weight with its scales; None: not known."""
    expert_bytes: float | None = None
    """Where experts are quantized otherwise."""
    parts: frozenset[Part] = _QUANTIZED
    kept: Mapping[Part, float] = field(default_factory=dict)
    """The share of a part that stays in the model's dtype."""
    kv_cache_dtype: str | None = None
    draft: bool = True
    """The layers for multi-token prediction are quantized too."""
    exceptions: bool = False
    """The config lists modules that stay as they are."""


def quantization(
    config: Mapping[str, object], language: ConfigReader, count: int, forced: str | None
) -> Quantization | None:
    """The checkpoint's quantization, or the one asked for at loading (`--quantization`); None: none."""
    for place in (ConfigReader(config), language):
        table = place.table("quantization_config", "compression_config")
        if table is not None:
            found = _checkpoint(table, count)
            # DeepSeek V4: FP8 outside, FP4 in blocks of 32 within the experts.
            fp4 = language.text("expert_dtype") == "fp4"
            return replace(found, expert_bytes=0.5 + 1 / 32) if fp4 and found.element_bytes is not None else found
    if forced is None:
        return None
    sizes = {"fp8": 1.0, "bitsandbytes": 0.5 + 4 / 64, "experts_int8": 1.0, "int8": 1.0, "mxfp4": 0.5 + 1 / 32}
    parts = _EXPERTS_ONLY if forced == "experts_int8" else _QUANTIZED
    return Quantization(method=forced, element_bytes=sizes.get(forced), parts=parts)


def weights_bytes(parts: Tally, dtype_bytes: int, quant: Quantization | None) -> int | None:
    """Bytes of all weights as loaded; None where the quantization's size is not known."""
    if quant is not None and quant.element_bytes is None:
        return None
    return round(sum(elements * _size(part, dtype_bytes, quant) for part, elements in parts.items()))


def _size(part: Part, dtype_bytes: int, quant: Quantization | None) -> float:
    """Bytes of one element of `part`."""
    if quant is None or quant.element_bytes is None:
        return 0 if part in {Part.PADDING, Part.COPY} else dtype_bytes
    if part is Part.COPY:
        return dtype_bytes if Part.ATTENTION in quant.parts else 0
    if part not in quant.parts:
        return dtype_bytes
    kept = quant.kept.get(part, 0.0)
    quantized = quant.element_bytes if part is not Part.EXPERTS else quant.expert_bytes or quant.element_bytes
    return kept * dtype_bytes + (1 - kept) * quantized


def _checkpoint(table: ConfigReader, count: int) -> Quantization:
    modelopt = table.table("quantization")
    method = (table.text("quant_method") or "").lower().replace("compressed_tensors", "compressed-tensors")
    inner = modelopt if modelopt is not None and method in {"", "modelopt"} else table
    algo = (inner.text("quant_algo") or "").upper()
    if not method or method == "modelopt":
        method = {"NVFP4": "modelopt_fp4", "MIXED_PRECISION": "modelopt_mixed"}.get(algo, method or "modelopt")
    places = [place for place in (table, modelopt) if place is not None]
    names = [name for key in _EXCEPTIONS for place in places for name in place.texts(key, MOST_NAMES)]
    names += _dynamic(table)
    kept = _kept(names, count)
    parts = _EXPERTS_ONLY if method in {"mxfp4", "gpt_oss_mxfp4"} and _only_experts(names) else _QUANTIZED
    if table.flag("lm_head") is True:
        parts |= {Part.HEAD}
    return Quantization(
        method=method or "unknown",
        element_bytes=_element_bytes(table, inner, method, algo),
        parts=parts,
        kept=kept,
        draft=not any(_DRAFT.search(name[:200]) for name in names),
        kv_cache_dtype=_kv_cache_dtype(table, inner),
        exceptions=bool(names),
    )


_EXCEPTIONS = (
    "ignore",
    "ignored_layers",
    "modules_to_not_convert",
    "exclude_modules",
    "exclude",
    "llm_int8_skip_modules",
    "modules_to_not_quantize",
)


def _dynamic(table: ConfigReader) -> list[str]:
    """GPTQ's negative patterns (`-:.*attn.*`) and AutoRound's layers left at 16 bits."""
    dynamic, extra = table.table("dynamic"), table.table("extra_config")
    names = [key[2:] for key in (dynamic.names() if dynamic is not None else ()) if key.startswith("-:")]
    for key in extra.names() if extra is not None else ():
        bits = extra.table(key) if extra is not None else None
        names += [key] if bits is not None and (bits.integer("bits") or 0) >= 16 else []
    return names


def _only_experts(names: list[str]) -> bool:
    return not names or any("attn" in name for name in names)


def _kept(names: list[str], count: int) -> dict[Part, float]:
    """For each part, the share of it that the listed modules are."""
    shares: dict[Part, float] = {}
    for name in names:
        parts, share = next(((p, s) for known, p, s in _SUBMODULES if known.search(name[:200])), ((), 0.0))
        one = count if count and _LAYER.search(name) else 1
        for part in parts:
            shares[part] = shares.get(part, 0.0) + share / one
    return {part: min(1.0, share) for part, share in shares.items()}


def _kv_cache_dtype(table: ConfigReader, inner: ConfigReader) -> str | None:
    algo = (inner.text("kv_cache_quant_algo") or "").upper()
    scheme = table.table("kv_cache_scheme")
    if algo == "FP8" or (scheme is not None and scheme.integer("num_bits") == 8):
        return "fp8"
    return "nvfp4" if algo == "NVFP4" else None


def _element_bytes(table: ConfigReader, inner: ConfigReader, method: str, algo: str) -> float | None:
    groups = table.table("config_groups")
    if groups is not None:
        return _grouped(groups, table.text("format") or "")
    if "FP4" in algo or method == "modelopt_fp4":
        return 0.5 + (1 / 16 if "NV" in algo or "modelopt" in method else 1 / 32)
    if method in {"mxfp4", "gpt_oss_mxfp4"}:
        return 0.5 + 1 / 32
    if method == "bitsandbytes":
        return 1.0 if table.flag("load_in_8bit") is True else 0.5 + 4 / 64
    if "fp8" in method or "FP8" in algo or method in {"modelopt", "fp8", "experts_int8", "eetq"}:
        block = table.integers("weight_block_size")
        return 1.0 + (4 / (block[0] * block[1]) if len(block) == 2 and all(block) else 0)
    bits = table.number("bits", "w_bit", "wbits", "nbits", "weight_bits") or inner.number("bits")
    group = table.integer("group_size", "q_group_size")
    return None if bits is None or bits > 32 else bits / 8 + ((2 + bits / 8) / group if group is not None else 0)


def _grouped(groups: ConfigReader, form: str) -> float | None:
    """compressed-tensors: the widest-reaching group's weights."""
    for key in groups.names():
        group = groups.table(key)
        weights = group.table("weights") if group is not None else None
        bits = weights.number("num_bits") if weights is not None else None
        if weights is None or bits is None or bits > 32:
            continue
        size = weights.integer("group_size")
        scale = 1 if "fp4" in form or (bits == 4 and weights.text("type") == "float") else 2
        return bits / 8 + (scale / size if size is not None else 0)
    return None
