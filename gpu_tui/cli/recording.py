"""Keeps a measurement in the journal, once it has been shown: the journal's failure never costs the figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gpu_tui.cli import output
from gpu_tui.errors import GpuTuiError

if TYPE_CHECKING:
    from gpu_tui.bench.events import Event, RequestDone, Summary
    from gpu_tui.config import Settings
    from gpu_tui.core.books import Books
    from gpu_tui.core.snapshot import Snapshot
    from gpu_tui.wiring import Options


class Recorder:
    """One run: the machine it began on, and its requests as they go by."""

    def __init__(self, settings: Settings, options: Options) -> None:
        self._settings = settings
        self._options = options
        self._machine: tuple[Snapshot | None, Books | None] = (None, None)
        self._requests: list[RequestDone] = []

    def saw(self, snapshot: Snapshot | None, books: Books | None) -> tuple[Snapshot | None, Books | None]:
        """Note the machine, and hand it on."""
        self._machine = (snapshot, books)
        return self._machine

    def watch(self, emit: Callable[[Event], None]) -> Callable[[Event], None]:
        """The same, with every request noted."""
        from gpu_tui.bench.events import RequestDone

        def watched(event: Event) -> None:
            if isinstance(event, RequestDone):
                self._requests.append(event)
            emit(event)

        return watched

    def keep(self, summary: Summary, *, note: str = "", say: bool = True) -> None:
        """Write it down; on failure say why, and go on.

        Args:
            summary: the figures; with none at all there is nothing to keep.
            note: the user's own words.
            say: tell the run's number.
        """
        if not summary.measured:
            return
        from gpu_tui import wiring

        try:
            number = wiring.record_run(
                self._settings,
                self._options,
                *self._machine,
                None,
                summary,
                requests=self._requests,
                kind="measure",
                note=note,
            )
        except GpuTuiError as error:
            output.error(error)
            return
        if number is not None and say:
            output.note(f"Kept as run {number}: gpu-tui history show {number}.")
