"""The alerts: those that stand, those that were, the rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from gpu_tui.tui.styling import content
from gpu_tui.view.alerts import alert_row, event_row, no_rules, rule_words
from gpu_tui.view.spans import Line

if TYPE_CHECKING:
    from gpu_tui.tui.app import GpuTuiApp

MOST_PAST = 50


class AlertsScreen(ModalScreen[None]):
    """A list over the explorer; it follows what happens."""

    BINDINGS = [
        Binding("escape,q,A", "dismiss", "Close", id="alerts.close", tooltip="Close"),
        Binding("enter,space", "acknowledge", "Acknowledge", id="alerts.one", tooltip="Acknowledge the marked alert"),
        Binding("a", "acknowledge_all", "Acknowledge all", id="alerts.all", tooltip="Acknowledge every alert"),
    ]

    @property
    def gpu_app(self) -> GpuTuiApp:
        """The app, typed."""
        return cast("GpuTuiApp", self.app)

    def compose(self) -> ComposeResult:
        """The alerts above, what was and the rules below."""
        with Vertical(classes="dialog") as box:
            box.border_title = "Alerts"
            box.border_subtitle = "enter acknowledges, a all, esc closes"
            yield OptionList(id="alert-list")
            with VerticalScroll(can_focus=False):
                yield Static(id="alert-past", classes="dialog-text")

    def on_mount(self) -> None:
        """Show them."""
        self.show()

    def show(self) -> None:
        """Show anew; the mark stays on its alert."""
        if not self.query("#alert-past"):
            return  # not composed yet, or being taken down
        shown = self.gpu_app.alarms.shown
        listed = self.query_one(OptionList)
        marked = listed.highlighted or 0
        listed.clear_options()
        listed.add_options([Option(content([alert_row(alert)])) for alert in shown])
        listed.display = bool(shown)
        if shown:
            listed.highlighted = min(marked, len(shown) - 1)
            listed.focus()
        self._shown = shown
        self.query_one("#alert-past", Static).update(content(self._below(empty=not shown)))

    def _below(self, *, empty: bool) -> list[Line]:
        app = self.gpu_app
        rules = app.settings.alerts
        if not rules:
            return no_rules()
        if app.options.replay is not None:
            return [
                [("A recording raises no alerts: gpu-tui watch --replay FILE tells what it would have raised.", "")]
            ]
        lines: list[Line] = [[("No alert stands.", "ok")]] if empty else []
        past = list(app.alarms.past)[:MOST_PAST]
        lines += [[], [("So far", "strong")], *(event_row(event) for event in past)] if past else []
        return [*lines, [], [("Rules", "strong")], *(rule_words(rule) for rule in rules)]

    def on_option_list_option_selected(self) -> None:
        """Enter on the list."""
        self.action_acknowledge()

    def action_acknowledge(self) -> None:
        """Acknowledge the marked one."""
        marked = self.query_one(OptionList).highlighted
        if marked is not None and marked < len(self._shown):
            self.gpu_app.alarms.acknowledge(self._shown[marked].key)

    def action_acknowledge_all(self) -> None:
        """Acknowledge all."""
        self.gpu_app.alarms.acknowledge()
