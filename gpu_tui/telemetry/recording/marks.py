"""Where something happened: the instants worth jumping to, found in the observations alone, whatever the rules are."""

from __future__ import annotations

from enum import IntFlag

from gpu_tui.core.snapshot import Snapshot
from gpu_tui.telemetry.recording.codec import Observation

MEMORY_BYTES = 256 << 20
"""A process whose memory has moved by so much is worth a look; ours to choose: vLLM loads GiB, jitter is a few MiB."""
RAMP_S = 10.0
"""A move that goes on within so many seconds is the same one."""
GAP_INTERVALS = 3.0
GAP_LEAST_S = 5.0
CLOCK_S = 2.0
"""A wall clock that moved against the monotonic one by more than this was set, or the machine slept."""


class Kind(IntFlag):
    """What happened; several may at once."""

    PROCESSES = 1
    """A process came onto a GPU or left it."""
    MEMORY = 2
    """A process's memory moved by `MEMORY_BYTES`."""
    FAULT = 4
    """A fault began or ended, of a device or of the whole machine."""
    GAP = 8
    """Nothing was recorded for a while before."""
    CLOCK = 16
    """The wall clock was set, or the machine slept."""


class Marker:
    """Looks at each observation in turn.

    Args:
        interval_s: how often observations were meant to come; a gap is several of them.
    """

    def __init__(self, interval_s: float = 1.0) -> None:
        self.interval_s = interval_s
        self._last: Observation | None = None
        self._seen: Snapshot | None = None
        self._held: dict[tuple[int, int], tuple[int, float]] = {}
        """(position of the device, pid) -> bytes at its last move, and when that move last went on.

        A process that comes is told as such; that it then takes its memory is the same news.
        """
        self._seen_before = False

    def see(self, one: Observation) -> Kind:
        """What happened at this observation; of the first one nothing is known."""
        last, self._last = self._last, one
        kinds = Kind(0)
        if last is not None:
            kinds |= self._time(last, one)
            if _whole_fault(last) != _whole_fault(one):
                kinds |= Kind.FAULT
        if one.snapshot is None:
            return kinds
        before, self._seen = self._seen, one.snapshot
        if before is None or before.gpus is not one.snapshot.gpus:
            kinds |= self._memory(one.snapshot, one.t)
            if before is not None:
                kinds |= _differences(before, one.snapshot)
        return kinds

    def _time(self, last: Observation, one: Observation) -> Kind:
        passed = one.t - last.t
        kinds = Kind.GAP if passed > max(GAP_LEAST_S, GAP_INTERVALS * self.interval_s) else Kind(0)
        mono, before = _mono(one), _mono(last)
        if mono is not None and before is not None and mono >= before:
            wall = one.at - last.at
            if abs(wall - (mono - before)) > CLOCK_S:
                kinds |= Kind.CLOCK
        elif one.at < last.at - CLOCK_S:
            kinds |= Kind.CLOCK
        return kinds

    def _memory(self, seen: Snapshot, t: float) -> Kind:
        found = Kind(0)
        held: dict[tuple[int, int], tuple[int, float]] = {}
        for place, gpu in enumerate(seen.gpus):
            for row in gpu.processes or ():
                key = (place, row.pid)
                size, when = self._held.get(key, (row.used_bytes, t if self._seen_before else float("-inf")))
                if row.used_bytes is None or size is None:
                    continue
                if abs(row.used_bytes - size) >= MEMORY_BYTES:
                    if t - when > RAMP_S:
                        found = Kind.MEMORY
                    size, when = row.used_bytes, t
                held[key] = (size, when)
        self._held, self._seen_before = held, True
        return found


def _whole_fault(one: Observation) -> str | None:
    return None if one.error is None else one.error.kind


def _mono(one: Observation) -> float | None:
    return None if one.snapshot is None else one.snapshot.taken_monotonic


def _differences(before: Snapshot, after: Snapshot) -> Kind:
    kinds = Kind(0)
    if len(before.gpus) != len(after.gpus):
        return Kind.FAULT
    for old, new in zip(before.gpus, after.gpus, strict=True):
        if old is new:
            continue
        if [fault.kind for fault in old.faults] != [fault.kind for fault in new.faults]:
            kinds |= Kind.FAULT
        if old.processes is not new.processes and old.processes is not None and new.processes is not None:
            was, now = {row.pid for row in old.processes}, {row.pid for row in new.processes}
            if was != now:
                kinds |= Kind.PROCESSES
    return kinds
