"""Reads a source again and again into a recording. A driver that hangs is an observation too."""

from __future__ import annotations

import threading
from collections.abc import Callable

from gpu_tui.clock import Clock
from gpu_tui.core.snapshot import FaultKind
from gpu_tui.errors import SourceUnavailable
from gpu_tui.ports import TelemetrySource
from gpu_tui.telemetry.poller import Poller, Reading
from gpu_tui.telemetry.recording.writer import RecordingFailed, RecordingWriter

HANGING_S = 8.0
"""A call in flight for so long is recorded as a fault; the explorer tells it after as long."""


class Recorder:
    """One recording, from `run` to its end.

    Args:
        source: what is read; closed at the end.
        writer: where it goes.
        clock: the time.
        interval_s: seconds between readings.
        on_fault: takes a sentence when the machine cannot be read, and when it can again.
    """

    def __init__(
        self,
        source: TelemetrySource,
        writer: RecordingWriter,
        clock: Clock,
        *,
        interval_s: float,
        on_fault: Callable[[str], None],
    ) -> None:
        self._writer, self._clock, self._on_fault = writer, clock, on_fault
        self._poller = Poller(source, self._take, interval_s=interval_s, clock=clock)
        self._fault: str | None = None
        self._failure: RecordingFailed | None = None
        self._ended = threading.Event()
        self.seen = False
        """Whether anything could be read."""

    def run(self, ended: threading.Event, duration_s: float | None, check_s: float) -> RecordingFailed | None:
        """Record until `ended` is set or `duration_s` has passed; what ended it before that.

        Args:
            ended: set by a signal.
            duration_s: None: without an end.
            check_s: how often is looked whether the driver hangs.
        """
        self._ended = ended
        begun = self._clock.monotonic()
        self._poller.start()
        while not ended.is_set():
            left = check_s if duration_s is None else min(check_s, begun + duration_s - self._clock.monotonic())
            if left <= 0:
                break
            self._clock.wait(left, ended)
            self._look_for_a_hang()
        self._poller.close()
        try:
            self._writer.close()
        except RecordingFailed as failure:
            self._failure = self._failure or failure
        return self._failure

    def _take(self, reading: Reading) -> None:
        try:
            if reading.snapshot is not None:
                self.seen = True
                self._writer.snapshot(reading.snapshot)
                self._tell(None)
            elif reading.error is not None:
                self._unreadable(reading.error)
        except RecordingFailed as failure:
            self._failure = failure
            self._ended.set()

    def _look_for_a_hang(self) -> None:
        stalled = self._poller.stalled_for(self._clock.monotonic())
        if stalled >= HANGING_S and self._fault != FaultKind.TIMEOUT.value:
            self._take_hang()

    def _take_hang(self) -> None:
        words = f"The NVIDIA driver has not answered for {HANGING_S:.0f} s."
        error = SourceUnavailable(words, "Look for Xid lines in dmesg.", kind=FaultKind.TIMEOUT.value)
        try:
            self._unreadable(error)
        except RecordingFailed as failure:
            self._failure = failure
            self._ended.set()

    def _unreadable(self, error: SourceUnavailable) -> None:
        self._writer.error(error, self._clock.wall(), self._clock.monotonic())
        self._tell(error)

    def _tell(self, error: SourceUnavailable | None) -> None:
        kind = None if error is None else error.kind
        if kind != self._fault:
            self._fault = kind
            self._on_fault("The machine can be read again." if error is None else str(error))
