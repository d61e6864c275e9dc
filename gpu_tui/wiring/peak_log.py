"""The peaks of a machine that is watched day and night, kept where `check` and the explorer find them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from gpu_tui.clock import Clock
from gpu_tui.config import Settings
from gpu_tui.core.peaks import Peaks
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.errors import GpuTuiError
from gpu_tui.wiring.machine import classifier
from gpu_tui.wiring.peaks import keep_peaks
from gpu_tui.wiring.recorded_peaks import Walk

KEEP_EVERY_S = 60.0
"""How often they are written down, as the explorer does."""


class PeakLog:
    """Takes readings from one thread and writes on another: a disk that hangs costs no reading.

    Args:
        settings: where peaks are kept, and the services.
        clock: the time.
        tell: takes a sentence when they cannot be kept, once until they are again.
    """

    def __init__(self, settings: Settings, clock: Clock, tell: Callable[[str], None]) -> None:
        self._clock, self._tell = clock, tell
        self._kept_at = clock.monotonic()
        self._writing: threading.Thread | None = None
        self._failing = False
        self.reload(settings)

    def reload(self, settings: Settings) -> None:
        """Other settings from the next reading on; what was seen by the old rules is not mixed with the new."""
        self._settings, self._rules = settings, classifier(settings)
        self._walks: dict[str, Walk] = {}

    def see(self, snapshot: Snapshot) -> None:
        """One reading; of a simulated or recorded machine nothing is kept."""
        if not snapshot.here:
            return
        walks = self._walks
        for gpu in snapshot.gpus:
            walks.setdefault(gpu.key, Walk(self._rules, self._settings.restarts)).see(snapshot, gpu)
        now = self._clock.monotonic()
        if now - self._kept_at >= KEEP_EVERY_S and (self._writing is None or not self._writing.is_alive()):
            self._kept_at = now
            self._write(self._peaks())

    def close(self, patience_s: float) -> None:
        """Write a last time; waits so long at most."""
        if self._writing is not None:
            self._writing.join(patience_s)
        if self._walks and (self._writing is None or not self._writing.is_alive()):
            self._write(self._peaks()).join(patience_s)

    def _peaks(self) -> dict[str, Peaks]:
        return {key: walk.keeper().peaks() for key, walk in self._walks.items()}

    def _write(self, peaks: Mapping[str, Peaks]) -> threading.Thread:
        settings = self._settings

        def keep() -> None:
            try:
                keep_peaks(settings, peaks)
            except GpuTuiError as error:
                if not self._failing:
                    self._tell(f"{error.message} {error.remedy}".rstrip())
                self._failing = True
            else:
                self._failing = False

        self._writing = threading.Thread(target=keep, name="gpu-tui-peaks", daemon=True)
        self._writing.start()
        return self._writing
