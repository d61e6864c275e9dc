"""One line over the panels, while a vLLM starts and memory that others move would be booked to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_tui.tui.widgets.panel import Panel
from gpu_tui.view.spans import Line

if TYPE_CHECKING:
    from gpu_tui.wiring.deploying import Shown


class HandsOffLine(Panel):
    """Takes no room while hands may be on, nor on a small terminal, whose header tells it."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._shown: Shown | None = None

    def show(self, shown: Shown | None) -> None:
        """What is known of starts."""
        if shown is self._shown:
            return
        self._shown = shown
        self.set_class(shown is not None and bool(shown.exposed), "-standing")
        self.redraw()

    def draw(self, width: int, height: int) -> list[Line]:
        """What not to touch, and for whom."""
        from gpu_tui.view.deployments import notice

        shown = self._shown
        return [] if shown is None else [notice(shown.exposed, shown.races, shown.at_s, width)]

    async def on_click(self) -> None:
        """The screen of starts."""
        await self.screen.run_action("deployments")
