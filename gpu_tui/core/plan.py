"""One plan: a utilization, a GPU, and what is known of the model and its flags; judged, changed and judged again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from gpu_tui.core.books import Books, Service
from gpu_tui.core.checks import ModelNeed
from gpu_tui.core.origins import later
from gpu_tui.core.planning import Judgement, judge, start_for
from gpu_tui.core.services import Role
from gpu_tui.core.snapshot import Gpu
from gpu_tui.core.start import Call, Outcome, StartModel
from gpu_tui.core.start_inputs import StartInputs
from gpu_tui.core.vllm_version import Accounting, accounting_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that a judgement rests on."""

    gpu_memory_utilization: float
    gpu: Gpu
    books: Books
    base: ModelNeed
    """The hand-set need: judged where `inputs` do not tell the weights."""
    inputs: StartInputs | None = None
    """The model and its flags; None: only the hand-set need is known."""
    version: str | None = None
    """vLLM's, where `inputs` is None."""
    told: bool = True
    """Somebody set the hand-set need; False: it is the built-in default."""

    @property
    def rules(self) -> Accounting:
        """How the planned release accounts."""
        return self.inputs.rules if self.inputs is not None else accounting_of(self.version)

    def start(self) -> StartModel | None:
        """What the start takes, whatever the utilization."""
        return start_for(self.inputs, self.gpu, self.books, self.base)

    def judge(self, start: StartModel | None = None) -> Judgement:
        """What it comes to.

        Args:
            start: what `start()` gave, to save doing that again.
        """
        start = self.start() if start is None else start
        return judge(
            self.gpu_memory_utilization,
            self.gpu,
            self.books,
            self.base,
            start,
            version=self.rules_version,
            told=self.told,
        )

    @property
    def rules_version(self) -> str | None:
        """vLLM's version as it was told."""
        return self.inputs.version if self.inputs is not None else self.version

    def at(self, gpu_memory_utilization: float) -> Plan:
        """The same at another utilization."""
        return replace(self, gpu_memory_utilization=gpu_memory_utilization)

    def with_flags(self, **flags: Any) -> Plan:
        """The same with other flags of vLLM (fields of `StartInputs`); without inputs nothing changes."""
        return self if self.inputs is None else replace(self, inputs=replace(self.inputs, **flags))

    def later(self, seconds: float) -> Plan:
        """The same so many seconds later: what was measured with it is older by them, and nothing else changes."""
        if self.inputs is None or not self.inputs.given:
            return self
        given = {name: replace(one, origin=later(one.origin, seconds)) for name, one in self.inputs.given.items()}
        return self.with_flags(given=given)

    def without(self, stopped: Collection[Service]) -> Plan:
        """The same with these services stopped: their memory is free."""
        freed = sum(service.used_bytes or 0 for service in stopped)
        books = self.books
        rest = tuple(service for service in books.services if service not in stopped)
        books = replace(
            books,
            services=rest,
            used_bytes=None if books.used_bytes is None else books.used_bytes - freed,
            free_bytes=None if books.free_bytes is None else books.free_bytes + freed,
        )
        return replace(self, books=books)

    @property
    def of_known_model(self) -> bool:
        """Whether it is about any model at all: the built-in default's figures are nobody's."""
        return self.told or (self.inputs is not None and self.inputs.knows_weights)

    @property
    def tenants(self) -> tuple[Service, ...]:
        """The services that stay and hold a known amount of this GPU."""
        return tuple(s for s in self.books.services if s.role is not Role.RESTARTS and s.running and s.used_bytes)


def starts(judgement: Judgement) -> bool:
    """Whether vLLM starts by the middle estimate; a hand-set need must pass the three checks besides."""
    passed = judgement.start is not None or judgement.report.valid is True
    return passed and judgement.prediction.outcome is Outcome.STARTED


def starts_for_certain(judgement: Judgement) -> bool:
    """Whether it starts over the whole band; for a hand-set need, which has no band, whether it is not tight."""
    return starts(judgement) and judgement.prediction.call is Call.STARTS
