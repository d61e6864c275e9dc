"""What the services held over the last while, on every GPU: for the memory panel."""

from __future__ import annotations

from collections.abc import Mapping

from gpu_tui.core.books import Books, keep_books
from gpu_tui.core.peaks import series_of
from gpu_tui.core.services import Classifier
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.view.explorer import Explorer

Sample = Mapping[str, Mapping[str, int | None]]
"""GPU, by its key -> service -> bytes."""


def all_books(snapshot: Snapshot, explorer: Explorer, kept: Mapping[str, Books]) -> dict[str, Books]:
    """The books of every GPU, by its key; of the one on show the explorer has them already.

    Args:
        snapshot: the machine.
        explorer: has taken it in.
        kept: books of it that were kept before.
    """
    found: dict[str, Books] = {}
    for gpu in snapshot.gpus:
        if gpu is explorer.gpu:
            books = explorer.books()
        else:
            books = kept.get(gpu.key) or keep_books(snapshot, gpu, explorer.classifier)
        if books is not None:
            found[gpu.key] = books
    return found


def held(books: Books) -> Mapping[str, int | None]:
    """What each service holds."""
    return {series_of(service, books): service.used_bytes for service in books.services}


def sample(snapshot: Snapshot, rules: Classifier) -> Sample:
    """What each service holds now, on every GPU.

    Args:
        snapshot: the machine.
        rules: the services.
    """
    return {gpu.key: held(keep_books(snapshot, gpu, rules)) for gpu in snapshot.gpus}
