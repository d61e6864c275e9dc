"""Pictures of the deployments: while one loads, after one has died, in a race, without colour, and before any."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import textual

from tests.tui.harness import follow_story, make_app
from tests.tui.test_deployments import settled

pytestmark = pytest.mark.skipif(
    textual.__version__ != "8.2.8", reason="pictures are drawn by Textual 8.2.8, the version of constraints.txt"
)

SIZES = [(120, 40), (80, 24)]


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Clock times are the reader's own; the pictures' are UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


async def follow(pilot: Any, scenario: str, until_s: float, keys: tuple[str, ...]) -> None:
    app = pilot.app
    for _ in range(500):
        await pilot.pause(0.02)
        if app.explorer.snapshot is not None and app.deploying.shown is not None:
            break
    app.telemetry.close()
    await pilot.press(keys[0])  # first, so that no toast lies over it
    follow_story(app, scenario, until_s)
    await settled(app, pilot)
    app.telemetry.last_seen = app.clock.monotonic()
    app.show_machine()
    await pilot.press(*keys[1:])
    app.clear_notifications()
    while app.advice.pending:
        await pilot.pause(0.02)
    await settled(app, pilot)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("scenario", "until_s", "keys"),
    [
        ("deploy", 5, ("D",)),
        ("deploy", 60, ("D",)),
        ("deploy", 165, ("D",)),
        ("deploy", 165, ("D", "down")),
        ("race", 30, ("D", "down")),
    ],
    ids=["before", "mid-load", "died", "served", "race"],
)
def test_deployments(
    snap_compare: Any, size: tuple[int, int], scenario: str, until_s: float, keys: tuple[str, ...]
) -> None:
    async def steps(pilot: Any) -> None:
        await follow(pilot, scenario, until_s, keys)

    assert snap_compare(make_app(scenario=scenario), terminal_size=size, run_before=steps)


def test_deployments_without_colour(snap_compare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async def steps(pilot: Any) -> None:
        await follow(pilot, "race", 30, ("D", "down"))

    assert snap_compare(make_app(scenario="race", no_color=True), terminal_size=(80, 24), run_before=steps)
