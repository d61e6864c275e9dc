"""On a machine with a real NVIDIA driver: what we read against what nvidia-smi says. ``pytest -m gpu tests/gpu``."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from gpu_tui.clock import SystemClock
from gpu_tui.core.books import keep_books
from gpu_tui.core.services import Classifier
from gpu_tui.telemetry.live import LiveSource
from gpu_tui.units import MIB

NVIDIA_SMI = shutil.which("nvidia-smi")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(NVIDIA_SMI is None, reason="no nvidia-smi: these tests need a machine with an NVIDIA driver"),
]

SLACK_MIB = 64
"""Memory may move between two readings, and nvidia-smi rounds."""


def smi(*fields: str) -> list[list[str]]:
    """Rows of ``nvidia-smi --query-gpu``."""
    assert NVIDIA_SMI is not None
    argv = [NVIDIA_SMI, f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    return [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines() if line.strip()]


def test_every_gpu_is_there_with_nvidia_smis_figures() -> None:
    source = LiveSource(SystemClock())
    try:
        seen = source.read()
        rows = smi("index", "uuid", "name", "memory.total", "memory.used", "memory.free")
    finally:
        source.close()
    assert not seen.simulated
    assert [[str(g.index), g.uuid, g.name] for g in seen.gpus] == [row[:3] for row in rows]
    for gpu, row in zip(seen.gpus, rows, strict=True):
        for ours, theirs in zip((gpu.total_bytes, gpu.used_bytes, gpu.free_bytes), row[3:], strict=True):
            if theirs.replace(".", "").isdigit():
                assert ours is not None
                assert abs(ours / MIB - float(theirs)) <= SLACK_MIB


def test_the_books_of_a_real_gpu_balance_to_the_byte() -> None:
    source = LiveSource(SystemClock())
    try:
        seen = source.read()
    finally:
        source.close()
    for gpu in seen.gpus:
        books = keep_books(seen, gpu, Classifier())
        parts = (books.processes_bytes, books.unattributed_bytes, books.free_bytes)
        if books.total_bytes is not None and None not in parts:
            assert sum(p for p in parts if p is not None) + (books.reserved_bytes or 0) == books.total_bytes


def test_the_commands_answer() -> None:
    for argv, codes in (
        (["services", "--json"], {0, 3}),
        (["check", "--gpu", "0", "--util", "0.5", "--json"], {0, 1, 2, 3}),
        (["doctor", "--json"], {0, 3}),
    ):
        done = subprocess.run([sys.executable, "-m", "gpu_tui", *argv], capture_output=True, text=True, timeout=60)
        assert done.returncode in codes, done.stderr
        assert "Traceback" not in done.stderr
        if done.returncode in (0, 1):
            assert json.loads(done.stdout)["schema"] == 1
