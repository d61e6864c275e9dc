"""What the explorer knows: the last machine seen, the planned utilization, and the verdict that follows from them.

Values in, values out: no widget, no source, no clock. `report()` is what one key press on the slider costs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from gpu_tui.core.books import Books, Instance, Service, keep_books
from gpu_tui.core.checks import CheckReport, Feasible, ModelNeed, evaluate, feasible_range
from gpu_tui.core.choice import HIGHEST_PORT, blocking_fault, find_instance
from gpu_tui.core.services import Classifier
from gpu_tui.core.snapshot import Fault, Gpu, Snapshot

PERMILLE = 1000
"""The slider's steps: integers, so that 0.1 + 0.2 never happens to an operator."""


@dataclass
class Explorer:
    """The explorer's whole state."""

    classifier: Classifier
    need: ModelNeed
    permille: int = 500
    gpu_uuid: str | None = None
    """The GPU on show; None takes the first."""
    restarts: int | None = None
    """Pid or port of the vLLM instance chosen to restart."""
    snapshot: Snapshot | None = None
    failure: Fault | None = None
    """Why the last read failed; None when it did not."""
    _books: Books | None = field(default=None, repr=False)
    _feasible: Feasible | None = field(default=None, repr=False)

    def see(self, snapshot: Snapshot) -> None:
        """Take a new reading."""
        self.snapshot = snapshot
        self.failure = None
        gone = self.restarts is not None and self.restarts > HIGHEST_PORT
        if gone and find_instance(snapshot, self.classifier, self.restarts or 0) is None:
            # A pid that is gone chooses nothing any more; a port at which nothing runs still says what restarts.
            self.restarts = None
        self._forget()

    def fail(self, failure: Fault) -> None:
        """The machine could not be read; what was seen before stays to be looked at, and judges nothing."""
        self.failure = failure
        self._forget()

    def leave(self) -> None:
        """Turn to another machine: nothing of this one stays, not even what was wrong with it."""
        self.snapshot, self.failure, self.gpu_uuid, self.restarts = None, None, None, None
        self._forget()

    def _forget(self) -> None:
        self._books = None
        self._feasible = None

    @property
    def gpu(self) -> Gpu | None:
        """The GPU on show; None before the first reading."""
        if self.snapshot is None or not self.snapshot.gpus:
            return None
        key = self.gpu_uuid
        # A device chosen while its UUID was not known goes by its index for good.
        return next((g for g in self.snapshot.gpus if key in (g.key, str(g.index))), self.snapshot.gpus[0])

    @property
    def utilization(self) -> float:
        """The plan as vLLM takes it."""
        return self.permille / PERMILLE

    @property
    def problem(self) -> Fault | None:
        """What keeps this GPU from being judged; None when nothing does."""
        if self.failure is not None:
            return self.failure
        return None if self.gpu is None else blocking_fault(self.gpu)

    def books(self) -> Books | None:
        """The books of the GPU on show, from the last reading; None before the first."""
        gpu = self.gpu
        if self._books is None and gpu is not None and self.snapshot is not None:
            self._books = keep_books(self.snapshot, gpu, self.classifier, self.restarts)
        return self._books

    def report(self) -> CheckReport | None:
        """The verdict on the plan; None before the first reading. Unknown where the machine cannot be read now."""
        books = self.books()
        if books is None:
            return None
        if self.problem is not None:
            books = replace(books, total_bytes=None, used_bytes=None, free_bytes=None)
        return evaluate(self.utilization, books, self.need)

    def feasible(self) -> Feasible | None:
        """The feasible range; None when nothing fits or it is unknown. Kept between readings."""
        books = self.books()
        if books is None or self.problem is not None:
            return None
        if self._feasible is None:
            self._feasible = feasible_range(books, self.need)
        return self._feasible

    def feasible_permille(self) -> tuple[int, int] | None:
        """The range in the slider's steps, rounded inwards; None when no step lies in it."""
        feasible = self.feasible()
        if feasible is None:
            return None
        low = -(-feasible.min_steps // 10)
        high = feasible.max_steps // 10
        return (low, high) if low <= high else None

    def nearest_feasible(self) -> int | None:
        """The step nearest to the plan that passes; None when none does."""
        ends = self.feasible_permille()
        return None if ends is None else min(max(self.permille, ends[0]), ends[1])

    def set_permille(self, permille: int) -> None:
        """Plan another utilization, kept within 1..1000."""
        self.permille = min(max(permille, 1), PERMILLE)

    def set_need(self, need: ModelNeed) -> None:
        """Plan with another model."""
        self.need = need
        self._feasible = None

    def choose_gpu(self, key: str) -> None:
        """Show another GPU, by its `Gpu.key`."""
        self.gpu_uuid = key
        self._forget()

    def choose_restarts(self, instance: Instance) -> None:
        """Say which instance restarts; by its port where that is known, for pids do not survive a restart."""
        others = self.books()
        same_port = [i for i in (others.instances if others else ()) if i.port == instance.port]
        self.restarts = instance.port if instance.port is not None and len(same_port) == 1 else instance.owner_pid
        self._forget()


def series_of(service: Service, books: Books) -> str:
    """Under which name a service's memory is remembered: an instance keeps it whichever of them restarts."""
    instance = next((i for i in books.instances if i.owner_pid == service.instance_pid), None)
    return service.name if instance is None else instance.label


def parse_utilization(text: str) -> int | None:
    """A typed utilization in per mille: ``0.45`` and ``.45`` are shares, ``45`` is percent; None when it is neither.

    ``1`` is the whole GPU, as vLLM takes it.
    """
    try:
        number = float(text)
    except ValueError:
        return None
    if not math.isfinite(number) or 1 < number < 2:
        return None  # 1.5 is more than the whole GPU by a slip; nobody plans 1.5 %
    share = number if number <= 1 else number / 100
    permille = round(share * PERMILLE)
    return permille if 1 <= permille <= PERMILLE else None
