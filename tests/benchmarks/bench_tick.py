"""What a reading of the machine costs: NVML calls and CPU time per tick, on the stand-in, small and large.

Run: ``python -m tests.benchmarks.bench_tick [--ticks N]``. With ``GPU_TUI_BENCH_NVITOP=/path/to/python``, an
interpreter that has nvitop, nvitop's own API takes the same snapshots of the same machine, beside ours. The library's
figures here are the stand-in's; a real driver adds the time of its own calls to both.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.standin import Process, Sleepers, StandIn, known_machine, large_machine

_OURS = """
import ctypes, json, resource, sys, time
from gpu_tui.clock import SystemClock
from gpu_tui.telemetry.live import LiveSource

def cpu():
    return time.process_time()

ticks, pause = int(sys.argv[1]), float(sys.argv[2])
source = LiveSource(SystemClock())
library = ctypes.CDLL("libnvidia-ml.so.1")
library.standin_calls.restype = ctypes.c_ulonglong
start, begun = cpu(), time.monotonic()
snapshot = source.read()
first, first_wall = cpu() - start, time.monotonic() - begun
for _ in range(3):
    source.read()
costs, calls, reads, rechecks = [], source.nvml.calls, source.table.full_reads, source.table.rechecks
true_calls = library.standin_calls()
for _ in range(ticks):
    time.sleep(pause)
    start = cpu()
    snapshot = source.read()
    costs.append(cpu() - start)
print(json.dumps({
    "gpus": len(snapshot.gpus), "processes": len(snapshot.processes), "first_ms": first * 1e3,
    "first_wall_ms": first_wall * 1e3, "costs_ms": [cost * 1e3 for cost in costs],
    "calls": (source.nvml.calls - calls) / ticks, "library_calls": (library.standin_calls() - true_calls) / ticks,
    "rechecks": (source.table.rechecks - rechecks) / ticks, "full_reads": (source.table.full_reads - reads) / ticks,
    "watched": len(source.table._watch),
    "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
}))
"""
_NVITOP = """
import ctypes, json, resource, sys, time
from nvitop import Device, GpuProcess

def tick(devices):
    for device in devices:
        device.as_snapshot()
        list(GpuProcess.take_snapshots(device.processes().values(), failsafe=True))

ticks, pause = int(sys.argv[1]), float(sys.argv[2])
start = time.process_time()
devices = Device.all()
tick(devices)
first = time.process_time() - start
library = ctypes.CDLL("libnvidia-ml.so.1")
library.standin_calls.restype = ctypes.c_ulonglong
for _ in range(3):
    tick(devices)
costs, calls = [], library.standin_calls()
for _ in range(ticks):
    time.sleep(pause)
    start = time.process_time()
    tick(devices)
    costs.append(time.process_time() - start)
print(json.dumps({
    "first_ms": first * 1e3, "costs_ms": [cost * 1e3 for cost in costs],
    "library_calls": (library.standin_calls() - calls) / ticks,
    "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
}))
"""


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of them lie, nearest rank."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, round(share * (len(ranked) - 1)))]


def run(
    python: str, code: str, standin: StandIn, ticks: int, pause_s: float, open_files: str | None
) -> dict[str, object]:
    """One measuring process."""
    command = [python, "-c", code, str(ticks), str(pause_s)]
    if open_files is not None:
        command = ["sh", "-c", f'ulimit {open_files} && exec "$0" "$@"', *command]
    done = subprocess.run(command, env=standin.env(), capture_output=True, text=True, check=True)
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def report(label: str, figures: dict[str, object]) -> None:
    """One line of the table, and the details below it."""
    costs = [float(cost) for cost in figures.pop("costs_ms")]  # type: ignore[attr-defined]
    spread = "  ".join(f"p{round(share * 100)} {percentile(costs, share):6.2f}" for share in (0.5, 0.95, 1.0))
    rest = "  ".join(f"{key} {value:.4g}" for key, value in figures.items())  # type: ignore[str-format]
    sys.stdout.write(f"{label:<34} CPU ms per tick: {spread}\n{'':<34} {rest}\n")


def small(standin: StandIn, sleepers: Sleepers) -> None:
    """One GPU with the four processes of the known numbers."""
    known_machine(standin, sleepers)
    standin.state.devices[0].processes[-1] = Process(standin.state.devices[0].processes[-1].pid, 242)
    standin.write()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ticks", type=int, default=60)
    parser.add_argument("--pause", type=float, default=0.02, metavar="S", help="1 for ticks as the TUI makes them")
    arguments = parser.parse_args()
    ticks, pause_s = arguments.ticks, arguments.pause
    peer = os.environ.get("GPU_TUI_BENCH_NVITOP")
    for label, fill in (("1 GPU x 4", small), ("8 GPUs x 200", large_machine)):
        with StandIn.temporary() as standin, Sleepers(standin.built) as sleepers:
            fill(standin, sleepers)
            time.sleep(0.5)
            report(f"{label}  gpu-tui", run(sys.executable, _OURS, standin, ticks, pause_s, None))
            report(
                f"{label}  gpu-tui, soft limit 1024", run(sys.executable, _OURS, standin, ticks, pause_s, "-S -n 1024")
            )
            report(f"{label}  gpu-tui, hard limit 1024", run(sys.executable, _OURS, standin, ticks, pause_s, "-n 1024"))
            if peer and Path(peer).exists():
                report(f"{label}  nvitop", run(peer, _NVITOP, standin, ticks, pause_s, None))
    return 0


if __name__ == "__main__":
    sys.exit(main())
