"""Signals in the midst of drawing, of a run, of a dialog; output that nobody reads; leaving while the driver hangs."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest

from tests.standin import HANG, Device, StandIn, State
from tests.tui.terminal import GPU_TUI, Terminal

DEMO = (*GPU_TUI, "--demo", "--interval", "0.1")
LEFT = b"\x1b[?1049l"
"""Textual's last word: the terminal's own screen is back."""


def begin(terminal: Terminal, doing: str) -> None:
    terminal.wait_for("VALID")
    if doing == "drawing":
        terminal.press("\x1b[C" * 40)
    elif doing == "a dialog":
        terminal.press("e")
        terminal.read(0.5)
    elif doing == "a run":
        terminal.press("r")
        terminal.wait_until(lambda: bool(children(terminal)), 20, "the measuring child")


def children(terminal: Terminal) -> list[psutil.Process]:
    return psutil.Process(terminal.process.pid).children(recursive=True)


@pytest.mark.parametrize("doing", ["drawing", "a dialog", "a run"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT], ids=lambda n: n.name)
def test_a_signal_ends_it_and_gives_the_terminal_back(number: signal.Signals, doing: str) -> None:
    with Terminal(DEMO) as terminal:
        begin(terminal, doing)
        started = children(terminal)
        os.kill(terminal.process.pid, number)
        code = terminal.quit_code(15)
        terminal.read(0.3)
        assert code in (0, 130), code
        assert LEFT in terminal.raw
        assert b"Traceback" not in terminal.raw
        assert psutil.wait_procs(started, timeout=10)[1] == []


@pytest.mark.parametrize("doing", ["drawing", "a dialog", "a run"])
def test_stopped_and_going_on_it_draws_again(doing: str) -> None:
    with Terminal(DEMO) as terminal:
        begin(terminal, doing)
        os.kill(terminal.process.pid, signal.SIGTSTP)
        terminal.read(1.0)
        os.kill(terminal.process.pid, signal.SIGCONT)
        terminal.read(1.0)
        terminal.press("\x1b")
        terminal.read(0.5)
        terminal.resize(100, 30)
        terminal.wait_for("kloros", "live")
        terminal.press("\x11")
        assert terminal.quit_code(15) == 0


@pytest.mark.slow
def test_output_that_nobody_reads_costs_no_memory_and_comes_back() -> None:
    with Terminal(DEMO) as terminal:
        terminal.wait_for("VALID")
        process = psutil.Process(terminal.process.pid)
        for _ in range(50):  # frames until the terminal takes no more
            terminal.press("\x1b[C\x1b[D")
            time.sleep(0.05)
        before = process.memory_info().rss
        time.sleep(20)
        grown = process.memory_info().rss - before
        assert grown < 3 * 2**20, f"{grown / 2**20:.1f} MiB"
        terminal.read(2.0)
        terminal.press("e")
        terminal.read(1.0)
        terminal.press("\x11")
        assert terminal.quit_code(15) == 0


@pytest.mark.parametrize("number", [None, signal.SIGTERM, signal.SIGHUP], ids=["q", "SIGTERM", "SIGHUP"])
def test_leaving_does_not_wait_for_a_driver_that_hangs(standin: StandIn, number: signal.Signals | None) -> None:
    with Terminal([*GPU_TUI, "--interval", "0.2"], env=standin.env()) as terminal:
        terminal.wait_for("RTX 3060")
        standin.write(State(devices=[Device()], calls={"nvmlDeviceGetMemoryInfo_v2": HANG}))
        terminal.wait_for("STALE", timeout_s=20)
        begun = time.monotonic()
        if number is None:
            terminal.press("q")
        else:
            os.kill(terminal.process.pid, number)
        assert terminal.quit_code(10) == 0
        assert time.monotonic() - begun < 5
        assert LEFT in terminal.raw
