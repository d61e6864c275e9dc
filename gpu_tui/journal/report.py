"""Exports written to a file: CSV, JSON, or a Markdown report with its plots as SVG beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from gpu_tui.errors import UsageError
from gpu_tui.journal import export
from gpu_tui.journal.records import Entry
from gpu_tui.journal.store import Journal

FORMATS = {"csv": ".csv", "json": ".json", "markdown": ".md"}
"""Format -> the suffix by which it is told."""

Targets = Mapping[str, float | None]
"""Of latency by kind, in ms."""


def format_of(file: Path) -> str:
    """The format that a file's name asks for.

    Raises:
        UsageError: it ends otherwise.
    """
    for name, suffix in FORMATS.items():
        if file.suffix.lower() == suffix:
            return name
    raise UsageError(f"{file.name} tells no format.", f"End its name in one of: {', '.join(FORMATS.values())}.")


def text_of(journal: Journal, entries: Sequence[Entry], form: str, targets: Targets) -> str:
    """The runs in one of `FORMATS`, for a stream: without pictures.

    Raises:
        JournalError: a run could not be read.
    """
    if form == "json":
        runs = [export.run_object(journal.get(entry.id)) for entry in entries]
        return json.dumps({"schema": export.SCHEMA, "runs": runs}, indent=2, allow_nan=False) + "\n"
    return export.csv_text(entries) if form == "csv" else export.markdown_text(entries, targets)


def write(journal: Journal, entries: Sequence[Entry], form: str, file: Path, targets: Targets) -> list[Path]:
    """Write the runs to a file, and a Markdown report's plots as SVG beside it; the files, the report last.

    What is there under these names is overwritten, the journal never.

    Raises:
        UsageError: one of the files is the journal itself.
        OSError: a file could not be written.
    """
    texts: dict[Path, str] = {}
    if form == "markdown":
        pictures = export.pictures(entries, targets, file.stem)
        texts |= {file.with_name(name): picture for name, (_, picture) in pictures.items()}
        texts[file] = export.markdown_text(entries, targets, file.stem)
    else:
        texts[file] = text_of(journal, entries, form, targets)
    for each in texts:
        if each.exists() and journal.path.exists() and each.samefile(journal.path):
            raise UsageError(f"{each.name} is the journal itself.", "Name another file.")
    for each, text in texts.items():
        each.write_text(text, encoding="utf-8")
    return list(texts)
