"""A journal and a recording into which another hand wrote names that attack a terminal."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpu_tui.core.snapshot import Fault, FaultKind, Snapshot
from gpu_tui.errors import SourceUnavailable
from gpu_tui.journal import Journal
from gpu_tui.journal.deployments import Deployments
from gpu_tui.telemetry.recording.header import Header
from gpu_tui.telemetry.recording.writer import RecordingWriter
from gpu_tui.telemetry.scenario import load_scenario, snapshot_at
from tests.endurance.machine import BEGUN
from tests.endurance.nasties import MARK, NASTIES, machine
from tests.journal.runs import run
from tests.journal.starts import start

KEPT = {
    **NASTIES,
    "not UTF-8": f"\udcff\udc80{MARK}\udced\udca0\udc80\udcf0",
    "half of a pair": f"{MARK}\ud83d",
}
"""Of names too that only a file can hold: processes' are cut to what the kernel gives."""
_RUN_TEXT = ("kind", "tool_version", "machine", "status", "reason", "note")
_RUN_JSON = ("gpus", "services", "server", "workload", "verdict", "summary", "evaluation")
_START_TEXT = ("tool_version", "gpu_uuid", "gpu_name", "model", "quantization", "vllm_version", "outcome", "source")
_START_JSON = ("flags", "predicted", "measured", "watched")
_WATCHED = {
    "phases": [{"phase": "loading", "seconds": 12.5, "evidence": "log"}],
    "took_s": 31.0,
    "planned_bytes": 6 << 30,
    "peak_bytes": 7 << 30,
    "cause": "out of memory",
    "remedy": "less",
    "races": ["two at once"],
}


def attacked(value: Any, payload: str) -> Any:
    """The same JSON with every text replaced, and one more of them wherever names are keys."""
    if isinstance(value, dict):
        return {name: attacked(one, payload) for name, one in value.items()}
    if isinstance(value, list):
        return [attacked(one, payload) for one in value]
    return payload if isinstance(value, str) else value


def hostile_journal(path: Path, payloads: Iterable[str]) -> Path:
    """A run and a start for each payload, which stands wherever there is text."""
    payloads = list(payloads)
    extra = {"reason": {"llm": "refused"}, "voice": {"stt_size": "tiny"}}
    with Journal(path, writable=True) as journal:
        for _ in payloads:
            kept = run(note="a note", evaluation={"status": "valid", "fitness": 1.5})
            journal.add(run(note="a note", evaluation=kept.evaluation, summary={**kept.summary, **extra}))
    with Deployments(path, writable=True) as journal:
        for number, _ in enumerate(payloads):
            measured = {**start().measured, "failure": "kv_cache_too_small"}
            journal.record(start(number, started_at="2026-11-23T10:00:00Z", measured=measured, watched=_WATCHED))
    connection = sqlite3.connect(path, isolation_level=None)
    for number, payload in enumerate(payloads, 1):
        _attack(connection, "runs", number, payload, _RUN_TEXT, _RUN_JSON)
        _attack(connection, "deployments", number, payload, _START_TEXT, _START_JSON)
    connection.close()
    return path


def _attack(
    connection: sqlite3.Connection,
    table: str,
    number: int,
    payload: str,
    texts: Iterable[str],
    documents: Iterable[str],
) -> None:
    data = payload.encode("utf-8", "surrogatepass" if "\ud83d" in payload else "surrogateescape")
    for name in texts:
        connection.execute(f"UPDATE {table} SET {name} = CAST(? AS TEXT) WHERE id = ?", (data, number))
    for name in documents:
        (told,) = connection.execute(f"SELECT {name} FROM {table} WHERE id = ?", (number,)).fetchone()
        value = attacked(json.loads(told), payload)
        if name in ("services", "workload", "flags"):
            value[payload] = {"role": payload, "memory_mib": 1.0} if name == "services" else payload
        connection.execute(
            f"UPDATE {table} SET {name} = ? WHERE id = ?",
            (json.dumps(value), number),
        )


def hostile_recording(path: Path, payloads: Iterable[str]) -> Path:
    """Three seconds for each payload: a machine on which everything bears it, a GPU's fault, a driver's error."""
    plain = path.with_suffix(".json")
    plain.write_text(json.dumps(machine(_PLACE)))
    told = snapshot_at(load_scenario(str(plain)), 0.5, 0)
    at = BEGUN
    writer = RecordingWriter(path, Header(version=MARK, interval_s=1.0, started_at=at, host="\x1b]0;host\x07"))
    for payload in payloads:
        seen = _bearing(told, payload)
        fault = Fault(kind=FaultKind.GPU_LOST, message=payload, remedy=payload)
        lost = replace(seen, gpus=tuple(replace(gpu, faults=(fault,), processes=None) for gpu in seen.gpus))
        for one in (seen, lost):
            at += 1.0
            writer.snapshot(replace(one, taken_at=at, taken_monotonic=at - BEGUN))
        at += 1.0
        writer.error(SourceUnavailable(payload, payload, kind=payload), at, at - BEGUN)
    writer.close()
    return path


_PLACE = "@NAME@"


def _bearing(told: Snapshot, payload: str) -> Snapshot:
    """A real machine, not the scenario that it was taken from, with the payload wherever the place of it stands."""

    def borne(text: str | None) -> str | None:
        return None if text is None else text.replace(_PLACE, payload)

    processes = {
        pid: replace(
            info,
            name=borne(info.name),
            user=borne(info.user),
            cmdline=None if info.cmdline is None else tuple(arg.replace(_PLACE, payload) for arg in info.cmdline),
        )
        for pid, info in told.processes.items()
    }
    gpus = tuple(replace(gpu, name=payload, uuid=payload) for gpu in told.gpus)
    names = {"source": "nvml", "source_detail": payload, "driver_version": payload}
    return replace(told, **names, simulated=False, gpus=gpus, processes=processes)
