"""What a snapshot changes: the explorer, histories, tenants' peaks, the plan; and once, where the plan begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gpu_tui import wiring
from gpu_tui.core.books import Books, keep_books
from gpu_tui.core.history import History
from gpu_tui.core.snapshot import Gpu, Snapshot
from gpu_tui.errors import GpuTuiError
from gpu_tui.tui.remembering import all_books, held

if TYPE_CHECKING:
    from gpu_tui.tui.app import GpuTuiApp


class Intake:
    """One for the app; it shows nothing. `prepare` is called on the telemetry thread, all else on the UI's."""

    def __init__(self, app: GpuTuiApp) -> None:
        self._app = app
        self._settled = False
        self._rules = wiring.classifier(app.settings)  # the telemetry thread's own: it remembers answers
        self._kept: tuple[Snapshot | None, Mapping[str, Books]] = (None, {})
        self.histories: dict[str, History] = {}
        """What was seen of each GPU, by its key."""

    def prepare(self, snapshot: Snapshot | None) -> None:
        """Keep the books of several GPUs, on the telemetry thread: a key must not wait for those not on show."""
        if snapshot is not None and len(snapshot.gpus) > 1 and snapshot is not self._kept[0]:
            self._kept = snapshot, {gpu.key: keep_books(snapshot, gpu, self._rules) for gpu in snapshot.gpus}

    def see(self, snapshot: Snapshot) -> None:
        """Take in one snapshot."""
        app = self._app
        app.explorer.see(snapshot)
        of, kept = self._kept
        every = all_books(snapshot, app.explorer, kept if of is snapshot else {})
        for key, books in every.items():
            self.histories.setdefault(key, History()).add(snapshot.taken_monotonic, held(books))
        if not self._settled and snapshot.gpus:
            self._settle(snapshot)
        app.tenants.see(snapshot, every)
        app.planner.see(snapshot, app.explorer.books())

    def forget(self) -> None:
        """Turn to another machine."""
        self._settled = False
        self.histories.clear()

    def history_of(self, gpu: Gpu | None) -> History | None:
        """What was seen of a GPU."""
        return None if gpu is None else self.histories.get(gpu.key)

    def _settle(self, snapshot: Snapshot) -> None:
        """Once, at the first reading: the GPU asked for, the model's figures, where the slider starts."""
        app, self._settled = self._app, True
        try:
            chosen = wiring.choose_gpus(snapshot, app.settings, app.explorer.classifier)
            app.explorer.choose_gpu(chosen[0].key)
        except GpuTuiError as error:
            if app.settings.gpu is not None:
                app.notify(str(error), severity="error", timeout=10)
        app.explorer.set_need(wiring.model_need(app.settings, snapshot))
        app.planner.settle(snapshot)
        books = app.explorer.books()
        if books is not None:
            utilization, origin = wiring.start_utilization(app.settings, snapshot, books)
            app.explorer.set_permille(round(utilization * 1000))
            app.main.utilization_origin = origin
