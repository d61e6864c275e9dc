from __future__ import annotations

import asyncio
import itertools

import aiohttp
import pytest

from gpu_tui.bench.client import ProbeFailure
from gpu_tui.bench.load import MAX_UNDER_WAY, Outcomes, Pace, drive
from gpu_tui.bench.loader import Loader
from gpu_tui.bench.notes import told_after
from gpu_tui.bench.plan import Arrivals, MeasurePlan
from gpu_tui.bench.progress import Teller
from gpu_tui.clock import SystemClock

CLOCK = SystemClock()


async def driven(pace: Pace, takes: float = 0.0) -> tuple[list[float], Outcomes[int]]:
    """When each request was asked, and what came of them."""
    began, asked = CLOCK.monotonic(), []

    async def ask(index: int) -> int:
        asked.append(CLOCK.monotonic() - began)
        await asyncio.sleep(takes)
        return index

    return asked, await drive(pace, ask, lambda _i, _o: None, CLOCK)


async def test_at_a_fixed_rate_slow_answers_hold_nothing_up() -> None:
    began, asked, all_asked = CLOCK.monotonic(), [], asyncio.Event()

    async def ask(index: int) -> int:
        asked.append(CLOCK.monotonic() - began)
        if len(asked) == 10:
            all_asked.set()
        await all_asked.wait()  # none is answered before the last has been asked
        return index

    async with asyncio.timeout(30):
        outcomes = await drive(Pace(count=10, rate=50, arrivals=Arrivals.CONSTANT), ask, lambda _i, _o: None, CLOCK)
    for number, when in enumerate(asked):
        assert when >= number / 50
    assert sorted(outcomes.good) == list(range(10))
    assert len(outcomes.late_s) == 10


def test_poisson_arrivals_follow_from_the_seed_and_have_the_rate() -> None:
    def gaps(seed: str) -> list[float]:
        return list(itertools.islice(Pace(count=None, rate=20, arrivals=Arrivals.POISSON, seed=seed).gaps(), 4000))

    first = gaps("1")
    assert first == gaps("1")
    assert first != gaps("2")
    mean = sum(first) / len(first)
    assert mean == pytest.approx(1 / 20, rel=0.06)
    # Exponential: as wide as its mean is long. Even gaps would have no width at all.
    assert (sum((gap - mean) ** 2 for gap in first) / len(first)) ** 0.5 == pytest.approx(mean, rel=0.1)


@pytest.mark.parametrize("arrivals", [Arrivals.CLOSED, Arrivals.CONSTANT])
async def test_a_load_of_a_duration_ends_with_it(arrivals: Arrivals) -> None:
    until = CLOCK.monotonic() + 0.3
    pace = Pace(count=None, rate=40, arrivals=arrivals, over=lambda: CLOCK.monotonic() >= until)
    async with asyncio.timeout(30):
        _, outcomes = await driven(pace, takes=0.02)
    assert 1 <= len(outcomes.good) <= 16
    assert CLOCK.monotonic() >= until


async def test_a_rare_arrival_does_not_hold_up_the_end() -> None:
    until = CLOCK.monotonic() + 0.2
    pace = Pace(count=None, rate=0.01, arrivals=Arrivals.CONSTANT, over=lambda: CLOCK.monotonic() >= until)
    async with asyncio.timeout(5):
        _, outcomes = await driven(pace)
    assert outcomes.good == [0]


async def test_what_cannot_be_sent_when_due_is_a_failure_and_no_late_request() -> None:
    count = MAX_UNDER_WAY + 20
    _, outcomes = await driven(Pace(count=count, rate=100_000, arrivals=Arrivals.CONSTANT), takes=1.0)
    assert len(outcomes.good) == MAX_UNDER_WAY
    assert outcomes.errors == {"not_sent": 20}


async def test_a_hopeless_rate_gives_up() -> None:
    asked = itertools.count()

    async def ask(_index: int) -> int:
        next(asked)
        raise ProbeFailure("http_500", "No.")

    pace = Pace(count=1000, rate=200, arrivals=Arrivals.POISSON)
    outcomes = await drive(pace, ask, lambda _i, _o: None, CLOCK)
    assert 3 <= outcomes.ended < 20
    assert outcomes.answered


async def test_callers_of_two_services_do_not_come_at_the_same_instants(session: aiohttp.ClientSession) -> None:
    """Else each request to one would always be beside the beginning of one to the other."""
    plan = MeasurePlan(rate=5.0)
    loader = Loader(plan, session, CLOCK, Teller(plan, lambda _event: None, CLOCK))
    llm, stt, again = (loader.pace(kind, lambda: False) for kind in ("llm", "stt", "llm"))
    first = [list(itertools.islice(pace.gaps(), 20)) for pace in (llm, stt, again)]
    assert first[0] == first[2], "alone and together the same"
    assert not set(first[0]) & set(first[1])


@pytest.mark.parametrize(("requests", "duration", "at_once"), [(3, None, 3), (20, None, 8), (3, 2.0, 8)])
async def test_a_load_beside_another_has_no_more_at_once_than_alone(
    session: aiohttp.ClientSession, requests: int, duration: float | None, at_once: int
) -> None:
    """Alone, three requests are never eight at once; a load that goes on beside another has no such end."""
    plan = MeasurePlan(requests=requests, duration_s=duration, concurrency=8)
    loader = Loader(plan, session, CLOCK, Teller(plan, lambda _event: None, CLOCK))
    assert loader.pace("stt", lambda: False).concurrency == at_once
    told = " ".join(told_after(plan, loader, None))
    assert ("Never more than 3 at once" in told) == (at_once == 3)
