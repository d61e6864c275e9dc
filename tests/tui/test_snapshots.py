"""Pictures of the explorer at 120×40 and 80×24, from shipped machines under a driven clock.

Accept new ones with ``pytest tests/tui/test_snapshots.py --snapshot-update`` after looking at them.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import textual

from gpu_tui import wiring
from gpu_tui.clock import ManualClock
from tests.test_deployments import machine
from tests.tui.harness import fill_history, finished_run, make_app, make_replay, no_driver, scenario_at
from tests.tui.models import FakeModels
from tests.tui.test_learning import app_of, journal_of
from tests.tui.test_planning import until

pytestmark = pytest.mark.skipif(
    textual.__version__ != "8.2.8", reason="pictures are drawn by Textual 8.2.8, the version of constraints.txt"
)

SIZES = [(120, 40), (80, 24)]
Steps = Callable[[Any], Awaitable[None]]


async def ready(pilot: Any, history: str | None = None) -> None:
    app = pilot.app
    while app.explorer.snapshot is None and app.explorer.failure is None:
        await pilot.pause(0.02)
    app.telemetry.close()
    if history is not None:
        fill_history(app, history, 280)
    await rest(pilot)


async def rest(pilot: Any) -> None:
    """Until the slider has rested and the best way out is told."""
    await pilot.pause()
    while pilot.app.advice.pending:
        await pilot.pause(0.02)
    await pilot.pause()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("keys", ["", "0.4", "0.9"])
@pytest.mark.parametrize("scenario", ["kloros", "oom"])
def test_plans(snap_compare: Any, size: tuple[int, int], keys: str, scenario: str) -> None:
    async def steps(pilot: Any) -> None:
        await ready(pilot, scenario)
        if keys:
            await pilot.press(*["full_stop" if key == "." else key for key in keys], "enter")
            await rest(pilot)

    assert snap_compare(make_app(scenario=scenario), terminal_size=size, run_before=steps)


@pytest.mark.parametrize("size", SIZES)
def test_eight_gpus(snap_compare: Any, size: tuple[int, int]) -> None:
    assert snap_compare(make_app(scenario="h100x8"), terminal_size=size, run_before=ready)


@pytest.mark.parametrize("size", SIZES)
def test_no_driver(snap_compare: Any, size: tuple[int, int]) -> None:
    app = make_app(no_driver, options=wiring.Options())
    assert snap_compare(app, terminal_size=size, run_before=ready)


@pytest.mark.parametrize("size", SIZES)
def test_a_lost_gpu(snap_compare: Any, size: tuple[int, int]) -> None:
    clock = ManualClock()
    app = make_app(lambda: scenario_at("lost", clock, 35), clock=clock, scenario="lost")
    assert snap_compare(app, terminal_size=size, run_before=ready)


@pytest.mark.parametrize("size", SIZES)
def test_a_finished_run(snap_compare: Any, size: tuple[int, int]) -> None:
    async def steps(pilot: Any) -> None:
        await ready(pilot)
        pilot.app.host.show_run(finished_run())
        await pilot.pause()

    assert snap_compare(make_app(), terminal_size=size, run_before=steps)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("key", ["question_mark", "e"])
def test_dialogs(snap_compare: Any, size: tuple[int, int], key: str) -> None:
    async def steps(pilot: Any) -> None:
        await ready(pilot)
        await pilot.press(key)
        await pilot.pause()

    assert snap_compare(make_app(), terminal_size=size, run_before=steps)


def test_without_colour(snap_compare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(make_app(no_color=True), terminal_size=(120, 40), run_before=ready)


def test_colour_blind_theme(snap_compare: Any) -> None:
    async def steps(pilot: Any) -> None:
        await ready(pilot)
        await pilot.press("0", "full_stop", "4", "enter", "c")
        await rest(pilot)

    assert snap_compare(make_app(), terminal_size=(120, 40), run_before=steps)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("keys", ["", "0.73", "0.6", "0.99", "0.905"])
def test_predicted_plans(snap_compare: Any, size: tuple[int, int], keys: str) -> None:
    async def steps(pilot: Any) -> None:
        await ready(pilot, "predict")
        if keys:
            await pilot.press(*["full_stop" if key == "." else key for key in keys], "enter")
            await rest(pilot)

    assert snap_compare(make_app(scenario="predict", models=FakeModels()), terminal_size=size, run_before=steps)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("key", ["e", "M", "t"])
def test_dialogs_of_a_predicted_plan(snap_compare: Any, size: tuple[int, int], key: str) -> None:
    async def steps(pilot: Any) -> None:
        await ready(pilot, "predict")
        await pilot.press("0", "full_stop", "7", "3", "enter")
        await rest(pilot)
        await pilot.press(key)
        await pilot.pause(0.3)

    assert snap_compare(make_app(scenario="predict", models=FakeModels()), terminal_size=size, run_before=steps)


def test_a_predicted_plan_without_colour(snap_compare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = make_app(scenario="predict", no_color=True, models=FakeModels())
    assert snap_compare(app, terminal_size=(80, 24), run_before=ready)


@pytest.fixture
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as zone:
        zone.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_utc")
@pytest.mark.parametrize("size", SIZES)
def test_a_replay(snap_compare: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    async def steps(pilot: Any) -> None:
        while pilot.app.explorer.snapshot is None:
            await pilot.pause(0.02)
        await pilot.press("0", "full_stop", "8", "enter")
        await rest(pilot)

    assert snap_compare(make_replay(tmp_path, "14:03"), terminal_size=size, run_before=steps)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", ["offered", "applied", "explained"])
def test_what_past_starts_teach(snap_compare: Any, tmp_path: Path, size: tuple[int, int], state: str) -> None:
    async def steps(pilot: Any) -> None:
        await ready(pilot)
        lessons = pilot.app.planner.lessons
        await until(pilot, lambda: lessons.offered is not None, "the lesson")
        if state != "offered":
            lessons.toggle(here=True)  # by the key a toast would stand before it, for as long as the test is quick
            pilot.app.show_machine()
        await rest(pilot)
        if state == "explained":
            await pilot.press("e")
            await pilot.pause()

    # Hand-set figures: what is measured of them hangs on no estimate.
    app = app_of(machine(), journal_of(tmp_path))
    assert snap_compare(app, terminal_size=size, run_before=steps)
