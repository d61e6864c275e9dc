"""Metadata and tensor sizes of a GGUF file, versions 2 and 3; no tensor is read.

Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Block sizes: `GGML_QUANT_SIZES` of gguf 0.19.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gpu_tui.errors import ModelError
from gpu_tui.telemetry.bounded import regular
from gpu_tui.view.text import clean

MOST_TENSORS = 1_000_000
MOST_KEYS = 100_000
MOST_STRING = 1 << 20
"""A longer text is a chat template or a vocabulary: skipped, as is every array of texts."""
MOST_ARRAY = 65_536
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
_BLOCKS = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 40),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18),
}
"""ggml type to its name, elements of a block and bytes of a block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufTensor:
    """One tensor; `bytes` is None where its type is not known."""

    name: str
    kind: str
    shape: tuple[int, ...]
    bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gguf:
    """What a file's head tells."""

    metadata: dict[str, object]
    """Scalars, texts and arrays of numbers; an array of texts stands as its length, under ``KEY.length``."""
    tensors: tuple[GgufTensor, ...]


def read_gguf(path: Path) -> Gguf:
    """Read a file's head.

    Raises:
        ModelError: not a GGUF file, of a version unknown, or a head that contradicts itself.
    """
    with regular(path) as (file, size):
        reader = _Reader(file, size, path)
        if reader.take(4) != b"GGUF":
            raise reader.broken("is no GGUF file")
        version = reader.number("<I")
        if version not in {2, 3}:
            raise reader.broken(f"is of GGUF version {version}; versions 2 and 3 are known")
        tensors, keys = reader.number("<Q"), reader.number("<Q")
        if tensors > MOST_TENSORS or keys > MOST_KEYS:
            raise reader.broken("names more tensors or keys than any model has")
        metadata: dict[str, object] = {}
        for _ in range(keys):
            key = reader.text() or ""
            _read_value(reader, metadata, key)
        return Gguf(metadata=metadata, tensors=tuple(_read_tensor(reader) for _ in range(tensors)))


class _Reader:
    """The file's head from front to back; what would go beyond its end is an error."""

    def __init__(self, file: BinaryIO, size: int, path: Path) -> None:
        self._file, self._left, self._path = file, size, path

    def broken(self, what: str) -> ModelError:
        return ModelError(f"{clean(str(self._path))} {what}.", "Fetch the file again, or give another.")

    def take(self, count: int) -> bytes:
        self._use(count)
        data = self._file.read(count)
        if len(data) != count:
            raise self.broken("is cut short")
        return data

    def skip(self, count: int) -> None:
        self._use(count)
        self._file.seek(count, 1)

    def _use(self, count: int) -> None:
        if count > self._left:
            raise self.broken("is cut short, or its head is damaged")
        self._left -= count

    def number(self, form: str) -> int:
        return int(struct.unpack(form, self.take(struct.calcsize(form)))[0])

    def scalar(self, form: str) -> object:
        value: object = struct.unpack(form, self.take(struct.calcsize(form)))[0]
        return value

    def text(self) -> str | None:
        length = self.number("<Q")
        if length > MOST_STRING:
            self.skip(length)
            return None
        return self.take(length).decode("utf-8", "replace")


def _read_value(reader: _Reader, metadata: dict[str, object], key: str) -> None:
    kind = reader.number("<I")
    if kind == _STRING:
        metadata[key] = reader.text()
    elif kind == _ARRAY:
        _read_array(reader, metadata, key)
    elif kind in _SCALARS:
        metadata[key] = reader.scalar(_SCALARS[kind])
    else:
        raise reader.broken(f"has a value of the unknown type {kind}")


def _read_array(reader: _Reader, metadata: dict[str, object], key: str) -> None:
    kind, length = reader.number("<I"), reader.number("<Q")
    metadata[f"{key}.length"] = length
    if kind in _SCALARS:
        size = struct.calcsize(_SCALARS[kind])
        if length > MOST_ARRAY:
            reader.skip(length * size)
        else:
            data = reader.take(length * size)
            metadata[key] = [item[0] for item in struct.iter_unpack(_SCALARS[kind], data)]
    elif kind == _STRING:
        for _ in range(length):
            reader.skip(reader.number("<Q"))
    else:
        raise reader.broken(f"has an array of the unknown type {kind}")


def _read_tensor(reader: _Reader) -> GgufTensor:
    name = reader.text() or ""
    dimensions = reader.number("<I")
    if dimensions > 8:
        raise reader.broken(f"has a tensor of {dimensions} dimensions")
    shape = tuple(reader.number("<Q") for _ in range(dimensions))
    kind, _ = reader.number("<I"), reader.number("<Q")
    label, block, size = _BLOCKS.get(kind, (f"type {kind}", 1, 0))
    elements = 1
    for dimension in shape:
        elements = min(elements * dimension, 1 << 80)
    if elements >= 1 << 63:
        raise reader.broken("has a tensor larger than any memory")
    return GgufTensor(name=name, kind=label, shape=shape, bytes=-(-elements // block) * size if size else None)
