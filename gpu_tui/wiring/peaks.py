"""The peaks of this machine's GPUs: where they are kept, what is known of one, and plans judged against them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gpu_tui.config import Settings
from gpu_tui.core.against import Against, Level, at_levels, growers, levels
from gpu_tui.core.books import Books
from gpu_tui.core.peaks import Peaks
from gpu_tui.core.snapshot import Gpu, Snapshot
from gpu_tui.core.what_if import WhatIf, with_roles
from gpu_tui.units import mib_to_bytes

OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The books that a plan is judged against, and how they came about."""

    books: Books
    now: Books
    """With the roles supposed and the memory as it is."""
    against: Against = Against.NOW
    levels: tuple[Level, ...] = ()
    peaks: Peaks = Peaks()

    @property
    def growers(self) -> tuple[Level, ...]:
        """The tenants that are judged at more than now, the largest growth first."""
        return growers(self.levels)


def view_of(
    books: Books,
    peaks: Peaks,
    against: Against,
    supposed: Mapping[str, WhatIf],
    if_loaded: Mapping[str, int],
) -> View:
    """The books of one GPU as they are to be judged."""
    now = with_roles(books, supposed)
    found = levels(now, peaks, against, if_loaded)
    judged = now if against is Against.NOW else at_levels(now, found)
    return View(books=judged, now=now, against=against, levels=found, peaks=peaks)


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
    """What earlier runs of the explorer saw of this machine's GPUs, by `Gpu.key`; empty for any other machine.

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
