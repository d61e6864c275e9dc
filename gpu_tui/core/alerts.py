"""Alerts: rules over a stream of observations, raised and cleared once each, with hysteresis and least durations.

Laws: between two raises of an alert lies its clear; what stays above `Rule.clear` clears nothing; between two
observations the earlier one is taken to hold, so that reading more often changes neither order nor instants (growth
aside, whose window moves on by itself).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from gpu_tui.core.alert_rules import Finding, Growth, Rule, Signal, findings
from gpu_tui.core.events import Event, EventKind
from gpu_tui.core.observation import Observation

ROUNDING_S = 1e-6
"""Many short waits sum to a little less than the long one."""
MOST_STATES = 4096
"""Alerts that are followed at once: rules × GPUs. Ours to choose; more are not looked at."""


class Phase(StrEnum):
    """Where an alert stands."""

    IDLE = "idle"
    PENDING = "pending"
    """It holds, but not long enough yet."""
    RAISED = "raised"
    CLEARING = "clearing"
    """It is over, but not long enough yet."""
    LATCHED = "latched"
    """It is over; nobody has acknowledged it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One rule at one GPU. Immutable."""

    rule: Rule
    gpu: str
    """`Gpu.key`; empty: the whole machine."""
    gpu_index: int | None = None
    phase: Phase = Phase.IDLE
    left_s: float = 0.0
    """PENDING, CLEARING: until it is raised, cleared."""
    frozen: bool = False
    """Nothing can be told now: `left_s` stands still."""
    words: str = ""
    """What last held."""
    raised_s: float | None = None
    """Monotonic instant at which it was raised."""
    raised_wall_s: float | None = None
    acknowledged: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """Tells it from others: the rule's name and the GPU."""
        return self.rule.name, self.gpu

    @property
    def shown(self) -> bool:
        """Whether it stands raised: raised, being cleared, or over and not acknowledged."""
        return self.phase in (Phase.RAISED, Phase.CLEARING, Phase.LATCHED)


class Alerts:
    """Follows every rule. Not for several threads at once.

    Args:
        rules: names must be unlike.
    """

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self._rules = tuple(rules)
        self._alerts: dict[tuple[str, str], Alert] = {}
        self._growth: dict[str, dict[str, Growth]] = {}
        self._last: Observation | None = None

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules in effect."""
        return self._rules

    @property
    def shown(self) -> tuple[Alert, ...]:
        """What stands raised, the newest first."""
        raised = [alert for alert in self._alerts.values() if alert.shown]
        return tuple(sorted(raised, key=lambda alert: -(alert.raised_s or 0.0)))

    @property
    def unacknowledged(self) -> int:
        """How many stand raised that nobody has acknowledged."""
        return sum(1 for alert in self._alerts.values() if alert.shown and not alert.acknowledged)

    def see(self, now: Observation) -> tuple[Event, ...]:
        """Take in one observation; returns what was raised and cleared, in the order of the instants."""
        last = self._last
        past = 0.0 if last is None else max(0.0, now.at_s - last.at_s)
        events: list[Event] = []
        for key, alert in list(self._alerts.items()):
            self._alerts[key] = self._advanced(alert, past, now, events)
        events.sort(key=lambda event: event.at_s)
        for rule in self._rules:
            told = {found.gpu: found for found in findings(rule, now, self._growth.setdefault(rule.name, {}))}
            for gpu in dict.fromkeys([*told, *(gpu for name, gpu in self._alerts if name == rule.name)]):
                self._take(rule, gpu, told.get(gpu), now, events)
        self._last = now
        return tuple(events)

    def acknowledge(self, key: tuple[str, str] | None = None) -> tuple[Event, ...]:
        """Somebody has seen this alert (None: all); one that is over is cleared by it."""
        events: list[Event] = []
        for each, alert in list(self._alerts.items()):
            if alert.shown and key in (None, each):
                seen = replace(alert, acknowledged=True)
                if alert.phase is Phase.LATCHED and self._last is not None:
                    seen = self._cleared(seen, 0.0, self._last, events)
                self._alerts[each] = seen
        return tuple(events)

    def reload(self, rules: Iterable[Rule]) -> tuple[Event, ...]:
        """Other rules from now on. Alerts of rules that stay as they are stay; those of others are cleared."""
        self._rules = tuple(rules)
        kept = {rule.name: rule for rule in self._rules}
        events: list[Event] = []
        for key, alert in list(self._alerts.items()):
            if kept.get(alert.rule.name) == alert.rule:
                continue
            if alert.shown and self._last is not None:
                words = "its rule was changed or taken away"
                events.append(_event(EventKind.ALERT_CLEARED, alert, words, self._last, 0.0))
            del self._alerts[key]
            self._growth.pop(alert.rule.name, None)
        return tuple(events)

    def _advanced(self, alert: Alert, past: float, now: Observation, events: list[Event]) -> Alert:
        """`alert` when `past` seconds more have gone in which nothing changed."""
        if alert.frozen or alert.phase not in (Phase.PENDING, Phase.CLEARING):
            return alert
        left = alert.left_s - past
        if left > ROUNDING_S:
            return replace(alert, left_s=left)
        left = min(left, 0.0)
        if alert.phase is Phase.PENDING:
            return self._raised(alert, left, now, events)
        return self._cleared(alert, left, now, events)

    def _take(self, rule: Rule, gpu: str, found: Finding | None, now: Observation, events: list[Event]) -> None:
        key = (rule.name, gpu)
        alert = self._alerts.get(key)
        if alert is None:
            if len(self._alerts) >= MOST_STATES:
                return
            alert = Alert(rule=rule, gpu=gpu)
        if found is None or found.signal is Signal.UNKNOWN:
            self._alerts[key] = replace(alert, frozen=True)
            return
        alert = replace(alert, frozen=False, gpu_index=found.gpu_index)
        self._alerts[key] = self._moved(alert, found, now, events)

    def _moved(self, alert: Alert, found: Finding, now: Observation, events: list[Event]) -> Alert:
        breach, calm = found.signal is Signal.BREACH, found.signal is Signal.CALM
        if breach:
            alert = replace(alert, words=found.words)
        if alert.phase in (Phase.IDLE, Phase.PENDING):
            if not breach:
                return replace(alert, phase=Phase.IDLE)
            if alert.phase is Phase.PENDING:
                return alert
            alert = replace(alert, phase=Phase.PENDING, left_s=alert.rule.for_s)
            return self._raised(alert, 0.0, now, events) if alert.left_s <= 0 else alert
        if alert.phase is Phase.LATCHED:
            return replace(alert, phase=Phase.RAISED) if breach else alert
        if not calm:
            return replace(alert, phase=Phase.RAISED)
        if alert.phase is Phase.CLEARING:
            return alert
        alert = replace(alert, phase=Phase.CLEARING, left_s=alert.rule.clear_for_s)
        return self._cleared(alert, 0.0, now, events) if alert.left_s <= 0 else alert

    def _raised(self, alert: Alert, shift_s: float, now: Observation, events: list[Event]) -> Alert:
        """Raised `-shift_s` seconds before `now`."""
        events.append(_event(EventKind.ALERT_RAISED, alert, alert.words, now, shift_s))
        return replace(
            alert,
            phase=Phase.RAISED,
            raised_s=now.at_s + shift_s,
            raised_wall_s=now.wall_s + shift_s,
            acknowledged=False,
        )

    def _cleared(self, alert: Alert, shift_s: float, now: Observation, events: list[Event]) -> Alert:
        if alert.rule.latch and not alert.acknowledged:
            return replace(alert, phase=Phase.LATCHED)
        events.append(_event(EventKind.ALERT_CLEARED, alert, alert.words, now, shift_s))
        return replace(alert, phase=Phase.IDLE, raised_s=None, raised_wall_s=None, acknowledged=False)


def _event(kind: EventKind, alert: Alert, words: str, now: Observation, shift_s: float) -> Event:
    over = "" if kind is EventKind.ALERT_RAISED else "over: "
    where = "" if alert.gpu_index is None else f" (GPU {alert.gpu_index})"
    return Event(
        kind=kind,
        at_s=now.at_s + shift_s,
        wall_s=now.wall_s + shift_s,
        words=f"{alert.rule.name}: {over}{words}{where}.",
        gpu=alert.gpu or None,
        gpu_index=alert.gpu_index,
        service=alert.rule.service,
        alert=alert.rule.name,
        simulated=now.simulated,
    )
