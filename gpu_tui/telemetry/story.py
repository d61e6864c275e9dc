"""How a scenario's machine moves: pure functions of (story, seed, seconds). At second 0 nothing has moved."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from gpu_tui.telemetry.scenario_file import EventTable, LevelTable, StoryTable, WaveTable

_MASK = (1 << 64) - 1


def noise(seed: int, key: int, second: int) -> float:
    """A number in -1..1 that depends on nothing but its arguments; 0 in second 0 (splitmix64)."""
    if second <= 0:
        return 0.0
    x = (seed * 0x9E3779B97F4A7C15 + key * 0xBF58476D1CE4E5B9 + second * 0x94D049BB133111EB) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return (x ^ (x >> 31)) / (1 << 63) - 1.0


def drift(swing: float, period_s: float, jitter: float, *, t_s: float, seed: int, key: int) -> float:
    """How far a wave with noise is from its level at second 0."""
    return swing * math.sin(2 * math.pi * t_s / period_s) + jitter * noise(seed, key, math.floor(t_s))


def active_events(story: StoryTable, t_s: float) -> tuple[tuple[EventTable, float], ...]:
    """The events under way, each with the seconds since it began, in the order in which they began."""
    at = second_of(story, t_s)
    found = [
        (event, at - event.at_s)
        for event in story.events
        if event.at_s <= at and (event.until_s is None or at < event.until_s)
    ]
    found.sort(key=lambda pair: pair[0].at_s)
    return tuple(found)


def second_of(story: StoryTable, t_s: float) -> float:
    """The second of the story at this second: it begins anew where it loops."""
    return t_s % story.loop_s if story.loop_s else t_s


def logs(story: StoryTable, t_s: float) -> dict[int, tuple[str, ...]]:
    """What each server has logged by now."""
    at, found = second_of(story, t_s), dict[int, tuple[str, ...]]()
    for entry in sorted(story.log, key=lambda entry: entry.at_s):
        if entry.at_s <= at:
            found[entry.pid] = (*found.get(entry.pid, ()), *entry.lines)
    return found


def caption(active: Iterable[tuple[EventTable, float]]) -> str:
    """What the latest event says; empty when none says anything."""
    return next((event.caption for event, _ in reversed(tuple(active)) if event.caption), "")


def memory_mib(
    base_mib: Mapping[int, float | None],
    waves: Iterable[WaveTable],
    active: Iterable[tuple[EventTable, float]],
    *,
    t_s: float,
    seed: int,
) -> dict[int, float | None]:
    """The pids that move now: MiB each wants to hold, or None where it is gone.

    A pid whose memory is unknown (None in `base_mib`) can only be gone. Events win over waves. Whole steps of 2 MiB,
    as the driver hands memory out.
    """
    wanted: dict[int, float | None] = {}
    for wave in waves:
        for pid in wave.pids:
            base = base_mib[pid]
            if base is not None:
                delta = drift(wave.swing_mib, wave.period_s, wave.jitter_mib, t_s=t_s, seed=seed, key=pid)
                wanted[pid] = max(0.0, base + 2 * round(delta / 2))
    for event, since in active:
        for pid in event.pids:
            base = base_mib[pid]
            if event.gone:
                wanted[pid] = None
            elif base is not None:
                start = base if event.from_mib is None else event.from_mib
                end = base if event.used_mib is None else event.used_mib
                done = 1.0 if event.ramp_s <= 0 else min(1.0, since / event.ramp_s)
                wanted[pid] = end if done == 1.0 else start + 2 * round((end - start) * done / 2)
    return wanted


def level(
    base: float | None, levels: Iterable[LevelTable], field: str, gpu: int, *, t_s: float, seed: int
) -> float | None:
    """A device's figure now; None stays None."""
    if base is None:
        return None
    for number, table in enumerate(levels):
        if table.field == field and table.gpu in (None, gpu):
            key = 1000 * (number + 1) + gpu
            base += drift(table.swing, table.period_s, table.jitter, t_s=t_s, seed=seed, key=key)
    return max(0.0, base)
