"""What each setting may be, and the words that say so."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

from gpu_tui.core.fitness import Targets, Weights
from gpu_tui.core.services import DEFAULT_RULES, ORPHAN, OTHER, Field, ServiceRule
from gpu_tui.errors import ConfigError


@dataclass(frozen=True)
class Kind:
    """What a leaf may be."""

    read: Callable[[Any], Any]
    """From TOML or a flag; None for what is not allowed."""
    from_text: Callable[[str], Any]
    """From the environment; ValueError or None for what is not allowed."""
    allowed: str


def _number(low: float, high: float, allowed: str, *, above: bool = False) -> Kind:
    def read(value: Any) -> float | None:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            return None
        return float(value) if (low < value if above else low <= value) and value <= high else None

    return Kind(read, lambda text: read(float(text)), allowed)


def _whole(low: int, high: int, allowed: str) -> Kind:
    def read(value: Any) -> int | None:
        return value if type(value) is int and low <= value <= high else None

    return Kind(read, lambda text: read(int(text)), allowed)


def _text(allowed: str, pattern: str = r".+") -> Kind:
    def read(value: Any) -> str | None:
        return value if isinstance(value, str) and value.isprintable() and re.fullmatch(pattern, value) else None

    return Kind(read, read, allowed)


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _flag_text(text: str) -> bool | None:
    return {"true": True, "1": True, "false": False, "0": False}.get(text.lower())


def _words(value: Any) -> tuple[str, ...] | None:
    """A command as a list of words: no shell ever reads it."""
    listed = isinstance(value, list | tuple) and 0 < len(value) <= 100
    fits = listed and all(isinstance(word, str) and word and word.isprintable() for word in value)
    return tuple(value) if fits else None


def _gpu(value: Any) -> str | None:
    key: str | None = _text("").read(str(value) if type(value) is int and value >= 0 else value)
    return key


_MIB = _number(0, 1e9, "a number of MiB, 0 or more")
_SHARE = _number(0, 1, "a number above 0 and at most 1", above=True)
_URL = _text(
    "an address such as http://127.0.0.1:8000",
    r"(https?://)?([^\s/@]+@)?(\[[0-9a-fA-F:.%]+\]|[^\s/:@\[\]]+)(:\d{1,5})?([/?]\S*)?",
)
_NAME = _text("a name, in quotes")
KINDS: dict[str, Kind] = {
    "gpu": Kind(_gpu, _gpu, "NVML's index, 0:1 for an instance of MIG, a UUID, or all"),
    "interval_s": _number(0.1, 3600, "seconds from 0.1 to 3600"),
    "restarts": _whole(1, 2**31 - 1, "a pid or a port, a whole number above 0"),
    "theme": _text("the name of a theme, in quotes"),
    "journal": _text("a file, or off, in quotes"),
    "peaks": _text("a file, or off, in quotes"),
    "model.name": _NAME,
    "model.model_mib": _number(0, 1e9, "a number of MiB above 0", above=True),
    "model.min_kv_cache_mib": _MIB,
    "model.startup_overhead_mib": _MIB,
    "model.headroom_mib": _MIB,
    "model.headroom_pct": _number(0, 100, "percent from 0 to 100"),
    "model.gpu_memory_utilization": _SHARE,
    "evaluator.min": _SHARE,
    "evaluator.max": _SHARE,
    **{f"evaluator.weights.{f.name}": _number(0, 1e6, "a number, 0 or more") for f in fields(Weights)},
    **{f"evaluator.targets.{f.name}": _number(0, 1e9, "a number above 0", above=True) for f in fields(Targets)},
    "endpoints.llm": _URL,
    "endpoints.llm_model": _NAME,
    "endpoints.stt": _URL,
    "endpoints.stt_model": _NAME,
    "endpoints.stt_local": _text("a folder, in quotes"),
    "endpoints.stt_device": _text("auto, cpu or cuda", r"auto|cpu|cuda"),
    "endpoints.stt_size": _text("a word such as tiny, in quotes", r"\S.{0,39}"),
    "endpoints.api_key_env": _text("the name of an environment variable", r"[A-Za-z_][A-Za-z0-9_]*"),
    "measure.requests": _whole(1, 100_000, "a whole number from 1 to 100000"),
    "measure.concurrency": _whole(1, 1024, "a whole number from 1 to 1024"),
    "measure.warmup": _whole(0, 10_000, "a whole number from 0 to 10000"),
    "measure.timeout_s": _number(0.001, 3600, "seconds from 0.001 to 3600"),
    "measure.prompt_tokens": _whole(1, 100_000, "a whole number from 1 to 100000"),
    "measure.output_tokens": _whole(1, 100_000, "a whole number from 1 to 100000"),
    "measure.voice_budget_ms": _number(1, 1e7, "milliseconds from 1 to 10000000"),
    "alerting.bell": Kind(_flag, _flag_text, "true or false"),
    "alerting.log": _text("a file, in quotes"),
    "alerting.command": Kind(
        _words, lambda text: _words(shlex.split(text)), 'a list such as ["/usr/bin/notify", "-v"]'
    ),
    "alerting.webhook": _text("an address such as https://example.org/hook", r"https?://[^\s/]+(/\S*)?"),
    "alerting.timeout_s": _number(0.1, 300, "seconds from 0.1 to 300"),
}
SECTIONS = {key.rpartition(".")[0] for key in KINDS} - {""}

KEYS: tuple[str, ...] = (*KINDS, "services", "alerts")
"""Every key path, in the order in which `gpu-tui config` tells them."""

_RULE_KEYS = tuple(f.name for f in fields(ServiceRule))
_FIELDS = get_args(Field)


def show(value: object) -> str:
    """A found value for a message: as TOML spells it, bounded, nothing in it that a terminal would obey."""
    words = {True: "true", False: "false"}
    text = words[value] if isinstance(value, bool) else ascii(value) if isinstance(value, str) else str(value)
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= 80 else f"{text[:79]}…"


def nearest(wanted: str, known: Iterable[str], kind: str = "keys") -> str:
    """Which known name was probably meant, else all of them."""
    from difflib import get_close_matches  # only an error needs it

    names = sorted(known)
    close = get_close_matches(wanted, names, n=2, cutoff=0.6)
    return f"Did you mean {' or '.join(close)}?" if close else f"Known {kind}: {', '.join(names)}."


def service_rules(value: object, file: Path) -> tuple[ServiceRule, ...]:
    """``[[services]]``: the user's rules in their order, then the built-in ones that none of them replaces.

    Raises:
        ConfigError: a rule does not mean anything; says which one and why.
    """
    if not isinstance(value, list):
        raise ConfigError(f"{file}: services is {show(value)}.", "It is a list of tables: write [[services]].")
    own = tuple(_rule(table, f"{file}: services[{i}]") for i, table in enumerate(value))
    names = {rule.name for rule in own}
    return own + tuple(rule for rule in DEFAULT_RULES if rule.name not in names)


def _rule(table: object, at: str) -> ServiceRule:
    if not isinstance(table, dict):
        raise ConfigError(f"{at} is {show(table)}.", "It is a table: write [[services]].")
    for key in table:
        if key not in _RULE_KEYS:
            raise ConfigError(f"{at}.{show(key)[1:-1]} is not a setting.", nearest(key, _RULE_KEYS))
    name, match = table.get("name"), table.get("match")
    where, restarts = table.get("field", "name"), table.get("restarts", False)
    if not isinstance(name, str) or _NAME.read(name) is None or name in (OTHER, ORPHAN):
        raise ConfigError(f"{at}.name is {show(name)}.", f"Allowed: a name, in quotes, but not {OTHER} or {ORPHAN}.")
    if not isinstance(match, str) or not match:
        raise ConfigError(f"{at}.match is {show(match)}.", "Allowed: a regular expression, in quotes.")
    try:
        re.compile(match)
    except (re.error, RecursionError, OverflowError) as error:
        raise ConfigError(
            f"{at}.match is {show(match)}, which is no regular expression: {error}.",
            "Mend it; single quotes keep backslashes as they are.",
        ) from None
    if where not in _FIELDS:
        raise ConfigError(f"{at}.field is {show(where)}.", f"Allowed: {', '.join(_FIELDS)}.")
    if not isinstance(restarts, bool):
        raise ConfigError(f"{at}.restarts is {show(restarts)}.", "Allowed: true or false.")
    loaded = table.get("if_loaded_mib")
    if loaded is not None and _MIB.read(loaded) is None:
        raise ConfigError(f"{at}.if_loaded_mib is {show(loaded)}.", f"Allowed: {_MIB.allowed}.")
    return ServiceRule(name=name, match=match, field=where, restarts=restarts, if_loaded_mib=_MIB.read(loaded))
