"""Dialogs over the explorer: help, explain, processes, GPU list, confirmation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, OptionList, Static
from textual.widgets.option_list import Option

from gpu_tui.tui.styling import content
from gpu_tui.view.spans import Line

RENEW_S = 1.0


class TextDialog(ModalScreen[None]):
    """Lines to read; scrolls with the keys, closes with escape, enter or the key that opened it.

    Args:
        title: of the box.
        lines: what to read.
        renew: tells the lines anew, every `RENEW_S`: ages grow while they are read.
    """

    BINDINGS = [
        Binding("escape,q,enter,e,question_mark", "dismiss", "Close", id="dialog.close", tooltip="Close"),
        Binding("up,k", "scroll(-1)", "Up", show=False),
        Binding("down,j", "scroll(1)", "Down", show=False),
        Binding("pageup", "scroll(-10)", "Page up", show=False),
        Binding("pagedown,space", "scroll(10)", "Page down", show=False),
    ]

    def __init__(self, title: str, lines: Sequence[Line], *, renew: Callable[[], Sequence[Line]] | None = None) -> None:
        super().__init__()
        self._heading = title
        self._lines = lines
        self._renew = renew

    def on_mount(self) -> None:
        """Begin to tell it anew."""
        if self._renew is not None:
            self.set_interval(RENEW_S, self.renew)

    def renew(self) -> None:
        """Tell it anew, where it reads otherwise now."""
        lines = self._renew() if self._renew is not None else self._lines
        if lines != self._lines:
            self._lines = lines
            self.query_one(".dialog-text", Static).update(content(lines))

    def compose(self) -> ComposeResult:
        """A box with a title."""
        with VerticalScroll(classes="dialog") as box:
            box.border_title = Content(self._heading)
            box.border_subtitle = "↑↓ scroll, esc closes"
            yield Static(content(self._lines), classes="dialog-text")

    def action_scroll(self, rows: int) -> None:
        """Scroll the text."""
        self.query_one(VerticalScroll).scroll_relative(y=rows, animate=False)


class ConfirmDialog(ModalScreen[bool]):
    """A question with two answers; *no* has the focus."""

    BINDINGS = [
        Binding("escape,n,q", "answer(False)", "No", id="confirm.no", tooltip="Do nothing"),
        Binding("y", "answer(True)", "Yes", id="confirm.yes", tooltip="Go on"),
        Binding("left,right,up,down", "app.focus_next", "Other answer", show=False),
    ]

    def __init__(self, title: str, lines: Sequence[Line], yes: str = "Yes (y)", no: str = "No (n)") -> None:
        super().__init__()
        self._heading = title
        self._lines = lines
        self._labels = (no, yes)

    def compose(self) -> ComposeResult:
        """Text above, answers below."""
        with Vertical(classes="dialog -small") as box:
            box.border_title = Content(self._heading)
            with VerticalScroll(classes="confirm-text", can_focus=False):
                yield Static(content(self._lines), classes="dialog-text")
            with Horizontal(classes="answers"):
                yield Button(self._labels[0], id="no", compact=True)
                yield Button(self._labels[1], id="yes", compact=True)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer."""
        self.dismiss(event.button.id == "yes")

    def action_answer(self, yes: bool) -> None:
        """Answer by key."""
        self.dismiss(yes)


class ChoiceDialog(ModalScreen[str | None]):
    """A list to choose one of."""

    BINDINGS = [Binding("escape,q", "dismiss", "Close", id="choice.close", tooltip="Choose nothing")]

    def __init__(self, title: str, options: Sequence[tuple[str, Line]], current: str | None) -> None:
        super().__init__()
        self._heading = title
        self._options = options
        self._current = current

    def compose(self) -> ComposeResult:
        """The list."""
        with Vertical(classes="dialog -small") as box:
            box.border_title = Content(self._heading)
            box.border_subtitle = "enter chooses, esc closes"
            yield OptionList(*(Option(content([line]), id=key) for key, line in self._options))

    def on_mount(self) -> None:
        """Start at the current one."""
        keys = [key for key, _ in self._options]
        self.query_one(OptionList).highlighted = keys.index(self._current) if self._current in keys else 0

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Choose."""
        self.dismiss(event.option.id)
