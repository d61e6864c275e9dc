"""From a reading to what is known of every GPU: for commands that go on and cannot stop to ask which is meant."""

from __future__ import annotations

from collections.abc import Callable

from gpu_tui.config import Settings
from gpu_tui.core.assessment import Assessed, Assessment
from gpu_tui.core.books import Books, keep_books
from gpu_tui.core.choice import blocking_fault, choose_gpus
from gpu_tui.core.services import Classifier
from gpu_tui.core.snapshot import Gpu, Snapshot
from gpu_tui.core.start_inputs import StartInputs
from gpu_tui.wiring.machine import start_utilization
from gpu_tui.wiring.planning import plan_of

Known = Callable[[Snapshot, Books], StartInputs | None]
"""What is known of the model of the vLLM that restarts; must answer at once."""

_AMBIGUOUS = "Several vLLM instances are running and none was chosen to restart: choose one with --restarts PID|PORT."
_NO_GPU_CHOSEN = "This machine has several GPUs and none was chosen: choose one with --gpu N, or --gpu all."


class Assessor:
    """Judges the configured plan at every reading.

    The plan is about the GPU that was chosen, the only one, or those that hold the vLLM that restarts. What is open is
    unknown, not refused: a second vLLM may start at any time, and end again.
    """

    def __init__(self, settings: Settings, rules: Classifier, known: Known | None = None) -> None:
        self._settings = settings
        self._rules = rules
        self._known = known

    def assess(self, snapshot: Snapshot) -> Assessed:
        """Every GPU of this reading; with `gpu` configured, that one.

        Raises:
            UsageError: the GPU that was chosen is not there.
        """
        chosen = self._settings.gpu
        gpus = snapshot.gpus if chosen is None else choose_gpus(snapshot, self._rules, chosen)
        books = [keep_books(snapshot, gpu, self._rules, self._settings.restarts) for gpu in gpus]
        meant, why = self._meant(gpus, books)
        return Assessed(
            snapshot=snapshot,
            gpus=tuple(
                self._judged(snapshot, gpu, book, why, meant=gpu.key in meant)
                for gpu, book in zip(gpus, books, strict=True)
            ),
        )

    def _meant(self, gpus: tuple[Gpu, ...], books: list[Books]) -> tuple[set[str], str]:
        """The GPUs the plan is about, and what keeps all of them from being judged."""
        if self._settings.gpu is not None or len(gpus) == 1:
            meant = {gpu.key for gpu in gpus}
        else:
            meant = {gpu.key for gpu, book in zip(gpus, books, strict=True) if book.chosen is not None}
            if not meant:
                return {gpu.key for gpu in gpus}, _NO_GPU_CHOSEN
        return meant, _AMBIGUOUS if any(book.ambiguous for book in books) else ""

    def _judged(self, snapshot: Snapshot, gpu: Gpu, books: Books, why: str, *, meant: bool) -> Assessment:
        fault = blocking_fault(gpu)
        if not meant or why:
            return Assessment(gpu=gpu, books=books, fault=fault, unjudged=why if meant else "")
        utilization, _ = start_utilization(self._settings, snapshot, books)
        known = self._known(snapshot, books) if self._known is not None else None
        plan = plan_of(utilization, self._settings, snapshot, gpu, books, known)
        return Assessment(gpu=gpu, books=books, fault=fault, plan=plan, judgement=plan.judge())
