"""CPU and memory of the TUI at 1 Hz on the stand-in NVML, beside nvitop in the same run.

Run it as ``python -m tests.benchmarks.bench_tui [--seconds 20]``; name a Python that has nvitop in NVITOP_PYTHON.
Prints figures; passes no judgement.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
import time

import psutil

from tests.standin import Sleepers, StandIn, known_machine, large_machine

COLUMNS, ROWS = 120, 40


class Terminal:
    """A program in a terminal of 120×40 that someone reads."""

    def __init__(self, argv: list[str], env: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        env = env | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
        self.started = time.monotonic()
        self.first_output: float | None = None
        self.first_text: float | None = None
        self.process = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True, close_fds=True
        )
        os.close(slave)
        self._needle = b"MEMORY"
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self) -> None:
        seen = b""
        while True:
            try:
                data = os.read(self._master, 65536)
            except OSError:
                return
            now = time.monotonic()
            self.first_output = self.first_output or now
            if self.first_text is None:
                seen += data
                if self._needle in seen:
                    self.first_text = now

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self._master)


def watch(name: str, argv: list[str], env: dict[str, str], seconds: float) -> float:
    """Let it settle, then watch; returns percent of one core."""
    terminal = Terminal(argv, env)
    try:
        time.sleep(8)
        seen = psutil.Process(terminal.process.pid)
        before, start = seen.cpu_times(), time.monotonic()
        time.sleep(seconds)
        after, wall = seen.cpu_times(), time.monotonic() - start
        share = 100 * (after.user + after.system - before.user - before.system) / wall
        rss = seen.memory_info().rss / 1024 / 1024
        first = "" if terminal.first_text is None else f"  first text {terminal.first_text - terminal.started:.2f} s"
        print(f"  {name:<10} {share:6.2f} % of a core   RSS {rss:6.1f} MiB{first}", flush=True)
        return share
    finally:
        terminal.close()


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
            ours = watch("gpu-tui", [sys.executable, "-m", "gpu_tui"], standin.env(), args.seconds)
            if nvitop:
                theirs = watch("nvitop", [nvitop, "-m", "nvitop", "-m", "full"], standin.env(), args.seconds)
                told = f"ratio gpu-tui / nvitop: {ours / theirs:.2f}" if theirs else "nvitop used no CPU"
                print(f"  {told}", flush=True)


if __name__ == "__main__":
    main()
