"""Roles supposed, the switch between now, peaks and worst case, and who a row is: keys on the explorer."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from textual.widgets import Static

from gpu_tui.clock import ManualClock
from gpu_tui.core.against import Against
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.core.what_if import WhatIf
from gpu_tui.telemetry.peaks_file import read
from gpu_tui.tui.app import GpuTuiApp
from gpu_tui.tui.screens.dialogs import TextDialog
from gpu_tui.tui.widgets.services import ServiceTable
from gpu_tui.units import MIB
from gpu_tui.view.spans import plain
from tests.factories import KLOROS_HOLDS, kloros
from tests.tui.harness import make_app

SIZES = pytest.mark.parametrize("size", [(120, 40), (80, 24)], ids=["120x40", "80x24"])
OLLAMA = 2387058


def rows(app: GpuTuiApp) -> str:
    table = app.main.query_one("#services", ServiceTable)
    return "\n".join(plain(line) for line in table.draw(table.size.width, table.size.height))


def title(app: GpuTuiApp, selector: str) -> str:
    return str(app.main.query_one(selector).border_title)


def subtitle(app: GpuTuiApp) -> str:
    return str(app.main.query_one("#slider-box").border_subtitle)


def dialog(app: GpuTuiApp) -> str:
    assert isinstance(app.screen, TextDialog)
    return "\n".join(str(one.render()) for one in app.screen.query(Static))


@SIZES
async def test_a_role_is_supposed_and_says_so(size: tuple[int, int]) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        app.main.query_one("#services", ServiceTable).focus()
        await pilot.press("down", "down", "i")  # ollama: restarts
        await pilot.press("i")
        assert app.explorer.supposed == {"ollama": WhatIf.STOPPED}
        assert "stopped (what if)" in rows(app)
        assert title(app, "#services") == "Production services, what if"
        assert app.explorer.feasible_permille() == (494, 902)
        await pilot.press("i")
        assert app.explorer.supposed == {}
        assert "what if" not in rows(app) + title(app, "#services")
        assert app.explorer.feasible_permille() == (494, 815)


async def test_the_books_that_runs_are_kept_with_stay_the_real_ones() -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await pilot.pause()
        app.main.query_one("#services", ServiceTable).focus()
        await pilot.press("down", "i")  # judge: persistent
        books, view = app.explorer.books(), app.explorer.view()
        assert books is not None
        assert view is not None
        assert books.chosen is not None
        assert view.now.chosen is None
        assert app.explorer.feasible_permille() is None


class Story:
    """The known machine, whose ollama is told what to hold."""

    def __init__(self, clock: ManualClock, here: bool = False) -> None:
        self.clock, self.ollama, self.here = clock, 1068.0, here

    def read(self) -> Snapshot:
        holds = KLOROS_HOLDS | {OLLAMA: self.ollama}
        seen = kloros(holds={pid: size for pid, size in holds.items() if size})

        live = {"source": "nvml", "simulated": False} if self.here else {}
        return replace(seen, taken_at=self.clock.wall(), taken_monotonic=self.clock.monotonic(), **live)


@SIZES
async def test_an_unloaded_model_comes_back_in_the_worst_case(size: tuple[int, int]) -> None:
    clock = ManualClock()
    story = Story(clock)
    app = make_app(story.read, clock=clock)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        for held in (5200.0, 0.0):
            story.ollama = held
            clock.advance(1)
            app.see(story.read())
        app.show_machine()
        now = app.explorer.feasible_permille()
        await pilot.press("a")
        assert app.explorer.against is Against.PEAKS
        assert title(app, "#slider-box").endswith("against peaks together")
        await pilot.press("a")
        assert app.explorer.against is Against.WORST
        assert title(app, "#slider-box").endswith("against worst case")
        assert now == (494, 902)
        assert app.explorer.feasible() is None
        assert "feasible none against worst case (now 0.4940–0.9028): ollama +5200 MiB" in subtitle(app)
        assert "↑5200" in rows(app)
        await pilot.press("a")
        assert app.explorer.feasible_permille() == now
        assert "↑" not in rows(app)
        app.main.query_one("#services", ServiceTable).focus()
        await pilot.press("down", "down", "enter")
        told = dialog(app)
        assert "if loaded" in told
        assert "5200 MiB (measured: peak, 1 s ago)" in told


@SIZES
async def test_who_a_row_is_and_what_is_known_of_the_rest(size: tuple[int, int]) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        app.main.query_one("#services", ServiceTable).focus()
        await pilot.press("down", "enter")
        told = dialog(app)
        assert "model      Qwen" in told
        assert "user" in told
        assert "peak" in told
        await pilot.press("escape", *["down"] * 9, "enter")
        told = dialog(app)
        assert "unattributed 0 MiB" in told
        assert "scenario kloros (simulated)" in told or "evidence" in told
        assert "suggested" in told
        await pilot.press("escape")


async def test_peaks_of_this_machine_are_kept_and_known_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    clock = ManualClock()
    story = Story(clock, here=True)
    for held in (5200.0, 1068.0):
        story.ollama = held
        app = make_app(story.read, clock=clock)
        async with app.run_test() as pilot:
            await pilot.pause()
            assert app.tenants.peaks("GPU-0").alone["ollama"].size == 5200 * MIB
    assert read(tmp_path / "gpu-tui" / "peaks.json")["GPU-0"].alone["ollama"].size == 5200 * MIB


async def test_a_simulated_machine_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    app = make_app()
    async with app.run_test() as pilot:
        await pilot.pause()
    assert not [*os.scandir(tmp_path)]
