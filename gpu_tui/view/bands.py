"""Where on the slider vLLM starts, where it does not, and between them where that is too close to call.

With the utilization the KV cache grows and the room for the allocation shrinks, so the slider has at most five zones:
too small, too close, starts, too close, too large. Four binary searches find their edges.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from gpu_tui.core.planning import Judgement
from gpu_tui.core.remedies_values import smallest
from gpu_tui.core.start import Call, Outcome

STEPS = 1000
"""The slider's steps."""

Steps = tuple[int, int]
"""First and last step of a zone, in per mille, both in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bands:
    """The zones in which it does not certainly fail. None: there is no such zone."""

    starts: Steps | None
    close: tuple[Steps, ...]
    """Too close to call: below `starts`, above it, or all there is."""


def bands(judge: Callable[[int], Judgement]) -> Bands | None:
    """Find the zones; None when it cannot be told anywhere.

    Args:
        judge: judges one step, 1 to 1000.
    """
    judge = cache(judge)  # the searches meet at many of the same steps
    if judge(1).prediction.call is Call.UNKNOWN and judge(STEPS).prediction.call is Call.UNKNOWN:
        return None
    first = _first(lambda k: not _too_small(judge(k)))
    last = _first(lambda k: _too_large(judge(k))) - 1
    if first > last:
        return Bands(starts=None, close=())
    sure = max(first, _first(lambda k: _cache_holds(judge(k))))
    end = min(last, _first(lambda k: _cache_holds(judge(k)) and judge(k).prediction.call is not Call.STARTS) - 1)
    if sure > end:
        return Bands(starts=None, close=((first, last),))
    close = tuple(zone for zone in ((first, sure - 1), (end + 1, last)) if zone[0] <= zone[1])
    return Bands(starts=(sure, end), close=close)


def _too_small(one: Judgement) -> bool:
    return one.prediction.call is Call.WILL_NOT_START and not _too_large(one)


def _too_large(one: Judgement) -> bool:
    return one.prediction.call is Call.WILL_NOT_START and one.prediction.outcome is Outcome.NOT_ENOUGH_FREE


def _cache_holds(one: Judgement) -> bool:
    """Even the least KV cache of the band holds the most that one request may need."""
    band = one.prediction.kv_cache_band
    if band is None or one.start is None:
        return one.report.checks[0].passed is not False
    return band[0] > 0 and band[0] >= one.start.min_kv_band[1]


def _first(passes: Callable[[int], bool]) -> int:
    """Smallest step that passes a monotone test; one past the last when none does."""
    step = smallest(1, STEPS, passes)
    return STEPS + 1 if step is None else step
