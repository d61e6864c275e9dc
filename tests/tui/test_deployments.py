"""Deployments in the explorer: toasts, line, header, key, screen; of a simulated machine, live, and in a replay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList, Static

from gpu_tui import wiring
from gpu_tui.clock import ManualClock
from gpu_tui.core.deployment import DeployPhase
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.journal.deployments import Deployment
from gpu_tui.telemetry.scenario import load_scenario, snapshot_at
from gpu_tui.tui.app import GpuTuiApp
from gpu_tui.tui.screens.deployments import DeploymentsScreen
from gpu_tui.tui.screens.dialogs import ChoiceDialog, TextDialog
from gpu_tui.tui.widgets.hands_off import HandsOffLine
from gpu_tui.tui.widgets.header import Header
from gpu_tui.tui.widgets.keys import Keys
from gpu_tui.view.spans import plain
from gpu_tui.wiring.deployments import open_deployments
from gpu_tui.wiring.replaying import open_replay
from tests.telemetry.recordings import BEGUN, record
from tests.tui.harness import follow_story, make_app

SIZES = [(120, 40), (80, 24)]
D = DeployPhase


async def ready(app: GpuTuiApp, pilot: Pilot[None]) -> None:
    """Read once; from now on only what the test delivers."""
    for _ in range(500):
        await pilot.pause(0.02)
        if app.explorer.snapshot is not None and app.deploying.shown is not None:
            app.telemetry.close()
            return
    raise AssertionError("nothing was read")


async def at(app: GpuTuiApp, pilot: Pilot[None], scenario: str, second: float, since: float) -> None:
    """Follow the story to this second."""
    follow_story(app, scenario, second, since)
    await settled(app, pilot)


async def settled(app: GpuTuiApp, pilot: Pilot[None]) -> None:
    """Until all that was delivered is told and shown."""
    for _ in range(1000):
        await pilot.pause()
        if not app.deploying._told and app.letterbox._waiting is None and app._message_queue.empty():
            await pilot.pause()
            return
    raise AssertionError("it is still being told")


def toasts(app: GpuTuiApp) -> list[str]:
    return [f"{toast.title}: {toast.message}" for toast in app._notifications]


def drawn(widget: HandsOffLine | Header | Keys, width: int) -> str:
    return plain(widget.draw(width, 1)[0])


def line(app: GpuTuiApp) -> HandsOffLine:
    return app.main.query_one(HandsOffLine)


def header(app: GpuTuiApp, width: int) -> str:
    return drawn(app.main.query_one(Header), width)


def detail(app: GpuTuiApp) -> str:
    return str(app.screen.query_one("#deploy-detail", Static).render())


def rows(app: GpuTuiApp) -> list[str]:
    return [str(option.prompt) for option in app.screen.query_one(OptionList).options]


@pytest.mark.parametrize("size", SIZES)
async def test_hands_off_is_told_while_it_starts_and_no_longer(size: tuple[int, int]) -> None:
    app = make_app(scenario="deploy")
    async with app.run_test(size=size) as pilot:
        await ready(app, pilot)
        await at(app, pilot, "deploy", 15, 0)
        assert not line(app).display
        assert "HANDS OFF" not in header(app, size[0])
        assert "deployment" not in drawn(app.main.query_one(Keys), size[0])
        await at(app, pilot, "deploy", 40, 16)
        assert "judge starts: Hands off kloros, ollama while it loads. D shows it." in toasts(app)
        assert "D deployment" in drawn(app.main.query_one(Keys), size[0])
        if size[1] >= 30:
            assert line(app).display
            assert "! HANDS OFF kloros, ollama while judge starts (loading, 18 s)" in drawn(line(app), 120)
        else:
            assert not line(app).display, "a small terminal has no row to spare"
            assert "! HANDS OFF (D)" in header(app, 80)
        await at(app, pilot, "deploy", 80, 41)
        assert not line(app).display, "its cache is sized"
        assert "HANDS OFF" not in header(app, size[0])
        await at(app, pilot, "deploy", 91, 81)
        assert "✓ judge serves after 1 min 14 s: It holds 20410 MiB, 139 MiB over the plan." in toasts(app)
        assert "deployment" not in drawn(app.main.query_one(Keys), size[0])


async def test_a_death_is_told_with_its_cause_and_a_race_with_its_advice() -> None:
    app = make_app(scenario="race")
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(app, pilot)
        await at(app, pilot, "race", 20, 0)
        assert "! RACE Stop vllm:8002 (pid 6205) and start it when judge serves." in drawn(line(app), 120)
        await at(app, pilot, "race", 49, 21)
        told = toasts(app)
        assert any(words.startswith("✗ judge died after 40 s: Weights and the profile run took all") for words in told)
        assert any(
            "Race for the GPU's memory: Do not restart judge now; wait until vllm:8002" in words for words in told
        )


async def test_much_at_once_is_told_as_one() -> None:
    app = make_app(scenario="deploy")
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(app, pilot)
        await at(app, pilot, "deploy", 170, 0)
        assert [words for words in toasts(app) if "more of deployments: D shows them." in words] == [
            ": 4 more of deployments: D shows them."
        ]
        assert len(toasts(app)) == 3


@pytest.mark.parametrize("size", SIZES)
async def test_the_screen_shows_phases_memory_and_cause_and_follows(size: tuple[int, int]) -> None:
    app = make_app(scenario="deploy")
    async with app.run_test(size=size) as pilot:
        await ready(app, pilot)
        await pilot.press("D")
        assert isinstance(app.screen, DeploymentsScreen)
        assert "No server has started since" in detail(app)
        assert "gpu-tui --scenario deploy" in detail(app)
        await at(app, pilot, "deploy", 60, 0)
        assert toasts(app) == [], "they would hide what tells it all"
        assert "▸ profiling" in rows(app)[0]
        assert "20271 MiB" in rows(app)[0]
        text = detail(app)
        for words in (
            "Do not start, stop or restart kloros",
            "loading                 28 s",
            "▸ profiling               10 s",
        ):
            assert words in text
        for words in ("capturing graphs     to come", "planned   20271 MiB", "Simulated: nothing of it is kept"):
            assert words in text
        await at(app, pilot, "deploy", 165, 61)
        text = detail(app)
        assert "✗ died" in rows(app)[0]
        for words in (
            "To serve at least one request",
            "max_len_too_long",
            "5.63 GiB, 2.94 GiB were",
            "--max-model-len 21392",
        ):
            assert words in " ".join(text.split())
        await pilot.press("down")
        await settled(app, pilot)
        assert "serving                 28 s" in detail(app)
        await at(app, pilot, "deploy", 185, 166)
        assert len(rows(app)) == 4
        assert "serving                 28 s" in detail(app), "the mark stays on its start when a new one comes"
        await pilot.press("escape")
        assert app.screen is app.main
        assert not app.deploying.open


async def test_help_and_palette_offer_it() -> None:
    app = make_app(scenario="deploy")
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(app, pilot)
        offered = {command.title: command for command in app.get_system_commands(app.main)}
        assert "(D)" in offered["Deployments"].help
        await offered["Deployments"].callback()
        await settled(app, pilot)
        assert isinstance(app.screen, DeploymentsScreen)


async def test_turning_to_another_machine_forgets_the_starts_of_the_first() -> None:
    app = make_app(scenario="race")
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(app, pilot)
        await at(app, pilot, "race", 20, 0)
        assert line(app).display
        generation = app.telemetry.generation
        app.telemetry._generation += 1
        follow_story(app, "kloros", 0)
        await settled(app, pilot)
        assert app.deploying._generation == generation + 1
        assert not line(app).display
        shown = app.deploying.shown
        assert shown is not None
        assert [one.name for one in shown.watched.now] == ["judge"]
        assert shown.watched.past == ()


# --- replay ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The story as a real machine would have been recorded: without logs."""
    scenario = load_scenario("deploy")
    seen: Sequence[Snapshot] = [
        replace(snapshot_at(scenario, float(s)), taken_at=BEGUN + s, taken_monotonic=float(s), logs={})
        for s in range(240)
    ]
    return record(tmp_path_factory.mktemp("past") / "deploy.rec", seen)


def replaying(path: Path, when: str) -> GpuTuiApp:
    clock = ManualClock(wall=BEGUN + 10**6)
    options = wiring.Options(replay=f"{path}{when}")
    source = open_replay(f"{path}{when}", clock, playing=False)
    return GpuTuiApp(options, wiring.load_settings(options), source=source, clock=clock)


async def moved(app: GpuTuiApp, pilot: Pilot[None], second: float) -> None:
    """Until the replay shows this second of the recording."""
    for _ in range(500):
        app.clock.advance(0.21)  # type: ignore[attr-defined]
        await pilot.pause(0.02)
        shown = app.deploying.shown
        if shown is not None and abs(shown.at_s - BEGUN - second) < 0.6:
            await settled(app, pilot)
            return
    raise AssertionError(f"never at {second}: {shown and shown.at_s - BEGUN}")


async def test_in_a_replay_a_jump_finds_what_was_before_it_and_tells_no_toast(past: Path) -> None:
    app = replaying(past, "@+60s")
    async with app.run_test(size=(120, 40)) as pilot:
        await moved(app, pilot, 60)
        shown = app.deploying.shown
        assert shown is not None
        assert [(one.who.pid, one.phase) for one in shown.watched.now] == [(6204, D.LOADING)]
        assert [one.who.pid for one in shown.watched.past] == [5102]
        assert toasts(app) == []
        assert "! HANDS OFF kloros, ollama" in drawn(line(app), 120)
        await pilot.press("D")
        await settled(app, pilot)
        assert "of a SIMULATED machine, deploy, replay deploy.rec" in str(app.screen.query_one(".dialog").border_title)
        assert "its phases follow from processes and memory alone" in detail(app)
        await pilot.press("escape")
        app.replay.wish(lambda source: source.seek(200))
        await moved(app, pilot, 200)
        shown = app.deploying.shown
        assert shown is not None
        outcomes = [(one.who.pid, one.outcome) for one in shown.watched.past]
        assert outcomes == [(5102, None), (6204, "ended"), (7301, "ended")]
        app.replay.wish(lambda source: source.seek(5))
        await moved(app, pilot, 5)
        shown = app.deploying.shown
        assert shown is not None
        assert shown.watched.past == ()
        assert not line(app).display


async def test_a_replay_that_plays_passes_no_start_by(past: Path) -> None:
    app = replaying(past, "@+8s")
    async with app.run_test(size=(120, 40)) as pilot:
        await moved(app, pilot, 8)
        app.replay.wish(lambda source: (source.play(), source.faster(6)))
        for _ in range(200):
            app.clock.advance(0.3)  # type: ignore[attr-defined]
            await pilot.pause(0.02)
            shown = app.deploying.shown
            if shown is not None and shown.at_s >= BEGUN + 110:
                await settled(app, pilot)
                break
        assert shown is not None
        starts = {one.who.pid: one for one in (*shown.watched.past, *shown.watched.now)}
        assert starts[6204].from_birth
        assert abs(starts[6204].begun_s - BEGUN - 16) <= 1.5, "as exact as the recording, at any speed"
        assert any(words.startswith("judge starts") for words in toasts(app))


# --- the journal's ---------------------------------------------------------------------------------------------------


def kept(number: int, outcome: str) -> Deployment:
    return Deployment(
        recorded_at="2026-01-01T00:00:00Z",
        started_at=f"2026-01-0{number}T00:00:00Z",
        started_s=1e9 + number * 1000,
        machine="box",
        server_pid=number,
        tool_version="1",
        gpu_uuid="GPU-0",
        gpu_name="GPU",
        model="/models/qwen",
        outcome=outcome,
        source="its log",
        watched={
            "outcome": outcome,
            "phases": [{"phase": "loading", "seconds": 28.0, "evidence": "log"}],
            "took_s": 74.0,
        },
    )


async def test_kept_starts_are_listed_and_read() -> None:
    app = make_app(scenario="deploy")
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(app, pilot)
        await pilot.press("D", "h")
        for _ in range(500):
            await pilot.pause(0.02)
            if toasts(app):
                break
        assert any("The journal keeps no start yet" in words for words in toasts(app))
        with open_deployments(app.settings, writable=True) as journal:
            journal.record(kept(1, "started"))
            journal.record(kept(2, "max_len_too_long"))
        await pilot.press("h")
        for _ in range(200):
            await pilot.pause(0.02)
            if isinstance(app.screen, ChoiceDialog):
                break
        assert [("✗" in text, "qwen" in text) for text in rows(app)] == [(True, True), (False, True)]
        await pilot.press("enter")
        await settled(app, pilot)
        assert isinstance(app.screen, TextDialog)
        assert "loading 28.0 s (log)" in str(app.screen.query_one(Static).render())
        await pilot.press("escape")
        assert isinstance(app.screen, DeploymentsScreen)
