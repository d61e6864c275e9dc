"""Requests sent in a closed loop or at a fixed rate, their outcomes counted. Knows neither HTTP nor what is asked."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from gpu_tui.bench.client import ProbeFailure
from gpu_tui.bench.plan import Arrivals
from gpu_tui.clock import Clock

T = TypeVar("T")

MIN_FAILURES_TO_GIVE_UP = 3
NOT_SENT = "not_sent"
"""Kind of failure of a request that was due while too many were under way: no word of the server's."""
MAX_UNDER_WAY = 512
"""At a fixed rate: below the usual limit of 1024 open files."""
_LOOK_S = 0.1
"""While waiting for the next arrival, how often it is asked whether the load is over."""


@dataclass(slots=True)
class Outcomes(Generic[T]):
    """What became of a number of requests."""

    good: list[T] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    """The first failure of each kind, in words."""
    answered: bool = False
    """Whether a server said anything, if only an error."""
    late_s: list[float] = field(default_factory=list)
    """At a fixed rate: how much later than due each request was handed to the client."""

    @property
    def ended(self) -> int:
        """How many requests have ended, well or not."""
        return len(self.good) + self.errors.total()

    def add(self, outcome: T | ProbeFailure) -> None:
        """Count one outcome."""
        if isinstance(outcome, ProbeFailure):
            self.errors[outcome.kind] += 1
            self.first.setdefault(outcome.kind, str(outcome))
            self.answered = self.answered or outcome.answered
        else:
            self.good.append(outcome)
            self.answered = True

    def hopeless(self, concurrency: int) -> bool:
        """Nothing has gone well, and every worker has tried.

        What is left would fail likewise, each after its timeout.
        """
        tried = self.errors.total() - self.errors[NOT_SENT]
        return not self.good and tried >= max(MIN_FAILURES_TO_GIVE_UP, concurrency)

    def told(self) -> str:
        """All failures, most frequent first: ``timeout 3, http_500 1``, and the first one in words."""
        counted = self.errors.most_common()
        kinds = ", ".join(f"{kind} {count}" for kind, count in counted)
        return f"{kinds} ({self.first[counted[0][0]]})" if counted else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """When requests start, and when no more do."""

    count: int | None
    """Requests to send; None: until `over` says so."""
    concurrency: int = 1
    """Workers of a closed loop."""
    rate: float | None = None
    """Requests a second of an open loop."""
    arrivals: Arrivals = Arrivals.CLOSED
    seed: str = "1"
    """Of the gaps between arrivals; of two services one each, whose callers do not know of each other."""
    over: Callable[[], bool] = lambda: False
    """No request is started once this is true; what is under way is waited for."""

    def gaps(self) -> Iterator[float]:
        """Seconds between arrivals, without end."""
        rate = self.rate or 1.0
        if self.arrivals is Arrivals.CONSTANT:
            return itertools.repeat(1 / rate)
        source = random.Random(f"arrivals:{self.seed}")  # noqa: S311 - variety, no secret
        return iter(lambda: source.expovariate(rate), None)


async def drive(
    pace: Pace,
    ask: Callable[[int], Awaitable[T]],
    ended: Callable[[int, T | ProbeFailure], None],
    clock: Clock,
) -> Outcomes[T]:
    """Send requests as `pace` says, and wait for all of them. Stops early when it is hopeless.

    Cancelling cancels every request under way.

    Args:
        ask: sends request number i; raises `ProbeFailure`.
        ended: sees every outcome, as it comes.
    """
    if pace.arrivals is Arrivals.CLOSED:
        return await _closed_loop(pace, ask, ended)
    return await _open_loop(pace, ask, ended, clock)


def _numbers(pace: Pace) -> Iterator[int]:
    return itertools.count() if pace.count is None else iter(range(pace.count))


async def _one(
    index: int,
    outcomes: Outcomes[T],
    ask: Callable[[int], Awaitable[T]],
    ended: Callable[[int, T | ProbeFailure], None],
) -> None:
    try:
        outcome: T | ProbeFailure = await ask(index)
    except ProbeFailure as failure:
        outcome = failure
    outcomes.add(outcome)
    ended(index, outcome)


async def _closed_loop(
    pace: Pace, ask: Callable[[int], Awaitable[T]], ended: Callable[[int, T | ProbeFailure], None]
) -> Outcomes[T]:
    outcomes: Outcomes[T] = Outcomes()
    indices = _numbers(pace)

    async def work() -> None:
        while not pace.over() and not outcomes.hopeless(pace.concurrency):
            index = next(indices, None)
            if index is None:
                return
            await _one(index, outcomes, ask, ended)

    workers = pace.concurrency if pace.count is None else min(pace.concurrency, pace.count)
    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(work())
    return outcomes


async def _open_loop(
    pace: Pace,
    ask: Callable[[int], Awaitable[T]],
    ended: Callable[[int, T | ProbeFailure], None],
    clock: Clock,
) -> Outcomes[T]:
    """A request that cannot be sent when it is due is a failure of its own, never a late one that looks fast."""
    outcomes: Outcomes[T] = Outcomes()
    under_way: set[asyncio.Task[None]] = set()
    due = clock.monotonic()
    async with asyncio.TaskGroup() as group:
        for index, gap in zip(_numbers(pace), pace.gaps(), strict=False):
            if not await _wait(due, pace.over, clock) or outcomes.hopeless(pace.concurrency):
                break
            if len(under_way) >= MAX_UNDER_WAY:
                failure = ProbeFailure(NOT_SENT, f"{MAX_UNDER_WAY} requests were under way.", "Lower --rate.")
                outcomes.add(failure)
                ended(index, failure)
            else:
                outcomes.late_s.append(max(0.0, clock.monotonic() - due))
                task = group.create_task(_one(index, outcomes, ask, ended))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            due += gap
    return outcomes


async def _wait(due: float, over: Callable[[], bool], clock: Clock) -> bool:
    """Until it is due; False when the load is over before that."""
    while not over():
        left = due - clock.monotonic()
        if left <= 0:
            return True
        await asyncio.sleep(min(left, _LOOK_S))
    return False
