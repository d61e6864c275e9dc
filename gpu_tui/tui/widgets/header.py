"""The top line: which GPU, how it is, and whether what is shown is live."""

from __future__ import annotations

from dataclasses import dataclass

from gpu_tui.core.snapshot import Gpu
from gpu_tui.tui.widgets.panel import Panel
from gpu_tui.units import format_mib
from gpu_tui.view.spans import Line
from gpu_tui.view.text import clean


@dataclass(frozen=True, slots=True, kw_only=True)
class Liveness:
    """Whether what is shown is live, in words and tone."""

    words: str
    tone: str


class Header(Panel):
    """One line. What does not fit is dropped whole, the least important first; the state never is."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._gpu: Gpu | None = None
        self._count = 0
        self._state = Liveness(words="starting", tone="dim")

    def show(self, gpu: Gpu | None, count: int, state: Liveness) -> None:
        """Show this GPU of `count`."""
        self._gpu, self._count, self._state = gpu, count, state
        self.redraw()

    def draw(self, width: int, height: int) -> list[Line]:
        """Name left, state right."""
        state = f" {self._state.words} "
        room = width - len(state)
        line: Line = []
        used = 0
        for text, tone in self._parts():
            if used + len(text) <= room:
                line.append((text, tone))
                used += len(text)
        return [[*line, (" " * max(0, room - used), ""), (state[:width], self._state.tone)]]

    def _parts(self) -> Line:
        parts: Line = [(" gpu-tui ", "strong")]
        gpu = self._gpu
        if gpu is None:
            return parts
        which = f" GPU {gpu.label}" + (f"/{self._count} (g)" if self._count > 1 else "")
        parts.append((which, "key"))
        parts.append((f"  {clean(gpu.name, 32)}", ""))
        if gpu.total_bytes is not None:
            parts.append((f"  {format_mib(gpu.total_bytes)} MiB", ""))
        if gpu.utilization_pct is not None:
            parts.append((f"  util {gpu.utilization_pct} %", "dim"))
        if gpu.temperature_c is not None:
            parts.append((f"  {gpu.temperature_c} °C", "dim"))
        if gpu.power_w is not None:
            parts.append((f"  {gpu.power_w:.0f} W", "dim"))
        return parts
