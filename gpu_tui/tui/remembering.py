"""What the services held over the last while, on every GPU: for the memory panel."""

from __future__ import annotations

from collections.abc import Mapping

from gpu_tui.core.books import keep_books
from gpu_tui.core.peaks import series_of
from gpu_tui.core.services import Classifier
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.view.explorer import Explorer

Sample = Mapping[str, Mapping[str, int | None]]
"""GPU, by its key -> service -> bytes."""


def sample(snapshot: Snapshot, rules: Classifier, explorer: Explorer | None = None) -> Sample:
    """What each service holds now.

    Args:
        snapshot: the machine.
        rules: the services.
        explorer: has the books of the GPU on show already, when it has just seen this very snapshot.
    """
    taken: dict[str, Mapping[str, int | None]] = {}
    for gpu in snapshot.gpus:
        shown = explorer is not None and gpu is explorer.gpu
        books = explorer.books() if shown and explorer is not None else keep_books(snapshot, gpu, rules)
        if books is not None:
            taken[gpu.key] = {series_of(service, books): service.used_bytes for service in books.services}
    return taken
