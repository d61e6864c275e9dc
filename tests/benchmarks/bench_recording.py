"""A day of a machine with 8 GPUs at 1 Hz: size on disk, time to open, time to seek.

``python -m tests.benchmarks.bench_recording``. The machine is the h100x8 scenario with other processes added until
there are 200, figures moving as its story says.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from gpu_tui.clock import ManualClock
from gpu_tui.core.snapshot import GpuProcess, ProcessInfo, Snapshot
from gpu_tui.telemetry.recording.header import Header
from gpu_tui.telemetry.recording.reader import Recording
from gpu_tui.telemetry.recording.replay import ReplaySource
from gpu_tui.telemetry.recording.writer import RecordingWriter
from gpu_tui.telemetry.scenario import load_scenario, snapshot_at

BEGUN = 1_767_225_600.0


def crowded(seen: Snapshot, processes: int) -> Snapshot:
    """The same machine with small processes on its GPUs until there are so many."""
    gpus, table = list(seen.gpus), dict(seen.processes)
    for number in range(processes - sum(len(gpu.processes or ()) for gpu in gpus)):
        pid, place = 3_000_000 + number, number % len(gpus)
        gpu = gpus[place]
        rows = (*(gpu.processes or ()), GpuProcess(pid=pid, used_bytes=64 << 20))
        gpus[place] = replace(gpu, processes=rows)
        cmdline = ("/opt/worker/bin/python", "-m", "worker", "--queue", f"batch-{number}", "--token", "hf_" + "x" * 30)
        table[pid] = ProcessInfo(
            pid=pid, name="python", cmdline=cmdline, user="batch", ppid=1, started_at=BEGUN + number
        )
    return replace(seen, gpus=tuple(gpus), processes=table)


def write(path: Path, seconds: int, processes: int) -> float:
    """Record so many seconds; the seconds that took, the making of the machine left out."""
    scenario = load_scenario("h100x8")
    extra = crowded(snapshot_at(scenario, 0), processes)
    base = {gpu.index: gpu for gpu in snapshot_at(scenario, 0).gpus}
    dice, spent = random.Random(1), 0.0
    writer = RecordingWriter(path, Header(version="bench", interval_s=1.0, started_at=BEGUN))
    for second in range(seconds):
        moved = snapshot_at(scenario, float(second))
        gpus = []
        for gpu, crowd in zip(moved.gpus, extra.gpus, strict=True):
            rows = (*(gpu.processes or ()), *(crowd.processes or ())[len(base[gpu.index].processes or ()) :])
            utilization, temperature = dice.randint(60, 100), dice.randint(55, 62)
            power = round(dice.gauss(480, 25), 1)
            figures = {"utilization_pct": utilization, "temperature_c": temperature, "power_w": power}
            gpus.append(replace(gpu, **figures, processes=rows if gpu.processes is not None else None))
        table = extra.processes
        stamp = BEGUN + second + dice.random() / 1000
        seen = replace(
            moved, gpus=tuple(gpus), processes=table, taken_at=stamp, taken_monotonic=stamp - BEGUN, simulated=False
        )
        began = time.perf_counter()
        writer.snapshot(seen)
        spent += time.perf_counter() - began
    writer.close()
    return spent


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=86_400)
    parser.add_argument("--processes", type=int, default=200)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "day.rec"
        spent = write(path, args.seconds, args.processes)
        size = path.stat().st_size
        print(f"{args.seconds} observations of 8 GPUs, {args.processes} processes: {size / 2**20:.1f} MiB, "
              f"{size / args.seconds:.0f} bytes each; writing one {1e3 * spent / args.seconds:.2f} ms")  # fmt: skip
        began = time.perf_counter()
        recording = Recording(path)
        source = ReplaySource(recording, ManualClock())
        source.read()
        opened = time.perf_counter() - began
        print(f"opened and first machine shown in {opened * 1e3:.0f} ms; {len(source.marks)} events")
        dice, took = random.Random(2), []
        for _ in range(100):
            began = time.perf_counter()
            source.seek_share(dice.random())
            source.read()
            took.append(time.perf_counter() - began)
        worst = max(took)
        print(f"100 seeks: median {statistics.median(took) * 1e3:.0f} ms, worst {worst * 1e3:.0f} ms")
        source.close()
    if opened >= 2.0 or worst >= 1.0:
        raise SystemExit("too slow: a day must open in under 2 s and seek at once")


if __name__ == "__main__":
    main()
