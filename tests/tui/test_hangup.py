"""A terminal that goes away takes the explorer with it, whatever it was doing."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import time

import pytest


def ended_in(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return True
        time.sleep(0.05)
    return False


def read_for(master: int, seconds: float) -> bytes:
    seen, deadline = b"", time.monotonic() + seconds
    while time.monotonic() < deadline and b"kloros" not in seen:
        if select.select([master], [], [], 0.1)[0]:
            seen += os.read(master, 65536)
    return seen


@pytest.mark.parametrize("idle_s", [0.0, 4.0], ids=["while it is read", "while its output is stuck"])
def test_the_explorer_leaves_when_its_terminal_does(idle_s: float) -> None:
    pid, master = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS="120", LINES="40")
        os.execv(sys.executable, [sys.executable, "-m", "gpu_tui", "--demo", "--interval", "0.1"])
    try:
        assert b"kloros" in read_for(master, 30)
        if idle_s:
            for _ in range(200):
                os.write(master, b"\x1b[C\x1b[D")  # frames that nobody reads
                time.sleep(idle_s / 200)
        os.close(master)
        assert ended_in(pid, 10)
        pid = 0
    finally:
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
