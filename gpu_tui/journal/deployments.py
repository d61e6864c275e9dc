"""Starts of vLLM as they were predicted and as they went, each kept once. Sizes in bytes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from gpu_tui.core.learned import TERMS, PastStart
from gpu_tui.core.start_setup import Setup
from gpu_tui.core.start_terms import TermName
from gpu_tui.journal import faults
from gpu_tui.journal.records import safe
from gpu_tui.journal.store import Journal
from gpu_tui.view.text import visible

SAME_START_S = 60.0
"""Start times of one process that differ by less are one: the kernel's boot time moves when the clock is set."""

STARTED = "started"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One start of a server. The mappings hold plain JSON values; what is not known is None or absent."""

    recorded_at: str
    """UTC, ISO 8601, ending in Z."""
    started_at: str
    started_s: float
    """When the server's process was started, in seconds since the epoch."""
    machine: str
    """The host's name."""
    server_pid: int
    tool_version: str
    gpu_uuid: str
    gpu_name: str
    gpu_total_bytes: int | None = None
    """NVML's."""
    cuda_total_bytes: int | None = None
    """As vLLM's log printed it."""
    model: str
    quantization: str | None = None
    vllm_version: str | None = None
    utilization: float | None = None
    outcome: str
    """``started``, the kind of failure, or ``ended``: gone before it served, and nothing says why."""
    source: str
    """What was read, in words."""
    flags: Mapping[str, Any] = field(default_factory=dict)
    """The flags that matter for memory, by vLLM's names with underscores."""
    predicted: Mapping[str, Any] | None = None
    """From the model's files alone: terms {name: {size_bytes, low_bytes, high_bytes, origin, source}}, requested_bytes,
    kv_cache_bytes, kv_cache_band_bytes {low, high}, kv_tokens, num_blocks, outcome, outcome_certain."""
    measured: Mapping[str, Any] = field(default_factory=dict)
    """terms {name: {size_bytes, precision_bytes, source, part_of}}, requested_bytes, kv_cache_bytes, kv_cache_fixed,
    kv_tokens, num_blocks, failure, held_bytes (its processes on this GPU by NVML, while it served)."""
    watched: Mapping[str, Any] | None = None
    """Of a start that was watched: phases [{phase, seconds, evidence}], took_s, planned_bytes, peak_bytes, cause,
    remedy, races [sentences]."""

    @property
    def told(self) -> int:
        """How much is known of it: figures that were measured, and whether it was watched."""
        rest = [value for key, value in self.measured.items() if key not in ("terms", "kv_cache_fixed", "held_bytes")]
        seen = self.watched or {}
        watched = bool(seen) + bool(seen.get("cause"))
        return len(self.measured.get("terms") or {}) + sum(value is not None for value in rest) + watched

    def past_start(self) -> PastStart:
        """As learning takes it."""
        predicted, measured = self.predicted or {}, self.measured
        known = _sizes(measured)
        inside = frozenset(name for name in TERMS if _at(measured, "terms", name, "part_of") == TermName.ACTIVATION)
        return PastStart(
            setup=self.setup,
            gpu_name=self.gpu_name,
            gpu_total_bytes=self.cuda_total_bytes or self.gpu_total_bytes,
            predicted=_sizes(predicted),
            measured={name: size for name, size in known.items() if name not in inside},
            inside=inside,
            requested_bytes=_whole(measured.get("requested_bytes")),
            kv_cache_bytes=_whole(measured.get("kv_cache_bytes")),
            kv_cache_fixed=measured.get("kv_cache_fixed") is True,
            kv_tokens=_whole(measured.get("kv_tokens")),
            num_blocks=_whole(measured.get("num_blocks")),
            started=self.outcome == STARTED,
        )

    @property
    def setup(self) -> Setup:
        """What decides whether its figures hold for another start."""
        names = {one.name for one in fields(Setup)} - {"model", "quantization", "version"}
        flags = {name: value for name, value in self.flags.items() if name in names}
        return Setup(model=self.model, quantization=self.quantization, version=self.vllm_version, **flags)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDeployment:
    """A start as it was recorded."""

    id: int
    deployment: Deployment


_JSON = ("flags", "predicted", "measured", "watched")
_COLUMNS = tuple(one.name for one in fields(Deployment))


class Deployments(Journal):
    """The same file, seen as the starts in it."""

    def record(self, deployment: Deployment) -> int | None:
        """Keep a start. When this returns, it is on the disk.

        A start that is there already is replaced only where more is known of it now.

        Returns:
            Its number; None when it was there and nothing changed.

        Raises:
            JournalError: it could not be written; the journal is as it was before.
        """
        row = {name: safe(getattr(deployment, name)) for name in _COLUMNS if name not in _JSON}
        row |= {name: _dumped(getattr(deployment, name)) for name in _JSON}
        row["told"] = deployment.told
        names, places = ", ".join(row), ", ".join("?" * len(row))
        with self._writing() as connection:
            known = _known(connection, row["machine"], deployment)
            if known is None:
                statement = f"INSERT INTO deployments ({names}) VALUES ({places})"  # noqa: S608
                return connection.execute(statement, tuple(row.values())).lastrowid
            number, told = known
            if told >= deployment.told:
                return None
            # The first look's time stays: it is the start's name.
            fresh = {name: value for name, value in row.items() if name not in ("started_at", "started_s")}
            if deployment.watched is None:
                del fresh["watched"]  # a page from the log alone takes nothing back of what was watched
            pairs = ", ".join(f"{name} = ?" for name in fresh)
            connection.execute(f"UPDATE deployments SET {pairs} WHERE id = ?", (*fresh.values(), number))  # noqa: S608
            return number

    def starts(self, *, limit: int | None = None, since: str | None = None) -> list[StoredDeployment]:
        """The starts, newest first.

        Args:
            limit: at most so many.
            since: UTC, ISO 8601 with Z; only those that began then or later.

        Raises:
            JournalRefused: one of them is damaged.
            JournalError: they could not be read.
        """
        where, values = ("WHERE started_at >= ?", (since,)) if since is not None else ("", ())
        rows = self._rows(
            f"SELECT * FROM deployments {where} ORDER BY started_s DESC, id DESC LIMIT ?",  # noqa: S608
            *values,
            -1 if limit is None else limit,
        )
        return [self._stored(row) for row in rows]

    def start(self, number: int) -> StoredDeployment:
        """One start.

        Raises:
            UnknownRun: there is none of that number.
            JournalError: it could not be read.
        """
        rows = self._rows("SELECT * FROM deployments WHERE id = ?", number if 0 <= number < 2**63 else 0)
        if not rows:
            raise _unknown(number)
        return self._stored(rows[0])

    def forget(self, number: int) -> None:
        """Take a start out; its number is never given again.

        Raises:
            UnknownRun: there is none.
            JournalError: it could not be written.
        """
        with self._writing() as connection:
            bounded = number if 0 <= number < 2**63 else 0
            gone = connection.execute("DELETE FROM deployments WHERE id = ?", (bounded,)).rowcount
        if not gone:
            raise _unknown(number)

    def _stored(self, row: sqlite3.Row) -> StoredDeployment:
        told: dict[str, Any] = {name: visible(row[name]) for name in _COLUMNS if name not in _JSON}
        try:
            told |= {name: None if row[name] is None else visible(json.loads(row[name])) for name in _JSON}
        except (ValueError, TypeError, RecursionError):
            raise faults.damaged(self.path, f"deployment {row['id']} cannot be read") from None
        if not all(isinstance(told[name], dict) for name in ("flags", "measured")):
            raise faults.damaged(self.path, f"deployment {row['id']} cannot be read")
        return StoredDeployment(id=row["id"], deployment=Deployment(**told))


def _known(connection: sqlite3.Connection, machine: str, one: Deployment) -> tuple[int, int] | None:
    """Number and count of figures of the same start; None when it is new."""
    found: tuple[int, int] | None = connection.execute(
        "SELECT id, told FROM deployments WHERE machine = ? AND server_pid = ? AND abs(started_s - ?) < ?",
        (machine, one.server_pid, one.started_s, SAME_START_S),
    ).fetchone()
    return found


def _unknown(number: int) -> faults.UnknownRun:
    return faults.UnknownRun(f"The journal has no deployment {number}.", "`gpu-tui history --deployments` lists them.")


def _dumped(value: Any) -> str | None:
    return None if value is None else json.dumps(safe(value), allow_nan=False, separators=(",", ":"))


def _sizes(figures: Mapping[str, Any]) -> dict[TermName, int]:
    found = {name: _whole(_at(figures, "terms", name, "size_bytes")) for name in TERMS}
    return {name: size for name, size in found.items() if size is not None}


def _at(value: Any, *path: str) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
