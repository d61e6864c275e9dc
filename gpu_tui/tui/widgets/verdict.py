"""The verdict: sign, word, sentence, and what to do. The sentence wraps; it is never cut."""

from __future__ import annotations

from textual.geometry import Size

from gpu_tui.tui.widgets.panel import Panel
from gpu_tui.view.spans import Line, cut_line, wrap
from gpu_tui.view.verdict import Words


class Verdict(Panel):
    """Takes as many rows as its words need, at most `max_rows`; all else gives way to the headline."""

    HELP = (
        "Would vLLM start with this utilization beside these tenants? The sentence is the first check that fails. "
        "Below it: how the start would end, in vLLM's own words (✓ starts, ✗ will not start, ≈ too close to call: the "
        "estimates' band reaches over the edge), and the cheapest change that makes it start, with its number. 'tight' "
        "means that a hand-set figure fits only if the new engine's own CUDA context (0.2–0.6 GiB) is small."
    )

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._words = Words(headline=[])
        self._rows = 0
        self._laid: dict[tuple[int, int], list[Line]] = {}
        self.max_rows = 3

    def show(self, words: Words) -> None:
        """Show a verdict; the layout is done anew only when its height changes."""
        self._words = words
        self._laid.clear()
        least = self.styles.min_height
        rows = max(len(self._lines(self.size.width or 80)), int(least.value) if least is not None else 0)
        if rows != self._rows:
            self.refresh(layout=True)
        self.redraw()
        self._rows = rows

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Rows needed."""
        return max(1, len(self._lines(width)))

    def _lines(self, width: int) -> list[Line]:
        key = (width, self.max_rows)
        if key not in self._laid:
            self._laid[key] = self._lay_out(width)
        return self._laid[key]

    def _lay_out(self, width: int) -> list[Line]:
        words = self._words
        lines = wrap(words.headline, width, indent=2)
        if len(lines) + len(words.rows) <= self.max_rows:
            lines += [cut_line(row, width) for row in words.rows]
        elif words.short:
            lines.append(cut_line(words.short, width))
        for note in words.notes:
            rows = wrap(note, width, indent=5)
            if len(lines) + len(rows) <= self.max_rows:
                lines += rows
        return lines

    def draw(self, width: int, height: int) -> list[Line]:
        """Headline first."""
        return self._lines(width)
