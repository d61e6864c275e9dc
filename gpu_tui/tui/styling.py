"""Tones -> styles, and the themes they come from. Meaning is never told by a tone alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual.content import Content
from textual.theme import Theme

from gpu_tui.config import Settings
from gpu_tui.errors import ConfigError
from gpu_tui.view.spans import Span

SERVICE_HUES = 8
"""So many services are told apart by colour; the table's names tell all."""

_SERVICE_ORDER = {"kloros": 0, "judge": 1, "ollama": 2, "other": 3, "orphan": 4}

_STYLES = {
    "": "",
    "dim": "$foreground-muted",
    "strong": "bold",
    "ok": "$verdict-ok",
    "bad": "bold $verdict-bad",
    "warn": "$verdict-warn",
    "badge-ok": "bold $verdict-ink on $verdict-ok",
    "badge-bad": "bold $verdict-ink on $verdict-bad",
    "badge-warn": "bold $verdict-ink on $verdict-warn",
    "thumb": "bold",
    "thumb-ok": "bold $verdict-ok",
    "thumb-bad": "bold $verdict-bad",
    "thumb-warn": "bold $verdict-warn",
    "model": "bold $bar-ink on $hue-1",
    "kv": "bold $bar-ink on $hue-kv",
    "driver": "$bar-ink on $hue-driver",
    "free": "$foreground-muted on $hue-free",
    "short": "bold $verdict-bad",
    "cursor": "reverse",
    "key": "bold $accent",
    "series-0": "$hue-1",
    "series-1": "$hue-kv",
    "series-2": "$hue-0",
}

# Okabe and Ito's palette, which colour-blind people tell apart; the default theme uses it too, lightly warmed.
_SAFE = {
    "verdict-ok": "#56b4e9",
    "verdict-bad": "#e69f00",
    "verdict-warn": "#f0e442",
    "verdict-ink": "#101418",
    "bar-ink": "#101418",
    "hue-0": "#009e73",
    "hue-1": "#56b4e9",
    "hue-2": "#cc79a7",
    "hue-3": "#999999",
    "hue-4": "#d55e00",
    "hue-5": "#f0e442",
    "hue-6": "#0072b2",
    "hue-7": "#e69f00",
    "hue-kv": "#a6d8f5",
    "hue-driver": "#6b7280",
    "hue-free": "#1f2730",
}

DEFAULTS = {
    **_SAFE,
    "verdict-ok": "#4ec27a",
    "verdict-bad": "#f2707e",
    "verdict-warn": "#e8b84a",
}
"""Variables every theme must have; a theme of Textual's own gets these."""


def _theme(name: str, variables: dict[str, str]) -> Theme:
    return Theme(
        name=name,
        primary="#56b4e9",
        secondary="#7aa2b8",
        accent="#e8b84a",
        foreground="#dfe6ea",
        background="#101418",
        surface="#151b21",
        panel="#1f2730",
        success=variables["verdict-ok"],
        warning=variables["verdict-warn"],
        error=variables["verdict-bad"],
        variables=variables,
    )


COLOUR_BLIND = "gpu-tui-colour-blind"
THEMES = (_theme("gpu-tui", DEFAULTS), _theme(COLOUR_BLIND, _SAFE))


def theme_named(settings: Settings, available: Iterable[str]) -> str:
    """The configured theme.

    Raises:
        ConfigError: there is no such theme.
    """
    wanted = COLOUR_BLIND if settings.theme == "colour-blind" else settings.theme or "gpu-tui"
    if wanted not in available:
        known = ", ".join(["colour-blind", *sorted(available)])
        raise ConfigError(f"{settings.origin('theme')}: there is no theme {wanted!r}.", f"Choose one of: {known}.")
    return wanted


def hue_of(service: str) -> int:
    """A service's colour, the same on every screen: the known ones fixed, the others by their name."""
    if service in _SERVICE_ORDER:
        return _SERVICE_ORDER[service]
    return 5 + sum(map(ord, service)) % (SERVICE_HUES - 5)


def style_of(tone: str) -> str:
    """The Textual style of a tone."""
    if tone.startswith("svc-"):
        return f"$bar-ink on $hue-{hue_of(tone[4:])}"
    if tone.startswith("fg-"):
        return f"$hue-{hue_of(tone[3:])}"
    return _STYLES.get(tone, "")


def content(lines: Iterable[Sequence[Span]]) -> Content:
    """Lines of spans as Textual shows them. Text is never read as markup."""
    parts: list[tuple[str, str]] = []
    for i, line in enumerate(lines):
        if i:
            parts.append(("\n", ""))
        parts += [(text, style_of(tone)) for text, tone in line]
    return Content.assemble(*parts)
