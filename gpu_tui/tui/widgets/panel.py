"""The base of all panels: a widget that draws lines of spans into the room it has.

Lines become strips here and not by way of Textual's markup and wrapping, and only lines that look different are
repainted: that is what keeps a key press on the slider within a frame.
"""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.geometry import Region
from textual.strip import Strip
from textual.style import Style
from textual.widget import Widget

from gpu_tui.tui.styling import style_of
from gpu_tui.view.spans import Line
from gpu_tui.view.text import clean


class Panel(Widget):
    """Draws `draw(width, height)`. Subclasses keep what they show and call `redraw` when it changes."""

    HELP = ""
    """What `?` tells of this panel."""

    _drawn: tuple[tuple[int, int], list[Line]] | None = None

    def draw(self, width: int, height: int) -> list[Line]:
        """The lines to show, at most `height` of them, none wider than `width`."""
        raise NotImplementedError

    def redraw(self) -> None:
        """Draw anew and repaint the lines that look different; a steady machine costs no painting."""
        before, self._drawn = self._drawn, None
        now = self._current()
        if before is None or before[0] != now[0]:
            self.refresh()
            return
        rows = max(len(before[1]), len(now[1]))
        changed = [y for y in range(rows) if before[1][y : y + 1] != now[1][y : y + 1]]
        width = self.content_size.width
        if changed:
            self.refresh(*(Region(0, y, width, 1) for y in changed))

    def watch_has_focus(self, focused: bool) -> None:
        """Some panels show where the focus is."""
        super().watch_has_focus(focused)
        self.redraw()

    def _current(self) -> tuple[tuple[int, int], list[Line]]:
        size = self.content_size
        key = (size.width, size.height)
        if self._drawn is None or self._drawn[0] != key:
            lines = self.draw(*key)[: size.height] if size.width > 0 and size.height > 0 else []
            self._drawn = (key, lines)
        return self._drawn

    def render_line(self, y: int) -> Strip:
        """One line as a strip of the content's width."""
        (width, _), lines = self._current()
        base = self.visual_style
        plain = _rich_style(self, "", base)
        if y >= len(lines):
            return Strip.blank(width, plain)
        # The last place before the terminal: whatever was not made visible before is so here.
        shown = [(text if text.isprintable() else clean(text), tone) for text, tone in lines[y] if text]
        segments = [Segment(text, _rich_style(self, tone, base)) for text, tone in shown]
        return Strip(segments).adjust_cell_length(width, plain)


_styles: dict[tuple[str, str, Style], RichStyle] = {}


def _rich_style(panel: Panel, tone: str, base: Style) -> RichStyle:
    key = (panel.app.theme, tone, base)
    found = _styles.get(key)
    if found is None:
        if len(_styles) > 4096:
            _styles.clear()
        told = style_of(tone)
        found = (base + panel.app.stylesheet.parse_style(told) if told else base).rich_style
        _styles[key] = found
    return found
