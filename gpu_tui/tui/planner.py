"""Which model is planned with, and what is known of it: the running server's, one on the disk, or figures typed."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from gpu_tui.clock import Clock
from gpu_tui.config import Settings
from gpu_tui.core.books import Books
from gpu_tui.core.model_facts import ModelFacts
from gpu_tui.core.snapshot import Gpu, Snapshot
from gpu_tui.core.start_inputs import StartInputs, merged
from gpu_tui.core.start_setup import Setup
from gpu_tui.core.what_to_type import RunningServer
from gpu_tui.errors import GpuTuiError
from gpu_tui.tui.background import aside
from gpu_tui.tui.learning import Lessons
from gpu_tui.units import mib_to_bytes
from gpu_tui.view.explorer import Explorer
from gpu_tui.view.text import clean
from gpu_tui.wiring.evidence import Evidence
from gpu_tui.wiring.learning import PastStarts
from gpu_tui.wiring.models import OfferedModel
from gpu_tui.wiring.planning import hand_set

if TYPE_CHECKING:
    from gpu_tui.wiring.deployments import Notice

REFRESH_S = 30.0
"""How often the running server's model is looked at again."""


class PickKind(StrEnum):
    """Whose model is planned with."""

    RUNNING = "running"
    """The running server's; a scenario's own on a simulated machine."""
    FOUND = "found"
    """One whose files were read."""
    HAND_SET = "hand_set"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """The model planned with, and the flags typed for it."""

    kind: PickKind = PickKind.RUNNING
    name: str = ""
    """FOUND: what was asked for."""
    facts: ModelFacts | None = None
    flags: StartInputs = StartInputs()
    """Typed; they stand before what a server or a scenario tells."""


class Models(Protocol):
    """What this machine tells of models: its files, its running servers. Slow: no call is made on the UI thread."""

    def running(self, snapshot: Snapshot, books: Books) -> Evidence:
        """What files, the chosen instance's command line, its log and its metrics tell."""
        ...

    def find(self, name: str) -> ModelFacts:
        """The model in a folder, in a GGUF file, or of this name in the local Hugging Face cache.

        Raises:
            GpuTuiError: there is none, or it cannot be read; says what to do.
        """
        ...

    def offered(self) -> tuple[OfferedModel, ...]:
        """The models in the local Hugging Face cache."""
        ...

    def server(self, snapshot: Snapshot, books: Books) -> RunningServer | None:
        """The server that restarts, with its command line and what runs it; None: no server is known."""
        ...


class PlannerHost(Protocol):
    """What the planner needs of the app."""

    def run_worker(self, work: Coroutine[Any, Any, None], *, group: str, exclusive: bool) -> object:
        """Run it beside the screen."""
        ...

    def show_plan(self) -> None:
        """Redraw what depends on the model."""
        ...

    def notify(self, message: str, *, severity: Any, timeout: float | None) -> None:
        """Tell it in passing."""
        ...


class Planner:
    """Keeps `Explorer.known` up to date.

    Args:
        explorer: whose model it is.
        settings: the user's own figures; they stand until another model is picked.
        models: what the machine tells of models.
    """

    def __init__(self, explorer: Explorer, settings: Settings, models: Models, clock: Clock, host: PlannerHost) -> None:
        self._explorer, self._settings, self._clock, self._host = explorer, settings, clock, host
        self.models = models
        self.lessons = Lessons(explorer, PastStarts(settings, clock), clock, host)
        self.pick = Pick()
        self.evidence = Evidence()
        """What is known of the running server's model."""
        self.reading = False
        """The running server's model is being looked at for the first time."""
        self.notice: Notice | None = None
        """That its start was kept in the journal, or why not."""
        self._found_at: float | None = None
        self._asked: tuple[str, int] | None = None
        self._asked_at = 0.0

    def settle(self, snapshot: Snapshot) -> None:
        """Another machine: what the user set, or a scenario gives as one figure, is planned with first."""
        own = hand_set(self._settings, snapshot) or snapshot.model_mib is not None
        self.pick = Pick(kind=PickKind.HAND_SET if own else PickKind.RUNNING)
        self._forget()
        self.lessons.forget()
        self.apply()

    def _forget(self) -> None:
        self.evidence, self.reading, self._asked, self.notice = Evidence(), False, None, None
        self._found_at = None

    @property
    def found_age_s(self) -> float:
        """Seconds since the running server was looked at: its evidence tells its ages as they were then."""
        return 0.0 if self._found_at is None else max(0.0, self._clock.monotonic() - self._found_at)

    def choose(self, pick: Pick) -> None:
        """Plan with another model, or with other flags."""
        if pick.kind is PickKind.HAND_SET:
            self.lessons.release()  # a figure of one's own is the newer word
        self.pick = pick
        self.apply()
        self._host.show_plan()

    def type_floor(self, min_kv_cache_bytes: int) -> None:
        """Plan with the user's own least KV cache."""
        if self._explorer.start() is None:
            self.lessons.release()
        self.choose(replace(self.pick, flags=replace(self.pick.flags, min_kv_cache_bytes=min_kv_cache_bytes)))

    def apply(self) -> None:
        """Tell the explorer what is known."""
        self._explorer.set_known(self.inputs())
        snapshot = self._explorer.snapshot
        self.lessons.follow(self._setup() if snapshot is not None and snapshot.here else None)

    def _setup(self) -> Setup:
        """The planned model and flags, as past starts are looked up by."""
        known = self._explorer.known
        setup = known.setup if known is not None else Setup()
        if setup.model is not None:
            return setup
        return replace(setup, model=self._settings.model.name or self.evidence.model)

    def inputs(self) -> StartInputs | None:
        """The model and its flags; without weights where the hand-set figures are planned with."""
        snapshot = self._explorer.snapshot
        told = [
            one for one in (self.evidence.inputs, snapshot.start if snapshot is not None else None) if one is not None
        ]
        base = merged(*told) if told else StartInputs()
        if self.pick.kind is PickKind.FOUND:
            # Another model: the release and the GPUs stay, the running model's own flags and terms do not.
            base = StartInputs(
                facts=self.pick.facts, version=base.version, tensor_parallel_size=base.tensor_parallel_size
            )
        elif self.pick.kind is PickKind.HAND_SET:
            base = replace(base, facts=None, given={})
        flags = self.pick.flags
        inputs = merged(flags, base)
        if flags.fit_max_model_len:
            inputs = replace(inputs, max_model_len=None)
        if flags.min_kv_cache_bytes is None and hand_set(self._settings, snapshot, "model.min_kv_cache_mib"):
            inputs = replace(inputs, min_kv_cache_bytes=mib_to_bytes(self._settings.model.min_kv_cache_mib))
        return None if inputs == StartInputs() else inputs

    def see(self, snapshot: Snapshot, books: Books | None) -> None:
        """A new reading: take in a scenario's model; look at the running server now and then."""
        self.apply()
        gpu = self._explorer.gpu
        if snapshot.simulated or books is None or gpu is None:
            return
        if books.chosen is None:
            self._forget()
            self.apply()
            return
        key, now = (gpu.key, books.chosen.owner_pid), self._clock.monotonic()
        if key == self._asked and now - self._asked_at < REFRESH_S:
            return
        if key != self._asked:
            self.evidence, self.reading = Evidence(), True
            self.apply()
        self._asked, self._asked_at = key, now
        self._host.run_worker(self._look(snapshot, books, gpu, key), group="model", exclusive=True)

    async def _look(self, snapshot: Snapshot, books: Books, gpu: Gpu, key: tuple[str, int]) -> None:
        def look() -> tuple[Evidence, Notice | None]:
            found = self.models.running(snapshot, books)
            return found, self.lessons.past.remember(found, snapshot, books, gpu)

        try:
            found, notice = await aside(look)
        except GpuTuiError as error:
            found, notice = Evidence(missing=(str(error),)), None
        if key == self._asked:
            self.evidence, self.reading, self._found_at = found, False, self._clock.monotonic()
            self._kept(notice)
            self.apply()
            self._host.show_plan()

    def _kept(self, notice: Notice | None) -> None:
        """A journal that refuses is told once, and again for another server."""
        if notice is None:
            return
        if notice.kept is not None:
            self.lessons.again()
        elif self.notice is None:
            told = clean(f"{notice.message} {notice.remedy}".rstrip(), 400)
            self._host.notify(told, severity="warning", timeout=10)
        self.notice = notice
