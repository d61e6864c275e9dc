"""What `gpu-tui exporter` tells Prometheus: names, units and labels are a contract.

The names follow prometheus.io/docs/practices/naming: base units (bytes, seconds, ratios). What is unknown has no
sample, and a ``_known`` beside it says 0: a NaN would poison sums, and a 0 would be a lie. No label holds a pid or a
command line, so that the number of series stays bounded over the life of a machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from gpu_tui.core.assessment import Assessed, Assessment
from gpu_tui.core.books import Books, Service
from gpu_tui.core.checks import Status
from gpu_tui.core.services import Role
from gpu_tui.core.snapshot import FaultKind, Gpu
from gpu_tui.core.start import Outcome
from gpu_tui.view.text import clean

MOST_GPUS = 64
"""More are counted, not told; so are more services of one GPU. Ours to choose: far above any machine seen."""
MOST_SERVICES = 64
MOST_LABEL = 64
"""Characters of a label's value."""

Kind = Literal["gauge", "counter"]
Labels = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One metric: a counter's name ends in ``_total``. All its samples bear the same labels."""

    name: str
    help: str
    kind: Kind = "gauge"
    samples: list[tuple[Labels, float]] = field(default_factory=list)


Peaks = Mapping[tuple[str, str], int]
"""(`Gpu.key`, service) -> the most bytes it held. None of the two is told where it is not kept."""

_GPU = "gpu_tui_gpu_"
_SERVICE = "gpu_tui_service_"
_PLAN = "gpu_tui_plan_"
HELP: dict[str, str] = {
    _GPU + "up": "1 if this GPU could be read.",
    _GPU + "fault": "1 for each kind of thing that could not be read of this GPU.",
    _GPU + "memory_total_bytes": "The GPU's memory as NVML tells it.",
    _GPU + "memory_used_bytes": "Memory in use, without what the driver reserves.",
    _GPU + "memory_free_bytes": "Memory that nobody holds.",
    _GPU + "memory_reserved_bytes": "Memory the driver keeps for itself; absent where it does not tell.",
    _GPU + "memory_unattributed_bytes": "In use, but held by no listed process; negative where processes share memory.",
    _GPU + "utilization_ratio": "Share of the last sample period in which a kernel ran.",
    _GPU + "temperature_celsius": "Temperature of the GPU.",
    _GPU + "power_watts": "Power drawn.",
    _SERVICE + "memory_bytes": "Memory of a service's processes on this GPU; absent while unknown.",
    _SERVICE + "memory_known": "0 while the driver does not tell what this service holds.",
    _SERVICE + "memory_peak_bytes": "The most a service was seen to hold since the exporter began.",
    _SERVICE + "processes": "Processes of a service on this GPU.",
    _SERVICE + "running": "1 if a service holds any of this GPU.",
    _SERVICE + "restarts": "1 if this service is the one that restarts with the plan.",
    _PLAN + "utilization_ratio": "The planned gpu-memory-utilization: the running server's, else the configured one.",
    _PLAN + "known": "0 while it is unknown whether the plan holds; gpu_tui_plan_valid is then absent.",
    _PLAN + "valid": "1 if vLLM would start with the plan, 0 if not; absent while unknown.",
    _PLAN + "tight": "1 if the plan holds, but a new engine's own CUDA context may not fit.",
    _PLAN + "status": "1 for the verdict as it is, 0 for the others.",
    _PLAN + "check_margin_bytes": "have minus need of one check; negative is a deficit.",
    _PLAN + "feasible_min_ratio": "Smallest gpu-memory-utilization that passes; absent where none does.",
    _PLAN + "feasible_max_ratio": "Largest gpu-memory-utilization that passes; absent where none does.",
    _PLAN + "available_bytes": "What a new vLLM could take: free plus what comes free.",
    _PLAN + "kv_cache_bytes": "Predicted KV cache; negative when the model alone does not fit.",
    _PLAN + "kv_cache_low_bytes": "Lower end of the predicted KV cache's band.",
    _PLAN + "kv_cache_high_bytes": "Upper end of the predicted KV cache's band.",
    _PLAN + "kv_cache_tokens": "Predicted tokens the KV cache holds; absent where the model is not known.",
    _PLAN + "kv_cache_low_tokens": "Lower end of the predicted tokens' band.",
    _PLAN + "kv_cache_high_tokens": "Upper end of the predicted tokens' band.",
    _PLAN + "outcome": "1 for how vLLM's start is predicted to end, 0 for the others.",
    _PLAN + "outcome_certain": "1 if the whole band of the prediction ends the same way.",
    "gpu_tui_series_dropped": "GPUs and services beyond what is told.",
}
"""Every family about the machine, in the order in which they are told."""


class _Book:
    """Collects samples under the families of `HELP`."""

    def __init__(self, more: Labels) -> None:
        self._more = more
        self._samples: dict[str, list[tuple[Labels, float]]] = {}

    def add(self, name: str, labels: Labels, value: float | None) -> None:
        """One sample; None is unknown and adds none."""
        if value is not None:
            self._samples.setdefault(name, []).append(({**labels, **self._more}, float(value)))

    def families(self) -> list[Family]:
        """In the order of `HELP`; those without a sample are left out."""
        return [
            Family(name=name, help=words, samples=self._samples[name])
            for name, words in HELP.items()
            if name in self._samples
        ]


def machine_families(seen: Assessed, peaks: Peaks | None = None) -> list[Family]:
    """Everything about the machine at one reading.

    Args:
        seen: the machine; a simulated one's series all bear ``simulated="true"``, a recording's ``replay="true"``.
        peaks: the most each service held, where that is kept.
    """
    book = _Book(
        simulated_label(seen.snapshot.simulated) | ({"replay": "true"} if seen.snapshot.source == "replay" else {})
    )
    for one in seen.gpus[:MOST_GPUS]:
        labels = gpu_labels(one.gpu)
        _add_gpu(book, one, labels)
        if one.fault is None:
            _add_services(book, one, labels, peaks or {})
        _add_plan(book, one, labels)
    dropped = sum(max(0, len(one.books.services) - MOST_SERVICES) for one in seen.gpus[:MOST_GPUS])
    book.add("gpu_tui_series_dropped", {}, dropped + max(0, len(seen.gpus) - MOST_GPUS))
    return book.families()


def simulated_label(simulated: bool) -> Labels:
    """The label of every series that is about a simulated machine."""
    return {"simulated": "true"} if simulated else {}


def gpu_labels(gpu: Gpu) -> Labels:
    """Which GPU: NVML's index, UUID and name."""
    return {"gpu": gpu.label, "uuid": clean(gpu.uuid, MOST_LABEL), "name": clean(gpu.name, MOST_LABEL)}


def service_labels(services: Sequence[Service]) -> Iterator[tuple[str, Service]]:
    """Each service with its label, no two alike. A pid in its name becomes its rank: pids would never end."""
    ranked = sorted((s for s in services if _PID.search(s.name)), key=lambda s: s.instance_pid or s.pid or 0)
    ranks: dict[str, int] = {}
    named: dict[str, str] = {}
    for service in ranked:
        stem = _PID.sub("", service.name)
        ranks[stem] = ranks.get(stem, 0) + 1
        named[service.name] = f"{stem}#{ranks[stem]}"
    taken: set[str] = set()
    for service in services:
        label = stem = clean(named.get(service.name, service.name), MOST_LABEL)
        rank = 2
        while label in taken:  # two series of one name would cost the whole scrape
            label, rank = f"{stem}~{rank}", rank + 1
        taken.add(label)
        yield label, service


_PID = re.compile(r"#\d+$")


def _add_gpu(book: _Book, one: Assessment, labels: Labels) -> None:
    gpu, books = one.gpu, one.books
    book.add(_GPU + "up", labels, gpu.total_bytes is not None)
    kinds = {fault.kind for fault in (*gpu.faults, *([one.fault] if one.fault else []))}
    for kind in FaultKind:
        if kind in kinds:
            book.add(_GPU + "fault", {**labels, "kind": kind.value}, 1)
    book.add(_GPU + "memory_total_bytes", labels, gpu.total_bytes)
    book.add(_GPU + "memory_used_bytes", labels, gpu.used_bytes)
    book.add(_GPU + "memory_free_bytes", labels, gpu.free_bytes)
    book.add(_GPU + "memory_reserved_bytes", labels, gpu.reserved_bytes)
    book.add(_GPU + "memory_unattributed_bytes", labels, books.unattributed_bytes if one.fault is None else None)
    book.add(_GPU + "utilization_ratio", labels, None if gpu.utilization_pct is None else gpu.utilization_pct / 100)
    book.add(_GPU + "temperature_celsius", labels, gpu.temperature_c)
    book.add(_GPU + "power_watts", labels, gpu.power_w)


def _add_services(book: _Book, one: Assessment, labels: Labels, peaks: Peaks) -> None:
    books: Books = one.books
    for name, service in list(service_labels(books.services))[:MOST_SERVICES]:
        who = {**labels, "service": name}
        known = books.listed and service.used_bytes is not None
        book.add(_SERVICE + "memory_bytes", who, service.used_bytes if known else None)
        book.add(_SERVICE + "memory_known", who, known)
        book.add(_SERVICE + "memory_peak_bytes", who, peaks.get((one.gpu.key, service.name)))
        book.add(_SERVICE + "processes", who, len(service.pids) if books.listed else None)
        book.add(_SERVICE + "running", who, service.running if books.listed else None)
        book.add(_SERVICE + "restarts", who, service.role is Role.RESTARTS)


def _add_plan(book: _Book, one: Assessment, labels: Labels) -> None:
    status = one.status
    if status is None:
        return
    book.add(_PLAN + "known", labels, status is not Status.UNKNOWN)
    for each in Status:
        book.add(_PLAN + "status", {**labels, "status": each.value}, each is status)
    outcome = None
    if one.judgement is not None and one.fault is None:
        outcome = one.judgement.prediction.outcome
        _add_report(book, one, labels)
        _add_prediction(book, one, labels)
    for name in (*Outcome, None):
        told = "unknown" if name is None else name.value
        book.add(_PLAN + "outcome", {**labels, "outcome": told}, name is outcome)


def _add_report(book: _Book, one: Assessment, labels: Labels) -> None:
    assert one.judgement is not None  # noqa: S101 - asked for by the caller
    report = one.judgement.report
    book.add(_PLAN + "utilization_ratio", labels, report.gpu_memory_utilization)
    book.add(_PLAN + "valid", labels, report.valid)
    book.add(_PLAN + "tight", labels, report.tight if report.valid is not None else None)
    for check in report.checks:
        book.add(_PLAN + "check_margin_bytes", {**labels, "check": check.name.value}, check.margin_bytes)
    if report.feasible is not None:
        book.add(_PLAN + "feasible_min_ratio", labels, report.feasible.min)
        book.add(_PLAN + "feasible_max_ratio", labels, report.feasible.max)
    book.add(_PLAN + "available_bytes", labels, report.available_bytes)


def _add_prediction(book: _Book, one: Assessment, labels: Labels) -> None:
    assert one.judgement is not None  # noqa: S101 - asked for by the caller
    prediction = one.judgement.prediction
    book.add(_PLAN + "kv_cache_bytes", labels, prediction.kv_cache_bytes)
    book.add(_PLAN + "kv_cache_tokens", labels, prediction.kv_tokens)
    for unit, band in (("bytes", prediction.kv_cache_band), ("tokens", prediction.kv_tokens_band)):
        if band is not None:
            book.add(f"{_PLAN}kv_cache_low_{unit}", labels, band[0])
            book.add(f"{_PLAN}kv_cache_high_{unit}", labels, band[1])
    book.add(_PLAN + "outcome_certain", labels, prediction.certain if prediction.outcome is not None else None)
