"""Two loads side by side, and what they do to each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import msgspec

from gpu_tui.bench.client import ProbeFailure
from gpu_tui.bench.events import Interference, Kind, LlmResult, SttResult
from gpu_tui.bench.load import Outcomes, drive
from gpu_tui.bench.loader import Job, Loaded, Loader, cpu_s
from gpu_tui.bench.plan import MeasurePlan
from gpu_tui.bench.progress import Teller
from gpu_tui.bench.shapes import Figure, Ratio, Together
from gpu_tui.clock import Clock
from gpu_tui.core.timings import LlmTimings, SttTimings

T = TypeVar("T")


class SideBySide:
    """Both kinds at once, until both have had their requests: the faster one goes on beside the slower.

    What ended after that ran partly alone, and is left out of every figure.
    """

    def __init__(self, plan: MeasurePlan, loader: Loader, teller: Teller, clock: Clock) -> None:
        self._wanted = None if plan.duration_s is not None else plan.requests
        self._loader = loader
        self._teller = teller
        self._clock = clock
        self._ended: dict[Kind, int] = {"llm": 0, "stt": 0}
        self._closed: float | None = None

    async def run(self, one: Job[LlmTimings], other: Job[SttTimings]) -> tuple[Loaded[LlmTimings], Loaded[SttTimings]]:
        """Send both loads."""
        loader, clock = self._loader, self._clock
        before = await loader.metrics(one.endpoint)
        self._teller.begin(None)
        began, cpu = clock.monotonic(), cpu_s()
        past = loader.past(began)
        async with asyncio.TaskGroup() as group:
            llm, stt = group.create_task(self._side(one, past)), group.create_task(self._side(other, past))
        self._teller.finish(2)
        loader.charge(began, cpu, llm.result(), stt.result())
        end = self._close()
        window = (began - self._teller.began, end - self._teller.began)
        queue = await loader.queued(one.endpoint, before, len(llm.result().good))
        return (
            Loaded(outcomes=_until(one, llm.result(), end), queue=queue, window=window),
            Loaded(outcomes=_until(other, stt.result(), end), window=window),
        )

    async def _side(self, job: Job[T], past: Callable[[], bool]) -> Outcomes[T]:
        def ended(index: int, outcome: T | ProbeFailure) -> None:
            self._ended[job.kind] += 1
            within = self._wanted is None or self._ended[job.kind] <= self._wanted
            done = job.report(index, outcome)
            if not isinstance(outcome, ProbeFailure) and not _within(job, outcome, self._closed):
                done = msgspec.structs.replace(done, counts=False)
            self._teller.emit(done)
            self._teller.ended(job.kind, failed=isinstance(outcome, ProbeFailure), at_once=2, counts=within)

        pace = replace(self._loader.pace(job.kind, lambda: self._over(past)), count=None)
        outcomes = await drive(pace, job.ask, ended, self._clock)
        self._close()  # of a hopeless one the other side must hear: beside nothing it would be alone
        return outcomes

    def _over(self, past: Callable[[], bool]) -> bool:
        enough = self._wanted is not None and min(self._ended.values()) >= self._wanted
        if self._closed is None and (enough or past()):
            self._close()
        return self._closed is not None

    def _close(self) -> float:
        if self._closed is None:
            self._closed = self._clock.monotonic()
        return self._closed


def _until(job: Job[T], outcomes: Outcomes[T], end: float) -> Outcomes[T]:
    return replace(outcomes, good=[answer for answer in outcomes.good if _within(job, answer, end)])


def _within(job: Job[T], answer: T, end: float | None) -> bool:
    """Whether it ended while both loads were under way; `end` is None while they are."""
    ended = job.ended_at(answer)
    return end is None or ended is None or ended <= end


def interference(
    llm: tuple[LlmResult | None, LlmResult | None],
    stt: tuple[SttResult | None, SttResult | None],
    windows: dict[str, tuple[float, float]],
) -> Interference:
    """The three loads side by side; each pair is a kind's figures alone and together."""
    (llm_alone, llm_beside), (stt_alone, stt_beside) = llm, stt

    both = bool(llm_beside and stt_beside and llm_beside.n and stt_beside.n)
    of_a_kind = getattr(llm_alone, "itl_basis", None) == getattr(llm_beside, "itl_basis", None)

    def of_llm(name: str) -> Ratio | None:
        # Beside a service that answers nothing it is as good as alone. Gaps and means have unlike percentiles.
        if not both or (name == "itl_ms" and not of_a_kind):
            return None
        return _ratio(getattr(llm_alone, name, None), getattr(llm_beside, name, None))

    latencies = getattr(stt_alone, "latency_ms", None), getattr(stt_beside, "latency_ms", None)
    stt_latency = _ratio(*latencies) if both else None
    slowdown = {f"llm_{name}": of_llm(f"{name}_ms") for name in ("ttft", "itl", "tpot", "e2e")}
    return Interference(
        stt_alone=stt_alone,
        llm_alone=llm_alone,
        together=Together(llm=llm_beside, stt=stt_beside) if llm_beside or stt_beside else None,
        slowdown={"stt_latency": stt_latency, **slowdown},
        windows={name: (round(begin, 3), round(end, 3)) for name, (begin, end) in windows.items()},
    )


def told_of(llm: Outcomes[LlmTimings], stt: Outcomes[SttTimings]) -> tuple[str, list[str]]:
    """Why there is no slowdown, "" where there is one; and what to know of one beside a side that failed in part."""
    sides = (("LLM", "STT", llm), ("STT", "LLM", stt))
    silent = [side for side in sides if not side[2].good]
    if silent:  # beside one that fails at once, the other may not have ended anything either
        name, other, outcomes = max(silent, key=lambda side: side[2].errors.total())
        why = outcomes.told() or "no request began and ended while both were under load"
        return f"unmeasured: the {name} delivered nothing beside {other}: {why}", []
    return "", [
        f"{outcomes.errors.total()} of {outcomes.ended} {name} requests failed beside the {other}:"
        f" {other} had less beside it than a working {name}."
        for name, other, outcomes in sides
        if outcomes.errors
    ]


def _ratio(alone: Figure | None, together: Figure | None) -> Ratio | None:
    if alone is None or together is None:
        return None
    return Ratio(p50=_quotient(together.p50, alone.p50), p95=_quotient(together.p95, alone.p95))


def _quotient(above: float, below: float) -> float | None:
    return round(above / below, 3) if below > 0 else None
