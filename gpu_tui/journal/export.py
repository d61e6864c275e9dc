"""Runs for other programs and for reports: JSON objects, CSV, Markdown. The JSON shapes carry `SCHEMA`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from gpu_tui.journal import scatter, text
from gpu_tui.journal.compare import METHOD, Comparison, Row
from gpu_tui.journal.records import FIGURES, Entry, StoredRun
from gpu_tui.view.plots import Plot
from gpu_tui.view.runs_plots import AXES, KINDS, against
from gpu_tui.view.svg import svg

SCHEMA = 1
"""Raised when a field changes its meaning or goes; a new field does not raise it."""

_COLUMNS = (
    "id",
    "started_at",
    "kind",
    "simulated",
    "machine",
    "utilization_actual",
    "utilization_planned",
    "status",
    *FIGURES,
    "note",
    "reason",
    "tool_version",
)


def entry_object(entry: Entry) -> dict[str, Any]:
    """A run as ``gpu-tui history --json`` lists it."""
    told = asdict(entry)
    shares = {"actual": told.pop("utilization_actual"), "planned": told.pop("utilization_planned")}
    return told | {"gpu_memory_utilization": shares, "figures": dict(entry.figures)}


def run_object(stored: StoredRun) -> dict[str, Any]:
    """Everything that is kept of a run."""
    told = asdict(stored.run)
    shares = {"actual": told.pop("utilization_actual"), "planned": told.pop("utilization_planned")}
    return {"id": stored.id, **told, "gpu_memory_utilization": shares, "figures": dict(stored.figures)}


def comparison_object(comparison: Comparison) -> dict[str, Any]:
    """``gpu-tui history compare --json``."""
    return {
        "schema": SCHEMA,
        "a": comparison.a.id,
        "b": comparison.b.id,
        "simulated": comparison.a.run.simulated,
        "changes": [asdict(change) for change in comparison.changes],
        "figures": [_row(row) for row in comparison.rows],
        "matched": list(comparison.matched),
        "cautions": list(comparison.cautions),
        "method": METHOD,
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "unit": row.unit,
        "n": {"a": row.n_a, "b": row.n_b},
        "p50": {"a": row.p50_a, "b": row.p50_b},
        "p95": {"a": row.p95_a, "b": row.p95_b},
        "difference": row.difference,
        "ratio": row.ratio,
        "p_value": None if row.test is None else row.test.p_value,
        "corrected_p_value": row.corrected_p,
        "significance": None if row.significance is None else row.significance.value,
    }


def csv_text(entries: Iterable[Entry]) -> str:
    """A head, and a line per run; what is unknown is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for entry in entries:
        values = {**asdict(entry), "simulated": str(entry.simulated).lower(), **entry.figures}
        writer.writerow(_cell(values[name]) for name in _COLUMNS)
    return out.getvalue()


def _cell(value: Any) -> Any:
    # A spreadsheet takes such a text for a formula and runs it; names come from servers and processes.
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value


def markdown_text(
    entries: Sequence[Entry], targets: Mapping[str, float | None] | None = None, stem: str | None = None
) -> str:
    """A report: a table and the plots, of the real runs and then of the simulated ones.

    Args:
        entries: the runs.
        targets: of latency by kind, in ms; drawn into the plots.
        stem: of the `pictures` that stand beside the report; None: there are none.
    """
    lines = ["# gpu-tui: runs"]
    shown = pictures(entries, targets or {}, stem) if stem is not None else {}
    for simulated, heading in _SECTIONS:
        own = [entry for entry in entries if entry.simulated is simulated]
        if own:
            lines += ["", f"## {heading}", "", *_table(own)]
            for axis in scatter.AXES:
                lines += ["", "```text", *scatter.plot(own, axis, targets or {}), "```"]
            for name, (plot, _) in shown.items():
                if plot.simulated is simulated:
                    lines += ["", f"![{plot.title}]({quote(name)})"]
    if not entries:
        lines += ["", "No runs."]
    return "\n".join(lines) + "\n"


_SECTIONS = ((False, "Measured"), (True, "SIMULATED: these figures are invented"))


def pictures(entries: Sequence[Entry], targets: Mapping[str, float | None], stem: str) -> dict[str, tuple[Plot, str]]:
    """The report's plots as SVG by the names of their files, with what they show; plots without a point are left out.

    Args:
        entries: the runs.
        targets: of latency by kind, in ms.
        stem: what the names begin with.
    """
    made: dict[str, tuple[Plot, str]] = {}
    for simulated, _ in _SECTIONS:
        for axis in AXES:
            for kind in KINDS:
                plot = against(entries, axis, kind, targets.get(kind), simulated=simulated)
                name = f"{stem}-{'simulated-' if simulated else ''}{kind}-{axis}.svg"
                if not plot.empty:
                    made[name] = (plot, svg(plot))
    return made


def _table(entries: Sequence[Entry]) -> Iterable[str]:
    heads = ("id", "started (UTC)", "kind", "machine", "utilization", "verdict")
    turns = ("voice_total_p50_ms", "voice_total_p95_ms")
    figures = ["llm_ttft_p50_ms", "llm_ttft_p95_ms", "llm_e2e_p50_ms", "stt_p50_ms", "stt_p95_ms", "errors"]
    if any(entry.figures.get(name) is not None for entry in entries for name in turns):
        figures[-1:-1] = turns
    yield "| " + " | ".join((*heads, *(name.removesuffix("_ms").replace("_", " ") for name in figures), "note")) + " |"
    yield "|" + " --- |" * (len(heads) + len(figures) + 1)
    for entry in entries:
        cells: list[str] = [str(entry.id), text.when(entry.started_at), entry.kind, entry.machine]
        cells += [text.utilization(entry), text.verdict(entry.status)]
        values = [entry.figures.get(name) for name in figures]
        cells += ["" if value is None else f"{value:.5g}" for value in values]
        yield "| " + " | ".join(_escaped(cell) for cell in (*cells, entry.note)) + " |"


def _escaped(cell: str) -> str:
    for mark in ("\\", "|", "`", "*", "_", "[", "<", "!"):
        cell = cell.replace(mark, f"\\{mark}")
    return cell
