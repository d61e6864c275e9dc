"""A watched start in the journal: its phases with their durations, its memory, its outcome and cause."""

from __future__ import annotations

from typing import Any

from gpu_tui.clock import Clock
from gpu_tui.config import Settings
from gpu_tui.core.books import keep_books
from gpu_tui.core.deployment import LAST, Deployment, DeployPhase
from gpu_tui.core.deployment_causes import cause
from gpu_tui.core.services import Classifier
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.errors import GpuTuiError
from gpu_tui.telemetry.start_logs import FoundLog
from gpu_tui.wiring.deployments import deployment_of, open_deployments
from gpu_tui.wiring.evidence import Seeker
from gpu_tui.wiring.recording import journal_path


def keep(
    one: Deployment, seen: Snapshot, settings: Settings, races: tuple[str, ...], *, clock: Clock, rules: Classifier
) -> str | None:
    """Keep it. Reads files and a disk: not for a UI's own thread. Never raises what a journal may say.

    Args:
        one: a start that has an outcome.
        seen: the machine when the server was last there.
        settings: which journal.
        races: what was said of races while it started.
        clock: for the time it is recorded.
        rules: the services.

    Returns:
        What to tell; None where nothing new was kept, or nothing is to be kept.
    """
    if not seen.here or journal_path(settings) is None:
        return None
    gpu = next((gpu for gpu in seen.gpus if gpu.key in one.gpus), None)
    if gpu is None:
        return None
    books = keep_books(seen, gpu, rules, one.who.pid)
    found = FoundLog(log=one.log, source="its log, watched" if one.log is not None else None)
    # What was followed is believed; a log that is read anew may already be the next start's.
    seeker = Seeker(clock, find_log=lambda _pids, _since: found, get=None if one.served else lambda _port, _path: None)
    page = deployment_of(
        seeker.running(seen, books), seen, books, settings, gpu, clock=clock, watched=watched_object(one, races)
    )
    if page is None:
        return None
    try:
        with open_deployments(settings, writable=True) as journal:
            number = journal.record(page)
    except GpuTuiError as error:
        return f"This start of {one.name} was not kept: {error}"
    if number is None:
        return None
    return f"Kept as deployment {number} ({one.outcome}): gpu-tui history --deployments show {number}."


def watched_object(one: Deployment, races: tuple[str, ...]) -> dict[str, Any]:
    """As the journal's `Deployment.watched` has it, with its outcome."""
    told = cause(one)
    ended = [span for span in one.spans if span.end_s is not None]
    return {
        "outcome": one.outcome,
        "phases": [
            {
                "phase": span.phase.value,
                "seconds": round(span.duration_s(one.looked_s), 3),
                "evidence": span.evidence.value,
            }
            for span in ended
            if span.phase not in (*LAST, DeployPhase.SERVING)
        ],
        "took_s": round(one.took_s(one.looked_s), 3),
        "planned_bytes": one.planned_bytes,
        "peak_bytes": one.peak_bytes,
        "cause": None if told is None else told[0],
        "remedy": None if told is None else told[1],
        "races": list(races),
    }
