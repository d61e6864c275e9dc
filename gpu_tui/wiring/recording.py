"""From a finished run to its page in the journal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gpu_tui import __version__, wire
from gpu_tui.config import Settings
from gpu_tui.config.places import journal_file
from gpu_tui.core.books import Books
from gpu_tui.core.checks import CheckReport, evaluate
from gpu_tui.core.origins import Origin, OriginKind
from gpu_tui.core.reasons import reason
from gpu_tui.core.snapshot import Gpu, Snapshot
from gpu_tui.errors import GpuTuiError, UsageError
from gpu_tui.view.text import mask_cmdline
from gpu_tui.wiring.machine import Options, choose_gpus, classifier, model_need

if TYPE_CHECKING:
    from gpu_tui.bench.events import RequestDone, Summary
    from gpu_tui.journal import Journal, Run, Sample

J = TypeVar("J", bound="Journal")

OFF = "off"
"""As the name of a journal: none is kept."""

_ELSEWHERE_TOLD = ("schema", "source", "simulated", "gpu", "services", "origins")
"""Of a verdict: what the page tells anyway."""


def journal_path(settings: Settings) -> Path | None:
    """Where runs are kept; None: nowhere, by the user's word."""
    if settings.journal == OFF:
        return None
    if settings.journal is not None:
        return Path(settings.journal).expanduser()
    return journal_file()


def journal_there(path: Path) -> bool:
    """Whether there is a file; also where that may not be looked up, so that opening it says why."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def open_journal(settings: Settings, *, writable: bool = False) -> Journal:
    """The journal in effect.

    Raises:
        UsageError: it is switched off.
        JournalRefused: the file is not ours, damaged or newer; it is left as it was.
        JournalError: it cannot be opened; or it was named and is not there.
    """
    opened: Journal = opened_journal(settings, _room().Journal, writable=writable)
    return opened


def opened_journal(settings: Settings, kind: type[J], *, writable: bool) -> J:
    """The journal in effect, as this kind of view of it; raises as `open_journal` does."""
    journal = _room()
    path = journal_path(settings)
    if path is None:
        origin = settings.origin("journal")
        where = "--no-journal" if origin.kind == "flag" else str(origin)
        raise UsageError(f"The journal is switched off ({where}).", "Name a file with --journal.")
    if not writable and settings.journal is not None and not journal_there(path):
        raise journal.JournalError(f"There is no journal {path}.", "Check --journal.")
    return kind(path, writable=writable)


def _room() -> Any:
    try:
        from gpu_tui import journal
    except ImportError as error:  # some distributions ship SQLite's module apart
        raise GpuTuiError(f"This Python has no SQLite ({error}).", "Install it, or say --no-journal.") from None
    return journal


def record_run(
    settings: Settings,
    options: Options,
    snapshot: Snapshot | None,
    books: Books | None,
    report: CheckReport | None,
    summary: Summary,
    *,
    requests: Iterable[RequestDone] = (),
    kind: str = "tui",
    gpu: Gpu | None = None,
    evaluation: Mapping[str, Any] | None = None,
    note: str = "",
) -> int | None:
    """Keep a finished run in the journal. Writes to a disk, and waits for other instances: not for a UI's own thread.

    Args:
        settings: which journal.
        options: whether the machine is simulated.
        snapshot, books: the machine as it was when the run began; None when it could not be read.
        report: the verdict on the plan; None: made here, at the planned utilization, else the running server's.
        summary: the figures.
        requests: every measured request, for comparing runs later.
        kind: who ran it; one of `gpu_tui.journal.KINDS`.
        gpu: the device the books are about; None: found by the books.
        evaluation: the optimizer's result.
        note: the user's own words.

    Returns:
        The run's number; None when the journal is switched off.

    Raises:
        JournalError: it could not be kept. The figures are as good as ever: show them first.
    """
    if journal_path(settings) is None:
        return None
    _room()
    shares = summary.gpu_memory_utilization
    share = shares.planned if shares.planned is not None else shares.actual
    if report is None and books is not None and share is not None:
        report = evaluate(share, books, model_need(settings, snapshot))
    machine = _machine(snapshot, books, gpu or judged_gpu(settings, snapshot, books), report)
    run = _page(summary, requests, machine)
    simulated = run.simulated or options.simulated or (snapshot is not None and snapshot.simulated)
    run = replace(run, kind=kind, simulated=simulated, evaluation=evaluation, note=note)
    with open_journal(settings, writable=True) as opened:
        return opened.add(run)


def _page(summary: Summary, requests: Iterable[RequestDone], machine: Mapping[str, Any]) -> Run:
    """What the figures tell, on the machine as it was."""
    import msgspec

    from gpu_tui.journal import Run

    told: dict[str, Any] = msgspec.to_builtins(summary)
    return Run(
        started_at=summary.started_at,
        kind="",
        simulated=summary.simulated,
        tool_version=__version__,
        machine=summary.machine,
        utilization_actual=summary.gpu_memory_utilization.actual,
        utilization_planned=summary.gpu_memory_utilization.planned,
        workload=told.get("workload") or {},
        summary=told,
        samples=(*_samples(requests), *_turns(told)),
        **machine,
    )


def _machine(
    snapshot: Snapshot | None, books: Books | None, gpu: Gpu | None, report: CheckReport | None
) -> dict[str, Any]:
    """The fields of a page that are about the machine and the verdict."""
    fields: dict[str, Any] = {}
    if report is not None:
        fields |= {"status": report.status.value, "reason": reason(report)}
    if snapshot is not None:
        fields["gpus"] = [
            wire.gpu_object(each) | {"judged": gpu is not None and each.key == gpu.key} for each in snapshot.gpus
        ]
    if books is not None:
        fields["services"] = _services(books)
    if books is not None and snapshot is not None:
        fields["server"] = _server(snapshot, books)
    if report is not None and snapshot is not None and gpu is not None:
        fields["verdict"] = _verdict(report, snapshot, gpu)
    return fields


def judged_gpu(settings: Settings, snapshot: Snapshot | None, books: Books | None) -> Gpu | None:
    """The device the books are about."""
    if snapshot is None or books is None:
        return None
    pids = {pid for service in books.services for pid in service.pids}
    alike = [
        gpu
        for gpu in snapshot.gpus
        if (gpu.total_bytes, gpu.used_bytes, gpu.free_bytes) == (books.total_bytes, books.used_bytes, books.free_bytes)
        and {process.pid for process in gpu.processes or ()} == pids
    ]
    if len(alike) == 1:
        return alike[0]
    try:
        chosen = choose_gpus(snapshot, settings, classifier(settings))
    except UsageError:
        return None  # equal devices and none named: which of them is not known
    return chosen[0] if len(chosen) == 1 else None


def _services(books: Books) -> dict[str, Any]:
    return {
        service.name: wire.service_object(service, listed=books.listed) | {"role": service.role.value}
        for service in books.services
    }


def _server(snapshot: Snapshot, books: Books) -> dict[str, Any]:
    if books.chosen is None:
        return {}
    info = snapshot.processes.get(books.chosen.owner_pid)
    argv = None if info is None or info.cmdline is None else list(mask_cmdline(info.cmdline))
    return {"pid": books.chosen.owner_pid, "port": books.chosen.port, "cmdline": argv}


def _verdict(report: CheckReport, snapshot: Snapshot, gpu: Gpu) -> dict[str, Any]:
    asked = Origin(kind=OriginKind.ASSUMED, source="the plan")
    whole = wire.check_object(report, snapshot, gpu, utilization_origin=asked)
    return {name: value for name, value in whole.items() if name not in _ELSEWHERE_TOLD}


def _samples(requests: Iterable[RequestDone]) -> Iterable[Sample]:
    """Numbered anew within kind and part: events come in the order in which requests ended.

    Those that are in no figure are left out: two runs are compared by these.
    """
    from gpu_tui.journal import Sample

    counts: dict[tuple[str, str], int] = {}
    for one in sorted((each for each in requests if each.counts), key=lambda request: request.index):
        key = (one.kind, getattr(one, "stage", None) or "")
        number = counts[key] = counts.get(key, -1) + 1
        yield Sample(
            kind=one.kind,
            part=key[1],
            number=number,
            started_s=one.started_s,
            ttft_ms=one.ttft_ms,
            itl_ms=one.itl_ms,
            tpot_ms=getattr(one, "tpot_ms", None),
            e2e_ms=one.e2e_ms,
            latency_ms=one.latency_ms,
            rtf=one.rtf,
            output_tokens=one.output_tokens,
            error=one.error,
        )


def _turns(summary: Mapping[str, Any]) -> Iterable[Sample]:
    """The turns of a voice run, which its summary lists."""
    from gpu_tui.journal import Sample

    voice = summary.get("voice") or {}
    for number, turn in enumerate(voice.get("turns", ())):
        yield Sample(
            kind="voice",
            number=number,
            started_s=turn.get("started_s"),
            ttft_ms=turn.get("first_token_ms"),
            sentence_ms=turn.get("first_sentence_ms"),
            e2e_ms=turn.get("total_ms"),
            latency_ms=turn.get("stt_ms"),
            error=turn.get("error"),
        )
