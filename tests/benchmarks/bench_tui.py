"""CPU and memory of the TUI at 1 Hz on the stand-in NVML, beside nvitop in the same run.

Run it as ``python -m tests.benchmarks.bench_tui [--seconds 20]``; name a Python that has nvitop in NVITOP_PYTHON.
Prints figures; passes no judgement.
"""

from __future__ import annotations

import argparse
import os
import time

import psutil

from tests.benchmarks.terminals import GPU_TUI, Terminal
from tests.standin import Sleepers, StandIn, known_machine, large_machine


def watch(name: str, argv: list[str], env: dict[str, str], seconds: float) -> float:
    """Let it settle, then watch; returns percent of one core."""
    with Terminal(argv, env) as terminal:
        terminal.drain_behind()
        time.sleep(8)
        seen = psutil.Process(terminal.process.pid)
        before, start = seen.cpu_times(), time.monotonic()
        time.sleep(seconds)
        after, wall = seen.cpu_times(), time.monotonic() - start
        share = 100 * (after.user + after.system - before.user - before.system) / wall
        rss = seen.memory_info().rss / 1024 / 1024
        print(f"  {name:<10} {share:6.2f} % of a core   RSS {rss:6.1f} MiB", flush=True)
        return share


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--only", choices=("small", "large"))
    args = parser.parse_args()
    nvitop = os.environ.get("NVITOP_PYTHON")
    for name, machine in (("small", known_machine), ("large", large_machine)):
        if args.only not in (None, name):
            continue
        with StandIn.temporary() as standin, Sleepers(standin.built) as sleepers:
            machine(standin, sleepers)
            print(f"{name} machine, {args.seconds:.0f} s at 1 Hz:", flush=True)
            ours = watch("gpu-tui", list(GPU_TUI), standin.env(), args.seconds)
            if nvitop:
                theirs = watch("nvitop", [nvitop, "-m", "nvitop", "-m", "full"], standin.env(), args.seconds)
                told = f"ratio gpu-tui / nvitop: {ours / theirs:.2f}" if theirs else "nvitop used no CPU"
                print(f"  {told}", flush=True)


if __name__ == "__main__":
    main()
