"""What crosses from the telemetry thread to the UI: one reading at a time, and word that it is there."""

from __future__ import annotations

import threading

from textual.message import Message

from gpu_tui.telemetry.poller import Reading


class MachineRead(Message):
    """A reading waits in the letterbox."""


class Letterbox:
    """Holds the newest reading that the UI has not taken yet; an older one is replaced, and counted.

    A terminal whose output is not read (a stopped tmux, a stuck connection) holds the UI up for as long as it likes:
    messages that carried the readings would pile up all the while.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: tuple[Reading, int] | None = None
        self.put_in = 0
        """Readings so far; always ``taken + replaced``, and one more while one waits."""
        self.taken = 0
        self.replaced = 0

    def put(self, reading: Reading, generation: int) -> bool:
        """Leave a reading of the source of this generation; whether the UI must be told, having nothing to take yet."""
        with self._lock:
            new = self._waiting is None
            self._waiting = (reading, generation)
            self.put_in += 1
            self.replaced += not new
            return new

    def take(self) -> tuple[Reading, int] | None:
        """The reading that waits, with the generation of its source; None when there is none."""
        with self._lock:
            waiting, self._waiting = self._waiting, None
            self.taken += waiting is not None
            return waiting
