"""A model's facts from its GGUF file or files: layers from the metadata, weights exactly from the tensors' sizes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from gpu_tui.core.gguf_facts import config_from_gguf
from gpu_tui.core.model_config import beyond_estimate, extra_bytes, facts_from_config
from gpu_tui.core.model_facts import ModelFacts
from gpu_tui.core.origins import Origin, OriginKind
from gpu_tui.errors import ModelError
from gpu_tui.telemetry.bounded import file_size
from gpu_tui.telemetry.gguf import Gguf, GgufTensor, read_gguf
from gpu_tui.telemetry.hub_cache import Cached
from gpu_tui.view.text import clean

_PART = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf")


def only_gguf(names: list[str]) -> bool:
    """Whether a folder holds weights as GGUF and in no other form."""
    return any(name.endswith(".gguf") for name in names) and not any(
        name.endswith((".safetensors", ".bin", ".index.json")) for name in names
    )


def choose(found: Cached, names: list[str], tag: str | None) -> Path:
    """The GGUF file meant: the only one, or the one whose name holds `tag`; of a file in parts the first."""
    files = [name for name in names if name.endswith(".gguf") and "mmproj" not in name]
    if tag is not None:
        wanted = tag.lower().removesuffix(".gguf")
        exact = [name for name in files if re.search(rf"(^|[-._]){re.escape(wanted)}([-._]|$)", name.lower())]
        files = exact or [name for name in files if wanted in name.lower()]
    firsts = [name for name in files if (part := _PART.fullmatch(name)) is None or int(part[2]) == 1]
    if len(firsts) != 1:
        listed = ", ".join(clean(name, 60) for name in firsts[:6]) or "none"
        raise ModelError(
            f"{clean(found.name, 200)} has several GGUF files ({listed})."
            if firsts
            else f"{clean(found.name, 200)} has no such GGUF file.",
            "Name one: NAME:Q4_K_M, or the file itself.",
        )
    return found.folder / firsts[0]


def gguf_facts(name: str, path: Path) -> tuple[ModelFacts, str]:
    """Facts, and in words where the weights are from.

    Raises:
        ModelError: a part is missing, or no GGUF file.
    """
    paths = _parts(path)
    heads = [read_gguf(part) for part in paths]
    tensors = [tensor for head in heads for tensor in head.tensors]
    untied = any(tensor.name == "output.weight" for tensor in tensors)
    config = config_from_gguf(heads[0].metadata, tied=not untied)
    _vocabulary(config, tensors)
    facts = _gguf_weights(facts_from_config(config, name=name), heads, tensors, extra_bytes(config))
    words = "its weights are exact, from the file's head"
    if (
        facts.weights_band is not None
        and facts.weights_origin is not None
        and "estimated" in facts.weights_origin.source
    ):
        words = "its weights are estimated"
    return facts, words


def _vocabulary(config: dict[str, object], tensors: list[GgufTensor]) -> None:
    embedding = next((t for t in tensors if t.name == "token_embd.weight" and len(t.shape) == 2), None)
    if config.get("vocab_size") is None and embedding is not None:
        config["vocab_size"] = embedding.shape[1]


def _gguf_weights(facts: ModelFacts, heads: list[Gguf], tensors: list[GgufTensor], extra: int) -> ModelFacts:
    label = _label(tensors)
    facts = replace(facts, quantization="gguf", dtype="float16")
    notes = (*facts.assumptions, "a GGUF file is served as float16 unless --dtype says otherwise")
    # 16-bit tensors stay, 32-bit norms and biases are cast.
    sizes = [
        (tensor.bytes // 2 if tensor.kind == "F32" else tensor.bytes) if tensor.bytes is not None else None
        for tensor in tensors
    ]
    if None in sizes or not sizes:
        note = "a tensor's type is not known: weights are estimated from shapes, as 16 bits"
        return replace(facts, assumptions=(*notes, note))
    size = sum(size for size in sizes if size is not None) + extra
    source = f"GGUF tensors ({label}), {len(heads)} file" + ("s" if len(heads) > 1 else "")
    return replace(
        facts,
        weights_bytes=size,
        weights_origin=Origin(kind=OriginKind.DERIVED, source=source),
        weights_band=(round(size * 0.99), round(size * 1.04) + (32 << 20)),
        assumptions=(*beyond_estimate(facts), *notes[-1:]),
    )


def _label(tensors: list[GgufTensor]) -> str:
    """The type most of the bytes are of."""
    sums: dict[str, int] = {}
    for tensor in tensors:
        sums[tensor.kind] = sums.get(tensor.kind, 0) + (tensor.bytes or 0)
    return max(sums, key=lambda kind: sums[kind], default="none")


def with_config(config: Mapping[str, object], measured: ModelFacts, name: str) -> ModelFacts:
    """A repository's `config.json` tells the layers, its GGUF file the weights: as vLLM reads it."""
    facts = facts_from_config(config, name=name)
    if not facts.groups:
        return measured
    return replace(
        facts,
        quantization=measured.quantization,
        weights_bytes=measured.weights_bytes,
        weights_band=measured.weights_band,
        weights_origin=measured.weights_origin,
        unsharded_bytes=measured.unsharded_bytes,
        assumptions=(*beyond_estimate(facts), *measured.assumptions[-1:]),
    )


def _parts(path: Path) -> list[Path]:
    part = _PART.fullmatch(path.name)
    if part is None:
        return [path]
    count = int(part[3])
    paths = [path.with_name(f"{part[1]}-{number:05d}-of-{part[3]}.gguf") for number in range(1, min(count, 1000) + 1)]
    missing = [other for other in paths if file_size(other) is None]
    if missing or not paths:
        raise ModelError(
            f"{len(missing)} of {count} parts of {clean(path.name)} are not there.", "Fetch the missing files."
        )
    return paths
