"""Peaks while a recording is looked back into, without a screen: whoever runs the work is driven by the test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from gpu_tui import wiring
from gpu_tui.clock import ManualClock
from gpu_tui.core.books import keep_books
from gpu_tui.core.peaks import PeakKeeper
from gpu_tui.core.services import Classifier
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.errors import SourceUnavailable
from gpu_tui.tui.tenants import Tenants
from gpu_tui.units import MIB
from gpu_tui.view.explorer import Explorer
from tests.factories import KLOROS_HOLDS, books_of, kloros, need

OLLAMA = 2387058
KEY = "GPU-0"


class Host:
    """Keeps what it is given to run and what it is told."""

    def __init__(self) -> None:
        self.work: list[Coroutine[Any, Any, None]] = []
        self.said: list[str] = []

    def run_worker(self, work: Coroutine[Any, Any, None], *, group: str, exclusive: bool) -> object:
        self.work.append(work)
        return None

    def notify(self, message: str, *, severity: Any, timeout: float | None) -> None:
        self.said.append(message)

    def show_plan(self) -> None:
        """Nothing is drawn."""


def seen(at: float, ollama_mib: float) -> Snapshot:
    return replace(kloros(holds={**KLOROS_HOLDS, OLLAMA: ollama_mib}), source="replay", simulated=False, taken_at=at)


class Replayed:
    def __init__(self) -> None:
        self.host = Host()
        self.explorer = Explorer(classifier=Classifier(), need=need(), permille=500)
        settings = wiring.load_settings(wiring.Options(demo=True))
        self.tenants = Tenants(self.explorer, settings, ManualClock(), self.host)

    def see(self, at: float, ollama_mib: float) -> None:
        one = seen(at, ollama_mib)
        self.explorer.see(one)
        self.tenants.see(one, {KEY: books_of(one)})

    def leap(self, *past: tuple[float, float]) -> None:
        """The recording stands elsewhere, and saw this before."""

        def find(key: str, stop: Callable[[], bool]) -> dict[str, PeakKeeper]:
            keeper = PeakKeeper()
            for at, size in past:
                one = seen(at, size)
                keeper.add(at, keep_books(one, one.gpus[0], Classifier()))
            return {} if stop() else {key: keeper}

        self.tenants.leap(find)

    def ollama_mib(self) -> float:
        return self.tenants.peaks(KEY).alone["ollama"].size / MIB

    def work(self) -> None:
        while self.host.work:
            asyncio.run(self._next())

    async def _next(self) -> None:
        await self.host.work.pop(0)


def test_what_came_later_is_forgotten_at_once_and_what_came_before_comes_in() -> None:
    replay = Replayed()
    replay.leap((90, 1200))
    replay.see(100, 3000)
    replay.work()
    assert replay.ollama_mib() == 3000
    replay.leap((10, 2000), (20, 100))
    replay.see(20, 100)
    assert replay.ollama_mib() == 100
    replay.work()
    assert replay.ollama_mib() == 2000
    assert replay.host.said == []


def test_what_is_played_meanwhile_counts() -> None:
    replay = Replayed()
    replay.leap((10, 2000), (20, 100))
    replay.see(20, 100)
    replay.see(21, 5000)
    replay.see(22, 100)
    replay.work()
    peaks = replay.tenants.peaks(KEY)
    assert (replay.ollama_mib(), peaks.since, peaks.until) == (5000, 10, 22)


def test_an_answer_about_a_place_that_was_left_is_dropped() -> None:
    replay = Replayed()
    replay.leap((90, 4000))
    replay.see(100, 100)
    replay.leap((10, 300))
    replay.work()
    replay.see(20, 100)
    replay.work()
    assert replay.ollama_mib() == 300


def test_a_recording_that_cannot_be_read_there_is_told_unless_it_was_left() -> None:
    def fails(key: str, stop: Callable[[], bool]) -> dict[str, PeakKeeper]:
        raise SourceUnavailable("x.rec was closed.")

    replay = Replayed()
    replay.tenants.leap(fails)
    replay.see(20, 100)
    replay.work()
    assert replay.host.said == ["x.rec was closed."]
    left = Replayed()
    left.tenants.leap(fails)
    left.see(20, 100)
    left.tenants.forget()
    left.work()
    assert left.host.said == []
