"""The latencies of the journal's last runs, looked at now and then beside the readings."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from gpu_tui.clock import Clock
from gpu_tui.config import Settings
from gpu_tui.errors import GpuTuiError

EVERY_S = 30.0
"""How often the journal is looked at. Ours to choose: a run takes longer."""
MOST_AGE_S = 86_400.0
"""Figures of an older run tell nothing of now. Ours to choose."""
MOST_RUNS = 50

_FIGURES = {"llm": "llm_e2e_p95_ms", "llm_ttft": "llm_ttft_p95_ms", "stt": "stt_p95_ms"}


class Latencies:
    """Call `now` at every reading; it answers at once, with what the last look told.

    Args:
        settings: which journal.
        clock: the time.
        look: reads the journal; None: the one of the settings.
    """

    def __init__(
        self, settings: Settings, clock: Clock, look: Callable[[Settings, float], Mapping[str, float]] | None = None
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._look = look or last_latencies
        self._told: Mapping[str, float] = {}
        self._due = float("-inf")
        self._busy = threading.Lock()

    def now(self) -> dict[str, float]:
        """p95 in ms by figure: ``llm``, ``llm_ttft``, ``stt``; without those of no recent run."""
        if self._clock.monotonic() >= self._due and self._busy.acquire(blocking=False):
            self._due = self._clock.monotonic() + EVERY_S
            threading.Thread(target=self._run, name="gpu-tui-latencies", daemon=True).start()
        return dict(self._told)

    def _run(self) -> None:
        try:
            self._told = self._look(self._settings, self._clock.wall())
        except GpuTuiError:
            self._told = {}  # a journal that cannot be read tells nothing; `gpu-tui history` says why
        finally:
            self._busy.release()


def last_latencies(settings: Settings, wall_s: float) -> dict[str, float]:
    """The newest figure of each kind from runs on this machine in the last day.

    Raises:
        GpuTuiError: the journal cannot be read.
    """
    from gpu_tui.wiring.recording import open_journal

    since = datetime.fromtimestamp(wall_s - MOST_AGE_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    with open_journal(settings) as journal:
        entries = journal.entries(limit=MOST_RUNS, since=since, simulated=False)
    told: dict[str, float] = {}
    for entry in entries:
        for figure, column in _FIGURES.items():
            value = entry.figures.get(column)
            if value is not None:
                told.setdefault(figure, value)
    return told
