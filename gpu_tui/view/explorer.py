"""What the explorer knows: the last machine seen, the planned utilization, and the verdict that follows from them.

Values in, values out: no widget, no source, no clock. `report()` is what one key press on the slider costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gpu_tui.core.against import Against, View, view_of
from gpu_tui.core.books import Books, Instance, Service, keep_books
from gpu_tui.core.checks import CheckReport, Feasible, ModelNeed, evaluate, feasible_range
from gpu_tui.core.choice import HIGHEST_PORT, blocking_fault, find_instance
from gpu_tui.core.learned import Learned
from gpu_tui.core.peaks import Peaks
from gpu_tui.core.plan import Plan
from gpu_tui.core.planning import Judgement
from gpu_tui.core.services import Classifier
from gpu_tui.core.snapshot import Fault, Gpu, Snapshot
from gpu_tui.core.start import Prediction, StartModel
from gpu_tui.core.start_inputs import StartInputs
from gpu_tui.core.what_if import WhatIf, next_what_if
from gpu_tui.view.bands import Bands
from gpu_tui.view.planned import Planned, is_told, planned
from gpu_tui.view.utilization import PERMILLE


@dataclass
class Explorer:
    """The explorer's whole state."""

    classifier: Classifier
    need: ModelNeed
    """The hand-set figures; they are judged where `known` tells no model."""
    known: StartInputs | None = None
    """The model planned with, from files, a running server, its log or typed; None: the hand-set figures."""
    learned: Learned | None = None
    """What past starts teach, by the user's word on top of both; None: nothing is applied."""
    permille: int = 500
    gpu_uuid: str | None = None
    """The GPU on show; None takes the first."""
    restarts: int | None = None
    """Pid or port of the vLLM instance chosen to restart."""
    supposed: dict[str, WhatIf] = field(default_factory=dict)
    """Roles that services are supposed to have, by name: the plan is judged as if they had."""
    against: Against = Against.NOW
    """Which memory of the tenants the plan is judged against."""
    peaks: Peaks = Peaks()
    """What is known of the GPU on show."""
    if_loaded: Mapping[str, int] = field(default_factory=dict)
    """What the user says services take with their models loaded, bytes by name."""
    snapshot: Snapshot | None = None
    failure: Fault | None = None
    """Why the last read failed; None when it did not."""
    _books: Books | None = field(default=None, repr=False)
    _view: View | None = field(default=None, repr=False)
    _plan: Planned | None = field(default=None, repr=False)

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
        self.snapshot, self.failure, self.gpu_uuid, self.restarts, self.known = None, None, None, None, None
        self.supposed, self.against, self.peaks, self.learned = {}, Against.NOW, Peaks(), None
        self._forget()

    def _forget(self) -> None:
        self._books = None
        self._view = None
        self._plan = None

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
        """The books of the GPU on show as they are, from the last reading; None before the first."""
        gpu = self.gpu
        if self._books is None and gpu is not None and self.snapshot is not None:
            self._books = keep_books(self.snapshot, gpu, self.classifier, self.restarts)
        return self._books

    def view(self) -> View | None:
        """The books as the plan is judged against them, with what is supposed; None before the first reading."""
        books = self.books()
        if self._view is None and books is not None:
            self._view = view_of(books, self.peaks, self.against, self.supposed, self.if_loaded)
        return self._view

    def judged_books(self) -> Books | None:
        """What `view` comes to."""
        view = self.view()
        return None if view is None else view.books

    def feasible_now(self) -> Feasible | None:
        """The range against the memory as it is, where the plan is judged against more."""
        view, plan = self.view(), self._planned()
        return None if view is None or plan is None else feasible_range(view.now, plan.need)

    def suppose(self, service: Service) -> WhatIf | None:
        """Suppose the next role of a row; None: it is again what it is."""
        books = self.books()
        real = books.service(service.name) if books is not None else None
        if real is None:
            return None
        new = next_what_if(real.role, self.supposed.get(real.name))
        self.supposed = {name: one for name, one in self.supposed.items() if name != real.name}
        if new is not None:
            self.supposed[real.name] = new
        self._replan()
        return new

    def judge_against(self, against: Against) -> None:
        """Judge against other memory."""
        self.against = against
        self._replan()

    def set_peaks(self, peaks: Peaks) -> None:
        """What is known now of the GPU on show."""
        self.peaks = peaks
        if self.against is not Against.NOW:
            self._replan()

    def _replan(self) -> None:
        self._view = None
        self._plan = None

    def _planned(self) -> Planned | None:
        """What a reading and the model come to, whatever the utilization. Kept between readings."""
        books, gpu = self.judged_books(), self.gpu
        if self._plan is None and books is not None and gpu is not None:
            self._plan = planned(self.known, self.need, self.learned, gpu, books, judged=self.problem is None)
        return self._plan

    @property
    def predicts(self) -> bool:
        """Whether what is known of the model is enough to say how a start ends."""
        plan = self._plan or self._planned()
        return is_told(self.need) if plan is None else plan.predicts

    def start(self) -> StartModel | None:
        """The planned start; None: only the hand-set figures are judged."""
        plan = self._plan or self._planned()
        return None if plan is None else plan.start

    @property
    def plan_need(self) -> ModelNeed:
        """What the three checks ask for: the start's own sum, else the hand-set figures."""
        plan = self._plan or self._planned()
        return self.need if plan is None else plan.need

    def judgement(self) -> Judgement | None:
        """Verdict and prediction of the plan; None before the first reading, unknown where it cannot be read now."""
        books, gpu, plan = self.judged_books(), self.gpu, self._planned()
        if books is None or gpu is None or plan is None:
            return None
        if self.problem is None:
            return plan.judge(self.permille)
        books = replace(books, total_bytes=None, used_bytes=None, free_bytes=None)
        nothing = Prediction(outcome=None, certain=False, requested_bytes=None, kv_cache_bytes=None, kv_cache_band=None)
        return Judgement(report=evaluate(self.utilization, books, plan.need), prediction=nothing, start=plan.start)

    def plan(self) -> Plan | None:
        """All that the judgement rests on; None where nothing can be judged."""
        plan = self._planned()
        return None if plan is None or self.problem is not None else plan.at(self.utilization)

    def report(self) -> CheckReport | None:
        """The verdict on the plan; None before the first reading. Unknown where the machine cannot be read now."""
        one = self.judgement()
        return None if one is None else one.report

    def feasible(self) -> Feasible | None:
        """The feasible range; None when nothing fits or it is unknown. Kept between readings."""
        plan = self._planned()
        return None if plan is None else plan.feasible

    def bands(self) -> Bands | None:
        """Where it starts and where that is too close to call; None when it cannot be told. Kept between readings."""
        plan = self._planned()
        return None if plan is None else plan.bands

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
        if ends is None:
            return None
        zones = self.bands() if self.start() is not None else None
        if zones is not None and zones.starts is not None:
            # Of what passes the checks, that which certainly starts.
            sure = max(ends[0], zones.starts[0]), min(ends[1], zones.starts[1])
            ends = sure if sure[0] <= sure[1] else ends
        return min(max(self.permille, ends[0]), ends[1])

    def set_permille(self, permille: int) -> None:
        """Plan another utilization, kept within 1..1000."""
        self.permille = min(max(permille, 1), PERMILLE)

    def set_need(self, need: ModelNeed) -> None:
        """Plan with other hand-set figures."""
        self.need = need
        self._plan = None

    def set_known(self, known: StartInputs | None) -> None:
        """Plan with what is known of a model; None: with the hand-set figures."""
        if known != self.known:
            self.known = known
            self._plan = None

    def set_learned(self, learned: Learned | None) -> None:
        """Apply what past starts teach; None: no longer."""
        if learned != self.learned:
            self.learned = learned
            self._plan = None

    def choose_gpu(self, key: str) -> None:
        """Show another GPU, by its `Gpu.key`; what was learned is of the one before."""
        self.gpu_uuid, self.learned = key, None
        self._forget()

    def choose_restarts(self, instance: Instance) -> None:
        """Say which instance restarts; by its port where that is known, for pids do not survive a restart."""
        others = self.books()
        same_port = [i for i in (others.instances if others else ()) if i.port == instance.port]
        self.restarts = instance.port if instance.port is not None and len(same_port) == 1 else instance.owner_pid
        self._forget()
