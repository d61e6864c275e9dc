"""The best way out of a plan, looked for once the slider rests: it costs milliseconds, too long for every key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from gpu_tui.core.plan import Plan
from gpu_tui.core.planning import Judgement
from gpu_tui.core.remedies import Remedy, remedies
from gpu_tui.core.vllm_errors import error_text
from gpu_tui.view.explorer import Explorer
from gpu_tui.view.verdict import Words, verdict_words

REST_S = 0.15
"""How long the slider must have rested."""


class Timers(Protocol):
    """What advice needs of the app."""

    def set_timer(self, delay: float, callback: Callable[[], None]) -> Any:
        """Call back later; what it returns can be stopped."""
        ...


class Advice:
    """Holds the remedies of the plan on show.

    Args:
        timers: the app.
        found: called when they are others than before.
    """

    def __init__(self, timers: Timers, found: Callable[[], None]) -> None:
        self._timers, self._found = timers, found
        self._plan: Plan | None = None
        self._judgement: Judgement | None = None
        self._timer: Any = None
        self.remedies: tuple[Remedy, ...] = ()

    @property
    def best(self) -> Remedy | None:
        """The cheapest."""
        return self.remedies[0] if self.remedies else None

    @property
    def pending(self) -> bool:
        """Whether the slider has not rested long enough yet."""
        return self._timer is not None

    def verdict(self, explorer: Explorer, judgement: Judgement | None) -> Words:
        """The verdict in words; the best way out follows once the slider rests."""
        plan = explorer.plan() if explorer.predicts else None
        self.ask(plan, judgement)
        return verdict_words(
            judgement,
            explorer.problem,
            explorer.nearest_feasible(),
            error=None if plan is None or judgement is None else error_text(judgement, plan.rules),
            remedy=self.best,
            predicts=explorer.predicts,
        )

    def ask(self, plan: Plan | None, judgement: Judgement | None) -> None:
        """Look for the remedies of this plan, soon. Those of the same plan on an earlier reading stand till then."""
        if plan == self._plan:
            return
        if plan is None or not self._same(plan):
            self.remedies = ()
        self._plan, self._judgement = plan, judgement
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        if plan is not None:
            self._timer = self._timers.set_timer(REST_S, self._look)

    def _same(self, plan: Plan) -> bool:
        before = self._plan
        return before is not None and (before.gpu_memory_utilization, before.inputs, before.base, before.gpu.key) == (
            plan.gpu_memory_utilization,
            plan.inputs,
            plan.base,
            plan.gpu.key,
        )

    def _look(self) -> None:
        self._timer = None
        if self._plan is None or self._judgement is None:
            return
        before, self.remedies = self.remedies, remedies(self._plan, self._judgement)
        if self.remedies != before:
            self._found()
