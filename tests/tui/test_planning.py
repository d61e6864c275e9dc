"""Predicting a start on the screen: the call, the model picker, what is explained, what to type. Keys only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.content import Content
from textual.geometry import Size
from textual.widgets import Input, OptionList, Static

from gpu_tui.clock import ManualClock
from gpu_tui.core.origins import Origin, OriginKind
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.core.start_inputs import StartInputs
from gpu_tui.core.start_terms import Given, TermName
from gpu_tui.errors import GpuTuiError
from gpu_tui.tui.app import GpuTuiApp
from gpu_tui.tui.planner import REFRESH_S, PickKind
from gpu_tui.tui.screens.command import CommandDialog
from gpu_tui.tui.screens.dialogs import TextDialog
from gpu_tui.tui.screens.model import ModelDialog
from gpu_tui.tui.widgets.panel import Panel
from gpu_tui.tui.widgets.slider import UtilizationSlider
from gpu_tui.tui.widgets.verdict import Verdict
from gpu_tui.units import GIB
from gpu_tui.view.spans import plain
from gpu_tui.wiring.evidence import Evidence
from tests.tui.harness import make_app, scenario_at
from tests.tui.models import FACTS, FakeModels

SIZE = (120, 40)
LOG = Origin(kind=OriginKind.MEASURED, source="log file vllm.log", age_s=5.0)


async def until(pilot: Any, holds: Callable[[], bool], what: str) -> None:
    for _ in range(300):
        if holds():
            return
        await pilot.pause(0.02)
    raise AssertionError(f"never: {what}")


async def settle(app: GpuTuiApp, pilot: Any) -> None:
    await until(pilot, lambda: app.explorer.snapshot is not None and app.drawn, "a reading")
    await pilot.pause()


def words(app: GpuTuiApp, panel: type[Panel]) -> str:
    widget = app.main.query(panel).last()
    return " ".join(" ".join(plain(line) for line in widget.draw(*widget.content_size)).split())


def label(app: GpuTuiApp, selector: str) -> str:
    return Content.from_markup(app.main.query_one(selector).border_subtitle or "").plain


def shown(app: GpuTuiApp) -> str:
    """All text of the dialog on top."""
    return "\n".join(str(one.content) for one in app.screen.query(Static))


def live(clock: ManualClock) -> Callable[[], Snapshot]:
    """The demo machine as if it were real."""
    return lambda: replace(scenario_at("kloros", clock), simulated=False, model_mib=None, start=None)


async def test_a_scenarios_model_is_predicted_and_every_key_tells_the_call() -> None:
    app = make_app(scenario="predict")
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        assert "✓ VALID, STARTS" in words(app, Verdict)
        assert "▒" in words(app, UtilizationSlider)
        assert "too close to call" in label(app, "#slider-box")
        assert "model: Qwen/Qwen3-8B" in label(app, "#checks")
        slider = app.main.query_one(UtilizationSlider)
        for step, told in ((760, "TOO CLOSE TO CALL"), (600, "no_cache_blocks"), (990, "not_enough_free")):
            slider.move_to(step)
            assert told in words(app, Verdict), "in the same frame"


async def test_the_cheapest_remedy_follows_once_the_slider_rests() -> None:
    app = make_app(scenario="predict")
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        app.telemetry.close()
        await pilot.press("0", "full_stop", "7", "3", "enter")
        assert app.advice.remedies == ()
        await until(pilot, lambda: app.advice.best is not None, "a remedy")
        await pilot.pause()
        assert "f moves to" in words(app, Verdict)
        assert "Raise gpu_memory_utilization" in words(app, Verdict)
        app.main.query_one(UtilizationSlider).move_to(740)
        assert app.advice.remedies == (), "another plan, another remedy"


async def test_explain_tells_every_term_the_errors_words_and_the_remedies() -> None:
    app = make_app(scenario="predict")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(app, pilot)
        await pilot.press("0", "full_stop", "7", "3", "enter", "e")
        assert isinstance(app.screen, TextDialog)
        told = shown(app)
        for term in ("weights", "activation", "non torch", "cuda graphs"):
            assert f"− {term}" in told
        for said in ("KV cache left", "one request of 8192 tokens", "config.json", "vLLM would print", "→ Raise"):
            assert said in told
        for said in ("requested", "largest max_model_len", "36 × full attention", "The three checks", "unattributed"):
            assert said in told
        await pilot.press("pagedown", "down", "escape")
        assert not isinstance(app.screen, TextDialog)


async def test_the_picker_goes_to_the_hand_set_figures_and_back() -> None:
    app = make_app(scenario="predict", models=FakeModels())
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(app, pilot)
        await pilot.press("M")
        assert isinstance(app.screen, ModelDialog)
        await pilot.press("down", "enter")
        assert app.planner.pick.kind is PickKind.HAND_SET
        assert app.explorer.start() is None
        assert "hand-set" in label(app, "#checks")
        await pilot.press("M", "up", "enter")
        assert app.explorer.start() is not None
        assert "Qwen/Qwen3-8B" in label(app, "#checks")


async def test_typed_flags_change_the_plan_and_a_wrong_one_says_what_is_allowed() -> None:
    app = make_app(scenario="predict", models=FakeModels())
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        start = app.explorer.start()
        assert start is not None
        before = start.need.min_kv_cache_bytes
        await pilot.press("M", "tab", "tab", *"long", "enter")
        assert isinstance(app.screen, ModelDialog)
        assert "'long' is no count" in shown(app)
        await pilot.press("ctrl+u", *"4K", "enter")
        assert not isinstance(app.screen, ModelDialog)
        start = app.explorer.start()
        assert start is not None
        assert start.max_model_len == 4096
        assert start.need.min_kv_cache_bytes < before
        await pilot.press("M")
        assert app.screen.query_one("#flag-max-model-len", Input).value == "4096", "what was typed is kept"
        await pilot.press("escape")
        assert app.explorer.start() is start


async def test_a_model_is_found_beside_the_screen() -> None:
    models = FakeModels()
    app = make_app(scenario="predict", models=models)
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        await pilot.press("M", "tab", *"nowhere", "enter")
        await until(pilot, lambda: "There is no model 'nowhere' here. Type a folder." in shown(app), "the error")
        models.go.clear()
        await pilot.press("ctrl+u", *"tiny", "enter")
        assert "Reading tiny…" in shown(app)
        models.go.set()
        await until(pilot, lambda: not isinstance(app.screen, ModelDialog), "the dialog closes")
        assert "made/tiny (derived: headers of /models/tiny)" in label(app, "#checks")
        assert app.explorer.known is not None
        assert app.explorer.known.version == "0.33.0", "the release stays"
        assert app.explorer.known.max_model_len is None, "the running model's own flags do not"


async def test_a_models_own_name_is_text_and_never_markup() -> None:
    models = FakeModels()
    models.found["evil"] = replace(FACTS, name="[red]x[/red]\x1b[31m[@click=app.quit]y[/]")
    app = make_app(scenario="predict", models=models)
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        await pilot.press("M", "tab", *"evil", "enter")
        await until(pilot, lambda: app.planner.pick.kind is PickKind.FOUND, "the pick")
        await pilot.pause()
        assert "[red]x[/red]␛[31m" in label(app, "#checks")
        assert "@click=app.quit" in label(app, "#checks")


async def test_a_model_of_the_cache_is_chosen_from_the_list() -> None:
    app = make_app(scenario="predict", models=FakeModels())
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        await pilot.press("M")
        await until(pilot, lambda: app.screen.query_one(OptionList).option_count == 3, "the cache's model")
        await pilot.press("down", "down", "enter")
        await until(pilot, lambda: app.planner.pick.kind is PickKind.FOUND, "the pick")
        assert app.planner.pick.facts is FACTS


async def test_leaving_the_picker_while_it_reads_changes_nothing() -> None:
    models = FakeModels()
    app = make_app(scenario="predict", models=models)
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        before = app.planner.pick
        models.go.clear()
        await pilot.press("M", "tab", *"tiny", "enter", "escape")
        models.go.set()
        await pilot.pause(0.1)
        assert app.planner.pick is before


async def test_typing_the_models_size_turns_to_the_hand_set_figures() -> None:
    app = make_app(scenario="predict", models=FakeModels())
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        await pilot.press("m", "ctrl+u", *"9000", "enter")
        assert app.planner.pick.kind is PickKind.HAND_SET
        assert app.explorer.plan_need.model_bytes == 9000 << 20


async def test_typing_the_least_kv_cache_keeps_the_model() -> None:
    app = make_app(scenario="predict", models=FakeModels())
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        await pilot.press("k", "ctrl+u", *"2000", "enter")
        start = app.explorer.start()
        assert start is not None
        assert start.need.min_kv_cache_bytes == 2000 << 20


async def test_the_running_servers_model_is_read_once_and_again_after_a_while() -> None:
    clock, models = ManualClock(), FakeModels()
    given = {TermName.WEIGHTS: Given(size=5 * GIB, origin=LOG)}
    models.evidence = Evidence(inputs=StartInputs(given=given, version="0.33.0"), sources=("log file vllm.log",))
    models.go.clear()
    app = make_app(live(clock), clock=clock, models=models)
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        assert app.planner.reading
        assert "reading the running server's model" in label(app, "#checks")
        assert "✓ VALID" in words(app, Verdict), "the hand-set figures stand meanwhile"
        models.go.set()
        await until(pilot, lambda: app.explorer.start() is not None, "the model is taken in")
        await pilot.pause()
        assert "measured: log file vllm.log" in label(app, "#checks")
        app.telemetry.close()
        for _ in range(3):
            app.see(live(clock)())
            await pilot.pause(0.05)
        assert len(models.asked) == 1
        clock.advance(REFRESH_S)
        app.see(live(clock)())
        await until(pilot, lambda: len(models.asked) == 2, "asked again")
        await pilot.press("e")
        assert "Predicted against measured" in shown(app)
        assert "read: log file vllm.log" in shown(app)


async def test_ages_are_told_by_the_clock_and_grow_while_they_are_read() -> None:
    clock, models = ManualClock(), FakeModels()
    given = {TermName.WEIGHTS: Given(size=5 * GIB, origin=LOG)}
    models.evidence = Evidence(inputs=StartInputs(given=given, version="0.33.0"), sources=("log file vllm.log",))
    app = make_app(live(clock), clock=clock, models=models)
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        await until(pilot, lambda: app.explorer.start() is not None, "the model is taken in")
        app.telemetry.close()
        clock.advance(20)
        await pilot.press("e")
        assert shown(app).count("measured: log file vllm.log, 25 s ago") == 2, "its term, and beside the prediction"
        dialog = app.screen
        assert isinstance(dialog, TextDialog)
        before = shown(app)
        dialog.renew()
        assert shown(app) == before
        clock.advance(70)
        dialog.renew()
        after = shown(app)
        assert after.count("measured: log file vllm.log, 95 s ago") == 2
        assert after.replace("95 s", "25 s").replace("90 s", "20 s") == before, "no figure is another"
        assert len(models.asked) == 1


async def test_what_could_not_be_read_of_the_running_server_is_told() -> None:
    clock, models = ManualClock(), FakeModels()
    models.error = GpuTuiError("Its folder cannot be read.", "Start gpu-tui as its user.")
    app = make_app(live(clock), clock=clock, models=models)
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        await until(pilot, lambda: bool(models.asked) and not app.planner.reading, "the answer")
        assert app.explorer.start() is None
        await pilot.press("M")
        option = app.screen.query_one(OptionList).get_option_at_index(0)
        assert "Its folder cannot be read. Start gpu-tui as its user." in str(option.prompt)


async def test_a_simulated_machine_never_asks_this_one() -> None:
    models = FakeModels()
    app = make_app(scenario="kloros", models=models)
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        assert models.asked == []


async def test_what_to_type_is_copied_block_by_block() -> None:
    app = make_app(scenario="predict", models=FakeModels())
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(app, pilot)
        await pilot.press("0", "full_stop", "8", "enter", "t")
        await until(pilot, lambda: isinstance(app.screen, CommandDialog), "the dialog")
        assert "--gpu-memory-utilization 0.8" in shown(app)
        await pilot.press("y")
        assert app.clipboard == "--gpu-memory-utilization 0.8"
        await pilot.press("1")
        assert app.clipboard.startswith(("--kv-cache-memory-bytes", "/opt/vllm/bin/python"))
        await pilot.press("9")
        assert "Nothing is copied by 9" in str([one.message for one in app._notifications])
        await pilot.press("t")
        assert not isinstance(app.screen, CommandDialog)


async def test_what_to_type_holds_the_live_servers_drop_in_and_its_undo(tmp_path: Path) -> None:
    clock, models = ManualClock(), FakeModels()
    models.root = tmp_path
    app = make_app(live(clock), clock=clock, models=models)
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        books = app.explorer.books()
        assert books is not None
        assert books.chosen is not None
        (tmp_path / f"proc/{books.chosen.owner_pid}").mkdir(parents=True)
        (tmp_path / f"proc/{books.chosen.owner_pid}/cgroup").write_text("0::/system.slice/vllm.service\n")
        await pilot.press("0", "full_stop", "4", "enter", "t")
        await until(pilot, lambda: isinstance(app.screen, CommandDialog), "the dialog")
        told = shown(app)
        assert "/etc/systemd/system/vllm.service.d/gpu-tui.conf" in told
        assert "Undo" in told
        assert "rm /etc/systemd/system/vllm.service.d/gpu-tui.conf && systemctl daemon-reload" in told
        await pilot.press("1")
        assert app.clipboard.startswith("[Service]")


async def test_resizing_in_the_middle_keeps_verdict_and_picker_whole() -> None:
    app = make_app(scenario="predict", models=FakeModels())
    async with app.run_test(size=(200, 60)) as pilot:
        await settle(app, pilot)
        await pilot.press("0", "full_stop", "7", "3", "enter", "M")
        for columns, rows in ((80, 24), (60, 20), (120, 40), (80, 24)):
            await pilot.resize_terminal(columns, rows)
            await pilot.pause()
        field = app.screen.query_one("#flag-enforce-eager", Input)
        assert Size(80, 24).region.contains_region(field.region)
        await pilot.press("escape")
        assert "TOO CLOSE TO CALL" in words(app, Verdict)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_every_field_of_the_picker_is_on_the_screen(size: tuple[int, int]) -> None:
    app = make_app(scenario="predict", models=FakeModels())
    async with app.run_test(size=size) as pilot:
        await settle(app, pilot)
        await pilot.press("M")
        await pilot.pause()
        dialog = app.screen.query_one("#model-dialog").region
        for field in app.screen.query(Input):
            assert dialog.contains_region(field.region), field.id
            assert field.region.width >= len("default"), field.id
