"""Where the listed runs are to be written."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from gpu_tui.tui.styling import content

FILE = "gpu-tui-runs.md"


class ExportDialog(ModalScreen[str | None]):
    """Asks for a file; its name tells the format."""

    BINDINGS = [Binding("escape", "dismiss", "Close", id="export.close", tooltip="Write nothing")]

    def __init__(self, runs: int) -> None:
        super().__init__()
        self._runs = runs

    def compose(self) -> ComposeResult:
        """What the names mean, and a field."""
        words = (
            "name.md: a report, its plots as text and as SVG files beside it",
            "name.csv: a line a run",
            "name.json: everything that is kept of each run",
        )
        with Vertical(classes="dialog -small") as box:
            box.border_title = f"Write {self._runs} run{'' if self._runs == 1 else 's'} to a file"
            box.border_subtitle = "enter writes, esc closes"
            yield Input(FILE, compact=True, id="export-file")
            yield Static(content([[(line, "dim")] for line in words]), classes="dialog-text")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """That is the file."""
        self.dismiss(event.value.strip() or None)
