"""Recording from within the explorer: every reading goes into the file, shown or not."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gpu_tui.clock import Clock
from gpu_tui.errors import GpuTuiError
from gpu_tui.telemetry.poller import Reading
from gpu_tui.tui.widgets.header import Liveness
from gpu_tui.view.text import clean

if TYPE_CHECKING:
    from gpu_tui.core.start_inputs import StartInputs
    from gpu_tui.telemetry.recording.writer import Progress, RecordingWriter
    from gpu_tui.tui.app import GpuTuiApp


class Recorder:
    """At most one recording. `see` is called on the telemetry thread, the rest on the UI's."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._writer: RecordingWriter | None = None
        self.failure: GpuTuiError | None = None
        """What ended a recording unasked; None once it was told."""

    @property
    def progress(self) -> Progress | None:
        """How it stands; None where nothing is recorded."""
        writer = self._writer
        return None if writer is None else writer.progress

    def start(self, path: Path, interval_s: float) -> list[str]:
        """Begin; what was found in a file that was there.

        Raises:
            GpuTuiError: it cannot be recorded into.
        """
        from gpu_tui.wiring.replaying import open_recorder

        notes: list[str] = []
        writer = open_recorder(path, self._clock, interval_s=interval_s, note=notes.append)
        with self._lock:
            self._writer = writer
        return notes

    def see(self, reading: Reading, known: StartInputs | None = None) -> None:
        """Record a reading with what is known of the running server's start, where a recording is under way."""
        with self._lock:
            writer = self._writer
            if writer is None:
                return
            try:
                if reading.snapshot is not None:
                    seen = reading.snapshot
                    writer.snapshot(seen if known is None or not seen.here else replace(seen, start=known))
                elif reading.error is not None:
                    writer.error(reading.error, self._clock.wall(), reading.finished)
            except GpuTuiError as error:
                self._writer, self.failure = None, error

    def told(self, state: Liveness, app: GpuTuiApp) -> Liveness:
        """The header's words with whether it records; tells once what ended a recording unasked."""
        failure, self.failure = self.failure, None
        if failure is not None:
            app.notify(str(failure), severity="error", timeout=20)
        return state if self._writer is None else Liveness(words=f"● REC  {state.words}", tone=state.tone)

    def end(self, app: GpuTuiApp) -> None:
        """End the recording under way, if there is one, and tell of it."""
        try:
            progress = self.stop()
        except GpuTuiError as error:
            app.notify(str(error), severity="error", timeout=20)
            return
        if progress is not None:
            count = f"{progress.observations} observation{'' if progress.observations == 1 else 's'}"
            app.notify(f"Recorded {count}. Replay: gpu-tui --replay {clean(str(progress.path))}", timeout=10)

    def close(self) -> None:
        """End it on leaving, when nothing can be shown any more."""
        with contextlib.suppress(GpuTuiError):  # what was recorded can be read all the same
            self.stop()

    def stop(self) -> Progress | None:
        """End the recording; how it ended, None where there was none.

        Raises:
            GpuTuiError: its last bytes could not be written.
        """
        with self._lock:
            writer, self._writer = self._writer, None
        if writer is None:
            return None
        writer.close()
        return writer.progress
