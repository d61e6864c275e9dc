"""A recording as the explorer's source: read and driven on the telemetry thread; keys only leave a wish there."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from gpu_tui.core.services import Classifier
from gpu_tui.core.snapshot import Snapshot
from gpu_tui.errors import UsageError
from gpu_tui.telemetry.recording import when
from gpu_tui.telemetry.recording.events import words as event_words
from gpu_tui.telemetry.recording.marks import Kind
from gpu_tui.telemetry.recording.reader import Mark
from gpu_tui.telemetry.recording.replay import Position, ReplaySource
from gpu_tui.tui.remembering import Sample
from gpu_tui.tui.replay import Shown

TRAIL_S = 300.0
"""What the memory panel shows; after a jump it is read anew from the recording."""
TRAIL_MOST = 100


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
        self._passed: deque[Snapshot] = deque(maxlen=TRAIL_MOST * 2)
        self._leapt = False
        self._anew = False
        self._number: int | None = None
        self._jumped = True
        self._answer: Snapshot | Exception | None = None
        self._words: dict[int, str] = {}
        recording = source.recording
        self._gaps = [(self._share(a), self._share(b)) for a, b in recording.gaps()]
        self._signs = [(self._share(mark.t), _sign(mark.kinds)) for mark in source.marks]
        self._span = tuple(when.told(at) for at in recording.wall_span)
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

    def take_passed(self) -> tuple[bool, list[Snapshot]]:
        """The machine as it was on the way here since the last call, and whether a jump lies before all of it."""
        with self._lock:
            leapt, passed = self._leapt, list(self._passed)
            self._leapt = False
            self._passed.clear()
            return leapt, passed

    def _pass(self, position: Position) -> None:
        recording, last = self.source.recording, self._number
        on = last is not None and not self._jumped and last < position.number
        begin = recording.at_axis(position.t - TRAIL_S)
        if on and last is not None:
            begin = max(begin, last + 1)
        step = max(1, (position.number - begin) // TRAIL_MOST)
        seen = [recording[number] for number in range(begin, position.number, step)]
        trail = [(one.t, self._sample(one.snapshot)) for one in seen if one.snapshot is not None]
        passed = [self.source.shown(one) for one in seen if one.snapshot is not None]
        with self._lock:
            if not on:
                self._anew, self._trail = True, []
                self._leapt = True
                self._passed.clear()
            self._passed += passed
            self._trail += trail

    def _shown(self, position: Position) -> Shown:
        source = self.source
        last, after = source.mark_before(position.number + 1), source.mark_after(position.number)
        return Shown(
            number=position.number,
            at=position.at,
            when=when.told(position.at),
            playing=position.playing,
            speed=position.speed,
            share=self._share(position.t),
            begin=self._span[0],
            end=self._span[1],
            signs=self._signs,
            gaps=self._gaps,
            last=None if last is None else (_clock(last.t), self.words(last)),
            next_at=None if after is None else _clock(after.t),
        )

    def _share(self, t: float) -> float:
        first, last = self.source.recording.span
        return 1.0 if last <= first else min(1.0, max(0.0, (t - first) / (last - first)))

    def go(self, text: str, refuse: Callable[[str], object]) -> None:
        """Go to a time as typed, before the next reading; `refuse` takes why it cannot be gone to."""

        def jump(source: ReplaySource) -> None:
            try:
                source.seek(when.instant(source.recording, text))
            except UsageError as error:
                refuse(str(error))

        self.wish(jump)

    def words(self, mark: Mark) -> str:
        """What happened there."""
        if mark.number not in self._words:
            if len(self._words) > 1000:
                self._words.clear()
            self._words[mark.number] = event_words(self.source.recording, mark, self._rules)
        return self._words[mark.number]


def _clock(t: float) -> str:
    return when.told(t)[11:]


def _sign(kinds: Kind) -> str:
    if Kind.FAULT in kinds:
        return "!"
    return "┆" if kinds & (Kind.GAP | Kind.CLOCK) else "╵"
