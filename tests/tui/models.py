"""A machine whose models a test tells."""

from __future__ import annotations

import threading
from pathlib import Path

from gpu_tui.clock import ManualClock
from gpu_tui.core.books import Books
from gpu_tui.core.model_facts import ModelFacts
from gpu_tui.core.origins import Origin, OriginKind
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.core.what_to_type import RunningServer
from gpu_tui.errors import GpuTuiError
from gpu_tui.units import GIB
from gpu_tui.wiring.evidence import Evidence
from gpu_tui.wiring.models import LocalModels, OfferedModel

FACTS = ModelFacts(
    name="made/tiny",
    weights_bytes=2 * GIB,
    weights_origin=Origin(kind=OriginKind.DERIVED, source="headers of /models/tiny"),
)


class FakeModels:
    """A machine whose models are told by the test; each call can be held back."""

    def __init__(self) -> None:
        self.evidence = Evidence()
        self.error: GpuTuiError | None = None
        self.asked: list[int | None] = []
        self.found: dict[str, ModelFacts] = {"tiny": FACTS}
        self.root = Path("/nowhere")
        """Stands in for the file system's: who runs a server is read below it."""
        self.go = threading.Event()
        self.go.set()

    def running(self, snapshot: Snapshot, books: Books) -> Evidence:
        self.asked.append(books.chosen.owner_pid if books.chosen else None)
        self.go.wait(10)
        if self.error is not None:
            raise self.error
        return self.evidence

    def find(self, name: str) -> ModelFacts:
        self.go.wait(10)
        if name not in self.found:
            raise GpuTuiError(f"There is no model {name!r} here.", "Type a folder.")
        return self.found[name]

    def offered(self) -> tuple[OfferedModel, ...]:
        return (OfferedModel(name="tiny", where="the Hugging Face cache"),)

    def server(self, snapshot: Snapshot, books: Books) -> RunningServer | None:
        return LocalModels(ManualClock(), self.root).server(snapshot, books)
