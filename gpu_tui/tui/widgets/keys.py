"""The footer: keys as far as they fit, whole hints only; a running measurement's progress."""

from __future__ import annotations

from textual import events

from gpu_tui.tui.widgets.panel import Panel
from gpu_tui.view.spans import Line

HINTS: tuple[tuple[str, str, str], ...] = (
    ("←/→", "0.01", ""),
    ("f", "feasible", "feasible"),
    ("r", "run", "run"),
    ("?", "help", "help"),
    ("q", "quit", "app.quit"),
    ("e", "explain", "explain"),
    ("l", "panels", "panels"),
    ("M", "model", "model"),
    ("t", "type", "type"),
    ("p", "pause", "pause"),
    ("^p", "palette", "app.command_palette"),
    ("y", "copy", "copy_flag"),
    ("⇧←/→", "0.05", ""),
    ("m/k", "model/KV", "edit_model"),
    ("g", "GPU", "gpu"),
)
"""Key, word, action: the most important first; the last are the first to be dropped."""
DEPLOYS = ("D", "deployment", "deployments")
"""Offered while a server starts."""


class Keys(Panel):
    """One line of hints; a click on one does it."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._progress: Line = []
        self._hidden: frozenset[str] = frozenset()
        self._hints = HINTS
        self._spots: list[tuple[int, int, str]] = []

    def show(self, progress: Line, hidden: frozenset[str] = frozenset()) -> None:
        """Show progress (nothing when idle) and all hints but those hidden."""
        if (progress, hidden) != (self._progress, self._hidden):
            self._progress, self._hidden = progress, hidden
            self.redraw()

    def offer(self, deployment: bool) -> None:
        """Offer the screen of starts, after the keys that everybody needs."""
        hints = (*HINTS[:5], DEPLOYS, *HINTS[5:]) if deployment else HINTS
        if hints != self._hints:
            self._hints = hints
            self.redraw()

    def draw(self, width: int, height: int) -> list[Line]:
        """Progress first, then hints in their order."""
        line: Line = [*self._progress]
        used = sum(len(text) for text, _ in line)
        self._spots = []
        for key, word, action in self._hints:
            size = len(key) + len(word) + 3
            if key in self._hidden or used + size > width:
                continue
            line += [(f" {key} ", "key"), (f"{word} ", "dim")]
            self._spots.append((used, used + size, action))
            used += size
        return [line]

    async def on_click(self, event: events.Click) -> None:
        """Do what the hint under the mouse says."""
        for start, end, action in self._spots:
            if start <= event.x < end and action:
                await self.screen.run_action(action)
