"""What a small terminal must not lose: how a run ended; the third check and all services beside a replay's bar."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_tui.core.checks import Status
from gpu_tui.tui.widgets.checks import CheckLines
from gpu_tui.tui.widgets.latency import LatencyLines, RunView
from gpu_tui.tui.widgets.services import ServiceTable
from gpu_tui.view.spans import plain
from tests.telemetry.recordings import record
from tests.tui.harness import make_app, no_driver
from tests.tui.test_app import settle, words
from tests.tui.test_replay import replaying, steady, until


@pytest.mark.parametrize("size", [(80, 24), (60, 20)])
async def test_a_run_that_was_cancelled_says_so(size: tuple[int, int]) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await settle(app, pilot)
        app.runner.view = RunView(state="running")
        await pilot.press("escape")
        await pilot.pause()
        lines = app.main.query_one("#latency-tab").query_one(LatencyLines)
        assert app.runner.view.state == "cancelled"
        assert lines.size.height > 0, "it is on the screen"
        assert "Cancelled" in " ".join(plain(line) for line in lines.draw(*lines.content_size))


async def test_a_replays_bar_takes_its_row_from_the_heads_of_the_services(tmp_path: Path) -> None:
    app, _ = replaying(record(tmp_path / "past.rec", steady(20)), "@+10s")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, app, 10)
        await pilot.press("left", "left")
        report = app.explorer.report()
        assert report is not None
        assert report.status is Status.INVALID
        for number in ("✗ 1", "✓ 2", "✓ 3"):
            assert number in words(app, CheckLines)
        for name in ("kloros", "judge", "ollama", "other", "driver"):
            assert name in words(app, ServiceTable)
        assert "SERVICE" not in words(app, ServiceTable)


async def test_the_services_bear_their_heads_where_there_is_room() -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(app, pilot)
        assert "SERVICE" in words(app, ServiceTable)
        table = app.main.query_one(ServiceTable)
        drawn = [[plain(line) for line in table.draw(74, height)] for height in range(1, 9)]
    assert all(len(lines) <= height for height, lines in enumerate(drawn, start=1))
    assert "↑↓ 2 more" in drawn[3][0], "hidden rows are counted"


async def test_without_a_driver_the_smallest_screen_says_what_to_do() -> None:
    app = make_app(no_driver)
    async with app.run_test(size=(60, 20)) as pilot:
        await settle(app, pilot)
        told = words(app, CheckLines)
        assert "Install the NVIDIA driver" in told
        assert "d shows the built-in demo machine" in told
    larger = make_app(no_driver)
    async with larger.run_test(size=(80, 24)) as pilot:
        await settle(larger, pilot)
        assert words(larger, CheckLines) == "nothing read yet", "the services' place says it"
