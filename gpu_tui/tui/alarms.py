"""Follows the alert rules while the explorer is open: toast, bell, line, header. Nothing of it runs without rules."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from textual.message import Message

from gpu_tui.core.alerts import Alert
from gpu_tui.core.events import Event, EventKind
from gpu_tui.telemetry.poller import Reading
from gpu_tui.tui.widgets.header import Liveness
from gpu_tui.view.alerts import count_words
from gpu_tui.view.text import clean

if TYPE_CHECKING:
    from gpu_tui.tui.app import GpuTuiApp
    from gpu_tui.wiring.watching import Watch

MOST_EVENTS = 200
"""Raised and cleared alerts kept for the list."""
MOST_TOASTS = 2
"""Toasts at once; more are told as one."""
_KINDS = (EventKind.ALERT_RAISED, EventKind.ALERT_CLEARED)


class AlertsChanged(Message):
    """Alerts were raised or cleared, or a carrier has trouble; they wait in `Alarms`."""


class Alarms:
    """One watch for each source that the explorer reads.

    `see` is called on the telemetry thread, all else on the UI's.
    """

    def __init__(self, app: GpuTuiApp) -> None:
        self._app = app
        self._watch: Watch | None = None
        self._generation = -1
        self._lock = threading.Lock()
        self._fresh: deque[Event | str] = deque(maxlen=MOST_EVENTS)
        self._told = False
        self.past: deque[Event] = deque(maxlen=MOST_EVENTS)
        """What was raised and cleared, the newest first."""

    @property
    def shown(self) -> tuple[Alert, ...]:
        """The alerts that stand, the newest first."""
        return self._watch.shown if self._watch is not None else ()

    def see(self, reading: Reading, generation: int) -> None:
        """Take a reading. Of a recording nothing is raised: its time goes as it likes."""
        app = self._app
        if not app.settings.alerts or app.options.replay is not None:
            return
        if generation > self._generation:
            self._begin(generation)
        if self._watch is not None and generation == self._generation:
            self._watch.take(reading)

    def _begin(self, generation: int) -> None:
        from gpu_tui.wiring.watching import Watch

        self.close()
        app = self._app
        self._generation = generation
        self._watch = Watch(app.settings, app.clock, self._event, self._add, deliver=app.options.live)
        self._wake()  # what stood before is of a machine that was left

    def _event(self, event: Event) -> None:
        if event.kind in _KINDS:
            self._add(event)

    def _add(self, one: Event | str) -> None:
        with self._lock:
            self._fresh.append(one)
        self._wake()

    def _wake(self) -> None:
        with self._lock:
            told, self._told = self._told, True
        if not told:
            # A terminal that is not read holds the UI up: one message waits, whatever happens meanwhile.
            self._app.post_message(AlertsChanged())

    def tick(self, stalled_s: float) -> None:
        """A driver call in flight has lasted so long."""
        if self._watch is not None:
            self._watch.stalled(stalled_s)

    def show(self) -> None:
        """Show the alerts that stand: in the header, over the panels, in their list."""
        from gpu_tui.tui.screens.alerts import AlertsScreen
        from gpu_tui.tui.widgets.alerts import AlertLine

        app = self._app
        app.show_header()
        if app.drawn:
            app.main.query_one("#alerts", AlertLine).show(self.shown)
        if app.drawn and isinstance(app.screen, AlertsScreen):
            app.screen.show()

    def tell(self) -> None:
        """Tell what is new: toasts, the bell; then show what stands."""
        self._toast()
        self.show()

    def _toast(self) -> None:
        with self._lock:
            fresh, self._told = list(self._fresh), False
            self._fresh.clear()
        events = [one for one in fresh if isinstance(one, Event)]
        self.past.extendleft(events)
        raised = [event for event in events if event.kind is EventKind.ALERT_RAISED]
        if len(events) > MOST_TOASTS:
            words = f"{len(raised)} alerts raised, {len(events) - len(raised)} cleared. A lists them."
            self._app.notify(words, title="Alerts", severity="error" if raised else "information", timeout=10)
        else:
            for event in events:
                new = event.kind is EventKind.ALERT_RAISED
                title, severity = ("Alert", "error") if new else ("Alert over", "information")
                self._app.notify(clean(event.words, 300), title=title, severity=severity, timeout=10)  # type: ignore[arg-type]
        for words in [one for one in fresh if isinstance(one, str)][-MOST_TOASTS:]:
            self._app.notify(clean(words, 300), title="Alerts", severity="warning", timeout=10)
        if raised and self._app.settings.alerting.bell:
            self._app.bell()

    def acknowledge(self, key: tuple[str, str] | None = None) -> None:
        """Somebody has seen this alert; None: all."""
        if self._watch is not None:
            self._watch.acknowledge(key)
            self.show()

    def told(self, state: Liveness) -> Liveness:
        """The header's state with the count of alerts before it."""
        words = count_words(self.shown)
        if not words:
            return state
        tone = "badge-bad" if words.startswith("!") else state.tone
        return replace(state, words=f"{words}  {state.words}", tone=tone)

    def close(self) -> None:
        """No more."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None
