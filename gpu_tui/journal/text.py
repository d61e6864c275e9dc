"""Runs and comparisons in words, for a terminal and for reports. What others wrote was made safe when it was kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from textwrap import wrap
from typing import Any

from gpu_tui.core.significance import Significance
from gpu_tui.journal.compare import METHOD, Comparison, Row, size_of
from gpu_tui.journal.modes_text import mode_lines
from gpu_tui.journal.records import Entry, StoredRun
from gpu_tui.view.latency import ms
from gpu_tui.view.machine import phase_text_of_json
from gpu_tui.view.text import clean

WIDTH = 98

_NOTHING = "-"
_HEAD = (
    f"{'ID':>4}  {'STARTED (UTC)':<16}  {'KIND':<8}  {'UTIL':<11} {'VERDICT':<8}"
    f"{'TTFT p50/p95':>14}{'STT p50/p95':>13}{'ERR':>4}"
)


def listed(entries: Sequence[Entry]) -> list[str]:
    """A head, and a line per run."""
    return [_HEAD, *(_line(entry) for entry in entries)]


def _line(entry: Entry) -> str:
    figures = entry.figures
    line = (
        f"{entry.id:>4}  {when(entry.started_at):<16}  {entry.kind:<8}  {utilization(entry):<11} "
        f"{verdict(entry.status):<8}{_pairs(entry, 14, 13)}{_count(figures.get('errors')):>4}"
        f"{'  SIMULATED' if entry.simulated else ''}"
    )
    return f"{line}  {clean(entry.note, max(1, WIDTH - len(line)))}" if entry.note else line


_NARROW_HEAD = f"{'ID':>4} {'STARTED':<11} {'KIND':<4} {'UTIL':<10} V{'TTFT':>10}{'STT':>10}{'ERR':>4}"
_SIGNS = {"valid": "✓", "invalid_production": "✗", "unknown": "?"}


def listed_narrow(entries: Sequence[Entry]) -> list[str]:
    """The same in at most 62 cells: no year, p50/p95 without saying so, the verdict as a sign, no note."""
    return [_NARROW_HEAD, *(_narrow_line(entry) for entry in entries)]


def _narrow_line(entry: Entry) -> str:
    sign = _SIGNS.get(entry.status or "", _NOTHING)
    return (
        f"{entry.id:>4} {when(entry.started_at)[5:]:<11} {entry.kind[:4]:<4} {utilization(entry)[:10]:<10} {sign}"
        f"{_pairs(entry, 10, 10)}{_count(entry.figures.get('errors')):>4}{' SIM' if entry.simulated else ''}"
    )


def _pairs(entry: Entry, *widths: int) -> str:
    """p50/p95 of TTFT and of STT; of a run of voice turns, which has neither, of whole turns, across both columns."""
    names = ("llm_ttft", "stt")
    pairs = [tuple(entry.figures.get(f"{name}_{which}_ms") for which in ("p50", "p95")) for name in names]
    turn = entry.figures.get("voice_total_p50_ms"), entry.figures.get("voice_total_p95_ms")
    if turn[0] is not None and not any(value is not None for pair in pairs for value in pair):
        return f"{f'turn {_ms(turn[0])}/{_ms(turn[1])}':>{sum(widths)}}"
    return "".join(f"{f'{_ms(p50)}/{_ms(p95)}':>{width}}" for (p50, p95), width in zip(pairs, widths, strict=True))


def when(started_at: str) -> str:
    """``2026-11-23 10:00`` of an ISO stamp in UTC."""
    return started_at[:16].replace("T", " ")


def utilization(entry: Entry) -> str:
    """The running server's, and the planned one where it differs: ``0.5 → 0.55``."""
    real, planned = entry.utilization_actual, entry.utilization_planned
    if planned is None or planned == real:
        return "unknown" if real is None else f"{real:g}"
    return f"{'?' if real is None else f'{real:g}'} → {planned:g}"


def verdict(status: str | None) -> str:
    """One word."""
    return {None: _NOTHING, "invalid_production": "invalid"}.get(status, status or _NOTHING)


def _ms(value: float | None) -> str:
    return _NOTHING if value is None else ms(value)


def _count(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:g}"


def detailed(stored: StoredRun) -> list[str]:
    """One run in full."""
    run = stored.run
    real, planned = run.utilization_actual, run.utilization_planned
    lines = [
        f"Run {stored.id}  {when(run.started_at)} UTC  {run.kind}  gpu-tui {run.tool_version}"
        + ("  SIMULATED: these figures are invented" if run.simulated else ""),
        f"machine   {run.machine}",
    ]
    lines += [
        f"  GPU {gpu.get('index')}  {gpu.get('name')}  {gpu.get('uuid')}  {_mib(gpu.get('total_mib'))} MiB"
        for gpu in run.gpus
    ]
    lines.append(
        f"utilization   running {'unknown' if real is None else f'{real:g}'}"
        + ("" if planned is None else f", planned {planned:g}")
    )
    lines.append(f"verdict   {run.reason or 'not judged'}")
    lines += [f"  {name:<12} {_service(service)}" for name, service in run.services.items()]
    if run.server.get("cmdline"):
        lines += wrap(f"server    {' '.join(run.server['cmdline'])}", WIDTH, subsequent_indent=" " * 10)
    load = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in run.workload.items() if value is not None)
    lines += wrap(f"load      {load or 'unknown'}", WIDTH, subsequent_indent=" " * 10)
    voice = run.summary.get("voice") or {}
    told = size_of(run.summary.get("stt") or {"size": voice.get("stt_size")})
    lines += [] if told is None else [f"whisper   {told}"]
    figures = [f"  {key:<20} {value:g}" for key, value in stored.figures.items() if value is not None]
    lines += ["figures", *figures] if figures else ["figures   none"]
    lines += mode_lines(run.summary)
    lines += [f"{kind.upper()}  {why}" for kind, why in (run.summary.get("reason") or {}).items()]
    if run.evaluation is not None:
        lines.append(f"optimizer   {run.evaluation.get('status')}, fitness {run.evaluation.get('fitness')}")
    counts = {kind: sum(sample.kind == kind for sample in run.samples) for kind in ("llm", "stt", "voice")}
    series = run.summary.get("machine_series")
    lines += phase_text_of_json(series) if isinstance(series, Mapping) else []
    lines.append("samples   " + (", ".join(f"{n} {kind}" for kind, n in counts.items() if n) or "none"))
    return lines + ([f"note      {run.note}"] if run.note else [])


def _mib(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.0f}"


def _service(service: Mapping[str, Any]) -> str:
    if service.get("running") is False:
        return "not running"
    return f"{_mib(service.get('memory_mib')):>7} MiB  {service.get('role', '')}"


def compared(comparison: Comparison) -> list[str]:
    """What changed, the figures side by side, and what may be said of them."""
    a, b = comparison.a, comparison.b
    lines = [
        f"{name}  run {one.id}  {when(one.run.started_at)} UTC  {one.run.kind}" for name, one in (("A", a), ("B", b))
    ]
    if a.run.simulated:
        lines.append("SIMULATED: these figures are invented.")
    lines += ["", "What changed"]
    lines += [f"  {c.what:<24} {c.a or _NOTHING} → {c.b or _NOTHING}" for c in comparison.changes] or ["  nothing"]
    names = max((len(_name(row)) for row in comparison.rows), default=0)
    lines += ["", _cells("", names, ("n", "A p50", "B p50", "A p95", "B p95", "B − A", ""))]
    lines += [_row(row, names) for row in comparison.rows] or ["  Neither run measured anything."]
    lines += [""] + [line for text in (*comparison.matched, *comparison.cautions, METHOD) for line in wrap(text, WIDTH)]
    return lines


def _name(row: Row) -> str:
    return f"{row.name} {row.unit}".rstrip()


def _row(row: Row, names: int) -> str:
    number = _ms if row.unit else _plain
    cells = ["" if row.n_a is None else f"{row.n_a}/{row.n_b}"]
    cells += [number(value) for value in (row.p50_a, row.p50_b, row.p95_a, row.p95_b)]
    if row.n_a is None:
        cells[3:] = ["", ""]
    cells.append(_signed(row.difference, number))
    cells.append("" if row.ratio is None else f"{100 * (row.ratio - 1) + 0.0:+.1f} %")
    told = significance(row)
    return _cells(_name(row), names, cells) + (f"  {told}" if told else "")


def _cells(name: str, names: int, cells: Sequence[str]) -> str:
    widths = (8, 7, 7, 7, 7, 8, 8)
    line = f"  {name:<{names}}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
    return line.rstrip()


def _signed(value: float | None, number: Callable[[float | None], str]) -> str:
    if value is None:
        return _NOTHING
    return f"{'-' if value < 0 else '+' if value > 0 else ''}{number(abs(value))}"


def _plain(value: float | None) -> str:
    if value is None:
        return _NOTHING
    return f"{value:.3f}" if abs(value) < 10 and value % 1 else f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"


def significance(row: Row) -> str:
    """``significant, p 0.003``; without a p where nothing may be said; empty for what is not tested."""
    if row.significance is None:
        return ""
    if row.significance is Significance.TOO_FEW or row.corrected_p is None:
        return row.significance.value
    p = "p < 0.001" if row.corrected_p < 0.001 else f"p {row.corrected_p:.3f}"
    return f"{row.significance.value}, {p}"
