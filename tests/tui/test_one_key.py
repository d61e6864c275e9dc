"""What one key on the slider may cost, counted instead of timed: calls, layouts, imports."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from gpu_tui.clock import ManualClock
from gpu_tui.core.checks import Status
from gpu_tui.tui.app import GpuTuiApp
from tests.tui.harness import make_app, scenario_at

DEAREST = 3
"""So many times the calls of a usual step may the dearest one take. What vLLM itself would print once took 70."""


def calls_of(work: Callable[[], object]) -> int:
    """How many Python functions are entered; a generator counts at each of its steps."""
    entered = 0

    def count(frame: FrameType, event: str, arg: object) -> None:
        nonlocal entered
        entered += event == "call"

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return entered


async def until(pilot: Any, holds: Callable[[], bool], what: str) -> None:
    for _ in range(1000):
        if holds():
            return
        await pilot.pause(0.02)
    raise AssertionError(f"never: {what}")


async def settle(app: GpuTuiApp, pilot: Any) -> None:
    """Wait for the reading and for the ways out of its plan."""
    await until(pilot, lambda: app.explorer.snapshot is not None and app.drawn, "a reading")
    await until(pilot, lambda: not app.advice.pending, "the best way out")
    await pilot.pause()


@pytest.mark.parametrize("scenario", ["kloros", "predict", "h100x8", "oom"])
async def test_no_step_of_the_slider_costs_much_more_than_another(scenario: str) -> None:
    app = make_app(scenario=scenario)
    counted = {}
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(app, pilot)
        app.main.slider.move_to(1000)
        for step in range(990, 0, -10):
            counted[step] = calls_of(lambda step=step: app.main.slider.move_to(step))  # type: ignore[misc]
    assert len(set(counted.values())) > 1, "it counts"
    dearest = max(counted, key=lambda step: counted[step])
    assert counted[dearest] <= DEAREST * statistics.median(counted.values()), f"at {dearest}"


def test_calls_are_counted() -> None:
    assert calls_of(lambda: sum(1 for _ in range(100))) > 100


@pytest.mark.parametrize("size", [(120, 40), (90, 36), (80, 24), (60, 20)])
async def test_crossing_into_invalid_and_back_lays_nothing_out_anew(size: tuple[int, int]) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await settle(app, pilot)
        layouts: list[object] = []
        app.main.screen_layout_refresh_signal.subscribe(app.main, layouts.append, immediate=True)
        seen = set()
        for key in ("left", "right"):
            await pilot.press(key, key, key)
            await settle(app, pilot)
            report = app.explorer.report()
            seen.add(report.status if report is not None else None)
        assert seen == {Status.VALID, Status.INVALID}
        assert layouts == []
        app.main.refresh(layout=True)
        await until(pilot, lambda: bool(layouts), "a layout is seen")


async def test_a_key_does_not_wait_for_the_books_of_gpus_that_are_not_on_show() -> None:
    clock = ManualClock()
    app = make_app(scenario="h100x8", clock=clock)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(app, pilot)
        unprepared, prepared = scenario_at("h100x8", clock, 3.0), scenario_at("h100x8", clock, 6.0)
        dear = calls_of(lambda: app.see(unprepared))
        app.intake.prepare(prepared)
        cheap = calls_of(lambda: app.see(prepared))
        assert len(app.intake.histories) == 8
        assert cheap * 2 < dear


KEYS = """
import asyncio, json, sys, threading
from gpu_tui import wiring
from gpu_tui.clock import ManualClock
from gpu_tui.tui.app import GpuTuiApp

async def main():
    options = wiring.Options(scenario="predict")
    app = GpuTuiApp(options, wiring.load_settings(options), clock=ManualClock())
    async with app.run_test(size=(120, 40)) as pilot:
        while app.explorer.snapshot is None or app.advice.pending:
            await pilot.pause(0.02)
        await pilot.press("escape")
        found, screen = [], threading.current_thread()
        def hook(event, told):
            if event == "import" and threading.current_thread() is screen:
                found.append(told[0])
        sys.addaudithook(hook)
        for step in range(1000, 0, -20):
            app.main.slider.move_to(step)
            await pilot.pause()
        while app.advice.pending:
            await pilot.pause(0.02)
        import this  # what the hook must see
        return found

print(json.dumps(asyncio.run(main())))
"""


def test_no_module_is_imported_by_a_key() -> None:
    """Not by the first step into INVALID either, nor by the ways out of it that are looked for at rest."""
    done = subprocess.run([sys.executable, "-c", KEYS], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == ["this"]
