"""The dialogs of recording and replay: a file to record into, a time to go to."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from gpu_tui.tui.styling import content


class AskDialog(ModalScreen[str | None]):
    """One line to type; None when it was closed."""

    BINDINGS = [Binding("escape", "dismiss", "Close", id="ask.close", tooltip="Do nothing")]

    def __init__(self, title: str, value: str, words: Sequence[str], does: str) -> None:
        super().__init__()
        self._heading, self._value, self._words, self._does = title, value, words, does

    def compose(self) -> ComposeResult:
        """A field, and what may stand in it."""
        with Vertical(classes="dialog -small") as box:
            box.border_title = self._heading
            box.border_subtitle = f"enter {self._does}, esc closes"
            yield Input(self._value, compact=True, id="ask")
            yield Static(content([[(line, "dim")] for line in self._words]), classes="dialog-text")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """That is it."""
        self.dismiss(event.value.strip() or None)
