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
POOL = 120


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


def machines(processes: int) -> list[Snapshot]:
    """A minute of the scenario, crowded and with moving figures; what is recorded goes round in it."""
    scenario = load_scenario("h100x8")
    dice, found = random.Random(1), []
    extra = crowded(snapshot_at(scenario, 0), processes)
    for second in range(POOL):
        seen = snapshot_at(scenario, float(10 * second))
        gpus = []
        for gpu, crowd in zip(seen.gpus, extra.gpus, strict=True):
            known = {row.pid for row in gpu.processes or ()}
            rows = (*(gpu.processes or ()), *(row for row in crowd.processes or () if row.pid not in known))
            figures = {"utilization_pct": dice.randint(60, 100), "temperature_c": dice.randint(55, 62)}
            gpus.append(replace(gpu, **figures, power_w=round(dice.gauss(480, 25), 1), processes=rows))
        found.append(replace(seen, gpus=tuple(gpus), processes=extra.processes, simulated=False, source="nvml"))
    return found


def write(path: Path, seconds: int, processes: int) -> float:
    """Record so many seconds; how many that took."""
    pool, dice = machines(processes), random.Random(3)
    writer = RecordingWriter(path, Header(version="bench", interval_s=1.0, started_at=BEGUN))
    began = time.perf_counter()
    for second in range(seconds):
        t = second + dice.random() / 1000
        # Back and forth, so that nothing jumps; every 20 minutes a process leaves for a while.
        place = min(second % (2 * POOL), 2 * POOL - 1 - second % (2 * POOL))
        seen = replace(pool[place], taken_at=BEGUN + t, taken_monotonic=t)
        if second % 1200 >= 1100:
            gpu = seen.gpus[second // 1200 % 8]
            fewer = replace(gpu, processes=(gpu.processes or ())[:-1])
            seen = replace(seen, gpus=tuple(fewer if each is gpu else each for each in seen.gpus))
        writer.snapshot(seen)
    writer.close()
    return time.perf_counter() - began


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
