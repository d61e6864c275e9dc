"""JSON of what a plan was judged against: peaks, suppositions, headroom (schema 1)."""

from __future__ import annotations

from typing import Any

from gpu_tui.core.against import Against, Level
from gpu_tui.core.books import Books
from gpu_tui.core.checks import Feasible, ModelNeed
from gpu_tui.core.peaks import Peaks
from gpu_tui.units import wire_mib
from gpu_tui.wire import origin_object


def against_object(
    need: ModelNeed, books: Books, against: Against, levels: tuple[Level, ...], peaks: Peaks, now: Feasible | None
) -> dict[str, Any]:
    """Keys for ``gpu-tui check --json``.

    Args:
        need: with its headroom.
        books: with the roles supposed.
        against: the switch.
        levels: every tenant as it was judged.
        peaks: what is known of this GPU.
        now: the feasible range against the memory as it is.
    """
    return {
        "headroom_mib": wire_mib(need.headroom_bytes),
        "headroom_origin": origin_object(need.headroom_origin),
        "what_if": {service.name: service.what_if for service in books.services if service.what_if},
        "against": against.value,
        "feasible_now": None if now is None else {"min": now.min, "max": now.max},
        "tenants": {level.name: _level(level) for level in levels},
        "peaks": {"since": peaks.since, "until": peaks.until} if peaks.known else None,
    }


def _level(level: Level) -> dict[str, Any]:
    return {
        "now_mib": wire_mib(level.now_bytes),
        "judged_mib": wire_mib(level.level_bytes),
        "origin": origin_object(level.origin),
    }
