"""What goes wrong while someone looks: each state says what it is, and nothing is said that is not known."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest
from textual.widgets import Button

from gpu_tui import wiring
from gpu_tui.clock import ManualClock
from gpu_tui.core.snapshot import Fault, FaultKind, Snapshot
from gpu_tui.errors import SourceUnavailable
from gpu_tui.tui.screens.dialogs import ChoiceDialog, ConfirmDialog, TextDialog
from gpu_tui.tui.widgets.header import Header
from gpu_tui.tui.widgets.history import HistoryPanel
from gpu_tui.tui.widgets.latency import LatencyLines
from gpu_tui.tui.widgets.services import ServiceTable
from gpu_tui.tui.widgets.verdict import Verdict
from gpu_tui.view.spans import plain
from tests.factories import gpu, kloros, kloros_infos, snapshot
from tests.tui.harness import finished_run, make_app, no_driver
from tests.tui.terminal import GPU_TUI, Terminal
from tests.tui.test_app import SIZE, settle, words

LOST = Fault(kind=FaultKind.GPU_LOST, message="GPU 0 was lost.", remedy="Reset it.")


def lost_gpu() -> Snapshot:
    """The known machine, its device no longer read; the driver still answers."""
    figures = gpu(total=None, free=None, reserved=None, processes=None, faults=(LOST,))
    return snapshot(figures, kloros_infos(), source="nvml", simulated=False, source_detail="NVML 13")


async def test_after_a_loss_the_history_stays_and_the_explanation_names_the_loss() -> None:
    clock = ManualClock()
    readings = iter([kloros()])
    app = make_app(lambda: next(readings, lost_gpu()), clock=clock)
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        clock.advance(1.1)
        await pilot.pause(0.2)
        assert "GPU 0 was lost" in words(app, Verdict)
        assert "12288" in words(app, HistoryPanel)
        assert "judge" in words(app, HistoryPanel)
        await pilot.press("e")
        assert isinstance(app.screen, TextDialog)
        shown = [plain(line) for line in app.screen._lines]
        assert shown[0] == "Unknown: GPU 0 was lost."
        total = next(i for i, line in enumerate(shown) if line.startswith("total "))
        assert "unknown" in shown[total]
        assert shown[total + 1].strip() == "not known", "nobody has measured it just now"
        await pilot.press("escape", "Y")
        assert app.clipboard.startswith("Unknown: GPU 0 was lost.\n")
        await pilot.press("r")
        refused = words(app, LatencyLines)
        assert "Nothing was measured: Unknown: GPU 0 was lost." in refused
        assert ".." not in refused


async def test_a_copied_verdict_tells_the_age_of_old_figures() -> None:
    clock = ManualClock()
    app = make_app(kloros, clock=clock)
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        await pilot.press("p")
        clock.advance(90)
        await pilot.press("Y")
        assert app.clipboard.splitlines()[-1].endswith(", 90 s ago")


async def test_a_slow_driver_is_not_called_live_once_a_second() -> None:
    clock = ManualClock()

    def read() -> Snapshot:
        clock.advance(2.0)
        return kloros()

    app = make_app(read, clock=clock)
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        assert "! live, slow driver: 2.0 s a reading" in words(app, Header)


async def test_several_devices_that_were_never_read_are_listed_and_chosen() -> None:
    dead = [
        gpu(index=i, uuid="", name="unknown GPU", total=None, free=None, processes=None, faults=(LOST,)) for i in (0, 1)
    ]
    seen = snapshot([*dead, gpu(index=2, uuid="GPU-2")])
    app = make_app(lambda: seen)
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        await pilot.press("g")
        assert isinstance(app.screen, ChoiceDialog)
        await pilot.press("down", "enter")
        await pilot.pause()
        assert "GPU 1/3" in words(app, Header)


@pytest.mark.parametrize("keys", [["d"], ["p", "d"]])
async def test_the_demo_replaces_a_machine_with_all_that_was_measured_on_it(keys: Sequence[str]) -> None:
    clock = ManualClock()
    readings = iter([replace(kloros(), source="nvml", simulated=False)])

    def read() -> Snapshot:
        seen = next(readings, None)
        return seen if seen is not None else no_driver()

    app = make_app(read, clock=clock, options=wiring.Options())
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        clock.advance(1.1)
        await pilot.pause(0.2)
        app.runner.view = finished_run()
        app.host.show_run(app.runner.view)
        await pilot.press(*keys)
        for _ in range(100):
            await pilot.pause(0.02)
            if app.explorer.snapshot is not None:
                break
        await pilot.pause(0.1)
        assert "SIMULATED kloros" in words(app, Header)
        assert "PAUSED" not in words(app, Header)
        assert "2816503" in words(app, ServiceTable)
        assert app.runner.view.runs == ()
        assert "r measures the live services" in words(app, LatencyLines)


async def test_the_demo_is_there_at_once_while_the_driver_hangs() -> None:
    release, clock = threading.Event(), ManualClock()

    def read() -> Snapshot:
        release.wait(30)
        raise SourceUnavailable("late", "", kind="other")

    app = make_app(read, clock=clock, options=wiring.Options())
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause(0.1)
        clock.advance(10)
        app._tick()
        assert "has not answered" in words(app, Verdict)
        await pilot.press("d")
        for _ in range(100):
            await pilot.pause(0.02)
            if app.explorer.snapshot is not None:
                break
        await pilot.pause(0.1)
        assert "✓ VALID" in words(app, Verdict)
        assert "SIMULATED kloros" in words(app, Header)
    release.set()


@pytest.mark.parametrize("key", ["q", "n", "escape"])
async def test_a_question_is_left_without_an_answer(key: str) -> None:
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(app, pilot)
        answers: list[bool | None] = []
        app.push_screen(ConfirmDialog("Measure?", []), answers.append)
        await pilot.pause()
        assert app.screen.query_one("#no", Button).has_focus
        await pilot.press(key)
        assert answers == [False]


def test_a_mistake_of_ours_is_a_sentence_in_a_terminal_that_is_given_back() -> None:
    program = (
        "from gpu_tui.tui.screens.main import MainScreen\n"
        "def fall(self): raise RuntimeError('secret-local')\n"
        "MainScreen.action_gpu = fall\n"
        "from gpu_tui.cli.main import entry\n"
        "import sys; sys.argv = ['gpu-tui', '--demo']\n"
        "entry()\n"
    )
    with Terminal([sys.executable, "-c", program]) as terminal:
        terminal.wait_for("VALID")
        terminal.press("g")
        assert terminal.quit_code(10) == 70
        terminal.read(0.2)
        assert b"gpu-tui has made a mistake: RuntimeError: secret-local" in terminal.raw
        assert b"Traceback" not in terminal.raw
        assert b"locals" not in terminal.raw


def test_a_locale_without_our_signs_does_not_garble_the_screen() -> None:
    locale = ["LC_ALL=C", "PYTHONUTF8=0", "PYTHONCOERCECLOCALE=0"]
    with Terminal(["env", *locale, *GPU_TUI, "--demo"]) as terminal:
        terminal.wait_for("✓ VALID", "╭─ Checks", "● live")
        assert b"\\u25" not in terminal.raw
        terminal.press("q")
        assert terminal.quit_code(5) == 0
    assert b"drawn in UTF-8. Set LANG to C.UTF-8." in terminal.raw


def test_without_a_terminal_on_stderr_nothing_is_drawn_into_it() -> None:
    with Terminal(["sh", "-c", f"exec {' '.join(GPU_TUI)} --demo 2>/dev/null"]) as terminal:
        assert terminal.quit_code(20) == 0
        terminal.read(0.2)
        assert b"Feasible: 0.4940" in terminal.raw
