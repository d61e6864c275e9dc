"""One reading and one model, whatever the utilization: what the start takes, and where on the slider it is feasible."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gpu_tui.core.books import Books
from gpu_tui.core.checks import Feasible, ModelNeed, feasible_range
from gpu_tui.core.learned import Learned
from gpu_tui.core.plan import Plan
from gpu_tui.core.planning import Judgement, judge, start_for
from gpu_tui.core.snapshot import Gpu
from gpu_tui.core.start import StartModel
from gpu_tui.core.start_inputs import StartInputs
from gpu_tui.view.bands import Bands, bands
from gpu_tui.view.utilization import PERMILLE

_BUILT_IN = ModelNeed().model_origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """All that a move of the slider leaves as it is."""

    gpu: Gpu
    books: Books
    base: ModelNeed
    """The hand-set need, judged where there is no start."""
    inputs: StartInputs | None
    start: StartModel | None
    feasible: Feasible | None = None
    """None: nothing fits, or the machine is not judged."""
    bands: Bands | None = None
    """Where it starts; None: nothing can be told."""

    @property
    def need(self) -> ModelNeed:
        """What the three checks ask for."""
        return self.base if self.start is None else self.start.need

    @property
    def predicts(self) -> bool:
        """Whether what is known of the model is enough to say how a start ends."""
        return self.start is not None or is_told(self.base)

    def judge(self, permille: int) -> Judgement:
        """What one step comes to. One key press on the slider costs this."""
        version = self.inputs.version if self.inputs is not None else None
        return judge(
            permille / PERMILLE,
            self.gpu,
            self.books,
            self.base,
            self.start,
            version=version,
            told=is_told(self.base),
        )

    def at(self, gpu_memory_utilization: float) -> Plan:
        """All that the judgement of one utilization rests on."""
        return Plan(
            gpu_memory_utilization=gpu_memory_utilization,
            gpu=self.gpu,
            books=self.books,
            base=self.base,
            inputs=self.inputs,
            version=self.inputs.version if self.inputs is not None else None,
            told=is_told(self.base),
        )


def is_told(need: ModelNeed) -> bool:
    """Whether somebody set the hand-set figures; else they are the built-in ones, which predict nothing."""
    return need.model_origin != _BUILT_IN


def planned(
    known: StartInputs | None, need: ModelNeed, learned: Learned | None, gpu: Gpu, books: Books, *, judged: bool
) -> Planned:
    """Plan with what is known.

    Args:
        known: the model and its flags; None: the hand-set figures.
        need: those figures.
        learned: what past starts teach, to be applied to both; None: nothing.
        gpu, books: the machine, as the plan is judged against it.
        judged: False: it cannot be read now, and nothing is judged.
    """
    if learned is not None:
        known, need = learned.applied_to(known), learned.applied_to_need(need)
    plan = Planned(gpu=gpu, books=books, base=need, inputs=known, start=start_for(known, gpu, books, need))
    if not judged:
        return plan
    return replace(plan, feasible=feasible_range(books, plan.need), bands=bands(plan.judge) if plan.predicts else None)
