"""A machine with what its running vLLM tells of itself: what a recording keeps, so that a replay can judge a start."""

from __future__ import annotations

from dataclasses import replace

from gpu_tui.clock import Clock
from gpu_tui.config import Settings
from gpu_tui.core.books import Books, keep_books
from gpu_tui.core.choice import ALL
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.ports import TelemetrySource
from gpu_tui.wiring.machine import classifier
from gpu_tui.wiring.prober import Prober


class Observed:
    """A `TelemetrySource` around a live one: `Snapshot.start` holds what files, log and metrics tell, once they do.

    Nothing is asked where several instances could restart and none was chosen: the recording could not say whose
    model it holds.

    Args:
        source: the machine.
        settings: which GPU and instance.
        clock: the time.
        prober: asks; None: this machine's files and servers.
    """

    def __init__(
        self, source: TelemetrySource, settings: Settings, clock: Clock, *, prober: Prober | None = None
    ) -> None:
        self._source, self._settings = source, settings
        self._rules = classifier(settings)
        self._prober = prober or Prober(clock)

    def read(self) -> Snapshot:
        """The machine now; raises as its source does."""
        snapshot = self._source.read()
        books = self._restarting(snapshot) if snapshot.here else None
        start = self._prober.known(snapshot, books) if books is not None else None
        return snapshot if start is None else replace(snapshot, start=start)

    def close(self) -> None:
        """End asking, and close the source."""
        self._prober.close()
        self._source.close()

    def _restarting(self, snapshot: Snapshot) -> Books | None:
        wanted = self._settings.gpu
        gpus = [gpu for gpu in snapshot.gpus if wanted in (None, ALL, gpu.label, gpu.uuid)]
        found = [keep_books(snapshot, gpu, self._rules, self._settings.restarts) for gpu in gpus]
        chosen = [books for books in found if books.chosen is not None]
        owners = {books.chosen.owner_pid for books in chosen if books.chosen is not None}
        return chosen[0] if len(owners) == 1 and not any(books.ambiguous for books in chosen) else None
