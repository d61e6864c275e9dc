"""One line over the panels, while an alert stands that nobody has acknowledged."""

from __future__ import annotations

from collections.abc import Sequence

from gpu_tui.core.alerts import Alert
from gpu_tui.tui.widgets.panel import Panel
from gpu_tui.view.alerts import newest_line
from gpu_tui.view.spans import Line


class AlertLine(Panel):
    """Takes no room while there is nothing to tell, nor on a small terminal, whose header tells the count."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._shown: Sequence[Alert] = ()

    def show(self, shown: Sequence[Alert]) -> None:
        """The alerts that stand, the newest first."""
        if shown == self._shown:
            return
        self._shown = shown
        self.set_class(any(not alert.acknowledged for alert in shown), "-standing")
        self.redraw()

    def draw(self, width: int, height: int) -> list[Line]:
        """The newest."""
        return [newest_line(self._shown, width)]

    async def on_click(self) -> None:
        """The list."""
        await self.screen.run_action("alerts")
