"""How true the probe's figures are: TTFT and ITL as measured, against what the server really did.

``python -m tests.benchmarks.bench_probe`` starts a server in a process of its own that streams with known delays and
stamps every request and every write with the same monotonic clock, measures it through the child process at
concurrency 1, 8 and 32, and prints both sides. No assertion: figures depend on the machine.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import statistics
import subprocess
import sys

from gpu_tui.bench.child import measure_blocking
from gpu_tui.bench.events import Figure, Summary
from gpu_tui.bench.plan import MeasurePlan, Mode, candidates
from gpu_tui.core.summary import LatencySummary, summarize
from tests.bench.servers import CHAT, DONE, Reply, Request, models, now, serving, token, usage

TTFT_S, ITL_S, CHUNKS = 0.100, 0.010, 64
PATTERNS = ("constant", "jittered", "bursty")


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
    truth: list[tuple[float, list[float]]] = []

    async def stream(request: Request, reply: Reply) -> None:
        await reply.head()
        due = request.arrived + TTFT_S
        for gap in [*gaps(pattern, len(truth)), 0.0]:
            await asyncio.sleep(max(0.0, due - now()))
            await reply.raw(token())
            due += gap
        truth.append((request.arrived, list(reply.sent)))
        await reply.raw(usage(CHUNKS) + DONE)

    async with serving({"/v1/models": models("known-delays"), CHAT: stream}) as server:
        say(server.url)
        await asyncio.to_thread(sys.stdin.readline)
    say(json.dumps(truth))


def compare(pattern: str, concurrency: int) -> None:
    command = (sys.executable, "-m", "tests.benchmarks.bench_probe", pattern)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        plan = MeasurePlan(
            llm_urls=candidates(server.stdout.readline().strip(), origin="benchmark", chosen=True),
            mode=Mode.LLM,
            requests=max(20, 2 * concurrency),
            concurrency=concurrency,
            warmup=concurrency,
        )
        result = measure_blocking(plan)
        server.stdin.write("\n")
        server.stdin.flush()
        truth = json.loads(server.stdout.read())[concurrency:]
    assert isinstance(result, Summary)
    assert result.llm is not None
    ttft = summarize((sent[0] - arrived) * 1000 for arrived, sent in truth)
    itl = summarize((b - a) * 1000 for _, sent in truth for a, b in itertools.pairwise(sent))
    assert ttft is not None
    assert itl is not None
    say(
        f"{pattern:<9} c={concurrency:<3} n={result.llm.n:<3}"
        f" TTFT {row(result.llm.ttft_ms, ttft)}  ITL {row(result.llm.itl_ms, itl)}"
        f"  child {result.generator.share:.1%} of a core"
    )


def row(ours: Figure | None, truth: LatencySummary) -> str:
    assert ours is not None
    pairs = [(name, getattr(ours, name), getattr(truth, name)) for name in ("p50", "p95")]
    return "  ".join(f"{name} {seen:7.2f} (true {true:7.2f}, {seen - true:+.2f})" for name, seen, true in pairs)


def start_up() -> float:
    """Seconds from starting a child until it knows that there is no endpoint: what Run waits before the first event."""
    times = []
    for _ in range(5):
        began = now()
        measure_blocking(MeasurePlan(), dry_run=True)
        times.append(now() - began)
    return statistics.median(times)


def main() -> None:
    say(f"all figures in ms; {os.cpu_count()} cores; known: TTFT {TTFT_S * 1000:g}, ITL {ITL_S * 1000:g} on average")
    for pattern in PATTERNS:
        for concurrency in (1, 8, 32):
            compare(pattern, concurrency)
    say(f"start of a child until its answer: {start_up() * 1000:.0f} ms")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(serve(sys.argv[1]))
    else:
        main()
