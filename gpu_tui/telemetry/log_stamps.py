"""When the lines of a start-up log were written: stamps as they are printed, turned into seconds since the epoch."""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo

from gpu_tui.core.start_values import Phase, StartLog

SLACK_S = 5.0
"""A stamp may lie so far outside the start it belongs to: its second is cut, and clocks differ a little."""

DAY_S = 86400.0
"""A stamp without a year that lies further ahead is last year's; a container's clock may run in any zone."""

_YEAR = re.compile(r"\d{4}-")
_FRACTION = re.compile(r"[.,](\d{1,9})")
_OWN = "%Y-%m-%d %H:%M:%S"


def phase_times(log: StartLog, started_at: float | None, now: float, zone: tzinfo | None = None) -> dict[Phase, float]:
    """Seconds since the epoch of each phase whose stamp can be read and lies within this start.

    vLLM's own stamps bear neither year nor zone: they are read in this machine's zone and in UTC, as a container's
    clock usually runs. The reading that tells of more phases counts, then the one that begins nearest to the process.

    Args:
        log: the start.
        started_at: when its process began; None: not told, then nothing can be checked and nothing is told.
        now: the time by the same clock.
        zone: this machine's; None: as the system has it.
    """
    if started_at is None:
        return {}
    readings = [_read(log, started_at, now, where) for where in (zone, UTC)]
    return max(readings, key=lambda found: (len(found), -min(found.values(), default=0.0)))


def _read(log: StartLog, started_at: float, now: float, zone: tzinfo | None) -> dict[Phase, float]:
    """The phases within this start, by one zone."""
    found: dict[Phase, float] = {}
    for one in log.phases:
        told = seconds_of(one.timestamp, now, zone) if one.timestamp is not None else None
        if told is not None and started_at - SLACK_S <= told <= now + SLACK_S:
            found[one.phase] = min(told, now)
    return found


def seconds_of(stamp: str, now: float, zone: tzinfo | None = None) -> float | None:
    """A stamp as a log's keeper or vLLM prints it; None when it cannot be read. `now` gives a missing year."""
    text = stamp.strip()
    fraction = _FRACTION.search(text)
    whole = _FRACTION.sub("", text, count=1).replace("T", " ", 1)
    try:
        at = _parsed(whole, datetime.fromtimestamp(now, zone).year)
    except (ValueError, OverflowError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=zone) if zone is not None else at.astimezone()
    try:
        seconds = at.timestamp()
        if seconds > now + DAY_S and not _YEAR.match(whole):
            seconds = at.replace(year=at.year - 1).timestamp()  # in January a stamp of December is last year's
    except (ValueError, OverflowError):  # also 29 February of a year that has none
        return None
    return seconds + (float(f"0.{fraction[1]}") if fraction else 0.0)


def _parsed(whole: str, year: int) -> datetime:
    if _YEAR.match(whole):
        return datetime.fromisoformat(whole)
    if re.match(r"\d\d-", whole):
        return datetime.strptime(f"{year}-{whole}", _OWN)  # noqa: DTZ007 - the zone is put on by the caller
    return datetime.strptime(f"{year} {whole}", "%Y %b %d %H:%M:%S")  # noqa: DTZ007
