"""A run's machine beside its figures: what the GPU held and did meanwhile, as JSON and the journal carry it.

Sampled by who started the run, never by the process that sends the load: a reading takes milliseconds of CPU, and
they would count as latency. Unknown is null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from gpu_tui.core.machine_series import MachineSample, PhaseFigures, phase_figures, thinned, within
from gpu_tui.units import bytes_to_mib


class PhaseSeen(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one phase, of every sample taken within it."""

    name: str
    """``stt_alone``, ``llm_alone``, ``together``; ``run`` where the mode has no phases."""
    begin_s: float
    """Since the run began, as `end_s`."""
    end_s: float
    n: int
    """Samples within it; 0 when it was shorter than the interval, and then all is null."""
    used_mib_min: float | None
    used_mib_max: float | None
    utilization_pct_mean: float | None
    utilization_pct_max: int | None


class MachineSeries(msgspec.Struct, frozen=True, kw_only=True):
    """Samples of one GPU over the run, one value each per instant in `at_s`. At most `MOST_SAMPLES` of them."""

    gpu: str
    """UUID, or its index where the driver does not tell one."""
    source: str
    """``nvml``, ``demo``, ``scenario``; simulated ones are of a summary that says so."""
    simulated: bool = False
    interval_s: float
    """Between two samples, as asked for."""
    total_mib: float | None
    at_s: list[float]
    """Since the run began, on the monotonic clock of the phases."""
    used_mib: list[float | None]
    utilization_pct: list[int | None]
    """GPU utilization as the driver tells it: share of its last sample period in which a kernel ran."""
    services_mib: dict[str, list[float | None]]
    """Memory by service; null at an instant at which it did not run, or its memory is unknown."""
    phases: list[PhaseSeen]


def machine_series(
    samples: Sequence[MachineSample],
    *,
    began: float,
    lasted_s: float,
    phases: Mapping[str, tuple[float, float]],
    gpu: str,
    source: str,
    simulated: bool,
    interval_s: float,
    total_bytes: int | None,
) -> MachineSeries | None:
    """The series of a run; None when no sample lies within it.

    Args:
        samples: by time, stamped on the monotonic clock.
        began: monotonic instant at which the run began.
        lasted_s: its length in seconds.
        phases: begin and end of each, in seconds since `began`; empty: the whole run is one.
        gpu, source, simulated, interval_s: see `MachineSeries`.
        total_bytes: of the device; None when unknown.
    """
    inside = within(samples, began, lasted_s)
    if not inside:
        return None
    kept = thinned(inside)
    names = dict.fromkeys(name for one in kept for name in one.services)
    return MachineSeries(
        gpu=gpu,
        source=source,
        simulated=simulated,
        interval_s=interval_s,
        total_mib=_mib(total_bytes),
        at_s=[round(one.at_s, 3) for one in kept],
        used_mib=[_mib(one.used_bytes) for one in kept],
        utilization_pct=[one.utilization_pct for one in kept],
        services_mib={name: [_mib(one.services.get(name)) for one in kept] for name in names},
        phases=[_seen(phase) for phase in phase_figures(inside, phases or {"run": (0.0, lasted_s)})],
    )


def _mib(size: int | None) -> float | None:
    return None if size is None else round(bytes_to_mib(size), 1)


def _seen(phase: PhaseFigures) -> PhaseSeen:
    mean = phase.utilization_mean_pct
    return PhaseSeen(
        name=phase.name,
        begin_s=round(phase.begin_s, 3),
        end_s=round(phase.end_s, 3),
        n=phase.n,
        used_mib_min=_mib(phase.used_min_bytes),
        used_mib_max=_mib(phase.used_max_bytes),
        utilization_pct_mean=None if mean is None else round(mean, 1),
        utilization_pct_max=phase.utilization_max_pct,
    )
