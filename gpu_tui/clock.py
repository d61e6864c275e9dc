"""The one place that may ask the time, so that demo, replay and tests can drive it."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """Time as the product sees it."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back. For durations and ages."""
        ...

    def wall(self) -> float:
        """Seconds since the Unix epoch. For stamps shown to people."""
        ...

    def wait(self, seconds: float, wake: threading.Event) -> bool:
        """Wait for at most `seconds`, or until `wake` is set; True when it was set."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def monotonic(self) -> float:
        """`time.monotonic`."""
        return time.monotonic()

    def wall(self) -> float:
        """`time.time`."""
        return time.time()

    def wait(self, seconds: float, wake: threading.Event) -> bool:
        """Block the calling thread."""
        return wake.wait(max(0.0, seconds))


class ManualClock:
    """A clock that stands still until told to `advance`; both readings move together."""

    def __init__(self, monotonic: float = 0.0, wall: float = 1_767_225_600.0) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._moved = threading.Condition()

    def monotonic(self) -> float:
        """Seconds advanced so far, from the start value."""
        return self._monotonic

    def wall(self) -> float:
        """The start value (2026-01-01T00:00:00Z unless told otherwise) plus the seconds advanced."""
        return self._wall

    def advance(self, seconds: float) -> None:
        """Move time on and let waiters see it."""
        with self._moved:
            self._monotonic += seconds
            self._wall += seconds
            self._moved.notify_all()

    def wait(self, seconds: float, wake: threading.Event) -> bool:
        """Return once `advance` has passed `seconds`, or `wake` is set."""
        deadline = self._monotonic + seconds
        with self._moved:
            while self._monotonic < deadline and not wake.is_set():
                self._moved.wait(0.01)
        return wake.is_set()
