"""Hands alerts to those who carry them on. Whoever raises one never waits: queues are bounded, the rest is counted."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

MOST_WAITING = 64
"""Messages that wait for one carrier. Ours to choose: more than any rules raise at once."""


class CarrierError(Exception):
    """A message was not delivered; the words say why, without any secret."""


class Carrier(Protocol):
    """Takes a message somewhere."""

    name: str
    """For people: ``webhook https://example.org``; no secret in it."""

    def carry(self, message: bytes) -> None:
        """Deliver one message; blocks for as long as the carrier's own limit.

        Raises:
            CarrierError: it was not delivered.
        """
        ...


@dataclass(slots=True)
class Tally:
    """What became of the messages for one carrier."""

    sent: int = 0
    failed: int = 0
    dropped: int = 0
    trouble: str = ""
    """Why the last one was not delivered; empty when it was."""


class _Line:
    """One carrier, its queue and its thread."""

    def __init__(self, carrier: Carrier, tell: Callable[[str], None], most: int) -> None:
        self.carrier = carrier
        self.tally = Tally()
        self._tell = tell
        self._queue: queue.Queue[bytes | None] = queue.Queue(maxsize=most)
        self._closed = False
        self.thread = threading.Thread(target=self._run, name=f"gpu-tui-{carrier.name[:20]}", daemon=True)
        self.thread.start()

    def put(self, message: bytes | None) -> None:
        try:
            self._queue.put_nowait(message)
        except queue.Full:
            if message is not None:
                self.tally.dropped += 1
                if self.tally.dropped == 1:
                    self._tell(f"{self.carrier.name} is too slow: alerts are dropped.")

    def close(self) -> None:
        """The thread ends once it has sent what waits, or at once if the queue is full."""
        self._closed = self._queue.full()
        self.put(None)

    def _run(self) -> None:
        while not self._closed:
            message = self._queue.get()
            if message is None:
                return
            self._carry(message)

    def _carry(self, message: bytes) -> None:
        try:
            self.carrier.carry(message)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next alert must still go out
            known = str(error) if isinstance(error, CarrierError) else type(error).__name__
            self.tally.failed += 1
            if known != self.tally.trouble:
                self._tell(f"{self.carrier.name} has not taken an alert: {known}.")
            self.tally.trouble = known
        else:
            self.tally.sent += 1
            self.tally.trouble = ""


class Outbox:
    """Everyone who carries alerts on.

    Args:
        carriers: each gets every message, in order.
        tell: called with a sentence when a carrier begins to fail, fails otherwise, or is too slow; on its thread.
        most: messages that wait for one carrier.
    """

    def __init__(self, carriers: Sequence[Carrier], tell: Callable[[str], None], most: int = MOST_WAITING) -> None:
        self._lines = [_Line(carrier, tell, most) for carrier in carriers]

    def put(self, message: bytes) -> None:
        """Hand a message to every carrier; returns at once."""
        for line in self._lines:
            line.put(message)

    @property
    def tallies(self) -> dict[str, Tally]:
        """What became of the messages, by the carriers' names."""
        return {line.carrier.name: line.tally for line in self._lines}

    def close(self, patience_s: float = 0.0) -> None:
        """No more messages.

        Args:
            patience_s: how long what waits may still take; what does not end is left behind.
        """
        for line in self._lines:
            line.close()
        for line in self._lines:
            line.thread.join(patience_s / max(1, len(self._lines)))
