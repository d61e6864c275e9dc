"""What one GPU held and did while a run lasted: samples at instants of the run, and figures of each of its phases."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gpu_tui.core.books import Books, keep_books
from gpu_tui.core.services import Classifier
from gpu_tui.core.snapshot import Snapshot

MOST_SAMPLES = 600
"""Kept of a run: more than a screen has dots for, and 20 KiB of JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSample:
    """The GPU at one instant. None is unknown: it could not be read, or the driver does not tell."""

    at_s: float
    """Monotonic seconds; in a series, since the run began."""
    used_bytes: int | None = None
    utilization_pct: int | None = None
    """Share of the driver's last sample period (at most 1 s) in which a kernel ran, 0..100."""
    services: Mapping[str, int | None] = field(default_factory=dict)
    """Bytes by the name of the service; empty when no processes are listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseFigures:
    """One phase of a run. A figure is None when no sample within the phase knows it."""

    name: str
    begin_s: float
    end_s: float
    n: int
    """Samples within the phase."""
    used_min_bytes: int | None
    used_max_bytes: int | None
    utilization_mean_pct: float | None
    utilization_max_pct: int | None


def sample_of(snapshot: Snapshot, gpu_key: str, rules: Classifier, restarts: int | None = None) -> MachineSample:
    """One snapshot as a sample of the GPU of this `Gpu.key`, stamped by the snapshot's own monotonic clock."""
    gpu = next((one for one in snapshot.gpus if one.key == gpu_key), None)
    if gpu is None:
        return MachineSample(at_s=snapshot.taken_monotonic)
    books = keep_books(snapshot, gpu, rules, restarts)
    return MachineSample(
        at_s=snapshot.taken_monotonic,
        used_bytes=gpu.used_bytes,
        utilization_pct=gpu.utilization_pct,
        services=_held(books),
    )


def _held(books: Books) -> dict[str, int | None]:
    if not books.listed:
        return {}
    return {service.name: service.used_bytes for service in books.services if service.running}


def within(samples: Sequence[MachineSample], began: float, lasted_s: float) -> list[MachineSample]:
    """The samples of a run of `lasted_s` seconds, counted from its begin at the monotonic instant `began`."""
    since = [
        MachineSample(
            at_s=one.at_s - began,
            used_bytes=one.used_bytes,
            utilization_pct=one.utilization_pct,
            services=one.services,
        )
        for one in samples
    ]
    return [one for one in since if 0 <= one.at_s <= lasted_s]


def phase_figures(
    samples: Sequence[MachineSample], phases: Mapping[str, tuple[float, float]]
) -> tuple[PhaseFigures, ...]:
    """Extremes and mean of the samples within each phase, both ends included; phases in the order of their begin."""
    told = []
    for name, (begin, end) in sorted(phases.items(), key=lambda phase: phase[1]):
        inside = [one for one in samples if begin <= one.at_s <= end]
        used = [one.used_bytes for one in inside if one.used_bytes is not None]
        busy = [one.utilization_pct for one in inside if one.utilization_pct is not None]
        told.append(
            PhaseFigures(
                name=name,
                begin_s=begin,
                end_s=end,
                n=len(inside),
                used_min_bytes=min(used, default=None),
                used_max_bytes=max(used, default=None),
                utilization_mean_pct=math.fsum(busy) / len(busy) if busy else None,
                utilization_max_pct=max(busy, default=None),
            )
        )
    return tuple(told)


def thinned(samples: Sequence[MachineSample], most: int = MOST_SAMPLES) -> list[MachineSample]:
    """At most `most` samples (at least 1), evenly taken by number; the first and the last stay where two may.

    Samples are dropped, never merged: each that stays was seen just so. Figures of phases are made before.
    """
    if len(samples) <= most:
        return list(samples)
    if most == 1:
        return [samples[-1]]
    step = (len(samples) - 1) / (most - 1)
    return [samples[round(i * step)] for i in range(most)]
