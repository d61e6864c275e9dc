"""Alerts in words: the line over the panels, the count in the header, the list."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from gpu_tui.core.alert_rules import SIGNS, UNITS, Rule, When
from gpu_tui.core.alerts import Alert, Phase
from gpu_tui.core.events import Event, EventKind
from gpu_tui.view.spans import Line, cut_line
from gpu_tui.view.text import clean

_LOOKS_AT = {
    When.MEMORY_ABOVE: "memory",
    When.KV_CACHE_FULL: "KV cache",
    When.LATENCY: "p95 latency",
    When.SERVICE_GONE: "absence",
}
_STATES = {Phase.RAISED: "stands", Phase.CLEARING: "passing", Phase.LATCHED: "over"}


def time_of_day(wall_s: float | None) -> str:
    """An instant as ``14:03:10``, local time; ``--:--:--`` for None."""
    return "--:--:--" if wall_s is None else datetime.fromtimestamp(wall_s).astimezone().strftime("%H:%M:%S")


def count_words(shown: Sequence[Alert]) -> str:
    """For the header: ``2 ALERTS (A)``, ``1 alert seen (A)``; empty when none stands."""
    unseen = sum(1 for alert in shown if not alert.acknowledged)
    if unseen:
        return f"! {unseen} ALERT{'' if unseen == 1 else 'S'} (A)"
    return f"{len(shown)} alert{'' if len(shown) == 1 else 's'} seen (A)" if shown else ""


def newest_line(shown: Sequence[Alert], width: int) -> Line:
    """The newest alert that nobody has acknowledged, and how many more; empty when there is none."""
    unseen = [alert for alert in shown if not alert.acknowledged]
    if not unseen:
        return []
    first = unseen[0]
    more = f"  +{len(unseen) - 1} more" if len(unseen) > 1 else ""
    tail: Line = [(f"{more}  A lists, a there acknowledges ", "dim")]
    room = max(20, width - sum(len(text) for text, _ in tail))
    head: Line = [(" ! ", "bad"), (f"{time_of_day(first.raised_wall_s)} ", "dim"), (_what(first), "")]
    return cut_line([*cut_line(head, room), *tail], width)


def alert_row(alert: Alert) -> Line:
    """One alert of the list."""
    tone = "dim" if alert.acknowledged else "bad" if alert.phase is Phase.RAISED else "warn"
    seen = "seen" if alert.acknowledged else "new "
    return [
        (f"{'✓' if alert.acknowledged else '!'} {seen} ", tone),
        (f"{_STATES.get(alert.phase, alert.phase.value):<8}", tone),
        (f"{time_of_day(alert.raised_wall_s)}  ", "dim"),
        (_what(alert), ""),
    ]


def event_row(event: Event) -> Line:
    """One alert that was raised or cleared, of those so far."""
    raised = event.kind is EventKind.ALERT_RAISED
    return [
        (f"{time_of_day(event.wall_s)}  ", "dim"),
        ("! raised  " if raised else "✓ cleared ", "bad" if raised else "ok"),
        (clean(event.words, 200), "dim"),
    ]


def rule_words(rule: Rule) -> Line:
    """What a rule watches."""
    parts = [_LOOKS_AT.get(rule.when, rule.when.value.replace("_", " "))]
    if rule.service is not None:
        parts.append(f"of {rule.service}")
    if rule.gpu is not None:
        parts.append(f"on GPU {rule.gpu}")
    if rule.when is When.LATENCY:
        parts.append(f"of {rule.figure}")
    if rule.when is When.GROWTH:
        parts.append(f"within {rule.window_s:g} s")
    if rule.above is not None and rule.clear is not None:
        sign = SIGNS[UNITS[rule.when]]
        parts.append(f"above {rule.above:g} {sign}, over at {rule.clear:g} {sign}")
    if rule.for_s:
        parts.append(f"for {rule.for_s:g} s")
    if rule.latch:
        parts.append("until acknowledged")
    return [(f"{clean(rule.name, 40)}: ", "strong"), (clean(" ".join(parts), 160), "")]


def no_rules() -> list[Line]:
    """What to do where no rule is configured."""
    return [
        [("No alert rules are configured.", "strong")],
        [],
        [("Write one into the configuration (gpu-tui config --path says where it is), and start again:", "")],
        [],
        *([(line, "key")] for line in ("[[alerts]]", 'when = "memory_above"', "above_mib = 11000", "for_s = 10")),
        [],
        [("when is one of: service_gone, plan_invalid, memory_above, growth, kv_cache_full,", "dim")],
        [("latency_above_slo, temperature, telemetry_lost.", "dim")],
    ]


def _what(alert: Alert) -> str:
    where = "" if alert.gpu_index is None else f" (GPU {alert.gpu_index})"
    return f"{clean(alert.rule.name, 40)}: {clean(alert.words, 200)}{where}"
