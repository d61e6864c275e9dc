"""Lets go of what widgets drew that are long gone.

Textual 8.2.8 remembers two colours for each `StylesCache`, and so keeps the last 1024 of them alive, each with every
line its widget drew: a day of dialogs held 110,000 objects and 18 MiB more, two hundred large ones 28 MiB.
"""

from __future__ import annotations

from textual._styles_cache import StylesCache

MOST_KEPT = 64
"""A screen of ours has 25 to 40; to work their colours out again costs microseconds."""


def let_go() -> None:
    """Forget them all once they are more than live widgets account for; those on show remember theirs again."""
    kept = StylesCache.get_inner_outer
    if kept.cache_info().currsize > MOST_KEPT:
        kept.cache_clear()
