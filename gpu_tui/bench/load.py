"""Requests sent in a closed loop, and their outcomes counted. Knows neither HTTP nor what is asked."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from gpu_tui.bench.client import ProbeFailure

T = TypeVar("T")

MIN_FAILURES_TO_GIVE_UP = 3


@dataclass(slots=True)
class Outcomes(Generic[T]):
    """What became of a number of requests."""

    good: list[T] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    """The first failure of each kind, in words."""
    answered: bool = False
    """Whether a server said anything, if only an error."""

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
        return not self.good and self.errors.total() >= max(MIN_FAILURES_TO_GIVE_UP, concurrency)

    def told(self) -> str:
        """All failures, most frequent first: ``timeout 3, http_500 1``, and the first one in words."""
        counted = self.errors.most_common()
        kinds = ", ".join(f"{kind} {count}" for kind, count in counted)
        return f"{kinds} ({self.first[counted[0][0]]})" if counted else ""


async def closed_loop(
    count: int,
    concurrency: int,
    ask: Callable[[int], Awaitable[T]],
    ended: Callable[[int, T | ProbeFailure], None],
) -> Outcomes[T]:
    """Send `count` requests with `concurrency` workers; each sends its next one when its last has ended.

    Stops early when it is hopeless. Cancelling cancels every request under way.

    Args:
        ask: sends request number i; raises `ProbeFailure`.
        ended: sees every outcome, as it comes.
    """
    outcomes: Outcomes[T] = Outcomes()
    indices = iter(range(count))

    async def work() -> None:
        for index in indices:
            try:
                outcome: T | ProbeFailure = await ask(index)
            except ProbeFailure as failure:
                outcome = failure
            outcomes.add(outcome)
            ended(index, outcome)
            if outcomes.hopeless(concurrency):
                return

    async with asyncio.TaskGroup() as workers:
        for _ in range(min(concurrency, count)):
            workers.create_task(work())
    return outcomes
