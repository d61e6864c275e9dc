"""From a key press on the slider to the repainted verdict, in a real terminal (a pty), on the demo machine.

``python -m tests.benchmarks.bench_slider [--presses 200]``. Prints p50, p95, p99 and max in milliseconds, and beside
them the same for an echo by ``cat`` in the same kind of terminal: what the pty and the scheduler alone cost.
"""

from __future__ import annotations

import argparse
import fcntl
import math
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time

COLUMNS, ROWS = 120, 40


class Wire:
    """A program in a pty, with our hands on the keys and our eyes on the bytes."""

    def __init__(self, argv: list[str]) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        env = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
        self.process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True)
        os.close(slave)

    def read_until(self, wanted: list[bytes], timeout_s: float) -> float | None:
        """Monotonic instant at which all of `wanted` had been seen; None when they were not."""
        seen, deadline = b"", time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self.master], [], [], left)[0]:
                seen += os.read(self.master, 65536)
                if all(one in seen for one in wanted):
                    return time.monotonic()
        return None

    def drain(self, seconds: float) -> None:
        """Swallow what comes."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self.master], [], [], left)[0]:
                os.read(self.master, 65536)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)


def report(name: str, samples: list[float]) -> None:
    ordered = sorted(samples)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    figures = f"p50 {at(0.5):.2f}  p95 {at(0.95):.2f}  p99 {at(0.99):.2f}  max {ordered[-1]:.2f} ms"
    print(f"  {name:<22} n={len(ordered)}  {figures}")


def slider(presses: int) -> list[float]:
    wire = Wire([sys.executable, "-m", "gpu_tui", "--demo"])
    samples = []
    try:
        wire.read_until([b"0.500", b"VALID"], 20)
        wire.drain(2)
        value, step = 500, 10
        for _ in range(presses):
            if not 300 <= value + step <= 480 and not 500 <= value + step <= 780:
                step = -step if not 300 <= value + step <= 780 else step
            value += step
            sent = time.monotonic()
            os.write(wire.master, b"\x1b[C" if step > 0 else b"\x1b[D")
            # A frame is written whole, from the top down: the slider's value, then the verdict, then check 1's have.
            asked = f"{math.ceil(12288 * value / 1000 - 0.5):.0f}".encode()
            done = wire.read_until([f"{value / 1000:.3f}".encode(), asked], 5)
            if done is None:
                raise SystemExit(f"no answer at {value}")
            samples.append((done - sent) * 1000)
            wire.drain(0.03)
    finally:
        wire.close()
    return samples


def echo(presses: int) -> list[float]:
    wire = Wire(["sh", "-c", "stty raw -echo; echo ready; exec cat"])
    samples = []
    try:
        wire.read_until([b"ready"], 5)
        for _ in range(presses):
            sent = time.monotonic()
            os.write(wire.master, b"x")
            done = wire.read_until([b"x"], 5)
            samples.append(((done or sent) - sent) * 1000)
            wire.drain(0.01)
    finally:
        wire.close()
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--presses", type=int, default=200)
    args = parser.parse_args()
    report("key to verdict", slider(args.presses))
    report("echo by cat", echo(args.presses))


if __name__ == "__main__":
    main()
