"""Signals that end the explorer, whatever it is doing."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

CODES = {signal.SIGTERM: 0, signal.SIGHUP: 0, signal.SIGQUIT: 0, signal.SIGINT: 130}
"""Whoever ends us so wants the terminal back as it was, and no child left. Exit codes, as of leaving by key."""


def leave_on_signals(leave: Callable[[int], object], at_once: Callable[[], object]) -> None:
    """Take these signals, for as long as the running loop lives.

    Args:
        leave: called by the loop with an exit code, when it next gets to it.
        at_once: called where a signal interrupts the main thread, which may be waiting for the terminal.
    """
    loop = asyncio.get_running_loop()
    for number, code in CODES.items():
        loop.add_signal_handler(number, leave, code)
        # The loop is woken by its descriptor, not by the handler that it has set: this one replaces.
        signal.signal(number, lambda *_: at_once())
