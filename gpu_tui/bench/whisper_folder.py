"""A folder with a Whisper model for CTranslate2, looked at without loading it: is it one, and of which size."""

from __future__ import annotations

import importlib.util
import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gpu_tui.bench.untrusted import shown
from gpu_tui.core.whisper import size_by_shape
from gpu_tui.errors import EndpointError, how_to_install

EXTRA = "faster_whisper"
NOT_INSTALLED = ("faster-whisper is not installed.", how_to_install("faster-whisper"))
"""What is wrong, and what to do."""
_MODEL, _TOKENIZER = "model.bin", "tokenizer.json"
_SPEC = b"WhisperSpec"
_LAYER = re.compile(rb"decoder/layer_(\d+)/")
_EMBEDDINGS = b"decoder/embeddings/weight"
_MOST_VARIABLES, _MOST_DIMENSIONS = 10_000, 8
_CONVERT = (
    "Convert the model with ct2-transformers-converter --copy_files tokenizer.json preprocessor_config.json, "
    "or name the folder of one that is."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WhisperFolder:
    """A folder that faster-whisper can load without asking anybody."""

    path: Path
    size: str | None
    """As the shape of its weights tells; None for one that is none of OpenAI's or the distilled ones."""


def look(path: Path) -> WhisperFolder:
    """What is in the folder.

    Raises:
        EndpointError: there is no folder, or no Whisper model for CTranslate2 in it, or no tokenizer, which
            faster-whisper would then download.
    """
    where = shown(str(path))
    if not path.is_dir():
        what = "is not a folder" if path.exists() else "does not exist"
        raise EndpointError(f"{where} {what}.", "Name the folder of a Whisper model for CTranslate2.")
    try:
        with (path / _MODEL).open("rb") as file:
            size = _size(file)
        (path / _TOKENIZER).open("rb").close()
    except FileNotFoundError as error:
        missing = Path(error.filename).name
        raise EndpointError(f"{where} is no Whisper model for CTranslate2: it has no {missing}.", _CONVERT) from None
    except OSError as error:
        raise EndpointError(f"{where} cannot be read: {error.strerror}.", "Check its permissions.") from None
    except _NotWhisper:
        raise EndpointError(
            f"{where} is no Whisper model for CTranslate2: its {_MODEL} is another's.", _CONVERT
        ) from None
    return WhisperFolder(path=path, size=size)


def installed() -> None:
    """Look for faster-whisper without loading it.

    Raises:
        EndpointError: it is not there.
    """
    if importlib.util.find_spec(EXTRA) is None:
        raise EndpointError(*NOT_INSTALLED)


class _NotWhisper(Exception):
    """The file is no CTranslate2 model of Whisper."""


def _size(file: BinaryIO) -> str | None:
    """By the shape of the decoder: width and vocabulary of its embeddings, number of its layers."""
    header = file.read(6)
    if len(header) < 6 or file.read(struct.unpack("<H", header[4:])[0]).rstrip(b"\0") != _SPEC:
        raise _NotWhisper
    layers = 0
    shape: tuple[int, ...] = ()
    # A file that ends early, or of a layout that is not known yet, only keeps its size to itself.
    with suppress(struct.error, OverflowError):
        for name, dimensions in _variables(file):
            if found := _LAYER.match(name):
                layers = max(layers, int(found[1]) + 1)
            if name == _EMBEDDINGS:
                shape = dimensions
    return size_by_shape(shape[1], layers, shape[0]) if len(shape) == 2 else None


def _variables(file: BinaryIO) -> Iterator[tuple[bytes, tuple[int, ...]]]:
    """Names and shapes, in the binary layout that CTranslate2's ``ModelSpec._serialize`` writes since version 4.

    Numbers are little-endian: revision u32, count u32; a variable is its name (length u16, with a closing zero), its
    rank u8, dimensions u32 each, type u8, length of its data u32, data.
    """
    _, count = struct.unpack("<II", file.read(8))
    for _ in range(min(count, _MOST_VARIABLES)):
        name = file.read(struct.unpack("<H", file.read(2))[0]).rstrip(b"\0")
        rank = struct.unpack("<B", file.read(1))[0]
        if rank > _MOST_DIMENSIONS:
            return
        dimensions = struct.unpack(f"<{rank}I", file.read(4 * rank))
        _, length = struct.unpack("<BI", file.read(5))
        file.seek(length, 1)
        yield name, dimensions
