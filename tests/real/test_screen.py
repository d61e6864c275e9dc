"""The explorer over real services, as a person sees it: a terminal, the run button, the figures."""

from __future__ import annotations

import re

import pytest

from tests.real.conftest import Machine
from tests.tui.terminal import GPU_TUI, Terminal

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

LOAD = {"GPU_TUI_MEASURE_REQUESTS": "4", "GPU_TUI_MEASURE_WARMUP": "1", "GPU_TUI_MEASURE_OUTPUT_TOKENS": "16"}


def test_a_run_of_real_services_ends_in_figures_and_a_plot(machine: Machine) -> None:
    # Some rows more than usual: a busy machine adds a warning to the figures, which may take the small plot's place.
    with Terminal(GPU_TUI, env=machine.env | LOAD, size=(120, 50)) as terminal:
        terminal.wait_for("✓ VALID", "judge", str(machine.vllm.worker), "0.500", timeout_s=30)
        terminal.press("r")
        terminal.wait_for("Measure these services?", machine.vllm.url, machine.whisper.url, timeout_s=60)
        assert "4 streamed chat completions" in terminal.text
        terminal.press("y")
        shown = terminal.wait_for("ms by request", "TTFT", "STT latency", "the server runs at 0.500", timeout_s=180)
        assert "┤" in shown
        assert re.search(r"n=4\b", shown)
        assert "SIMULATED" not in shown
        terminal.press("b")
        terminal.wait_for("┤", "esc closes", timeout_s=20)
        terminal.press("\x1b")
        terminal.wait_for("✓ VALID", without=["esc closes"])
        terminal.press("q")
        assert terminal.quit_code(10) == 0


def test_escape_ends_a_run_of_real_services(machine: Machine) -> None:
    many = LOAD | {"GPU_TUI_MEASURE_REQUESTS": "200"}
    with Terminal(GPU_TUI, env=machine.env | many, size=(80, 24)) as terminal:
        terminal.wait_for("VALID", timeout_s=30)
        terminal.press("r")
        terminal.wait_for("Measure these services?", timeout_s=60)
        terminal.press("y")
        terminal.wait_until(lambda: machine.vllm.metric("vllm:num_requests_running") == 1, 60, "a request at vLLM")
        terminal.press("\x1b")
        terminal.wait_for("e explain", timeout_s=15)  # the footer has its hints back in the place of the progress
        terminal.wait_until(lambda: machine.vllm.connections() == [], 15, "all connections closed")
        terminal.press("q")
        assert terminal.quit_code(10) == 0
