"""A recording, opened: its observations by number or time. Opening reads the blocks' heads, a seek one block."""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from gpu_tui.errors import ConfigError, SourceUnavailable
from gpu_tui.telemetry.recording import files
from gpu_tui.telemetry.recording.blocks import DamagedBlock
from gpu_tui.telemetry.recording.codec import Observation
from gpu_tui.telemetry.recording.header import Header
from gpu_tui.telemetry.recording.index import Block, Opened, read_block, scan
from gpu_tui.telemetry.recording.marks import GAP_INTERVALS, GAP_LEAST_S, Kind
from gpu_tui.view.text import clean

_CACHED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Where something happened."""

    number: int
    """Of the observation."""
    t: float
    """Seconds on the recording's axis."""
    kinds: Kind


class Recording:
    """A recording to be read. Safe to be used by several threads.

    Args:
        path: its newest file; the rotated ones beside it are taken too.

    Raises:
        ConfigError: it cannot be read, is no recording, holds nothing, or is of a newer gpu-tui.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []
        """What is wrong with it, a sentence each."""
        self._fds: list[int] = []
        self._lock = threading.Lock()
        self._cache: OrderedDict[int, Opened] = OrderedDict()
        try:
            self._blocks = self._open()
            self._starts = list(accumulate((block.info.count for block in self._blocks), initial=0))
            self.header = self._header()
        except BaseException:
            self.close()
            raise
        self.writing: bool
        """Whether somebody is still recording into it; what came after it was opened is not seen."""

    def _open(self) -> list[Block]:
        blocks: list[Block] = []
        for path in files.older(self.path):
            try:
                blocks += self._scan(path)
            except ConfigError as error:
                self.notes.append(error.message)
        blocks += self._scan(self.path)
        if not blocks:
            raise ConfigError(f"{clean(str(self.path))} holds no observation.", "Record into it for a moment.")
        return sorted(blocks, key=lambda block: block.info.t_first)

    def _scan(self, path: Path) -> Sequence[Block]:
        fd, writing = files.open_to_read(path)
        self._fds.append(fd)
        found = scan(fd, path, writing=writing)
        self.notes += found.notes
        self.writing = writing
        return found.blocks

    def _header(self) -> Header:
        header = self._opened(len(self._blocks) - 1).header
        if header is None:
            raise ConfigError(f"{clean(str(self.path))} is not a recording of gpu-tui.", "Give another file.")
        return header

    def close(self) -> None:
        """Give the files back."""
        with self._lock:
            while self._fds:
                os.close(self._fds.pop())

    def __len__(self) -> int:
        """Observations."""
        return self._starts[-1]

    @property
    def span(self) -> tuple[float, float]:
        """First and last instant on the recording's axis."""
        return self._blocks[0].info.t_first, self._blocks[-1].info.t_last

    @property
    def wall_span(self) -> tuple[float, float]:
        """First and last instant by the wall clock."""
        return self._blocks[0].info.at_first, self._blocks[-1].info.at_last

    def __getitem__(self, number: int) -> Observation:
        """The observation of this number, 0 the first. One in a damaged block could not be read, and says so."""
        place = min(bisect_right(self._starts, number) - 1, len(self._blocks) - 1)
        seen = self._opened(place).observations
        within = number - self._starts[place]
        if within < len(seen):
            return seen[within]
        info = self._blocks[place].info
        step = (info.t_last - info.t_first) / max(1, info.count - 1)
        error = SourceUnavailable(f"{clean(str(self.path))} is damaged here.", "Go on behind it.", kind="other")
        return Observation(t=info.t_first + within * step, at=info.at_first + within * step, error=error)

    def at_axis(self, t: float) -> int:
        """Number of the last observation at or before `t` on the axis; the first where none is."""
        place = max(0, bisect_right(self._blocks, t, key=lambda block: block.info.t_first) - 1)
        return self._starts[place] + self._within(place, t, lambda one: one.t)

    def at_wall(self, at: float) -> int:
        """Number of the last observation at or before a wall time; where the clock was set back, its last pass."""
        passed = [place for place, block in enumerate(self._blocks) if block.info.at_first <= at]
        place = passed[-1] if passed else 0
        return self._starts[place] + self._within(place, at, lambda one: one.at)

    def _within(self, place: int, value: float, key: Callable[[Observation], float]) -> int:
        seen = self._opened(place).observations
        return next((number for number in range(len(seen) - 1, -1, -1) if key(seen[number]) <= value), 0)

    def marks(self) -> list[Mark]:
        """Where something happened, in order: what the blocks' heads tell, and the gaps between blocks."""
        found: list[Mark] = []
        last: Block | None = None
        for start, block in zip(self._starts, self._blocks, strict=False):
            info = block.info
            told = {number: Kind(kinds) for number, kinds in info.marks}
            if last is not None and info.t_first - last.info.t_last > self._gap_s:
                told[0] = told.get(0, Kind(0)) | Kind.GAP
            step = (info.t_last - info.t_first) / max(1, info.count - 1)
            found += [
                Mark(number=start + number, t=min(info.t_last, info.t_first + number * step), kinds=told[number])
                for number in sorted(told)
            ]
            last = block
        return found

    @property
    def _gap_s(self) -> float:
        return max(GAP_LEAST_S, GAP_INTERVALS * self.header.interval_s)

    def gaps(self) -> list[tuple[float, float]]:
        """Stretches of the axis without observations, between blocks."""
        pairs = zip(self._blocks, self._blocks[1:], strict=False)
        return [(a.info.t_last, b.info.t_first) for a, b in pairs if b.info.t_first - a.info.t_last > self._gap_s]

    def _opened(self, place: int) -> Opened:
        with self._lock:
            if place in self._cache:
                self._cache.move_to_end(place)
                return self._cache[place]
            if not self._fds:
                raise SourceUnavailable(f"{clean(str(self.path))} was closed.", kind="other")
            try:
                opened = read_block(self._blocks[place])
            except (DamagedBlock, OSError) as error:
                block = self._blocks[place]
                opened = Opened(header=None, observations=(), lines=())
                self.notes.append(
                    f"{clean(str(block.path))}: a block of {block.info.count} observations at byte {block.offset} "
                    f"is damaged ({clean(str(error), 80)}); they are left out."
                )
            self._cache[place] = opened
            while len(self._cache) > _CACHED:
                self._cache.popitem(last=False)
            return opened
