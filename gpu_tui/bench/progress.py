"""How far a run is, told as it goes on."""

from __future__ import annotations

from collections.abc import Callable

from gpu_tui.bench.events import Event, Kind, Phase, Progress, Stage
from gpu_tui.bench.plan import MeasurePlan, Mode
from gpu_tui.clock import Clock

Emit = Callable[[Event], None]


def parts_of(plan: MeasurePlan) -> int:
    """How many loads each endpoint is given."""
    return 2 if plan.mode is Mode.INTERFERENCE else 1  # alone, and beside the other


class Teller:
    """Counts what has ended and emits `Progress`.

    Args:
        emit: sees every event.
    """

    def __init__(self, plan: MeasurePlan, emit: Emit, clock: Clock) -> None:
        self._plan = plan
        self._clock = clock
        kinds = 2 if plan.mode in (Mode.BOTH, Mode.INTERFERENCE) else 1
        self._parts = kinds * parts_of(plan)
        self._done = self._errors = 0
        self._load_began = 0.0
        self._load_before = self._loads_over = 0
        self.emit = emit
        self.began = clock.monotonic()
        self.stage: Stage | None = None

    def since_s(self) -> float:
        """Seconds since the run began."""
        return self._clock.monotonic() - self.began

    def drop(self, parts: int = 1) -> None:
        """So many loads will not be sent after all."""
        self._parts = max(self._loads_over, self._parts - parts)

    def no_more(self) -> None:
        """No further load will be sent."""
        self._parts = self._loads_over

    def begin(self, kind: Kind | None) -> None:
        """A load begins."""
        self._load_began, self._load_before = self._clock.monotonic(), self._done
        self.say("load", kind)

    def finish(self, loads: int = 1) -> None:
        """So many loads have ended."""
        self._loads_over += loads

    def ended(self, kind: Kind, *, failed: bool, at_once: int = 1, counts: bool = True) -> None:
        """A measured request has ended.

        Args:
            at_once: loads under way side by side.
            counts: False for one beyond what was asked for.
        """
        self._done += counts
        self._errors += failed
        spent, ended = self._clock.monotonic() - self._load_began, self._done - self._load_before
        left = self._plan.requests * at_once - ended
        if self._plan.duration_s is not None:
            self.say("load", kind, left_s=max(0.0, self._plan.duration_s - spent))
        else:
            self.say("load", kind, left_s=spent / ended * max(0, left) if ended else None)

    def say(self, phase: Phase, kind: Kind | None, *, left_s: float | None = None, message: str = "") -> None:
        """Emit how it stands."""
        event = Progress(
            phase=phase,
            kind=kind,
            done=self._done,
            total=self._total(),
            errors=self._errors,
            elapsed_s=round(self.since_s(), 3),
            left_s=None if left_s is None else round(left_s, 3),
            message=message,
            stage=self.stage,
        )
        self.emit(event)

    def _total(self) -> int:
        duration = self._plan.duration_s
        if duration is None:
            return self._plan.requests * self._parts
        if self._load_began and self._loads_over < self._parts:
            spent = min(1.0, (self._clock.monotonic() - self._load_began) / duration)
            share = (self._loads_over + spent) / self._parts
            return max(self._done, round(self._done / share) if share else 0)
        return self._done
