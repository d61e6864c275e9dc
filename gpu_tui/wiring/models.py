"""What this machine tells of models: files, the Hugging Face cache, running servers. Slow: never on a UI thread."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from gpu_tui.clock import Clock
from gpu_tui.core import vllm
from gpu_tui.core.books import Books
from gpu_tui.core.model_facts import ModelFacts
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.core.what_to_type import RunningServer
from gpu_tui.view.text import mask_cmdline
from gpu_tui.wiring.evidence import Evidence, Seeker, model_facts


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedModel:
    """A model that lies on this machine."""

    name: str
    """What `LocalModels.find` takes."""
    where: str
    """For people."""


class LocalModels:
    """The models of this machine."""

    def __init__(self, clock: Clock) -> None:
        self._seeker = Seeker(clock)

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
        """The server that restarts; None where its command line is not known."""
        chosen = books.chosen
        info = vllm.server_of(chosen.pids[0], snapshot.processes) if chosen is not None and chosen.pids else None
        if info is None or not info.cmdline:
            return None
        return RunningServer(argv=info.cmdline, masked=mask_cmdline(info.cmdline))
