"""How long a start takes: ``gpu-tui check`` to its verdict, and the explorer to its first frame and first reading.

``python -m tests.benchmarks.bench_start [--runs 20] [--only small|large]``, on the stand-in NVML. Name a Python that
has nvitop in NVITOP_PYTHON: then ``nvitop -1`` and its full screen are run in turn with ours, on the same machine.
Prints figures; passes no judgement.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence

from tests.benchmarks.terminals import GPU_TUI, Terminal, environment
from tests.standin import Sleepers, StandIn, known_machine, large_machine

FRAME, READING = b"Production services", b"SERVICE"
"""A panel's title stands in the first frame; the table's head only in one with a reading."""


def once(argv: Sequence[str], env: dict[str, str]) -> float:
    """Wall time of a command in ms."""
    began = time.monotonic()
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    took = time.monotonic() - began
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stderr}")
    return took * 1000


def painted(argv: Sequence[str], env: dict[str, str], wanted: Sequence[bytes]) -> list[float]:
    """Wall time of a program in a terminal until each of `wanted` was seen, in ms."""
    with Terminal(argv, env) as terminal:
        seen = terminal.read_until(wanted, 20)
        if seen is None:
            raise SystemExit(f"{' '.join(argv)} showed no {wanted!r}")
        return [(one - terminal.started) * 1000 for one in seen]


def in_turn(runs: int, measures: dict[str, Callable[[], float]]) -> dict[str, float]:
    """Run each in turn, once for warmth and then `runs` times; print what it took and give the medians."""
    samples: dict[str, list[float]] = {name: [] for name in measures}
    for number in range(runs + 1):
        for name, measure in measures.items():
            took = measure()
            if number:
                samples[name].append(took)
    medians = {name: statistics.median(values) for name, values in samples.items()}
    for name, values in samples.items():
        figures = f"min {min(values):7.1f}  median {medians[name]:7.1f}  max {max(values):7.1f} ms"
        print(f"  {name:<34} n={len(values)}  {figures}", flush=True)
    return medians


def one_shot(runs: int, env: dict[str, str], gpu: Sequence[str], nvitop: str | None) -> None:
    """`check` beside `nvitop -1`."""
    measures = {"gpu-tui check": lambda: once([*GPU_TUI, "check", "--util", "0.5", *gpu], env)}
    if nvitop:
        measures["nvitop -1"] = lambda: once([nvitop, "-m", "nvitop", "-1"], env)
    medians = in_turn(runs, measures)
    if nvitop:
        print(f"  ratio of medians, check / nvitop: {medians['gpu-tui check'] / medians['nvitop -1']:.2f}", flush=True)


def explorer(runs: int, env: dict[str, str], nvitop: str | None) -> None:
    """The first frame, and the first with a reading. Each is a start of its own."""
    measures = {
        "explorer, first frame": lambda: painted(GPU_TUI, env, [FRAME])[0],
        "explorer, first reading": lambda: painted(GPU_TUI, env, [READING])[0],
        "explorer --demo, first frame": lambda: painted([*GPU_TUI, "--demo"], env, [FRAME])[0],
    }
    if nvitop:
        measures["nvitop, first frame"] = lambda: painted([nvitop, "-m", "nvitop"], env, [b"NVITOP"])[0]
    in_turn(runs, measures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--only", choices=("small", "large"))
    args = parser.parse_args()
    nvitop = os.environ.get("NVITOP_PYTHON")
    for name, machine in (("small", known_machine), ("large", large_machine)):
        if args.only not in (None, name):
            continue
        with StandIn.temporary() as standin, Sleepers(standin.built) as sleepers:
            machine(standin, sleepers)
            time.sleep(0.5)
            print(f"{name} machine, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores:", flush=True)
            env = environment(standin.env())
            # The large machine has several GPUs: nvitop shows them all, and so does `--gpu all`.
            one_shot(args.runs, env, ("--gpu", "all") if name == "large" else (), nvitop)
            explorer(args.runs, env, nvitop)


if __name__ == "__main__":
    main()
