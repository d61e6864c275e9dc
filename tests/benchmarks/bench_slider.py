"""From a key press on the slider to the repainted verdict, in a real terminal (a pty), on a simulated machine.

``python -m tests.benchmarks.bench_slider [--presses 200] [--scenario kloros|predict|h100x8] [--size 80x24]``. Prints
p50, p95, p99 and max in milliseconds: of the answer; of the CPU that each key took in all threads, which says the same
on a busy machine; of the way back after a key held down at 30 a second; and of an echo by ``cat`` in the same kind of
terminal: what the pty and the scheduler alone cost.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

from gpu_tui import wiring
from gpu_tui.core.books import keep_books
from gpu_tui.core.checks import ModelNeed, allocation_total
from gpu_tui.core.steps import allocation
from gpu_tui.telemetry.scenario import load_scenario, snapshot_at
from gpu_tui.units import format_mib
from tests.benchmarks.terminals import COLUMNS, GPU_TUI, ROWS, Terminal

STEP, FIRST, LAST = 10, 300, 980
"""Per mille: what an arrow moves by, and the ends between which it walks. Both verdicts lie between them."""

HELD, HELD_S, REPEAT_S = 90, 3.0, 1 / 30
"""Keys of one hold, how long it lasts, and how fast a terminal repeats them."""


class Machine:
    """Where the slider starts on a simulated machine, and what check 1 has at each step."""

    def __init__(self, scenario: str) -> None:
        options = wiring.Options(scenario=scenario)
        settings = wiring.load_settings(options)
        seen = snapshot_at(load_scenario(scenario), 0.0, 0)
        books = keep_books(seen, seen.gpus[0], wiring.classifier(settings))
        predicted = seen.start is not None and seen.start.knows_weights
        total = allocation_total(books, ModelNeed(on_cuda_total=predicted))
        if total is None:
            raise SystemExit(f"the memory of {scenario} is unknown")
        self.total = total
        self.first = round(wiring.start_utilization(settings, seen, books)[0] * 1000)

    def answer(self, value: int) -> list[bytes]:
        """A frame is written whole, from the top down: the slider's value, then the verdict, then check 1's have."""
        return [f"{value / 1000:.3f}".encode(), format_mib(allocation(self.total, value / 1000)).encode()]


def report(name: str, samples: list[float]) -> None:
    ordered = sorted(samples)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    figures = f"p50 {at(0.5):.2f}  p95 {at(0.95):.2f}  p99 {at(0.99):.2f}  max {ordered[-1]:.2f} ms"
    print(f"  {name:<22} n={len(ordered)}  {figures}", flush=True)


def cpu_ms(pid: int) -> float:
    """CPU that a process has taken in all its threads; Linux counts it in nanoseconds."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e6


def walk(first: int) -> Iterator[tuple[int, bytes]]:
    """To and fro between the ends, by one key each."""
    value, step = first, STEP
    while True:
        step = step if FIRST <= value + step <= LAST else -step
        value += step
        yield value, b"\x1b[C" if step > 0 else b"\x1b[D"


def started(scenario: str, machine: Machine, size: tuple[int, int]) -> Terminal:
    terminal = Terminal([*GPU_TUI, "--scenario", scenario])
    terminal.resize(*size)
    if terminal.read_until([f"{machine.first / 1000:.3f}".encode(), b"VALID"], 20) is None:
        raise SystemExit(f"{scenario} was not shown")
    terminal.drain(4)
    return terminal


def slider(scenario: str, presses: int, size: tuple[int, int]) -> tuple[list[float], list[float]]:
    machine = Machine(scenario)
    answers, cpu = [], []
    with started(scenario, machine, size) as terminal:
        keys = walk(machine.first)
        for value, key in (next(keys) for _ in range(presses)):
            before = cpu_ms(terminal.process.pid)
            sent = terminal.send(key)
            done = terminal.read_until(machine.answer(value), 5)
            if done is None:
                raise SystemExit(f"no answer at {value}")
            answers.append((max(done) - sent) * 1000)
            terminal.drain(0.03)
            cpu.append(cpu_ms(terminal.process.pid) - before)
    return answers, cpu


def held(scenario: str, holds: int, size: tuple[int, int]) -> list[float]:
    """From the last key of a hold to its answer: what had queued up by then."""
    machine = Machine(scenario)
    samples = []
    with started(scenario, machine, size) as terminal:
        keys = walk(machine.first)
        for _ in range(holds):
            for _ in range(HELD - 1):
                terminal.send(next(keys)[1])
                terminal.drain(REPEAT_S)
            value, key = next(keys)
            sent = terminal.send(key)
            done = terminal.read_until(machine.answer(value), 5)
            if done is None:
                raise SystemExit(f"no answer at {value} after a hold")
            samples.append((max(done) - sent) * 1000)
            terminal.drain(0.5)
    return samples


def echo(presses: int) -> list[float]:
    samples = []
    with Terminal(["sh", "-c", "stty raw -echo; echo ready; exec cat"]) as terminal:
        terminal.read_until([b"ready"], 5)
        for _ in range(presses):
            sent = terminal.send(b"x")
            done = terminal.read_until([b"x"], 5)
            if done is None:
                raise SystemExit("no echo")
            samples.append((done[0] - sent) * 1000)
            terminal.drain(0.01)
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--presses", type=int, default=200)
    parser.add_argument("--holds", type=int, default=5)
    parser.add_argument("--scenario", default="kloros")
    parser.add_argument("--size", default=f"{COLUMNS}x{ROWS}")
    args = parser.parse_args()
    columns, _, rows = args.size.partition("x")
    size = int(columns), int(rows)
    print(f"{args.scenario}, {args.size}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores:", flush=True)
    answers, cpu = slider(args.scenario, args.presses, size)
    report("key to verdict", answers)
    report("CPU of a key", cpu)
    report("after a key held down", held(args.scenario, args.holds, size))
    report("echo by cat", echo(args.presses))


if __name__ == "__main__":
    main()
