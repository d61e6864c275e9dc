"""Observations ⇄ lines of JSON. The first of a block is whole, the others tell only what has changed.

A line has ``at`` (seconds since the epoch), ``mono`` (the source's monotonic clock), ``t`` where the recording's own
axis is not the wall clock's, and one of: ``full`` (machine, gpus, procs); ``error``; or what changed: ``machine``,
``gpus`` by position, ``procs`` by pid (null: not seen any more). All text is ASCII with JSON's escapes: what a process
calls itself cannot reach a terminal through ``zcat``.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gpu_tui.core.snapshot import Gpu, GpuProcess, ProcessInfo, Snapshot
from gpu_tui.errors import SourceUnavailable
from gpu_tui.telemetry.recording import values
from gpu_tui.telemetry.recording.blocks import LATEST
from gpu_tui.telemetry.recording.values import Json
from gpu_tui.view.text import clean


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One instant of a recording. Exactly one of `snapshot` and `error` is set."""

    t: float
    """Seconds on the recording's own axis, which never goes back: the wall clock, save where that was set."""
    at: float
    """Wall clock, seconds since the epoch."""
    snapshot: Snapshot | None = None
    error: SourceUnavailable | None = None


def dump(value: Json) -> bytes:
    """One line."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"


def stamp(seconds: float) -> float:
    """An instant as it is written: to the millisecond."""
    return round(seconds, 3)


class Encoder:
    """Lines from observations. A new one begins with a whole observation."""

    def __init__(self) -> None:
        self._last: Snapshot | None = None

    def snapshot(self, seen: Snapshot, t: float) -> Json:
        """The line of a snapshot; `t` is its instant on the recording's axis."""
        line = _head(seen.taken_at, seen.taken_monotonic, t)
        last, self._last = self._last, seen
        if last is None:
            procs = {str(pid): _info(pid, info) for pid, info in seen.processes.items()}
            gpus = [values.gpu_json(gpu) for gpu in seen.gpus]
            return {**line, "full": {"machine": values.machine_json(seen), "gpus": gpus, "procs": procs}}
        parts = {
            "machine": values.changed(last, seen, values.MACHINE_FIELDS),
            "gpus": _gpus(last.gpus, seen.gpus),
            "procs": _procs(last.processes, seen.processes),
        }
        return {**line, **{name: part for name, part in parts.items() if part}}

    def error(self, error: SourceUnavailable, at: float, monotonic: float, t: float) -> Json:
        """The line of an instant at which nothing could be read."""
        told = {"kind": error.kind, "message": error.message, "remedy": error.remedy}
        return {**_head(at, monotonic, t), "error": told}


def _head(at: float, monotonic: float, t: float) -> Json:
    line = {"at": stamp(at), "mono": stamp(monotonic)}
    return line if stamp(t) == line["at"] else {**line, "t": stamp(t)}


def _info(pid: int, info: ProcessInfo) -> Json:
    told = values.info_json(info)
    return told if info.pid == pid else {**told, "pid": info.pid}


def _procs(before: Mapping[int, ProcessInfo], after: Mapping[int, ProcessInfo]) -> Json:
    if before is after:
        return {}
    told: Json = {}
    for pid, info in after.items():
        known = before.get(pid)
        if known is not info and known != info:
            told[str(pid)] = _info(pid, info)
    for pid in before.keys() - after.keys():
        told[str(pid)] = None
    return told


def _gpus(before: tuple[Gpu, ...], after: tuple[Gpu, ...]) -> Json | list[Json]:
    if len(before) != len(after):
        return [values.gpu_json(gpu) for gpu in after] or {"none": True}
    return {str(i): part for i, (a, b) in enumerate(zip(before, after, strict=True)) if (part := _gpu(a, b))}


def _gpu(before: Gpu, after: Gpu) -> Json:
    if before is after:
        return {}
    told = values.changed(before, after, values.GPU_FIELDS)
    if before.processes != after.processes:
        told.update(_rows(before.processes, after.processes))
    return told


def _rows(before: tuple[GpuProcess, ...] | None, after: tuple[GpuProcess, ...] | None) -> Json:
    if before is None or after is None:
        return {"processes": None if after is None else [values.row_json(row) for row in after]}
    known = {row.pid: row for row in before}
    rows = [values.row_json(row) for row in after if known.get(row.pid) != row]
    told: Json = {"rows": rows, "gone": sorted(known.keys() - {row.pid for row in after})}
    if _merged(before, told) != after:  # not ordered by pid, or a pid twice
        return {"processes": [values.row_json(row) for row in after]}
    return {name: part for name, part in told.items() if part}


def _merged(before: Iterable[GpuProcess], told: Json) -> tuple[GpuProcess, ...]:
    """Rows ordered by pid, with some gone and some new; few change, so the many are not looked at."""
    rows = list(before)
    for pid in told.get("gone", ()):
        place = bisect_left(rows, pid, key=_pid)
        if place < len(rows) and rows[place].pid == pid:
            del rows[place]
    for row in map(values.row_of, told.get("rows", ())):
        place = bisect_left(rows, row.pid, key=_pid)
        there = place < len(rows) and rows[place].pid == row.pid
        rows[place : place + there] = [row]
    return tuple(rows)


def _pid(row: GpuProcess) -> int:
    return row.pid


class Decoder:
    """Observations from the lines of one block, in their order."""

    def __init__(self) -> None:
        self._last: Snapshot | None = None

    def feed(self, line: Json) -> Observation:
        """The next observation.

        Raises:
            ValueError, KeyError, TypeError, AttributeError: the line does not mean anything.
        """
        at, t = float(line["at"]), float(line["t"] if "t" in line else line["at"])
        if not (0 <= at <= LATEST and 0 <= t <= LATEST):
            raise ValueError("no time")
        if "error" in line:
            told = line["error"]
            error = SourceUnavailable(*(clean(str(told[name])) for name in ("message", "remedy", "kind")))
            return Observation(t=t, at=at, error=error)
        stamps: dict[str, Any] = {"taken_at": at, "taken_monotonic": float(line["mono"])}
        if "full" in line:
            full = line["full"]
            self._last = Snapshot(
                **values.machine_fields(full["machine"]),
                **stamps,
                gpus=tuple(_whole(gpu) for gpu in full["gpus"]),
                processes={int(pid): _who(int(pid), told) for pid, told in full["procs"].items()},
            )
        elif self._last is None:
            raise ValueError("a change without what it changes")
        else:
            self._last = _apply(self._last, line, stamps)
        return Observation(t=t, at=at, snapshot=self._last)


def _who(pid: int, told: Json) -> ProcessInfo:
    return values.info_of(int(told.get("pid", pid)), told)


def _whole(told: Json) -> Gpu:
    rows = told.get("processes")
    processes = None if rows is None else tuple(values.row_of(row) for row in rows)
    return Gpu(**values.gpu_fields(told), processes=processes)


def _apply(last: Snapshot, line: Json, stamps: dict[str, Any]) -> Snapshot:
    parts: dict[str, Any] = dict(stamps)
    if "machine" in line:
        parts.update(values.machine_fields(line["machine"]))
    gpus = line.get("gpus")
    if isinstance(gpus, list):
        parts["gpus"] = tuple(_whole(gpu) for gpu in gpus)
    elif gpus is not None:
        parts["gpus"] = () if "none" in gpus else _moved(last.gpus, gpus)
    if "procs" in line:
        told = line["procs"]
        gone = {int(pid) for pid, info in told.items() if info is None}
        kept = {pid: info for pid, info in last.processes.items() if pid not in gone}
        new = {int(pid): _who(int(pid), info) for pid, info in told.items() if info is not None}
        parts["processes"] = {**kept, **new}
    return replace(last, **parts)


def _moved(gpus: tuple[Gpu, ...], told: Json) -> tuple[Gpu, ...]:
    moved = list(gpus)
    for position, part in told.items():
        gpu = moved[int(position)]
        found = values.gpu_fields(part)
        if "processes" in part:
            rows = part["processes"]
            found["processes"] = None if rows is None else tuple(values.row_of(row) for row in rows)
        elif "rows" in part or "gone" in part:
            found["processes"] = _merged(gpu.processes or (), part)
        moved[int(position)] = replace(gpu, **found)
    return tuple(moved)
