"""The explorer under the pilot: keys in, what the panels show out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.widgets import Input, OptionList

from gpu_tui import wiring
from gpu_tui.clock import ManualClock
from gpu_tui.core.snapshot import Fault, FaultKind, Snapshot
from gpu_tui.errors import ConfigError, SourceUnavailable
from gpu_tui.tui.app import GpuTuiApp
from gpu_tui.tui.screens.dialogs import ChoiceDialog, TextDialog
from gpu_tui.tui.screens.history import HistoryScreen
from gpu_tui.tui.screens.plot import PlotScreen, Reading
from gpu_tui.tui.widgets.checks import CheckLines
from gpu_tui.tui.widgets.header import Header
from gpu_tui.tui.widgets.history import HistoryPanel
from gpu_tui.tui.widgets.keys import Keys
from gpu_tui.tui.widgets.latency import LatencyLines, LatencyPanel
from gpu_tui.tui.widgets.panel import Panel
from gpu_tui.tui.widgets.plot import LatencyPlot
from gpu_tui.tui.widgets.services import ServiceTable
from gpu_tui.tui.widgets.slider import UtilizationSlider
from gpu_tui.tui.widgets.verdict import Verdict
from gpu_tui.view.spans import plain
from tests.factories import KLOROS, SERVE, books_of, gpu, info, kloros, snapshot
from tests.tui.harness import finished_run, interference_run, make_app, no_driver, scenario_at, voice_run

SIZE = (120, 40)


def words(app: GpuTuiApp, panel: type[Panel]) -> str:
    """What a panel of the explorer shows, its runs of blanks and line breaks made one blank."""
    widget = app.main.query(panel).last()
    return " ".join(" ".join(plain(line) for line in widget.draw(*widget.content_size)).split())


async def settle(app: GpuTuiApp, pilot: object) -> None:
    """Wait for the first reading to be shown."""
    for _ in range(200):
        await pilot.pause(0.01)  # type: ignore[attr-defined]
        if app.explorer.snapshot is not None or app.explorer.failure is not None:
            await pilot.pause()  # type: ignore[attr-defined]
            return
    raise AssertionError("no reading")


async def test_starts_at_the_running_servers_utilization_and_says_that_it_is_simulated() -> None:
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        assert app.explorer.permille == 500
        assert app.main.focused is app.main.query_one(UtilizationSlider)
        assert "6144MB allocation fits model (5700MB) + KV cache (444MB)" in words(app, Verdict)
        assert "SIMULATED kloros" in words(app, Header)
        assert "judge" in words(app, ServiceTable)
        assert "restarts" in words(app, ServiceTable)


@pytest.mark.parametrize("typed", [("0", ".", "4"), (".", "4"), ("4", "0"), ("0", ".", "4", "0", "0")])
async def test_a_typed_utilization_is_judged(typed: tuple[str, ...]) -> None:
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        await pilot.press(*["full_stop" if key == "." else key for key in typed], "enter")
        assert app.explorer.permille == 400
        assert "deficit: 1155MB" in words(app, Verdict)
        assert "✗ INVALID" in words(app, Verdict)
        assert "f moves to 0.494" in words(app, Verdict)


async def test_every_key_of_the_slider() -> None:
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        steps = [
            ("right", 510),
            ("shift+right", 560),
            ("ctrl+right", 561),
            ("plus", 562),
            ("minus", 561),
            ("ctrl+left", 560),
            ("shift+left", 510),
            ("left", 500),
            ("end", 1000),
            ("home", 1),
            ("f", 494),
            ("right_square_bracket", 815),
            ("left_square_bracket", 494),
            ("o", 500),
        ]
        for key, expected in steps:
            await pilot.press(key)
            assert app.explorer.permille == expected, key
            assert f"{expected / 1000:.3f}" in words(app, UtilizationSlider)


async def test_verdict_and_checks_are_redrawn_before_the_loop_idles() -> None:
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        slider = app.main.query_one(UtilizationSlider)
        slider.move_to(400)
        # No await in between: the very call has redrawn all that depends on it.
        assert "INVALID" in words(app, Verdict)
        assert "4915" in words(app, CheckLines)


async def test_the_slider_says_that_it_changed() -> None:
    app = make_app()
    told: list[int] = []

    class Listening(GpuTuiApp):
        def on_utilization_slider_changed(self, event: UtilizationSlider.Changed) -> None:
            told.append(event.permille)
            assert event.control is event.slider
            assert event.gpu_memory_utilization == event.permille / 1000

    app.__class__ = Listening
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        await pilot.press("right", "right")
        await pilot.pause()
    assert told == [510, 520]


async def test_nonsense_is_refused_and_nothing_moves() -> None:
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        await pilot.press("9", "9", "9", "enter")
        assert app.explorer.permille == 500
        assert len(app._notifications) == 1
        await pilot.press("0", "full_stop", "7", "escape")
        assert app.explorer.permille == 500
        await pilot.press("0", "full_stop", "7", "backspace", "6", "enter")
        assert app.explorer.permille == 600


async def test_click_and_drag_move_the_slider() -> None:
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        slider = app.main.query_one(UtilizationSlider)
        cells = slider.content_size.width - 9
        await pilot.mouse_down(slider, offset=(9, 0))
        assert app.explorer.permille == 1
        await pilot.hover(slider, offset=(9 + cells - 1, 0))
        assert app.explorer.permille == 1000
        await pilot.mouse_up(slider, offset=(9 + cells - 1, 0))
        await pilot.hover(slider, offset=(9, 0))
        assert app.explorer.permille == 1000, "the button is up"


async def test_the_model_is_edited_in_place() -> None:
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        await pilot.press("m")
        field = app.main.focused
        assert isinstance(field, Input)
        await pilot.press("ctrl+u", *"3000", "left", "enter")
        assert app.explorer.need.model_bytes == 3000 * 1024 * 1024
        assert app.explorer.permille == 500, "arrows belong to the text field while it is edited"
        assert "model (3000MB)" in words(app, Verdict)
        await pilot.press("k")
        await pilot.press("ctrl+u", *"9", "escape")
        assert app.explorer.need.min_kv_cache_bytes == 370 * 1024 * 1024
        await pilot.press("k", "ctrl+u", "enter")
        assert len(app._notifications) == 1, "an empty figure is refused"


async def test_pause_freezes_what_is_shown_and_says_so() -> None:
    clock = ManualClock()
    readings = iter([kloros(), kloros(holds={2816503: 5000, 2839331: 6134})])
    last = kloros(holds={2816503: 5000, 2839331: 6134})
    app = make_app(lambda: next(readings, last), clock=clock)
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        await pilot.press("p")
        assert "PAUSED" in words(app, Header)
        clock.advance(5)
        await pilot.pause(0.2)
        assert "952 MiB" in words(app, ServiceTable)
        await pilot.press("p")
        clock.advance(5)
        await pilot.pause(0.2)
        assert "5000 MiB" in words(app, ServiceTable)
        assert "PAUSED" not in words(app, Header)


async def test_without_a_driver_the_app_says_what_nvml_said_and_offers_the_demo() -> None:
    app = make_app(no_driver, options=wiring.Options())
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        assert "NVML Shared Library Not Found" in words(app, ServiceTable)
        assert "? UNKNOWN" in words(app, Verdict)
        assert "driver missing" in words(app, Header)
        assert "SIMULATED" not in words(app, Header), "simulated data is never shown unasked"
        await pilot.press("right", "f", "r", "e", "y", "Y", "g", "v", "o")
        await pilot.press("d")
        for _ in range(100):
            await pilot.pause(0.02)
            if app.explorer.snapshot is not None:
                break
        await pilot.pause(0.1)
        assert "SIMULATED kloros" in words(app, Header)
        assert app.explorer.failure is None


async def test_a_gpu_that_is_lost_is_unknown_and_comes_back() -> None:
    clock = ManualClock()
    lost = SourceUnavailable("GPU 0 is lost.", "Reset it.", kind="gpu_lost")
    state = {"lost": False}

    def read() -> Snapshot:
        if state["lost"]:
            raise lost
        return kloros()

    app = make_app(read, clock=clock)
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        assert "✓ VALID" in words(app, Verdict)
        state["lost"] = True
        clock.advance(1.1)
        await pilot.pause(0.2)
        assert "? UNKNOWN" in words(app, Verdict)
        assert "GPU 0 is lost" in words(app, Verdict)
        assert "gpu lost" in words(app, Header)
        state["lost"] = False
        clock.advance(1.1)
        await pilot.pause(0.2)
        assert "✓ VALID" in words(app, Verdict)
        assert "live" in words(app, Header)


async def test_a_driver_that_hangs_is_told_and_does_not_keep_the_app() -> None:
    import threading

    release = threading.Event()
    clock = ManualClock()

    def read() -> Snapshot:
        release.wait(30)
        return kloros()

    app = make_app(read, clock=clock)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause(0.1)
        clock.advance(4)
        app._tick()
        assert "STALE" in words(app, Header)
        clock.advance(6)
        app._tick()
        assert "has not answered for 10 s" in words(app, Verdict)
        assert app.telemetry.hangs
        await pilot.press("q")
    release.set()


async def test_a_device_fault_is_shown_beside_its_figures() -> None:
    fault = Fault(kind=FaultKind.NO_PER_PROCESS_MEMORY, message="The driver hides each process's memory.", remedy="-")
    seen = snapshot(gpu({1: None}, free=9000, faults=(fault,)), [info(1, "python", "python -m kloros_voice")])
    app = make_app(lambda: seen)
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        assert "hides each process's memory" in words(app, ServiceTable)
        assert "unknown" in words(app, ServiceTable)
        assert "VALID" in words(app, Verdict)


def two_servers() -> Snapshot:
    """Two vLLM instances on one GPU."""
    infos = [
        info(10, "vllm", f"python {SERVE}", ppid=1),
        info(11, "VLLM::EngineCor", ["VLLM::EngineCore"], ppid=10),
        info(20, "vllm", "python vllm serve small --port 8002 --gpu-memory-utilization 0.2", ppid=1),
        info(21, "VLLM::EngineCor", ["VLLM::EngineCore"], ppid=20),
    ]
    return snapshot(gpu({11: 6134, 21: 2000}), infos)


async def test_which_instance_restarts_is_chosen_in_the_table_and_by_key() -> None:
    app = make_app(two_servers)
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        assert "2 vLLM instances" in words(app, Verdict)
        assert "vllm:8002" in words(app, ServiceTable)
        app.main.query_one(ServiceTable).focus()
        await pilot.press("down", "down", "down")
        chosen = app.main.query_one(ServiceTable).selected
        assert chosen is not None
        assert chosen.name == "vllm:8002"
        await pilot.press("space")
        assert "vllm:8001" in words(app, ServiceTable)
        assert "2 vLLM instances" not in words(app, Verdict)
        await pilot.press("v")
        assert isinstance(app.screen, ChoiceDialog)
        await pilot.press("up", "enter")
        await pilot.pause()
        assert "vllm:8002" in words(app, ServiceTable)


async def test_dialogs_open_and_close_by_key() -> None:
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        for key in ("question_mark", "e"):
            await pilot.press(key)
            assert isinstance(app.screen, TextDialog), key
            await pilot.press("escape")
            assert app.screen is app.main
        app.main.query_one(ServiceTable).focus()
        await pilot.press("enter")
        assert isinstance(app.screen, TextDialog)
        await pilot.press("escape")


async def test_several_gpus_are_switched() -> None:
    app = make_app(scenario="h100x8")
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        assert "GPU 0/8" in words(app, Header)
        await pilot.press("g", "down", "down", "enter")
        await pilot.pause()
        assert "GPU 2/8" in words(app, Header)


async def test_a_process_that_calls_itself_markup_is_only_text() -> None:
    evil = "[red]x[/red]\x1b]52;c;cm0=\x07"
    seen = snapshot(gpu({7: 100}), [info(7, evil, [evil, "--api-key", "sk-secret123"])])
    app = make_app(lambda: seen)
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        table = app.main.query_one(ServiceTable)
        table.focus()
        await pilot.press("down", "down", "down", "enter")
        await pilot.pause()
        assert isinstance(app.screen, TextDialog)
        shown = "\n".join(plain(line) for line in app.screen._lines)
        assert "[red]x[/red]" in shown
        assert "\x1b" not in shown
        assert "sk-secret123" not in shown


async def test_resizing_in_the_middle_of_everything() -> None:
    app = make_app()
    async with app.run_test(size=(200, 60)) as pilot:
        await settle(app, pilot)
        for width, height in [(120, 40), (80, 24), (60, 20), (20, 5), (1, 1), (100, 29), (60, 20), (80, 40), (200, 60)]:
            await pilot.resize_terminal(width, height)
            await pilot.press("l", "right", "r", "escape")
            await pilot.pause()
        assert "VALID" in words(app, Verdict)


async def test_small_terminals_show_one_panel_at_a_time() -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(app, pilot)
        visible = [app.main.query_one(f"#{name}").region.area > 0 for name in ("services", "history", "latency-tab")]
        assert visible == [True, False, False]
        await pilot.press("l")
        await pilot.pause()
        assert app.main.query_one("#history").region.area > 0
        assert app.main.query_one("#services").region.area == 0
        await pilot.press("l")
        await pilot.pause()
        assert app.main.query_one("#latency-tab").region.area > 0
        await pilot.press("l")
        await pilot.pause()
        assert app.main.query_one("#latency-tab LatencyPlot").region.area > 0
        await pilot.press("l")
        await pilot.pause()
        assert app.main.query_one("#services").region.area > 0


@pytest.mark.parametrize("size", [(80, 24), (100, 30), (120, 40), (60, 20), (200, 60)])
@pytest.mark.parametrize("permille", [400, 500, 900])
async def test_no_panel_draws_beyond_its_room(size: tuple[int, int], permille: int) -> None:
    app = make_app(scenario="kloros")
    async with app.run_test(size=size) as pilot:
        await settle(app, pilot)
        app.main.query_one(UtilizationSlider).move_to(permille)
        await pilot.pause()
        for panel in app.main.query(Panel):
            width, height = panel.content_size
            if not panel.display or width == 0 or panel.region.area == 0:
                continue
            lines = panel.draw(width, height)
            assert len(lines) <= height, panel
            for line in lines:
                assert len(plain(line)) <= width, (panel, plain(line))


async def test_an_invalid_plan_is_not_measured() -> None:
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        await pilot.press("4", "0", "enter", "r")
        await pilot.pause()
        assert app.runner.view.state == "refused"
        shown = words(app, LatencyLines)
        assert "Nothing was measured" in shown
        assert "f moves to 0.494" in shown
        assert "own 0.500" in shown
        assert app.host.demo is None, "no endpoint was even started"


async def test_footer_and_palette_know_every_action() -> None:
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        assert "f feasible" in words(app, Keys)
        titles = {command.title for command in app.get_system_commands(app.main)}
        assert {"Nearest feasible", "Run measurements", "Explain", "Pause", "Copy verdict"} <= titles


async def test_copying_by_osc_52() -> None:
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        await pilot.press("f", "y")
        assert app.clipboard == "--gpu-memory-utilization 0.500"
        await pilot.press("Y")
        assert app.clipboard.startswith("Valid: 6144MB allocation fits")
        assert "simulated" in app.clipboard


async def test_the_history_fills() -> None:
    clock = ManualClock()
    app = make_app(lambda: scenario_at("kloros", clock, clock.monotonic()), clock=clock)
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        for _ in range(5):
            clock.advance(1.01)
            await pilot.pause(0.1)
        history = app.intake.history_of(app.explorer.gpu)
        assert history is not None
        assert len(history) >= 4
        assert "kloros" in history.names()


async def test_what_is_painted_is_what_the_panels_draw() -> None:
    """Only changed lines are repainted; none may be forgotten, at any offset of a border."""
    clock = ManualClock()
    app = make_app(lambda: scenario_at("kloros", clock, clock.monotonic()), clock=clock)
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        for key in ("tab", "down", "right", "4", "0", "enter", "shift+tab", "end", "f", "m", "escape"):
            clock.advance(20)
            await pilot.pause(0.05)
            await pilot.press(key)
            await pilot.pause(0.05)
            painted = ["".join(s.text for s in strip) for strip in app.main._compositor.render_strips()]
            for panel in app.main.query(Panel):
                region, (width, height) = panel.content_region, panel.content_size
                if panel.region.area == 0:
                    continue
                for y, line in enumerate(panel.draw(width, height)[:height]):
                    row = painted[region.y + y][region.x : region.x + width]
                    assert row == plain(line).ljust(width)[:width], (key, panel)


def test_a_theme_that_does_not_exist_is_a_mistake_in_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPU_TUI_THEME", "nope")
    with pytest.raises(ConfigError, match=r"GPU_TUI_THEME.*nope.*colour-blind"):
        make_app()
    for name, theme in (("colour-blind", "gpu-tui-colour-blind"), ("nord", "nord")):
        monkeypatch.setenv("GPU_TUI_THEME", name)
        assert make_app().theme == theme


async def test_plots_grow_to_the_whole_screen_and_are_read_by_a_cursor() -> None:
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        await pilot.press("b")
        await pilot.pause(0.2)
        assert app.screen is app.main, "nothing measured, nothing to plot"
        app.runner.view = replace(finished_run(), levels=app.runner.view.levels)
        app.host.show_run(app.runner.view)
        await pilot.press("b")
        await pilot.pause(0.2)
        assert isinstance(app.screen, PlotScreen)
        await pilot.press("right", "right", "right")
        assert app.screen.query_one(Reading).text.startswith("request 3: ● TTFT")
        await pilot.press("tab")
        assert app.screen.query_one(Reading).text.startswith("over time")
        await pilot.press("tab", "end")
        assert "percent of requests" in app.screen.query_one(Reading).text
        await pilot.press("escape")
        assert app.screen is app.main


def files_in(folder: Path) -> int:
    return len(list(folder.iterdir()))


async def export(pilot: Any, app: GpuTuiApp, folder: Path) -> None:
    """Write the three runs of the history on show; a file that is there is overwritten only after asking."""
    report = folder / "my [b]report.md"
    await pilot.press("e")
    await pilot.pause(0.1)
    app.screen.query_one("#export-file", Input).value = str(report)
    await pilot.press("enter")
    await pilot.pause(0.4)
    assert "target 1000" in (folder / "my [b]report-simulated-llm-utilization.svg").read_text()
    assert "3 SIMULATED runs" in report.read_text()
    report.write_text("mine")
    for answer, left in (("n", True), ("y", False)):
        await pilot.press("e")
        await pilot.pause(0.1)
        app.screen.query_one("#export-file", Input).value = str(report)
        await pilot.press("enter")
        await pilot.pause(0.1)
        await pilot.press(answer)
        await pilot.pause(0.4)
        assert (report.read_text() == "mine") is left
    for name in ("x.docx", "no/such/folder.csv"):
        await pilot.press("e")
        await pilot.pause(0.1)
        app.screen.query_one("#export-file", Input).value = str(folder / name)
        await pilot.press("enter")
        await pilot.pause(0.3)
        assert files_in(folder) == 3


async def test_what_the_machine_does_during_a_run_goes_with_it_also_while_paused() -> None:
    clock = ManualClock()
    app = make_app(lambda: scenario_at("kloros", clock, clock.monotonic()), clock=clock)
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        app.host.make_plan()
        began = clock.monotonic()
        app.host.begin_watch()
        await pilot.press("p")
        for _ in range(4):
            clock.advance(1.01)
            await pilot.pause(0.1)
        run = finished_run().summary
        assert run is not None
        ended = msgspec.structs.replace(run, began_monotonic_s=began, lasted_s=3.5)
        series = app.host.watched(ended).machine_series
        assert series is not None
        assert series.at_s == pytest.approx([1.01, 2.02, 3.03])
        assert (series.simulated, series.total_mib, [p.name for p in series.phases]) == (True, 12288.0, ["run"])
        assert all(value is not None for value in series.used_mib)
        assert series.services_mib["judge"] == [6134.0] * 3
        clock.advance(1.01)
        await pilot.pause(0.1)
        assert app.host.watched(ended).machine_series is None, "a run that has ended is not watched any more"


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
async def test_plots_are_turned_in_the_panel_and_enlarged_with_enter(size: tuple[int, int]) -> None:
    app = make_app()
    for seed in range(3):
        summary = finished_run(seed=seed).summary
        assert summary is not None
        wiring.record_run(app.settings, app.options, KLOROS, books_of(KLOROS), None, summary)
    async with app.run_test(size=size) as pilot:
        await settle(app, pilot)
        app.runner.view = interference_run()
        app.host.show_run(app.runner.view)
        if size == (80, 24):
            await pilot.press("l")
        panel = next(panel for panel in app.main.query(LatencyPanel) if panel.region.area)
        shown = [panel.shown]
        for _ in range(6):
            await pilot.press("B")
            await pilot.pause(0.3)
            shown.append(panel.shown)
        machine = "GPU memory and utilization"
        runs = ["LLM vs utilization", "STT vs utilization"]
        assert shown == [machine, "by request", "over time", "distribution", *runs, machine]
        await pilot.press(*["B"] * 4)
        await pilot.pause(0.3)
        if size == (120, 40):
            panel.query_one(LatencyPlot).focus()
        await pilot.press("enter")
        await pilot.pause(0.3)
        assert isinstance(app.screen, PlotScreen)
        assert str(app.screen.query_one(".plot-box").border_title).startswith(panel.shown)
        await pilot.press("enter")
        await pilot.pause(0.1)
        assert app.screen is app.main


async def test_voice_turns_come_first_and_the_plots_after_them() -> None:
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        app.runner.view = voice_run()
        app.host.show_run(app.runner.view)
        assert "first sentence" in words(app, LatencyPlot)
        await pilot.press("b")
        await pilot.pause(0.2)
        assert isinstance(app.screen, PlotScreen)
        assert "voice turns" in str(app.screen.query_one(".plot-box").border_title)
        await pilot.press("right")
        await pilot.pause()
        drawn = "\n".join(plain(line) for line in app.screen.query_one(LatencyPlot).draw(100, 20))
        assert "▸ 1 " in drawn
        assert app.screen.query_one(Reading).text.startswith("turn 1: STT ")


async def test_the_history_of_an_instance_is_its_own_whichever_restarts() -> None:
    app = make_app(two_servers)
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        history = app.intake.history_of(app.explorer.gpu)
        assert history is not None
        assert {"vllm:8001", "vllm:8002"} <= set(history.names())
        assert "judge" not in history.names()
        app.restart_with(20)
        await pilot.pause()
        assert "judge" in words(app, HistoryPanel)


async def test_a_toast_is_never_read_as_markup() -> None:
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        app.main.notify("[red]GPU[/red] [nonsense")
        await pilot.pause(0.1)
        assert all(not toast.markup for toast in app._notifications)


async def test_ctrl_c_leaves_as_an_interrupted_command() -> None:
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        await pilot.press("ctrl+c")
    assert app.return_code == 130


async def test_the_history_lists_compares_exports_filters_and_deletes_runs(tmp_path: Path) -> None:
    app = make_app()
    for seed in (1, 2, 3):
        view = finished_run(seed=seed)
        assert view.summary is not None
        wiring.record_run(
            app.settings, app.options, KLOROS, books_of(KLOROS), None, view.summary, requests=view.requests
        )
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        await pilot.press("H")
        await pilot.pause(0.3)
        screen = app.screen
        assert isinstance(screen, HistoryScreen)
        rows = screen.query_one(OptionList)
        assert rows.option_count == 3
        await pilot.press("c")
        assert app.screen is screen, "nothing marked, nothing to compare"
        await pilot.press("space", "down", "c")
        await pilot.pause(0.3)
        assert isinstance(app.screen, TextDialog)
        shown = " ".join(plain(line) for line in app.screen._lines)
        assert "TTFT" in shown
        await pilot.press("escape", "enter")
        await pilot.pause(0.3)
        assert isinstance(app.screen, TextDialog)
        await pilot.press("escape", "p")
        await pilot.pause(0.2)
        assert isinstance(app.screen, PlotScreen)
        assert "LLM vs utilization (SIMULATED)" in str(app.screen.query_one(".plot-box").border_title)
        await pilot.press("right")
        await pilot.pause()
        assert "utilization 0.5: ● e2e p50" in app.screen.query_one(Reading).text
        assert "p95 within target" in app.screen.query_one(Reading).text
        await pilot.press("escape")
        await export(pilot, app, tmp_path)
        await pilot.press("x")
        await pilot.pause(0.1)
        await pilot.press("n")
        await pilot.pause(0.2)
        assert rows.option_count == 3
        await pilot.press("x")
        await pilot.pause(0.1)
        await pilot.press("y")
        await pilot.pause(0.4)
        assert rows.option_count == 2
        await pilot.press("slash", *"nothing", "enter")
        await pilot.pause(0.1)
        assert rows.option_count == 0
        await pilot.press("escape")
        await pilot.pause(0.1)
        assert rows.option_count == 2
        await pilot.press("escape")
        assert app.screen is app.main


async def test_a_damaged_journal_is_told_and_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / "journal.db"
    damaged.write_bytes(b"not a journal at all, but something somebody keeps here")
    monkeypatch.setenv("GPU_TUI_JOURNAL", str(damaged))
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        await pilot.press("H")
        await pilot.pause(0.3)
        assert any("journal" in toast.message for toast in app._notifications)
        await pilot.press("escape")
        assert app.screen is app.main
    assert damaged.read_bytes().startswith(b"not a journal at all")


async def test_a_key_on_the_slider_does_not_resample_the_history() -> None:
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        panel = app.main.query_one(HistoryPanel)
        kept = dict(panel._resampled)
        assert kept
        before = words(app, HistoryPanel)
        app.main.slider.move_to(900)
        assert words(app, HistoryPanel) != before, "the planned level has moved"
        assert all(panel._resampled[key] is points for key, points in kept.items())
        app.show_machine()
        assert not any(panel._resampled[key] is points for key, points in kept.items()), "a reading draws anew"
