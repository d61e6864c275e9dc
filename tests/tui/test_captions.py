"""A story's captions: read whole at both sizes, and none of them in the place of the verdict."""

from __future__ import annotations

import pytest

from gpu_tui.clock import ManualClock
from gpu_tui.telemetry.scenario import SCENARIOS, load_scenario, snapshot_at
from gpu_tui.tui.app import GpuTuiApp
from gpu_tui.tui.widgets.caption import LONGEST, CaptionLine
from tests.tui.harness import make_app, scenario_at
from tests.tui.test_app import settle, words

STORIES = ("deploy", "race", "night-and-day")
CAPTIONS = [
    (name, event.at_s, event.caption)
    for name in SCENARIOS
    for event in load_scenario(name).file.story.events
    if event.caption
]


def edge(app: GpuTuiApp, box: str) -> str:
    return str(app.main.query_one(box).border_subtitle or "")


@pytest.mark.parametrize(("name", "at_s", "caption"), CAPTIONS)
def test_a_shipped_caption_is_told_in_its_second_and_is_short_enough_for_80_columns(
    name: str, at_s: float, caption: str
) -> None:
    assert snapshot_at(load_scenario(name), at_s).caption == caption
    assert len(caption) <= LONGEST
    assert caption.isprintable()


@pytest.mark.parametrize("name", STORIES)
def test_a_story_begins_at_once_and_says_when_it_is_over(name: str) -> None:
    scenario = load_scenario(name)
    loop_s = scenario.file.story.loop_s
    assert loop_s
    assert snapshot_at(scenario, 1).caption
    assert "begins anew" in snapshot_at(scenario, loop_s - 1).caption
    assert snapshot_at(scenario, loop_s + 1).caption == snapshot_at(scenario, 1).caption


_, AT_S, CAPTION = max((one for one in CAPTIONS if one[0] == "deploy"), key=lambda one: len(one[2]))


@pytest.mark.parametrize("size", [(120, 40), (100, 30), (80, 24)])
async def test_it_is_read_whole_and_hides_no_verdict(size: tuple[int, int]) -> None:
    clock = ManualClock()
    app = make_app(lambda: scenario_at("deploy", clock, AT_S), scenario="deploy", clock=clock)
    async with app.run_test(size=size) as pilot:
        await settle(app, pilot)
        for tab in range(1 if size[0] >= 100 else 3):
            await pilot.press(*["l"] * bool(tab))
            drawn = [strip.text for strip in app.main._compositor.render_strips(app.size)]
            assert any(CAPTION in row for row in drawn)
            assert any("STARTS" in row for row in drawn)
            assert any("SIMULATED deploy" in row for row in drawn)


async def test_its_line_stays_between_two_captions_and_is_not_there_before_the_first() -> None:
    clock = ManualClock()
    second = [0.0]
    app = make_app(lambda: scenario_at("kloros", clock, second[0]), clock=clock)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(app, pilot)
        line = app.main.query_one(CaptionLine)
        assert not line.display
        for second[0], told in ((70.0, "» ollama unloaded"), (120.0, "")):
            app.see(scenario_at("kloros", clock, second[0]))
            app.show_machine()
            await pilot.pause()
            assert line.display
            assert words(app, CaptionLine).startswith(told)
            assert told or not words(app, CaptionLine)


async def test_a_terminal_that_grows_or_shrinks_has_it_in_one_place() -> None:
    clock = ManualClock()
    app = make_app(lambda: scenario_at("deploy", clock, AT_S), scenario="deploy", clock=clock)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(app, pilot)
        for size, standing, told in (((80, 24), False, CAPTION), ((120, 40), True, "")):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert app.main.query_one(CaptionLine).display is standing
            assert edge(app, "#services") == told


@pytest.mark.parametrize("size", [(120, 40), (100, 30), (80, 24), (60, 20)])
async def test_toasts_hide_neither_header_nor_slider_nor_verdict(size: tuple[int, int]) -> None:
    clock = ManualClock()
    app = make_app(lambda: scenario_at("deploy", clock, AT_S), scenario="deploy", clock=clock)
    async with app.run_test(size=size, notifications=True) as pilot:
        await settle(app, pilot)
        before = [strip.text for strip in app.main._compositor.render_strips(app.size)]
        app.notify("18.86 GiB is what it asks for, 15.37 GiB were free. D tells all.", title="judge died", timeout=600)
        app.notify("Hands off kloros and ollama while it loads. D shows it.", title="judge starts", timeout=600)
        for _ in range(1000):
            await pilot.pause(0.02)
            after = [strip.text for strip in app.main._compositor.render_strips(app.size)]
            if all(any(title in row for row in after) for title in ("judge died", "judge starts")):
                break
        else:
            raise AssertionError("the toasts were never drawn")
        for part in ("#header", "#slider-box", "#verdict"):
            rows = slice(app.main.query_one(part).region.y, app.main.query_one(part).region.bottom)
            assert after[rows] == before[rows]
