"""The explorer left open for minutes in a real terminal, beside nvitop in another, on one machine that does not rest.

Run it as ``python -m tests.benchmarks.bench_soak [--minutes 20]``; name a Python that has nvitop in NVITOP_PYTHON.
Both read the same stand-in NVML at 1 Hz, whose processes come and go; the terminals get another size every minute.
Prints figures; passes no judgement.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from contextlib import ExitStack
from dataclasses import dataclass, field

import psutil

from tests.benchmarks.terminals import GPU_TUI, Terminal
from tests.standin import Device, Process, Sleepers, StandIn, State, known_machine
from tests.standin.sleepers import Started

SIZES = [(120, 40), (80, 24), (160, 50), (100, 30)]
SETTLE_S = 10.0
CHURN_S = 2.0
SAMPLE_S = 5.0
MOST_JOBS = 12


@dataclass
class Watched:
    """One program and what was seen of it."""

    name: str
    terminal: Terminal
    process: psutil.Process
    begun_s: float = 0.0
    rss: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def cpu_s(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def begin(self) -> None:
        self.begun_s = self.cpu_s()

    def sample(self) -> None:
        self.rss.append(self.process.memory_info().rss)
        self.threads.append(self.process.num_threads())
        self.descriptors.append(self.process.num_fds())
        self.cpu.append(self.cpu_s() - self.begun_s)


class Churn:
    """Jobs that begin, grow and end beside the known services."""

    def __init__(self, standin: StandIn, sleepers: Sleepers, seed: int = 7) -> None:
        self._standin, self._sleepers, self._dice = standin, sleepers, random.Random(seed)
        pids = known_machine(standin, sleepers)
        sizes = {"kloros": 952, "judge": 6134, "ollama": 1068}
        self._rows = [Process(pids[name], size) for name, size in sizes.items()] + [Process(pids["other"], 242, "G")]
        self._jobs: list[tuple[Started, float]] = []
        self.started = 0

    def step(self) -> None:
        """One process more or less, and every job a little larger or smaller."""
        dice = self._dice
        if self._jobs and (len(self._jobs) >= MOST_JOBS or dice.random() < 0.45):
            gone, _ = self._jobs.pop(dice.randrange(len(self._jobs)))
            self._sleepers.kill(gone.pid)
        else:
            self.started += 1
            job = self._sleepers.start(["/opt/job", f"--number={self.started}"], comm=f"job-{self.started}")
            self._jobs.append((job, dice.uniform(20, 200)))
        self._jobs = [(job, max(2.0, size + dice.uniform(-10, 10))) for job, size in self._jobs]
        rows = [*self._rows, *(Process(job.pid, round(size)) for job, size in self._jobs)]
        device = Device(processes=rows, util=dice.randrange(101), temp=dice.randrange(50, 80))
        self._standin.write(State(devices=[device]))


def play(watched: list[Watched], churn: Churn, minutes: float) -> float:
    """Churn, resize and sample until the time is over; returns the seconds it took."""
    begun = time.monotonic()
    due = {"churn": begun, "sample": begun + SAMPLE_S, "resize": begun + 60}
    resized = 0
    while (now := time.monotonic()) < begun + minutes * 60:
        if now >= due["churn"]:
            churn.step()
            due["churn"] = now + CHURN_S
        if now >= due["resize"]:
            resized += 1
            for one in watched:
                one.terminal.resize(*SIZES[resized % len(SIZES)])
            due["resize"] = now + 60
        if now >= due["sample"]:
            for one in watched:
                one.sample()
            due["sample"] = now + SAMPLE_S
        time.sleep(0.1)
    return time.monotonic() - begun


def table(watched: list[Watched], took_s: float) -> list[str]:
    """A row for each program: CPU over the whole time and over its last quarter, memory at begin, end and most."""
    lines = [f"  {'':<8} {'CPU':>8} {'last 1/4':>9} {'RSS begin':>10} {'end':>7} {'most':>7} {'threads':>9} {'fds':>9}"]
    for one in watched:
        last = one.cpu[len(one.cpu) * 3 // 4 :]
        quarter = 100 * (last[-1] - last[0]) / (SAMPLE_S * max(1, len(last) - 1))
        mib = [size / 2**20 for size in one.rss]
        lines.append(
            f"  {one.name:<8} {100 * one.cpu[-1] / took_s:6.2f} % {quarter:7.2f} % {mib[0]:6.1f} MiB {mib[-1]:7.1f}"
            f" {max(mib):7.1f} {one.threads[0]:4d}→{one.threads[-1]:<4d} {one.descriptors[0]:4d}→{one.descriptors[-1]}"
        )
    if len(watched) == 2 and watched[1].cpu[-1]:
        cpu, rss = watched[0].cpu[-1] / watched[1].cpu[-1], watched[0].rss[-1] / watched[1].rss[-1]
        lines.append(f"  ratio {watched[0].name} / {watched[1].name}: CPU {cpu:.2f}, RSS {rss:.2f}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    args = parser.parse_args()
    commands = {"gpu-tui": list(GPU_TUI)}
    if nvitop := os.environ.get("NVITOP_PYTHON"):
        commands["nvitop"] = [nvitop, "-m", "nvitop", "-m", "full", "--interval", "1"]
    with StandIn.temporary() as standin, Sleepers(standin.built) as sleepers, ExitStack() as stack:
        churn = Churn(standin, sleepers)
        watched = []
        for name, argv in commands.items():
            terminal = stack.enter_context(Terminal(argv, standin.env()))
            terminal.drain_behind()
            watched.append(Watched(name, terminal, psutil.Process(terminal.process.pid)))
        time.sleep(SETTLE_S)
        for one in watched:
            one.begin()
        print(f"{args.minutes:g} minutes at 1 Hz, load average {os.getloadavg()[0]:.1f} at the beginning:", flush=True)
        took = play(watched, churn, args.minutes)
        ended = [one.name for one in watched if one.terminal.process.poll() is not None]
        print("\n".join(table(watched, took)))
        print(f"  {churn.started} jobs started; load average {os.getloadavg()[1]:.1f} over the last 5 minutes")
        if ended:
            print(f"  ENDED BEFORE TIME: {', '.join(ended)}")


if __name__ == "__main__":
    main()
