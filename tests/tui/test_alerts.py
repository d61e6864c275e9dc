"""Alerts on the screen: toast, bell, line, header, list; nothing of it without rules."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList, Static

from gpu_tui import wiring
from gpu_tui.clock import ManualClock
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.tui.app import GpuTuiApp
from gpu_tui.tui.screens.alerts import AlertsScreen
from gpu_tui.tui.widgets.alerts import AlertLine
from gpu_tui.tui.widgets.header import Header
from gpu_tui.view.spans import plain
from tests.factories import KLOROS_HOLDS, kloros
from tests.tui.harness import make_app

RULES = """
[[alerts]]
name = "ollama large"
when = "memory_above"
service = "ollama"
above_mib = 3000
latch = true
[[alerts]]
name = "nearly full"
when = "memory_above"
above_mib = 11500
"""


class Machine:
    """The known machine with a tenant that grows when it is told to."""

    def __init__(self, tmp_path: Path, text: str, **options: bool) -> None:
        file = tmp_path / "config.toml"
        file.write_text(text)
        self.mib = 1068.0
        self.clock = ManualClock()
        self.rung = 0
        self.app = make_app(self.seen, clock=self.clock, options=wiring.Options(config=file, scenario="kloros"))
        self.app.bell = self.ring  # type: ignore[method-assign]

    def ring(self) -> None:
        self.rung += 1

    def seen(self) -> Snapshot:
        return kloros(holds=KLOROS_HOLDS | {2387058: self.mib})

    async def becomes(self, mib: float, pilot: Pilot[None]) -> None:
        self.mib = mib
        put_in = self.app.letterbox.put_in
        self.clock.advance(1.1)
        for _ in range(300):
            await pilot.pause(0.02)
            if self.app.letterbox.put_in > put_in and self.app.letterbox._waiting is None:
                break
        await pilot.pause(0.05)


def header(app: GpuTuiApp) -> str:
    return "".join(plain(line) for line in app.main.query_one(Header).draw(120, 1))


async def begun(machine: Machine, pilot: Pilot[None]) -> None:
    for _ in range(300):
        await pilot.pause(0.02)
        if machine.app.explorer.snapshot is not None:
            return
    raise AssertionError("nothing was read")


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
async def test_an_alert_is_told_everywhere_and_acknowledged(tmp_path: Path, size: tuple[int, int]) -> None:
    machine = Machine(tmp_path, RULES)
    app = machine.app
    async with app.run_test(size=size) as pilot:
        await begun(machine, pilot)
        line = app.main.query_one(AlertLine)
        assert (line.display, machine.rung, "ALERT" in header(app)) == (False, 0, False)
        await machine.becomes(3500, pilot)
        assert machine.rung == 1
        assert [toast.message for toast in app._notifications] == [
            "ollama large: ollama holds 3500 MiB, above 3000 MiB (GPU 0)."
        ]
        assert "! 1 ALERT (A)" in header(app)
        assert line.display is (size[1] >= 30), "a small terminal has no row to spare"
        assert "ollama holds 3500 MiB" in plain(line.draw(120, 1)[0])
        await machine.becomes(3600, pilot)
        assert machine.rung == 1, "it was told"
        await pilot.press("A")
        await pilot.pause(0.1)
        assert isinstance(app.screen, AlertsScreen)
        assert app.screen.query_one(OptionList).option_count == 1
        await pilot.press("enter")
        await pilot.pause(0.1)
        assert "1 alert seen (A)" in header(app)
        assert not line.display
        await machine.becomes(1068, pilot)
        assert app.screen.query_one(OptionList).option_count == 0
        below = str(app.screen.query_one("#alert-past", Static).render())
        assert "No alert stands." in below
        assert "✓ cleared" in below
        await pilot.press("escape")
        assert app.screen is app.main


async def test_a_latched_alert_waits_for_a_person(tmp_path: Path) -> None:
    machine = Machine(tmp_path, RULES)
    async with machine.app.run_test(size=(120, 40)) as pilot:
        await begun(machine, pilot)
        await machine.becomes(3500, pilot)
        await machine.becomes(1068, pilot)
        assert "! 1 ALERT (A)" in header(machine.app)
        await pilot.press("A", "a")
        await pilot.pause(0.1)
        assert "alert" not in header(machine.app).lower()


async def test_no_bell_when_it_is_switched_off(tmp_path: Path) -> None:
    machine = Machine(tmp_path, f"[alerting]\nbell = false\n{RULES}")
    async with machine.app.run_test(size=(120, 40)) as pilot:
        await begun(machine, pilot)
        await machine.becomes(3500, pilot)
        assert "! 1 ALERT (A)" in header(machine.app)
        assert machine.rung == 0


async def test_without_rules_the_list_says_how_to_write_one(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "")
    async with machine.app.run_test(size=(80, 24)) as pilot:
        await begun(machine, pilot)
        await machine.becomes(3500, pilot)
        assert machine.app.alarms._watch is None, "nothing of it runs"
        await pilot.press("A")
        await pilot.pause(0.1)
        below = str(machine.app.screen.query_one("#alert-past", Static).render())
        assert "No alert rules are configured." in below
        assert "[[alerts]]" in below


async def test_a_simulated_machine_sends_nothing(tmp_path: Path) -> None:
    log = tmp_path / "alerts.log"
    machine = Machine(tmp_path, f'[alerting]\nlog = "{log}"\n{RULES}')
    async with machine.app.run_test(size=(120, 40)) as pilot:
        await begun(machine, pilot)
        await machine.becomes(3500, pilot)
        assert machine.app.alarms.shown
    assert not log.exists()
