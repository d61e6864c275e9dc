"""Writes one block after another into an open file. What `add` has returned from can be read back, whatever comes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from gpu_tui.telemetry.recording.blocks import MARKS, BlockInfo, Deflater, pack_head
from gpu_tui.telemetry.recording.codec import Observation

BLOCK_S = 300.0
"""Seconds a block spans at most: what a seek has to read; ours to choose."""
BLOCK_COUNT = 600
BLOCK_BYTES = 8 << 20
"""Inflated."""


class BlockWriter:
    """One block at a time at the end of a file.

    Args:
        fd: of the file, locked by the caller.
        offset: where its next block begins.
    """

    def __init__(self, fd: int, offset: int) -> None:
        self._fd = fd
        self._begin = self.end_offset = offset
        """`end_offset`: bytes of the file that are whole."""
        self._deflater: Deflater | None = None
        self._info = BlockInfo(size=0)

    @property
    def open(self) -> bool:
        """Whether a block is begun."""
        return self._deflater is not None

    @property
    def marks(self) -> tuple[tuple[int, int], ...]:
        """Of the block that is begun."""
        return self._info.marks

    @property
    def full(self) -> bool:
        """Whether the next observation belongs into another block."""
        info, deflater = self._info, self._deflater
        return deflater is not None and (
            info.count >= BLOCK_COUNT
            or info.t_last - info.t_first >= BLOCK_S
            or len(info.marks) >= MARKS
            or deflater.size >= BLOCK_BYTES
        )

    def begin(self, header_line: bytes) -> None:
        """Begin a block.

        Raises:
            OSError: it cannot be written; the file is as before.
        """
        deflater = Deflater()
        self._begin = self.end_offset
        self._info = BlockInfo(size=0)
        self._write(pack_head(self._info) + deflater.add(header_line))
        self._deflater = deflater

    def add(self, line: bytes, one: Observation, kinds: int) -> None:
        """Add the line of an observation.

        Raises:
            OSError: it cannot be written; the file holds all lines before it.
        """
        if self._deflater is None:
            raise ValueError("no block is begun")
        self._write(self._deflater.add(line))
        info = self._info
        if not info.count:
            info = replace(info, t_first=one.t, at_first=one.at)
        marks: Sequence[tuple[int, int]] = ((info.count, kinds),) if kinds else ()
        self._info = replace(info, count=info.count + 1, t_last=one.t, at_last=one.at, marks=(*info.marks, *marks))

    def end(self) -> None:
        """End the block, fill in its head and bring it to the disk.

        Raises:
            OSError: it cannot be written; all its lines can be read all the same.
        """
        deflater, self._deflater = self._deflater, None
        if deflater is None:
            return
        self._write(deflater.end())
        head = pack_head(replace(self._info, size=self.end_offset - self._begin))
        os.fdatasync(self._fd)
        os.pwrite(self._fd, head, self._begin)  # last: a head that tells a size never stands before half a block

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        at = self.end_offset
        try:
            while view:
                written = os.pwrite(self._fd, view, at)
                at += written
                view = view[written:]
        except OSError:
            self._deflater = None  # what it has taken in is not in the file: it cannot go on
            os.ftruncate(self._fd, self.end_offset)
            raise
        self.end_offset = at
