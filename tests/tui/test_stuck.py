"""A terminal that takes nothing more, unread or stopped, keeps no signal from ending the explorer."""

from __future__ import annotations

import os
import signal
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest

from tests.tui.terminal import GPU_TUI, Terminal

DEMO = (*GPU_TUI, "--demo", "--interval", "0.1")
LEFT = b"\x1b[?1049l"
"""The terminal's own screen is back."""


@contextmanager
def its_terminal(terminal: Terminal) -> Iterator[int]:
    """The terminal as the program has it, written to without waiting."""
    own = os.open(f"/proc/{terminal.process.pid}/fd/2", os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        yield own
    finally:
        os.close(own)


def fill(own: int) -> None:
    """Until it takes no byte more, nor does so after a while: the kernel moves what it has taken on."""
    quiet = 0
    while quiet < 3:
        quiet += 1
        for size in (4096, 1):
            with suppress(BlockingIOError):
                while os.write(own, b"x" * size):
                    quiet = 0
        time.sleep(0.05)


def cooked(own: int) -> bool:
    return termios.tcgetattr(own)[3] & (termios.ICANON | termios.ECHO) == termios.ICANON | termios.ECHO


def stick(terminal: Terminal, own: int, how: str) -> None:
    if how == "nobody reads it":
        fill(own)
    else:
        termios.tcflow(own, termios.TCOOFF)
    terminal.press("\x1b[C\x1b[D" * 100)  # more frames than the queue of the writing thread has room for


@pytest.mark.parametrize(
    ("number", "how"),
    [
        (signal.SIGTERM, "nobody reads it"),
        (signal.SIGTERM, "its output is stopped"),
        (signal.SIGHUP, "nobody reads it"),
        (signal.SIGINT, "its output is stopped"),
    ],
)
def test_a_signal_ends_it_though_its_output_is_stuck(number: signal.Signals, how: str) -> None:
    with Terminal(DEMO) as terminal:
        terminal.wait_for("VALID")
        with its_terminal(terminal) as own:
            assert not cooked(own)
            stick(terminal, own, how)
            before = len(terminal.raw)
            os.kill(terminal.process.pid, number)
            assert terminal.process.wait(20) == (130 if number == signal.SIGINT else 0)
            assert cooked(own)
            terminal.read(0.5)
        written = terminal.raw[before:]
        assert b"Traceback" not in written
        if how == "nobody reads it":
            # What it had not taken was dropped, so that there was room for this.
            assert 0 <= written.find(LEFT) < written.find(b"\x1b[?25h")


def test_a_run_ends_with_it() -> None:
    with Terminal(DEMO) as terminal:
        terminal.wait_for("VALID")
        process = psutil.Process(terminal.process.pid)
        terminal.press("r")
        terminal.wait_until(lambda: bool(process.children(recursive=True)), 20, "the measuring child")
        started = process.children(recursive=True)
        with its_terminal(terminal) as own:
            stick(terminal, own, "nobody reads it")
            os.kill(terminal.process.pid, signal.SIGTERM)
            assert terminal.process.wait(20) == 0
        assert psutil.wait_procs(started, timeout=10)[1] == []


def test_what_was_stuck_goes_on_when_it_is_read_again() -> None:
    with Terminal(DEMO) as terminal:
        terminal.wait_for("VALID")
        with its_terminal(terminal) as own:
            stick(terminal, own, "nobody reads it")
        terminal.read(1.0)
        terminal.resize(100, 30)
        terminal.wait_for("kloros", "live")
        terminal.press("\x11")
        assert terminal.quit_code(15) == 0
        terminal.read(0.3)
        assert b"\x18" not in terminal.raw
        assert terminal.raw.rindex(LEFT) > len(terminal.raw) - 100
