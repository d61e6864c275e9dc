"""How often Python looks for garbage.

What a start makes (modules, classes, the stylesheet) lives as long as the process. Python's own thresholds look through
all of it again and again meanwhile: 7 ms of `check`, 50 ms before the explorer's first frame.
"""

from __future__ import annotations

import gc

STARTING = 100_000
"""New containers before the youngest generation is looked through; more than a start makes."""

_USUAL = gc.get_threshold()


def start() -> None:
    """Look rarely from now on."""
    gc.set_threshold(STARTING)


def started() -> None:
    """Set apart what the start made, so that no later look goes through it, and look as often as usual.

    Its garbage stays too, 4,000 containers or 0.2 MB: to look for it takes 45 ms, in which no key is answered.
    """
    gc.freeze()
    gc.set_threshold(*_USUAL)
