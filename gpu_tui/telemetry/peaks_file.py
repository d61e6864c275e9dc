"""The peaks of this machine's GPUs between runs of gpu-tui: one small JSON file in the user's state folder.

``{"schema": 1, "gpus": {UUID: {"since", "until", "alone": {name: [bytes, at]}, "together": [{"at", "held"}],
"reported": {…}}}}``; instants are seconds since the epoch.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpu_tui.core.peaks import MOST_INSTANTS, Instant, Peaks, Seen, merged
from gpu_tui.errors import GpuTuiError

SCHEMA = 1
_MOST_BYTES = 4 * 1024 * 1024
_MOST_SERIES = 512


def default_path(environ: Mapping[str, str] = os.environ) -> Path:
    """``gpu-tui/peaks.json`` in the user's state folder, by the XDG rules."""
    base = environ.get("XDG_STATE_HOME", "").strip()
    return (Path(base) if base else Path.home() / ".local" / "state") / "gpu-tui" / "peaks.json"


def read(path: Path) -> dict[str, Peaks]:
    """The peaks by GPU's UUID; empty where there is no file.

    Raises:
        GpuTuiError: it cannot be read, or does not mean anything.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise GpuTuiError(f"The peaks in {path} cannot be read: {error.strerror}.", "Check who may read it.") from None
    try:
        told = json.loads(raw)
        if told["schema"] != SCHEMA:
            raise GpuTuiError(
                f"The peaks in {path} have schema {told['schema']!r}; this gpu-tui knows {SCHEMA}.",
                "Use a newer gpu-tui, or remove the file to begin anew.",
            )
        return {str(key): _peaks(one) for key, one in told["gpus"].items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        raise GpuTuiError(f"The peaks in {path} do not mean anything.", "Remove the file to begin anew.") from None


def add(path: Path, seen: Mapping[str, Peaks]) -> None:
    """Put `seen` to what the file has; the larger stands. It is replaced at one stroke, and its owner's alone.

    Raises:
        GpuTuiError: it cannot be read or written, or is not ours to change.
    """
    known = read(path)
    both = {key: merged(known[key], one) if key in known else one for key, one in seen.items()}
    text = json.dumps({"schema": SCHEMA, "gpus": {key: _json(one) for key, one in (known | both).items()}})
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # 0700: the XDG rules
        handle, fresh = tempfile.mkstemp(dir=path.parent, prefix=".peaks-")
        try:
            with os.fdopen(handle, "w") as file:
                file.write(text)
            Path(fresh).replace(path)
        except BaseException:
            Path(fresh).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise GpuTuiError(
            f"The peaks cannot be kept in {path}: {error.strerror}.", "Choose another place with peaks = FILE, or off."
        ) from None


def _json(peaks: Peaks) -> dict[str, Any]:
    return {
        "since": peaks.since,
        "until": peaks.until,
        "alone": {name: [seen.size, seen.at] for name, seen in peaks.alone.items()},
        "together": [{"at": one.at, "held": dict(one.held)} for one in peaks.together],
        "reported": {name: [seen.size, seen.at] for name, seen in peaks.reported.items()},
    }


def _peaks(told: dict[str, Any]) -> Peaks:
    rows = told["together"][:MOST_INSTANTS]
    return Peaks(
        since=_instant(told["since"]),
        until=_instant(told["until"]),
        alone=_seen(told["alone"]),
        together=tuple(Instant(at=float(one["at"]), held=_sizes(one["held"])) for one in rows),
        reported=_seen(told["reported"]),
    )


def _instant(value: Any) -> float | None:
    return None if value is None else float(value)


def _seen(told: dict[str, Any]) -> dict[str, Seen]:
    return {str(name): Seen(size=_size(size), at=float(at)) for name, (size, at) in _few(told)}


def _sizes(told: dict[str, Any]) -> dict[str, int]:
    return {str(name): _size(size) for name, size in _few(told)}


def _few(told: dict[str, Any]) -> list[tuple[str, Any]]:
    return list(told.items())[:_MOST_SERIES]


def _size(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError("no size")
    return value
