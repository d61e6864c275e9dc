"""Writes a recording: observations into blocks, blocks into a file, a full file aside."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from gpu_tui.core.snapshot import Snapshot
from gpu_tui.errors import ConfigError, GpuTuiError, SourceUnavailable, UsageError
from gpu_tui.telemetry.recording import files
from gpu_tui.telemetry.recording.block_writer import BlockWriter
from gpu_tui.telemetry.recording.blocks import MARKS
from gpu_tui.telemetry.recording.codec import Encoder, Observation, dump
from gpu_tui.telemetry.recording.header import Header
from gpu_tui.telemetry.recording.index import Opened, read_block, scan
from gpu_tui.telemetry.recording.marks import Marker
from gpu_tui.telemetry.recording.values import Json
from gpu_tui.view.text import clean

MAX_BYTES = 1 << 30
KEEP = 3
"""Full files kept beside the one being written."""


class RecordingFailed(GpuTuiError):
    """The recording cannot go on: the disk is full, or the file is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How a recording stands."""

    path: Path
    observations: int = 0
    """By this recorder."""
    bytes: int = 0
    """Written by this recorder, rotated files included."""
    first_at: float | None = None
    last_at: float | None = None
    rotations: int = 0


class RecordingWriter:
    """Records into `path`; goes on with a recording that is there. Safe to be called from several threads.

    Args:
        path: the file.
        header: what is written at the head of each block.
        max_bytes: a file that has so many is set aside as FILE.1.
        keep: how many of those stay.
        note: takes a sentence about what was found in a file that was there.

    Raises:
        UsageError: another recorder has the file, or it is something else than a recording.
        ConfigError: it cannot be written, or a newer gpu-tui wrote it.
    """

    def __init__(
        self,
        path: Path,
        header: Header,
        *,
        max_bytes: int = MAX_BYTES,
        keep: int = KEEP,
        note: Callable[[str], None] | None = None,
    ) -> None:
        self._path, self._header, self._max_bytes, self._keep = path, header, max_bytes, keep
        self._lock = threading.Lock()
        self._marker = Marker(header.interval_s)
        self._encoder = Encoder()
        self._last: Observation | None = None
        self._mono: float | None = None
        self._closed = False
        self._progress = Progress(path=path)
        self._fd = files.open_locked(path)
        try:
            self._blocks = BlockWriter(self._fd, 0)
            if os.fstat(self._fd).st_size:
                self._resume(note or (lambda _: None))
        except OSError as error:
            os.close(self._fd)
            raise ConfigError(
                f"{clean(str(path))} cannot be written: {error.strerror}.", "Give another file."
            ) from error
        except BaseException:
            os.close(self._fd)
            raise
        self._begun_at = self._blocks.end_offset

    @property
    def progress(self) -> Progress:
        """How it stands."""
        return self._progress

    def snapshot(self, seen: Snapshot) -> None:
        """Record what was seen.

        Raises:
            RecordingFailed: it cannot be written; all that was recorded before can be read, and the recording is over.
        """
        with self._lock:
            t = self._axis(seen.taken_at, seen.taken_monotonic)
            one = Observation(t=t, at=seen.taken_at, snapshot=seen)
            self._add(one, seen.taken_monotonic, lambda encoder: encoder.snapshot(seen, t))

    def error(self, error: SourceUnavailable, at: float, monotonic: float) -> None:
        """Record that nothing could be read, at a wall and a monotonic time.

        Raises:
            RecordingFailed: as `snapshot`.
        """
        with self._lock:
            t = self._axis(at, monotonic)
            one = Observation(t=t, at=at, error=error)
            self._add(one, monotonic, lambda encoder: encoder.error(error, at, monotonic, t))

    def close(self) -> None:
        """End the recording; a second call does nothing.

        Raises:
            RecordingFailed: its last bytes could not be written; what was recorded can be read all the same.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                self._blocks.end()
            except OSError as error:
                raise self._failed(error) from error
            finally:
                self._count()
                os.close(self._fd)

    def _axis(self, at: float, monotonic: float) -> float:
        """The instant on the recording's axis: the wall clock, but never back; a clock set back runs on from there."""
        last = self._last
        if last is None:
            return at
        passed = 0.0 if self._mono is None else max(0.0, monotonic - self._mono)
        return at if at >= last.t else last.t + passed

    def _add(self, one: Observation, monotonic: float, encode: Callable[[Encoder], Json]) -> None:
        if self._closed:
            return
        try:
            if self._blocks.full:
                self._blocks.end()
                if self._blocks.end_offset >= self._max_bytes:
                    self._rotate()
            if not self._blocks.open:
                self._encoder = Encoder()
                self._blocks.begin(dump(self._described(one).line()))
            self._blocks.add(dump(encode(self._encoder)), one, int(self._marker.see(one)))
        except OSError as error:
            self._closed = True
            self._count()
            os.close(self._fd)
            raise self._failed(error) from error
        self._last = one
        self._mono = monotonic
        first = self._progress.first_at
        self._progress = replace(
            self._progress,
            observations=self._progress.observations + 1,
            first_at=one.at if first is None else first,
            last_at=one.at,
        )
        self._count()

    def _described(self, one: Observation) -> Header:
        header = self._header
        if self._progress.first_at is None:
            header = replace(header, started_at=one.at)
        if one.snapshot is not None:
            header = replace(header, driver_version=one.snapshot.driver_version)
        self._header = header
        return header

    def _count(self) -> None:
        grown = self._blocks.end_offset - self._begun_at
        self._progress = replace(self._progress, bytes=self._progress.bytes + grown)
        self._begun_at = self._blocks.end_offset

    def _rotate(self) -> None:
        self._count()
        files.rotate(self._path, self._keep)
        os.close(self._fd)
        try:
            self._fd = files.open_locked(self._path)
        except GpuTuiError as error:
            raise OSError(0, error.message) from error
        self._blocks = BlockWriter(self._fd, 0)
        self._begun_at = 0
        self._progress = replace(self._progress, rotations=self._progress.rotations + 1)

    def _failed(self, error: OSError) -> RecordingFailed:
        return RecordingFailed(
            f"The recording has ended: {clean(str(self._path))} cannot be written ({error.strerror}).",
            "All that was recorded before can be replayed. Make room, or record into another file.",
        )

    def _resume(self, note: Callable[[str], None]) -> None:
        """Go on behind what is there; a block that was cut off is written anew, whole."""
        try:
            found = scan(self._fd, self._path)
        except ConfigError as error:
            raise UsageError(error.message, "Give another file: this one is left as it is.") from error
        for words in found.notes:
            note(words)
        end = os.fstat(self._fd).st_size
        torn: Opened | None = None
        if found.tail is not None:
            last = found.blocks[-1] if found.blocks else None
            if last is not None and not last.ended:
                torn = read_block(last)
            end = found.tail
        if found.blocks:
            info = found.blocks[-1].info
            self._last = Observation(t=info.t_last, at=info.at_last)
            self._marker.see(self._last)
        self._blocks = BlockWriter(self._fd, end)
        if torn is not None:
            self._rewrite(torn)
        else:
            os.ftruncate(self._fd, end)

    def _rewrite(self, torn: Opened) -> None:
        # In place: the same lines make the same bytes, up to the tear. Room for the rest is had first.
        begin = self._blocks.end_offset
        os.posix_fallocate(self._fd, begin, os.fstat(self._fd).st_size - begin + 4096)
        marker = Marker(self._header.interval_s)
        self._blocks.begin(torn.lines[0] + b"\n")
        for line, one in zip(torn.lines[1:], torn.observations, strict=True):
            self._blocks.add(line + b"\n", one, int(marker.see(one)) if len(self._blocks.marks) < MARKS else 0)
        self._blocks.end()
        os.ftruncate(self._fd, self._blocks.end_offset)
