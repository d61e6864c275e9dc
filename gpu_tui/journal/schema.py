"""The shape of the file, version by version. Never edit a step that was released: append one.

`PRAGMA user_version` counts the steps a file has taken; `PRAGMA application_id` says that it is ours.
"""

from __future__ import annotations

import sqlite3

APPLICATION_ID = 0x67707475
"""``gptu``."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # AUTOINCREMENT, because the number of a deleted run, written down somewhere, must never mean another one.
        """CREATE TABLE runs (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            started_at TEXT NOT NULL,      -- UTC, ISO 8601 with Z: its order as text is its order in time
            kind TEXT NOT NULL,            -- who ran it: measure, evaluate, tui
            simulated INTEGER NOT NULL,
            tool_version TEXT NOT NULL,
            machine TEXT NOT NULL,
            utilization_actual REAL,
            utilization_planned REAL,
            status TEXT,                   -- of the plan's verdict
            reason TEXT,
            note TEXT NOT NULL,
            llm_n INTEGER,
            llm_ttft_p50_ms REAL,
            llm_ttft_p95_ms REAL,
            llm_itl_p50_ms REAL,
            llm_itl_p95_ms REAL,
            llm_e2e_p50_ms REAL,
            llm_e2e_p95_ms REAL,
            llm_tokens_per_s REAL,
            stt_n INTEGER,
            stt_p50_ms REAL,
            stt_p95_ms REAL,
            stt_rtf_p50 REAL,
            errors INTEGER,
            oom_events INTEGER,
            gpus TEXT NOT NULL,            -- from here on JSON
            services TEXT NOT NULL,
            server TEXT NOT NULL,
            workload TEXT NOT NULL,
            verdict TEXT NOT NULL,
            summary TEXT NOT NULL
        )""",
        "CREATE INDEX runs_by_time ON runs (started_at, id)",
    ),
    (
        "ALTER TABLE runs ADD COLUMN kv_cache_tokens INTEGER",
        "ALTER TABLE runs ADD COLUMN voice_total_p50_ms REAL",
        "ALTER TABLE runs ADD COLUMN voice_total_p95_ms REAL",
        "ALTER TABLE runs ADD COLUMN evaluation TEXT",
        """CREATE TABLE samples (
            run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
            kind TEXT NOT NULL,            -- llm, stt, voice
            part TEXT NOT NULL,            -- of a run with several parts, such as alone and together; else empty
            number INTEGER NOT NULL,       -- 0-based, by start, within kind and part
            started_s REAL,
            ttft_ms REAL,
            itl_ms REAL,
            tpot_ms REAL,
            sentence_ms REAL,
            e2e_ms REAL,
            latency_ms REAL,
            rtf REAL,
            output_tokens INTEGER,
            error TEXT,
            PRIMARY KEY (run_id, kind, part, number)
        ) WITHOUT ROWID""",
    ),
    (
        """CREATE TABLE deployments (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            recorded_at TEXT NOT NULL,
            started_at TEXT NOT NULL,      -- UTC, ISO 8601 with Z
            started_s REAL NOT NULL,       -- the server process's start, seconds since the epoch
            machine TEXT NOT NULL,
            server_pid INTEGER NOT NULL,
            tool_version TEXT NOT NULL,
            gpu_uuid TEXT NOT NULL,
            gpu_name TEXT NOT NULL,
            gpu_total_bytes INTEGER,       -- NVML's
            cuda_total_bytes INTEGER,      -- as vLLM's log printed it
            model TEXT NOT NULL,
            quantization TEXT,
            vllm_version TEXT,
            utilization REAL,
            outcome TEXT NOT NULL,         -- started, the kind of failure, or ended
            source TEXT NOT NULL,          -- what was read, in words
            told INTEGER NOT NULL,         -- how many figures were measured: a page that tells more replaces one
            flags TEXT NOT NULL,           -- from here on JSON
            predicted TEXT,
            measured TEXT NOT NULL,
            UNIQUE (machine, server_pid, started_s)
        )""",
        "CREATE INDEX deployments_by_time ON deployments (started_s, id)",
    ),
    # A start that was watched: its phases and why it ended, as JSON; null for one whose log alone was read.
    ("ALTER TABLE deployments ADD COLUMN watched TEXT",),
)

VERSION = len(MIGRATIONS)
"""What this gpu-tui writes, and the newest it can read."""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a file to `VERSION`, in one transaction: after a power cut it is of the old version or the new.

    The connection is in autocommit mode. Raises what sqlite3 raises; then nothing has changed.
    """
    if _version(connection) == VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in MIGRATIONS[_version(connection) :]:  # asked again: another instance may just have done it
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version
