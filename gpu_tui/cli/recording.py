"""Watches the machine during a measurement, and keeps it in the journal once it has been shown.

Neither's failure ever costs the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gpu_tui.cli import output
from gpu_tui.errors import GpuTuiError

if TYPE_CHECKING:
    from gpu_tui.bench.events import Event, RequestDone, Summary
    from gpu_tui.cli.sampling import Sampler
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
        self._sampler: Sampler | None = None
        self._told: Summary | None = None

    def saw(self, snapshot: Snapshot | None, books: Books | None) -> tuple[Snapshot | None, Books | None]:
        """Note the machine, and hand it on."""
        self._machine = (snapshot, books)
        return self._machine

    def watch(self, emit: Callable[[Event], None]) -> Callable[[Event], None]:
        """The same, with every request noted, and the summary `told`."""
        from gpu_tui.bench.events import RequestDone, Summary

        def watched(event: Event) -> None:
            if isinstance(event, RequestDone):
                self._requests.append(event)
            emit(self.told(event) if isinstance(event, Summary) else event)

        return watched

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Sample the machine that `saw` was told meanwhile; without one, nothing."""
        if self._machine[0] is None:
            yield
            return
        from gpu_tui.cli.sampling import Sampler

        with Sampler(self._options, self._settings.interval_s) as self._sampler:
            yield

    def told(self, summary: Summary) -> Summary:
        """The summary with what was sampled during its run."""
        if self._told is None:
            self._told = summary if self._sampler is None else self._sampler.told(summary)
        return self._told

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
