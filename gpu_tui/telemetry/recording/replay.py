"""A recording as a machine: a `TelemetrySource` whose time is driven by whoever watches."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace

from gpu_tui.clock import Clock
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.telemetry.recording.codec import Observation
from gpu_tui.telemetry.recording.reader import Mark, Recording
from gpu_tui.telemetry.recording.when import told
from gpu_tui.view.text import clean

SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""Recorded seconds per second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a replay stands."""

    number: int
    """Of the observation shown, 0 the first."""
    count: int
    t: float
    """Instant on the recording's axis: between two observations while it plays."""
    at: float
    """Wall time of the observation shown."""
    playing: bool
    speed: float


class ReplaySource:
    """Plays a recording. Safe to be driven from one thread while another reads.

    Args:
        recording: closed with this source.
        clock: by which it plays.
        number: where it stands at first.
        playing: whether it plays at once.
    """

    def __init__(self, recording: Recording, clock: Clock, number: int = 0, *, playing: bool = False) -> None:
        self.recording = recording
        self._clock = clock
        self._lock = threading.Lock()
        self._marks = recording.marks()
        self._numbers = [mark.number for mark in self._marks]
        self._speed = 1.0
        self._playing = False
        self._number = number
        self._t = recording[number].t
        self._since = clock.monotonic()
        if playing:
            self.play()

    # Telemetry

    def read(self) -> Snapshot:
        """The machine as it was at the instant shown.

        Raises:
            SourceUnavailable: it could not be read then either.
        """
        one = self.recording[self.position().number]
        if one.error is not None:
            raise one.error
        return self.shown(one)

    def shown(self, one: Observation) -> Snapshot:
        """An observation's snapshot, which says that it is a replay and of when. Its age is that of the replay."""
        seen = one.snapshot
        if seen is None:
            raise ValueError("nothing could be read then")
        when = f"replay {clean(self.recording.path.name, 60)} @ {told(one.at)}"
        detail = f"{clean(seen.source_detail)}, {when}" if seen.simulated else when
        return replace(seen, source="replay", source_detail=detail, taken_monotonic=one.t)

    def close(self) -> None:
        """Close the recording."""
        self.recording.close()

    # Time

    def position(self) -> Position:
        """Where it stands now."""
        with self._lock:
            self._advance()
            return Position(
                number=self._number,
                count=len(self.recording),
                t=self._t,
                at=self.recording[self._number].at,
                playing=self._playing,
                speed=self._speed,
            )

    def _advance(self) -> None:
        if not self._playing:
            return
        now = self._clock.monotonic()
        passed, self._since = now - self._since, now
        self._t = min(self._t + max(0.0, passed) * self._speed, self.recording.span[1])
        self._number = max(self._number, self.recording.at_axis(self._t))
        if self._number >= len(self.recording) - 1:
            self._playing = False

    def play(self) -> None:
        """Go on from here; from the beginning where the end is reached."""
        with self._lock:
            if self._number >= len(self.recording) - 1:
                self._stand(0)
            self._playing, self._since = True, self._clock.monotonic()

    def pause(self) -> None:
        """Stand still."""
        with self._lock:
            self._advance()
            self._playing = False

    def step(self, count: int) -> None:
        """Stand still, `count` observations on or back."""
        with self._lock:
            self._advance()
            self._playing = False
            self._stand(self._number + count)

    def seek(self, number: int) -> None:
        """Go to an observation; play on where it played."""
        with self._lock:
            self._advance()
            self._stand(number)

    def seek_by(self, seconds: float) -> None:
        """Go on or back by recorded seconds."""
        with self._lock:
            self._advance()
            self._to(self._t + seconds)

    def seek_share(self, share: float) -> None:
        """Go to a share of the recording's time, 0..1."""
        first, last = self.recording.span
        with self._lock:
            self._advance()
            self._to(first + share * (last - first))

    def faster(self, steps: int) -> float:
        """Another of `SPEEDS`; which one."""
        with self._lock:
            self._advance()
            place = min(max(SPEEDS.index(self._speed) + steps, 0), len(SPEEDS) - 1)
            self._speed = SPEEDS[place]
            return self._speed

    def _to(self, t: float) -> None:
        self._stand(self.recording.at_axis(t))
        first, last = self.recording.span
        self._t = min(max(t, first), last)

    def _stand(self, number: int) -> None:
        self._number = min(max(number, 0), len(self.recording) - 1)
        self._t = self.recording[self._number].t
        self._since = self._clock.monotonic()

    # Events

    @property
    def marks(self) -> list[Mark]:
        """Where something happened."""
        return self._marks

    def mark_after(self, number: int) -> Mark | None:
        """The next event behind an observation."""
        place = bisect_right(self._numbers, number)
        return self._marks[place] if place < len(self._marks) else None

    def mark_before(self, number: int) -> Mark | None:
        """The last event before an observation."""
        place = bisect_left(self._numbers, number)
        return self._marks[place - 1] if place else None
