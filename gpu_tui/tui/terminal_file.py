"""A terminal that may go away or stand still: a closed window, a dropped connection, a stopped tmux.

Textual's writer thread ends at the first failed write and leaves the app blocked on its full queue for ever, while its
input thread spins. Here a failed write is swallowed, and the app is told once to leave. A terminal that takes nothing
holds the app up for as long as it likes, but not once the app is to leave.
"""

from __future__ import annotations

import os
import select
import termios
import threading
from collections.abc import Callable
from typing import Any, TextIO

from textual.drivers.linux_driver import LinuxDriver

from gpu_tui.clock import SystemClock

PATIENCE_S = 2.0
"""So long after the last byte that it took, a terminal is given up by an app that is leaving."""
LOOK_EVERY_S = 0.1
AGAIN_S = 0.002
"""A terminal may claim to have room and yet take nothing: not asked again sooner."""
LAST_WORDS = "\x18"
"""CAN, which ends an escape sequence that was cut off. It precedes what gives the terminal back, and is written only
where a frame was dropped."""


class LastingFile:
    """A text file that outlives its terminal: once a write has failed, all later ones do nothing.

    Where the file is a terminal it is written to without blocking, by a descriptor of its own: the shell shares the
    flags of ours.
    """

    def __init__(self, file: TextIO, on_gone: Callable[[], object]) -> None:
        """Write to `file`; call `on_gone` once, from the writing thread, when that fails."""
        self._file = file
        self._on_gone = on_gone
        self._gone = False
        self._own = _opened_anew(file)
        self._clock, self._never = SystemClock(), threading.Event()
        self.stay()

    def stay(self) -> None:
        """The app is there, for the first time or again."""
        self._leaving_at: float | None = None
        self._took_at = self._clock.monotonic()
        self._stuck = self._ending = self._hasty = False

    def leave(self) -> None:
        """The app is to leave; from any thread, from a signal's handler too."""
        if self._leaving_at is None:
            self._leaving_at = self._clock.monotonic()

    def write(self, text: str) -> int:
        """Write, or do nothing."""
        return self._tried(lambda: self._put(text))

    def flush(self) -> None:
        """Flush, or do nothing."""
        if self._own is None:
            self._tried(self._file.flush)

    def fileno(self) -> int:
        """Of the file itself."""
        return self._file.fileno()

    def isatty(self) -> bool:
        """Of the file itself."""
        return self._file.isatty()

    def close(self) -> None:
        """Close our descriptor; the file stays open."""
        if self._own is not None:
            os.close(self._own)
            self._own = None

    def _tried(self, action: Callable[[], int | None]) -> int:
        if not self._gone:
            try:
                return action() or 0
            except (OSError, ValueError):  # ValueError: closed under us
                self._gone = True
                self._on_gone()
        return 0

    def _put(self, text: str) -> int:
        if self._own is None:
            return 0 if text is LAST_WORDS else self._file.write(text)
        if text is LAST_WORDS:
            self._ending, text = True, ""
        self._push(self._own, text)
        if self._stuck and self._ending and not self._hasty:
            self._make_room(self._own)
            self._push(self._own, LAST_WORDS + text)
        return len(text)

    def _push(self, own: int, text: str) -> None:
        data = memoryview(text.encode(self._file.encoding or "utf-8", self._file.errors or "backslashreplace"))
        while data and not self._stuck:
            data = data[self._take(own, data) :]

    def _take(self, own: int, data: memoryview) -> int:
        try:
            taken = os.write(own, data)
        except BlockingIOError:
            self._wait(own)
            return 0
        self._took_at = self._clock.monotonic()
        return taken

    def _wait(self, own: int) -> None:
        if self._hasty:
            self._stuck = True
        elif select.select([], [own], [], LOOK_EVERY_S)[1]:
            self._clock.wait(AGAIN_S, self._never)
        if self._leaving_at is not None and self._clock.monotonic() - max(self._leaving_at, self._took_at) > PATIENCE_S:
            self._stuck = True

    def _make_room(self, own: int) -> None:
        """Drop what the terminal has not taken; what follows goes there at once, or nowhere."""
        self._stuck, self._hasty = False, True
        termios.tcflush(own, termios.TCOFLUSH)


def _opened_anew(file: TextIO) -> int | None:
    try:
        return os.open(os.ttyname(file.fileno()), os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, ValueError):
        return None  # no terminal, or another user's: it is written to as Textual does


class LastingDriver(LinuxDriver):
    """Textual's driver, which leaves when its terminal does, and whether or not that takes what is written."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As Textual makes it."""
        super().__init__(*args, **kwargs)
        self._lasting = LastingFile(self._file, self._terminal_gone)
        self._file: Any = self._lasting

    def leave(self) -> None:
        """The app is to leave; from any thread, from a signal's handler too."""
        self._lasting.leave()

    def start_application_mode(self) -> None:
        """Take the terminal."""
        self._lasting.stay()
        super().start_application_mode()  # type: ignore[no-untyped-call]

    def stop_application_mode(self) -> None:
        """Give the terminal back, with what it takes of our last words."""
        self.leave()
        self.write(LAST_WORDS)
        super().stop_application_mode()

    def _terminal_gone(self) -> None:
        self._loop.call_soon_threadsafe(self._app.exit)
