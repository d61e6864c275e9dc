"""Which layer of a model does what: attention of which kind, a recurrent state, or neither, from its `config.json`.

The rules are those of vLLM's models and of the Transformers config classes they read (vLLM 0.32, Transformers 5.19).
"""

from __future__ import annotations

from enum import StrEnum

from gpu_tui.core.config_reader import ConfigReader, at

MOST_LAYERS = 1024


class Mixer(StrEnum):
    """What a layer mixes tokens with."""

    FULL = "full"
    SLIDING = "sliding"
    CHUNKED = "chunked"
    STATE = "state"
    BOTH = "both"
    """Attention and a state side by side, each with its own memory (Falcon-H1, Zamba2)."""
    NONE = "none"


_WORDS = {
    "full_attention": Mixer.FULL,
    "attention": Mixer.FULL,
    "full": Mixer.FULL,
    "global": Mixer.FULL,
    "global_attention": Mixer.FULL,
    "sparse_attention": Mixer.FULL,
    "sliding_attention": Mixer.SLIDING,
    "sliding_window": Mixer.SLIDING,
    "sliding": Mixer.SLIDING,
    "local": Mixer.SLIDING,
    "local_attention": Mixer.SLIDING,
    "swa": Mixer.SLIDING,
    "chunked_attention": Mixer.CHUNKED,
    "linear_attention": Mixer.STATE,
    "gated_deltanet": Mixer.STATE,
    "mamba": Mixer.STATE,
    "mamba1": Mixer.STATE,
    "mamba2": Mixer.STATE,
    "conv": Mixer.STATE,
    "recurrent": Mixer.STATE,
    "hybrid": Mixer.BOTH,
    "mlp": Mixer.NONE,
    "moe": Mixer.NONE,
}
_LETTERS = {"M": Mixer.STATE, "*": Mixer.FULL, "-": Mixer.NONE, "E": Mixer.NONE}
"""`hybrid_override_pattern` of Nemotron-H: Mamba2, attention, MLP, experts."""
_PERIODS = {
    "gemma2": 2,
    "gpt_oss": 2,
    "gemma3": 6,
    "gemma3_text": 6,
    "gemma3n": 5,
    "gemma3n_text": 5,
    "gemma4": 6,
    "gemma4_text": 6,
    "cohere2": 4,
    "exaone4": 4,
    "olmo3": 4,
}
"""Every n-th layer is global, the others have a window, where the config does not list them."""
_WINDOW_OFF = ("qwen",)
"""Kinds whose `sliding_window` counts only with `use_sliding_window`; elsewhere it holds for every layer."""
_TWICE = {"longcat_flash", "longcat_flash_ngram"}
_ONLY_STATE = {"mamba", "mamba2", "falcon_mamba"}


def num_layers(config: ConfigReader) -> int | None:
    """Decoder layers; LongCat's count twice, for each has two attentions."""
    pattern = config.text("hybrid_override_pattern")
    if pattern is not None:
        return min(len(pattern), MOST_LAYERS)
    count = config.integer(
        "num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_transformer_layers", most=MOST_LAYERS
    )
    if config.text("model_type") in _TWICE:
        decoder_layers = config.integer("num_layers", most=MOST_LAYERS // 2)
        return count if decoder_layers is None else 2 * decoder_layers
    blocks = len(config.items("block_configs")) or len(config.texts("layers_block_type"))
    return config.integer("decoder_layers", most=MOST_LAYERS) or count or min(blocks, MOST_LAYERS) or None


def mixers(config: ConfigReader, count: int) -> tuple[tuple[Mixer, ...], tuple[str, ...]]:
    """The mixer of each layer, and what had to be assumed."""
    found = _stated(config, count)
    if found is not None:
        return found
    periodic = _state_pattern(config, count)
    return (periodic, ()) if periodic is not None else (_window_pattern(config, count), ())


def _stated(config: ConfigReader, count: int) -> tuple[tuple[Mixer, ...], tuple[str, ...]] | None:
    pattern = config.text("hybrid_override_pattern")
    if pattern is not None:
        return tuple(_LETTERS.get(letter, Mixer.NONE) for letter in pattern[:count]), ()
    kind = config.text("model_type")
    for name in ("layer_types", "layers_block_type", "block_types"):
        words = config.texts(name)
        if not words or (kind == "zamba2" and name == "layer_types"):
            continue
        unknown = sorted({word for word in words if word not in _WORDS})
        notes = tuple(f"layers of kind {word[:40]!r} are counted as full attention" for word in unknown[:4])
        # A list may be written for more layers than there are, or be one period of a longer model.
        full = [_WORDS.get(words[i % len(words)], Mixer.FULL) for i in range(count)]
        if kind == "zamba2":
            full = [Mixer.BOTH if mixer is Mixer.BOTH else Mixer.STATE for mixer in full]
        return _windows_known(config, kind, full), notes
    return None


def _windows_known(config: ConfigReader, kind: str | None, layers: list[Mixer]) -> tuple[Mixer, ...]:
    """A layer listed as sliding, without a window given or with windows switched off, is a full one."""
    if window(config) is None or (config.flag("use_sliding_window") is False and kind not in {"gemma3n", "gpt_oss"}):
        layers = [Mixer.FULL if mixer is Mixer.SLIDING else mixer for mixer in layers]
    if config.integer("attention_chunk_size") is None:
        layers = [Mixer.FULL if mixer is Mixer.CHUNKED else mixer for mixer in layers]
    return tuple(layers)


def _state_pattern(config: ConfigReader, count: int) -> tuple[Mixer, ...] | None:
    """Hybrids told by an interval, an index list or a kind; None for a plain transformer."""
    kind = config.text("model_type") or ""
    if kind in _ONLY_STATE:
        return (Mixer.STATE,) * count
    if kind == "falcon_h1":
        return (Mixer.BOTH,) * count
    if kind == "zamba2" and (hybrid := config.integers("hybrid_layer_ids")):
        return tuple(Mixer.BOTH if i in hybrid else Mixer.STATE for i in range(count))
    attention = _attention_layers(config, kind, count)
    return None if attention is None else tuple(Mixer.FULL if i in attention else Mixer.STATE for i in range(count))


def _attention_layers(config: ConfigReader, kind: str, count: int) -> set[int] | None:
    linear = config.table("linear_attn_config")
    if linear is not None and linear.integers("kda_layers"):
        return set(range(count)) - {number - 1 for number in linear.integers("kda_layers")}
    for name in ("attn_layer_indices", "full_attn_idxs", "attn_layer_idxs"):
        if config.given(name) and (config.integers(name) or config.items(name) == ()):
            return set(config.integers(name))
    listed = config.integers("attn_type_list")
    if listed:
        return {i for i in range(count) if at(listed, i) == 1}
    if (period := config.integer("attn_layer_period")) is not None:
        offset = config.integer("attn_layer_offset", least=0) or 0
        return {i for i in range(count) if i % period == offset % period}
    if config.integer("linear_num_value_heads") is not None or kind == "qwen3_next":
        interval = config.integer("full_attention_interval") or 4
        return {i for i in range(count) if (i + 1) % interval == 0}
    if kind == "plamo2" and (step := config.integer("mamba_step")) is not None:
        return {i for i in range(count) if i == count - 1} if count <= step // 2 else _middles(count, step)
    if kind in {"bailing_moe_linear", "bailing_hybrid"} and (group := config.integer("layer_group_size")) is not None:
        return {i for i in range(count) if (i + 1) % group == 0 or i >= count // group * group}
    return None


def _middles(count: int, step: int) -> set[int]:
    return {i for i in range(count) if i % step == step // 2}


def window(config: ConfigReader) -> int | None:
    """Tokens of the sliding window; None where there is none."""
    return config.integer("sliding_window", "sliding_window_size", "window_size", "attention_window_size")


def _window_pattern(config: ConfigReader, count: int) -> tuple[Mixer, ...]:
    kind = config.text("model_type") or ""
    chosen = config.integers("hybrid_layer_pattern")
    if chosen and window(config) is not None:
        return tuple(Mixer.SLIDING if at(chosen, i) == 1 else Mixer.FULL for i in range(count))
    if kind in {"llama4", "llama4_text"} or config.integer("no_rope_layer_interval") is not None:
        return _chunked(config, count)
    if window(config) is None or config.flag("use_sliding_window") is False:
        return (Mixer.FULL,) * count
    letters = config.text("sliding_window_pattern")
    if letters is not None and set(letters) <= {"L", "G"}:
        layers = [Mixer.SLIDING if letters[i % len(letters)] == "L" else Mixer.FULL for i in range(count)]
        return (*layers[:-1], Mixer.FULL)
    period = config.integer("sliding_window_pattern", "_sliding_window_pattern") or _PERIODS.get(kind)
    if period is not None:
        return tuple(Mixer.FULL if (i + 1) % period == 0 else Mixer.SLIDING for i in range(count))
    if config.flag("use_sliding_window") is True:
        first = config.integer("max_window_layers", least=0)
        return tuple(Mixer.SLIDING if i >= (first or 0) else Mixer.FULL for i in range(count))
    # As `create_engine_config` of vLLM: a window without a list of layers is every layer's.
    return (Mixer.FULL if kind.startswith(_WINDOW_OFF) else Mixer.SLIDING,) * count


def _chunked(config: ConfigReader, count: int) -> tuple[Mixer, ...]:
    """Llama 4: layers with rotary embedding attend in chunks, those without see everything."""
    if config.integer("attention_chunk_size") is None:
        return (Mixer.FULL,) * count
    rotary = config.integers("no_rope_layers")
    period = config.integer("no_rope_layer_interval") or 4
    keeps = [bool(rotary[i]) if i < len(rotary) else (i + 1) % period != 0 for i in range(count)]
    return tuple(Mixer.CHUNKED if chunk else Mixer.FULL for chunk in keeps)
