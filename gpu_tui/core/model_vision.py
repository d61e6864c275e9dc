"""What an image or audio encoder weighs, as far as its part of `config.json` tells."""

from __future__ import annotations

from collections.abc import Mapping

from gpu_tui.core.config_reader import ConfigReader
from gpu_tui.core.model_facts import EncoderLoad

ENCODERS = ("vision_config", "vit_config", "visual", "vision_tower_config", "vision_encoder_config", "audio_config")
_CONFORMERS = ("gemma3n_audio", "gemma4_audio", "conformer", "parakeet_encoder")
"""Two half-size feed-forward parts, attention and convolutions: about 24 width² a layer."""
_GATED = ("qwen2_5_vl", "qwen2_5_omni_vision", "pixtral", "gemma4_vision", "glm4v", "glm_ocr", "mistral3")
UNTOLD_ENCODER = "an encoder whose size the config does not tell is not counted"
_WIDE_MERGERS = ("glm4v",)
_ANY_SIZE = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_5", "qwen4", "glm4v")
LARGEST_PICTURE_TOKENS = 16384
"""Of those that take pictures of any size, the largest their preprocessors let through (`max_pixels`)."""


def is_multimodal(config: Mapping[str, object]) -> bool:
    """Whether the config, or the talker's inside it, has an encoder for images or sound."""
    return bool(_encoders(config))


def encoder_elements(config: Mapping[str, object], hidden: int) -> tuple[int, tuple[str, ...]]:
    """Elements of all encoders and of what joins them to a language model `hidden` wide, and what is missing."""
    sizes = [_encoder(part, hidden) for part in _encoders(config)]
    missing = (UNTOLD_ENCODER,) if 0 in sizes else ()
    return sum(sizes), missing


def _encoders(config: Mapping[str, object]) -> list[ConfigReader]:
    thinker = config.get("thinker_config")
    places = [config, thinker] if isinstance(thinker, Mapping) else [config]
    found = [place.get(name) for place in places for name in ENCODERS]
    return [ConfigReader(part) for part in found if isinstance(part, Mapping) and part]


def encoder_load(config: Mapping[str, object]) -> EncoderLoad | None:
    """The largest picture, as vLLM's profile run makes it; None where the config does not tell its size."""
    part = next(iter(_encoders(config)), None)
    kind = None if part is None else part.text("model_type") or ""
    if part is None or kind is None:
        return None
    width, inner = part.integer("embed_dim", "hidden_size"), part.integer("intermediate_size")
    patch = part.integer("patch_size")
    if width is None or patch is None or kind.endswith(_CONFORMERS):
        return None
    matrices = 3 if kind.startswith(_GATED) else 2
    inner = inner or 4 * width
    merge = part.integer("spatial_merge_size", most=16) or ConfigReader(config).integer("spatial_merge_size", most=16)
    image = part.integer("image_size", most=1 << 14)
    if kind.startswith(_ANY_SIZE):
        tokens = LARGEST_PICTURE_TOKENS
        patches = tokens * (merge or 2) ** 2
    elif image is not None:
        patches = max(1, image // patch) ** 2
        tokens = ConfigReader(config).integer("mm_tokens_per_image") or max(1, patches // (merge or 1) ** 2)
    else:
        return None
    return EncoderLoad(patches=patches, tokens=tokens, width=width, mlp_elements=matrices * inner)


def _encoder(part: ConfigReader, hidden: int) -> int:
    """A transformer over patches: layers, patch embedding, and the joint. A convolution network counts as nothing."""
    width = part.integer("embed_dim", "hidden_size", "d_model", "width", "encoder_dim", "n_embd")
    if part.integer("embed_dim") is not None and part.integer("depth") is not None:
        width = part.integer("embed_dim")
    layers = part.integer(
        "depth", "num_hidden_layers", "encoder_layers", "layers", "num_layers", "conf_num_hidden_layers", most=4096
    )
    if width is None or layers is None:
        return 0
    if (part.text("model_type") or "").endswith(_CONFORMERS):
        return layers * 24 * width * width
    kind = part.text("model_type") or ""
    inner = part.integer("intermediate_size", "encoder_ffn_dim", "mlp_dim")
    inner = inner or int((part.number("mlp_ratio") or 4) * width)
    if kind.startswith(_WIDE_MERGERS):
        # Their `intermediate_size` is the merger's.
        inner = part.integer("out_hidden_size") or inner
    matrices = 3 if kind.startswith(_GATED) or part.flag("gated_mlp", "use_swiglu") is True else 2
    patch = part.integer("patch_size") or 14
    depth_of_patch = part.integer("temporal_patch_size") or 1
    image = part.integer("image_size", most=1 << 16)
    positions = part.integer("num_position_embeddings") or (image // patch) ** 2 if image is not None else 0
    elements = layers * (4 * width * width + matrices * width * inner)
    elements += 3 * patch * patch * depth_of_patch * width + positions * width
    return elements + _joint(part, width, hidden)


def _joint(part: ConfigReader, width: int, hidden: int) -> int:
    """The merger or projector: two matrices, over merged patches where the config names a merge."""
    merge = part.integer("spatial_merge_size", "merge_size", most=16) or 1
    out = part.integer("out_hidden_size", "projector_output_dim") or hidden
    merged = width * merge * merge
    if (part.text("model_type") or "").startswith(("glm4v", "glm_ocr")):
        wide = part.integer("intermediate_size") if (part.text("model_type") or "").startswith("glm4v") else 3 * out
        return out * out + 3 * out * (wide or out) + merged * out
    if merge == 1:
        return width * out
    stacks = 1 + len(part.integers("deepstack_visual_indexes"))
    return stacks * (merged * merged + merged * out)
