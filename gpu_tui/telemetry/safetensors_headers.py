"""The sizes of a checkpoint's tensors, from the headers of its safetensors files; no tensor is read.

A file is 8 bytes (the header's length, little endian), the header (JSON: name to dtype, shape, data_offsets), then the
data (https://huggingface.co/docs/safetensors, "Format").
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from gpu_tui.errors import ModelError
from gpu_tui.telemetry.bounded import parse_json, regular
from gpu_tui.view.text import clean

MOST_HEADER_BYTES = 100_000_000
"""The format's own limit."""
_BITS = {
    "F64": 64,
    "F32": 32,
    "F16": 16,
    "BF16": 16,
    "I64": 64,
    "I32": 32,
    "I16": 16,
    "I8": 8,
    "U64": 64,
    "U32": 32,
    "U16": 16,
    "U8": 8,
    "BOOL": 8,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "F8_E8M0": 8,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "F4": 4,
    "C64": 64,
}
_BROKEN = "The download may be broken: fetch the file again."
_ENCODER = re.compile(r"(^|\.)(visual|vision_\w+|vision|audio_\w+|multi_modal_projector|mm_projector|embed_vision)\.")
_DRAFT = re.compile(r"(^|\.)mtp[._]|(^|\.)nextn\.")
_LAYER = re.compile(r"(?:^|\.)layers\.(\d{1,6})\.")
_WHOLE = re.compile(r"norm|bias$|\.gate\.weight$|router|q_a_proj|kv_a_proj|\.indexer\.|shared_expert_gate")
_HEAD = re.compile(r"(^|\.)lm_head\.weight$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One tensor as its file's header tells it."""

    name: str
    dtype: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightSums:
    """Bytes of a checkpoint's tensors, sorted by what becomes of them."""

    total: int = 0
    """Without those of draft layers and of a head that is the embedding."""
    by_dtype: dict[str, int]
    encoder: int = 0
    draft: int = 0
    whole: int = 0
    """Norms, routers, biases, MLA's down-projections: each tensor-parallel rank holds them."""


def read_header(path: Path) -> tuple[Tensor, ...]:
    """The tensors of one file.

    Raises:
        ModelError: the file cannot be read, is cut short, or its header contradicts itself.
    """
    with regular(path) as (file, size):
        length = int.from_bytes(file.read(8), "little") if size >= 8 else 0
        if size < 8 or length > MOST_HEADER_BYTES or length > size - 8 or length < 2:
            raise ModelError(f"{clean(str(path))} is no safetensors file, or is cut short.", _BROKEN)
        header = parse_json(file.read(length), path)
    spans: list[tuple[int, int]] = []
    tensors = []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        dtype, begin, end = _entry(path, name, entry)
        spans.append((begin, end))
        tensors.append(Tensor(name=name, dtype=dtype, bytes=end - begin))
    _check_spans(path, spans, size - 8 - length)
    return tuple(tensors)


def _entry(path: Path, name: str, entry: object) -> tuple[str, int, int]:
    values = entry if isinstance(entry, dict) else {}
    dtype, shape, offsets = values.get("dtype"), _numbers(values.get("shape")), _numbers(values.get("data_offsets"))
    if not isinstance(dtype, str) or shape is None or offsets is None or len(offsets) != 2:
        raise ModelError(f"{clean(str(path))}: the header's entry of {clean(name[:80])} is malformed.", _BROKEN)
    begin, end = offsets
    elements = 1
    for dimension in shape:
        elements = min(elements * dimension, 1 << 80)
    bits = _BITS.get(dtype)
    if begin > end or (bits is not None and elements * bits != (end - begin) * 8):
        raise ModelError(f"{clean(str(path))}: size and shape of {clean(name[:80])} disagree.", _BROKEN)
    return dtype, begin, end


def _numbers(value: object) -> list[int] | None:
    """A list of counts; None for anything else."""
    if not isinstance(value, list):
        return None
    found = [item for item in value if type(item) is int and 0 <= item < 1 << 63]
    return found if len(found) == len(value) else None


def _check_spans(path: Path, spans: list[tuple[int, int]], data: int) -> None:
    spans.sort()
    if any(first[1] > second[0] for first, second in pairwise(spans)):
        raise ModelError(f"{clean(str(path))}: tensors overlap.", _BROKEN)
    if spans and max(end for _, end in spans) > data:
        raise ModelError(
            f"{clean(str(path))} is cut short: tensors end beyond the file.", "Wait for the download, or resume it."
        )


def sum_up(tensors: Iterable[Tensor], *, num_layers: int | None, tied: bool, quantized: bool) -> WeightSums:
    """Bytes as loaded, by what becomes of them.

    Args:
        num_layers: layers numbered from this on are draft layers.
        tied: a stored output head is the embedding again, and not loaded.
        quantized: float32 tensors are scales and stay; else they are cast to 16 bits.
    """
    total = encoder = draft = whole = 0
    by_dtype: dict[str, int] = {}
    for tensor in tensors:
        size = tensor.bytes
        if not quantized and tensor.dtype in {"F32", "F64"}:
            size //= _BITS[tensor.dtype] // 16
        vision = _ENCODER.search(tensor.name) is not None
        layer = None if vision else _LAYER.search(tensor.name)
        if _DRAFT.search(tensor.name) or (num_layers is not None and layer is not None and int(layer[1]) >= num_layers):
            draft += size
            continue
        if tied and _HEAD.search(tensor.name):
            continue
        total += size
        by_dtype[tensor.dtype] = by_dtype.get(tensor.dtype, 0) + size
        encoder += size if vision else 0
        whole += size if _WHOLE.search(tensor.name) and not vision else 0
    return WeightSums(total=total, by_dtype=by_dtype, encoder=encoder, draft=draft, whole=whole)
