"""The replay's bar: where in the recording, what happened there, and the keys that drive it."""

from __future__ import annotations

from collections.abc import Callable

from textual import events

from gpu_tui.tui.replay import Shown
from gpu_tui.tui.widgets.panel import Panel
from gpu_tui.view.spans import Line, cells, cut_line
from gpu_tui.view.text import clean

KEYS = (
    ("space", "play"),
    ("<>", "step"),
    ("()", "10 s"),
    ("{}", "1 min"),
    ("n/N", "event"),
    ("s/S", "speed"),
    ("T", "time"),
)


class ReplayBar(Panel):
    """A track of the whole recording with its events; a click goes there.

    Args:
        go: takes the share of the recording that was clicked, 0..1.
    """

    HELP = (
        "A recorded machine instead of this one. The track is the whole recording: ● where it stands, ╵ an event, "
        "! a fault, ┆ a gap or a clock that was set. Everything else on the screen is of that instant, and the slider "
        "judges it: would this utilization have held then?"
    )

    def __init__(self, go: Callable[[float], None], *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._go = go
        self._shown: Shown | None = None
        self._track = (0, 0)

    def show(self, shown: Shown | None) -> None:
        """Show where the replay stands; None hides the bar, whose row a small screen takes from the services."""
        self.display = shown is not None
        self.screen.set_class(shown is not None, "-replay")
        if shown != self._shown:
            self._shown = shown
            self.redraw()

    def draw(self, width: int, height: int) -> list[Line]:
        """The track, then the last event and the keys."""
        shown = self._shown
        if shown is None:
            return []
        sign = "▶" if shown.playing else "‖"
        head: Line = [(f" {sign} ×{shown.speed:<4g} ", "strong"), (f"{shown.begin[11:]} ", "dim")]
        tail: Line = [(f" {shown.end[11:]} ", "dim"), (f"{shown.share * 100:3.0f} % ", "")]
        left = sum(len(text) for text, _ in head)
        room = max(4, width - left - sum(len(text) for text, _ in tail))
        self._track = (left, room)
        lines = [cut_line([*head, *self._line(room), *tail], width)]
        return lines if height < 2 else [*lines, self._below(shown, width)]

    def _line(self, room: int) -> Line:
        shown = self._shown
        if shown is None:
            return []
        signs = ["─"] * room
        tones = ["dim"] * room
        for begin, end in shown.gaps:
            for place in range(round(begin * (room - 1)) + 1, round(end * (room - 1))):
                signs[place] = " "
        for share, sign in shown.signs:
            place = round(share * (room - 1))
            if signs[place] != "!":
                signs[place], tones[place] = sign, "bad" if sign == "!" else "warn"
        here = round(shown.share * (room - 1))
        signs[here], tones[here] = "●", "strong"
        return list(zip(signs, tones, strict=True))

    def _below(self, shown: Shown, width: int) -> Line:
        told: Line = [(" no event yet", "dim")]
        if shown.last is not None:
            told = [(f" {shown.last[0]} ", "strong"), (clean(shown.last[1], 200), "")]
        if shown.next_at is not None:
            told.append((f"  next {shown.next_at}", "dim"))
        told = cut_line(told, width)
        left = width - sum(cells(text) for text, _ in told)
        keys: Line = []
        for key, word in KEYS:
            left -= len(key) + len(word) + 2
            if left < 1:
                break
            keys += [(f" {key} ", "key"), (word, "dim")]
        gap = width - sum(cells(text) for text, _ in [*told, *keys])
        return [*told, (" " * gap, ""), *keys]

    def on_click(self, event: events.Click) -> None:
        """Go where the track was clicked."""
        left, room = self._track
        if event.y == 0 and room > 1 and left <= event.x < left + room:
            self._go((event.x - left) / (room - 1))
