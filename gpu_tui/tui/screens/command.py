"""What to type for the plan: shown to be selected by hand, copied by key. Nothing is applied."""

from __future__ import annotations

from collections.abc import Callable

from textual.binding import Binding

from gpu_tui.tui.screens.dialogs import TextDialog
from gpu_tui.view.typed import FLAGS_KEY, KEYS, Laid


class CommandDialog(TextDialog):
    """Blocks of text, each with the key that copies it.

    Args:
        title: what it is for.
        laid: the blocks.
        copy: to the clipboard, by OSC 52.
    """

    BINDINGS = [
        Binding("t", "dismiss", "Close", show=False),
        *(Binding(key, f"copy('{key}')", "Copy", show=False) for key in (FLAGS_KEY, *KEYS)),
    ]

    def __init__(self, title: str, laid: Laid, copy: Callable[[str], None]) -> None:
        super().__init__(title, laid.lines)
        self._blocks, self._copy = laid.blocks, copy

    def action_copy(self, key: str) -> None:
        """Copy a block."""
        text = self._blocks.get(key)
        if text is None:
            self.notify(f"Nothing is copied by {key}.", severity="warning")
        else:
            self._copy(text)
