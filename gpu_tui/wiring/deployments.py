"""Past starts of this machine: kept when a running server tells of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gpu_tui import __version__
from gpu_tui.clock import Clock, SystemClock
from gpu_tui.config import Settings
from gpu_tui.core.books import Books
from gpu_tui.core.kv_layout import KvLayout
from gpu_tui.core.origins import OriginKind
from gpu_tui.core.plan import Plan
from gpu_tui.core.planning import Judgement
from gpu_tui.core.server_memory import serving_engine
from gpu_tui.core.snapshot import Gpu, Snapshot
from gpu_tui.core.start import StartModel
from gpu_tui.core.start_evidence import requested
from gpu_tui.core.start_inputs import StartInputs
from gpu_tui.core.start_terms import Given, TermName
from gpu_tui.errors import GpuTuiError
from gpu_tui.wiring.evidence import Evidence
from gpu_tui.wiring.machine import model_need
from gpu_tui.wiring.recording import journal_path, judged_gpu, opened_journal

if TYPE_CHECKING:
    from gpu_tui.journal.deployments import Deployment, Deployments

_FLAGS = (
    "max_model_len",
    "fit_max_model_len",
    "tensor_parallel_size",
    "pipeline_parallel_size",
    "decode_context_parallel_size",
    "kv_cache_dtype",
    "block_size",
    "enforce_eager",
    "max_num_seqs",
    "max_num_batched_tokens",
    "kv_cache_memory_bytes",
    "num_gpu_blocks_override",
    "speculative_tokens",
    "prefix_caching",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What became of it, for people."""

    message: str
    remedy: str = ""
    kept: int | None = None
    """The number it was kept under; None: it could not be kept."""


def remember(
    evidence: Evidence,
    snapshot: Snapshot,
    books: Books,
    settings: Settings,
    *,
    gpu: Gpu | None = None,
    clock: Clock | None = None,
) -> Notice | None:
    """Keep the running server's start, predicted against measured. Never raises what a journal may say.

    Reads and writes a disk: not for a UI's own thread. Every start is kept once, however often this is called.

    Args:
        evidence: what `Seeker.running` found of the instance that restarts.
        snapshot, books: the machine it was found on.
        settings: which journal; `--no-journal` keeps nothing.
        gpu: the device the books are about; None: found by the books.
        clock: for the time it is recorded.

    Returns:
        What to tell: that it was kept, or why it could not be; None where there is nothing new, nothing to keep, or
        nothing is to be kept.
    """
    if not snapshot.here or journal_path(settings) is None:
        return None
    device = gpu or judged_gpu(settings, snapshot, books)
    page = None if device is None else deployment_of(evidence, snapshot, books, settings, device, clock=clock)
    if page is None:
        return None
    try:
        with open_deployments(settings, writable=True) as journal:
            number = journal.record(page)
    except GpuTuiError as error:
        return Notice(message=f"This start of {page.model} was not kept: {error.message}", remedy=error.remedy)
    if number is None:
        return None
    where = f"gpu-tui history --deployments show {number}"
    return Notice(message=f"Kept as deployment {number}, predicted against measured: {where}.", kept=number)


def open_deployments(settings: Settings, *, writable: bool = False) -> Deployments:
    """The journal in effect, seen as the starts in it; raises as `open_journal` does."""
    return opened_journal(settings, _room(), writable=writable)


def _room() -> type[Deployments]:
    try:
        from gpu_tui.journal.deployments import Deployments
    except ImportError as error:  # some distributions ship SQLite's module apart
        raise GpuTuiError(f"This Python has no SQLite ({error}).", "Install it, or say --no-journal.") from None
    return Deployments


def deployment_of(
    evidence: Evidence,
    snapshot: Snapshot,
    books: Books,
    settings: Settings,
    gpu: Gpu,
    *,
    clock: Clock | None = None,
    watched: Mapping[str, Any] | None = None,
) -> Deployment | None:
    """The running server's start as the journal keeps it.

    None while it is under way, when nothing measured is known of it and nobody watched it, and when the process does
    not tell when it was started: then one start could not be told from the next.

    Args:
        evidence: what is known of the server.
        snapshot, books: the machine; `books.chosen` is the server.
        settings, gpu, clock: the plan's settings, the device, the time it is recorded.
        watched: as `Deployment.watched`, with ``outcome``; that one stands before what the log says.
    """
    chosen, inputs = books.chosen, evidence.inputs
    outcome = _outcome(evidence)
    if watched is not None:
        outcome, inputs = str(watched["outcome"]), inputs or StartInputs()
    info = snapshot.processes.get(chosen.owner_pid) if chosen is not None else None
    if chosen is None or inputs is None or outcome is None or info is None or info.started_at is None:
        return None
    setup = inputs.setup
    name = evidence.model or setup.model or (None if watched is None else "unknown")
    share = inputs.gpu_memory_utilization
    if share is None and inputs.version is not None:
        share = inputs.rules.default_gpu_memory_utilization
    plan = _blind(inputs, share, snapshot, books, settings, gpu)
    start = plan.start()
    measured = _measured(evidence, inputs, start.layout if start is not None else None)
    if measured["requested_bytes"] is None and TermName.ACTIVATION in inputs.given and share is not None:
        # Its blocks told the activation (`rest_by_blocks`), and that of the same share of the same total.
        measured["requested_bytes"] = plan.judge(start).report.allocation_bytes
    if serving_engine(evidence.cache) is not None:
        measured["held_bytes"] = chosen.used_bytes
    figures = measured["terms"] or measured["kv_cache_bytes"] or measured["kv_tokens"]
    if name is None or not (figures or watched):
        return None
    from gpu_tui.journal.deployments import Deployment

    told = {flag: getattr(inputs, flag) for flag in _FLAGS} | {
        "dtype": setup.dtype,
        "max_model_len": setup.max_model_len,
    }
    return Deployment(
        recorded_at=_stamp((clock or SystemClock()).wall()),
        started_at=_stamp(info.started_at),
        started_s=info.started_at,
        machine=os.uname().nodename,
        server_pid=chosen.owner_pid,
        tool_version=__version__,
        gpu_uuid=gpu.uuid,
        gpu_name=gpu.name,
        gpu_total_bytes=gpu.total_bytes,
        cuda_total_bytes=inputs.cuda_total_bytes,
        model=name,
        quantization=setup.quantization,
        vllm_version=inputs.version,
        utilization=share,
        outcome=outcome,
        source="; ".join(evidence.sources),
        flags={flag: value for flag, value in told.items() if value is not None},
        predicted=None if start is None else _predicted(plan, start, share),
        measured=measured,
        watched=watched,
    )


def _outcome(evidence: Evidence) -> str | None:
    """How the start ended: a server that answers has started, whatever the log it writes to holds of earlier ones."""
    if evidence.cache is not None and evidence.cache.smallest is not None:
        return "started"
    return evidence.log.outcome if evidence.log is not None else None


def _measured(evidence: Evidence, inputs: StartInputs, layout: KvLayout | None) -> dict[str, Any]:
    log = evidence.log
    engine = evidence.cache.smallest if evidence.cache is not None else None
    tokens = log.kv_tokens.value if log is not None and log.kv_tokens is not None else None
    blocks = log.gpu_blocks.value if log is not None and log.gpu_blocks is not None else None
    failure = log.failure if log is not None and _outcome(evidence) != "started" else None
    measured = {n: one for n, one in inputs.given.items() if one.origin.kind is OriginKind.MEASURED}
    num_blocks = blocks if blocks is not None or engine is None else engine.num_gpu_blocks
    cache = log.available_kv.size_bytes if log is not None and log.available_kv is not None else None
    if cache is None and num_blocks is not None and layout is not None and inputs.num_gpu_blocks_override is None:
        cache = num_blocks * layout.bytes_per_block  # but for less than one block
    pinned = (
        inputs.kv_cache_memory_bytes,
        log.kv_cache_memory if log is not None else None,
        engine.kv_cache_memory_bytes if engine is not None else None,
    )
    return {
        "terms": {name.value: _term(one) for name, one in measured.items()},
        "requested_bytes": requested(log) if log is not None else None,
        "kv_cache_bytes": cache,
        "kv_cache_fixed": any(told is not None for told in pinned),
        "kv_tokens": tokens if tokens is not None or engine is None else engine.kv_cache_size_tokens,
        "num_blocks": num_blocks,
        "failure": None if failure is None else failure.text,
    }


def _term(one: Given) -> dict[str, Any]:
    part = None if one.part_of is None else one.part_of.value
    return {"size_bytes": one.size, "precision_bytes": one.precision, "source": one.origin.source, "part_of": part}


def _blind(
    inputs: StartInputs, share: float | None, snapshot: Snapshot, books: Books, settings: Settings, gpu: Gpu
) -> Plan:
    """The start as it would have been planned from the model's files alone."""
    return Plan(
        gpu_memory_utilization=share if share is not None else 1.0,
        gpu=gpu,
        books=books,
        base=model_need(settings, snapshot),
        inputs=replace(inputs, given={}, cuda_total_bytes=None, learned=None, min_kv_cache_bytes=None),
    )


def _predicted(plan: Plan, start: StartModel, share: float | None) -> dict[str, Any]:
    """What would have been said of this start; without its utilization only the terms."""
    terms = {
        term.name.value: {
            "size_bytes": term.size,
            "low_bytes": term.low,
            "high_bytes": term.high,
            "origin": term.origin.kind.value,
            "source": term.origin.source,
        }
        for term in start.terms
    }
    return {"terms": terms, **({} if share is None else _figures(plan.judge(start)))}


def _figures(judged: Judgement) -> Mapping[str, Any]:
    told = judged.prediction
    band = told.kv_cache_band
    return {
        "requested_bytes": told.requested_bytes,
        "kv_cache_bytes": told.kv_cache_bytes,
        "kv_cache_band_bytes": None if band is None else {"low": band[0], "high": band[1]},
        "kv_tokens": told.kv_tokens,
        "num_blocks": told.num_blocks,
        "outcome": None if told.outcome is None else told.outcome.value,
        "outcome_certain": told.certain,
    }


def _stamp(wall_s: float) -> str:
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
