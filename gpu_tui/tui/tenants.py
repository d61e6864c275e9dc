"""Remembers how much the services held, and looks now and then at what ollama has loaded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from gpu_tui.clock import Clock
from gpu_tui.config import Settings
from gpu_tui.core.books import Books
from gpu_tui.core.peaks import PeakKeeper, Peaks, series_of
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.errors import GpuTuiError
from gpu_tui.tui.background import aside
from gpu_tui.view.explorer import Explorer
from gpu_tui.wiring.peaks import keep_peaks, known_peaks
from gpu_tui.wiring.residents import Residents, all_residents

ASK_EVERY_S = 30.0
"""How often ollama is asked."""
KEEP_EVERY_S = 60.0
"""How often the peaks are written down."""
MOST_MEANWHILE = 512
"""Readings that are remembered while a recording is looked back into."""

Past = Callable[[str, Callable[[], bool]], dict[str, PeakKeeper]]
"""What a recording tells of a GPU, by its key, up to where it stands; gives up when the second answers True."""


class TenantsHost(Protocol):
    """What is needed of the app."""

    def run_worker(self, work: Coroutine[Any, Any, None], *, group: str, exclusive: bool) -> object:
        """Run it beside the screen."""
        ...

    def notify(self, message: str, *, severity: Any, timeout: float | None) -> None:
        """Tell it in passing."""
        ...

    def show_plan(self) -> None:
        """Redraw what depends on the peaks."""
        ...


class Tenants:
    """One for the app; forgotten when it turns to another machine."""

    def __init__(self, explorer: Explorer, settings: Settings, clock: Clock, host: TenantsHost) -> None:
        self._explorer, self._settings, self._clock, self._host = explorer, settings, clock, host
        self._keepers: dict[str, PeakKeeper] = {}
        self._before: dict[str, Peaks] | None = None
        self._asked_at = self._kept_at = clock.monotonic()
        self._asked = False
        self._told = False
        self._past: Past | None = None
        self._leaps = 0
        self._looking = False
        self._meanwhile: deque[tuple[float, dict[str, Books]]] = deque(maxlen=MOST_MEANWHILE)
        self.residents: dict[str, Residents] = {}
        """What ollama has loaded, by service, on the GPU on show."""

    def forget(self) -> None:
        """Another machine."""
        self._keepers.clear()
        self._past, self._leaps, self._looking = None, self._leaps + 1, False
        self._before, self._asked, self.residents = None, False, {}

    def leap(self, past: Past) -> None:
        """A recording stands elsewhere now: what came later is no longer known, and what came before is."""
        self._past, self._leaps = past, self._leaps + 1

    def see(self, snapshot: Snapshot, books: dict[str, Books]) -> None:
        """Take in a reading: the books of every GPU, by its key."""
        if self._before is None:
            self._before = self._known(snapshot)
        if self._past is not None and self._explorer.gpu is not None:
            self._keepers.clear()
            self._meanwhile.clear()
            self._looking = True
            work = self._look_back(self._past, self._explorer.gpu.key, self._leaps)
            self._host.run_worker(work, group="past", exclusive=True)
            self._past = None
        if self._looking:
            self._meanwhile.append((snapshot.taken_at, books))
        for key, one in books.items():
            keeper = self._keepers.get(key)
            if keeper is None:
                keeper = self._keepers[key] = PeakKeeper(self._before.get(key))
            keeper.add(snapshot.taken_at, one)
        self._show()
        if not snapshot.here:
            return
        now = self._clock.monotonic()
        if not self._asked or now - self._asked_at >= ASK_EVERY_S:
            self._asked, self._asked_at = True, now
            self._host.run_worker(self._ask(snapshot), group="residents", exclusive=True)
        if now - self._kept_at >= KEEP_EVERY_S:
            self._kept_at = now
            self._host.run_worker(self._keep(self._all()), group="peaks", exclusive=True)

    def peaks(self, key: str) -> Peaks:
        """Of one GPU."""
        keeper = self._keepers.get(key)
        return Peaks() if keeper is None else keeper.peaks()

    def close(self) -> None:
        """Write the peaks down a last time; what cannot be written was told before."""
        snapshot = self._explorer.snapshot
        if snapshot is not None and snapshot.here:
            try:
                keep_peaks(self._settings, self._all())
            except GpuTuiError:
                return

    async def _look_back(self, past: Past, key: str, leap: int) -> None:
        try:
            found = await aside(lambda: past(key, lambda: leap != self._leaps))
        except GpuTuiError as error:
            if leap == self._leaps:  # else the recording was left and closed
                self._tell(error)
            return
        if leap != self._leaps:
            return
        self._looking = False
        for each, keeper in found.items():
            until = keeper.peaks().until or 0.0
            for at, books in self._meanwhile:
                if at > until and each in books:
                    keeper.add(at, books[each])
            self._keepers[each] = keeper
        self._meanwhile.clear()
        self._show()
        self._host.show_plan()

    def _all(self) -> dict[str, Peaks]:
        return {key: keeper.peaks() for key, keeper in self._keepers.items()}

    def _show(self) -> None:
        gpu = self._explorer.gpu
        if gpu is not None:
            self._explorer.set_peaks(self.peaks(gpu.key))

    def _known(self, snapshot: Snapshot) -> dict[str, Peaks]:
        try:
            return known_peaks(self._settings, snapshot)
        except GpuTuiError as error:
            self._tell(error)
            return {}

    async def _keep(self, peaks: dict[str, Peaks]) -> None:
        try:
            await aside(lambda: keep_peaks(self._settings, peaks))
        except GpuTuiError as error:
            self._tell(error)

    async def _ask(self, snapshot: Snapshot) -> None:
        books, gpu = self._explorer.books(), self._explorer.gpu
        if books is None or gpu is None:
            return
        found = await aside(lambda: all_residents(books, snapshot))
        self.residents = found
        keeper = self._keepers.get(gpu.key)
        for name, one in found.items():
            service, size = books.service(name), one.vram_bytes
            # Spread over several GPUs it says nothing of one of them.
            if keeper is not None and service is not None and size is not None and len(snapshot.gpus) == 1:
                keeper.report(series_of(service, books), size, snapshot.taken_at)
        self._show()
        self._host.show_plan()

    def _tell(self, error: GpuTuiError) -> None:
        if not self._told:
            self._told = True
            self._host.notify(str(error), severity="warning", timeout=10)
