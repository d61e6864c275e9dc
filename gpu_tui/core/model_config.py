"""A model's facts from its `config.json` alone: caches exactly, weights as an estimate with a band."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from gpu_tui.core.config_reader import ConfigReader, language_model
from gpu_tui.core.model_attention import Attention, attentions, num_heads
from gpu_tui.core.model_context import context_length, served_dtype
from gpu_tui.core.model_facts import LayerGroup, LayerKind, ModelFacts
from gpu_tui.core.model_families import COUNTED
from gpu_tui.core.model_layers import Mixer, mixers, num_layers
from gpu_tui.core.model_mlp import experts_per_token, mlp_width, num_experts
from gpu_tui.core.model_quant import Quantization, quantization, weights_bytes
from gpu_tui.core.model_rotary import rotary_elements
from gpu_tui.core.model_states import StateLayer, state_layer
from gpu_tui.core.model_vision import UNTOLD_ENCODER, encoder_elements, encoder_load, is_multimodal
from gpu_tui.core.model_weights import EXTRAS, WHOLE, Part, Tally, draft_tally, tally
from gpu_tui.core.origins import Origin, OriginKind

_UNCOUNTED = "weights of the family"
SOURCE = "config.json: estimated from shapes"
_ENCODER_ONLY = ("Bert", "Roberta", "ModernBert", "Electra", "Nomic", "GteModel", "GteNew", "Deberta", "Bge")
_NOT_MODELLED = {"deepseek_v4", "deepseek_v41", "hy_v4", "inkling"}
"""Their caches are of several sizes a layer (compressed attention), which no figure here describes."""
_KINDS = {
    Mixer.FULL: LayerKind.FULL,
    Mixer.SLIDING: LayerKind.SLIDING,
    Mixer.CHUNKED: LayerKind.CHUNKED,
}


def facts_from_config(
    config: Mapping[str, object], *, name: str | None = None, quantization_arg: str | None = None
) -> ModelFacts:
    """Facts of the model `config` describes; never raises: what it does not tell is None or an assumption.

    Args:
        config: a parsed `config.json`, whoever wrote it.
        quantization_arg: `--quantization`, for a checkpoint that is quantized while it is loaded.
    """
    shape = _shape(config)
    quant = quantization(config, shape.language, shape.count or 0, quantization_arg)
    facts = replace(_facts(config, shape, quant), name=name)
    if shape.hidden is None or facts.vocab_size is None or not shape.kinds:
        return facts
    if untold := _untold(shape, facts):
        return replace(facts, assumptions=(*facts.assumptions, f"the config does not tell {untold}: weights unknown"))
    if facts.draft_layers:
        draft = draft_tally(shape.language, shape.hidden, shape.attentions, facts.draft_layers)
        facts = replace(facts, draft_bytes=weights_bytes(draft, 2, quant if quant is None or quant.draft else None))
    parts, missing = _parts(config, shape, shape.hidden)
    if (kind := shape.language.text("model_type")) not in COUNTED:
        missing += (f"{_UNCOUNTED} {str(kind)[:40]} were never compared with real ones",)
    return _weighed(replace(facts, assumptions=facts.assumptions + missing), parts, quant, bool(missing))


def _untold(shape: _Shape, facts: ModelFacts) -> str:
    """What the weights cannot be counted without; empty where all is told."""
    attends = any(kind in _KINDS for kind in shape.kinds)
    if attends and facts.num_attention_heads is None:
        return "the query heads"
    listed = shape.language.items("block_configs") or shape.language.items("ffn_multipliers")
    if attends and facts.intermediate_size is None and not listed and Mixer.STATE not in shape.kinds:
        return "the width of the MLP"
    return ""


def beyond_estimate(facts: ModelFacts) -> tuple[str, ...]:
    """The assumptions that still stand once the weights are known from files."""
    return tuple(note for note in facts.assumptions if not note.startswith((_UNCOUNTED, UNTOLD_ENCODER)))


def extra_bytes(config: Mapping[str, object]) -> int:
    """What a loaded model takes beyond the bytes of its files: rotary tables, dequantized copies, filled-up tiles."""
    shape = _shape(config)
    if shape.hidden is None or not shape.kinds:
        return 0
    parts, _ = _parts(config, shape, shape.hidden)
    extras = Counter({part: elements for part, elements in parts.items() if part in EXTRAS})
    return weights_bytes(extras, 2, quantization(config, shape.language, shape.count or 0, None)) or 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """The language model's layers."""

    language: ConfigReader
    count: int | None
    hidden: int | None
    kinds: tuple[Mixer, ...]
    attentions: list[Attention | None]
    state: StateLayer | None
    notes: tuple[str, ...]


def _shape(config: Mapping[str, object]) -> _Shape:
    language = language_model(config)
    count, hidden = num_layers(language), hidden_size(language)
    kinds, notes = mixers(language, count) if count is not None else ((), ())
    layers = attentions(language, kinds, hidden) or [None] * len(kinds)
    recurrent = hidden is not None and (Mixer.STATE in kinds or Mixer.BOTH in kinds)
    state = state_layer(language, hidden, num_heads(language)) if hidden is not None and recurrent else None
    return _Shape(
        language=language, count=count, hidden=hidden, kinds=kinds, attentions=layers, state=state, notes=notes
    )


def _facts(config: Mapping[str, object], shape: _Shape, quant: Quantization | None) -> ModelFacts:
    language = shape.language
    dtype, dtype_notes = served_dtype(config, language)
    length, length_notes = context_length(language)
    architecture = next(iter(ConfigReader(config).texts("architectures")), None)
    groups = _groups(language, shape.kinds, shape.attentions, shape.state)
    why = () if groups else (_why_no_cache(language, architecture),)
    return ModelFacts(
        architecture=architecture,
        groups=groups,
        num_layers=shape.count,
        hidden_size=shape.hidden,
        intermediate_size=mlp_width(language, shape.hidden, shape.count or 0) if shape.hidden is not None else None,
        num_attention_heads=num_heads(language),
        vocab_size=language.integer("vocab_size", "padded_vocab_size"),
        max_model_len=length,
        dtype=dtype,
        quantization=quant.method if quant is not None else None,
        kv_cache_dtype=quant.kv_cache_dtype if quant is not None else None,
        multimodal=is_multimodal(config),
        encoder=encoder_load(config),
        num_experts=num_experts(language),
        experts_per_token=experts_per_token(language),
        draft_layers=language.integer("num_nextn_predict_layers", "mtp_num_hidden_layers", most=64) or 0,
        assumptions=shape.notes + why + dtype_notes + length_notes + _cross(language) + _sparse(language, groups),
    )


def _parts(config: Mapping[str, object], shape: _Shape, hidden: int) -> tuple[Tally, tuple[str, ...]]:
    parts = tally(shape.language, hidden, shape.attentions, shape.kinds, shape.state)
    parts[Part.ROTARY] += rotary_elements(shape.language, shape.attentions)
    encoder, missing = encoder_elements(config, hidden)
    parts[Part.VISION] += encoder
    return parts, missing


def hidden_size(config: ConfigReader) -> int | None:
    """Width of the residual stream."""
    return config.integer("hidden_size", "n_embd", "d_model", "model_dim", "dim")


def _groups(
    config: ConfigReader, kinds: tuple[Mixer, ...], layers: list[Attention | None], state: StateLayer | None
) -> tuple[LayerGroup, ...]:
    """Layers of one shape together, in the order of their first layer; empty where a cache is not known."""
    incomplete = any(kind in _KINDS and layer is None for kind, layer in zip(kinds, layers, strict=True))
    blocks = bool(config.items("block_configs"))
    if (
        config.text("model_type") in _NOT_MODELLED
        or (incomplete and not blocks)
        or ((Mixer.STATE in kinds or Mixer.BOTH in kinds) and state is None)
    ):
        return ()
    shapes: dict[LayerGroup, list[int]] = {}
    for i, (kind, layer) in enumerate(zip(kinds, layers, strict=True)):
        if kind in {Mixer.STATE, Mixer.BOTH} and state is not None:
            shapes.setdefault(LayerGroup(kind=LayerKind.STATE, layers=(), state=state.shape), []).append(i)
        if layer is not None and layer.keeps_cache:
            shapes.setdefault(_attention_group(layer), []).append(i)
    return tuple(replace(shape, layers=tuple(numbers)) for shape, numbers in shapes.items())


def _attention_group(layer: Attention) -> LayerGroup:
    if layer.latent is not None and not layer.cached_whole:
        mla = layer.latent
        return LayerGroup(
            kind=LayerKind.MLA, layers=(), latent_dim=mla.rank + mla.rope_dim, indexer_dim=mla.indexer_dim, kv_heads=1
        )
    return LayerGroup(
        kind=_KINDS[layer.mixer],
        layers=(),
        kv_heads=layer.kv_heads,
        head_dim=layer.head_dim,
        head_dim_v=layer.head_dim_v,
        window=layer.window,
    )


def _why_no_cache(config: ConfigReader, architecture: str | None) -> str:
    if config.text("model_type") in _NOT_MODELLED:
        return f"the compressed cache of {config.text('model_type')} is not modelled: the KV cache is unknown"
    if architecture is not None and any(word in architecture for word in _ENCODER_ONLY):
        return "an encoder without a KV cache: nothing to predict for requests"
    return "the config does not tell layers, heads and head size: the KV cache is unknown"


def _sparse(config: ConfigReader, groups: tuple[LayerGroup, ...]) -> tuple[str, ...]:
    counted = any(group.indexer_dim is not None for group in groups)
    given = config.integer("index_head_dim", "indexer_head_dim") is not None or config.table("sparse_attention_config")
    return ("the sparse attention's own small cache is not counted",) if groups and given and not counted else ()


def _cross(config: ConfigReader) -> tuple[str, ...]:
    if config.flag("is_encoder_decoder") is True:
        return ("an encoder-decoder: the cache of its cross-attention comes on top and is not counted",)
    return ()


def _weighed(facts: ModelFacts, parts: Tally, quant: Quantization | None, partly: bool) -> ModelFacts:
    parameters = sum(elements for part, elements in parts.items() if part not in EXTRAS)
    total = weights_bytes(parts, 2, quant)
    if total is None:
        least, most = round(parameters * 0.25), round(parameters * 2.1)
        note = f"the size of {facts.quantization} weights is not known: 2 to 16 bits each"
        return replace(facts, parameters=parameters, weights_band=(least, most), assumptions=(*facts.assumptions, note))
    below, above = _uncertainty(facts, quant, partly)
    alone = Counter({part: parts[part] for part in WHOLE})
    return replace(
        facts,
        parameters=parameters,
        weights_bytes=total,
        weights_origin=Origin(kind=OriginKind.DERIVED, source=SOURCE),
        weights_band=(round(total * (1 - below)), round(total * (1 + above)) + SMALL_CHANGE),
        unsharded_bytes=weights_bytes(alone, 2, quant),
        encoder_bytes=weights_bytes(Counter({Part.VISION: parts[Part.VISION]}), 2, quant),
    )


SMALL_CHANGE = 32 << 20
"""Bytes: biases and workspaces, which no shape in the config tells."""


def _uncertainty(facts: ModelFacts, quant: Quantization | None, partly: bool) -> tuple[float, float]:
    """How far the estimate may be off, as shares below and above.

    Wide enough for every start in the sample whose model has its config in `tests/core/data/configs`.
    """
    below, above = 0.005, 0.008
    if facts.multimodal:
        below, above = below + 0.02, above + 0.03
    if partly:
        below, above = below + 0.1, above + 0.3
    if quant is not None:
        below, above = below + 0.03, above + (0.09 if quant.exceptions else 0.03)
    if any(group.kind is LayerKind.STATE for group in facts.groups):
        below, above = below + 0.01, above + 0.012
    return below, above
