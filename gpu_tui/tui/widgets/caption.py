"""What a simulated machine's story says of itself: one line under the header, so that it hides nothing."""

from __future__ import annotations

from gpu_tui.tui.widgets.panel import Panel
from gpu_tui.view.spans import Line, cut_line
from gpu_tui.view.text import clean

LONGEST = 74
"""Cells that a caption may have to be read whole in a box's lower edge on a terminal of 80 columns."""


class CaptionLine(Panel):
    """Takes no room before the first caption, and keeps it from then on, so that nothing moves between two of them.

    On a small terminal it is never shown; the caption then stands in a box's lower edge.
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._caption = ""

    def show(self, caption: str) -> None:
        """The caption of this moment, empty where the story says nothing."""
        if caption == self._caption:
            return
        self._caption = caption
        self.add_class("-told")
        self.redraw()

    def draw(self, width: int, height: int) -> list[Line]:
        """A scenario's own words, from a file: text, never markup."""
        words = clean(self._caption, 200)
        return [cut_line([(" » ", "key"), (words, "strong")], width)] if words else []
