"""The bars *now* and *plan* under the slider."""

from __future__ import annotations

from gpu_tui.core.books import Books
from gpu_tui.core.checks import CheckReport
from gpu_tui.tui.widgets.panel import Panel
from gpu_tui.view.bars import bar, now_segments, plan_segments
from gpu_tui.view.spans import Line

_LEFT = 6


class Bars(Panel):
    """Two lines: the same memory before and after."""

    HELP = (
        "now is the GPU's memory as it is, plan as it would be: the tenants that stay, the model, its KV cache. "
        "╱ is what is missing. driver is what no process explains: reserved and unattributed."
    )

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._report: CheckReport | None = None
        self._now: Books | None = None

    def show(self, report: CheckReport | None, now: Books | None = None) -> None:
        """Draw this verdict; `now` is the memory as it is, where the verdict is about another."""
        self._report, self._now = report, now
        self.redraw()

    def draw(self, width: int, height: int) -> list[Line]:
        """Both bars, on one scale."""
        report = self._report
        total = report.books.total_bytes if report else None
        if report is None or total is None:
            return [[("now   ", "dim"), ("unknown", "warn")], [("plan  ", "dim"), ("unknown", "warn")]]
        now, plan = now_segments(self._now or report.books), plan_segments(report)
        scale = max(total, sum(s.size for s in now), sum(s.size for s in plan))
        unknown: Line = [("unknown: the driver does not report all of it", "warn")]
        cells = max(1, width - _LEFT)
        return [
            [(name, "dim"), *(bar(parts, scale, cells) if parts else unknown)]
            for name, parts in (("now   ", now), ("plan  ", plan))
        ]
