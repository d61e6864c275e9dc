"""The journal itself: add, list, get, delete. One transaction a run, so that a power cut loses at most that run."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gpu_tui.journal import faults
from gpu_tui.journal.opening import BUSY_S, connect_for_reading, connect_for_writing
from gpu_tui.journal.records import FIGURES, Entry, Run, Sample, StoredRun, figures_of, safe
from gpu_tui.view.text import visible

_PLAIN = (
    "started_at",
    "kind",
    "simulated",
    "tool_version",
    "machine",
    "utilization_actual",
    "utilization_planned",
    "status",
    "reason",
    "note",
)
_TEXT = ("started_at", "kind", "tool_version", "machine", "note")
_JSON = ("gpus", "services", "server", "workload", "verdict", "summary", "evaluation")
_SAMPLE = tuple(f.name for f in fields(Sample))


class Journal:
    """One file. Use it as a context manager; not from several threads at once."""

    def __init__(self, path: Path, *, writable: bool = False, busy_s: float = BUSY_S) -> None:
        """Open it.

        Args:
            path: the file; when `writable` it is made if it is not there, else its absence reads as no runs.
            writable: False: nothing can be added or deleted.
            busy_s: longest wait, in seconds, for another instance that is writing.

        Raises:
            JournalRefused: the file is not ours, damaged or newer; it is left as it was.
            JournalError: it cannot be opened.
        """
        self.path = path
        self._connection = connect_for_writing(path, busy_s) if writable else connect_for_reading(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the file back; a second call does nothing."""
        if self._connection is not None:
            self._connection.close()

    def add(self, run: Run) -> int:
        """Keep a run, all of it or nothing, and return its number. When this returns, it is on the disk.

        Raises:
            JournalError: it could not be written; the journal is as it was before.
        """
        row = {name: safe(getattr(run, name)) for name in _PLAIN}
        row |= figures_of(run.summary)
        row |= {name: _dumped(getattr(run, name)) for name in _JSON}
        columns, places = ", ".join(row), ", ".join("?" * len(row))
        sample_places = ", ".join("?" * (len(_SAMPLE) + 1))
        with self._writing() as connection:
            added = connection.execute(f"INSERT INTO runs ({columns}) VALUES ({places})", tuple(row.values()))  # noqa: S608
            number = added.lastrowid
            connection.executemany(
                f"INSERT INTO samples (run_id, {', '.join(_SAMPLE)}) VALUES ({sample_places})",  # noqa: S608
                ((number, *(safe(value) for value in astuple(sample))) for sample in run.samples),
            )
        assert number is not None  # noqa: S101 - an INSERT has one
        return number

    def delete(self, number: int) -> None:
        """Take a run out, with its samples; its number is never given again.

        Raises:
            UnknownRun: there is none.
            JournalError: it could not be written.
        """
        with self._writing() as connection:
            gone = connection.execute("DELETE FROM runs WHERE id = ?", (_bounded(number),)).rowcount
        if not gone:
            raise self._unknown(number)

    def entries(
        self,
        *,
        limit: int | None = None,
        since: str | None = None,
        kind: str | None = None,
        simulated: bool | None = None,
    ) -> list[Entry]:
        """The runs, newest first.

        Args:
            limit: at most so many.
            since: UTC, ISO 8601 with Z; only those that started then or later.
            kind: one of `records.KINDS`.
            simulated: True or False: only these.

        Raises:
            JournalError: it could not be read.
        """
        wanted = {"started_at >= ?": since, "kind = ?": kind, "simulated = ?": simulated}
        given = {clause: value for clause, value in wanted.items() if value is not None}
        where = f"WHERE {' AND '.join(given)}" if given else ""
        rows = self._rows(
            f"SELECT id, {', '.join((*_PLAIN, *FIGURES))} FROM runs {where} "  # noqa: S608 - names of ours only
            "ORDER BY started_at DESC, id DESC LIMIT ?",
            *given.values(),
            -1 if limit is None else limit,
        )
        return [self._entry(row) for row in rows]

    def get(self, number: int) -> StoredRun:
        """Everything that is kept of one run.

        Raises:
            UnknownRun: there is none of that number.
            JournalError: it could not be read.
        """
        rows = self._rows("SELECT * FROM runs WHERE id = ?", _bounded(number))
        if not rows:
            raise self._unknown(number)
        entry, row = self._entry(rows[0]), rows[0]
        samples = self._rows(
            f"SELECT {', '.join(_SAMPLE)} FROM samples WHERE run_id = ? ORDER BY kind, part, number",  # noqa: S608
            row["id"],
        )
        plain = {name: getattr(entry, name) for name in _PLAIN}
        try:
            documents: dict[str, Any] = {
                name: None if row[name] is None else visible(json.loads(row[name])) for name in _JSON
            }
        except (ValueError, TypeError, RecursionError):
            raise faults.damaged(self.path, f"run {number} cannot be read") from None
        if not _shaped(documents):
            raise faults.damaged(self.path, f"run {number} cannot be read")
        run = Run(**plain, **documents, samples=tuple(Sample(**visible(dict(sample))) for sample in samples))
        return StoredRun(id=entry.id, run=run, figures=entry.figures)

    def _entry(self, row: sqlite3.Row) -> Entry:
        plain = {name: visible(row[name]) for name in _PLAIN} | {"simulated": bool(row["simulated"])}
        figures = {name: row[name] for name in FIGURES}
        numbers = (*figures.values(), plain["utilization_actual"], plain["utilization_planned"])
        if not (
            all(isinstance(plain[name], str) for name in _TEXT)
            and all(isinstance(plain[name], str | None) for name in ("status", "reason"))
            and all(isinstance(number, int | float | None) for number in numbers)
        ):
            raise faults.damaged(self.path, f"run {row['id']} cannot be read")
        return Entry(id=row["id"], **plain, figures=figures)

    def _unknown(self, number: int) -> faults.UnknownRun:
        return faults.UnknownRun(f"The journal has no run {number}.", "`gpu-tui history` lists them.")

    def _rows(self, statement: str, *values: Any) -> list[sqlite3.Row]:
        if self._connection is None:
            return []
        with faults.told(self.path, "read"):
            cursor = self._connection.cursor()
            cursor.row_factory = sqlite3.Row
            return cursor.execute(statement, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        if connection is None:
            raise faults.JournalError(f"{faults.name(self.path)} is not there.", "A measurement begins it.")
        with faults.told(self.path, "written"):
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # SQLite itself has rolled back after some errors
                    connection.execute("ROLLBACK")
                raise


def _bounded(number: int) -> int:
    """A number no run has, for one that SQLite could not even compare."""
    return number if 0 <= number < 2**63 else 0


def _dumped(value: Any) -> str | None:
    return None if value is None else json.dumps(safe(value), allow_nan=False, separators=(",", ":"))


def _shaped(documents: dict[str, Any]) -> bool:
    gpus, services = documents["gpus"], documents["services"]
    objects = (documents[name] for name in ("server", "workload", "verdict", "summary"))
    return (
        isinstance(gpus, list)
        and isinstance(services, dict)
        and all(isinstance(one, dict) for one in (*gpus, *services.values(), *objects))
        and isinstance(documents["evaluation"], dict | None)
    )
