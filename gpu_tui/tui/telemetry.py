"""Owns the poller on behalf of the app: which source is read, and how fresh what it said is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gpu_tui.clock import Clock
from gpu_tui.core.snapshot import Fault, FaultKind, Snapshot
from gpu_tui.errors import SourceUnavailable
from gpu_tui.ports import TelemetrySource
from gpu_tui.telemetry.poller import Poller, Reading
from gpu_tui.tui.widgets.header import Liveness

STALLED_S = 3.0
"""A call in flight for so long (or three intervals) makes what is shown stale."""

HANGING_S = 8.0
"""A call in flight for so long is told as a fault, and judges nothing."""


def fault_of(error: SourceUnavailable) -> Fault:
    """An error of the source as the panels show it."""
    known = error.kind in {kind.value for kind in FaultKind}
    kind = FaultKind(error.kind) if known else FaultKind.OTHER
    return Fault(kind=kind, message=error.message, remedy=error.remedy)


@dataclass
class Feed:
    """One source being read."""

    poller: Poller
    generation: int


class Telemetry:
    """Starts, replaces and ends the poller.

    Args:
        deliver: takes each reading and the generation of its source; called on the poller's thread.
    """

    def __init__(self, clock: Clock, interval_s: float, deliver: Callable[[Reading, int], None]) -> None:
        self._clock = clock
        self.interval_s = interval_s
        self._deliver = deliver
        self._feed: Feed | None = None
        self._generation = 0
        self.last_error: Fault | None = None
        self.last_seen: float | None = None
        """Monotonic instant of the last snapshot that was taken in."""
        self._took_s = 0.0

    @property
    def generation(self) -> int:
        """Number of the source now read; readings of another are not for showing."""
        return self._generation

    def start(self, source: TelemetrySource) -> None:
        """Read this source from now on; the one before is left to end by itself."""
        self.close()
        self._generation += 1
        generation = self._generation
        poller = Poller(
            source, lambda reading: self._take(reading, generation), interval_s=self.interval_s, clock=self._clock
        )
        self._feed = Feed(poller, generation)
        self.last_error, self.last_seen, self._took_s = None, None, 0.0
        poller.start()

    def _take(self, reading: Reading, generation: int) -> None:
        if generation == self._generation:
            self._took_s = reading.finished - reading.started
        self._deliver(reading, generation)

    def close(self) -> None:
        """End reading; does not wait for a call that hangs."""
        if self._feed is not None:
            self._feed.poller.close()
            self._feed = None

    def poke(self) -> None:
        """Read now instead of at the end of the interval."""
        if self._feed is not None:
            self._feed.poller.poke()

    @property
    def stalled_s(self) -> float:
        """Seconds the call in flight has lasted; 0 when none is."""
        return 0.0 if self._feed is None else self._feed.poller.stalled_for(self._clock.monotonic())

    @property
    def hangs(self) -> bool:
        """Whether a driver call has not come back for so long that leaving must not wait for it."""
        return self.stalled_s > 1.0

    def age_s(self) -> float | None:
        """Seconds since the last snapshot; None before the first."""
        return None if self.last_seen is None else max(0.0, self._clock.monotonic() - self.last_seen)

    def hanging_fault(self) -> Fault | None:
        """The call in flight as a fault, once it has lasted too long."""
        if self.stalled_s < HANGING_S:
            return None
        return Fault(
            kind=FaultKind.TIMEOUT,
            message=f"The NVIDIA driver has not answered for {self.stalled_s:.0f} s.",
            remedy="Look for Xid lines in dmesg; the figures shown are from before. They return when the driver does.",
        )

    def liveness(self, snapshot: Snapshot | None, problem: Fault | None, paused: bool) -> Liveness:
        """Live or not, in words; a simulated machine always says so.

        Args:
            snapshot: the last one taken in.
            problem: what keeps the GPU on show from being judged, though the machine is read.
            paused: whether the user froze the screen.
        """
        simulated = snapshot is not None and snapshot.simulated
        words, tone = self._state(snapshot, problem, paused)
        if simulated and snapshot is not None:
            detail = snapshot.source_detail
            return Liveness(words=f"SIMULATED {detail}  {words}", tone="badge-warn" if tone == "ok" else tone)
        return Liveness(words=words, tone=tone)

    def _state(self, snapshot: Snapshot | None, problem: Fault | None, paused: bool) -> tuple[str, str]:
        age = self.age_s()
        old = "" if age is None else f", figures {age:.0f} s old"
        if paused:
            return f"‖ PAUSED{old}, p goes on", "badge-warn"
        if self.stalled_s >= max(STALLED_S, 3 * self.interval_s):
            return f"! STALE: driver silent {self.stalled_s:.0f} s{old}", "badge-bad"
        if self.last_error is not None:
            return f"! NO READING: {self.last_error.kind.value.replace('_', ' ')}{old}", "badge-bad"
        if snapshot is None:
            return "starting", "dim"
        if problem is not None:
            return f"! {problem.kind.value.replace('_', ' ').upper()}", "badge-bad"
        if self._took_s > self.interval_s:
            return f"! live, slow driver: {self._took_s:.1f} s a reading", "badge-warn"
        return f"● live {self.interval_s:.1f} s", "ok"
