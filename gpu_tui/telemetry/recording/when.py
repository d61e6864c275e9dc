"""``FILE[@TIME]``: which instant of a recording is meant."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path

from gpu_tui.errors import UsageError
from gpu_tui.telemetry.recording.reader import Recording
from gpu_tui.view.text import clean

FORMS = "Give a TIME such as 14:03, 14:03:10, 2026-01-31T14:03, +90s, -5m, 50%, start or end."

_DURATION = re.compile(r"([+-])(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")
_SHARE = re.compile(r"(\d{1,3}(?:\.\d+)?)%")
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d(?:\.\d+)?))?")


def split(text: str) -> tuple[Path, str | None]:
    """The file and the time; a file whose own name holds an ``@`` is taken as it is when it is there."""
    whole = Path(text).expanduser()
    name, at, when = text.rpartition("@")
    if not at or not name or whole.exists():
        return whole, None
    return Path(name).expanduser(), when


def instant(recording: Recording, text: str) -> int:
    """Number of the observation that shows the machine at this time.

    Times are of the local clock unless they name an offset; ``14:03`` is the last one the recording has.

    Raises:
        UsageError: it is no time, or outside of the recording.
    """
    first, last = recording.span
    text = text.strip()
    if text in ("start", "end"):
        return 0 if text == "start" else len(recording) - 1
    if (share := _SHARE.fullmatch(text)) is not None and float(share[1]) <= 100:
        return recording.at_axis(first + (last - first) * float(share[1]) / 100)
    if (moved := _DURATION.fullmatch(text)) is not None and any(moved.groups()[1:]):
        seconds = sum(float(n or 0) * unit for n, unit in zip(moved.groups()[1:], (3600, 60, 1), strict=True))
        t = first + seconds if moved[1] == "+" else last - seconds
        if not first <= t <= last:
            raise _outside(recording, text)
        return recording.at_axis(t)
    return recording.at_wall(_wall(recording, text))


def _wall(recording: Recording, text: str) -> float:
    begin, end = recording.wall_span
    at = _of_day(text, begin, end) if _CLOCK.fullmatch(text) is not None else _absolute(text)
    # 14:03:00.0 asked of a recording that began at 14:03:00.4 means its beginning.
    if not begin - 1 < at <= end + 1:
        raise _outside(recording, text)
    return at


def _of_day(text: str, begin: float, end: float) -> float:
    found = _CLOCK.fullmatch(text)
    hour, minute, second = (float(part or 0) for part in found.groups()) if found is not None else (99.0, 0.0, 0.0)
    if hour > 23 or minute > 59 or second >= 60:
        raise UsageError(f"{clean(text)!r} is no time.", FORMS)
    day = datetime.fromtimestamp(end).astimezone()
    at = day.replace(hour=int(hour), minute=int(minute), second=0, microsecond=0).timestamp() + second
    if at > end + 1:
        # The day before by the calendar: a day in which the clocks change is not 24 h long.
        before = (day - timedelta(days=1)).date()
        at = datetime(before.year, before.month, before.day, int(hour), int(minute)).astimezone().timestamp() + second
    return at


def _absolute(text: str) -> float:
    try:
        return datetime.fromisoformat(text).astimezone().timestamp()
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"{clean(text, 60)!r} is no time.", FORMS) from None


def _outside(recording: Recording, text: str) -> UsageError:
    begin, end = (told(at) for at in recording.wall_span)
    return UsageError(f"{clean(text, 60)} is not in {clean(str(recording.path))}.", f"It goes from {begin} to {end}.")


def told(at: float) -> str:
    """A wall time for people, by the local clock: ``2026-01-31 14:03:10``."""
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
