"""What was read last, and how reading goes: written by the poller's thread, read by those that serve scrapes.

A scrape takes one reference and never waits: not for the driver, not for a lock that a reading could hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gpu_tui import __version__
from gpu_tui.clock import Clock
from gpu_tui.core.assessment import Assessed
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.errors import GpuTuiError
from gpu_tui.wire_metrics import Family, Labels, Peaks, machine_families, simulated_label

if TYPE_CHECKING:
    from gpu_tui.telemetry.poller import Reading

STALLED_S = 3.0
"""A driver call in flight for so long, or for three intervals, makes ``up`` 0: as the explorer's header has it."""
MOST_KINDS = 32
"""Kinds of errors that are told apart; there are ten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One consistent view."""

    seen: Assessed | None = None
    """The last reading's; None before the first and while the machine cannot be read: old figures are not served."""
    read_at: float | None = None
    """Monotonic instant of the last good reading."""
    read_wall: float | None = None
    """The same on the wall clock, seconds since the epoch."""
    took_s: float | None = None
    good: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    simulated: bool = False
    trouble: str = ""
    """What keeps the machine from being read, in words; empty when nothing does."""


class Latest:
    """Takes readings in, gives families out.

    Args:
        assess: what a snapshot comes to; called on the poller's thread.
        clock: for the age.
        stalled_s: seconds the driver call in flight has lasted.
        interval_s: between readings.
        peaks: the most each service held, where that is kept.
        simulated: the machine is a simulated one, whatever is read of it.
    """

    def __init__(
        self,
        assess: Callable[[Snapshot], Assessed],
        clock: Clock,
        stalled_s: Callable[[], float],
        interval_s: float,
        *,
        peaks: Callable[[], Peaks] | None = None,
        simulated: bool = False,
    ) -> None:
        self._assess = assess
        self._clock = clock
        self._stalled_s = stalled_s
        self._limit_s = max(STALLED_S, 3 * interval_s)
        self._peaks = peaks
        self.state = State(simulated=simulated)

    def take(self, reading: Reading) -> None:
        """One reading has finished."""
        state = replace(self.state, took_s=reading.finished - reading.started)
        if reading.snapshot is None:
            error = reading.error
            self.state = _failed(state, "other" if error is None else error.kind, str(error or ""))
            return
        try:
            seen = self._assess(reading.snapshot)
        except GpuTuiError as refused:
            self.state = _failed(state, "choice", str(refused))
            return
        except Exception as mistake:
            self.state = _failed(state, "internal", f"gpu-tui has made a mistake: {type(mistake).__name__}.")
            raise
        self.state = replace(
            state,
            seen=seen,
            read_at=reading.finished,
            read_wall=self._clock.wall(),
            good=state.good + 1,
            trouble="",
        )

    def families(self) -> list[Family]:
        """Everything, as it is now."""
        state = self.state
        up = state.seen is not None and self._stalled_s() < self._limit_s
        made = self._own(state, up)
        if up and state.seen is not None:
            made += machine_families(state.seen, self._peaks() if self._peaks is not None else None)
        return made

    def _own(self, state: State, up: bool) -> list[Family]:
        more = simulated_label(state.simulated)
        age = None if state.read_at is None else max(0.0, self._clock.monotonic() - state.read_at)
        return [
            _one("gpu_tui_build_info", "The gpu-tui that tells this.", 1, {"version": __version__}),
            _one("gpu_tui_up", "1 if the machine's last reading succeeded and none hangs.", up, more),
            _one("gpu_tui_reading_age_seconds", "Seconds since the last reading that succeeded.", age, more),
            _one("gpu_tui_reading_timestamp_seconds", "When the last reading succeeded.", state.read_wall, more),
            _one("gpu_tui_reading_duration_seconds", "How long the last reading took.", state.took_s, more),
            _one("gpu_tui_readings_total", "Readings that succeeded.", state.good, more, counter=True),
            Family(
                name="gpu_tui_reading_errors_total",
                help="Readings that failed, by kind.",
                kind="counter",
                samples=[({"kind": kind, **more}, count) for kind, count in sorted(state.errors.items())],
            ),
        ]


def _failed(state: State, kind: str, words: str) -> State:
    known = kind if kind in state.errors or len(state.errors) < MOST_KINDS else "other"
    errors = {**state.errors, known: state.errors.get(known, 0) + 1}
    return replace(state, seen=None, errors=errors, trouble=words)


def _one(name: str, words: str, value: float | None, labels: Labels, *, counter: bool = False) -> Family:
    samples = [] if value is None else [(labels, float(value))]
    return Family(name=name, help=words, kind="counter" if counter else "gauge", samples=samples)
