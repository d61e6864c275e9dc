"""The slider: `gpu_memory_utilization` in per mille, by keys, typing, mouse click and drag."""

from __future__ import annotations

from collections.abc import Callable

from textual import events
from textual.message import Message

from gpu_tui.tui.widgets.panel import Panel
from gpu_tui.view.bands import Bands
from gpu_tui.view.spans import Line
from gpu_tui.view.track import permille_at, track
from gpu_tui.view.utilization import PERMILLE, parse_utilization

_LEFT = 9
"""Cells before the track: the value, or what is being typed."""


class UtilizationSlider(Panel, can_focus=True):
    """Holds integer steps, exposes the share.

    Args:
        on_move: called in place with each new value, so that all panels are redrawn in the same frame. `Changed` is
            posted besides, for others.
    """

    HELP = (
        "The planned --gpu-memory-utilization, 0 to 1 in steps of 0.001. ╌ is too low or too high, ━ is feasible: all "
        "three checks pass there; with a model whose terms are known, vLLM starts there for certain. ▒ is too close to "
        "call: the terms' bands reach over the edge, or vLLM's own CUDA context may not fit. ┝ and ┥ are the ends of "
        "the feasible range by the middle estimates. ←/→ 0.01, shift 0.05, ctrl 0.001; home/end; [ and ] go to the "
        "ends of the feasible range, f to the nearest value that starts, o to the running server's own. Type a number "
        "(0.45, .45 or 45 for 45 %) and press enter. Click or drag the track."
    )

    class Changed(Message):
        """The value is another."""

        def __init__(self, slider: UtilizationSlider, permille: int) -> None:
            super().__init__()
            self.slider = slider
            self.permille = permille

        @property
        def control(self) -> UtilizationSlider:
            """The slider that changed."""
            return self.slider

        @property
        def gpu_memory_utilization(self) -> float:
            """The value as vLLM takes it."""
            return self.permille / PERMILLE

    def __init__(self, permille: int, on_move: Callable[[int], None], *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.permille = permille
        self.feasible: tuple[int, int] | None = None
        self.zones: Bands | None = None
        self.typed = ""
        self._on_move = on_move
        self._dragging = False

    def show(self, permille: int, feasible: tuple[int, int] | None, zones: Bands | None = None) -> None:
        """Show a value, its range, and where a start is certain or too close to call; says nothing."""
        if (permille, feasible, zones) != (self.permille, self.feasible, self.zones):
            self.permille, self.feasible, self.zones = permille, feasible, zones
            self.redraw()

    def move_to(self, permille: int) -> None:
        """Go to a value, kept within 1..1000, and say so. What was being typed is dropped."""
        permille = min(max(permille, 1), PERMILLE)
        if self.typed:
            self.typed = ""
            self.redraw()
        if permille != self.permille:
            self.permille = permille
            self.redraw()
            self._on_move(permille)
            self.post_message(self.Changed(self, permille))

    def type_key(self, character: str) -> None:
        """Take a digit or point."""
        if len(self.typed) < 6:
            self.typed += character
            self.redraw()

    def erase(self) -> None:
        """Take back the last typed character."""
        self.typed = self.typed[:-1]
        self.redraw()

    def drop(self) -> None:
        """Forget what was typed."""
        self.typed = ""
        self.redraw()

    def commit(self) -> str | None:
        """Go to the typed value. Returns what was typed when it is no utilization, else None."""
        text, self.typed = self.typed, ""
        self.redraw()
        permille = parse_utilization(text)
        if permille is None:
            return text
        self.move_to(permille)
        return None

    def draw(self, width: int, height: int) -> list[Line]:
        """Value and track on one line."""
        value = f"{self.typed}▏" if self.typed else f"{self.permille / PERMILLE:.3f}"
        mark = "▸" if self.has_focus else " "
        head: Line = [(mark, "key"), (f"{value:<{_LEFT - 2}} ", "key" if self.typed else "strong")]
        return [[*head, *track(self.permille, self.feasible, max(1, width - _LEFT), self.zones)]]

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Jump to the click and follow the mouse from there."""
        event.stop()
        self.focus()
        self.capture_mouse()
        self._dragging = True
        self._go(event)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Drag."""
        if self._dragging:
            self._go(event)

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """Let go."""
        self._dragging = False
        self.release_mouse()

    def _go(self, event: events.MouseEvent) -> None:
        offset = event.get_content_offset_capture(self)
        cells = max(1, self.content_size.width - _LEFT)
        self.move_to(permille_at(min(max(offset.x - _LEFT, 0), cells - 1), cells))

    def on_blur(self) -> None:
        """Forget a half-typed value."""
        self.drop()
