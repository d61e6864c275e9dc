"""The base of all panels: a widget that draws lines of spans into the room it has."""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget

from gpu_tui.tui.styling import content
from gpu_tui.view.spans import Line


class Panel(Widget):
    """Draws `draw(width, height)`. Subclasses keep what they show and call `refresh` when it changes."""

    HELP = ""
    """What `?` tells of this panel."""

    def draw(self, width: int, height: int) -> list[Line]:
        """The lines to show, at most `height` of them, none wider than `width`."""
        raise NotImplementedError

    def render(self) -> Content:
        """Draw into the content area."""
        width, height = self.content_size
        if width <= 0 or height <= 0:
            return Content("")
        return content(self.draw(width, height)[:height])
