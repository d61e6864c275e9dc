"""What the journal's starts teach of a planned one, and where a running server's start is added to them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gpu_tui.clock import Clock
from gpu_tui.config import Settings
from gpu_tui.core.books import Books
from gpu_tui.core.learned import Learned, learn
from gpu_tui.core.snapshot import Gpu, Snapshot
from gpu_tui.core.start_setup import Setup

if TYPE_CHECKING:
    from gpu_tui.journal.deployments import Deployment
    from gpu_tui.wiring.deployments import Notice
    from gpu_tui.wiring.evidence import Evidence

MOST_STARTS = 500
"""Of the newest starts so many are learned from."""

Stamp = tuple[tuple[int, int] | None, ...]
"""What tells that a file has changed, of the journal and of what SQLite writes beside it."""


class PastStarts:
    """The journal's starts, read anew when its file has changed. Reads and writes a disk: not for a UI's own thread.

    What reads and writes is loaded with the first question, so that the explorer's first frame does not wait for it.

    Args:
        settings: which journal.
        clock: for the time a start is recorded.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._settings, self._clock = settings, clock
        self._read: tuple[Stamp, tuple[Deployment, ...]] | None = None

    @property
    def kept(self) -> bool:
        """Whether a journal is kept at all."""
        from gpu_tui.wiring.recording import journal_path

        return journal_path(self._settings) is not None

    def remember(self, evidence: Evidence, snapshot: Snapshot, books: Books, gpu: Gpu) -> Notice | None:
        """Keep the running server's start, as `gpu_tui.wiring.deployments.remember` does."""
        from gpu_tui.wiring.deployments import remember

        return remember(evidence, snapshot, books, self._settings, gpu=gpu, clock=self._clock)

    def learned(self, planned: Setup, gpu: Gpu) -> Learned | None:
        """What past starts teach of a planned one; None: nothing, or no journal is kept.

        Args:
            planned: the model and its flags (`StartInputs.setup`); where no model is named, the one that was last
                seen to start on this GPU is meant, and `Learned.model` tells its name.
            gpu: where it is to start.

        Raises:
            JournalRefused: the file is not ours, damaged or newer.
            JournalError: it cannot be read.
        """
        from gpu_tui.wiring.recording import journal_path, journal_there

        path = journal_path(self._settings)
        if path is None or not journal_there(path):
            return None
        starts = self._starts(path)
        if planned.model is None:
            planned = next((one.setup for one in starts if one.gpu_uuid == gpu.uuid), planned)
        return learn([one.past_start() for one in starts], planned, gpu.name, gpu.total_bytes)

    def _starts(self, path: Path) -> tuple[Deployment, ...]:
        stamp = tuple(map(_stamp, (path, path.with_name(f"{path.name}-wal"))))
        if self._read is None or self._read[0] != stamp:
            from gpu_tui.wiring.deployments import open_deployments

            with open_deployments(self._settings) as journal:
                self._read = stamp, tuple(one.deployment for one in journal.starts(limit=MOST_STARTS))
        return self._read[1]


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        told = path.stat()
    except OSError:
        return None  # the file beside it is there only while somebody writes
    return told.st_mtime_ns, told.st_size


def learned_for(settings: Settings, planned: Setup, gpu: Gpu) -> Learned | None:
    """What past starts teach, asked once; see `PastStarts.learned`."""
    return PastStarts(settings).learned(planned, gpu)
