"""The app's side of a replay. Idle, and nothing of a recording is loaded, where a machine is watched live."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_tui.core.history import History
from gpu_tui.core.snapshot import Fault, Snapshot
from gpu_tui.telemetry.poller import Reading
from gpu_tui.tui.remembering import Sample, sample
from gpu_tui.tui.widgets.header import Liveness
from gpu_tui.tui.widgets.keys import Keys
from gpu_tui.view.spans import Line

if TYPE_CHECKING:
    from gpu_tui.telemetry.recording.replay import ReplaySource
    from gpu_tui.tui.app import GpuTuiApp
    from gpu_tui.tui.followed import Followed
    from gpu_tui.tui.tenants import Past

INTERVAL_S = 0.2
"""How often a replay that plays is looked at; a fifth of a second is smooth enough at 64 times the speed."""

_HINTS: Line = [
    (" space ", "key"),
    ("play ", "dim"),
    (" n ", "key"),
    ("event ", "dim"),
    (" T ", "key"),
    ("time ", "dim"),
]
"""Where the bar has no room for its keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Where the replay stands. Shares are of the recording's time, 0..1."""

    number: int
    """Of the observation shown, 0 the first."""
    at: float
    """Its wall time, seconds since the epoch."""
    when: str
    """The same in words, as `begin` and `end` of the recording."""
    begin: str
    end: str
    playing: bool
    speed: float
    share: float
    signs: Sequence[tuple[float, str]]
    """Events: where, and their sign."""
    gaps: Sequence[tuple[float, float]]
    last: tuple[str, str] | None = None
    """Time and words of the last event."""
    next_at: str | None = None


class Replay:
    """The app's side of a replay; idle where a machine is watched live."""

    def __init__(self, app: GpuTuiApp) -> None:
        self._app = app
        self.source: Followed | None = None
        self._last: object = None

    @property
    def active(self) -> bool:
        """Whether a recording is on the screen."""
        return self.source is not None

    def toggle(self) -> bool:
        """Play or stand still; False where a machine is watched live."""
        if self.source is not None:
            self.wish(lambda source: source.pause() if source.position().playing else source.play())
        return self.source is not None

    def follow(self, source: object) -> Followed | None:
        """Take over a source that is a replay; None: it is none."""
        self.leave()
        if self._app.options.replay is None:
            return None
        from gpu_tui.telemetry.recording.replay import ReplaySource
        from gpu_tui.tui.followed import Followed

        if not isinstance(source, ReplaySource):
            return None
        self.source = Followed(source, self._sample, self._app.explorer.classifier)
        self._app.telemetry.interval_s = INTERVAL_S
        for words in source.recording.notes:
            self._app.notify(words, severity="warning", timeout=10)
        return self.source

    def _sample(self, snapshot: Snapshot) -> Sample:
        return sample(snapshot, self._app.explorer.classifier)

    def leave(self) -> None:
        """Turn to another machine."""
        if self.source is not None:
            self._app.telemetry.interval_s = self._app.settings.interval_s
            self._app.main.query_one("#footer", Keys).show([])
        self.source, self._last = None, None

    def news(self, reading: Reading) -> bool:
        """Whether a reading shows another instant than the one before; always of a live machine."""
        if self.source is None:
            return True
        answer = reading.snapshot or reading.error
        if answer is self._last:
            self._app.show_header()
            return False
        self._last = answer
        anew, trail = self.source.take_trail()
        if anew:
            self._app.intake.histories.clear()
            self._app.tenants.leap(self._past(self.source))
        for t, values in trail:
            for key, services in values.items():
                self._app.intake.histories.setdefault(key, History()).add(t, services)
        return True

    def _past(self, followed: Followed) -> Past:
        """The peaks up to here."""
        from gpu_tui.wiring.recorded_peaks import recorded_keepers

        recording, number = followed.source.recording, followed.shown.number
        rules, restarts = self._app.explorer.classifier, self._app.settings.restarts
        return lambda key, stop: recorded_keepers(recording, number, {key}, rules, restarts, stop)

    def wish(self, wish: Callable[[ReplaySource], object]) -> None:
        """Have the replay do something, at once."""
        if self.source is not None:
            self.source.wish(wish)
            self._app.telemetry.poke()

    def go(self, text: str) -> None:
        """Go to a time as typed."""
        app = self._app
        if self.source is not None:
            self.source.go(text, lambda why: app.call_from_thread(app.notify, why, severity="warning", timeout=8))
            app.telemetry.poke()

    def show(self, problem: Fault | None, snapshot: Snapshot | None) -> Liveness | None:
        """Show the bar, and return the header's words; None where a machine is watched live."""
        from gpu_tui.tui.widgets.replay import ReplayBar  # which knows `Shown`

        bar = self._app.main.query_one("#replay", ReplayBar)
        bar.show(None if self.source is None else self.source.shown)
        if self.source is None:
            return None
        if self._app.main.has_class("-compact"):
            self._app.main.query_one("#footer", Keys).show(_HINTS)
        shown = self.source.shown
        speed = "" if shown.speed == 1 else f" ×{shown.speed:g}"
        words = f"REPLAY {'▶' if shown.playing else '‖'}{speed} {shown.when}"
        if snapshot is not None and snapshot.simulated:
            words = f"SIMULATED {words}"
        if problem is not None:
            return Liveness(words=f"{words} ! {problem.kind.value.replace('_', ' ').upper()}", tone="badge-bad")
        return Liveness(words=words, tone="badge-warn")
