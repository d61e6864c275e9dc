"""Memory of each service over the last minutes, with the planned level."""

from __future__ import annotations

from gpu_tui.core.books import Books
from gpu_tui.core.history import History
from gpu_tui.core.peaks import series_of
from gpu_tui.tui.widgets.panel import Panel
from gpu_tui.units import bytes_to_mib
from gpu_tui.view.braille import Canvas
from gpu_tui.view.spans import Line, cells

_LEFT = 6


class HistoryPanel(Panel):
    """Braille lines, newest at the right."""

    HELP = (
        "Memory of each service over the last five minutes, newest at the right; the dotted line is the planned "
        "allocation. A gap is a time when nothing could be read."
    )

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._history: History | None = None
        self._names: dict[str, str] = {}
        self._resampled: dict[tuple[str, int], list[int | None]] = {}
        self._books: Books | None = None
        self._total = 0
        """Of the last reading that told it: what was seen before a fault stays to be looked at."""
        self._planned: int | None = None

    def show(self, history: History | None, books: Books | None, planned_bytes: int | None) -> None:
        """Draw this history with this level."""
        self._resampled.clear()
        if history is not self._history:
            self._total = 0
        self._history, self._books, self._planned = history, books, planned_bytes
        if books is not None and books.total_bytes:
            self._total = books.total_bytes
        self.redraw()

    def plan(self, planned_bytes: int | None) -> None:
        """Move the level."""
        if planned_bytes != self._planned:
            self._planned = planned_bytes
            self.redraw()

    def draw(self, width: int, height: int) -> list[Line]:
        """Canvas, axis, legend."""
        history, books = self._history, self._books
        if history is None or books is None or not self._total:
            return [[("nothing read yet", "dim")]]
        canvas = Canvas(width - _LEFT, max(1, height - 1))
        total = float(self._total)
        if self._planned is not None:
            canvas.level(self._planned, total, "warn")
        running = self._series(books)
        for name, series in reversed(running.items()):
            canvas.line(self._points(history, series, canvas.dots[0]), total, f"fg-{name}")
        lines = canvas.lines()
        labels = {0: f"{bytes_to_mib(self._total):.0f}", len(lines) - 1: "0"}
        drawn: list[Line] = [[(f"{labels.get(i, ''):>5} ", "dim"), *line] for i, line in enumerate(lines)]
        return [*drawn, self._legend(list(running), width)]

    def _points(self, history: History, series: str, count: int) -> list[int | None]:
        """A series as drawn, kept until the next reading: a key on the slider moves the level alone."""
        key = (series, count)
        if key not in self._resampled:
            self._resampled[key] = history.resample(series, count)
        return self._resampled[key]

    def _series(self, books: Books) -> dict[str, str]:
        """Series by the name under which each is told; those of the last listing where nothing is listed now."""
        if books.listed:
            self._names = {s.name: series_of(s, books) for s in books.services if s.running}
        return self._names

    def _legend(self, names: list[str], width: int) -> Line:
        line: Line = []
        used = 0
        entries = [*((f"● {name} ", f"fg-{name}") for name in names), ("┄ plan", "warn")]
        for text, tone in entries:
            if used + cells(text) > width:
                break
            line.append((text, tone))
            used += cells(text)
        return line
