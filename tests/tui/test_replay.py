"""A recording in the explorer under the pilot: the past judged anew, driven by keys; and recording from within."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from gpu_tui import wiring
from gpu_tui.clock import ManualClock
from gpu_tui.core.against import Against
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.errors import SourceUnavailable
from gpu_tui.telemetry.recording.reader import Recording
from gpu_tui.tui.app import GpuTuiApp
from gpu_tui.tui.screens.dialogs import ChoiceDialog, TextDialog
from gpu_tui.tui.screens.replay import AskDialog
from gpu_tui.tui.widgets.header import Header
from gpu_tui.tui.widgets.history import HistoryPanel
from gpu_tui.tui.widgets.replay import ReplayBar
from gpu_tui.tui.widgets.services import ServiceTable
from gpu_tui.tui.widgets.verdict import Verdict
from gpu_tui.view.spans import plain
from gpu_tui.wiring.replaying import open_replay
from tests.telemetry.recordings import BEGUN, day, real, record
from tests.tui.harness import make_app
from tests.tui.terminal import GPU_TUI, Terminal
from tests.tui.test_app import words

SIZE = (120, 40)


def steady(seconds: int) -> list[Snapshot | SourceUnavailable]:
    """The known machine, which stands still."""
    (one,) = real(day(1))
    assert isinstance(one, Snapshot)
    return [replace(one, taken_at=BEGUN + s, taken_monotonic=float(s)) for s in range(seconds)]


def story() -> list[Snapshot | SourceUnavailable]:
    """600 s: the judge is away from second 200 to 259, the GPU from 400 to 419."""
    told = steady(600)
    for second in range(200, 260):
        seen = told[second]
        assert isinstance(seen, Snapshot)
        gpu = seen.gpus[0]
        *others, judge = gpu.processes or ()
        size = judge.used_bytes or 0
        free, used = (gpu.free_bytes or 0) + size, (gpu.used_bytes or 0) - size
        told[second] = replace(seen, gpus=(replace(gpu, processes=tuple(others), free_bytes=free, used_bytes=used),))
    for second in range(400, 420):
        told[second] = SourceUnavailable("The GPU fell off the bus.", "Look at dmesg.", kind="gpu_lost")
    return told


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("past") / "past.rec", story())


def replaying(path: Path, when: str = "", *, no_color: bool = False) -> tuple[GpuTuiApp, ManualClock]:
    clock = ManualClock(wall=BEGUN + 10**6)
    options = wiring.Options(replay=f"{path}{when}")
    source = open_replay(f"{path}{when}", clock, playing=True)
    app = GpuTuiApp(options, wiring.load_settings(options), source=source, clock=clock, no_color=no_color)
    return app, clock


def second(app: GpuTuiApp) -> float:
    """Where the replay stands, in seconds from its beginning."""
    return -1.0 if app.replay.source is None else app.replay.source.shown.at - BEGUN


async def until(pilot: object, app: GpuTuiApp, at: float, clock: ManualClock | None = None, by: float = 0.0) -> None:
    """Wait until the screen shows a second of the recording."""
    for _ in range(400):
        if clock is not None and by:
            clock.advance(by)
            by = 0.0
        await pilot.pause(0.01)  # type: ignore[attr-defined]
        snapshot, failure = app.explorer.snapshot, app.explorer.failure
        if second(app) == at and (failure is not None or (snapshot is not None and snapshot.taken_at - BEGUN == at)):
            await pilot.pause(0.02)  # type: ignore[attr-defined]
            return
    raise AssertionError(f"it stands at {second(app)}, not at {at}")


async def test_it_is_labelled_with_the_recorded_time_and_never_stale(past: Path) -> None:
    app, clock = replaying(past, "@+30s")
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, app, 30)
        assert "REPLAY ‖ " in words(app, Header)
        assert ":00:30" in words(app, Header)
        clock.advance(3600)
        await pilot.pause(0.2)
        app.show_header()
        assert ":00:30" in words(app, Header)
        for word in ("STALE", "live", "old"):
            assert word not in words(app, Header)


async def test_the_slider_judges_the_past(past: Path) -> None:
    app, _ = replaying(past, "@+30s")
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, app, 30)
        await pilot.press("0", "full_stop", "4", "5", "enter")
        assert "✗ INVALID" in words(app, Verdict)
        await pilot.press("f")
        assert "✓ VALID" in words(app, Verdict)
        assert app.explorer.permille == 494


@pytest.mark.parametrize(
    ("keys", "at"),
    [
        (("greater_than_sign",), 101),
        (("less_than_sign", "less_than_sign"), 98),
        (("right_parenthesis",), 110),
        (("left_parenthesis",), 90),
        (("right_curly_bracket", "right_curly_bracket"), 220),
        (("left_curly_bracket", "left_curly_bracket", "left_curly_bracket"), 0),
        (("n",), 200),
        (("n", "n"), 260),
        (("n", "n", "N"), 200),
        (("n", "n", "n"), 400),
    ],
)
async def test_every_key_of_the_replay(past: Path, keys: Sequence[str], at: float) -> None:
    app, _ = replaying(past, "@+100s")
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, app, 100)
        for key in keys:
            await pilot.press(key)
            await pilot.pause(0.1)
        await until(pilot, app, at)


async def test_space_and_p_play_at_any_speed(past: Path) -> None:
    app, clock = replaying(past, "@+100s")
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, app, 100)
        await pilot.press("s", "s", "space")
        await pilot.pause(0.1)
        await until(pilot, app, 120, clock, by=5.0)
        assert "▶ ×4" in words(app, Header)
        await pilot.press("p")
        await pilot.pause(0.1)
        clock.advance(10)
        await pilot.pause(0.1)
        assert second(app) == 120
        assert "‖ ×4" in words(app, Header)
        await pilot.press("S", "S", "S", "space")
        await pilot.pause(0.1)
        await until(pilot, app, 121, clock, by=2.0)


async def test_it_plays_from_the_beginning_and_stands_at_the_end(past: Path) -> None:
    app, clock = replaying(past)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, app, 0)
        assert "▶" in words(app, Header)
        await until(pilot, app, 599, clock, by=1000.0)
        assert "‖" in words(app, Header)
        assert "100 %" in words(app, ReplayBar)


async def test_an_event_is_told_with_its_service(past: Path) -> None:
    app, _ = replaying(past, "@+100s")
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, app, 100)
        assert "no event yet" in words(app, ReplayBar)
        await pilot.press("n")
        await until(pilot, app, 200)
        assert "judge went (6134 MiB came free)" in words(app, ReplayBar)
        assert "not running" in words(app, ServiceTable)
        await pilot.press("n")
        await until(pilot, app, 260)
        assert "judge came (6134 MiB, --gpu-memory-utilization 0.5)" in words(app, ReplayBar)


async def test_a_recorded_fault_is_shown_as_it_was(past: Path) -> None:
    app, _ = replaying(past, "@+405s")
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, app, 405)
        assert "! GPU LOST" in words(app, Header)
        assert "The GPU fell off the bus." in words(app, Verdict)
        await pilot.press("n")
        await until(pilot, app, 420)
        assert "✓ VALID" in words(app, Verdict)


async def test_a_time_is_typed_and_a_wrong_one_told(past: Path) -> None:
    app, _ = replaying(past, "@+100s")
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, app, 100)
        await pilot.press("T")
        assert isinstance(app.screen, AskDialog)
        app.screen.query_one(Input).value = "+333s"
        await pilot.press("enter")
        await until(pilot, app, 333)
        await pilot.press("T")
        app.screen.query_one(Input).value = "noon"
        await pilot.press("enter")
        await pilot.pause(0.3)
        assert any("is no time" in toast.message for toast in app._notifications)
        assert second(app) == 333


async def test_the_events_are_listed_and_one_is_gone_to(past: Path) -> None:
    app, _ = replaying(past, "@+100s")
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, app, 100)
        await pilot.press("E")
        for _ in range(100):
            await pilot.pause(0.02)
            if isinstance(app.screen, ChoiceDialog):
                break
        options = app.screen.query_one(OptionList)
        assert options.option_count == 4
        await pilot.press("down", "down", "enter")
        await until(pilot, app, 400)


async def test_a_click_on_the_track_goes_there(past: Path) -> None:
    app, _ = replaying(past, "@+100s")
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, app, 100)
        bar = app.main.query_one(ReplayBar)
        left, room = bar._track
        await pilot.click(ReplayBar, offset=(left + room - 1, 0))
        await until(pilot, app, 599)


async def test_the_memory_panel_shows_what_was_before_a_jump(past: Path) -> None:
    app, _ = replaying(past, "@+500s")
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, app, 500)
        history = app.intake.history_of(app.explorer.gpu)
        assert history is not None
        assert len(history) >= 90
        # The judge was away a while ago: that is on the screen at once.
        held = history.resample("vllm:8001", 60, until_s=BEGUN + 500)
        assert None in held
        assert app.main.query_one(HistoryPanel).draw(60, 8)


def grown(seen: Snapshot | SourceUnavailable, mib: int) -> Snapshot:
    """The same with so much more of ollama."""
    assert isinstance(seen, Snapshot)
    gpu, more = seen.gpus[0], mib << 20
    rows = tuple(
        replace(row, used_bytes=(row.used_bytes or 0) + more) if seen.processes[row.pid].name == "ollama" else row
        for row in gpu.processes or ()
    )
    used, free = (gpu.used_bytes or 0) + more, (gpu.free_bytes or 0) - more
    return replace(seen, gpus=(replace(gpu, processes=rows, used_bytes=used, free_bytes=free),))


async def test_the_past_is_judged_against_the_peaks_up_to_then_and_not_later(tmp_path: Path) -> None:
    told = steady(400)
    path = record(tmp_path / "grown.rec", [*told[:100], grown(told[100], 2000), *told[101:]])
    app, _ = replaying(path, "@+200s")

    async def known(pilot: Pilot[None], at: float) -> int:
        await until(pilot, app, at)
        for _ in range(400):
            peaks = app.explorer.peaks
            if peaks.since == BEGUN and peaks.until == BEGUN + at:
                return peaks.alone["ollama"].size >> 20
            await pilot.pause(0.02)
        raise AssertionError(app.explorer.peaks)

    async with app.run_test(size=SIZE) as pilot:
        assert await known(pilot, 200) == 1068 + 2000
        app.replay.wish(lambda source: source.seek(50))
        assert await known(pilot, 50) == 1068
        app.replay.wish(lambda source: source.seek(300))
        assert await known(pilot, 300) == 1068 + 2000
        await pilot.press("a")
        assert app.explorer.against is not Against.NOW


async def test_nothing_is_measured_and_nothing_here_is_looked_at(past: Path) -> None:
    app, _ = replaying(past, "@+30s")
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, app, 30)
        await pilot.press("r")
        for _ in range(100):
            await pilot.pause(0.02)
            if app.runner.view.state == "failed":
                break
        assert "A recording has no services" in app.runner.view.message
        assert app.planner.evidence.sources == ()
        await pilot.press("w")
        assert app.recorder.progress is None


@pytest.mark.parametrize("size", [(80, 24), (60, 20), (120, 40)])
async def test_it_fits_small_terminals_and_needs_no_colour(past: Path, size: tuple[int, int]) -> None:
    app, _ = replaying(past, "@50%", no_color=True)
    async with app.run_test(size=size) as pilot:
        await until(pilot, app, 299)
        bar = app.main.query_one(ReplayBar)
        lines = [plain(line) for line in bar.draw(*bar.content_size)]
        assert "●" in lines[0]
        assert "╵" in lines[0]
        assert "!" in lines[0]
        assert all(len(line) <= size[0] for line in lines)
        assert "REPLAY" in words(app, Header)


async def test_the_demo_takes_the_place_of_a_recording(past: Path) -> None:
    app, _ = replaying(past, "@+30s")
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, app, 30)
        await pilot.press("d")
        for _ in range(200):
            await pilot.pause(0.02)
            if app.explorer.snapshot is not None and app.explorer.snapshot.source == "demo":
                break
        await pilot.pause(0.1)
        assert "REPLAY" not in words(app, Header)
        assert "SIMULATED kloros" in words(app, Header)
        assert not app.main.query_one(ReplayBar).display


async def test_help_names_the_keys_of_a_replay_only_in_one(past: Path) -> None:
    told = []
    for app in (replaying(past, "@+30s")[0], make_app()):
        async with app.run_test(size=SIZE) as pilot:
            await pilot.pause(0.3)
            await pilot.press("n")
            await pilot.press("question_mark")
            assert isinstance(app.screen, TextDialog)
            told.append("\n".join(plain(line) for line in app.screen._lines))
    assert "Replay: jump to the next event" in told[0]
    assert "  <  " in told[0]
    assert "Replay: jump" not in told[1]
    assert "Record what is seen" in told[1]


async def test_recording_from_within_the_explorer(tmp_path: Path) -> None:
    path = tmp_path / "mine.rec"
    clock = ManualClock()
    app = make_app(clock=clock)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause(0.3)
        await pilot.press("w")
        assert isinstance(app.screen, AskDialog)
        assert app.screen.query_one(Input).value.endswith(".rec")
        app.screen.query_one(Input).value = str(path)
        await pilot.press("enter")
        await pilot.pause(0.2)
        assert "● REC" in words(app, Header)
        for _ in range(5):
            clock.advance(1.0)
            await pilot.pause(0.1)
        await pilot.press("w")
        await pilot.pause(0.1)
        assert "● REC" not in words(app, Header)
    recording = Recording(path)
    assert len(recording) >= 5
    assert recording[0].snapshot is not None
    recording.close()


async def test_a_file_that_is_none_of_ours_is_told(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause(0.3)
        await pilot.press("w")
        app.screen.query_one(Input).value = str(path)
        await pilot.press("enter")
        await pilot.pause(0.1)
        assert any("not a recording" in toast.message for toast in app._notifications)
        assert app.recorder.progress is None
    assert path.read_text() == "mine"


async def test_leaving_ends_a_recording_whole(tmp_path: Path) -> None:
    path = tmp_path / "mine.rec"
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause(0.3)
        app.recorder.start(path, 1.0)
        app.telemetry.poke()
        await pilot.pause(0.3)
    recording = Recording(path)
    assert recording.notes == []
    assert not recording.writing
    recording.close()


def test_a_replay_in_a_real_terminal(past: Path) -> None:
    with Terminal([*GPU_TUI, "--replay", f"{past}@+100s"], env={"TZ": "UTC"}, size=(80, 24)) as terminal:
        terminal.wait_for("REPLAY ‖", "00:01:40", "judge", "VALID")
        terminal.press("n")
        terminal.wait_for("00:03:20", "not running")
        terminal.press("0.3\r")
        terminal.wait_for("INVALID")
        terminal.press(">")
        terminal.wait_for("00:03:21")
        terminal.press(" ")
        terminal.wait_for("REPLAY ▶")
        terminal.press("q")
        assert terminal.quit_code(5) == 0


def test_a_mistaken_time_is_told_before_the_screen_is_taken(past: Path) -> None:
    with Terminal([*GPU_TUI, "--replay", f"{past}@noon"], size=(100, 30)) as terminal:
        assert terminal.quit_code(10) == 2
        assert "is no time" in terminal.text
