"""Reading files that anyone may have put there: regular ones only, never more than a bound."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from gpu_tui.errors import ModelError
from gpu_tui.view.text import clean

JSON_BYTES = 16 << 20
"""The largest `config.json` or index read; real ones are below 4 MiB."""


@contextmanager
def regular(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """The file, open to be read, and its size in bytes.

    Raises:
        ModelError: it is not there, may not be read, or is no regular file (a pipe or device would hang or never end).
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ModelError(
            f"{clean(str(path))} cannot be read: {why}.", "Give a model's folder that is readable."
        ) from error
    info = os.fstat(handle)
    if not stat.S_ISREG(info.st_mode):
        os.close(handle)
        raise ModelError(f"{clean(str(path))} is no regular file.", "Give a model's folder or a .gguf file.")
    with os.fdopen(handle, "rb") as file:
        yield file, info.st_size


def read_json(path: Path, most: int = JSON_BYTES) -> dict[str, object]:
    """The JSON object in a file.

    Raises:
        ModelError: no such file, too large, or not a JSON object.
    """
    with regular(path) as (file, size):
        if size > most:
            raise ModelError(
                f"{clean(str(path))} has {size} bytes, more than a config's {most}.", "Give a model's folder."
            )
        return parse_json(file.read(most), path)


def parse_json(data: bytes, path: Path) -> dict[str, object]:
    """The JSON object in `data`, which was read from `path`; ModelError when it is none."""
    remedy = "The download may be broken: fetch the file again."
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        where = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise ModelError(f"{clean(str(path))} is not JSON{where}.", remedy) from error
    if not isinstance(value, dict):
        raise ModelError(f"{clean(str(path))} holds no JSON object.", remedy)
    return value


def file_size(path: Path) -> int | None:
    """Bytes of a regular file; None where there is none."""
    try:
        info = path.stat()
    except (OSError, ValueError):
        return None
    return info.st_size if stat.S_ISREG(info.st_mode) else None


def names_in(folder: Path, most: int = 20_000) -> list[str]:
    """Names in a folder, sorted, at most `most`; empty where it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry, _ in zip(entries, range(most), strict=False))
    except (OSError, ValueError):
        return []
