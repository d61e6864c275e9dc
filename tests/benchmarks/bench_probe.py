"""How true the probe's figures are: TTFT and ITL as measured, against what the server really did.

``python -m tests.benchmarks.bench_probe`` starts a server in a process of its own that streams with known delays and
stamps every request and every write with the same monotonic clock, measures it through the child process at
concurrency 1, 8 and 32, and prints both sides. ``--tui`` draws the explorer as fast as it can beside it, in a pty;
``--aiperf COMMAND`` sends the same load to the same server with NVIDIA's AIPerf. No assertion: figures depend on the
machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gpu_tui.bench.child import measure_blocking
from gpu_tui.bench.events import Figure, LlmResult, Summary
from gpu_tui.bench.plan import MeasurePlan, Mode, candidates
from gpu_tui.core.summary import LatencySummary, summarize
from tests.bench.servers import now
from tests.benchmarks.aiperf import Aiperf
from tests.benchmarks.known_delays import KnownDelays, Listener
from tests.benchmarks.terminals import GPU_TUI, Terminal

TTFT_S, ITL_S, CHUNKS = 0.100, 0.010, 64
PATTERNS = ("constant", "jittered", "bursty")
CONCURRENCIES = (1, 8, 32)
KEYS_PER_S = 60
"""Above what anyone types, and more than the explorer's own limit of frames."""


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def gaps(pattern: str, seed: int) -> list[float]:
    source = random.Random(seed)
    if pattern == "constant":
        return [ITL_S] * (CHUNKS - 1)
    if pattern == "jittered":
        return [ITL_S * source.uniform(0.5, 1.5) for _ in range(CHUNKS - 1)]
    return [8 * ITL_S if index % 8 == 7 else 0.0 for index in range(CHUNKS - 1)]


async def serve(pattern: str) -> None:
    """Print the address; for every line on stdin, what was done since the last one; end with stdin."""
    truth: list[tuple[float, list[float]]] = []
    asked, listener = itertools.count(), Listener()

    def connection() -> KnownDelays:
        return KnownDelays(
            listener,
            lambda: [TTFT_S, *gaps(pattern, next(asked))],
            lambda arrived, sent: truth.append((arrived, sent)),
        )

    server = await asyncio.get_running_loop().create_server(connection, sock=listener)
    async with server:
        say(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        while await asyncio.to_thread(sys.stdin.readline):
            say(json.dumps(truth))
            truth.clear()


@dataclass(frozen=True)
class Truth:
    """What the server did, in ms."""

    ttft: LatencySummary
    itl: LatencySummary


class Server:
    """`serve`, in a process of its own. Use as a context manager."""

    def __init__(self, pattern: str) -> None:
        command = (sys.executable, "-m", "tests.benchmarks.bench_probe", "--serve", pattern)
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = self._line()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_error: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def truth(self, warmup: int) -> Truth:
        """Of the requests since the last call, without the first so many."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        done = json.loads(self._line())[warmup:]
        ttft = summarize((sent[0] - arrived) * 1000 for arrived, sent in done)
        itl = summarize((b - a) * 1000 for _, sent in done for a, b in itertools.pairwise(sent))
        assert ttft is not None
        assert itl is not None
        return Truth(ttft, itl)


def compare(pattern: str, concurrency: int, other: Aiperf | None) -> None:
    count = max(20, 2 * concurrency)
    with Server(pattern) as server:
        plan = MeasurePlan(
            llm_urls=candidates(server.url, origin="benchmark", chosen=True),
            mode=Mode.LLM,
            requests=count,
            concurrency=concurrency,
            warmup=concurrency,
        )
        result = measure_blocking(plan)
        assert isinstance(result, Summary)
        assert result.llm is not None
        told = tell(pattern, concurrency, result.llm, server.truth(concurrency))
        cost = f"child {result.generator.share:.1%} of a core, {result.generator.cpu_ms_per_request} ms a request"
        say(f"{told}  {cost}")
        for note in result.notes:
            say(f"  {note}")
        if other is None:
            return
        theirs = other.measure(server.url, concurrency=concurrency, count=count)
        true = server.truth(concurrency)
        say(f"{'  AIPerf':<15}n={theirs.n:<3} TTFT {row(theirs.ttft, true.ttft)}  ITL {row(theirs.itl, true.itl)}")
        pairs = (("TTFT", result.llm.ttft_ms, theirs.ttft), ("TPOT", result.llm.tpot_ms, theirs.tpot))
        say(f"{'  ours ÷ theirs':<21}{'  '.join(ratios(*pair) for pair in pairs)}")


def tell(pattern: str, concurrency: int, llm: LlmResult, true: Truth) -> str:
    figures = f"TTFT {row(llm.ttft_ms, true.ttft)}  ITL {row(llm.itl_ms, true.itl)}"
    return f"{pattern:<9} c={concurrency:<3} n={llm.n:<3} {figures}"


def row(seen: Figure | LatencySummary | None, truth: LatencySummary) -> str:
    if seen is None:
        return "not told"
    pairs = [(name, getattr(seen, name), getattr(truth, name)) for name in ("p50", "p95")]
    return "  ".join(f"{name} {ours:7.2f} (true {true:7.2f}, {ours - true:+.2f})" for name, ours, true in pairs)


def ratios(name: str, ours: Figure | None, theirs: LatencySummary | None) -> str:
    if ours is None or theirs is None:
        return f"{name} not told"
    return f"{name} p50 {ours.p50 / theirs.p50:.4f} p95 {ours.p95 / theirs.p95:.4f}"


@contextmanager
def drawing(wanted: bool) -> Iterator[None]:
    """The explorer of the demo in a pty, its slider moved all the time."""
    if not wanted:
        yield
        return
    over = threading.Event()
    with Terminal([*GPU_TUI, "--demo", "--interval", "0.1"]) as terminal:
        terminal.drain(3)
        terminal.drain_behind()

        def press() -> None:
            for key in itertools.cycle([b"\x1b[C"] * 20 + [b"\x1b[D"] * 20):
                if over.wait(1 / KEYS_PER_S):
                    return
                with contextlib.suppress(OSError):
                    terminal.send(key)

        presser = threading.Thread(target=press)
        presser.start()
        try:
            yield
        finally:
            over.set()
            presser.join()


def start_up() -> float:
    """Seconds from starting a child until it knows that there is no endpoint: what Run waits before the first event."""
    times = []
    for _ in range(5):
        began = now()
        measure_blocking(MeasurePlan(), dry_run=True)
        times.append(now() - began)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tui", action="store_true", help="with the explorer drawing beside it")
    parser.add_argument("--aiperf", metavar="COMMAND", help="side by side with this AIPerf")
    parser.add_argument("--pattern", choices=PATTERNS, action="append")
    parser.add_argument("--concurrency", type=int, action="append")
    parser.add_argument("--serve", metavar="PATTERN", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        asyncio.run(serve(args.serve))
        return
    say(f"all figures in ms; {os.cpu_count()} cores; known: TTFT {TTFT_S * 1000:g}, ITL {ITL_S * 1000:g} on average")
    if args.tui:
        say(f"beside it the explorer draws, at {KEYS_PER_S} keys and 10 readings a second")
    other = Aiperf(args.aiperf) if args.aiperf else None
    with drawing(args.tui):
        for pattern in args.pattern or PATTERNS:
            for concurrency in args.concurrency or CONCURRENCIES:
                compare(pattern, concurrency, other)
    say(f"start of a child until its answer: {start_up() * 1000:.0f} ms")


if __name__ == "__main__":
    main()
