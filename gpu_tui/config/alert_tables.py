"""``[[alerts]]``: what each rule may say, and the words for what it may not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpu_tui.config.keys import nearest, show
from gpu_tui.core.alert_rules import UNITS, Rule, When
from gpu_tui.errors import ConfigError

MOST_RULES = 100
CLEAR_SHARE = 0.95
"""A limit that is not told is over at this share of the one that raises it. Ours to choose."""
CLEAR_DEGREES = 3.0
"""The same for temperatures, in degrees below."""
LONGEST_S = 7 * 86400.0
FIGURES = ("llm", "llm_ttft", "stt")

_COMMON = ("when", "name", "for_s", "clear_for_s", "latch")
_ON_GPU = (*_COMMON, "gpu")
_KEYS: Mapping[When, tuple[str, ...]] = {
    When.SERVICE_GONE: (*_ON_GPU, "service"),
    When.PLAN_INVALID: _ON_GPU,
    When.MEMORY_ABOVE: (*_ON_GPU, "service", "above_mib", "clear_mib"),
    When.GROWTH: (*_ON_GPU, "service", "above_mib", "clear_mib", "window_s"),
    When.KV_CACHE_FULL: (*_ON_GPU, "above_pct", "clear_pct"),
    When.LATENCY: (*_COMMON, "figure", "above_ms", "clear_ms"),
    When.TEMPERATURE: (*_ON_GPU, "above_c", "clear_c"),
    When.TELEMETRY_LOST: _COMMON,
}


def alert_rules(value: object, file: Path) -> tuple[Rule, ...]:
    """The rules, in their order, each with a name of its own.

    Raises:
        ConfigError: a rule does not mean anything; says which one and why.
    """
    if not isinstance(value, list):
        raise ConfigError(f"{file}: alerts is {show(value)}.", "It is a list of tables: write [[alerts]].")
    if len(value) > MOST_RULES:
        raise ConfigError(f"{file}: there are {len(value)} alerts.", f"Allowed: at most {MOST_RULES}.")
    rules: list[Rule] = []
    for number, table in enumerate(value):
        at = f"{file}: alerts[{number}]"
        rule = _rule(table, at, number)
        if any(rule.name == other.name for other in rules):
            raise ConfigError(f"{at}.name is {show(rule.name)}, as of another alert.", "Give each a name of its own.")
        rules.append(rule)
    return tuple(rules)


def _rule(table: object, at: str, number: int) -> Rule:
    if not isinstance(table, dict):
        raise ConfigError(f"{at} is {show(table)}.", "It is a table: write [[alerts]].")
    told = table.get("when")
    if not isinstance(told, str) or told not in list(When):
        raise ConfigError(f"{at}.when is {show(told)}.", f"Allowed: {', '.join(When)}.")
    when = When(told)
    for key in table:
        if key not in _KEYS[when]:
            raise ConfigError(f"{at}.{show(key)[1:-1]} is not a setting of {when}.", nearest(key, _KEYS[when]))
    service = _text(table, at, "service")
    if when is When.SERVICE_GONE and service is None:
        raise ConfigError(f"{at}.service is missing.", "Name the service that must not be gone.")
    above, clear = _limits(table, at, when)
    gpu = table.get("gpu")
    return Rule(
        name=_text(table, at, "name") or " ".join(filter(None, (when.value, service, f"#{number + 1}"))),
        when=when,
        service=service,
        gpu=str(gpu) if type(gpu) is int and gpu >= 0 else _text(table, at, "gpu"),
        above=above,
        clear=clear,
        window_s=_number(table, at, "window_s", 600.0, 1.0, LONGEST_S, "seconds from 1 to 604800"),
        figure=_figure(table, at),
        for_s=_number(table, at, "for_s", 0.0, 0.0, LONGEST_S, "seconds from 0 to 604800"),
        clear_for_s=_number(table, at, "clear_for_s", 0.0, 0.0, LONGEST_S, "seconds from 0 to 604800"),
        latch=_flag(table, at),
    )


def _limits(table: dict[str, Any], at: str, when: When) -> tuple[float | None, float | None]:
    unit = UNITS.get(when)
    if unit is None:
        return None, None
    high = 100.0 if unit == "pct" else 1e9
    allowed = "a percentage from 0 to 100" if unit == "pct" else "a number, 0 or more"
    name = f"above_{unit}"
    if name not in table:
        raise ConfigError(f"{at}.{name} is missing.", "Say above which value it is raised.")
    above = _number(table, at, name, 0.0, 0.0, high, allowed)
    usual = above - CLEAR_DEGREES if unit == "c" else above * CLEAR_SHARE
    clear = _number(table, at, f"clear_{unit}", max(0.0, usual), 0.0, high, allowed)
    if clear > above:
        raise ConfigError(
            f"{at}.clear_{unit} ({clear:g}) is above {name} ({above:g}).",
            "Give a value at which it is over: at most as much.",
        )
    return above, clear


def _number(table: dict[str, Any], at: str, key: str, default: float, low: float, high: float, allowed: str) -> float:
    value = table.get(key, default)
    good = not isinstance(value, bool) and isinstance(value, (int, float)) and math.isfinite(value)
    if not good or not low <= value <= high:
        raise ConfigError(f"{at}.{key} is {show(value)}.", f"Allowed: {allowed}.")
    return float(value)


def _text(table: dict[str, Any], at: str, key: str) -> str | None:
    value = table.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > 80:
        raise ConfigError(f"{at}.{key} is {show(value)}.", "Allowed: at most 80 characters, in quotes.")
    return value


def _figure(table: dict[str, Any], at: str) -> str:
    value = table.get("figure", FIGURES[0])
    if value not in FIGURES:
        raise ConfigError(f"{at}.figure is {show(value)}.", f"Allowed: {', '.join(FIGURES)}.")
    return str(value)


def _flag(table: dict[str, Any], at: str) -> bool:
    value = table.get("latch", False)
    if not isinstance(value, bool):
        raise ConfigError(f"{at}.latch is {show(value)}.", "Allowed: true or false.")
    return value
