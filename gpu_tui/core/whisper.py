"""Which size of Whisper a name or a model's shape stands for."""

from __future__ import annotations

import re

_SIZE = re.compile(
    r"(?i)(?<![a-z0-9])(distil-)?(?:whisper-)?"
    r"(large-v3-turbo|large-v[123]|large|turbo|medium|small|base|tiny)([.]en)?(?![a-z0-9])"
)
_FAMILY = re.compile(r"(?i)whisper|distil-|ggml-")

_BY_SHAPE = {
    (384, 4): "tiny",
    (512, 6): "base",
    (768, 12): "small",
    (768, 4): "distil-small",
    (1024, 24): "medium",
    (1024, 2): "distil-medium",
    (1280, 32): "large",
    (1280, 4): "turbo",
    (1280, 2): "distil-large",
}
"""Width and layers of the text decoder in OpenAI's and the distilled checkpoints (``d_model`` and ``decoder_layers`` of
their configurations)."""
_ENGLISH_ONLY, _LARGE_V3 = 51864, 51866
"""Vocabularies: the multilingual one has 51865 tokens, and one more since large-v3."""


def size_in(name: str) -> str | None:
    """``tiny.en`` of ``Systran/faster-whisper-tiny.en``; None where the name tells no size.

    A bare size counts too: some servers list their models by it. Words such as *base* in the name of another kind of
    model do not.
    """
    last = name.rstrip("/").rpartition("/")[2]
    found = _SIZE.fullmatch(last) or (_SIZE.search(last) if _FAMILY.search(name) else None)
    return None if found is None else "".join(part or "" for part in found.groups()).lower()


def size_by_shape(width: int, decoder_layers: int, vocabulary: int) -> str | None:
    """The size of OpenAI's or a distilled checkpoint of this shape; None for a shape that is none of theirs.

    Args:
        width: of the text decoder.
        decoder_layers: how many it has.
        vocabulary: tokens of the text embedding.
    """
    size = _BY_SHAPE.get((width, decoder_layers))
    if size is None:
        return None
    if vocabulary == _LARGE_V3 and size.endswith("large"):
        size = f"{size}-v3"
    return f"{size}.en" if vocabulary == _ENGLISH_ONLY else size
