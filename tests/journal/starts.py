"""Starts of vLLM for the journal's tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gpu_tui.journal.deployments import Deployment
from gpu_tui.units import GIB

START = Deployment(
    recorded_at="2026-11-23T10:05:00Z",
    started_at="2026-11-23T10:00:00Z",
    started_s=1_795_428_000.0,
    machine="box",
    server_pid=77,
    tool_version="0.1.0",
    gpu_uuid="GPU-0",
    gpu_name="NVIDIA L4",
    gpu_total_bytes=23034 * 1024**2,
    cuda_total_bytes=22 * GIB,
    model="Qwen/Qwen3-8B",
    quantization="none",
    vllm_version="0.21.0",
    utilization=0.9,
    outcome="started",
    source="log file /var/log/vllm.log; command line of pid 77",
    flags={"max_model_len": 8192, "enforce_eager": False},
    predicted={
        "terms": {
            "weights": {
                "size_bytes": 15 * GIB,
                "low_bytes": 14 * GIB,
                "high_bytes": 16 * GIB,
                "origin": "derived",
                "source": "safetensors headers",
            },
            "activation": {
                "size_bytes": GIB,
                "low_bytes": GIB // 2,
                "high_bytes": GIB + GIB // 8,
                "origin": "assumed",
                "source": "estimated",
            },
        },
        "requested_bytes": 20 * GIB,
        "kv_cache_bytes": 4 * GIB,
        "kv_cache_band_bytes": {"low": 3 * GIB, "high": 5 * GIB},
        "kv_tokens": 29_000,
        "num_blocks": 1812,
        "outcome": "started",
        "outcome_certain": True,
    },
    measured={
        "terms": {
            "weights": {"size_bytes": 15 * GIB, "precision_bytes": 5, "source": "took 15.00 GiB", "part_of": None},
            "activation": {
                "size_bytes": GIB + GIB // 4,
                "precision_bytes": 5,
                "source": "1.25 GiB",
                "part_of": None,
            },
        },
        "requested_bytes": 20 * GIB,
        "kv_cache_bytes": 3 * GIB + GIB // 2,
        "kv_cache_fixed": False,
        "kv_tokens": 25_472,
        "num_blocks": None,
        "failure": None,
    },
)


def start(number: int = 0, **fields: Any) -> Deployment:
    """The `number`-th start of one server, an hour after the one before."""
    moved: dict[str, Any] = {
        "started_s": START.started_s + 3600 * number,
        "started_at": f"2026-11-23T{10 + number}:00:00Z",
        "server_pid": 77 + number,
    }
    return replace(START, **(moved | fields))
