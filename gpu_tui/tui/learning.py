"""What past starts teach of the plan on the screen: looked up beside it, offered, applied by the user's word alone."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol

from gpu_tui.clock import Clock
from gpu_tui.core.learned import Learned, starts_words
from gpu_tui.core.snapshot import Gpu
from gpu_tui.core.start_setup import Setup
from gpu_tui.errors import GpuTuiError
from gpu_tui.tui.background import aside
from gpu_tui.view.explorer import Explorer
from gpu_tui.view.learned import learned_words
from gpu_tui.view.spans import Line
from gpu_tui.view.text import clean
from gpu_tui.wiring.learning import PastStarts

AGAIN_S = 30.0
"""How often the journal is looked at again; other programs keep starts in it as well."""
KEY = "L"


class LessonsHost(Protocol):
    """What is needed of the app."""

    def run_worker(self, work: Coroutine[Any, Any, None], *, group: str, exclusive: bool) -> object:
        """Run it beside the screen."""
        ...

    def show_plan(self) -> None:
        """Redraw what depends on the plan."""
        ...


class Lessons:
    """One for the app. Keeps `Explorer.learned`: None until the user applies what is offered.

    Args:
        explorer: whose plan it is.
        past: the journal's starts.
        clock: the time.
        host: the app.
    """

    def __init__(self, explorer: Explorer, past: PastStarts, clock: Clock, host: LessonsHost) -> None:
        self._explorer, self.past, self._clock, self._host = explorer, past, clock, host
        self._asked: tuple[Setup, Gpu] | None = None
        self._asked_at = 0.0
        self._found: Learned | None = None
        self._wanted: tuple[str, str] | None = None
        """Model and GPU that the user wants corrected."""
        self.reading = False
        self.problem = ""
        """Why the journal could not be read."""

    @property
    def offered(self) -> Learned | None:
        """What would change, or changes, the plan on show; None: nothing, or another GPU is on show by now."""
        asked, gpu = self._asked, self._explorer.gpu
        if self._found is None or asked is None or gpu is None or asked[1].key != gpu.key:
            return None
        return self._found.changing(self._explorer.start())

    @property
    def applied(self) -> bool:
        """Whether the plan on show holds it."""
        return self._explorer.learned is not None

    def follow(self, planned: Setup | None) -> None:
        """The plan may be another now.

        Args:
            planned: its model and flags; None: it is not about this machine, and no past start teaches it.
        """
        gpu = self._explorer.gpu
        if planned is None or gpu is None:
            self.forget()
            return
        before, now = self._asked, self._clock.monotonic()
        same = before is not None and (before[0], before[1].key) == (planned, gpu.key)
        if same and now - self._asked_at < AGAIN_S:
            self._take(self._found)  # another GPU may have been on show meanwhile
            return
        self._asked, self._asked_at = (planned, gpu), now
        if not same:
            self._take(None)
            self.reading = True
        self._host.run_worker(self._look(planned, gpu), group="learned", exclusive=True)

    def again(self) -> None:
        """A start was kept just now: look at the next occasion."""
        self._asked_at = float("-inf")

    def forget(self) -> None:
        """Another machine."""
        self._asked, self.reading, self.problem, self._wanted = None, False, "", None
        self._take(None)

    def release(self) -> None:
        """The user's own figures stand again."""
        self._wanted = None
        self._explorer.set_learned(None)

    async def _look(self, planned: Setup, gpu: Gpu) -> None:
        found, problem = None, ""
        try:
            found = await aside(lambda: self.past.learned(planned, gpu))
        except GpuTuiError as error:
            problem = f"Nothing could be learned from past starts. {error}"
        if self._asked is None or (self._asked[0], self._asked[1].key) != (planned, gpu.key):
            return
        self.reading = False
        if (found, problem) != (self._found, self.problem):
            self.problem = problem
            self._take(found)
            self._host.show_plan()

    def _take(self, found: Learned | None) -> None:
        self._found = found
        gpu = self._explorer.gpu
        wanted = found is not None and gpu is not None and (found.model, gpu.key) == self._wanted
        self._explorer.set_learned(found if wanted else None)

    def toggle(self, *, here: bool) -> str:
        """Apply what is offered, or take it back.

        Args:
            here: the machine on show is this one, now.

        Returns:
            What became of it, or why nothing did, for people.
        """
        if self.applied:
            self.release()
            return f"Past starts correct the plan no longer; {KEY} applies them again."
        offered, gpu = self.offered, self._explorer.gpu
        if offered is None or gpu is None:
            return self._nothing(here=here)
        self._wanted = (offered.model, gpu.key)
        self._take(self._found)
        return self.words

    def _nothing(self, *, here: bool) -> str:
        if not here:
            return "Past starts are this machine's: they teach nothing of a simulated one or of a recording."
        if not self.past.kept:
            return "No journal is kept here, so past starts teach nothing."
        if self.reading:
            return "Past starts are just being read."
        if self.problem:
            return clean(self.problem, 400)
        if self._found is not None:
            return "Every term of this plan that past starts tell of is measured: there is nothing to correct."
        model = self._asked[0].model if self._asked is not None else None
        of = f"of {clean(model.rstrip('/').rsplit('/', 1)[-1], 60)}" if model else "on this GPU"
        return f"Nothing is learned {of} yet: a start is kept once its server was seen here."

    @property
    def words(self) -> str:
        """What is offered or applied, in a sentence, with the key; empty where nothing is."""
        offered = self.offered
        if offered is None:
            return ""
        predicted = self._explorer.start() is not None
        told = learned_words(offered, predicted=predicted, applied=self.applied, how=f"{KEY} applies it")
        return f"{told[:-1]}; {KEY} takes it back." if self.applied else told

    @property
    def label(self) -> Line:
        """The same in a few words, for the edge of a panel."""
        offered = self.offered
        if offered is None:
            return []
        starts = starts_words(offered.starts)
        if self.applied:
            return [(f"learned from {starts}", "strong"), (f" ({KEY} takes it back)  ", "dim")]
        return [(KEY, "key"), (f" learned from {starts}  ", "dim")]

    @property
    def title(self) -> str:
        """What the slider's title adds while it is applied."""
        offered = self.offered
        return f", learned from {starts_words(offered.starts)}" if self.applied and offered is not None else ""
