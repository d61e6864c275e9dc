"""From a key press on the slider to the repainted verdict, in a real terminal (a pty), on the demo machine.

``python -m tests.benchmarks.bench_slider [--presses 200]``. Prints p50, p95, p99 and max in milliseconds, and beside
them the same for an echo by ``cat`` in the same kind of terminal: what the pty and the scheduler alone cost.
"""

from __future__ import annotations

import argparse
import math

from tests.benchmarks.terminals import GPU_TUI, Terminal


def report(name: str, samples: list[float]) -> None:
    ordered = sorted(samples)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    figures = f"p50 {at(0.5):.2f}  p95 {at(0.95):.2f}  p99 {at(0.99):.2f}  max {ordered[-1]:.2f} ms"
    print(f"  {name:<22} n={len(ordered)}  {figures}")


def slider(presses: int) -> list[float]:
    samples = []
    with Terminal([*GPU_TUI, "--demo"]) as terminal:
        terminal.read_until([b"0.500", b"VALID"], 20)
        terminal.drain(3)
        value, step = 500, 10
        for _ in range(presses):
            if not 300 <= value + step <= 480 and not 500 <= value + step <= 780:
                step = -step if not 300 <= value + step <= 780 else step
            value += step
            sent = terminal.send(b"\x1b[C" if step > 0 else b"\x1b[D")
            # A frame is written whole, from the top down: the slider's value, then the verdict, then check 1's have.
            asked = f"{math.ceil(12288 * value / 1000 - 0.5):.0f}".encode()
            done = terminal.read_until([f"{value / 1000:.3f}".encode(), asked], 5)
            if done is None:
                raise SystemExit(f"no answer at {value}")
            samples.append((max(done) - sent) * 1000)
            terminal.drain(0.03)
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
    args = parser.parse_args()
    report("key to verdict", slider(args.presses))
    report("echo by cat", echo(args.presses))


if __name__ == "__main__":
    main()
