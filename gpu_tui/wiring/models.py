"""What this machine tells of models: files, the Hugging Face cache, running servers. Slow: never on a UI thread."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from gpu_tui.clock import Clock
from gpu_tui.core.books import Books
from gpu_tui.core.model_facts import ModelFacts
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.core.what_to_type_values import RunningServer
from gpu_tui.wiring.evidence import Evidence, Seeker, model_facts
from gpu_tui.wiring.serving import running_server


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedModel:
    """A model that lies on this machine."""

    name: str
    """What `LocalModels.find` takes."""
    where: str
    """For people."""


class LocalModels:
    """The models of this machine.

    Args:
        clock: for the ages of what is read.
        root: stands in for the file system's in tests.
    """

    def __init__(self, clock: Clock, root: Path = Path("/")) -> None:
        self._seeker = Seeker(clock)
        self._root = root

    def running(self, snapshot: Snapshot, books: Books) -> Evidence:
        """What the instance that restarts tells of itself; empty for a simulated machine."""
        return self._seeker.running(snapshot, books)

    def find(self, name: str) -> ModelFacts:
        """A model's facts from its files.

        Raises:
            GpuTuiError: it cannot be found or read.
        """
        return model_facts(name)

    def offered(self) -> tuple[OfferedModel, ...]:
        """The models in the local Hugging Face caches, by name."""
        from gpu_tui.telemetry.hub_cache import cached_models, hub_folders

        found = cached_models(hub_folders(os.environ, Path(os.environ.get("HOME") or "~").expanduser()))
        return tuple(sorted((OfferedModel(name=one.name, where=one.where) for one in found), key=lambda one: one.name))

    def server(self, snapshot: Snapshot, books: Books) -> RunningServer | None:
        """The server that restarts, with its unit or compose service; None where its command line is not known."""
        return running_server(snapshot, books, self._root)
