"""The peaks of this machine's GPUs: where they are kept, and what is known of one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gpu_tui.config import Settings
from gpu_tui.core.peaks import Peaks
from gpu_tui.core.snapshot import Gpu, Snapshot
from gpu_tui.units import mib_to_bytes

OFF = "off"


def if_loaded(settings: Settings) -> dict[str, int]:
    """What the user says that services take with their models loaded, bytes by name."""
    return {rule.name: mib_to_bytes(rule.if_loaded_mib) for rule in settings.services if rule.if_loaded_mib is not None}


def peaks_path(settings: Settings) -> Path | None:
    """Where peaks are kept; None: nowhere."""
    if settings.peaks == OFF:
        return None
    if settings.peaks is not None:
        return Path(settings.peaks).expanduser()
    from gpu_tui.telemetry.peaks_file import default_path

    return default_path()


def known_peaks(settings: Settings, snapshot: Snapshot) -> dict[str, Peaks]:
    """What the explorer, `watch` and the exporter saw of this machine's GPUs, by `Gpu.key`; empty for any other one.

    Raises:
        GpuTuiError: the file cannot be read, or does not mean anything.
    """
    path = peaks_path(settings) if snapshot.here else None
    if path is None:
        return {}
    from gpu_tui.telemetry.peaks_file import read

    return read(path)


def keep_peaks(settings: Settings, seen: Mapping[str, Peaks]) -> None:
    """Write down what was seen, beside what was known. Slow: a file.

    Raises:
        GpuTuiError: it cannot be written.
    """
    path = peaks_path(settings)
    known = {key: one for key, one in seen.items() if one.known}
    if path is None or not known:
        return
    from gpu_tui.telemetry.peaks_file import add

    add(path, known)


def peaks_of(gpu: Gpu, known: Mapping[str, Peaks]) -> Peaks:
    """Those of one GPU."""
    return known.get(gpu.key, Peaks())
