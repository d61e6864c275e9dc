"""Messages that cross from the telemetry thread to the UI."""

from __future__ import annotations

from textual.message import Message

from gpu_tui.telemetry.poller import Reading


class MachineRead(Message):
    """One reading has finished. A newer one replaces it while it waits: only the latest is worth showing."""

    def __init__(self, reading: Reading, generation: int) -> None:
        super().__init__()
        self.reading = reading
        self.generation = generation
        """Which source it is from; one from a source that was left is dropped."""

    def can_replace(self, message: Message) -> bool:
        """Whether this may stand for a message that waits."""
        return isinstance(message, MachineRead)
