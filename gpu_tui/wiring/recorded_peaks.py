"""The peaks that a recording saw until an instant of it: for judging the past against its own past."""

from __future__ import annotations

from collections.abc import Callable, Collection

from gpu_tui.core.books import keep_books
from gpu_tui.core.peaks import PeakKeeper, Peaks
from gpu_tui.core.services import Classifier
from gpu_tui.core.snapshot import Gpu, Snapshot
from gpu_tui.telemetry.recording.reader import Recording

LOOK_BACK_S = 3600.0
"""How far back on the recording's axis: to go through a day of a large machine takes minutes. Ours to choose."""


def recorded_peaks(
    recording: Recording, number: int, gpus: Collection[str], rules: Classifier, restarts: int | None = None
) -> dict[str, Peaks]:
    """By `Gpu.key`, of these GPUs; what came later is not known yet.

    Args:
        recording: the past.
        number: of the observation up to which it counts.
        gpus: keys of those that are asked about.
        rules, restarts: as for `keep_books`.
    """
    found = recorded_keepers(recording, number, gpus, rules, restarts)
    return {key: keeper.peaks() for key, keeper in found.items()}


def recorded_keepers(
    recording: Recording,
    number: int,
    gpus: Collection[str],
    rules: Classifier,
    restarts: int | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, PeakKeeper]:
    """The same, to go on with; `stop` is asked now and then, and what was found until then returned."""
    begin = recording[number].t - LOOK_BACK_S
    walks: dict[str, Walk] = {}
    for each in range(recording.at_axis(begin), number + 1):
        one = recording[each]
        if stop():
            break
        if one.snapshot is None or one.t < begin:
            continue
        for gpu in (gpu for gpu in one.snapshot.gpus if gpu.key in gpus):
            walks.setdefault(gpu.key, Walk(rules, restarts)).see(one.snapshot, gpu)
    return {key: walk.keeper() for key, walk in walks.items()}


class Walk:
    """One GPU's peaks, observation by observation: of those that tell of the same memory the first and last count."""

    def __init__(self, rules: Classifier, restarts: int | None) -> None:
        self._rules, self._restarts = rules, restarts
        self._keeper = PeakKeeper()
        self._last: tuple[Snapshot, Gpu] | None = None
        self._held_back = False

    def see(self, seen: Snapshot, gpu: Gpu) -> None:
        """The next observation."""
        same = self._last is not None and _same(*self._last, seen, gpu)
        if not same:
            self._catch_up()
        self._last, self._held_back = (seen, gpu), same
        if not same:
            self._add()

    def keeper(self) -> PeakKeeper:
        """Up to the last one."""
        self._catch_up()
        return self._keeper

    def _catch_up(self) -> None:
        if self._held_back:
            self._held_back = False
            self._add()

    def _add(self) -> None:
        if self._last is not None:
            seen, gpu = self._last
            self._keeper.add(seen.taken_at, keep_books(seen, gpu, self._rules, self._restarts))


def _same(before: Snapshot, old: Gpu, seen: Snapshot, gpu: Gpu) -> bool:
    rows = (old.processes, old.free_bytes) == (gpu.processes, gpu.free_bytes)
    return rows and before.processes == seen.processes
