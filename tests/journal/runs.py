"""Runs to be recorded, and files of every kind."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpu_tui.journal import Run, Sample


def figure(value: float) -> dict[str, float]:
    return {"p50": value, "p95": 2 * value, "p99": 3 * value, "min": value / 2, "max": 3 * value, "mean": value}


def summary(ttft: float | None = 40.0, stt: float | None = None) -> dict[str, Any]:
    llm = None
    if ttft is not None:
        llm = {
            "n": 20,
            "errors": {"timeout": 1},
            "ttft_ms": figure(ttft),
            "itl_ms": figure(ttft / 10),
            "e2e_ms": figure(ttft * 5),
            "output_tokens_per_s": 81.5,
            "url": "http://127.0.0.1:8000",
            "model": "Qwen",
        }
    spoken = None if stt is None else {"n": 5, "errors": {}, "latency_ms": figure(stt), "rtf": figure(0.1), "url": "u"}
    return {"schema": 1, "llm": llm, "stt": spoken, "oom_events": None}


def llm_samples(ttfts: Sequence[float], part: str = "") -> tuple[Sample, ...]:
    return tuple(
        Sample(kind="llm", part=part, number=i, started_s=i * 0.5, ttft_ms=t, itl_ms=t / 10, e2e_ms=t * 5)
        for i, t in enumerate(ttfts)
    )


def run(**fields: Any) -> Run:
    """A run of the known machine."""
    told: dict[str, Any] = {
        "started_at": "2026-11-23T10:00:00Z",
        "kind": "measure",
        "simulated": False,
        "tool_version": "0.1.0",
        "machine": "NVIDIA GeForce RTX 3060",
        "utilization_actual": 0.5,
        "utilization_planned": 0.55,
        "status": "valid",
        "reason": "Valid: 6758MB allocation",
        "gpus": [
            {"index": 0, "uuid": "GPU-0", "name": "NVIDIA GeForce RTX 3060", "total_mib": 12288.0, "judged": True}
        ],
        "services": {
            "kloros": {"role": "persistent", "memory_mib": 952.0, "running": True, "pids": [2816503]},
            "judge": {"role": "restarts", "memory_mib": 6134.0, "running": True, "pids": [2839331]},
        },
        "server": {"pid": 2838977, "port": 8001, "cmdline": ["vllm", "serve", "Qwen"]},
        "workload": {"mode": "both", "requests": 20, "concurrency": 1},
        "verdict": {"allocation_mib": 6758.4},
        "summary": summary(),
        "samples": llm_samples([38.0, 40.0, 42.0]),
    }
    return Run(**(told | fields))


VERSION_1 = """
CREATE TABLE runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, started_at TEXT NOT NULL, kind TEXT NOT NULL, simulated INTEGER NOT NULL,
    tool_version TEXT NOT NULL, machine TEXT NOT NULL, utilization_actual REAL, utilization_planned REAL, status TEXT,
    reason TEXT, note TEXT NOT NULL, llm_n INTEGER, llm_ttft_p50_ms REAL, llm_ttft_p95_ms REAL, llm_itl_p50_ms REAL,
    llm_itl_p95_ms REAL, llm_e2e_p50_ms REAL, llm_e2e_p95_ms REAL, llm_tokens_per_s REAL, stt_n INTEGER,
    stt_p50_ms REAL, stt_p95_ms REAL, stt_rtf_p50 REAL, errors INTEGER, oom_events INTEGER, gpus TEXT NOT NULL,
    services TEXT NOT NULL, server TEXT NOT NULL, workload TEXT NOT NULL, verdict TEXT NOT NULL, summary TEXT NOT NULL
);
CREATE INDEX runs_by_time ON runs (started_at, id);
INSERT INTO runs (started_at, kind, simulated, tool_version, machine, utilization_actual, status, note, llm_n,
    llm_ttft_p50_ms, gpus, services, server, workload, verdict, summary)
    VALUES ('2026-05-01T10:00:00Z', 'measure', 0, '0.0.9', 'RTX 3060', 0.5, 'valid', 'an old one', 20, 41.5, '[]', '{}',
    '{}', '{"requests": 20}', '{}', '{"schema": 1}');
PRAGMA application_id = 0x67707475;
PRAGMA user_version = 1;
"""
"""A file of the first schema, written down as it was: it must not follow the code."""


def written(path: Path, script: str) -> Path:
    """A file made by SQLite itself."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(script)
    connection.close()
    return path
