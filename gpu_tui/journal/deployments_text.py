"""Kept starts for people and for other programs: predicted against measured."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from textwrap import wrap
from typing import Any

from gpu_tui.core.learned import TERMS
from gpu_tui.journal.deployments import StoredDeployment
from gpu_tui.units import GIB, signed_gib
from gpu_tui.view.text import clean

SCHEMA = 1
"""Raised when a field changes its meaning or goes; a new field does not raise it."""

WIDTH = 98
_NOTHING = "-"
_MODEL = 18
_HEAD = (
    f"{'ID':>4}  {'STARTED UTC':<11}  {'MODEL':<{_MODEL}}  {'UTIL':<5} {'OUTCOME':<15}{'KV GiB':>8}{'PREDICTED':>11}"
)


def listed(starts: Sequence[StoredDeployment]) -> list[str]:
    """A head, and a line per start, at most 79 cells wide: the KV cache that was left, and the predicted one."""
    return [_HEAD, *(_line(one) for one in starts)]


def _line(stored: StoredDeployment) -> str:
    one = stored.deployment
    model = clean(one.model.rstrip("/").rsplit("/", 1)[-1] or one.model, _MODEL)
    util = _NOTHING if one.utilization is None else f"{one.utilization:g}"
    kv = _gib(one.measured.get("kv_cache_bytes"))
    predicted = _gib((one.predicted or {}).get("kv_cache_bytes"))
    return (
        f"{stored.id:>4}  {one.started_at[5:16].replace('T', ' '):<11}  {model:<{_MODEL}}  {util:<5} "
        f"{clean(one.outcome, 15):<15}{kv:>8}{predicted:>11}"
    )


def detailed(stored: StoredDeployment) -> list[str]:
    """One start in full."""
    one = stored.deployment
    util = "unknown" if one.utilization is None else f"{one.utilization:g}"
    lines = [
        f"Deployment {stored.id}  started {one.started_at[:16].replace('T', ' ')} UTC  {clean(one.outcome, 40)}",
        f"machine   {clean(one.machine, 64)}, server pid {one.server_pid}",
        f"GPU       {clean(one.gpu_name, 64)}  {clean(one.gpu_uuid, 64)}",
        f"          CUDA's total {_gib(one.cuda_total_bytes)} GiB, NVML's {_gib(one.gpu_total_bytes)} GiB",
        f"model     {clean(one.model, 200)}, quantization {clean(one.quantization or 'unknown', 40)}",
        f"vLLM      {clean(one.vllm_version or 'unknown', 40)}, utilization {util}",
    ]
    flags = ", ".join(f"{name} {value}" for name, value in one.flags.items())
    lines += wrap(f"flags     {clean(flags, 600) or 'none told'}", WIDTH, subsequent_indent=" " * 10)
    lines += wrap(f"read      {clean(one.source, 400)}", WIDTH, subsequent_indent=" " * 10)
    if failure := one.measured.get("failure"):
        lines += wrap(f"failure   {clean(str(failure), 600)}", WIDTH, subsequent_indent=" " * 10)
    lines += _watched(one.watched)
    lines += ["", f"{'':<12}{'measured':>10}{'predicted':>11}   {'band':<17}{'':<10} missed by"]
    lines += [_term(one.measured, one.predicted or {}, name) for name in TERMS if _has(one.measured, name)]
    lines += _whole(one.measured, one.predicted)
    return lines + ([] if one.predicted else ["", "Nothing was predicted: the model's files were not found."])


def _watched(told: Mapping[str, Any] | None) -> list[str]:
    """The phases and the cause of a start that was watched."""
    if not told:
        return []
    phases = [
        f"{clean(str(_at(one, 'phase')), 20)} {_seconds(_at(one, 'seconds'))} ({clean(str(_at(one, 'evidence')), 20)})"
        for one in told.get("phases") or ()
    ]
    lines = wrap(f"phases    {', '.join(phases)}", WIDTH, subsequent_indent=" " * 10) if phases else []
    planned, peak = _gib(told.get("planned_bytes")), _gib(told.get("peak_bytes"))
    lines.append(f"took      {_seconds(told.get('took_s'))}; memory planned {planned} GiB, most held {peak} GiB")
    for key, words in (("cause", "cause     "), ("remedy", "to do     ")):
        if told.get(key):
            lines += wrap(words + clean(str(told[key]), 600), WIDTH, subsequent_indent=" " * 10)
    for race in told.get("races") or ():
        lines += wrap(f"race      {clean(str(race), 400)}", WIDTH, subsequent_indent=" " * 10)
    return lines


def _seconds(value: Any) -> str:
    return "unknown" if not isinstance(value, int | float) else f"{value:.1f} s"


def _has(measured: Mapping[str, Any], name: str) -> bool:
    return _at(measured, "terms", name, "size_bytes") is not None


def _term(measured: Mapping[str, Any], predicted: Mapping[str, Any], name: str) -> str:
    size, part = _at(measured, "terms", name, "size_bytes"), _at(measured, "terms", name, "part_of")
    label = name.replace("_", " ")
    if part is not None:
        return f"{label:<12}{'':>10}{_gib(_at(predicted, 'terms', name, 'size_bytes')):>11}   measured within {part}"
    low, high = (_at(predicted, "terms", name, key) for key in ("low_bytes", "high_bytes"))
    return _compared(label, size, _at(predicted, "terms", name, "size_bytes"), low, high)


def _whole(measured: Mapping[str, Any], predicted: Mapping[str, Any] | None) -> list[str]:
    told, lines = predicted or {}, []
    band = [_at(told, "kv_cache_band_bytes", key) for key in ("low", "high")]
    lines.append(_compared("KV cache", measured.get("kv_cache_bytes"), told.get("kv_cache_bytes"), *band))
    for key, label in (("kv_tokens", "tokens"), ("num_blocks", "blocks")):
        if measured.get(key) is not None or told.get(key) is not None:
            lines.append(f"{label:<12}{_count(measured.get(key)):>10}{_count(told.get(key)):>11}")
    if measured.get("held_bytes") is not None:
        held = _gib(measured["held_bytes"])
        lines.append(f"{'processes':<12}{held:>10}{'':>11} GiB  all that they held while it served, by NVML")
    if told.get("outcome"):
        sure = "" if told.get("outcome_certain") else ", not certain"
        lines.append(f"predicted outcome: {clean(str(told['outcome']), 40)}{sure}")
    return lines


def _compared(label: str, size: Any, middle: Any, low: Any, high: Any) -> str:
    line = f"{label:<12}{_gib(size):>10}{_gib(middle):>11}"
    if size is None or middle is None:
        return f"{line} GiB"
    if low is None or high is None:
        return f"{line} GiB{'':<27}{signed_gib(size - middle)}"
    inside = "✓ inside" if low <= size <= high else "✗ outside"
    return f"{line} GiB  {_gib(low):>6}–{_gib(high):<8}{inside:<10}{signed_gib(size - middle)}"


def _gib(size: Any) -> str:
    return _NOTHING if not isinstance(size, int) else f"{size / GIB:.2f}"


def _count(number: Any) -> str:
    return _NOTHING if not isinstance(number, int) else f"{number:,}"


def _at(value: Any, *path: str) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def deployment_object(stored: StoredDeployment) -> dict[str, Any]:
    """A start as ``gpu-tui history --deployments --json`` lists it."""
    return {"id": stored.id, **asdict(stored.deployment)}


_PLAIN = (
    "started_at",
    "machine",
    "gpu_name",
    "model",
    "quantization",
    "vllm_version",
    "utilization",
    "outcome",
    "source",
)


def csv_text(starts: Iterable[StoredDeployment]) -> str:
    """A head, and a line per start, sizes in bytes; what is unknown is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    sides = ("measured", "predicted")
    figures = [f"{name}_{side}_bytes" for name in (*TERMS, "kv_cache") for side in sides]
    writer.writerow(["id", *_PLAIN, *figures])
    for stored in starts:
        one = stored.deployment
        pages = {"measured": one.measured, "predicted": one.predicted or {}}
        sizes = [_at(pages[side], "terms", name, "size_bytes") for name in TERMS for side in sides]
        sizes += [pages[side].get("kv_cache_bytes") for side in sides]
        writer.writerow([stored.id, *(_cell(getattr(one, name)) for name in _PLAIN), *sizes])
    return out.getvalue()


def _cell(value: Any) -> Any:
    # A spreadsheet takes such a text for a formula and runs it; names come from servers and processes.
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value
