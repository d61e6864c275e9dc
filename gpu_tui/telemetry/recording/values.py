"""Observed values ⇄ what JSON can hold. Fields at their default are left out; secrets of command lines are masked.

Fields are taken from the values' own declarations, so that one added later is recorded without a word here; a field or
a word that this version does not know is left out when it is read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields
from enum import Enum
from functools import cache
from typing import Any, get_type_hints

from gpu_tui.core.snapshot import Fault, FaultKind, Gpu, GpuProcess, ProcessInfo, Snapshot
from gpu_tui.view.text import clean, mask_cmdline, visible

Json = dict[str, Any]

_OWN = ("gpus", "processes", "taken_at", "taken_monotonic")
"""Fields of a snapshot that have a place of their own in a line."""

MACHINE_FIELDS = tuple(f.name for f in fields(Snapshot) if f.name not in _OWN)
GPU_FIELDS = tuple(f.name for f in fields(Gpu) if f.name != "processes")
_INFO_FIELDS = tuple(f.name for f in fields(ProcessInfo) if f.name != "pid")
_ROW_FIELDS = tuple(f.name for f in fields(GpuProcess) if f.name not in ("pid", "used_bytes", "compute", "graphics"))

_PLAIN = (str, int, bool, type(None))
_DEFAULTS: dict[type, Json] = {
    kind: {f.name: f.default for f in fields(kind) if f.default is not MISSING}
    for kind in (Gpu, GpuProcess, ProcessInfo, Snapshot)
}


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None  # no figure; JSON has no word for it either
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    import msgspec

    return msgspec.to_builtins(value, str_keys=True)


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind)


@cache
def _told_as_is(kind: type, name: str) -> bool:
    """Whether text and numbers of JSON are this field's own, and no name of an enumeration."""
    hint = _hints(kind)[name]
    return not any(isinstance(part, type) and issubclass(part, Enum) for part in getattr(hint, "__args__", (hint,)))


def _told(value: Any, names: tuple[str, ...]) -> Json:
    defaults = _DEFAULTS[type(value)]
    return {
        name: _plain(getattr(value, name))
        for name in names
        if name not in defaults or getattr(value, name) != defaults[name]
    }


def _read(kind: type, told: Json, names: tuple[str, ...]) -> Json:
    """Arguments for `kind`. What this version does not understand is left out."""
    known: Json = {}
    for name, value in told.items():
        if name not in names:
            continue
        # A process's name is matched by rules, and as it is on a live machine too: whoever shows it makes it visible.
        value = value if kind is ProcessInfo and name == "name" else visible(value)
        if isinstance(value, (*_PLAIN, float)) and _told_as_is(kind, name):
            known[name] = value
        else:
            _convert(kind, name, value, known)
    return known


def _convert(kind: type, name: str, value: Any, known: Json) -> None:
    import msgspec

    try:
        known[name] = msgspec.convert(value, _hints(kind)[name], strict=False, str_keys=True)
    except (msgspec.ValidationError, TypeError):
        if name not in _DEFAULTS[kind]:
            raise ValueError(f"{name} does not mean anything") from None


def changed(before: Any, after: Any, names: tuple[str, ...]) -> Json:
    """The fields that differ, as they are now."""
    return {name: _plain(getattr(after, name)) for name in names if getattr(before, name) != getattr(after, name)}


def machine_json(snapshot: Snapshot) -> Json:
    """What is told of the machine as a whole: source, driver, a scenario's own words."""
    return _told(snapshot, MACHINE_FIELDS)


def machine_fields(told: Json) -> Json:
    """Arguments for `Snapshot`."""
    return _read(Snapshot, told, MACHINE_FIELDS)


def gpu_json(gpu: Gpu) -> Json:
    """One device, its processes as rows."""
    told = _told(gpu, GPU_FIELDS)
    told["processes"] = None if gpu.processes is None else [row_json(each) for each in gpu.processes]
    return told


def gpu_fields(told: Json) -> Json:
    """Arguments for `Gpu`, without its processes."""
    known = _read(Gpu, {name: value for name, value in told.items() if name != "faults"}, GPU_FIELDS)
    if "faults" in told:
        known["faults"] = tuple(_fault(each) for each in told["faults"])
    return known


def _fault(told: Json) -> Fault:
    """A fault; a kind this version does not know is ``other``."""
    kind = told["kind"]
    known = FaultKind(kind) if kind in {each.value for each in FaultKind} else FaultKind.OTHER
    return Fault(kind=known, message=clean(str(told["message"])), remedy=clean(str(told.get("remedy", ""))))


def row_json(process: GpuProcess) -> list[Any]:
    """``[pid, used_bytes, kinds]``: kinds is ``c`` compute, ``g`` graphics, both or neither; then what else is told."""
    row = [process.pid, process.used_bytes, "c" * process.compute + "g" * process.graphics]
    more = _told(process, _ROW_FIELDS)
    return [*row, more] if more else row


def row_of(told: list[Any]) -> GpuProcess:
    """A row of a device."""
    pid, used, kinds, *more = told
    known = _read(GpuProcess, more[0], _ROW_FIELDS) if more else {}
    return GpuProcess(pid=int(pid), used_bytes=used, compute="c" in kinds, graphics="g" in kinds, **known)


def info_json(info: ProcessInfo) -> Json:
    """Who a pid is, with the secrets of its command line masked; its user's name stays."""
    told = _told(info, _INFO_FIELDS)
    if info.cmdline is not None:
        told["cmdline"] = list(mask_cmdline(info.cmdline))
    return told


def info_of(pid: int, told: Json) -> ProcessInfo:
    """Who a pid is."""
    known = _read(ProcessInfo, {name: value for name, value in told.items() if name != "cmdline"}, _INFO_FIELDS)
    argv = told["cmdline"]
    return ProcessInfo(pid=pid, cmdline=None if argv is None else tuple(map(str, argv)), **known)
