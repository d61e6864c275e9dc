"""A replay in the explorer: the recording is read and driven on the telemetry thread; keys only leave a wish there."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_tui.core.history import History
from gpu_tui.core.snapshot import Fault, Snapshot
from gpu_tui.errors import UsageError
from gpu_tui.telemetry.poller import Reading
from gpu_tui.telemetry.recording import when
from gpu_tui.telemetry.recording.events import words as event_words
from gpu_tui.telemetry.recording.reader import Mark
from gpu_tui.telemetry.recording.replay import Position, ReplaySource
from gpu_tui.tui.remembering import Sample, sample
from gpu_tui.tui.widgets.header import Liveness

if TYPE_CHECKING:
    from gpu_tui.core.services import Classifier
    from gpu_tui.tui.app import GpuTuiApp

INTERVAL_S = 0.2
"""How often a replay that plays is looked at; a fifth of a second is smooth enough at 64 times the speed."""
TRAIL_S = 300.0
"""What the memory panel shows; after a jump it is read anew from the recording."""
TRAIL_MOST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Where the replay stands, for the bar."""

    position: Position
    span: tuple[float, float]
    wall_span: tuple[float, float]
    marks: Sequence[Mark]
    gaps: Sequence[tuple[float, float]]
    last: tuple[str, str] | None = None
    """Time and words of the last event."""
    next_at: str | None = None


class Followed:
    """A `TelemetrySource` around a replay: carries wishes out, and collects what was passed on the way.

    Args:
        source: the replay.
        sample: what of a snapshot the memory panel remembers.
        rules: for words about events.
    """

    def __init__(
        self,
        source: ReplaySource,
        sample: Callable[[Snapshot], Sample],
        rules: Classifier,
    ) -> None:
        self.source, self._sample, self._rules = source, sample, rules
        self._wishes: deque[Callable[[ReplaySource], object]] = deque()
        self._lock = threading.Lock()
        self._trail: list[tuple[float, Sample]] = []
        self._anew = False
        self._number: int | None = None
        self._jumped = True
        self._answer: Snapshot | Exception | None = None
        self._words: dict[int, str] = {}
        recording = source.recording
        self._gaps = recording.gaps()
        self.shown = self._shown(source.position())

    def wish(self, wish: Callable[[ReplaySource], object]) -> None:
        """Have something done before the next reading."""
        self._wishes.append(wish)

    def read(self) -> Snapshot:
        """The machine where the replay stands; the same object while it stands still.

        Raises:
            SourceUnavailable: nothing could be read then; the same object while it stands still.
        """
        while self._wishes:
            self._wishes.popleft()(self.source)
            self._jumped = True
        position = self.source.position()
        if position.number != self._number or self._answer is None:
            self._pass(position)
            one = self.source.recording[position.number]
            self._answer = one.error or self.source.shown(one)
            self._number = position.number
        self._jumped = False
        self.shown = self._shown(position)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    def close(self) -> None:
        """Close the recording."""
        self.source.close()

    def take_trail(self) -> tuple[bool, list[tuple[float, Sample]]]:
        """What was passed since the last call, and whether it stands for all that came before."""
        with self._lock:
            anew, trail = self._anew, self._trail
            self._anew, self._trail = False, []
            return anew, trail

    def _pass(self, position: Position) -> None:
        recording, last = self.source.recording, self._number
        on = last is not None and not self._jumped and last < position.number
        begin = recording.at_axis(position.t - TRAIL_S)
        if on and last is not None:
            begin = max(begin, last + 1)
        step = max(1, (position.number - begin) // TRAIL_MOST)
        seen = [recording[number] for number in range(begin, position.number, step)]
        trail = [(one.t, self._sample(one.snapshot)) for one in seen if one.snapshot is not None]
        with self._lock:
            if not on:
                self._anew, self._trail = True, []
            self._trail += trail

    def _shown(self, position: Position) -> Shown:
        source, recording = self.source, self.source.recording
        last, after = source.mark_before(position.number + 1), source.mark_after(position.number)
        return Shown(
            position=position,
            span=recording.span,
            wall_span=recording.wall_span,
            marks=source.marks,
            gaps=self._gaps,
            last=None if last is None else (_clock(last.t), self.words(last)),
            next_at=None if after is None else _clock(after.t),
        )

    def words(self, mark: Mark) -> str:
        """What happened there."""
        if mark.number not in self._words:
            if len(self._words) > 1000:
                self._words.clear()
            self._words[mark.number] = event_words(self.source.recording, mark, self._rules)
        return self._words[mark.number]


def _clock(t: float) -> str:
    return when.told(t)[11:]


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
            self._app.histories.clear()
        for t, values in trail:
            for key, services in values.items():
                self._app.histories.setdefault(key, History()).add(t, services)
        return True

    def wish(self, wish: Callable[[ReplaySource], object]) -> None:
        """Have the replay do something, at once."""
        if self.source is not None:
            self.source.wish(wish)
            self._app.telemetry.poke()

    def go(self, text: str) -> None:
        """Go to a time as typed."""

        def jump(source: ReplaySource) -> None:
            try:
                source.seek(when.instant(source.recording, text))
            except UsageError as error:
                self._app.call_from_thread(self._app.notify, str(error), severity="warning", timeout=8)

        self.wish(jump)

    def show(self, problem: Fault | None, snapshot: Snapshot | None) -> Liveness | None:
        """Show the bar, and return the header's words; None where a machine is watched live."""
        from gpu_tui.tui.widgets.replay import ReplayBar

        bar = self._app.main.query_one("#replay", ReplayBar)
        bar.show(None if self.source is None else self.source.shown)
        if self.source is None:
            return None
        position = self.source.shown.position
        sign = "▶" if position.playing else "‖"
        speed = "" if position.speed == 1 else f" ×{position.speed:g}"
        words = f"REPLAY {sign}{speed} {when.told(position.at)}"
        if snapshot is not None and snapshot.simulated:
            words = f"SIMULATED {words}"
        if problem is not None:
            return Liveness(words=f"{words} ! {problem.kind.value.replace('_', ' ').upper()}", tone="badge-bad")
        return Liveness(words=words, tone="badge-warn")
