"""What a model's folder tells of its weights: safetensors headers, else the sizes of PyTorch files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from gpu_tui.core.config_reader import ConfigReader
from gpu_tui.telemetry.bounded import JSON_BYTES, file_size, read_json
from gpu_tui.telemetry.safetensors_headers import Tensor, read_header, sum_up
from gpu_tui.view.text import clean

_INDEX = "model.safetensors.index.json"
_OTHER_INDEX = "consolidated.safetensors.index.json"
_BINARY = re.compile(r"pytorch_model.*\.bin")
_NOT_LOADED = re.compile(r"adapter.*|.*training_args.*|optimizer.*")
MOST_FILES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Bytes of a folder's weights, as loaded; None where they are not known."""

    bytes: int | None = None
    source: str = ""
    words: str = "its weights are estimated from config.json"
    """For people."""
    upper_only: bool = False
    """Sizes of files, which hold a little more than tensors."""
    encoder: int | None = None
    draft: int | None = None
    whole: int | None = None
    notes: tuple[str, ...] = ()


def weights_of(
    folder: Path, names: list[str], *, num_layers: int | None, tied: bool, quantized: bool, float32: bool = False
) -> Weights:
    """Read the headers of the files vLLM would load.

    Args:
        folder: the model's folder.
        names: what is in it.
        num_layers: tensors of layers from this number on belong to draft layers; None: there are none.
        tied: the output head is the embedding.
        quantized: float32 tensors are scales and stay as they are.
        float32: PyTorch files hold 32 bits, of which 16 are loaded.

    Raises:
        ModelError: a file is broken.
    """
    files, promised = _safetensors(folder, names)
    if files:
        missing = [name for name in files if file_size(folder / name) is None]
        if missing:
            words = f"{len(missing)} of {len(files)} weight files are not there (the first: {clean(missing[0], 80)})"
            return Weights(words=f"{words}: its weights are estimated from config.json", notes=(words,))
        tensors: dict[str, Tensor] = {}
        for name in files:
            tensors.update({tensor.name: tensor for tensor in read_header(folder / name)})
        return _summed(tensors, len(files), promised, num_layers=num_layers, tied=tied, quantized=quantized)
    return _binary(folder, names, halved=float32 and not quantized)


def _summed(
    tensors: dict[str, Tensor], files: int, promised: int | None, *, num_layers: int | None, tied: bool, quantized: bool
) -> Weights:
    sums = sum_up(tensors.values(), num_layers=num_layers, tied=tied, quantized=quantized)
    notes: tuple[str, ...] = ()
    stored = sum(tensor.bytes for tensor in tensors.values())
    if promised is not None and abs(promised - stored) > stored // 100:
        notes = (f"the index promises {promised} bytes, the files hold {stored}",)
    plural = "s" if files > 1 else ""
    return Weights(
        bytes=sums.total,
        source=f"headers of {files} safetensors file{plural}",
        words=f"its weights are from the headers of {files} safetensors file{plural}",
        encoder=sums.encoder,
        draft=sums.draft,
        whole=sums.whole,
        notes=notes,
    )


def _safetensors(folder: Path, names: list[str]) -> tuple[list[str], int | None]:
    """The files the index names, else all but second copies (`consolidated…`, adapters); and the index's own sum."""
    plain = [name for name in names if name.endswith(".safetensors") and _NOT_LOADED.fullmatch(name) is None]
    hugging = [name for name in plain if not name.startswith("consolidated")]
    for index in (_INDEX, _OTHER_INDEX):
        if index in names and (index == _INDEX or not hugging):
            table = ConfigReader(read_json(folder / index, 8 * JSON_BYTES))
            named, metadata = table.table("weight_map"), table.table("metadata")
            listed = (
                {text for key in named.names() if (text := named.text(key)) is not None} if named is not None else set()
            )
            files = sorted(name for name in listed if Path(name).name == name and name not in {".", ".."})
            if files and len(files) <= MOST_FILES:
                return files, metadata.integer("total_size", most=1 << 60) if metadata is not None else None
    return (hugging or plain)[:MOST_FILES], None


def _binary(folder: Path, names: list[str], *, halved: bool) -> Weights:
    files = [name for name in names if _BINARY.fullmatch(name)]
    sizes = [file_size(folder / name) for name in files]
    total = sum(size for size in sizes if size is not None)
    if not files or None in sizes or not total:
        return Weights()
    words = f"sizes of {len(files)} PyTorch file" + ("s" if len(files) > 1 else "")
    total = total // 2 if halved else total
    return Weights(bytes=total, source=words, words=f"its weights are the {words}", upper_only=True)
