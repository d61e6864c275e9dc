"""The slider's steps, and a utilization as people type it."""

from __future__ import annotations

import math

from gpu_tui.view.bands import STEPS

PERMILLE = STEPS
"""The slider's steps: integers, so that 0.1 + 0.2 never happens to an operator."""


def parse_utilization(text: str) -> int | None:
    """A typed utilization in per mille: ``0.45`` and ``.45`` are shares, ``45`` is percent; None when it is neither.

    ``1`` is the whole GPU, as vLLM takes it.
    """
    try:
        number = float(text)
    except ValueError:
        return None
    if not math.isfinite(number) or 1 < number < 2:
        return None  # 1.5 is more than the whole GPU by a slip; nobody plans 1.5 %
    share = number if number <= 1 else number / 100
    permille = round(share * PERMILLE)
    return permille if 1 <= permille <= PERMILLE else None
